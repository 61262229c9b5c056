//! Which sources a fingerprint is confirmed for: day by day, over all ports and intervals.
//!
//! A source is confirmed by 3 or more matching packets in a day (UTC), and a constant expression
//! where the rule has one. Memory is bounded: what cannot be kept has no count, never a wrong one.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use noctule_packet::Rules;
use noctule_packet::decode::Source;
use noctule_packet::rules::{Fingerprint, SLOTS};

use crate::fingerprints::Hits;
use crate::flow::{Flow, span};
use crate::sums::Sums;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// A fingerprint, whatever set of rules it stands in: name and version.
type RuleName = (String, u16);

/// What is known of one source and rule on the open day.
#[derive(Clone, Copy, Debug)]
struct Seen {
    packets: u64,
    span: Option<(u16, u16)>,
}

/// What is known of one source's probes on the open day.
#[derive(Clone, Copy, Debug)]
struct Probes {
    packets: u64,
    slots: [(u16, u16); SLOTS],
}

impl Seen {
    fn merge(&mut self, more: Self) {
        self.packets += more.packets;
        self.span = span(self.span, more.span);
    }
}

impl Probes {
    fn merge(&mut self, more: Self) {
        self.packets += more.packets;
        for (mine, more) in self.slots.iter_mut().zip(more.slots) {
            *mine = (mine.0.min(more.0), mine.1.max(more.1));
        }
    }
}

/// Confirmed sources of a run.
#[derive(Debug)]
pub struct Confirmations {
    day: Option<i64>,
    rules: Option<Arc<Rules>>,
    names: Vec<RuleName>,
    hits: Kept<(u32, u16), Seen>,
    probes: Kept<u32, Probes>,
    /// The probes of the source that came last: flows come source by source, and the map is a
    /// miss in every cache.
    last: Option<(u32, Probes)>,
    confirmed: BTreeMap<String, Confirmed>,
}

/// What was confirmed for one rule.
#[derive(Debug, Default)]
struct Confirmed {
    sources: HashSet<u32>,
    packets: u64,
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

/// A run's result for one fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Distinct sources confirmed on any day; none when not everything could be kept.
    pub sources: Option<u64>,
    /// Matching packets of these sources on these days (without `when`: their probes).
    pub packets: Option<u64>,
}

impl Confirmations {
    /// Keeps up to `budget` sources' probes and half as many pairs of source and rule a day.
    pub fn new(budget: usize) -> Self {
        Self {
            day: None,
            rules: None,
            names: Vec::new(),
            hits: Kept::new(budget / 2),
            probes: Kept::new(budget),
            last: None,
            confirmed: BTreeMap::new(),
        }
    }

    /// Most octets that it holds, sets of confirmed sources left out.
    pub const fn most_bytes(budget: usize) -> usize {
        // Body and tail, and a vector that doubles.
        let (probes, seen) = (size_of::<(u32, Probes)>(), size_of::<((u32, u16), Seen)>());
        4 * (budget * probes + budget / 2 * seen)
    }

    /// An interval begins: its start in seconds since 1970, and its rules. Intervals come in order.
    pub fn interval(&mut self, start: i64, rules: &Arc<Rules>) {
        let day = start.div_euclid(DAY);
        let changed = (self.rules.as_ref()).is_some_and(|old| old.version() != rules.version());
        if self.day.is_some_and(|open| open != day) {
            self.settle_hits();
            self.settle_probes();
        } else if changed {
            // Places in flow rows may mean other expressions from here on.
            self.settle_probes();
        }
        self.day = Some(day);
        if changed || self.rules.is_none() {
            self.rules = Some(Arc::clone(rules));
        }
    }

    /// Adds the hits of one rule on one source's packets to one port, in the open interval.
    pub fn hits(&mut self, hits: &Hits) {
        let Some(rule) = self
            .rules
            .as_ref()
            .and_then(|rules| rules.fingerprints().get(hits.rule))
        else {
            return;
        };
        let number = number_of(&mut self.names, rule);
        let seen = Seen {
            packets: hits.hits,
            span: hits.span,
        };
        self.hits.add((hits.source, number), seen, Seen::merge);
    }

    /// Adds a flow row of the open interval.
    pub fn flow(&mut self, flow: &Flow) {
        let (Some(slots), Source::V4(source)) = (flow.slots, flow.source) else {
            return;
        };
        let carried = |rules: &Arc<Rules>| rules.carried_in_flows().next().is_some();
        if !self.rules.as_ref().is_some_and(carried) {
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

    fn settle_hits(&mut self) {
        let (mut all, full) = self.hits.settle(Seen::merge);
        let Some(rules) = &self.rules else {
            return;
        };
        if full {
            for rule in rules
                .fingerprints()
                .iter()
                .filter(|rule| rule.when.is_some())
            {
                self.confirmed
                    .entry(rule.name.clone())
                    .or_default()
                    .incomplete = true;
            }
        }
        for &((source, number), seen) in all.merge(Seen::merge) {
            let (name, _) = &self.names[usize::from(number)];
            if confirms(seen.packets, seen.span) {
                add(&mut self.confirmed, name, source, seen.packets);
            }
        }
    }

    fn settle_probes(&mut self) {
        self.keep_last();
        let (mut all, full) = self.probes.settle(Probes::merge);
        let all = all.merge(Probes::merge);
        let Some(rules) = &self.rules else {
            return;
        };
        for (slot, rule) in rules.carried_in_flows() {
            if full {
                self.confirmed
                    .entry(rule.name.clone())
                    .or_default()
                    .incomplete = true;
            }
            for (source, probes) in all {
                if confirms(probes.packets, Some(probes.slots[slot])) {
                    add(&mut self.confirmed, &rule.name, *source, probes.packets);
                }
            }
        }
    }

    /// The result for every fingerprint that was confirmed for a source, or might have been.
    pub fn finish(&mut self) -> BTreeMap<String, Outcome> {
        self.settle_hits();
        self.settle_probes();
        (self.confirmed.iter())
            .map(|(name, all)| {
                let outcome = Outcome {
                    sources: (!all.incomplete).then_some(all.sources.len() as u64),
                    packets: (!all.incomplete).then_some(all.packets),
                };
                (name.clone(), outcome)
            })
            .collect()
    }
}

fn confirms<T: Eq>(packets: u64, span: Option<(T, T)>) -> bool {
    packets >= noctule_packet::rules::CONFIRMING_PACKETS
        && span.is_none_or(|(least, greatest)| least == greatest)
}

fn add(confirmed: &mut BTreeMap<String, Confirmed>, name: &str, source: u32, packets: u64) {
    if !confirmed.contains_key(name) {
        confirmed.insert(name.to_owned(), Confirmed::default());
    }
    if let Some(all) = confirmed.get_mut(name) {
        all.sources.insert(source);
        all.packets += packets;
    }
}

fn number_of(names: &mut Vec<RuleName>, rule: &Fingerprint) -> u16 {
    let known = |name: &RuleName| name.0 == rule.name && name.1 == rule.version;
    let place = names.iter().position(known).unwrap_or_else(|| {
        names.push((rule.name.clone(), rule.version));
        names.len() - 1
    });
    u16::try_from(place).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use noctule_packet::rules::Carried;

    const NOON: i64 = 43_200;

    fn hit(name: &str, source: u32, port: u16, hits: u64, value: Option<u16>) -> Hits {
        let rules = Rules::shipped();
        let (rule, _) = rules.find(name).unwrap();
        Hits {
            source,
            port,
            rule,
            hits,
            span: value.map(|value| (value, value)),
        }
    }

    fn sources(all: &BTreeMap<String, Outcome>, name: &str) -> Option<u64> {
        all.get(name).map_or(Some(0), |outcome| outcome.sources)
    }

    #[test]
    fn three_matches_in_a_day_confirm_over_ports_and_intervals() {
        let rules = Rules::shipped();
        let mut all = Confirmations::new(100);
        all.interval(NOON, &rules);
        all.hits(&hit("zmap", 1, 80, 2, None));
        all.hits(&hit("zmap", 2, 80, 2, None));
        all.interval(NOON + 60, &rules);
        all.hits(&hit("zmap", 1, 443, 1, None));
        all.interval(NOON + DAY, &rules);
        all.hits(&hit("zmap", 2, 80, 1, None));
        all.hits(&hit("zmap", 1, 80, 9, None));
        let found = all.finish();
        let expected = Outcome {
            sources: Some(1),
            packets: Some(12),
        };
        assert_eq!(
            found["zmap"], expected,
            "source 2 has 2 on one day and 1 on the next"
        );
    }

    #[test]
    fn an_expression_must_stay_the_same() {
        let rules = Rules::shipped();
        let mut all = Confirmations::new(100);
        all.interval(NOON, &rules);
        for port in 0..5 {
            all.hits(&hit("nmap-syn", 1, port, 1, Some(7)));
            all.hits(&hit("nmap-syn", 2, port, 1, Some(port)));
        }
        assert_eq!(sources(&all.finish(), "nmap-syn"), Some(1));
    }

    #[test]
    fn beyond_the_budget_there_is_no_count_for_that_run() {
        let rules = Rules::shipped();
        let mut all = Confirmations::new(8);
        all.interval(NOON, &rules);
        for source in 0..9 {
            all.hits(&hit("zmap", source, 80, 3, None));
        }
        all.interval(NOON + DAY, &rules);
        all.hits(&hit("zmap", 1, 80, 3, None));
        assert_eq!(sources(&all.finish(), "zmap"), None);
    }

    #[test]
    fn probes_with_a_constant_expression_confirm_rules_without_when() {
        use noctule_packet::{CellId, Class};
        let rules = Rules::shipped();
        let (_, unicornscan) = rules.find("unicornscan").unwrap();
        let Carried::InFlows(slot) = unicornscan.carried else {
            panic!("it has no `when`")
        };
        let flow = |source: u32, port: u16, value: u16| {
            let mut slots = [(1, 2); SLOTS];
            slots[slot] = (value, value);
            Flow {
                source: Source::V4(source),
                cell: CellId::new(6, Class::Scan, Some(port)),
                packets: 2,
                bytes: 80,
                first_us: 0,
                last_us: 0,
                ttl: (1, 1),
                tcp_flags: 2,
                ip_id: None,
                slots: Some(slots),
                last_source_port: None,
                destinations: 1,
            }
        };
        let mut all = Confirmations::new(100);
        all.interval(NOON, &rules);
        for port in [1, 2] {
            all.flow(&flow(1, port, 9));
            all.flow(&flow(2, port, port));
        }
        let found = all.finish();
        let expected = Outcome {
            sources: Some(1),
            packets: Some(4),
        };
        assert_eq!(found["unicornscan"], expected);
        assert!(!found.contains_key("unicornscan-swapped"));
    }
}
