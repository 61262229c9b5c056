//! What libxdp makes of a queue: the socket, its packet memory and its rings, undone in order.
#![expect(unsafe_code, reason = "libxdp is a C library")]

use std::{
    cell::UnsafeCell,
    ffi::CString,
    io,
    os::fd::{AsRawFd, RawFd},
    ptr,
};

use libxdp_sys::{
    xsk_ring_cons, xsk_ring_prod, xsk_socket, xsk_socket__create, xsk_socket__delete,
    xsk_socket__fd, xsk_socket_config, xsk_socket_config__bindgen_ty_1, xsk_umem, xsk_umem__create,
    xsk_umem__delete, xsk_umem_config,
};

use super::{
    BindMode, Interface, XskConfig,
    ring::{FillRing, RxRing, no_consumer, no_producer},
    umem::Memory,
};

/// Size of the ring of sent frames: nothing is sent, but the kernel wants it all the same.
const COMPLETION_RING: u32 = 64;
/// `XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD`: the program and its map are aya's.
const NO_PROGRAM: u32 = 1;

/// Packet memory that is registered with the kernel.
#[derive(Debug)]
pub struct Registered {
    umem: *mut xsk_umem,
    rings: Box<Rings>,
    memory: Memory,
}

/// What libxdp knows of the rings: it keeps pointers to these and reads them when it unmaps.
#[derive(Debug)]
struct Rings {
    fill: UnsafeCell<xsk_ring_prod>,
    completion: UnsafeCell<xsk_ring_cons>,
    rx: UnsafeCell<xsk_ring_cons>,
}

/// A bound socket.
#[derive(Debug)]
pub struct Handle {
    socket: *mut xsk_socket,
    fd: RawFd,
    // After the socket, which stands on it.
    registered: Registered,
}

// SAFETY: what libxdp made is used by the thread that has it, and its functions keep no state of
// threads.
unsafe impl Send for Registered {}
// SAFETY: as above.
unsafe impl Send for Handle {}

impl Registered {
    /// Maps packet memory and registers it.
    pub fn new(config: &XskConfig) -> io::Result<Self> {
        let memory = Memory::map(config.frames as usize * config.frame_bytes as usize)?;
        let rings = Box::new(Rings {
            fill: UnsafeCell::new(no_producer()),
            completion: UnsafeCell::new(no_consumer()),
            rx: UnsafeCell::new(no_consumer()),
        });
        let sizes = xsk_umem_config {
            fill_size: config.frames,
            comp_size: COMPLETION_RING,
            frame_size: config.frame_bytes,
            frame_headroom: 0,
            flags: 0,
        };
        let mut umem = ptr::null_mut();
        // SAFETY: memory and rings live until the UMEM is deleted, in this value's drop.
        let result = unsafe {
            xsk_umem__create(
                &raw mut umem,
                memory.start().as_ptr().cast(),
                memory.bytes() as u64,
                rings.fill.get(),
                rings.completion.get(),
                &raw const sizes,
            )
        };
        checked(result)?;
        Ok(Self {
            umem,
            rings,
            memory,
        })
    }

    /// Opens a socket on it and binds that to a queue.
    pub fn bind(
        self,
        interface: &Interface,
        queue: u32,
        config: &XskConfig,
        mode: BindMode,
    ) -> io::Result<Handle> {
        let name = CString::new(interface.name()).map_err(io::Error::other)?;
        let mut flags = match mode {
            BindMode::ZeroCopy => libc::XDP_ZEROCOPY,
            BindMode::Copy => libc::XDP_COPY,
        };
        if config.need_wakeup {
            flags |= libc::XDP_USE_NEED_WAKEUP;
        }
        let sizes = xsk_socket_config {
            rx_size: config.frames,
            tx_size: 0,
            __bindgen_anon_1: xsk_socket_config__bindgen_ty_1 {
                libxdp_flags: NO_PROGRAM,
            },
            xdp_flags: 0,
            bind_flags: flags,
        };
        let mut socket = ptr::null_mut();
        // SAFETY: name and sizes live through the call; UMEM and ring until the socket is
        // deleted, in the handle's drop.
        let result = unsafe {
            xsk_socket__create(
                &raw mut socket,
                name.as_ptr(),
                queue,
                self.umem,
                self.rings.rx.get(),
                ptr::null_mut(),
                &raw const sizes,
            )
        };
        checked(result)?;
        // SAFETY: the socket was just made.
        let fd = unsafe { xsk_socket__fd(socket) };
        Ok(Handle {
            socket,
            fd,
            registered: self,
        })
    }
}

impl Handle {
    /// This process's ends of its rings; none if libxdp made none.
    ///
    /// # Safety
    /// They are asked for once, and dropped before this value.
    pub unsafe fn rings(&self) -> Option<(RxRing, FillRing)> {
        let rings = &self.registered.rings;
        // SAFETY: the rings stay mapped until the socket is deleted; the caller vouches for the
        // rest.
        let rx = unsafe { RxRing::new(&rings.rx) }?;
        // SAFETY: as above.
        let fill = unsafe { FillRing::new(&rings.fill) }?;
        Some((rx, fill))
    }

    /// The packet memory.
    #[inline]
    pub const fn memory(&self) -> &Memory {
        &self.registered.memory
    }
}

impl AsRawFd for Handle {
    fn as_raw_fd(&self) -> RawFd {
        self.fd
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the socket is this value's own, and what it stands on is dropped after it.
        unsafe { xsk_socket__delete(self.socket) };
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: no socket stands on it any more; memory and rings are dropped after it.
        let result = unsafe { xsk_umem__delete(self.umem) };
        if let Err(error) = checked(result) {
            log::error!("cannot give packet memory back to the kernel: {error}");
        }
    }
}

/// libxdp answers with a negative error number.
fn checked(result: i32) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    Ok(())
}
