//! The headers of several probes as SIMD columns, so that one instruction tests all probes.

use wide::u32x8;

use super::field::{Field, Position, Probe, WORDS};

/// Probes that are matched at once.
pub const LANES: usize = 8;

/// Up to [`LANES`] probes that are matched at once, each in its lane.
pub type Probes<'a> = [Option<Probe<'a>>; LANES];

/// The fixed headers of up to [`LANES`] probes, word by word. Lanes without a probe have undefined
/// values.
#[derive(Clone, Debug)]
pub struct Columns {
    words: [u32x8; WORDS],
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            words: [u32x8::splat(0); WORDS],
        }
    }
}

impl Columns {
    /// Puts a probe into a lane below [`LANES`].
    #[inline]
    pub fn put(&mut self, lane: usize, probe: &Probe<'_>) {
        for (column, word) in self.words.iter_mut().zip(probe.words()) {
            column.as_mut_array()[lane % LANES] = word;
        }
    }

    /// A word of every probe.
    #[inline]
    pub(super) fn word(&self, word: usize) -> u32x8 {
        self.words[word % WORDS]
    }

    /// A field of one probe.
    #[inline]
    pub(super) fn get(&self, field: Field, lane: usize) -> u32 {
        let Position { word, right } = field.position();
        (self.words[word].as_array()[lane] >> right) & field.width()
    }
}

/// A field of every probe: its word, shift and mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Column {
    word: usize,
    right: u32,
    /// The field's width, if other fields precede it in its word.
    width: Option<u32x8>,
}

impl Column {
    pub fn of(field: Field) -> Self {
        let Position { word, right } = field.position();
        let width = field.width();
        Self {
            word,
            right,
            width: (width != u32::MAX >> right).then(|| u32x8::splat(width)),
        }
    }

    #[inline]
    pub fn values(&self, columns: &Columns) -> u32x8 {
        let mut values = columns.word(self.word);
        if self.right != 0 {
            values = values.unbounded_shr_scalar(self.right);
        }
        match self.width {
            Some(width) => values & width,
            None => values,
        }
    }
}
