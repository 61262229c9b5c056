//! The account of one RX queue in one interval: a row of `ledger` before it is written.

use std::collections::BTreeMap;

use noctule_counters::epoch::Tally;
use noctule_counters::repeats::Repeats;
use noctule_packet::Unparsed;
use noctule_store::tables::Mode;

/// Most kinds of frames that were not parsed that an account keeps apart.
const KINDS_KEPT: usize = 1024;

/// Packets that a queue lost, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// The queue had no socket.
    pub unserved: u64,
    /// The packet was too long for a frame, or the fill ring was empty.
    pub rx_dropped: u64,
    /// The RX ring was full: the worker was too slow.
    pub rx_ring_full: u64,
    /// Lost without a known cause; negative if more packets were counted than matched.
    pub unexplained: i64,
}

impl Lost {
    /// All causes together.
    pub fn total(&self) -> i64 {
        self.unexplained + (self.unserved + self.rx_dropped + self.rx_ring_full) as i64
    }

    fn add(&mut self, other: &Self) {
        self.unserved += other.unserved;
        self.rx_dropped += other.rx_dropped;
        self.rx_ring_full += other.rx_ring_full;
        self.unexplained += other.unexplained;
    }
}

/// An RX queue of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueId {
    /// Index of its interface in the run's settings; 0 for a replay.
    pub interface: u16,
    /// Its number on the interface; 0 for a replay.
    pub queue: u32,
}

/// The account of one queue in one interval.
///
/// `in_flight_before + matched = tally.packets + lost + in_flight_after`.
#[derive(Clone, Debug)]
pub struct QueueLedger {
    /// The queue.
    pub queue: QueueId,
    /// How frames were received.
    pub mode: Mode,
    /// Milliseconds of the interval that were observed.
    pub observed_ms: u64,
    /// The observed span, microseconds since 1970; none: unknown.
    pub observed_us: Option<(i64, i64)>,
    /// The step of the wall clock that ended the interval, milliseconds; 0 if none did.
    pub clock_step_ms: i64,
    /// Frames seen by XDP, or records read.
    pub records: u64,
    /// Dark frames among `records`.
    pub matched: u64,
    /// Octets of the dark frames, link layer included.
    pub matched_bytes: u64,
    /// IP frames whose destination is not dark.
    pub passed: u64,
    /// Octets of the passed frames, link layer included.
    pub passed_bytes: u64,
    /// Frames that are not IP or are cut before the destination address.
    pub not_parsed: u64,
    /// What these frames are: packets, and octets of the frames.
    pub unparsed: BTreeMap<Unparsed, (u64, u64)>,
    /// Matched before the interval and not yet counted when it began.
    pub in_flight_before: u64,
    /// Matched and not yet counted when it ended.
    pub in_flight_after: u64,
    /// Lost packets.
    pub lost: Lost,
    /// Counted packets.
    pub tally: Tally,
    /// Exact repeats among a sample of the dark packets.
    pub repeats: Repeats,
    /// The interval was not observed from its start to its end.
    pub partial: bool,
}

impl QueueLedger {
    /// An empty account of a queue of the first interface, or of a replay.
    pub const fn new(queue: u32, mode: Mode) -> Self {
        Self {
            queue: QueueId {
                interface: 0,
                queue,
            },
            mode,
            observed_ms: 0,
            observed_us: None,
            clock_step_ms: 0,
            records: 0,
            matched: 0,
            matched_bytes: 0,
            passed: 0,
            passed_bytes: 0,
            not_parsed: 0,
            unparsed: BTreeMap::new(),
            in_flight_before: 0,
            in_flight_after: 0,
            lost: Lost {
                unserved: 0,
                rx_dropped: 0,
                rx_ring_full: 0,
                unexplained: 0,
            },
            tally: Tally::ZERO,
            repeats: Repeats {
                sampled: 0,
                repeated: 0,
            },
            partial: false,
        }
    }

    /// Adds frames that were not parsed.
    pub fn add_unparsed(&mut self, what: Unparsed, packets: u64, bytes: u64) {
        self.not_parsed += packets;
        self.name_unparsed(what, packets, bytes);
    }

    /// Frames of more than [`KINDS_KEPT`] kinds have one name together.
    fn name_unparsed(&mut self, what: Unparsed, packets: u64, bytes: u64) {
        let known = self.unparsed.len() < KINDS_KEPT || self.unparsed.contains_key(&what);
        let what = if known { what } else { Unparsed::Other };
        let sum = self.unparsed.entry(what).or_default();
        sum.0 += packets;
        sum.1 += bytes;
    }

    /// Adds another account of the same queue and interval.
    pub fn add(&mut self, other: &Self) {
        self.observed_ms += other.observed_ms;
        self.observed_us = match (self.observed_us, other.observed_us) {
            (Some(mine), Some(others)) => Some((mine.0.min(others.0), mine.1.max(others.1))),
            (mine, others) => mine.or(others),
        };
        self.clock_step_ms += other.clock_step_ms;
        self.records += other.records;
        self.matched += other.matched;
        self.matched_bytes += other.matched_bytes;
        self.passed += other.passed;
        self.passed_bytes += other.passed_bytes;
        self.not_parsed += other.not_parsed;
        for (&what, &(packets, bytes)) in &other.unparsed {
            self.name_unparsed(what, packets, bytes);
        }
        self.in_flight_before += other.in_flight_before;
        self.in_flight_after += other.in_flight_after;
        self.lost.add(&other.lost);
        self.tally.merge(&other.tally);
        self.repeats.add(other.repeats);
        self.partial |= other.partial;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_that_were_not_parsed_add_up_however_many_there_are() {
        let mut sum = QueueLedger::new(0, Mode::Replay);
        for first in [0, 3000] {
            let mut row = QueueLedger::new(0, Mode::Replay);
            for number in first..first + 3000 {
                row.add_unparsed(Unparsed::EtherType(number), 2, 120);
            }
            assert_eq!(row.unparsed.len(), KINDS_KEPT + 1);
            sum.add(&row);
        }
        let (packets, bytes) =
            (sum.unparsed.values()).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        assert_eq!((packets, bytes), (sum.not_parsed, 720_000));
        assert_eq!(sum.not_parsed, 12_000);
        assert_eq!(sum.unparsed.len(), KINDS_KEPT + 1);
    }
}
