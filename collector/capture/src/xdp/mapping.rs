//! A memory mapping that is unmapped when it is dropped.
#![expect(unsafe_code, reason = "memory is mapped by a system call")]

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr::{self, NonNull},
};

/// Mapped memory, readable and writable. It stays at its address for as long as the value lives.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping belongs to this value alone, and memory belongs to no thread.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference only gives the address; whoever accesses the memory through it ensures
// that the accesses do not conflict.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `bytes` octets of fresh, zeroed memory; `flags` are further flags of `mmap`.
    ///
    /// # Errors
    /// The error of `mmap`.
    pub fn anonymous(bytes: usize, flags: i32) -> io::Result<Self> {
        Self::map(
            bytes,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags,
            -1,
            0,
        )
    }

    /// Maps `bytes` octets that the kernel shares through a descriptor, from `offset` on.
    ///
    /// # Errors
    /// The error of `mmap`.
    pub fn shared(bytes: usize, fd: BorrowedFd<'_>, offset: libc::off_t) -> io::Result<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        Self::map(bytes, flags, fd.as_raw_fd(), offset)
    }

    fn map(bytes: usize, flags: i32, fd: i32, offset: libc::off_t) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses the address, so no mapping in use is replaced.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, fd, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, bytes })
    }

    /// The first octet, aligned to a page.
    #[inline]
    pub const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// The length in octets.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping, and what points into it is dropped with its owner.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
