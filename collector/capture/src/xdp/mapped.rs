//! A BPF array that is mapped into this process (Linux 5.5), so that no access is a system call.
#![expect(
    unsafe_code,
    reason = "a map is mapped by a system call and shared with the kernel"
)]

use std::{
    fmt, io,
    os::fd::{AsFd as _, AsRawFd as _},
    ptr::{self, NonNull},
    slice,
    sync::atomic::AtomicU64,
};

use aya::{Ebpf, maps::Map};

use super::{Interface, XdpError, error::no_map};

/// The elements of a `BPF_F_MMAPABLE` array as 64-bit words. They remain after the program is
/// unloaded, since the mapping keeps the map.
pub(super) struct Mapped {
    words: NonNull<AtomicU64>,
    length: usize,
}

// SAFETY: the memory belongs to no thread, and is accessed only through atomics.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps the whole array `name`.
    ///
    /// # Errors
    /// [`XdpError::Load`] if the object has no such array, [`XdpError::Map`] if the kernel does not
    /// map it.
    pub fn new(ebpf: &Ebpf, interface: &Interface, name: &'static str) -> Result<Self, XdpError> {
        let Some(Map::Array(map)) = ebpf.map(name) else {
            return Err(no_map(interface.name(), name));
        };
        let failed = |reason: String| XdpError::Map {
            action: "map into memory".into(),
            map: name,
            reason,
        };
        let info = map.info().map_err(|error| failed(error.to_string()))?;
        let element = (info.value_size() as usize).next_multiple_of(size_of::<u64>());
        let bytes = element * info.max_entries() as usize;
        // SAFETY: the kernel chooses the address, so no mapping in use is replaced.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.fd().as_fd().as_raw_fd(),
                0,
            )
        };
        match NonNull::new(at.cast()) {
            Some(words) if at != libc::MAP_FAILED => Ok(Self {
                words,
                length: bytes / size_of::<u64>(),
            }),
            _ => Err(failed(io::Error::last_os_error().to_string())),
        }
    }

    /// All words, one element after another.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has this length, is aligned to a page, and lives as long as `self`;
        // the kernel and this process access whole words, atomically.
        unsafe { slice::from_raw_parts(self.words.as_ptr(), self.length) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.words.as_ptr().cast(), self.length * size_of::<u64>()) };
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapped")
            .field("words", &self.length)
            .finish_non_exhaustive()
    }
}
