//! Sources that fingerprints are confirmed for in a run: day by day, over all ports and intervals.
//!
//! The rule is [`noctule_packet::rules::confirm`]'s. Memory is bounded: a day of which not everything
//! can be kept has no count, never a wrong one.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::iter::Peekable;
use std::sync::Arc;

use noctule_packet::Rules;
use noctule_packet::decode::Source;
use noctule_packet::rules::confirm::{DayMatches, Superseding, Verdict};
use noctule_packet::rules::{Carried, Fingerprint, SLOTS};

use crate::fingerprints::Hits;
use crate::flow::Flow;
use crate::sums::Sums;

/// A fingerprint, whatever set of rules it is in: name and version.
type RuleName = (String, u16);

/// What is known of one source's probes on the open day, under one set of rules.
#[derive(Clone, Copy, Debug)]
struct Probes {
    packets: u64,
    slots: [(u16, u16); SLOTS],
}

impl Probes {
    fn merge(&mut self, more: Self) {
        self.packets += more.packets;
        for (mine, more) in self.slots.iter_mut().zip(more.slots) {
            *mine = (mine.0.min(more.0), mine.1.max(more.1));
        }
    }

    /// What they are for the fingerprint whose expression is carried in this slot.
    const fn in_slot(&self, slot: usize) -> DayMatches {
        DayMatches {
            packets: self.packets,
            span: Some(self.slots[slot]),
        }
    }
}

/// Confirmed sources of a run.
#[derive(Debug)]
pub struct Confirmations {
    day: Option<i32>,
    rules: Option<Arc<Rules>>,
    superseding: Superseding,
    names: Vec<RuleName>,
    /// Of each fingerprint of `names`.
    found: Vec<Found>,
    /// The fingerprints in force, by their numbers in `names`.
    numbers: Vec<u16>,
    /// Fingerprints with `when` that were in force on the open day.
    matching: BTreeSet<u16>,
    /// Those without `when`.
    carried: BTreeSet<u16>,
    /// Matches by source and number: of fingerprints with `when`, and of others that the day's earlier
    /// rules had.
    hits: Kept<(u32, u16), DayMatches>,
    /// Probes of the open day under the rules in force, whose slots have these numbers.
    probes: Kept<u32, Probes>,
    slots: Vec<(usize, u16)>,
    /// Slots had other numbers earlier on the open day, of which the probes are in `hits`.
    moved: bool,
    /// Some of these could not be kept.
    moved_lost: bool,
    /// The probes of the source that came last: flows come source by source, and the map is a
    /// miss in every cache.
    last: Option<(u32, Probes)>,
}

/// What was found for one fingerprint.
#[derive(Debug, Default)]
struct Found {
    sources: HashSet<u32>,
    packets: u64,
    superseded_packets: u64,
    /// On some day not everything could be kept.
    incomplete: bool,
}

/// Values by key that are given up beyond a budget, until the day ends.
#[derive(Debug)]
struct Kept<K, V> {
    sums: Sums<K, V>,
    budget: usize,
    full: bool,
}

impl<K: Ord + Copy, V: Copy> Kept<K, V> {
    fn new(budget: usize) -> Self {
        Self {
            sums: Sums::default(),
            budget,
            full: false,
        }
    }

    fn add(&mut self, key: K, value: V, merge: fn(&mut V, V)) {
        if !self.full && self.sums.push(key, value, merge) && self.sums.merged() > self.budget {
            self.give_up();
        }
    }

    /// True if nothing was kept of the day, and nothing given up.
    fn is_empty(&self) -> bool {
        self.sums.is_empty() && !self.full
    }

    fn give_up(&mut self) {
        (self.sums, self.full) = (Sums::default(), true);
    }

    /// Everything of the day, and whether it was too much; then the next day begins.
    fn settle(&mut self, merge: fn(&mut V, V)) -> (Sums<K, V>, bool) {
        if self.sums.merge(merge).len() > self.budget {
            self.give_up();
        }
        (
            std::mem::take(&mut self.sums),
            std::mem::take(&mut self.full),
        )
    }
}

/// A run's result for one rule, over all its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Distinct sources confirmed on any day; none when not everything could be kept.
    pub sources: Option<u64>,
    /// Matching packets of these sources on these days (without `when`: their probes).
    pub packets: Option<u64>,
    /// Matching packets that are no packets of the rule, since their source was confirmed on that day
    /// for one that supersedes it.
    pub superseded_packets: Option<u64>,
}

impl Confirmations {
    /// Keeps up to `budget` sources' probes and half as many pairs of source and rule a day.
    pub fn new(budget: usize) -> Self {
        Self {
            day: None,
            rules: None,
            superseding: Superseding::default(),
            names: Vec::new(),
            found: Vec::new(),
            numbers: Vec::new(),
            matching: BTreeSet::new(),
            carried: BTreeSet::new(),
            hits: Kept::new(budget / 2),
            probes: Kept::new(budget),
            slots: Vec::new(),
            moved: false,
            moved_lost: false,
            last: None,
        }
    }

    /// Most octets that it holds, sets of confirmed sources left out.
    pub const fn most_bytes(budget: usize) -> usize {
        // Body and tail, and a vector that doubles.
        let probes = size_of::<(u32, Probes)>();
        let hits = size_of::<((u32, u16), DayMatches)>();
        4 * (budget * probes + budget / 2 * hits)
    }

    /// An interval begins: the day that it begins on, and its rules. Intervals come in order.
    pub fn interval(&mut self, day: i32, rules: &Arc<Rules>) {
        let changed = (self.rules.as_ref()).is_none_or(|old| old.version() != rules.version());
        if self.day.is_some_and(|open| open != day) {
            self.settle();
        } else if !changed {
            return;
        }
        self.day = Some(day);
        if changed {
            self.superseding.add(rules);
            self.rules = Some(Arc::clone(rules));
            self.number(rules);
        }
        for (rule, number) in rules.fingerprints().iter().zip(&self.numbers) {
            let kind = match rule.when {
                Some(_) => &mut self.matching,
                None => &mut self.carried,
            };
            kind.insert(*number);
        }
    }

    /// Numbers the fingerprints of rules that are in force from here on.
    fn number(&mut self, rules: &Rules) {
        let names = &mut self.names;
        let of_rule = |rule: &Fingerprint| {
            let is_known = |name: &RuleName| name.0 == rule.name && name.1 == rule.version;
            let place = names.iter().position(is_known).unwrap_or_else(|| {
                names.push((rule.name.clone(), rule.version));
                names.len() - 1
            });
            u16::try_from(place).unwrap_or(u16::MAX)
        };
        self.numbers = rules.fingerprints().iter().map(of_rule).collect();
        self.found.resize_with(self.names.len(), Found::default);
        let of_slot = |(rule, &number): (&Fingerprint, &u16)| match rule.carried {
            Carried::InFlows(slot) => Some((slot, number)),
            _ => None,
        };
        let numbered = rules.fingerprints().iter().zip(&self.numbers);
        let slots: Vec<_> = numbered.filter_map(of_slot).collect();
        if slots != self.slots {
            // Slots of flow rows mean other expressions from here on.
            self.moved |= !self.probes.is_empty() || self.last.is_some();
            self.move_probes();
            self.slots = slots;
        }
    }

    /// Adds the hits of one rule on one source's packets to one port, in the open interval.
    pub fn hits(&mut self, hits: &Hits) {
        let Some(&number) = self.numbers.get(hits.rule) else {
            return;
        };
        let found = DayMatches {
            packets: hits.hits,
            span: hits.span,
        };
        self.hits
            .add((hits.source, number), found, DayMatches::merge);
    }

    /// Adds a flow row of the open interval.
    pub fn flow(&mut self, flow: &Flow) {
        let (Some(slots), Source::V4(source)) = (flow.slots, flow.source) else {
            return;
        };
        if self.slots.is_empty() {
            return;
        }
        let probes = Probes {
            packets: flow.packets,
            slots,
        };
        match &mut self.last {
            Some((last, mine)) if *last == source => mine.merge(probes),
            _ => {
                self.keep_last();
                self.last = Some((source, probes));
            }
        }
    }

    fn keep_last(&mut self) {
        if let Some((source, probes)) = self.last.take() {
            self.probes.add(source, probes, Probes::merge);
        }
    }

    /// Something of the open interval could not be handed over: a table was full. Nothing that
    /// rests on flow rows (`probes`) or on fingerprint rows (`hits`) is exact on this day.
    pub fn incomplete(&mut self, probes: bool, hits: bool) {
        if probes {
            self.last = None;
            self.probes.give_up();
        }
        if hits {
            self.hits.give_up();
        }
    }

    /// Moves the open day's probes to its hits, where each has the number of its fingerprint.
    fn move_probes(&mut self) {
        self.keep_last();
        let (mut all, full) = self.probes.settle(Probes::merge);
        let all = all.merge(Probes::merge);
        let room = (self.hits.budget).saturating_sub(self.hits.sums.merged());
        if full || all.len() * self.slots.len() > room {
            self.moved_lost = true;
            return;
        }
        for (source, probes) in all {
            for &(slot, number) in &self.slots {
                let found = probes.in_slot(slot);
                (self.hits).add((*source, number), found, DayMatches::merge);
            }
        }
    }

    /// Ends the open day.
    fn settle(&mut self) {
        self.keep_last();
        if self.moved {
            // A fingerprint may have probes in both places.
            self.move_probes();
        }
        let (mut probes, probes_full) = self.probes.settle(Probes::merge);
        let (mut hits, hits_full) = self.hits.settle(DayMatches::merge);
        let moved = std::mem::take(&mut self.moved);
        let moved_lost = std::mem::take(&mut self.moved_lost) || moved && hits_full;
        let places = (self.superseding).by_place(&self.names.iter().map(|(name, _)| &**name));
        let lost = [
            (std::mem::take(&mut self.matching), hits_full),
            (std::mem::take(&mut self.carried), probes_full || moved_lost),
        ];
        let lost = lost.into_iter().filter(|&(_, lost)| lost);
        let lost = lost.flat_map(|(numbers, _)| numbers.into_iter().map(usize::from));
        for place in places.with_superseded(lost) {
            self.found[place].incomplete = true;
        }
        let slots = &self.slots;
        // Of a rule without `when` nothing is counted but confirmed sources.
        let in_probes = probes
            .merge(Probes::merge)
            .iter()
            .flat_map(|(source, probes)| {
                let matches = slots
                    .iter()
                    .map(|&(slot, number)| ((*source, number), probes.in_slot(slot)));
                matches.filter(|(_, found)| found.confirm())
            });
        let mut in_probes = in_probes.peekable();
        let mut in_hits = hits.merge(DayMatches::merge).iter().copied().peekable();
        let (mut matches, mut verdicts) = (Vec::new(), Vec::new());
        loop {
            let next = [in_probes.peek(), in_hits.peek()].into_iter().flatten();
            let Some(source) = next.map(|((source, _), _)| *source).min() else {
                break;
            };
            matches.clear();
            take_source(&mut in_probes, source, &mut matches);
            take_source(&mut in_hits, source, &mut matches);
            places.decide(&matches, &mut verdicts);
            for ((place, matches), verdict) in matches.iter().zip(&verdicts) {
                let found = &mut self.found[*place];
                match verdict {
                    Verdict::Confirmed => {
                        found.sources.insert(source);
                        found.packets += matches.packets;
                    }
                    Verdict::Superseded => found.superseded_packets += matches.packets,
                    Verdict::NotConfirmed => {}
                }
            }
        }
    }

    /// The result for every rule that was confirmed for a source, or might have been, or superseded.
    pub fn finish(&mut self) -> BTreeMap<String, Outcome> {
        self.settle();
        let mut by_name: BTreeMap<&str, Found> = BTreeMap::new();
        for ((name, _), found) in self.names.iter().zip(std::mem::take(&mut self.found)) {
            by_name.entry(name).or_default().merge(found);
        }
        let superseded: BTreeSet<&str> = self.superseding.pairs().map(|(_, name)| name).collect();
        (by_name.into_iter())
            .filter(|(_, found)| found.is_something())
            .map(|(name, found)| {
                let exact = !found.incomplete;
                let known = exact || !superseded.contains(name);
                let outcome = Outcome {
                    sources: exact.then_some(found.sources.len() as u64),
                    packets: exact.then_some(found.packets),
                    superseded_packets: known.then_some(found.superseded_packets),
                };
                (name.to_owned(), outcome)
            })
            .collect()
    }
}

impl Found {
    /// Adds what was found for another version of the rule.
    fn merge(&mut self, more: Self) {
        if self.sources.is_empty() {
            self.sources = more.sources;
        } else {
            self.sources.extend(more.sources);
        }
        self.packets += more.packets;
        self.superseded_packets += more.superseded_packets;
        self.incomplete |= more.incomplete;
    }

    fn is_something(&self) -> bool {
        self.incomplete || self.superseded_packets > 0 || !self.sources.is_empty()
    }
}

/// Takes one source's matches from what comes in order of sources.
fn take_source(
    from: &mut Peekable<impl Iterator<Item = ((u32, u16), DayMatches)>>,
    source: u32,
    matches: &mut Vec<(usize, DayMatches)>,
) {
    while let Some(((_, number), found)) = from.next_if(|((next, _), _)| *next == source) {
        matches.push((number.into(), found));
    }
}
