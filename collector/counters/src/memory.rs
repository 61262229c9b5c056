//! Large zeroed arrays, in huge pages where the kernel has them.
#![expect(
    unsafe_code,
    reason = "a table of gigabytes must not be written once just to make it empty, and a page of \
              4 KiB for every row costs a page walk a packet"
)]

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut};

/// Types for which all bits zero is a valid, empty value.
///
/// # Safety
/// Implement it only for plain data (integers and arrays or structures of them).
pub(crate) unsafe trait Zeroable: Copy {}

// SAFETY: an integer.
unsafe impl Zeroable for u8 {}
// SAFETY: an integer.
unsafe impl Zeroable for u32 {}
// SAFETY: an integer.
unsafe impl Zeroable for u64 {}
// SAFETY: two integers.
unsafe impl Zeroable for crate::ports::PortCount {}
// SAFETY: an array of integers.
unsafe impl Zeroable for crate::table::Tags {}
// SAFETY: integers only.
unsafe impl Zeroable for crate::flow::Row4 {}
// SAFETY: integers only.
unsafe impl Zeroable for crate::flow::Row6 {}
// SAFETY: integers only.
unsafe impl Zeroable for crate::fingerprints::FingerprintRow {}
// SAFETY: integers only.
unsafe impl Zeroable for crate::victims::VictimRow {}

/// Arrays from this size on are advised to lie in huge pages: smaller ones would waste most of one.
const HUGE: usize = 2 << 20;

/// A zeroed array that the kernel backs only where it is touched.
pub(crate) struct Memory<T> {
    map: MmapMut,
    length: usize,
    values: PhantomData<T>,
}

impl<T: Zeroable> Memory<T> {
    /// `length` zero values.
    ///
    /// # Panics
    /// The address space is used up.
    pub fn zeroed(length: usize) -> Self {
        let octets = (length * size_of::<T>()).max(1);
        let map = MmapMut::map_anon(octets)
            .unwrap_or_else(|error| panic!("cannot map {octets} octets for a table: {error}"));
        if octets >= HUGE {
            // A kernel without transparent huge pages refuses; small pages only cost time.
            let _ = map.advise(Advice::HugePage);
        }
        Self {
            map,
            length,
            values: PhantomData,
        }
    }

    /// Has the kernel back all of it now, so that no packet waits for a page later.
    pub fn fault_in(&self) {
        // Kernels before 5.14 refuse; then pages come one by one, as they are touched.
        let _ = self.map.advise(Advice::PopulateWrite);
    }
}

impl<T: Zeroable> Deref for Memory<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping is at least this long, begins on a page, lives as long as `self`, and
        // every value in it was zero or written as a `T`; `Zeroable` makes zero a value.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.length) }
    }
}

impl<T: Zeroable> DerefMut for Memory<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().cast(), self.length) }
    }
}

impl<T: Zeroable> Clone for Memory<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.length);
        copy.copy_from_slice(self);
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zero_and_keeps_what_is_written() {
        for length in [0, 1, 1000, HUGE / 8 + 3] {
            let mut memory = Memory::<u64>::zeroed(length);
            assert!(memory.len() == length && memory.iter().all(|&value| value == 0));
            memory.fault_in();
            for (place, value) in memory.iter_mut().enumerate() {
                *value = place as u64;
            }
            let copy = memory.clone();
            assert!(copy.iter().copied().eq(0..length as u64));
        }
    }
}
