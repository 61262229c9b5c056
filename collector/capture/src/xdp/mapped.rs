//! A BPF array that is mapped into this process (Linux 5.5), so that no access is a system call.
#![expect(unsafe_code, reason = "the kernel writes to the mapped words")]

use std::{fmt, os::fd::AsFd as _, slice, sync::atomic::AtomicU64};

use aya::{Ebpf, maps::Map};

use super::{Interface, XdpError, error::no_map, mapping::Mapping};

/// The elements of a `BPF_F_MMAPABLE` array as 64-bit words. They remain after the program is
/// unloaded, since the mapping keeps the map.
pub(super) struct Mapped {
    memory: Mapping,
}

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
        Mapping::shared(bytes, map.fd().as_fd(), 0)
            .map(|memory| Self { memory })
            .map_err(|error| failed(error.to_string()))
    }

    /// All words, one element after another.
    pub fn words(&self) -> &[AtomicU64] {
        let words = self.memory.bytes() / size_of::<u64>();
        // SAFETY: the mapping has this length, is aligned to a page, and lives as long as `self`;
        // the kernel and this process access whole words, atomically.
        unsafe { slice::from_raw_parts(self.memory.start().as_ptr().cast(), words) }
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapped")
            .field("bytes", &self.memory.bytes())
            .finish_non_exhaustive()
    }
}
