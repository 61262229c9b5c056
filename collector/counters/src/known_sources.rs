//! Sources that had flow rows in recent intervals.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use noctule_packet::Source;

use crate::flow::Flow;
use crate::prefetch::prefetch;

/// Scales a hash to an index below `length`.
#[inline]
pub(crate) const fn scaled(hash: u32, length: usize) -> usize {
    ((hash as u64 * length as u64) >> 32) as usize
}

/// A source in 32 bits: IPv4 addresses unchanged, IPv6 addresses hashed.
#[inline]
pub(crate) fn brief(source: Source, hasher: &RandomState) -> u32 {
    match source {
        Source::V4(address) => address,
        Source::V6(address) => (hasher.hash_one(address) >> 32) as u32,
    }
}

/// Hint bits for each entry.
const HINTS: usize = 4;

/// Entries of a bucket: one cache line.
const WAYS: usize = 8;

/// Sources that had flow rows in recent intervals: a set of fixed size that one thread writes while
/// workers read it.
///
/// An entry holds a source, the last interval in which it had a row, and in how many intervals it
/// had one. A fresh entry is never replaced, so a flood cannot displace sources: a source is fresh
/// for 2 intervals after its first row, 4 after its second, 8 after its third, and then 16.
#[derive(Debug)]
pub struct KnownSources {
    entries: Box<[AtomicU64]>,
    /// A bit for every few entries, by hash: not set if no fresh source has that hash. These bits
    /// answer for nearly every source of a flood, and are few enough to stay in a cache.
    hints: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl KnownSources {
    /// [`KnownSources::new`] with a fixed hash. The hash decides which sources are kept when a
    /// bucket is full, and so which flows get rows; a replay must give the same files each time.
    pub fn unseeded(max_flows: usize) -> Arc<Self> {
        Self::new(max_flows, &RandomState::with_seeds(1, 2, 3, 4))
    }

    /// Room for a quarter as many sources as the sensor has flow rows.
    pub fn new(max_flows: usize, hasher: &RandomState) -> Arc<Self> {
        let buckets = (max_flows / 4).div_ceil(WAYS).max(1);
        let zeros = |length: usize| (0..length).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self {
            entries: zeros(buckets * WAYS),
            hints: zeros((buckets * WAYS * HINTS).div_ceil(64)),
            hasher: hasher.clone(),
        })
    }

    /// Size for a sensor with this many flow rows, in octets.
    pub const fn bytes(max_flows: usize) -> usize {
        max_flows / 4 * size_of::<AtomicU64>() + max_flows / 4 * HINTS / 8
    }

    pub(crate) const fn hasher(&self) -> &RandomState {
        &self.hasher
    }

    #[inline]
    fn bucket(&self, hash: u64) -> &[AtomicU64] {
        let buckets = self.entries.len() / WAYS;
        let bucket = scaled((hash >> 32) as u32, buckets);
        &self.entries[bucket * WAYS..][..WAYS]
    }

    /// The hint for a hash: the index of its word, and its bit in that word.
    #[inline]
    fn hint(&self, hash: u64) -> (usize, u64) {
        let word = scaled((hash >> 32) as u32, self.hints.len());
        (word, 1 << (hash >> 10 & 63))
    }

    /// Prefetches the hint for a hash.
    #[inline]
    pub(crate) fn fetch(&self, hash: u64) {
        prefetch(&self.hints[self.hint(hash).0]);
    }

    /// True if this source, which has this hash, is fresh in interval `generation`.
    #[inline]
    pub(crate) fn contains(&self, source: u32, hash: u64, generation: u16) -> bool {
        let (word, bit) = self.hint(hash);
        self.hints[word].load(Ordering::Relaxed) & bit != 0 && self.search(source, hash, generation)
    }

    #[inline(never)]
    fn search(&self, source: u32, hash: u64, generation: u16) -> bool {
        (self.bucket(hash).iter())
            .map(|entry| Entry::read(entry.load(Ordering::Relaxed)))
            .any(|entry| entry.source == source && entry.is_fresh(generation))
    }

    /// Records the sources of these flows of interval `generation`; new sources only from flows of
    /// at least `least_packets` packets. Only one thread may call it at a time.
    pub(crate) fn learn(
        &self,
        flows: impl Iterator<Item = Flow>,
        generation: u16,
        least_packets: u64,
    ) {
        for flow in flows {
            let source = brief(flow.source, &self.hasher);
            let hash = self.hasher.hash_one(source);
            self.record(source, hash, generation, flow.packets >= least_packets);
        }
        self.renew_hints(generation);
    }

    /// Drops the hints of sources that are no longer fresh.
    fn renew_hints(&self, generation: u16) {
        let mut hints = vec![0; self.hints.len()];
        for entry in &self.entries {
            let entry = Entry::read(entry.load(Ordering::Relaxed));
            if entry.is_fresh(generation) {
                let (word, bit) = self.hint(self.hasher.hash_one(entry.source));
                hints[word] |= bit;
            }
        }
        for (hint, bits) in self.hints.iter().zip(hints) {
            hint.store(bits, Ordering::Relaxed);
        }
    }

    fn record(&self, source: u32, hash: u64, generation: u16, may_enter: bool) {
        let mut free = None;
        for place in self.bucket(hash) {
            let entry = Entry::read(place.load(Ordering::Relaxed));
            if entry.intervals == 0 || !entry.is_fresh(generation) {
                free = free.or(Some(place));
            } else if entry.source == source {
                let again = u16::from(entry.last != generation);
                let renewed = Entry {
                    source,
                    last: generation,
                    intervals: entry.intervals.saturating_add(again),
                };
                place.store(renewed.bits(), Ordering::Relaxed);
                return;
            }
        }
        if let (Some(place), true) = (free, may_enter) {
            let fresh = Entry {
                source,
                last: generation,
                intervals: 1,
            };
            place.store(fresh.bits(), Ordering::Relaxed);
        }
    }
}

/// An entry of [`KnownSources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    source: u32,
    /// The last interval in which it had a row.
    last: u16,
    /// Intervals in which it had a row; 0 for an empty entry.
    intervals: u16,
}

impl Entry {
    #[inline]
    const fn read(bits: u64) -> Self {
        Self {
            source: (bits >> 32) as u32,
            last: (bits >> 16) as u16,
            intervals: bits as u16,
        }
    }

    const fn bits(self) -> u64 {
        (self.source as u64) << 32 | (self.last as u64) << 16 | self.intervals as u64
    }

    #[inline]
    const fn is_fresh(self, generation: u16) -> bool {
        let lasts: u16 = match self.intervals {
            0 => return false,
            1 => 2,
            2 => 4,
            3 => 8,
            _ => 16,
        };
        generation.wrapping_sub(self.last) <= lasts
    }
}

#[cfg(test)]
mod tests;
