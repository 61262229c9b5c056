//! A receiver on AF_PACKET with a ring of blocks (TPACKET_V3, Linux 3.2): benches measure AF_XDP
//! against it.
#![expect(
    unsafe_code,
    reason = "the ring is shared with the kernel, and packet sockets have no safe wrapper"
)]

use std::{
    io,
    marker::PhantomData,
    mem::{size_of, size_of_val},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU32, Ordering},
};

use noctule_capture::xdp::Interface;

/// Milliseconds after which the kernel hands over a block that is not full.
const RETIRE_MS: u32 = 10;
/// Octets of a slot, which the kernel uses to check the sizes; frames are packed more densely.
const FRAME_BYTES: u32 = 2048;

/// A packet socket whose frames come in blocks of shared memory.
#[derive(Debug)]
pub struct PacketRing {
    socket: OwnedFd,
    memory: NonNull<u8>,
    block_bytes: usize,
    blocks: usize,
    next: usize,
}

// SAFETY: the mapping belongs to this value alone, whichever thread has it.
unsafe impl Send for PacketRing {}

/// A block that belongs to this process until it is dropped.
#[derive(Debug)]
pub struct Block<'a> {
    header: NonNull<libc::tpacket_block_desc>,
    block_bytes: usize,
    _ring: PhantomData<&'a mut PacketRing>,
}

impl PacketRing {
    /// Opens a ring on an interface of the thread's network namespace; `block_bytes` is a multiple
    /// of the page size.
    ///
    /// # Errors
    /// The error of the system call that failed.
    pub fn open(interface: &Interface, blocks: u32, block_bytes: u32) -> io::Result<Self> {
        // Without a protocol the socket receives nothing until it is bound, after the ring is made.
        // SAFETY: `socket` takes no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `socket` has just returned this descriptor, so nothing else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        set(
            &socket,
            libc::PACKET_VERSION,
            &(libc::tpacket_versions::TPACKET_V3 as i32),
        )?;
        let request = libc::tpacket_req3 {
            tp_block_size: block_bytes,
            tp_block_nr: blocks,
            tp_frame_size: FRAME_BYTES,
            tp_frame_nr: block_bytes / FRAME_BYTES * blocks,
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set(&socket, libc::PACKET_RX_RING, &request)?;
        let octets = blocks as usize * block_bytes as usize;
        // SAFETY: a fresh mapping of the ring's size, wherever the kernel likes.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                octets,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let ring = Self {
            socket,
            memory,
            block_bytes: block_bytes as usize,
            blocks: blocks as usize,
            next: 0,
        };
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: interface.index().cast_signed(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: the address has the size that is given, and lives through the call.
        let bound = unsafe {
            libc::bind(
                fd,
                (&raw const address).cast(),
                size_of_val(&address) as libc::socklen_t,
            )
        };
        if bound < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(ring)
    }

    /// The next block, if the kernel has handed it over.
    pub fn block(&mut self) -> Option<Block<'_>> {
        // SAFETY: `next` is less than the number of blocks in the mapping.
        let start = unsafe { self.memory.add(self.next * self.block_bytes) };
        let block = Block {
            header: start.cast(),
            block_bytes: self.block_bytes,
            _ring: PhantomData,
        };
        if block.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            // Dropping it would give the kernel a block that it already has.
            std::mem::forget(block);
            return None;
        }
        self.next = (self.next + 1) % self.blocks;
        Some(block)
    }

    /// Sleeps until a block is there, or for `timeout_ms` milliseconds.
    ///
    /// # Errors
    /// The error of `poll`.
    pub fn wait(&self, timeout_ms: u16) -> io::Result<()> {
        let mut poll = libc::pollfd {
            fd: self.socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd, which lives through the call.
        if unsafe { libc::poll(&raw mut poll, 1, timeout_ms.into()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Frames that found no room in the ring since the last call.
    ///
    /// # Errors
    /// The error of `getsockopt`.
    pub fn lost(&self) -> io::Result<u64> {
        // Packets, drops, and how often the queue was frozen.
        let mut statistics = [0u32; 3];
        let mut octets = size_of_val(&statistics) as libc::socklen_t;
        // SAFETY: the kernel writes at most the octets that are given.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                statistics.as_mut_ptr().cast(),
                &raw mut octets,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(statistics[1].into())
    }
}

impl Drop for PacketRing {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own and no block of it is borrowed any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.blocks * self.block_bytes) };
    }
}

impl Block<'_> {
    /// The frames, link layer first.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        // SAFETY: the kernel has written this header and leaves it alone while the block is held.
        let header = unsafe { self.header.as_ref() };
        // SAFETY: version 1 is the only version of the block header.
        let header = unsafe { header.hdr.bh1 };
        let mut at = header.offset_to_first_pkt as usize;
        (0..header.num_pkts).map_while(move |_| {
            let room = self.block_bytes.checked_sub(at)?;
            if room < size_of::<libc::tpacket3_hdr>() {
                return None;
            }
            // SAFETY: the header lies in the block, as was checked above.
            let frame = unsafe { self.header.cast::<u8>().add(at) };
            // SAFETY: as above; headers are aligned to 16 octets.
            let told = unsafe { frame.cast::<libc::tpacket3_hdr>().as_ref() };
            let (start, octets) = (usize::from(told.tp_mac), told.tp_snaplen as usize);
            if start + octets > room {
                return None;
            }
            at += told.tp_next_offset as usize;
            // SAFETY: the octets lie in the block.
            let first = unsafe { frame.add(start) };
            // SAFETY: as above, and the kernel does not write to a block that is held.
            Some(unsafe { slice::from_raw_parts(first.as_ptr(), octets) })
        })
    }

    fn status(&self) -> &AtomicU32 {
        // SAFETY: the block's header lies in the mapping, which outlives the block.
        let header = unsafe { self.header.as_ptr().as_mut_unchecked() };
        // SAFETY: version 1 is the only version, and its status an aligned word that is shared
        // with the kernel.
        unsafe { AtomicU32::from_ptr(&raw mut header.hdr.bh1.block_status) }
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        self.status()
            .store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
}

fn set<T>(socket: &OwnedFd, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads the value, whose size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            name,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
