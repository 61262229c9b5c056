//! A hash table of fixed capacity: rows in buckets of 64, found by tags of one octet.
//!
//! The tags of a bucket are one cache line and are compared at once. A search for an absent key
//! reads that line only, however full the table is; a search for a present key also reads its row.
//! A bucket fills from its first slot on; a key whose bucket is full goes to the next bucket. Some
//! slots stay empty, so every search ends, mostly in its first bucket. Rows are not removed one by
//! one: the whole table is emptied after its flush. The hash is seeded at each start, so that a
//! sender cannot choose keys that collide.

use ahash::RandomState;
use noctule_packet::Class;
use wide::u8x64;
use zerocopy::FromZeros;

use crate::budget::{AdmissionClass, Budget};
use crate::memory::Memory;
use crate::prefetch::prefetch;
use crate::touched::Touched;

/// A row of a [`Table`].
pub(crate) trait Row: FromZeros {
    /// The key that identifies a row.
    type Key: Copy + Eq + std::hash::Hash;
    /// The row's key.
    fn key(&self) -> Self::Key;
}

/// Most buckets that a search visits. A seeded hash spreads keys so evenly that hardly any key is
/// stored beyond its third bucket; this bounds the cost of a search even for keys that collide.
const MOST_BUCKETS: usize = 16;

/// Slots of a bucket.
const WAYS: usize = 64;

/// The tags of a bucket: 0 for an empty slot, otherwise an octet of the key's hash.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C, align(64))]
pub(crate) struct Tags([u8; WAYS]);

impl Tags {
    /// A bit for each slot with this tag.
    #[inline]
    fn equal(&self, tag: u8) -> u64 {
        u8x64::new(self.0).simd_eq(u8x64::splat(tag)).to_bitmask()
    }

    /// Slots in use.
    #[inline]
    fn used(&self) -> usize {
        self.equal(0).trailing_zeros() as usize
    }
}

/// Rows by key, at most as many as the budget allows.
pub struct Table<R> {
    tags: Memory<Tags>,
    rows: Memory<R>,
    touched: Touched<0>,
    used: usize,
    used_by_class: [usize; Class::ALL.len()],
    budget: Budget,
    hasher: RandomState,
}

/// The slot of a key.
pub(crate) enum Slot<'a, R> {
    /// The key's row.
    Found(&'a mut R),
    /// The key is new; its slot is now marked as used, and the caller must write the row.
    Vacant(&'a mut R),
    /// The key is new and there is no open row left for its class; this would be its slot.
    Closed(usize),
    /// The key is new, and every bucket that it may use is full.
    Full,
}

#[expect(private_bounds, reason = "rows are defined in this crate only")]
impl<R: Row> Table<R> {
    pub(crate) fn new(budget: Budget, hasher: RandomState) -> Self {
        let buckets = Self::buckets(budget.all);
        Self {
            tags: Memory::zeroed(buckets),
            rows: Memory::zeroed(buckets * WAYS),
            touched: Touched::new(buckets),
            used: 0,
            used_by_class: [0; Class::ALL.len()],
            budget,
            hasher,
        }
    }

    /// Number of buckets: one slot in seventeen stays empty when all rows are used.
    const fn buckets(capacity: usize) -> usize {
        (capacity + capacity / 16) / WAYS + 1
    }

    /// Size of a table of this capacity in octets.
    pub const fn bytes(capacity: usize) -> usize {
        Self::buckets(capacity) * (WAYS * size_of::<R>() + size_of::<Tags>())
    }

    /// Makes the kernel back the table with memory now.
    pub(crate) fn fault_in(&self) {
        self.tags.fault_in();
        self.rows.fault_in();
    }

    /// Rows in the table.
    pub const fn len(&self) -> usize {
        self.used
    }

    /// True if the table has no rows.
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The rows, in bucket order.
    pub fn iter(&self) -> impl Iterator<Item = &R> {
        (self.touched.ranges().flatten()).flat_map(|bucket| {
            let first = bucket * WAYS;
            &self.rows[first..first + self.tags[bucket].used()]
        })
    }

    /// The rows, bucket by bucket in an order that is independent of hashes: the first rows come
    /// from all parts of the table.
    pub(crate) fn iter_scattered(&self) -> impl Iterator<Item = &R> {
        let buckets = self.tags.len();
        // Coprime to the number of buckets, so that its multiples visit each bucket once.
        let step = (buckets / 8 * 5 + 1..)
            .find(|&step| greatest_common_divisor(step, buckets) == 1)
            .unwrap_or(1);
        (0..buckets).flat_map(move |number| {
            let bucket = (number as u128 * step as u128 % buckets as u128) as usize;
            let first = bucket * WAYS;
            &self.rows[first..first + self.tags[bucket].used()]
        })
    }

    /// Hash of a key.
    #[inline]
    pub(crate) fn hash(&self, key: R::Key) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Prefetches the tags of the first bucket of a key with this hash.
    #[inline]
    pub(crate) fn fetch_tags(&self, hash: u64) {
        prefetch(&self.tags[self.bucket(hash)]);
    }

    /// The most probable slot of a key with this hash, present or new. Reads the bucket's tags, so
    /// prefetch them before.
    #[inline]
    pub(crate) fn guess(&self, hash: u64) -> u32 {
        let bucket = self.bucket(hash);
        let tags = &self.tags[bucket];
        let mut likely = tags.equal(tag(hash));
        if likely == 0 {
            likely = tags.equal(0);
        }
        (bucket * WAYS + likely.trailing_zeros() as usize % WAYS) as u32
    }

    /// Prefetches the row of a slot.
    #[inline]
    pub(crate) fn fetch_row(&self, at: u32) {
        prefetch(&self.rows[at as usize]);
    }

    /// The first bucket for a hash: multiply and shift, without a division.
    #[inline]
    fn bucket(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.tags.len() as u128) >> 64) as usize
    }

    /// The slot of a key, in a table with one budget for all classes.
    #[inline]
    pub(crate) fn slot(&mut self, key: R::Key) -> Slot<'_, R> {
        self.search(self.hasher.hash_one(key), key, Class::Scan)
    }

    /// The slot of a key of this class, from the results of [`Table::hash`] and [`Table::guess`].
    #[inline]
    pub(crate) fn slot_at(
        &mut self,
        hash: u64,
        guess: u32,
        key: R::Key,
        class: Class,
    ) -> Slot<'_, R> {
        let guess = guess as usize;
        // If the guessed slot is still empty, no key was added to this bucket since.
        match self.tags[guess / WAYS].0[guess % WAYS] {
            0 if self.is_open(class) => Slot::Vacant(self.fill(guess, hash, class)),
            0 => Slot::Closed(guess),
            found if found == tag(hash) && self.rows[guess].key() == key => {
                Slot::Found(&mut self.rows[guess])
            }
            _ => self.search(hash, key, class),
        }
    }

    #[inline(never)]
    fn search(&mut self, hash: u64, key: R::Key, class: Class) -> Slot<'_, R> {
        let tag = tag(hash);
        let mut bucket = self.bucket(hash);
        for _ in 0..MOST_BUCKETS {
            let tags = &self.tags[bucket];
            let mut likely = tags.equal(tag);
            while likely != 0 {
                let at = bucket * WAYS + likely.trailing_zeros() as usize;
                if self.rows[at].key() == key {
                    return Slot::Found(&mut self.rows[at]);
                }
                likely &= likely - 1;
            }
            let way = tags.used();
            if way < WAYS {
                let at = bucket * WAYS + way;
                if !self.is_open(class) {
                    return Slot::Closed(at);
                }
                return Slot::Vacant(self.fill(at, hash, class));
            }
            bucket += 1;
            if bucket == self.tags.len() {
                bucket = 0;
            }
        }
        Slot::Full
    }

    /// True if any source may take a row for a packet of this class.
    #[inline]
    fn is_open(&self, class: Class) -> bool {
        self.used < self.budget.open
            && self.used_by_class[class as usize] < self.budget.by_class[class as usize]
    }

    /// True if a new key of this class, with this guessed slot, has no open row left.
    #[inline]
    pub(crate) fn is_closed_at(&self, guess: u32, class: Class) -> bool {
        let guess = guess as usize;
        !self.is_open(class) && self.tags[guess / WAYS].0[guess % WAYS] == 0
    }

    /// The row of a new key in the slot of [`Slot::Closed`], if the source's class allows one.
    #[inline]
    pub(crate) fn admit(
        &mut self,
        at: usize,
        hash: u64,
        class: Class,
        admission_class: AdmissionClass,
    ) -> Option<&mut R> {
        (self.used < self.budget.limit(admission_class)).then(|| self.fill(at, hash, class))
    }

    #[inline]
    fn fill(&mut self, at: usize, hash: u64, class: Class) -> &mut R {
        self.used += 1;
        self.used_by_class[class as usize] += 1;
        self.touched.mark(at / WAYS);
        self.tags[at / WAYS].0[at % WAYS] = tag(hash);
        &mut self.rows[at]
    }

    pub(crate) fn clear(&mut self) {
        // A row without a tag is never read.
        self.touched
            .clear(|buckets| self.tags[buckets].fill(Tags([0; WAYS])));
        self.used = 0;
        self.used_by_class = [0; Class::ALL.len()];
    }
}

const fn greatest_common_divisor(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The tag of a hash: its lowest octet, which has no influence on the bucket; never 0.
#[inline]
const fn tag(hash: u64) -> u8 {
    let tag = hash as u8;
    if tag == 0 { 1 } else { tag }
}
