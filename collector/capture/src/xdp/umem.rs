//! Packet memory (UMEM): one mapping, in huge pages where there are any.
//!
//! Frames lie all over it, so that with small pages nearly every packet costs a page walk. Pages
//! are pinned when the kernel registers the memory, so it must be in huge pages before.
#![expect(unsafe_code, reason = "memory is mapped for the kernel to write into")]

use std::{io, ptr, ptr::NonNull};

/// The common size of a huge page.
const HUGE: usize = 2 << 20;
/// The least size of a page: each is touched once.
const PAGE: usize = 4096;

/// Zeroed memory that lies where it lies, aligned to a huge page.
#[derive(Debug)]
pub struct Memory {
    /// What was mapped: it may begin before `start`, to be aligned.
    mapped: (NonNull<libc::c_void>, usize),
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping belongs to this value alone, whichever thread has it.
unsafe impl Send for Memory {}

impl Memory {
    /// Maps and touches `bytes` of memory, on this thread's NUMA node: in reserved huge pages
    /// (`vm.nr_hugepages`) if they suffice, else in transparent ones where the kernel gives them,
    /// else in ordinary ones.
    ///
    /// # Errors
    /// There is not so much memory.
    pub fn map(bytes: usize) -> io::Result<Self> {
        if bytes.is_multiple_of(HUGE)
            && let Ok(mapped) = map(bytes, libc::MAP_HUGETLB | libc::MAP_POPULATE)
        {
            return Ok(Self {
                mapped: (mapped, bytes),
                start: mapped.cast(),
                bytes,
            });
        }
        // Only what is aligned can become a huge page.
        let room = bytes + HUGE;
        let mapped = map(room, 0)?;
        let skip = mapped.as_ptr().align_offset(HUGE);
        // SAFETY: `skip` is less than a huge page, by which the mapping is longer.
        let start = unsafe { mapped.cast::<u8>().add(skip) };
        // SAFETY: the advice is about this mapping, and changes nothing of what it holds. It may
        // be refused: then pages are small.
        unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
        for at in (0..bytes).step_by(PAGE) {
            // SAFETY: the octet lies in the mapping, which nobody else knows yet.
            let page = unsafe { start.add(at) };
            // SAFETY: as above; volatile, since nobody reads what is written.
            unsafe { page.write_volatile(0) };
        }
        Ok(Self {
            mapped: (mapped, room),
            start,
            bytes,
        })
    }

    /// Its first octet.
    pub const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Its length.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let (start, bytes) = self.mapped;
        // SAFETY: the mapping is this value's own, and goes with it.
        unsafe { libc::munmap(start.as_ptr(), bytes) };
    }
}

fn map(bytes: usize, flags: i32) -> io::Result<NonNull<libc::c_void>> {
    // SAFETY: fresh anonymous memory, wherever the kernel likes.
    let mapped = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags,
            -1,
            0,
        )
    };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(mapped).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
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
            // SAFETY: the mapping has so many octets, and nobody writes to them.
            let octets = unsafe { std::slice::from_raw_parts(memory.start().as_ptr(), bytes) };
            assert!(octets.iter().all(|&octet| octet == 0));
        }
    }
}
