//! Sums by key, as sorted arrays: for keys that arrive in ascending runs, one run for each interval.
//!
//! In a hash map of a million keys each access misses every cache; sorted runs are merged in one
//! pass. New entries are appended as a tail, which is merged when it is as long as the sorted body,
//! so that an entry is moved a logarithmic number of times.

/// Fewest entries that are merged.
const SMALLEST_TAIL: usize = 1 << 16;

/// Values by key.
#[derive(Debug)]
pub struct Sums<K, V> {
    entries: Vec<(K, V)>,
    /// Entries of the body, which are in order and have distinct keys.
    merged: usize,
}

impl<K, V> Default for Sums<K, V> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            merged: 0,
        }
    }
}

impl<K: Ord + Copy, V: Copy> Sums<K, V> {
    /// Adds to a key's value with `add`, whose result must not depend on the order of additions.
    /// True if the entries were merged, so that [`Sums::merged`] has changed.
    #[inline]
    pub fn push(&mut self, key: K, value: V, add: fn(&mut V, V)) -> bool {
        self.entries.push((key, value));
        let full = self.entries.len() >= (2 * self.merged).max(SMALLEST_TAIL);
        if full {
            self.merge(add);
        }
        full
    }

    /// Merges the tail, and returns all entries in order, each key once.
    pub fn merge(&mut self, add: fn(&mut V, V)) -> &[(K, V)] {
        // The stable sort finds the sorted runs and merges them.
        self.entries.sort_by_key(|entry| entry.0);
        self.entries.dedup_by(|next, first| {
            let same = next.0 == first.0;
            if same {
                add(&mut first.1, next.1);
            }
            same
        });
        self.merged = self.entries.len();
        &self.entries
    }

    /// True if nothing was added.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of distinct keys when the tail was last merged.
    pub const fn merged(&self) -> usize {
        self.merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    #[test]
    fn long_runs_are_merged_on_the_way() {
        let mut sums = Sums::default();
        for run in 0..5u64 {
            for key in 0..50_000u64 {
                sums.push(key * (run + 1), 1u64, |sum, more| *sum += more);
            }
        }
        assert!(sums.merged() > 50_000, "merged by `push` alone");
        let entries = sums.merge(|sum, more| *sum += more);
        assert_eq!(entries.iter().map(|entry| entry.1).sum::<u64>(), 250_000);
        assert_eq!(entries[0], (0, 5));
        assert!(entries.is_sorted_by(|a, b| a.0 < b.0));
    }

    proptest! {
        #[test]
        fn sums_are_those_of_a_map(pairs in proptest::collection::vec((0u8..20, 0u64..9), 0..99)) {
            let (mut sums, mut model) = (Sums::default(), BTreeMap::new());
            for &(key, value) in &pairs {
                sums.push(key, value, |sum, more| *sum += more);
                *model.entry(key).or_default() += value;
            }
            let entries = sums.merge(|sum, more| *sum += more).to_vec();
            prop_assert_eq!(entries, model.into_iter().collect::<Vec<_>>());
        }
    }
}
