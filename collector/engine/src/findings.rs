//! Fingerprints, confirmed sources, bogons and victims of a run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::tz::TimeZone;
use noctule_counters::confirm::Confirmations;
use noctule_counters::epoch::Tally;
use noctule_counters::fingerprints::Hits;
use noctule_counters::flow::Flow;
use noctule_counters::merge;
use noctule_counters::summary::{Quotes, Summary, Victim};
use noctule_counters::victims::VictimKey;
use noctule_packet::cell::protocol;
use noctule_packet::{Rules, Source};

use crate::time::IntervalStart;

/// Pairs of victim and sender that the summary may keep.
const VICTIM_SENDERS_KEPT: usize = 1 << 18;

/// Findings of a run.
pub struct Findings {
    rules: Option<Arc<Rules>>,
    /// The zone whose days confirm sources.
    zone: TimeZone,
    confirmations: Confirmations,
    /// The newest day so far.
    newest_day: Option<i32>,
    fingerprints: BTreeMap<String, u64>,
    /// Rules whose packets are those of confirmed sources.
    confirmed_only: BTreeSet<String>,
    bogon_packets: u64,
    quotes: Quotes,
    /// None if there were more than [`VICTIM_SENDERS_KEPT`].
    victims: Option<HashMap<VictimKey, u64>>,
}

impl Findings {
    /// No findings yet; at most `budget` sources of a day of the zone are kept for confirmation.
    pub fn new(budget: usize, zone: TimeZone) -> Self {
        Self {
            rules: None,
            zone,
            confirmations: Confirmations::new(budget),
            newest_day: None,
            fingerprints: BTreeMap::new(),
            confirmed_only: BTreeSet::new(),
            bogon_packets: 0,
            quotes: Quotes::default(),
            victims: Some(HashMap::new()),
        }
    }

    /// Largest size in memory, in octets.
    pub const fn most_bytes(budget: usize) -> usize {
        Confirmations::most_bytes(budget)
            + VICTIM_SENDERS_KEPT * 16 / 7 * (size_of::<(VictimKey, u64)>() + 1)
    }

    /// Begins an interval that has packets.
    pub fn interval(&mut self, start: IntervalStart, rules: &Arc<Rules>) {
        let day = self.day(start);
        self.confirmations.interval(day, rules);
        if self.newest_day.is_some_and(|newest| day < newest) {
            // The clock was set back to a day of which a part may have been confirmed already.
            self.confirmations.incomplete(true, true);
        }
        self.newest_day = self.newest_day.max(Some(day));
        let known = self
            .rules
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, rules));
        if !known {
            let only = rules
                .fingerprints()
                .iter()
                .filter(|rule| rule.confirmed_only);
            self.confirmed_only
                .extend(only.map(|rule| rule.name.clone()));
            self.rules = Some(Arc::clone(rules));
        }
    }

    /// The day of the zone that an interval begins on, in days since 1970.
    fn day(&self, start: IntervalStart) -> i32 {
        let seconds = jiff::Timestamp::from_second(start).map_or(start, |moment| {
            start + i64::from(self.zone.to_offset(moment).seconds())
        });
        seconds.div_euclid(86_400) as i32
    }

    /// Adds a flow row of the interval; `bogon`: its source address is a bogon.
    pub fn flow(&mut self, flow: &Flow, bogon: bool) {
        self.confirmations.flow(flow);
        if bogon {
            self.bogon_packets += flow.packets;
        }
    }

    /// Adds fingerprint hits of the interval.
    pub fn hits(&mut self, hits: &[Hits]) {
        hits.iter().for_each(|hits| self.confirmations.hits(hits));
    }

    /// Adds the interval's quoted packets by victim and sender.
    pub fn victims(&mut self, senders: &[(VictimKey, u64)]) {
        let Some(kept) = &mut self.victims else {
            return;
        };
        for (key, packets) in senders {
            *kept.entry(*key).or_default() += packets;
        }
        if kept.len() > VICTIM_SENDERS_KEPT {
            self.victims = None;
        }
    }

    /// Adds a queue's tally of an interval; `rules` are those of the interval.
    pub fn tally(&mut self, tally: &Tally, rules: &Rules) {
        for (rule, packets) in rules.fingerprints().iter().zip(tally.fingerprints) {
            if packets > 0 && !rule.confirmed_only {
                *self.fingerprints.entry(rule.name.clone()).or_default() += packets;
            }
        }
        let quotes = &tally.quotes;
        self.quotes.errors += quotes.errors;
        self.quotes.counted += quotes.counted();
        self.quotes.foreign += quotes.foreign;
        self.quotes.unreadable += quotes.unreadable;
        self.quotes.overflow += quotes.overflow;
        if tally.overflow > 0 || tally.fingerprint_overflow > 0 {
            (self.confirmations).incomplete(tally.overflow > 0, tally.fingerprint_overflow > 0);
        }
    }

    /// Writes the findings into a summary; `sources` are all sources of the run, if they are known.
    pub fn finish(&mut self, summary: &mut Summary, sources: Option<&[Source]>) {
        summary.fingerprints = std::mem::take(&mut self.fingerprints);
        summary.timezone = self.zone.iana_name().unwrap_or("UTC").to_owned();
        for (name, outcome) in self.confirmations.finish() {
            let packets = if self.confirmed_only.contains(&name) {
                outcome.packets
            } else {
                let matching = summary.fingerprints.get(&name).copied().unwrap_or(0);
                (outcome.superseded_packets).map(|packets| matching.saturating_sub(packets))
            };
            match packets.filter(|&packets| packets > 0) {
                Some(packets) => summary.fingerprints.insert(name.clone(), packets),
                None => summary.fingerprints.remove(&name),
            };
            if outcome.sources != Some(0) {
                summary.confirmed_sources.insert(name, outcome.sources);
            }
        }
        if let Some(sources) = sources {
            let is_bogon = |source: &&Source| {
                (self.rules.as_ref()).is_some_and(|rules| rules.is_bogon(**source))
            };
            summary.bogon_sources = Some(sources.iter().filter(is_bogon).count() as u64);
            summary.bogon_packets = Some(self.bogon_packets);
        }
        summary.quotes = self.quotes.clone();
        summary.victims = self.victims.take().map(|kept| {
            let mut senders: Vec<_> = kept.into_iter().collect();
            senders.sort_unstable();
            let exact = self.quotes.overflow == 0;
            (merge::victims(&senders).into_iter())
                .map(|count| Victim {
                    address: count.victim.address.to_string(),
                    protocol: protocol::name(count.victim.protocol).into_owned(),
                    port: count.victim.port,
                    packets: count.packets,
                    senders: exact.then_some(count.senders),
                })
                .collect()
        });
    }
}
