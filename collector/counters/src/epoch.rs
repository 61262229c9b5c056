//! An epoch: one filling of a worker's tables.
//!
//! Everything is allocated when the epoch is made; counting a packet allocates nothing, takes no
//! lock and makes no system call. A full epoch goes to the flusher as a whole, is read there,
//! emptied there and sent back.

use std::sync::Arc;

use ahash::RandomState;
use noctule_packet::Rules;
use noctule_packet::decode::{Packet, Source};
use noctule_packet::error::DecodeError;
use noctule_packet::quote::Quoted;
use noctule_packet::rules::{MOST_FINGERPRINTS, Marks};

use crate::fingerprints::{self, FingerprintKey, FingerprintRow, Hits, MOST_SETS, Set, Sets};
use crate::flow::{Borne, Row4, Row6};
use crate::ports::PortCounters;
use crate::sketches::Sketches;
use crate::table::{Slot, Table};
use crate::victims::{VictimKey, VictimRow};

/// How large a worker's tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Rows of the IPv4 flow table.
    pub flows4: usize,
    /// Rows of the IPv6 flow table.
    pub flows6: usize,
    /// Rows of the fingerprint table.
    pub fingerprints: usize,
    /// Rows of the table of victims and who told of them.
    pub victims: usize,
}

impl Capacity {
    /// A worker's share of the whole sensor's `max_flows` (see [`Capacity::flows`]): of every 8
    /// rows 7 are for IPv4 and 1 for IPv6; fingerprints get an eighth as many again, victims a 32nd.
    pub fn share(max_flows: usize, workers: usize) -> Self {
        let mine = (max_flows / workers.max(1)).max(16);
        let flows6 = mine / 8;
        Self {
            flows4: mine - flows6,
            flows6,
            fingerprints: mine / 8,
            victims: (mine / 32).max(16),
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
            + slots(self.victims) * size_of::<VictimRow>()
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
    /// Packets by fingerprint, in the order of [`Rules::fingerprints`].
    pub fingerprints: [u64; MOST_FINGERPRINTS],
    /// ICMP errors, by what became of their quotes.
    pub quotes: QuoteTally,
}

/// What became of the quotes in ICMP errors. What is in none of the other fields was counted for a
/// victim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuoteTally {
    /// ICMP errors.
    pub errors: u64,
    /// The quoted source is not the address that the error was sent to.
    pub foreign: u64,
    /// The quote is cut before its destination address, or is not IP.
    pub unreadable: u64,
    /// They found no room in a full table.
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
        self.quotes.errors += other.quotes.errors;
        self.quotes.foreign += other.quotes.foreign;
        self.quotes.unreadable += other.quotes.unreadable;
        self.quotes.overflow += other.quotes.overflow;
    }
}

/// A worker's tables for one interval.
pub struct Epoch {
    /// What is in force while they fill; fingerprints are counted by their places in it.
    rules: Arc<Rules>,
    /// Numbers of the sets of fingerprints that flow rows bear.
    sets: Sets,
    /// Exact counts of every cell.
    pub ports: PortCounters,
    /// IPv4 flows.
    pub flows4: Table<Row4>,
    /// IPv6 flows.
    pub flows6: Table<Row6>,
    /// Fingerprint hits.
    pub fingerprints: Table<FingerprintRow>,
    /// Victims that ICMP errors quote, and who sent them.
    pub victims: Table<VictimRow>,
    /// Distinct sources of packets without a flow row.
    pub sketches: Sketches,
    tallies: Box<[Tally]>,
    /// Packets per lane by the number of the set of fingerprints that they match: one addition a
    /// packet, however many rules it matches.
    by_set: Box<[[u64; MOST_SETS]]>,
    crowded: bool,
}

impl Epoch {
    /// Empty tables for a worker with this many lanes, under the shipped rules.
    pub fn new(capacity: &Capacity, lanes: usize, hasher: &RandomState) -> Self {
        Self {
            rules: Rules::shipped(),
            sets: Sets::default(),
            ports: PortCounters::default(),
            flows4: Table::new(capacity.flows4, hasher.clone()),
            flows6: Table::new(capacity.flows6, hasher.clone()),
            fingerprints: Table::new(capacity.fingerprints, hasher.clone()),
            victims: Table::new(capacity.victims, hasher.clone()),
            sketches: Sketches::default(),
            tallies: vec![Tally::ZERO; lanes].into_boxed_slice(),
            by_set: vec![[0; MOST_SETS]; lanes].into_boxed_slice(),
            crowded: false,
        }
    }

    /// Counts one dark packet, seen `offset_us` microseconds after the interval's start.
    #[inline]
    pub fn count(&mut self, packet: &Packet, offset_us: u32, timing: Timing, lane: usize) {
        let hash = self.fetch(packet);
        self.count_at(hash, packet, offset_us, timing, lane);
    }

    /// Asks the memory for what counting this packet will touch; the hash of its flow key.
    #[inline]
    pub(crate) fn fetch(&self, packet: &Packet) -> u64 {
        self.ports.fetch(packet.cell);
        match packet.source {
            Source::V4(address) => self.flows4.fetch(Row4::key_of(address, packet.cell)),
            Source::V6(address) => self.flows6.fetch((address, packet.cell.to_bits())),
        }
    }

    /// [`Epoch::count`] with the hash that [`Epoch::fetch`] gave for this packet.
    #[inline]
    pub(crate) fn count_at(
        &mut self,
        hash: u64,
        packet: &Packet,
        offset_us: u32,
        timing: Timing,
        lane: usize,
    ) {
        self.ports.add(packet.cell, packet.bytes);
        let bits = packet.marks.as_ref().map_or(0, |marks| marks.bits);
        let number = self.sets.number(&self.rules, bits);
        // A set without a number counts apart; in the row the packet is as one that matches none.
        let in_row = number.unwrap_or(0);
        let value = (packet.marks.as_ref()).map_or(0, |marks| self.sets.set(in_row).value(marks));
        let kept = match packet.source {
            Source::V4(address) => {
                let key = Row4::key_of(address, packet.cell);
                let row = match self.flows4.slot_at(hash, key) {
                    Slot::Found(row) => Some(row),
                    Slot::Vacant(row) => {
                        *row = Row4::start(key);
                        Some(row)
                    }
                    Slot::Full => None,
                };
                row.map(|row| row.value_mut().add(packet, offset_us, in_row, value))
            }
            Source::V6(address) => {
                let key = (address, packet.cell.to_bits());
                let row = match self.flows6.slot_at(hash, key) {
                    Slot::Found(row) => Some(row),
                    Slot::Vacant(row) => {
                        *row = Row6::start(key);
                        Some(row)
                    }
                    Slot::Full => None,
                };
                row.map(|row| row.value_mut().add(packet, offset_us, 0, 0))
            }
        };
        self.by_set[lane][usize::from(in_row) % MOST_SETS] += 1;
        let tally = &mut self.tallies[lane];
        tally.packets += 1;
        tally.bytes += u64::from(packet.bytes);
        match timing {
            Timing::OnTime => {}
            Timing::Late => tally.late += 1,
            Timing::Jump => tally.time_jump += 1,
        }
        let mut apart = number.is_none();
        match kept {
            Some(added) => {
                self.crowded |= added.crowded;
                if let Some(before) = added.apart {
                    apart = true;
                    self.move_apart(packet, before, lane);
                }
            }
            None => {
                apart = true;
                tally.overflow += 1;
                self.sketches.add(packet.source, packet.cell);
            }
        }
        if !packet.errors.is_empty() {
            let tally = &mut self.tallies[lane];
            for number in packet.errors.numbers() {
                tally.errors[number] += 1;
            }
        }
        if apart || self.sets.set(in_row).further() != 0 {
            self.mark_apart(packet, number, apart, lane);
        }
        if let Some(quoted) = packet.quoted {
            self.quote(packet, quoted, lane);
        }
    }

    /// Counts in the fingerprint table what a packet's flow row does not hold of its fingerprints.
    #[cold]
    fn mark_apart(&mut self, packet: &Packet, number: Option<u8>, apart: bool, lane: usize) {
        let Some(marks) = packet.marks.filter(|marks| marks.bits != 0) else {
            return;
        };
        let set = match number {
            Some(number) => *self.sets.set(number),
            None => {
                for rule in marks.places() {
                    self.tallies[lane].fingerprints[rule] += 1;
                }
                Sets::unnumbered(&self.rules, marks.bits)
            }
        };
        if apart {
            let value = set.value(&marks);
            self.hit(packet, set.in_row, 1, (value, value), lane);
        }
        for rule in Marks::places_of(set.further()).map(|place| 1 << place) {
            let value = Sets::unnumbered(&self.rules, rule).value(&marks);
            self.hit(packet, rule, 1, (value, value), lane);
        }
    }

    /// Moves to the fingerprint table what a row has counted before its packets got mixed.
    #[cold]
    fn move_apart(&mut self, packet: &Packet, before: Option<Borne>, lane: usize) {
        if let Some(borne) = before {
            let Set { in_row, .. } = *self.sets.set(borne.set);
            self.hit(packet, in_row, borne.packets.into(), borne.span, lane);
        }
    }

    /// Adds hits of a set of rules on packets of this one's source and port.
    fn hit(&mut self, packet: &Packet, rules: u32, hits: u64, span: (u16, u16), lane: usize) {
        let (Source::V4(source), Some(port)) = (packet.source, packet.cell.port()) else {
            return;
        };
        let key = FingerprintKey {
            source,
            port,
            rules,
        };
        match self.fingerprints.slot(key) {
            Slot::Found(row) => row.add(hits, span),
            Slot::Vacant(row) => *row = FingerprintRow::first(key, hits, span),
            Slot::Full => {
                let tally = &mut self.tallies[lane];
                tally.fingerprint_overflow += hits * u64::from(rules.count_ones());
            }
        }
    }

    /// Fingerprint hits, rule by rule; several may be of one source, port and rule.
    pub(crate) fn hits(&self) -> impl Iterator<Item = Hits> + '_ {
        let apart = self
            .fingerprints
            .iter()
            .flat_map(|row| row.hits(&self.rules));
        let in_rows = self.flows4.iter().filter_map(Row4::borne);
        apart.chain(in_rows.flat_map(|(source, port, borne)| {
            let rules = self.sets.set(borne.set).in_row;
            let key = FingerprintKey {
                source,
                port,
                rules,
            };
            fingerprints::by_rule(&self.rules, key, borne.packets.into(), borne.span)
        }))
    }

    fn quote(&mut self, packet: &Packet, quoted: Quoted, lane: usize) {
        let tally = &mut self.tallies[lane].quotes;
        tally.errors += 1;
        let victim = match quoted {
            Quoted::Victim(victim) => victim,
            Quoted::Foreign => {
                tally.foreign += 1;
                return;
            }
            Quoted::Unreadable => {
                tally.unreadable += 1;
                return;
            }
        };
        let sender = packet.source;
        let key = VictimKey { victim, sender };
        match self.victims.slot(key) {
            Slot::Found(row) => row.add(),
            Slot::Vacant(row) => *row = VictimRow::first(key),
            Slot::Full => tally.overflow += 1,
        }
    }

    /// The rules that are in force while this epoch fills.
    #[inline]
    pub const fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Puts rules in force for the filling that begins. Only an empty epoch takes other rules:
    /// its counts would mean something else from there on.
    pub fn begin(&mut self, rules: &Arc<Rules>) {
        debug_assert!(self.is_empty(), "rules change between epochs only");
        if !Arc::ptr_eq(&self.rules, rules) {
            self.rules = Arc::clone(rules);
        }
    }

    /// Counts by lane.
    pub fn tallies(&self) -> impl Iterator<Item = Tally> + '_ {
        (self.tallies.iter().zip(&self.by_set)).map(|(tally, by_set)| {
            let mut tally = tally.clone();
            for (number, packets) in by_set.iter().enumerate() {
                for rule in Marks::places_of(self.sets.set(number as u8).rules) {
                    tally.fingerprints[rule] += packets;
                }
            }
            tally
        })
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
        self.victims.clear();
        self.sketches.clear();
        self.tallies.fill(Tally::ZERO);
        self.sets = Sets::default();
        self.by_set.fill([0; MOST_SETS]);
        self.crowded = false;
    }
}
