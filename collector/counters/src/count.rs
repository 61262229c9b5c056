//! How a packet is counted: in stages, so that what it touches in memory is asked for ahead of time.
//!
//! First everything that needs no table is counted, and the tags of the packet's bucket and the
//! counter of its port are asked for ([`Epoch::announce`], [`Epoch::judge`]); then its row
//! ([`Epoch::fetch_rows`]); and then both are counted in ([`Epoch::count_waiting`]).

use noctule_packet::cell::{CellId, Class};
use noctule_packet::decode::{Packet, Source};
use noctule_packet::quote::Quoted;
use noctule_packet::rules::Marks;

use crate::epoch::Epoch;
use crate::fingerprints::{FingerprintKey, FingerprintRow, MOST_SETS, Set, Sets};
use crate::flow::{Borne, Row4, Row6, Seen};
use crate::ports;
use crate::table::Slot;
use crate::tally::Timing;
use crate::victims::{VictimKey, VictimRow};

/// A packet between the stages.
#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    source: Source,
    /// Of its flow key.
    hash: u64,
    seen: Seen,
    cell: CellId,
    /// Where its row probably is.
    guess: u32,
    /// Its counter among those of the ports.
    place: u32,
    lane: u16,
    /// What its row is to know of its fingerprints: the number of their set.
    set: u8,
    /// Its fingerprints are to be counted apart from its row.
    apart: bool,
    marks: Option<Marks>,
}

impl Waiting {
    /// No packet.
    pub const NOTHING: Self = Self {
        source: Source::V4(0),
        hash: 0,
        seen: Seen::NOTHING,
        cell: CellId::new(0, Class::Scan, None),
        guess: 0,
        place: 0,
        lane: 0,
        set: 0,
        apart: false,
        marks: None,
    };
}

impl Epoch {
    /// Counts one dark packet, seen `offset_us` microseconds after the interval's start.
    pub fn count(&mut self, packet: &Packet, offset_us: u32, timing: Timing, lane: usize) {
        let mut waiting = Waiting::NOTHING;
        self.announce(&mut waiting, packet, offset_us, timing, lane);
        self.judge(&mut waiting, packet.marks);
        self.fetch_rows(std::slice::from_mut(&mut waiting));
        self.count_waiting(&waiting);
    }

    /// First stage, but for the fingerprints.
    #[inline(always)]
    pub(crate) fn announce(
        &mut self,
        waiting: &mut Waiting,
        packet: &Packet,
        offset_us: u32,
        timing: Timing,
        lane: usize,
    ) {
        let &Packet { source, cell, .. } = packet;
        self.ports.note_slot(packet);
        let hash = match source {
            Source::V4(address) => self.flows4.hash(Row4::key_of(address, cell)),
            Source::V6(address) => self.flows6.hash((address, cell.to_bits())),
        };
        waiting.source = source;
        waiting.hash = hash;
        waiting.seen = Seen::new(packet, offset_us);
        waiting.cell = cell;
        waiting.place = ports::place(cell) as u32;
        self.ports.fetch(waiting.place);
        waiting.lane = lane as u16;
        let tally = &mut self.tallies[lane];
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
            self.quote(source, quoted, lane);
        }
    }

    /// First stage: the fingerprints, which several packets may have been judged by at once.
    #[inline]
    pub(crate) fn judge(&mut self, waiting: &mut Waiting, marks: Option<Marks>) {
        let bits = marks.map_or(0, |marks| marks.bits);
        let number = self.sets.number(&self.rules, bits);
        // A set without a number counts apart; in the row the packet is as one that matches none.
        waiting.set = number.unwrap_or(0);
        waiting.marks = marks;
        let set = self.sets.set(waiting.set);
        waiting.apart = number.is_none() || set.further() != 0;
        waiting.seen.expressions = marks.map(|marks| marks.with_slots(set.value(&marks)));
        self.by_set[usize::from(waiting.lane)][usize::from(waiting.set) % MOST_SETS] += 1;
    }

    /// Asks for what the next stages of these packets need first.
    ///
    /// A request that has to walk the page tables holds up what comes behind it, but not another
    /// such request: they stand close together.
    #[inline]
    pub(crate) fn fetch_tags(&self, packets: &[Waiting]) {
        for waiting in packets {
            match waiting.source {
                Source::V4(_) => self.flows4.fetch_tags(waiting.hash),
                Source::V6(_) => self.flows6.fetch_tags(waiting.hash),
            }
        }
    }

    /// Second stage: the rows, now that the tags are there that say where they are.
    #[inline]
    pub(crate) fn fetch_rows(&self, packets: &mut [Waiting]) {
        for waiting in &mut *packets {
            waiting.guess = match waiting.source {
                Source::V4(_) => self.flows4.guess(waiting.hash),
                Source::V6(_) => self.flows6.guess(waiting.hash),
            };
        }
        for waiting in packets {
            let (guess, class) = (waiting.guess, waiting.cell.class());
            match waiting.source {
                Source::V4(_) if !self.flows4.is_closed_at(guess, class) => {
                    self.flows4.fetch_row(guess);
                }
                Source::V6(_) if !self.flows6.is_closed_at(guess, class) => {
                    self.flows6.fetch_row(guess);
                }
                // It most probably gets no row.
                source => self.admission.fetch(source),
            }
        }
    }

    /// Last stage.
    #[inline]
    pub(crate) fn count_waiting(&mut self, waiting: &Waiting) {
        let &Waiting {
            hash, guess, set, ..
        } = waiting;
        let class = waiting.cell.class();
        self.ports.add_at(waiting.place, waiting.seen.bytes);
        let kept = match waiting.source {
            Source::V4(address) => {
                let key = Row4::key_of(address, waiting.cell);
                let row = match self.flows4.slot_at(hash, guess, key, class) {
                    Slot::Found(row) => Some((row, false)),
                    Slot::Vacant(row) => Some((row, true)),
                    Slot::Closed(at) => {
                        let standing = self.admission.standing(waiting.source);
                        (self.flows4.admit(at, hash, class, standing)).map(|row| (row, true))
                    }
                    Slot::Full => None,
                };
                row.map(|(row, is_new)| {
                    if is_new {
                        *row = Row4::start(key, set);
                    }
                    row.add(&waiting.seen, set)
                })
            }
            Source::V6(address) => {
                let key = (address, waiting.cell.to_bits());
                let row = match self.flows6.slot_at(hash, guess, key, class) {
                    Slot::Found(row) => Some((row, false)),
                    Slot::Vacant(row) => Some((row, true)),
                    Slot::Closed(at) => {
                        let standing = self.admission.standing(waiting.source);
                        (self.flows6.admit(at, hash, class, standing)).map(|row| (row, true))
                    }
                    Slot::Full => None,
                };
                row.map(|(row, is_new)| {
                    if is_new {
                        *row = Row6::start(key);
                    }
                    row.add(&waiting.seen)
                })
            }
        };
        let mut alone = false;
        match kept {
            Some(added) => {
                self.crowded |= added.crowded;
                if let Some(before) = added.apart {
                    alone = true;
                    self.move_apart(waiting, before);
                }
            }
            None => {
                alone = true;
                self.tallies[usize::from(waiting.lane)].overflow += 1;
                self.sketches.add(waiting.source, waiting.cell);
            }
        }
        if alone || waiting.apart {
            self.mark_apart(waiting, alone);
        }
    }

    /// Counts in the fingerprint table what a packet's flow row does not hold of its fingerprints;
    /// `alone` says that the row holds none of them.
    #[cold]
    fn mark_apart(&mut self, waiting: &Waiting, alone: bool) {
        let Some(marks) = waiting.marks.filter(|marks| marks.bits != 0) else {
            return;
        };
        let mut alone = alone;
        let mut set = *self.sets.set(waiting.set);
        if set.rules != marks.bits {
            // The set has no number.
            for rule in marks.places() {
                self.tallies[usize::from(waiting.lane)].fingerprints[rule] += 1;
            }
            set = Sets::unnumbered(&self.rules, marks.bits);
            alone = true;
        }
        if alone {
            let value = set.value(&marks);
            self.hit(waiting, set.in_row, 1, (value, value));
        }
        for rule in Marks::places_of(set.further()).map(|place| 1 << place) {
            let value = Sets::unnumbered(&self.rules, rule).value(&marks);
            self.hit(waiting, rule, 1, (value, value));
        }
    }

    /// Moves to the fingerprint table what a row has counted before its packets got mixed.
    #[cold]
    fn move_apart(&mut self, waiting: &Waiting, before: Option<Borne>) {
        if let Some(borne) = before {
            let Set { in_row, .. } = *self.sets.set(borne.set);
            self.hit(waiting, in_row, borne.packets.into(), borne.span);
        }
    }

    /// Adds hits of a set of rules on packets of this one's source and port.
    fn hit(&mut self, waiting: &Waiting, rules: u32, hits: u64, span: (u16, u16)) {
        let (Source::V4(source), Some(port)) = (waiting.source, waiting.cell.port()) else {
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
                let tally = &mut self.tallies[usize::from(waiting.lane)];
                tally.fingerprint_overflow += hits * u64::from(rules.count_ones());
            }
        }
    }

    /// Counts what an ICMP error quotes.
    #[inline(never)]
    fn quote(&mut self, sender: Source, quoted: Quoted, lane: usize) {
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
        let key = VictimKey { victim, sender };
        match self.victims.slot(key) {
            Slot::Found(row) => row.add(),
            Slot::Vacant(row) => *row = VictimRow::first(key),
            Slot::Closed(_) | Slot::Full => tally.overflow += 1,
        }
    }
}
