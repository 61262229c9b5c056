//! Estimates how many packets are exact repeats: the same datagram twice within a millisecond.
//!
//! A mirror port that copies both directions, or two taps on one path, sends every packet twice. That
//! is seen in no other count: all of them double alike. One packet in 64 is looked at, chosen by its
//! header, so that a packet and its repeat are chosen together.

use noctule_packet::link::Network;
use serde::{Deserialize, Serialize};

/// One packet in this number is looked at.
pub const ONE_IN: u64 = 64;
/// Longest time between a packet and its repeat, in microseconds.
const WITHIN_US: i64 = 1_000;
/// Octets of a datagram that are compared, by their hash.
const COMPARED: usize = 64;
/// Packets that are remembered: at 20 million packets/s, three times as many as are looked at within
/// a millisecond.
const REMEMBERED: usize = 1024;
/// An odd number without a pattern, for multiplicative hashing.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Counts of the packets that were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeats {
    /// Packets that were looked at, about one in [`ONE_IN`].
    pub sampled: u64,
    /// Of these, packets that repeat another one.
    pub repeated: u64,
}

impl Repeats {
    /// Share of the packets that are repeats, in percent, if enough were looked at and a tenth or more
    /// of them repeat another one: half of them where a tap sends everything twice. Scanners seldom
    /// send a datagram twice within a millisecond.
    pub fn suspicious_percent(&self) -> Option<u64> {
        const ENOUGH: u64 = 100;
        let percent = (self.repeated * 100).checked_div(self.sampled)?;
        (self.sampled >= ENOUGH && percent >= 10).then_some(percent)
    }

    /// Adds other counts.
    pub fn add(&mut self, other: Self) {
        self.sampled += other.sampled;
        self.repeated += other.repeated;
    }
}

/// A packet that was looked at.
#[derive(Clone, Copy)]
struct Looked {
    hash: u64,
    time_us: i64,
}

/// Looks at the dark packets of one queue or one replay.
pub struct RepeatSampler {
    looked: Box<[Looked; REMEMBERED]>,
    counts: Repeats,
}

impl Default for RepeatSampler {
    fn default() -> Self {
        let nothing = Looked {
            hash: 0,
            time_us: i64::MIN,
        };
        Self {
            looked: Box::new([nothing; REMEMBERED]),
            counts: Repeats::default(),
        }
    }
}

impl RepeatSampler {
    /// A dark packet whose IP header is at `network`, at this time in microseconds. Most packets cost
    /// three loads and a multiplication.
    #[inline]
    pub fn packet(&mut self, network: Network, frame: &[u8], time_us: i64) {
        let (datagram, choice) = match network {
            Network::Ipv4 { offset } => {
                let Some(header) = frame.get(offset..).and_then(<[u8]>::first_chunk::<20>) else {
                    return;
                };
                // Checksum, identification and the end of the destination: where one is constant, the
                // others are not.
                let pair = |at: usize| u64::from(u16::from_ne_bytes([header[at], header[at + 1]]));
                (offset, pair(10) ^ pair(4) ^ pair(18))
            }
            Network::Ipv6 { offset } => {
                let Some(header) = frame.get(offset..).and_then(<[u8]>::first_chunk::<40>) else {
                    return;
                };
                let pair = |at: usize| u64::from(u16::from_ne_bytes([header[at], header[at + 1]]));
                (offset, pair(38) ^ pair(22) ^ pair(14))
            }
        };
        if choice.wrapping_mul(MULTIPLIER) < u64::MAX / ONE_IN {
            self.look(&frame[datagram..], time_us);
        }
    }

    #[cold]
    fn look(&mut self, datagram: &[u8], time_us: i64) {
        let mut hash = datagram.len() as u64;
        for part in datagram[..datagram.len().min(COMPARED)].chunks(8) {
            let mut octets = [0; 8];
            octets[..part.len()].copy_from_slice(part);
            hash = (hash ^ u64::from_le_bytes(octets))
                .wrapping_mul(MULTIPLIER)
                .rotate_left(29);
        }
        let looked = &mut self.looked[hash as usize % REMEMBERED];
        self.counts.sampled += 1;
        let since = time_us.saturating_sub(looked.time_us);
        if looked.hash == hash && (0..=WITHIN_US).contains(&since) {
            self.counts.repeated += 1;
        }
        *looked = Looked { hash, time_us };
    }

    /// The counts since the last call.
    pub fn take(&mut self) -> Repeats {
        std::mem::take(&mut self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u32, payload: usize) -> Vec<u8> {
        let mut frame = vec![0; 14 + 20 + payload];
        frame[14] = 0x45;
        let destination = number.wrapping_mul(0x0101_4567).to_be_bytes();
        frame[30..34].copy_from_slice(&destination);
        frame[24..26].copy_from_slice(&(number as u16).wrapping_mul(771).to_be_bytes());
        frame[34..38].copy_from_slice(&number.to_be_bytes());
        frame
    }

    const IP: Network = Network::Ipv4 { offset: 14 };

    #[test]
    fn a_tap_that_sends_everything_twice_shows_one_half() {
        let mut sampler = RepeatSampler::default();
        for number in 0..100_000 {
            let frame = frame(number, 20);
            let time = i64::from(number) * 3;
            sampler.packet(IP, &frame, time);
            sampler.packet(IP, &frame, time + 2);
        }
        let Repeats { sampled, repeated } = sampler.take();
        let share = repeated as f64 / sampled as f64;
        assert!((0.49..=0.5).contains(&share), "{repeated} of {sampled}");
        let expected = 200_000 / ONE_IN;
        assert!(sampled.abs_diff(expected) < expected / 4, "{sampled}");
        assert_eq!(sampler.take(), Repeats::default());
    }

    #[test]
    fn packets_that_differ_or_come_later_are_no_repeats() {
        let mut sampler = RepeatSampler::default();
        for number in 0..50_000 {
            let mut frame = frame(number, 20);
            sampler.packet(IP, &frame, 0);
            // A retransmission.
            sampler.packet(IP, &frame, WITHIN_US + 1);
            // Another sequence number.
            frame[39] ^= 1;
            sampler.packet(IP, &frame, WITHIN_US + 2);
        }
        let Repeats { sampled, repeated } = sampler.take();
        assert!(sampled > 1_000);
        assert_eq!(repeated, 0);
    }

    #[test]
    fn a_cut_frame_does_no_harm() {
        let mut sampler = RepeatSampler::default();
        let frame = frame(7, 4);
        for cut in 0..=frame.len() {
            sampler.packet(IP, &frame[..cut], 0);
            sampler.packet(Network::Ipv6 { offset: 14 }, &frame[..cut], 0);
        }
    }
}
