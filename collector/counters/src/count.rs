//! Counts a packet in stages, so that the cache lines it needs are prefetched ahead of time.
//!
//! [`Epoch::prepare`] and [`Epoch::set_matches`] count everything that needs no table, and prefetch
//! the counter of the packet's port; [`Epoch::fetch_tags`] prefetches the tags of its bucket, and
//! [`Epoch::fetch_rows`] its row. [`Epoch::count_pending`] counts the packet in its port and row.

use noctule_packet::cell::{CellId, Class};
use noctule_packet::decode::{Packet, Source};
use noctule_packet::quote::Quoted;
use noctule_packet::rules::RuleMatches;

use crate::epoch::Epoch;
use crate::fingerprints::{FingerprintKey, FingerprintRow, MOST_SETS, MatchSet, MatchSets};
use crate::flow::{PacketFields, Row4, Row6, RowHits, Spill};
use crate::ports;
use crate::table::Slot;
use crate::tally::Timing;
use crate::victims::{VictimKey, VictimRow};

/// A packet between the stages of counting.
#[derive(Clone, Copy)]
pub(crate) struct PendingPacket {
    source: Source,
    /// Hash of its flow key.
    hash: u64,
    fields: PacketFields,
    cell: CellId,
    /// Slot of the flow table where its row probably is.
    guess: u32,
    /// Index of its port counter.
    place: u32,
    queue: u16,
    /// Number of the set of fingerprints that it matches, for its row.
    set: u8,
    /// Some of its fingerprint hits go to the fingerprint table.
    spills: bool,
    matches: Option<RuleMatches>,
}

impl PendingPacket {
    /// No packet.
    pub const NOTHING: Self = Self {
        source: Source::V4(0),
        hash: 0,
        fields: PacketFields::NOTHING,
        cell: CellId::new(0, Class::Scan, None),
        guess: 0,
        place: 0,
        queue: 0,
        set: 0,
        spills: false,
        matches: None,
    };
}

impl Epoch {
    /// Counts one dark packet that arrived `offset_us` microseconds after the interval's start.
    pub fn count(&mut self, packet: &Packet, offset_us: u32, timing: Timing, queue: usize) {
        let mut pending = PendingPacket::NOTHING;
        self.prepare(&mut pending, packet, offset_us, timing, queue);
        self.set_matches(&mut pending, packet.rule_matches);
        self.fetch_rows(std::slice::from_mut(&mut pending));
        self.count_pending(&pending);
    }

    /// First stage, without the fingerprints.
    #[inline(always)]
    pub(crate) fn prepare(
        &mut self,
        pending: &mut PendingPacket,
        packet: &Packet,
        offset_us: u32,
        timing: Timing,
        queue: usize,
    ) {
        let &Packet { source, cell, .. } = packet;
        self.ports.note_slot(packet);
        let hash = match source {
            Source::V4(address) => self.flows4.hash(Row4::key_of(address, cell)),
            Source::V6(address) => self.flows6.hash((address, cell.to_bits())),
        };
        pending.source = source;
        pending.hash = hash;
        pending.fields = PacketFields::new(packet, offset_us);
        pending.cell = cell;
        pending.place = ports::place(cell) as u32;
        self.ports.fetch(pending.place);
        pending.queue = queue as u16;
        let tally = &mut self.tallies[queue];
        tally.packets += 1;
        tally.bytes += u64::from(packet.bytes);
        match timing {
            Timing::OnTime => {}
            Timing::Late => tally.late += 1,
            Timing::Jump => tally.time_jump += 1,
        }
        if !packet.errors.is_empty() {
            for number in packet.errors.numbers() {
                tally.errors[number] += 1;
            }
        }
        if let Some(quoted) = packet.quoted {
            self.quote(source, quoted, queue);
        }
    }

    /// First stage: the fingerprints that the packet matches; none if it is not a probe.
    #[inline]
    pub(crate) fn set_matches(
        &mut self,
        pending: &mut PendingPacket,
        matches: Option<RuleMatches>,
    ) {
        let bits = matches.map_or(0, |matches| matches.bits);
        let number = self.sets.number(&self.rules, bits);
        // Hits of a set without a number spill; to the row the packet matches nothing.
        pending.set = number.unwrap_or(0);
        pending.matches = matches;
        let set = self.sets.set(pending.set);
        pending.spills = number.is_none() || set.further() != 0;
        pending.fields.expressions = matches.map(|matches| matches.with_slots(set.value(&matches)));
        self.by_set[usize::from(pending.queue)][usize::from(pending.set) % MOST_SETS] += 1;
    }

    /// Prefetches the tags of these packets' buckets. Prefetches are issued back to back so that TLB
    /// misses overlap.
    #[inline]
    pub(crate) fn fetch_tags(&self, packets: &[PendingPacket]) {
        for pending in packets {
            match pending.source {
                Source::V4(_) => self.flows4.fetch_tags(pending.hash),
                Source::V6(_) => self.flows6.fetch_tags(pending.hash),
            }
        }
    }

    /// Second stage: prefetches the rows, whose slots the tags give.
    #[inline]
    pub(crate) fn fetch_rows(&self, packets: &mut [PendingPacket]) {
        for pending in &mut *packets {
            pending.guess = match pending.source {
                Source::V4(_) => self.flows4.guess(pending.hash),
                Source::V6(_) => self.flows6.guess(pending.hash),
            };
        }
        for pending in packets {
            let (guess, class) = (pending.guess, pending.cell.class());
            match pending.source {
                Source::V4(_) if !self.flows4.is_closed_at(guess, class) => {
                    self.flows4.fetch_row(guess);
                }
                Source::V6(_) if !self.flows6.is_closed_at(guess, class) => {
                    self.flows6.fetch_row(guess);
                }
                // It probably gets no row.
                source => self.admission.fetch(source),
            }
        }
    }

    /// Last stage: counts the packet in its port and in its flow row.
    #[inline]
    pub(crate) fn count_pending(&mut self, pending: &PendingPacket) {
        let &PendingPacket {
            hash, guess, set, ..
        } = pending;
        let class = pending.cell.class();
        self.ports.add_at(pending.place, pending.fields.bytes);
        let added = match pending.source {
            Source::V4(address) => {
                let key = Row4::key_of(address, pending.cell);
                let row = match self.flows4.slot_at(hash, guess, key, class) {
                    Slot::Found(row) => Some((row, false)),
                    Slot::Vacant(row) => Some((row, true)),
                    Slot::Closed(at) => {
                        let admission_class = self.admission.classify(pending.source);
                        (self.flows4.admit(at, hash, class, admission_class)).map(|row| (row, true))
                    }
                    Slot::Full => None,
                };
                row.map(|(row, is_new)| {
                    if is_new {
                        *row = Row4::start(key, set);
                    }
                    row.add(&pending.fields, set)
                })
            }
            Source::V6(address) => {
                let key = (address, pending.cell.to_bits());
                let row = match self.flows6.slot_at(hash, guess, key, class) {
                    Slot::Found(row) => Some((row, false)),
                    Slot::Vacant(row) => Some((row, true)),
                    Slot::Closed(at) => {
                        let admission_class = self.admission.classify(pending.source);
                        (self.flows6.admit(at, hash, class, admission_class)).map(|row| (row, true))
                    }
                    Slot::Full => None,
                };
                row.map(|(row, is_new)| {
                    if is_new {
                        *row = Row6::start(key);
                    }
                    row.add(&pending.fields)
                })
            }
        };
        let spill = match added {
            Some(added) => {
                self.crowded |= added.crowded;
                added.spill
            }
            None => {
                self.tallies[usize::from(pending.queue)].overflow += 1;
                self.sketches.add(pending.source, pending.cell);
                Spill::Packet
            }
        };
        if let Spill::RowAndPacket(hits) = spill {
            self.spill_row(pending, hits);
        }
        let all = !matches!(spill, Spill::Nothing);
        if all || pending.spills {
            self.spill_packet(pending, all);
        }
    }

    /// Counts a packet's hits in the fingerprint table: all of them, or those that its flow row has
    /// no room for.
    #[cold]
    fn spill_packet(&mut self, pending: &PendingPacket, all: bool) {
        let Some(matches) = pending.matches.filter(|matches| matches.bits != 0) else {
            return;
        };
        let mut all = all;
        let mut set = *self.sets.set(pending.set);
        if set.rules != matches.bits {
            // The set has no number.
            for rule in matches.places() {
                self.tallies[usize::from(pending.queue)].fingerprints[rule] += 1;
            }
            set = MatchSets::unnumbered(&self.rules, matches.bits);
            all = true;
        }
        if all {
            let value = set.value(&matches);
            self.hit(pending, set.in_row, 1, (value, value));
        }
        for rule in RuleMatches::places_of(set.further()).map(|place| 1 << place) {
            let value = MatchSets::unnumbered(&self.rules, rule).value(&matches);
            self.hit(pending, rule, 1, (value, value));
        }
    }

    /// Adds to the fingerprint table the hits that this packet's row has counted so far.
    #[cold]
    fn spill_row(&mut self, pending: &PendingPacket, hits: RowHits) {
        let MatchSet { in_row, .. } = *self.sets.set(hits.set);
        self.hit(pending, in_row, hits.packets.into(), hits.span);
    }

    /// Adds to the fingerprint table hits of a set of rules on packets of this packet's source and
    /// port.
    fn hit(&mut self, pending: &PendingPacket, rules: u32, hits: u64, span: (u16, u16)) {
        let (Source::V4(source), Some(port)) = (pending.source, pending.cell.port()) else {
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
            Slot::Closed(_) | Slot::Full => {
                let tally = &mut self.tallies[usize::from(pending.queue)];
                tally.fingerprint_overflow += hits * u64::from(rules.count_ones());
            }
        }
    }

    /// Counts the packet that an ICMP error quotes.
    #[inline(never)]
    fn quote(&mut self, sender: Source, quoted: Quoted, queue: usize) {
        let tally = &mut self.tallies[queue].quotes;
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
        let key = VictimKey { victim, sender };
        match self.victims.slot(key) {
            Slot::Found(row) => row.add(),
            Slot::Vacant(row) => *row = VictimRow::first(key),
            Slot::Closed(_) | Slot::Full => tally.overflow += 1,
        }
    }
}
