//! Exact distinct counts over a whole run, within a stated budget of memory.

use std::collections::{BTreeMap, HashMap};

use ahash::RandomState;
use noctule_packet::CellId;
use noctule_packet::decode::Source;

/// The set of (source, cell) pairs seen, as sorted arrays.
///
/// New keys gather in a tail that is sorted in when it has grown as large as the body, so a key
/// costs 8 octets (IPv6: 32, and it counts as 4) and, over time, a logarithmic number of moves. Beyond the budget
/// the set gives up and says so: a count that is not exact is not printed.
#[derive(Debug)]
pub struct DistinctSources {
    keys4: Sorted<u64>,
    keys6: Sorted<(u128, u32)>,
    budget: usize,
    exceeded: bool,
}

/// Distinct sources of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DistinctCounts {
    /// All distinct sources, ascending.
    pub sources: Vec<Source>,
    /// How many in each cell.
    pub by_cell: BTreeMap<CellId, u64>,
}

#[derive(Debug)]
struct Sorted<K> {
    keys: Vec<K>,
    sorted: usize,
}

/// How many IPv4 keys an IPv6 key is as large as.
const IPV6_WEIGHT: usize = size_of::<(u128, u32)>() / size_of::<u64>();
/// Keys below which sorting is not worth its start.
const SMALLEST_TAIL: usize = 1 << 16;

impl<K: Ord> Sorted<K> {
    const fn new() -> Self {
        Self {
            keys: Vec::new(),
            sorted: 0,
        }
    }

    fn push(&mut self, key: K) {
        self.keys.push(key);
        if self.keys.len() >= (2 * self.sorted).max(SMALLEST_TAIL) {
            self.settle();
        }
    }

    fn settle(&mut self) {
        // The body is one sorted run, which a stable sort finds and merges.
        self.keys.sort();
        self.keys.dedup();
        self.sorted = self.keys.len();
    }
}

impl DistinctSources {
    /// A set that holds up to `budget` pairs (at most twice as many while it grows).
    pub const fn new(budget: usize) -> Self {
        Self {
            keys4: Sorted::new(),
            keys6: Sorted::new(),
            budget,
            exceeded: false,
        }
    }

    /// Adds a pair.
    pub fn insert(&mut self, source: Source, cell: CellId) {
        if self.exceeded {
            return;
        }
        match source {
            Source::V4(address) => self
                .keys4
                .push(u64::from(address) << 32 | u64::from(cell.to_bits())),
            Source::V6(address) => self.keys6.push((address, cell.to_bits())),
        }
        if self.keys4.sorted + IPV6_WEIGHT * self.keys6.sorted > self.budget {
            self.give_up();
        }
    }

    /// Some pair could not be kept: no exact count can be given any more.
    pub fn give_up(&mut self) {
        *self = Self {
            exceeded: true,
            ..Self::new(self.budget)
        };
    }

    /// The counts, or none when the budget was exceeded or [`Self::give_up`] was called.
    pub fn counts(&mut self) -> Option<DistinctCounts> {
        self.keys4.settle();
        self.keys6.settle();
        if self.exceeded {
            return None;
        }
        let four =
            (self.keys4.keys.iter()).map(|key| (Source::V4((key >> 32) as u32), *key as u32));
        let six = (self.keys6.keys.iter()).map(|&(source, cell)| (Source::V6(source), cell));
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
