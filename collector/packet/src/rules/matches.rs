//! The fingerprints that a probe matches, and the values of their expressions.

/// Most fingerprints in force at once: each has a bit of a `u32`.
pub const MOST_FINGERPRINTS: usize = 32;
/// Most rules with both `when` and `constant`.
pub const MOST_CONSTANTS: usize = 4;
/// Most rules with `constant` alone: each has a place in every flow row.
pub const SLOTS: usize = 3;

const _: () = assert!(
    MOST_CONSTANTS <= 4 && SLOTS <= 4,
    "their values share a word"
);

/// The fingerprints that a probe matches, and the values of their expressions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleMatches {
    /// A bit for each fingerprint with `when` that matches, by its index in
    /// [`Rules::fingerprints`](super::Rules::fingerprints).
    pub bits: u32,
    /// Values of the expressions of matching fingerprints, folded to 16 bits; others are 0.
    pub constants: Values,
    /// Values of the expressions over all probes, folded to 16 bits. A field that is cut off counts
    /// as 0, so a cut probe can only keep a source from being confirmed.
    pub slots: Values,
}

/// Up to four values of 16 bits in one word: a wide load after narrow stores would stall the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values(u64);

impl Values {
    /// The value with this index, below 4.
    #[inline]
    pub const fn get(self, place: usize) -> u16 {
        (self.0 >> (place * 16 % 64)) as u16
    }

    /// From at most four values.
    pub fn new(values: &[u16]) -> Self {
        let mut all = Self::default();
        for (place, &value) in values.iter().enumerate() {
            all.put(place, value);
        }
        all
    }

    /// Sets the value with this index, which must be 0 before.
    #[inline]
    pub(super) const fn put(&mut self, place: usize, value: u16) {
        self.0 |= (value as u64) << (place * 16 % 64);
    }
}

impl RuleMatches {
    /// The slots in one word, the first in its lowest bits, and this value in its highest bits.
    #[inline]
    pub const fn with_slots(&self, value: u16) -> u64 {
        self.slots.0 | (value as u64) << (16 * SLOTS)
    }

    /// The indices of the fingerprints that match, ascending.
    #[inline]
    pub fn places(self) -> impl Iterator<Item = usize> {
        Self::places_of(self.bits)
    }

    /// The indices of the bits that are set, ascending.
    #[inline]
    pub fn places_of(mut bits: u32) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || {
            let place = bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            (place < 32).then_some(place)
        })
    }
}
