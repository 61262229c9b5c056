//! Packet memory (UMEM): one mapping, in huge pages if the kernel has them.
//!
//! Frames lie all over it, so that with small pages nearly every packet costs a page walk. The
//! kernel pins the pages when the memory is registered, so it must be in huge pages before.
#![expect(unsafe_code, reason = "memory is advised and touched by address")]

use std::{io, ptr::NonNull};

use super::mapping::Mapping;

/// Octets of a huge page.
const HUGE: usize = 2 << 20;
/// Octets of a small page.
const PAGE: usize = 4096;

/// Zeroed memory at a fixed address, aligned to a huge page.
#[derive(Debug)]
pub struct Memory {
    start: NonNull<u8>,
    bytes: usize,
    /// The mapping may begin before `start`, which is aligned.
    _mapping: Mapping,
}

// SAFETY: the memory belongs to this value alone, and memory belongs to no thread.
unsafe impl Send for Memory {}

impl Memory {
    /// Maps and touches `bytes` of memory, on this thread's NUMA node: in reserved huge pages
    /// (`vm.nr_hugepages`) if enough are free, otherwise in transparent huge pages if the kernel
    /// has them, otherwise in small pages.
    ///
    /// # Errors
    /// The error of `mmap` if there is not enough memory.
    pub fn map(bytes: usize) -> io::Result<Self> {
        if bytes.is_multiple_of(HUGE)
            && let Ok(mapping) = Mapping::anonymous(bytes, libc::MAP_HUGETLB | libc::MAP_POPULATE)
        {
            return Ok(Self {
                start: mapping.start(),
                bytes,
                _mapping: mapping,
            });
        }
        // Only aligned memory can become a huge page.
        let mapping = Mapping::anonymous(bytes + HUGE, 0)?;
        let skip = mapping.start().as_ptr().align_offset(HUGE);
        // SAFETY: `skip` is less than a huge page, by which the mapping is longer than `bytes`.
        let start = unsafe { mapping.start().add(skip) };
        // SAFETY: the advice is about this mapping and does not change its content. If the kernel
        // refuses it, pages are small.
        unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
        for at in (0..bytes).step_by(PAGE) {
            // SAFETY: the octet lies in the mapping, which nothing else refers to yet.
            let page = unsafe { start.add(at) };
            // SAFETY: as above; volatile, since nothing reads the octet.
            unsafe { page.write_volatile(0) };
        }
        Ok(Self {
            start,
            bytes,
            _mapping: mapping,
        })
    }

    /// The first octet.
    #[inline]
    pub const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// The length in octets.
    #[inline]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_zeroed_and_whole() {
        for bytes in [PAGE, HUGE, 3 * HUGE + PAGE] {
            let memory = Memory::map(bytes).unwrap();
            assert_eq!(memory.bytes(), bytes);
            assert_eq!(memory.start().as_ptr().align_offset(HUGE), 0);
            // SAFETY: the mapping has as many octets, and nothing writes to them.
            let octets = unsafe { std::slice::from_raw_parts(memory.start().as_ptr(), bytes) };
            assert!(octets.iter().all(|&octet| octet == 0));
        }
    }
}
