//! A hash table of fixed capacity: rows in buckets of 64, found by tags of one octet.
//!
//! The tags of a bucket are one cache line and are compared all at once, so that a key that is not
//! there costs one line however full the table is, and one that is there costs its row besides.
//! A bucket fills from its first slot on; a key that finds its bucket full goes to the next one.
//! Some slots stay empty, so a search always ends, mostly where it began. Rows are never
//! removed one by one; the whole table is emptied after its flush. The hash is seeded per start, so
//! that nobody can choose keys that collide.

use ahash::RandomState;
use noctule_packet::Class;
use wide::u8x64;

use crate::admission::{AdmissionClass, Budget};
use crate::memory::{Memory, Zeroable};
use crate::prefetch::prefetch;
use crate::touched::Touched;

/// What a table needs to know of its rows.
pub(crate) trait Row: Zeroable {
    /// What a row is found by.
    type Key: Copy + Eq + std::hash::Hash;
    /// The row's key.
    fn key(&self) -> Self::Key;
}

/// Buckets that a key may stand in. With keys that are spread over the buckets, as a seeded hash
/// spreads them, hardly any is ever sent farther than the third; whatever happens to the hash, a
/// search costs no more than this.
const FARTHEST: usize = 16;

/// Slots of a bucket.
const WAYS: usize = 64;

/// The tags of a bucket: 0 for an empty slot, otherwise an octet of the key's hash.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Tags([u8; WAYS]);

impl Tags {
    /// The slots with this tag, a bit each.
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

/// Rows by key, at most as many as its budget has.
pub struct Table<R> {
    tags: Memory<Tags>,
    rows: Memory<R>,
    touched: Touched<0>,
    used: usize,
    used_by_class: [usize; Class::ALL.len()],
    budget: Budget,
    hasher: RandomState,
}

/// Where a key stands, or would stand.
pub(crate) enum Slot<'a, R> {
    /// The key's row.
    Found(&'a mut R),
    /// An empty slot, now counted as used: the caller must write the row.
    Vacant(&'a mut R),
    /// The key is new and there is no row for whoever asks; this slot would be its own.
    Closed(usize),
    /// The key is new, and every bucket that it could stand in is full.
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

    /// One slot in seventeen is spare; of a table that is not open to everyone, many more.
    const fn buckets(capacity: usize) -> usize {
        (capacity + capacity / 16) / WAYS + 1
    }

    /// Octets that a table of this capacity occupies once it is full.
    pub const fn bytes(capacity: usize) -> usize {
        Self::buckets(capacity) * (WAYS * size_of::<R>() + size_of::<Tags>())
    }

    /// Has the kernel back the table with memory now.
    pub(crate) fn fault_in(&self) {
        self.tags.fault_in();
        self.rows.fault_in();
    }

    /// Rows in the table.
    pub const fn len(&self) -> usize {
        self.used
    }

    /// No row is in the table.
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The rows, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &R> {
        (self.touched.ranges().flatten()).flat_map(|bucket| {
            let first = bucket * WAYS;
            &self.rows[first..first + self.tags[bucket].used()]
        })
    }

    /// The rows, bucket by bucket in an order that has nothing to do with hashes: whoever keeps only
    /// the first of them keeps rows from all over the table.
    pub(crate) fn iter_scattered(&self) -> impl Iterator<Item = &R> {
        let buckets = self.tags.len();
        // Steps of this many buckets reach each of them once.
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

    /// Asks for the tags of the bucket that a key with this hash belongs into.
    #[inline]
    pub(crate) fn fetch_tags(&self, hash: u64) {
        prefetch(&self.tags[self.bucket(hash)]);
    }

    /// The slot where a key with this hash most probably is, or would be. The bucket's tags must be
    /// there, or this waits for them.
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

    /// Asks for a row.
    #[inline]
    pub(crate) fn fetch_row(&self, at: u32) {
        prefetch(&self.rows[at as usize]);
    }

    /// Multiply and shift: spreads the hash over any number of buckets without a division.
    #[inline]
    fn bucket(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.tags.len() as u128) >> 64) as usize
    }

    #[inline]
    pub(crate) fn slot(&mut self, key: R::Key) -> Slot<'_, R> {
        self.search(self.hasher.hash_one(key), key, Class::Scan)
    }

    /// [`Table::slot`] with what [`Table::hash`] and [`Table::guess`] gave for this key.
    #[inline]
    pub(crate) fn slot_at(
        &mut self,
        hash: u64,
        guess: u32,
        key: R::Key,
        class: Class,
    ) -> Slot<'_, R> {
        let guess = guess as usize;
        // A tag that is still 0: nothing has come into this bucket since it was searched.
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
        for _ in 0..FARTHEST {
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

    /// Is there a row of this class for any source?
    #[inline]
    fn is_open(&self, class: Class) -> bool {
        self.used < self.budget.open
            && self.used_by_class[class as usize] < self.budget.by_class[class as usize]
    }

    /// Would a new key of this class that was guessed to belong here find the table closed?
    #[inline]
    pub(crate) fn is_closed_at(&self, guess: u32, class: Class) -> bool {
        let guess = guess as usize;
        !self.is_open(class) && self.tags[guess / WAYS].0[guess % WAYS] == 0
    }

    /// The row of a new key in the slot that [`Slot::Closed`] names, for a source of this standing.
    #[inline]
    pub(crate) fn admit(
        &mut self,
        at: usize,
        hash: u64,
        class: Class,
        admission_class: AdmissionClass,
    ) -> Option<&mut R> {
        (self.used < self.budget.of(admission_class)).then(|| self.fill(at, hash, class))
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

/// An octet of the hash that the choice of the bucket has not used; never 0.
#[inline]
const fn tag(hash: u64) -> u8 {
    let tag = hash as u8;
    if tag == 0 { 1 } else { tag }
}
