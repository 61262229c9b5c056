//! Packet counts of one RX queue over all cells.

use noctule_packet::error::DecodeError;
use noctule_packet::rules::MOST_FINGERPRINTS;

/// Whether a packet's time lies in the interval that it is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// It does.
    OnTime,
    /// It lies in an earlier interval, which is already closed.
    Late,
    /// Its time is nonsense: it counts with its neighbours.
    Jump,
}

/// Packet counts of one RX queue (of the whole input in a replay) in one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Dark packets counted.
    pub packets: u64,
    /// Octets of their IP datagrams.
    pub bytes: u64,
    /// Dark packets that were [`Timing::Late`].
    pub late: u64,
    /// Dark packets with a [`Timing::Jump`].
    pub time_jump: u64,
    /// Dark packets without a row in the flow table.
    pub overflow: u64,
    /// Fingerprint hits without a row in the fingerprint table.
    pub fingerprint_overflow: u64,
    /// Packets by header error, in the order of [`DecodeError::ALL`].
    pub errors: [u64; DecodeError::ALL.len()],
    /// Packets by fingerprint, in the order of [`Rules::fingerprints`](noctule_packet::Rules::fingerprints).
    pub fingerprints: [u64; MOST_FINGERPRINTS],
    /// ICMP errors by the outcome of reading their quotes.
    pub quotes: QuoteTally,
}

/// ICMP errors by the outcome of reading their quotes. An error in none of the other fields was
/// counted for a victim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuoteTally {
    /// ICMP errors.
    pub errors: u64,
    /// The quoted source is not the address that the error was sent to.
    pub foreign: u64,
    /// The quote is cut before its destination address, or is not IP.
    pub unreadable: u64,
    /// The table of victims was full.
    pub overflow: u64,
}

impl QuoteTally {
    /// Errors that were counted for a victim.
    pub const fn counted(&self) -> u64 {
        self.errors - self.foreign - self.unreadable - self.overflow
    }
}

impl Tally {
    /// Nothing counted.
    pub const ZERO: Self = Self {
        packets: 0,
        bytes: 0,
        late: 0,
        time_jump: 0,
        overflow: 0,
        fingerprint_overflow: 0,
        errors: [0; DecodeError::ALL.len()],
        fingerprints: [0; MOST_FINGERPRINTS],
        quotes: QuoteTally {
            errors: 0,
            foreign: 0,
            unreadable: 0,
            overflow: 0,
        },
    };

    /// Adds other counts.
    pub fn merge(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.late += other.late;
        self.time_jump += other.time_jump;
        self.overflow += other.overflow;
        self.fingerprint_overflow += other.fingerprint_overflow;
        for (mine, theirs) in self.errors.iter_mut().zip(other.errors) {
            *mine += theirs;
        }
        for (mine, theirs) in self.fingerprints.iter_mut().zip(other.fingerprints) {
            *mine += theirs;
        }
        self.quotes.errors += other.quotes.errors;
        self.quotes.foreign += other.quotes.foreign;
        self.quotes.unreadable += other.quotes.unreadable;
        self.quotes.overflow += other.quotes.overflow;
    }
}
