//! Who still gets a row when a flow table fills up.
//!
//! A flood of forged sources would take every row within a second and leave none for those who are
//! there every day. So a table is not open to everyone to its last row:
//!
//! - seven rows in eight are *open*: any source gets them, but no class more than its share, so that
//!   a flood of backscatter leaves rows to scanners and the other way round;
//! - of the rest, half are for sources that *return*: a forged address hardly comes twice within
//!   the time in which it is remembered, a scanner does;
//! - and all of it is for *known sources*: sources that had a row in one of the intervals before
//!   ([`KnownSources`]).
//!
//! Who gets none is counted all the same: by port, and by the sketches of [`crate::sketches`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use noctule_packet::Class;
use noctule_packet::decode::Source;

use crate::epoch::Epoch;
use crate::flow::Flow;
use crate::memory::Memory;
use crate::prefetch::prefetch;

/// How many rows of a table are for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Rows that any source gets, by class; together no more than `open`.
    pub by_class: [usize; Class::ALL.len()],
    /// Rows that any source gets.
    pub open: usize,
    /// Rows that sources get which return, the open ones included.
    pub returning: usize,
    /// All rows; known sources get any.
    pub all: usize,
}

impl Budget {
    /// No row is kept for anybody.
    pub const fn undivided(rows: usize) -> Self {
        Self {
            by_class: [rows; Class::ALL.len()],
            open: rows,
            returning: rows,
            all: rows,
        }
    }

    /// The budget of a flow table.
    pub const fn divided(rows: usize) -> Self {
        let open = rows - rows / 8;
        let mut by_class = [0; Class::ALL.len()];
        by_class[Class::Scan as usize] = open - open / 8;
        by_class[Class::Backscatter as usize] = open - open / 4;
        by_class[Class::Other as usize] = open / 2;
        Self {
            by_class,
            open,
            returning: rows - rows / 16,
            all: rows,
        }
    }

    /// Rows that a source of this standing gets.
    pub const fn of(&self, admission_class: AdmissionClass) -> usize {
        match admission_class {
            AdmissionClass::Unknown => 0,
            AdmissionClass::Returning => self.returning,
            AdmissionClass::Known => self.all,
        }
    }
}

/// What is known of a source that asks for a row when the open ones are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdmissionClass {
    /// Nothing.
    Unknown,
    /// It asked not long ago.
    Returning,
    /// It had a row in an interval before.
    Known,
}

/// What a table of one worker knows of sources. In a flood it is asked about every packet, so it
/// touches two lines and no more.
pub(crate) struct Admission {
    /// The source that last asked in vain, by its hash; 0 for none. Exact: another source in its
    /// place makes it forgotten, never mistaken.
    recent: Memory<u32>,
    used: bool,
    hasher: RandomState,
    pub known_sources: Arc<KnownSources>,
    pub generation: u16,
}

impl Admission {
    /// For tables of this many rows.
    pub fn new(rows: usize, known_sources: Arc<KnownSources>) -> Self {
        Self {
            recent: Memory::zeroed((rows / RECENT).max(16)),
            used: false,
            hasher: known_sources.hasher.clone(),
            known_sources,
            generation: 0,
        }
    }

    /// Octets for tables of this many rows.
    pub const fn bytes(rows: usize) -> usize {
        rows / RECENT * size_of::<u32>()
    }

    /// Has the kernel back it with memory now.
    pub fn fault_in(&self) {
        self.recent.fault_in();
    }

    /// Asks the memory for what judging this source will need first.
    #[inline]
    pub fn fetch(&self, source: Source) {
        let hash = self.hasher.hash_one(brief(source, &self.hasher));
        prefetch(&self.recent[scaled(hash as u32, self.recent.len())]);
        prefetch(&self.known_sources.hints[self.known_sources.hint(hash).0]);
    }

    /// What is known of a source; it is remembered if that is nothing.
    #[inline]
    pub fn classify(&mut self, source: Source) -> AdmissionClass {
        let source = brief(source, &self.hasher);
        let hash = self.hasher.hash_one(source);
        if self.known_sources.knows(source, hash, self.generation) {
            return AdmissionClass::Known;
        }
        // The other half of the hash chooses among the known sources.
        let place = scaled(hash as u32, self.recent.len());
        let last = std::mem::replace(&mut self.recent[place], source);
        self.used = true;
        if last == source {
            AdmissionClass::Returning
        } else {
            AdmissionClass::Unknown
        }
    }

    /// Forgets who asked.
    pub fn clear(&mut self) {
        if self.used {
            self.recent.fill(0);
            self.used = false;
        }
    }
}

/// Rows for each source that is remembered.
const RECENT: usize = 4;

/// Spreads a hash over `length` places.
#[inline]
const fn scaled(hash: u32, length: usize) -> usize {
    ((hash as u64 * length as u64) >> 32) as usize
}

/// A source in 32 bits: IPv4 addresses as they are, IPv6 ones hashed.
#[inline]
fn brief(source: Source, hasher: &RandomState) -> u32 {
    match source {
        Source::V4(address) => address,
        Source::V6(address) => (hasher.hash_one(address) >> 32) as u32,
    }
}

/// Hints for each place.
const HINTS: usize = 4;

/// Sources of a bucket: one cache line.
const WAYS: usize = 8;

/// Sources that had rows lately: a set of fixed size that one thread writes while workers read it.
///
/// A place holds a source, the last interval in which it had a row, and in how many it had one. What
/// is there keeps its place while it is fresh, so that a flood finds no room: a source is fresh
/// for 2 intervals after its first, 4 after its second, 8 after its third, then 16.
#[derive(Debug)]
pub struct KnownSources {
    places: Box<[AtomicU64]>,
    /// A bit for every few places, by hash: not set where no fresh source is. It answers for nearly
    /// every source of a flood, and is small.
    hints: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl KnownSources {
    /// The same with a hash that never changes. Who is kept where room is short depends on it, and
    /// with it which flows get rows; a replay must give the same files each time.
    pub fn unseeded(max_flows: usize) -> Arc<Self> {
        Self::new(max_flows, &RandomState::with_seeds(1, 2, 3, 4))
    }

    /// Room for a quarter as many sources as the sensor has flow rows.
    pub fn new(max_flows: usize, hasher: &RandomState) -> Arc<Self> {
        let buckets = (max_flows / 4).div_ceil(WAYS).max(1);
        let zeros = |length: usize| (0..length).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self {
            places: zeros(buckets * WAYS),
            hints: zeros((buckets * WAYS * HINTS).div_ceil(64)),
            hasher: hasher.clone(),
        })
    }

    /// Octets for a sensor with this many flow rows.
    pub const fn bytes(max_flows: usize) -> usize {
        max_flows / 4 * size_of::<AtomicU64>() + max_flows / 4 * HINTS / 8
    }

    #[inline]
    fn bucket(&self, hash: u64) -> &[AtomicU64] {
        let buckets = self.places.len() / WAYS;
        let bucket = scaled((hash >> 32) as u32, buckets);
        &self.places[bucket * WAYS..][..WAYS]
    }

    /// Where the hint for a hash stands: a word, and a bit in it.
    #[inline]
    fn hint(&self, hash: u64) -> (usize, u64) {
        let word = scaled((hash >> 32) as u32, self.hints.len());
        (word, 1 << (hash >> 10 & 63))
    }

    /// Had this source, of this hash, a row not long before this interval?
    #[inline]
    fn knows(&self, source: u32, hash: u64, generation: u16) -> bool {
        let (word, bit) = self.hint(hash);
        self.hints[word].load(Ordering::Relaxed) & bit != 0 && self.has(source, hash, generation)
    }

    #[inline(never)]
    fn has(&self, source: u32, hash: u64, generation: u16) -> bool {
        (self.bucket(hash).iter())
            .map(|place| Entry::read(place.load(Ordering::Relaxed)))
            .any(|known| known.source == source && known.is_fresh(generation))
    }

    /// Learns who has rows in an epoch that is full. One thread only may do this at a time.
    ///
    /// Where rows were refused, only sources with several packets are learned: a flood's have one.
    /// Who comes first is learned where not all find room: were that in the table's order, then
    /// known sources would all have rows in one part of the next table, and fill that to the brim.
    pub fn learn(&self, epoch: &Epoch) {
        let generation = epoch.generation();
        let least = if epoch.overflowed() { 2 } else { 1 };
        let note = |flow: &Flow| {
            let source = brief(flow.source, &self.hasher);
            let hash = self.hasher.hash_one(source);
            self.note(source, hash, generation, flow.packets >= least);
        };
        // IPv6 first: it has the fewer rows, and IPv4 alone could take all places.
        (epoch.flows6.iter_scattered()).for_each(|row| note(&row.flow()));
        (epoch.flows4.iter_scattered()).for_each(|row| note(&row.flow()));
        self.renew_hints(generation);
    }

    /// Drops the hints of sources that are not fresh any more.
    fn renew_hints(&self, generation: u16) {
        let mut hints = vec![0; self.hints.len()];
        for place in &self.places {
            let known = Entry::read(place.load(Ordering::Relaxed));
            if known.is_fresh(generation) {
                let (word, bit) = self.hint(self.hasher.hash_one(known.source));
                hints[word] |= bit;
            }
        }
        for (hint, bits) in self.hints.iter().zip(hints) {
            hint.store(bits, Ordering::Relaxed);
        }
    }

    fn note(&self, source: u32, hash: u64, generation: u16, may_enter: bool) {
        let mut free = None;
        for place in self.bucket(hash) {
            let known = Entry::read(place.load(Ordering::Relaxed));
            if known.seen == 0 || !known.is_fresh(generation) {
                free = free.or(Some(place));
            } else if known.source == source {
                let again = u16::from(known.last != generation);
                let seen = known.seen.saturating_add(again);
                let last = generation;
                let renewed = Entry { source, last, seen };
                place.store(renewed.bits(), Ordering::Relaxed);
                return;
            }
        }
        if let (Some(place), true) = (free, may_enter) {
            let fresh = Entry {
                source,
                last: generation,
                seen: 1,
            };
            place.store(fresh.bits(), Ordering::Relaxed);
        }
    }
}

/// A place of [`KnownSources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    source: u32,
    /// The last interval with a row.
    last: u16,
    /// Intervals with one; 0 for an empty place.
    seen: u16,
}

impl Entry {
    #[inline]
    const fn read(bits: u64) -> Self {
        Self {
            source: (bits >> 32) as u32,
            last: (bits >> 16) as u16,
            seen: bits as u16,
        }
    }

    const fn bits(self) -> u64 {
        (self.source as u64) << 32 | (self.last as u64) << 16 | self.seen as u64
    }

    #[inline]
    const fn is_fresh(self, generation: u16) -> bool {
        let lasts: u16 = match self.seen {
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
