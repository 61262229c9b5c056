//! What the fingerprints found in one probe.

/// Most fingerprints in force at once: each has a bit.
pub const MOST_FINGERPRINTS: usize = 32;
/// Most rules with both `when` and `constant`.
pub const MOST_CONSTANTS: usize = 4;
/// Most rules with `constant` alone: each has a place in every flow row.
pub const SLOTS: usize = 3;

const _: () = assert!(
    MOST_CONSTANTS <= 4 && SLOTS <= 4,
    "their values share a word"
);

/// What fingerprints found in one probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleMatches {
    /// A bit per fingerprint with `when` that matched, by its place in [`Rules::fingerprints`].
    pub bits: u32,
    /// Values of the expressions of matching fingerprints, folded to 16 bits; others are 0.
    pub constants: Values,
    /// Values of the expressions over all probes, folded to 16 bits; a field that was cut off counts
    /// as 0, so that a cut probe can refute a source but never confirms one that was not looked at.
    pub slots: Values,
}

/// Up to four values of 16 bits, packed into one word: narrow stores that are read back as a wide
/// one would stall the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values(u64);

impl Values {
    /// The value in this place, below 4.
    #[inline]
    pub const fn get(self, place: usize) -> u16 {
        (self.0 >> (place * 16 % 64)) as u16
    }

    /// These values, at most four.
    pub fn new(values: &[u16]) -> Self {
        let mut all = Self::default();
        for (place, &value) in values.iter().enumerate() {
            all.put(place, value);
        }
        all
    }

    /// Puts a value into a place that is 0.
    #[inline]
    pub(super) const fn put(&mut self, place: usize, value: u16) {
        self.0 |= (value as u64) << (place * 16 % 64);
    }
}

impl RuleMatches {
    /// The slots as one word, the first in its lowest bits, and behind them this value.
    #[inline]
    pub const fn with_slots(&self, value: u16) -> u64 {
        self.slots.0 | (value as u64) << (16 * SLOTS)
    }

    /// The places of the fingerprints that matched, ascending.
    #[inline]
    pub fn places(self) -> impl Iterator<Item = usize> {
        Self::places_of(self.bits)
    }

    /// The places of the bits that are set, ascending.
    #[inline]
    pub fn places_of(mut bits: u32) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || {
            let place = bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            (place < 32).then_some(place)
        })
    }
}
