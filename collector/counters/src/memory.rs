//! Large zeroed arrays, in huge pages if the kernel provides them.
#![expect(
    unsafe_code,
    reason = "an anonymous mapping is zero without being written, which for gigabytes takes \
              seconds, and huge pages save a page walk for each packet; both need raw memory"
)]

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut};
use zerocopy::FromZeros;

/// Size in octets from which an array asks for huge pages: a smaller one would waste most of a page.
const HUGE: usize = 2 << 20;

/// A zeroed array. The kernel backs a page when it is first written.
pub(crate) struct Memory<T> {
    map: MmapMut,
    length: usize,
    values: PhantomData<T>,
}

impl<T: FromZeros> Memory<T> {
    /// `length` zero values.
    ///
    /// # Panics
    /// If the array cannot be mapped: the address space or the permitted memory is used up.
    pub fn zeroed(length: usize) -> Self {
        let octets = (length * size_of::<T>()).max(1);
        let map = MmapMut::map_anon(octets)
            .unwrap_or_else(|error| panic!("cannot map {octets} octets for a table: {error}"));
        if octets >= HUGE {
            // Fails on a kernel without transparent huge pages; small pages only cost time.
            let _ = map.advise(Advice::HugePage);
        }
        Self {
            map,
            length,
            values: PhantomData,
        }
    }

    /// Makes the kernel back all pages now, so that no packet waits for a page fault later. Needs
    /// Linux 5.14; without it, pages are backed when they are first written.
    pub fn fault_in(&self) {
        // MADV_POPULATE_WRITE fails on kernels before 5.14.
        let _ = self.map.advise(Advice::PopulateWrite);
    }
}

impl<T: FromZeros> Deref for Memory<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping holds `length` values, starts at a page boundary and lives as long as
        // `self`. Each value is all zeros, which `FromZeros` makes valid, or was written as a `T`.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.length) }
    }
}

impl<T: FromZeros> DerefMut for Memory<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().cast(), self.length) }
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
            assert!(memory.iter().copied().eq(0..length as u64));
        }
    }
}
