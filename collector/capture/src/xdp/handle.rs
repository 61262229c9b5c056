//! A bound AF_XDP socket with its packet memory and rings (Linux 5.9), made by system calls.
#![expect(unsafe_code, reason = "AF_XDP sockets have no safe wrapper")]

use std::{
    io,
    mem::size_of,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    ptr,
};

use super::{
    BindMode, Interface, XskConfig,
    ring::{FillRing, RxRing},
    system::socket,
    umem::Memory,
};

/// Entries of the ring of sent frames. Nothing is sent, but the kernel requires the ring.
const COMPLETION_RING: u32 = 64;

/// A socket whose packet memory is registered with the kernel and whose rings are made.
#[derive(Debug)]
pub struct Handle {
    fd: OwnedFd,
    // After the socket: the kernel uses the memory until the socket is closed.
    memory: Memory,
}

impl Handle {
    /// Maps packet memory, registers it with a new socket, and makes the rings.
    ///
    /// # Errors
    /// The error of the system call that failed.
    pub fn new(config: &XskConfig) -> io::Result<(Self, RxRing, FillRing)> {
        let memory = Memory::map(config.frames as usize * config.frame_bytes as usize)?;
        let fd = socket(libc::AF_XDP, libc::SOCK_RAW)?;
        let region = libc::xdp_umem_reg {
            addr: memory.start().as_ptr() as u64,
            len: memory.bytes() as u64,
            chunk_size: config.frame_bytes,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        let handle = Self { fd, memory };
        handle.set_option(libc::SOL_XDP, libc::XDP_UMEM_REG, &region)?;
        for (ring, entries) in [
            (libc::XDP_UMEM_FILL_RING, config.frames),
            (libc::XDP_UMEM_COMPLETION_RING, COMPLETION_RING),
            (libc::XDP_RX_RING, config.frames),
        ] {
            handle.set_option(libc::SOL_XDP, ring, &entries)?;
        }
        // Producer, consumer, entries and flags of RX, TX, fill and completion ring, which are the
        // fields of `struct xdp_mmap_offsets`.
        let offsets: [[u64; 4]; 4] = handle.option(libc::SOL_XDP, libc::XDP_MMAP_OFFSETS)?;
        let [rx, _, fill, _] =
            offsets.map(|[producer, consumer, desc, flags]| libc::xdp_ring_offset {
                producer,
                consumer,
                desc,
                flags,
            });
        let rx = RxRing::map(handle.as_fd(), &rx, config.frames)?;
        let fill = FillRing::map(handle.as_fd(), &fill, config.frames)?;
        Ok((handle, rx, fill))
    }

    /// Binds the socket to an RX queue; `fragments` lets frames continue in further descriptors.
    ///
    /// # Errors
    /// The error of `bind`.
    pub fn bind(
        &self,
        interface: &Interface,
        queue: u32,
        mode: BindMode,
        need_wakeup: bool,
        fragments: bool,
    ) -> io::Result<()> {
        let mut flags = match mode {
            BindMode::ZeroCopy => libc::XDP_ZEROCOPY,
            BindMode::Copy => libc::XDP_COPY,
        };
        if need_wakeup {
            flags |= libc::XDP_USE_NEED_WAKEUP;
        }
        if fragments {
            flags |= libc::XDP_USE_SG;
        }
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            sxdp_flags: flags,
            sxdp_ifindex: interface.index(),
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: 0,
        };
        // SAFETY: the address has the size that is given, and lives through the call.
        let result = unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_xdp>() as libc::socklen_t,
            )
        };
        checked(result)
    }

    /// Reads a socket option, which must be plain integers of the size of `T`.
    ///
    /// # Errors
    /// The error of `getsockopt`.
    pub fn option<T: Default + Copy>(&self, level: i32, name: i32) -> io::Result<T> {
        let mut value = T::default();
        let mut octets = size_of::<T>() as libc::socklen_t;
        // SAFETY: `value` is plain integers of `octets` octets; the kernel writes at most as many.
        let result = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                level,
                name,
                (&raw mut value).cast(),
                &raw mut octets,
            )
        };
        checked(result)?;
        Ok(value)
    }

    /// Sets a socket option, which must be plain integers of the size of `T`.
    ///
    /// # Errors
    /// The error of `setsockopt`.
    pub fn set_option<T: Copy>(&self, level: i32, name: i32, value: &T) -> io::Result<()> {
        // SAFETY: the kernel reads `value`, whose size is given.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                name,
                ptr::from_ref(value).cast(),
                size_of::<T>() as libc::socklen_t,
            )
        };
        checked(result)
    }

    /// The packet memory.
    #[inline]
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The error of a system call that returned a negative number.
fn checked(result: i32) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
