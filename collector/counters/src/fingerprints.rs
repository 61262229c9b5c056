//! Fingerprint hits per source, port and set of rules, in a table of fixed capacity.
//!
//! Mostly all packets of a flow come from one tool and match the same rules. Then the flow row
//! counts the hits: they are its packets, and it holds the number of the set of rules
//! (`MatchSets`). Hits spill to this table, to one row for each set, if packets of one flow match
//! different rules, or if a packet has no flow row. The values that must be constant over a source's
//! matching packets are kept as MIN and MAX beside the hits.

use noctule_packet::rules::{RuleMatches, Rules};
use zerocopy::FromZeros;

use crate::table::Row;

/// Key of a hit count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FingerprintKey {
    /// Source of the probes: an IPv4 address in host order.
    pub source: u32,
    /// TCP destination port.
    pub port: u16,
    /// The rules that matched, a bit each; at most one of them has an expression.
    pub rules: u32,
}

/// One row: 24 octets.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
pub struct FingerprintRow {
    hits: u64,
    source: u32,
    rules: u32,
    least: u16,
    greatest: u16,
    port: u16,
}

const _: () = assert!(size_of::<FingerprintRow>() == 24);

impl Row for FingerprintRow {
    type Key = FingerprintKey;
    #[inline]
    fn key(&self) -> FingerprintKey {
        FingerprintKey {
            source: self.source,
            port: self.port,
            rules: self.rules,
        }
    }
}

impl FingerprintRow {
    #[inline]
    pub(crate) fn first(key: FingerprintKey, hits: u64, span: (u16, u16)) -> Self {
        Self {
            hits,
            source: key.source,
            rules: key.rules,
            least: span.0,
            greatest: span.1,
            port: key.port,
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, hits: u64, span: (u16, u16)) {
        self.hits += hits;
        self.least = self.least.min(span.0);
        self.greatest = self.greatest.max(span.1);
    }

    /// The row's hits, rule by rule.
    pub(crate) fn hits<'a>(&self, rules: &'a Rules) -> impl Iterator<Item = Hits> + use<'a> {
        by_rule(rules, self.key(), self.hits, (self.least, self.greatest))
    }
}

/// Hits of a set of rules, rule by rule.
pub(crate) fn by_rule(
    rules: &Rules,
    key: FingerprintKey,
    hits: u64,
    span: (u16, u16),
) -> impl Iterator<Item = Hits> + use<> {
    let with_span = rules.first_with_expression(key.rules);
    RuleMatches::places_of(key.rules).map(move |place| Hits {
        source: key.source,
        port: key.port,
        rule: place,
        hits,
        span: (with_span == Some(place)).then_some(span),
    })
}

/// A set of rules that packets of an epoch have matched.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MatchSet {
    /// All of them, a bit each.
    pub rules: u32,
    /// Those whose hits one row counts. A row has room for one expression, so every further rule
    /// with an expression needs a row of its own.
    pub in_row: u32,
    /// Index of that expression's value in [`RuleMatches::constants`].
    place: u8,
    /// All ones if there is such an expression, else 0.
    has_expression: u16,
}

impl MatchSet {
    fn new(all: &Rules, rules: u32) -> Self {
        let with_expression = all.with_expression(rules);
        let further = with_expression & with_expression.wrapping_sub(1);
        let place = all.value_place(rules);
        Self {
            rules,
            in_row: rules & !further,
            place: place.unwrap_or(0) as u8,
            has_expression: if place.is_some() { u16::MAX } else { 0 },
        }
    }

    /// The value of the row's expression; 0 without an expression.
    #[inline]
    pub fn value(&self, matches: &RuleMatches) -> u16 {
        matches.constants.get(self.place.into()) & self.has_expression
    }

    /// The rules that need rows of their own.
    pub const fn further(&self) -> u32 {
        self.rules & !self.in_row
    }
}

/// Sets of rules that packets of an epoch have matched, by number; number 0 is the empty set.
#[derive(Clone, Debug)]
pub(crate) struct MatchSets {
    known: [MatchSet; MOST_SETS],
}

/// Most sets with a number. Scanning tools are few, and so are the sets of rules that they match.
pub(crate) const MOST_SETS: usize = 64;

impl Default for MatchSets {
    fn default() -> Self {
        Self {
            known: [MatchSet::default(); MOST_SETS],
        }
    }
}

impl MatchSets {
    /// The number of a set; none if all numbers are taken.
    #[inline]
    pub fn number(&mut self, all: &Rules, rules: u32) -> Option<u8> {
        // The empty set has no branch of its own, since the branch predictor could not predict it.
        let start = Self::start(rules);
        if self.known[start].rules == rules {
            return Some(start as u8);
        }
        self.find(all, rules, start)
    }

    /// Where the search for a set starts: 0 for the empty set, and rarely for others.
    #[inline]
    const fn start(rules: u32) -> usize {
        (rules.wrapping_mul(0x9e37_79b1) >> 26) as usize
    }

    #[cold]
    fn find(&mut self, all: &Rules, rules: u32, start: usize) -> Option<u8> {
        for step in 0..MOST_SETS - 1 {
            // Skips number 0, the empty set.
            let place = (start.max(1) - 1 + step) % (MOST_SETS - 1) + 1;
            let known = &mut self.known[place];
            if known.rules == 0 {
                *known = MatchSet::new(all, rules);
            }
            if known.rules == rules {
                return Some(place as u8);
            }
        }
        None
    }

    /// The set with this number.
    #[inline]
    pub fn set(&self, number: u8) -> &MatchSet {
        &self.known[usize::from(number) % MOST_SETS]
    }

    /// A set without a number.
    #[cold]
    pub fn unnumbered(all: &Rules, rules: u32) -> MatchSet {
        MatchSet::new(all, rules)
    }
}

/// Hits of one rule on one source's packets to one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hits {
    /// Source of the probes: an IPv4 address in host order.
    pub source: u32,
    /// TCP destination port.
    pub port: u16,
    /// Index of the rule among the fingerprints.
    pub rule: usize,
    /// Packets that matched.
    pub hits: u64,
    /// Least and greatest value of the rule's expression, folded to 16 bits, if it has one.
    pub span: Option<(u16, u16)>,
}

impl Hits {
    /// Sort key: source, port and rule, packed into one number. There are at most 32 rules.
    pub(crate) const fn order(&self) -> u64 {
        (self.source as u64) << 32 | (self.port as u64) << 16 | self.rule as u64
    }

    /// True if both have the same source, port and rule.
    pub(crate) const fn same_row(&self, other: &Self) -> bool {
        self.order() == other.order()
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.hits += other.hits;
        self.span = crate::flow::span(self.span, other.span);
    }
}
