//! Exact distinct counts over a whole run, within a stated budget of memory.

use std::collections::{BTreeMap, HashMap};

use ahash::RandomState;
use noctule_packet::CellId;
use noctule_packet::Source;

use crate::sums::Sums;

/// The set of (source, cell) pairs of a run.
///
/// A pair takes 8 octets; an IPv6 pair takes 32 and counts as 4. A set that exceeds its budget is
/// dropped and gives no counts, because counts must be exact.
#[derive(Debug)]
pub struct DistinctSources {
    keys4: Sums<u64, ()>,
    keys6: Sums<(u128, u32), ()>,
    budget: usize,
    exceeded: bool,
}

/// Distinct sources of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DistinctCounts {
    /// All distinct sources, ascending.
    pub sources: Vec<Source>,
    /// Distinct sources of each cell.
    pub by_cell: BTreeMap<CellId, u64>,
}

/// Size of an IPv6 pair in IPv4 pairs.
const IPV6_WEIGHT: usize = size_of::<(u128, u32)>() / size_of::<u64>();

impl DistinctSources {
    /// An empty set for up to `budget` pairs; while it grows it may hold twice as many.
    pub fn new(budget: usize) -> Self {
        Self {
            keys4: Sums::default(),
            keys6: Sums::default(),
            budget,
            exceeded: false,
        }
    }

    /// Adds a pair.
    pub fn insert(&mut self, source: Source, cell: CellId) {
        if self.exceeded {
            return;
        }
        let cell = cell.to_bits();
        match source {
            Source::V4(address) => {
                let key = u64::from(address) << 32 | u64::from(cell);
                self.keys4.push(key, (), |(), ()| {});
            }
            Source::V6(address) => {
                self.keys6.push((address, cell), (), |(), ()| {});
            }
        }
        if self.keys4.merged() + IPV6_WEIGHT * self.keys6.merged() > self.budget {
            self.give_up();
        }
    }

    /// Drops the set, because a pair could not be added: no exact count can be given any more.
    pub fn give_up(&mut self) {
        *self = Self {
            exceeded: true,
            ..Self::new(self.budget)
        };
    }

    /// The counts; none if the budget was exceeded or [`Self::give_up`] was called.
    pub fn counts(&mut self) -> Option<DistinctCounts> {
        if self.exceeded {
            return None;
        }
        let four = self.keys4.merge(|(), ()| {}).iter();
        let four = four.map(|&(key, ())| (Source::V4((key >> 32) as u32), key as u32));
        let six = self.keys6.merge(|(), ()| {}).iter();
        let six = six.map(|&((source, cell), ())| (Source::V6(source), cell));
        let mut counts = DistinctCounts::default();
        let mut by_cell: HashMap<u32, u64, RandomState> = HashMap::default();
        for (source, cell) in four.chain(six) {
            *by_cell.entry(cell).or_default() += 1;
            if counts.sources.last() != Some(&source) {
                counts.sources.push(source);
            }
        }
        let by_cell = by_cell.into_iter();
        counts.by_cell = by_cell
            .map(|(cell, count)| (CellId::from_bits(cell), count))
            .collect();
        Some(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use noctule_packet::Class;
    use proptest::prelude::*;

    fn cell(port: u16) -> CellId {
        CellId::new(6, Class::Scan, Some(port))
    }

    proptest! {
        #[test]
        fn counts_agree_with_sets(pairs in proptest::collection::vec((any::<bool>(), 0u8..9, 0u16..9), 0..300)) {
            let mut distinct = DistinctSources::new(1000);
            let mut model = BTreeSet::new();
            for &(six, source, port) in &pairs {
                let source = if six { Source::V6(source.into()) } else { Source::V4(source.into()) };
                distinct.insert(source, cell(port));
                model.insert((source, cell(port)));
            }
            let counts = distinct.counts().unwrap();
            let sources: BTreeSet<_> = model.iter().map(|&(source, _)| source).collect();
            prop_assert_eq!(counts.sources, sources.into_iter().collect::<Vec<_>>());
            for (cell, count) in counts.by_cell {
                prop_assert_eq!(count as usize, model.iter().filter(|pair| pair.1 == cell).count());
            }
        }
    }

    #[test]
    fn beyond_the_budget_no_count_is_given() {
        let fill = |budget| {
            let mut distinct = DistinctSources::new(budget);
            for source in 0..200_000 {
                distinct.insert(Source::V4(source), cell(23));
            }
            distinct.counts().map(|counts| counts.sources.len())
        };
        assert_eq!(fill(200_000), Some(200_000));
        assert_eq!(fill(100_000), None);
    }
}
