//! An epoch: one filling of a worker's tables.
//!
//! Everything is allocated when the epoch is made; counting a packet allocates nothing, takes no
//! lock and makes no system call. A full epoch goes to the flusher as a whole, is read there,
//! emptied there and sent back.

use ahash::RandomState;
use noctule_packet::decode::{Packet, Source};
use noctule_packet::error::DecodeError;
use noctule_packet::fingerprint::RULES;

use crate::fingerprints::{FingerprintKey, FingerprintRow};
use crate::flow::{Row4, Row6};
use crate::ports::PortCounters;
use crate::sketches::Sketches;
use crate::table::{Slot, Table};

/// How large a worker's tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Rows of the IPv4 flow table.
    pub flows4: usize,
    /// Rows of the IPv6 flow table.
    pub flows6: usize,
    /// Rows of the fingerprint table.
    pub fingerprints: usize,
}

impl Capacity {
    /// A worker's share of the whole sensor's `max_flows` (see [`Capacity::flows`]): of every 8
    /// rows 7 are for IPv4 and 1 for IPv6; fingerprints get a quarter as many again.
    pub fn share(max_flows: usize, workers: usize) -> Self {
        let mine = (max_flows / workers.max(1)).max(16);
        let flows6 = mine / 8;
        Self {
            flows4: mine - flows6,
            flows6,
            fingerprints: mine / 4,
        }
    }

    /// Flow rows, IPv4 and IPv6 together.
    pub const fn flows(&self) -> usize {
        self.flows4 + self.flows6
    }

    /// Most octets that one epoch of this capacity can occupy.
    pub fn bytes(&self) -> usize {
        let slots = |rows: usize| rows + rows / 4;
        slots(self.flows4) * size_of::<Row4>()
            + slots(self.flows6) * size_of::<Row6>()
            + slots(self.fingerprints) * size_of::<FingerprintRow>()
            + PortCounters::BYTES
            + Sketches::BYTES
    }
}

/// How a packet's time stands to the interval it is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// It belongs there.
    OnTime,
    /// Its own interval was closed already.
    Late,
    /// Its time jumped ahead and nothing confirmed it.
    Jump,
}

/// Packet counts of one lane (an RX queue, or a replay's reader) in one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Dark packets counted.
    pub packets: u64,
    /// Octets of their IP datagrams.
    pub bytes: u64,
    /// Of these, late.
    pub late: u64,
    /// Of these, with an unconfirmed jump of time.
    pub time_jump: u64,
    /// Of these, without a row in the flow table.
    pub overflow: u64,
    /// Fingerprint hits without a row in the fingerprint table.
    pub fingerprint_overflow: u64,
    /// Packets by header error, in the order of [`DecodeError::ALL`].
    pub errors: [u64; DecodeError::ALL.len()],
    /// Packets by fingerprint rule, in the order of [`RULES`].
    pub fingerprints: [u64; RULES.len()],
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
        fingerprints: [0; RULES.len()],
    };

    /// Adds what others counted.
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
    }
}

/// A worker's tables for one interval.
pub struct Epoch {
    /// Exact counts of every cell.
    pub ports: PortCounters,
    /// IPv4 flows.
    pub flows4: Table<Row4>,
    /// IPv6 flows.
    pub flows6: Table<Row6>,
    /// Fingerprint hits.
    pub fingerprints: Table<FingerprintRow>,
    /// Distinct sources of packets without a flow row.
    pub sketches: Sketches,
    /// Counts per lane.
    pub tallies: Box<[Tally]>,
    crowded: bool,
}

impl Epoch {
    /// Empty tables for a worker with this many lanes.
    pub fn new(capacity: &Capacity, lanes: usize, hasher: &RandomState) -> Self {
        Self {
            ports: PortCounters::default(),
            flows4: Table::new(capacity.flows4, hasher.clone()),
            flows6: Table::new(capacity.flows6, hasher.clone()),
            fingerprints: Table::new(capacity.fingerprints, hasher.clone()),
            sketches: Sketches::default(),
            tallies: vec![Tally::ZERO; lanes].into_boxed_slice(),
            crowded: false,
        }
    }

    /// Counts one dark packet, seen `offset_us` microseconds after the interval's start.
    #[inline]
    pub fn count(&mut self, packet: &Packet, offset_us: u32, timing: Timing, lane: usize) {
        self.ports.add(packet.cell, packet.bytes);
        let kept = match packet.source {
            Source::V4(address) => {
                let key = Row4::key_of(address, packet.cell);
                let row = match self.flows4.slot(key) {
                    Slot::Found(row) => Some(row),
                    Slot::Vacant(row) => {
                        *row = Row4::start(key);
                        Some(row)
                    }
                    Slot::Full => None,
                };
                row.map(|row| row.value_mut().add(packet, offset_us))
            }
            Source::V6(address) => {
                let key = (address, packet.cell.to_bits());
                let row = match self.flows6.slot(key) {
                    Slot::Found(row) => Some(row),
                    Slot::Vacant(row) => {
                        *row = Row6::start(key);
                        Some(row)
                    }
                    Slot::Full => None,
                };
                row.map(|row| row.value_mut().add(packet, offset_us))
            }
        };
        let tally = &mut self.tallies[lane];
        tally.packets += 1;
        tally.bytes += u64::from(packet.bytes);
        match timing {
            Timing::OnTime => {}
            Timing::Late => tally.late += 1,
            Timing::Jump => tally.time_jump += 1,
        }
        match kept {
            Some(crowded) => self.crowded |= crowded,
            None => {
                tally.overflow += 1;
                self.sketches.add(packet.source, packet.cell);
            }
        }
        if !packet.errors.is_empty() {
            for number in packet.errors.numbers() {
                tally.errors[number] += 1;
            }
        }
        if packet.probe.is_some_and(|probe| !probe.marks.is_empty()) {
            self.mark(packet, lane);
        }
    }

    fn mark(&mut self, packet: &Packet, lane: usize) {
        let (Some(probe), Some(port)) = (packet.probe, packet.cell.port()) else {
            return;
        };
        let tally = &mut self.tallies[lane];
        for rule in probe.marks.places() {
            tally.fingerprints[rule] += 1;
            let key = FingerprintKey {
                source: packet.source,
                protocol: packet.cell.protocol(),
                port,
                rule: rule as u8,
            };
            match self.fingerprints.slot(key) {
                Slot::Found(row) => row.hit(),
                Slot::Vacant(row) => *row = FingerprintRow::first(key),
                Slot::Full => tally.fingerprint_overflow += 1,
            }
        }
    }

    /// A row's 32-bit counter is near its end: close this epoch before the interval ends.
    #[inline]
    pub const fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// No packet was counted.
    pub fn is_empty(&self) -> bool {
        self.tallies.iter().all(|tally| tally.packets == 0)
    }

    /// Empties everything for the next filling; memory stays allocated.
    pub fn clear(&mut self) {
        self.ports.clear();
        self.flows4.clear();
        self.flows6.clear();
        self.fingerprints.clear();
        self.sketches.clear();
        self.tallies.fill(Tally::ZERO);
        self.crowded = false;
    }
}
