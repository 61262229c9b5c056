//! Fingerprint hits per source, port and set of rules, in a table of fixed capacity.
//!
//! Most packets of a darknet bear no fingerprint, so hits do not take room in every flow row. A
//! packet that matches several rules counts in one row for the set of them; what must be constant
//! over a source's matching packets is carried beside the hits as MIN and MAX.

use noctule_packet::rules::{Marks, Rules};

use crate::table::Row;

/// Key of a hit count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FingerprintKey {
    /// Who sent the probes: an IPv4 address in host order.
    pub source: u32,
    /// TCP destination port.
    pub port: u16,
    /// The rules that matched, a bit each; at most one of them has an expression.
    pub rules: u32,
}

/// One row: 32 octets.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FingerprintRow {
    hits: u64,
    source: u32,
    rules: u32,
    least: u32,
    greatest: u32,
    port: u16,
}

const _: () = assert!(size_of::<FingerprintRow>() == 32);

impl Row for FingerprintRow {
    type Key = FingerprintKey;
    const VACANT: Self = Self {
        hits: 0,
        source: 0,
        rules: 0,
        least: 0,
        greatest: 0,
        port: 0,
    };

    #[inline]
    fn key(&self) -> FingerprintKey {
        FingerprintKey {
            source: self.source,
            port: self.port,
            rules: self.rules,
        }
    }

    #[inline]
    fn is_vacant(&self) -> bool {
        self.hits == 0
    }
}

impl FingerprintRow {
    #[inline]
    pub(crate) fn first(key: FingerprintKey, value: u32) -> Self {
        Self {
            hits: 1,
            source: key.source,
            rules: key.rules,
            least: value,
            greatest: value,
            port: key.port,
        }
    }

    #[inline]
    pub(crate) fn hit(&mut self, value: u32) {
        self.hits += 1;
        self.least = self.least.min(value);
        self.greatest = self.greatest.max(value);
    }

    /// The row's hits, rule by rule.
    pub(crate) fn hits<'a>(&self, rules: &'a Rules) -> impl Iterator<Item = Hits> + use<'a> {
        let row = *self;
        let bearer = rules.first_with_expression(row.rules);
        Marks::places_of(row.rules).map(move |place| Hits {
            source: row.source,
            port: row.port,
            rule: place,
            hits: row.hits,
            span: (bearer == Some(place)).then_some((row.least, row.greatest)),
        })
    }
}

/// The rows that a probe's marks count in: the set of rules, and one more for every further rule
/// with an expression, since a row has room for one.
#[inline]
pub(crate) fn sets(rules: &Rules, bits: u32) -> impl Iterator<Item = u32> {
    let with_expression = rules.with_expression(bits);
    let further = with_expression & with_expression.wrapping_sub(1);
    let rest = Marks::places_of(further).map(|place| 1 << place);
    std::iter::once(bits & !further).chain(rest)
}

/// Hits of one rule on one source's packets to one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hits {
    /// Who sent the probes: an IPv4 address in host order.
    pub source: u32,
    /// TCP destination port.
    pub port: u16,
    /// The rule's place among the fingerprints.
    pub rule: usize,
    /// Packets that matched.
    pub hits: u64,
    /// Least and greatest value of the rule's expression, if it has one.
    pub span: Option<(u32, u32)>,
}

impl Hits {
    /// Are these of the same source, port and rule?
    pub(crate) fn same_row(&self, other: &Self) -> bool {
        (self.source, self.port, self.rule) == (other.source, other.port, other.rule)
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.hits += other.hits;
        self.span = crate::flow::span(self.span, other.span);
    }
}
