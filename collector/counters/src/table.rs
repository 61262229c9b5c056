//! A hash table of fixed capacity: rows in one array, found by linear probing.
//!
//! A quarter of the slots beyond the capacity stay empty, so a probe always ends. Rows are never
//! removed one by one; the whole table is emptied after its flush. The hash is seeded per start,
//! so that nobody can choose keys that collide.

use ahash::RandomState;

use crate::prefetch::prefetch;
use crate::touched::Touched;
use crate::zeroed::{Zeroable, zeroed};

/// What a table needs to know of its rows.
pub(crate) trait Row: Zeroable {
    /// What a row is found by.
    type Key: Copy + Eq + std::hash::Hash;
    /// An empty slot: all bits zero.
    const VACANT: Self;
    /// The row's key.
    fn key(&self) -> Self::Key;
    /// No row stands in this slot.
    fn is_vacant(&self) -> bool;
}

/// Rows by key, at most `capacity` of them.
pub struct Table<R> {
    slots: Box<[R]>,
    touched: Touched<4>,
    rows: usize,
    capacity: usize,
    hasher: RandomState,
}

/// Where a key stands, or would stand.
pub(crate) enum Slot<'a, R> {
    /// The key's row.
    Found(&'a mut R),
    /// An empty slot, now counted as used: the caller must write the row.
    Vacant(&'a mut R),
    /// The key is new and the table is full.
    Full,
}

#[expect(private_bounds, reason = "rows are defined in this crate only")]
impl<R: Row> Table<R> {
    pub(crate) fn new(capacity: usize, hasher: RandomState) -> Self {
        let slots = (capacity + capacity / 4).max(4);
        Self {
            slots: zeroed(slots),
            touched: Touched::new(slots),
            rows: 0,
            capacity,
            hasher,
        }
    }

    /// Rows in the table.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// No row is in the table.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &R> {
        (self.touched.ranges())
            .flat_map(|block| &self.slots[block])
            .filter(|row| !row.is_vacant())
    }

    /// Hash of a key, with which [`Table::slot_at`] finds its row. Its slot is asked for, so that
    /// it is there when it is needed.
    #[inline]
    pub(crate) fn fetch(&self, key: R::Key) -> u64 {
        let hash = self.hasher.hash_one(key);
        prefetch(&self.slots[self.first_slot(hash)]);
        hash
    }

    /// Multiply and shift: spreads the hash over any number of slots without a division.
    #[inline]
    fn first_slot(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize
    }

    #[inline]
    pub(crate) fn slot(&mut self, key: R::Key) -> Slot<'_, R> {
        self.slot_at(self.hasher.hash_one(key), key)
    }

    /// [`Table::slot`] with the hash that [`Table::fetch`] gave for this key.
    #[inline]
    pub(crate) fn slot_at(&mut self, hash: u64, key: R::Key) -> Slot<'_, R> {
        let mut at = self.first_slot(hash);
        loop {
            if self.slots[at].is_vacant() {
                if self.rows == self.capacity {
                    return Slot::Full;
                }
                self.rows += 1;
                self.touched.mark(at);
                return Slot::Vacant(&mut self.slots[at]);
            }
            if self.slots[at].key() == key {
                return Slot::Found(&mut self.slots[at]);
            }
            at += 1;
            if at == self.slots.len() {
                at = 0;
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.touched
            .clear(|block| self.slots[block].fill(R::VACANT));
        self.rows = 0;
    }
}
