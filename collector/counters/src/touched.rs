//! Which parts of a large array were written, so that reading and clearing it costs by its contents
//! and not by its size.

use std::ops::Range;

use crate::memory::Memory;

/// One bit per block of 2^`SHIFT` elements. The bits of millions of rows fit the first-level
/// cache, so marking is cheap on the hot path.
pub(crate) struct Touched<const SHIFT: u32> {
    words: Memory<u64>,
    length: usize,
}

impl<const SHIFT: u32> Touched<SHIFT> {
    /// For an array of `length` elements of which none was written.
    pub fn new(length: usize) -> Self {
        Self {
            words: Memory::zeroed((length >> SHIFT) / 64 + 1),
            length,
        }
    }

    /// Marks the block of the element at this index.
    #[inline]
    pub fn mark(&mut self, place: usize) {
        let block = place >> SHIFT;
        self.words[block / 64] |= 1 << (block % 64);
    }

    /// The index ranges of the marked blocks, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let length = self.length;
        self.words.iter().enumerate().flat_map(move |(at, &word)| {
            let mut bits = word;
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits.wrapping_sub(1);
                (bit < 64).then(|| {
                    let start = (at * 64 + bit) << SHIFT;
                    start..(start + (1 << SHIFT)).min(length)
                })
            })
        })
    }

    /// Calls `empty` for the index range of each marked block, and removes all marks.
    pub fn clear(&mut self, mut empty: impl FnMut(Range<usize>)) {
        for range in self.ranges() {
            empty(range);
        }
        self.words.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_are_those_that_were_marked(length in 1usize..5000, places in proptest::collection::vec(any::<usize>(), 0..40)) {
            let mut touched = Touched::<4>::new(length);
            let mut model = BTreeSet::new();
            for place in places {
                let place = place % length;
                touched.mark(place);
                model.extend((place & !15..(place & !15) + 16).filter(|&place| place < length));
            }
            let marked: BTreeSet<_> = touched.ranges().flatten().collect();
            prop_assert_eq!(&marked, &model);
            let mut emptied = BTreeSet::new();
            touched.clear(|range| emptied.extend(range));
            prop_assert_eq!(emptied, model);
            prop_assert_eq!(touched.ranges().count(), 0);
        }
    }
}
