//! Which sources still get a row when a flow table fills up.
//!
//! A flood of forged sources would take every row within a second and leave none for sources that
//! send every day. So the rows are divided ([`Budget`](crate::budget::Budget)):
//!
//! - seven eighths of the rows are *open*: any source gets them, but no class of packets more than
//!   its share, so that a flood of backscatter leaves rows for scanners, and the reverse;
//! - one sixteenth is for *known* and *returning* sources. A source returns if it was refused a row
//!   a short time ago: a forged address hardly occurs twice within that time, a scanner's does;
//! - one sixteenth is for *known sources* only: those that had a row in a recent interval
//!   ([`KnownSources`]).
//!
//! Packets without a row are still counted: by port, and by the sketches of [`crate::sketches`].

use std::sync::Arc;

use ahash::RandomState;
use noctule_packet::Source;

use crate::budget::AdmissionClass;
use crate::known_sources::{KnownSources, brief, scaled};
use crate::memory::Memory;
use crate::prefetch::prefetch;

/// Rows of the flow tables for each entry of [`Admission::refused`].
const ROWS_PER_ENTRY: usize = 4;

/// What one worker knows about sources. In a flood it is consulted for every packet, so it reads
/// two cache lines at most, unless the source may be known.
pub(crate) struct Admission {
    /// The source that was refused last, by its hash; 0 for none. An entry holds the whole source:
    /// another source with the same hash replaces it and is never taken for it.
    refused: Memory<u32>,
    used: bool,
    hasher: RandomState,
    known_sources: Arc<KnownSources>,
    pub generation: u16,
}

impl Admission {
    /// For tables of this many rows.
    pub fn new(rows: usize, known_sources: Arc<KnownSources>) -> Self {
        Self {
            refused: Memory::zeroed((rows / ROWS_PER_ENTRY).max(16)),
            used: false,
            hasher: known_sources.hasher().clone(),
            known_sources,
            generation: 0,
        }
    }

    /// Size for tables of this many rows, in octets.
    pub const fn bytes(rows: usize) -> usize {
        rows / ROWS_PER_ENTRY * size_of::<u32>()
    }

    /// Makes the kernel back it with memory now.
    pub fn fault_in(&self) {
        self.refused.fault_in();
    }

    /// Prefetches the cache lines that [`Admission::classify`] reads first.
    #[inline]
    pub fn fetch(&self, source: Source) {
        let hash = self.hasher.hash_one(brief(source, &self.hasher));
        prefetch(&self.refused[scaled(hash as u32, self.refused.len())]);
        self.known_sources.fetch(hash);
    }

    /// The class of a source that needs a new row. An unknown source becomes a returning one.
    #[inline]
    pub fn classify(&mut self, source: Source) -> AdmissionClass {
        let source = brief(source, &self.hasher);
        let hash = self.hasher.hash_one(source);
        if (self.known_sources).contains(source, hash, self.generation) {
            return AdmissionClass::Known;
        }
        // `KnownSources` uses the hash's upper half.
        let at = scaled(hash as u32, self.refused.len());
        let last = std::mem::replace(&mut self.refused[at], source);
        self.used = true;
        if last == source {
            AdmissionClass::Returning
        } else {
            AdmissionClass::Unknown
        }
    }

    /// Forgets the sources that were refused.
    pub fn clear(&mut self) {
        if self.used {
            self.refused.fill(0);
            self.used = false;
        }
    }
}
