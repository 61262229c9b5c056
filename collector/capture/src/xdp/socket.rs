//! One AF_XDP socket with its packet memory: the receiving end of one RX queue.
//!
//! Every frame of the packet memory (UMEM) is at any time in exactly one of two places: with
//! the kernel (fill ring, driver, RX ring), or *held* in the batch that [`XskQueue::receive`]
//! took and [`XskQueue::release`] has not yet given back.
#![expect(
    unsafe_code,
    reason = "ring memory is shared with the kernel, and a few socket calls have no safe wrapper"
)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    ptr, slice,
};

use super::{
    BindMode, Interface, XdpError, XskConfig,
    handle::Handle,
    ring::{Descriptor, FillRing, RxRing},
};

/// Microseconds that `poll` may poll the NIC before it sleeps (`SO_BUSY_POLL`). The socket can
/// drive its queue only if this is not 0.
const BUSY_POLL_US: i32 = 20;
/// Least number of frames that one busy poll may take: with the kernel's default of 8 every eighth
/// frame would need a system call.
const LEAST_BUDGET: u32 = 64;
/// Most frames that one busy poll may take, since the kernel's other work waits meanwhile.
const MOST_BUDGET: u32 = 256;

/// Why [`XskQueue::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Frames can be received.
    Frames,
    /// No frame arrived in time.
    TimedOut,
    /// The interface was removed: no further frame can arrive.
    Gone,
}

/// Frames that the kernel lost on the way to this socket, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XskStatistics {
    /// Frames lost because they were too long or, in copy mode, the fill ring was empty.
    pub rx_dropped: u64,
    /// Frames lost to descriptors that the kernel refused; a number above 0 is a defect of Noctule.
    pub rx_invalid_descs: u64,
    /// Frames lost because the RX ring was full: the worker was too slow.
    pub rx_ring_full: u64,
    /// How often the kernel found the fill ring empty: attempts, not frames.
    pub rx_fill_ring_empty_descs: u64,
}

/// The receiving end of one RX queue.
///
/// A receive loop:
///
/// ```no_run
/// # use noctule_capture::xdp::{Ready, XskQueue, XdpError};
/// # fn run(queue: &mut XskQueue) -> Result<(), XdpError> {
/// loop {
///     let frames = queue.receive();
///     for place in 0..frames {
///         let _octets = queue.frame(place);
///     }
///     queue.release();
///     if frames == 0 && queue.wait(100)? == Ready::Gone {
///         return Ok(());
///     }
/// }
/// # }
/// ```
///
/// Dropping it closes the socket and frees the packet memory. It may be moved to another thread.
#[derive(Debug)]
pub struct XskQueue {
    /// Frames of the RX ring, from its first on, that were received and not yet given back.
    pub(super) held: u32,
    pub(super) rx: RxRing,
    pub(super) fill: FillRing,
    /// Start of packet memory.
    pub(super) memory: *const u8,
    pub(super) memory_bytes: usize,
    /// True if the worker drives the NIC's queue, instead of interrupts.
    pub(super) busy_polling: bool,
    /// True once it is known that the driver can, which is when frames have arrived.
    pub(super) busy_polling_proved: bool,
    pub(super) config: XskConfig,
    pub(super) interface: Interface,
    pub(super) queue: u32,
    pub(super) mode: BindMode,
    /// True if a frame may continue in further descriptors.
    pub(super) fragments: bool,
    pub(super) gone: bool,
    // After the rings: the socket, and the packet memory that `memory` points to.
    pub(super) handle: Handle,
}

// SAFETY: the pointer is to memory that `handle` owns, which moves to the other thread with it.
unsafe impl Send for XskQueue {}

impl XskQueue {
    /// Takes up to a batch of frames from the RX ring; returns how many.
    ///
    /// If the previous batch is still held, it is given back first, as by
    /// [`release`](Self::release); while that fails no frame is taken.
    #[inline]
    pub fn receive(&mut self) -> usize {
        if self.held != 0 && !self.release() {
            return 0;
        }
        self.held = self.rx.peek(self.config.batch);
        if self.held == 0 && self.busy_polling {
            self.wake();
            self.held = self.rx.peek(self.config.batch);
        }
        if self.fragments && self.held != 0 {
            self.held = self.whole_frames(self.held);
        }
        self.held as usize
    }

    /// The number of descriptors nearest to `taken` that end with a frame's last one.
    #[cold]
    fn whole_frames(&mut self, taken: u32) -> u32 {
        let all = self.rx.peek(u32::MAX);
        let ends = |rx: &RxRing, count: u32| !continues(rx.descriptor(count - 1));
        let longer = (taken..=all).find(|&count| ends(&self.rx, count));
        // The kernel publishes whole frames, so that there is a longer one.
        longer.unwrap_or_else(|| {
            (1..taken)
                .rev()
                .find(|&count| ends(&self.rx, count))
                .unwrap_or(0)
        })
    }

    /// True if a frame may be longer than one descriptor: then [`start`](Self::start) finds the
    /// frames of a batch.
    #[inline]
    pub const fn has_fragments(&self) -> bool {
        self.fragments
    }

    /// The first octets of the frame that begins at `place` of the batch, and the octets of the whole
    /// frame; `None` if the frame before it continues there.
    pub fn start(&self, place: usize) -> Option<(&[u8], usize)> {
        let held = self.held as usize;
        if place >= held || place > 0 && continues(self.rx.descriptor(place as u32 - 1)) {
            return None;
        }
        let mut octets = 0;
        for place in place..held {
            let descriptor = self.rx.descriptor(place as u32);
            octets += descriptor.len as usize;
            if !continues(descriptor) {
                break;
            }
        }
        Some((self.frame(place), octets))
    }

    /// The octets of frame `place` of the batch, link layer first; if frames may continue, those of
    /// one descriptor.
    ///
    /// Empty for a place that is not below what [`receive`](Self::receive) returned, and for a
    /// descriptor that reaches outside its frame, which would be a defect of the kernel.
    #[inline]
    pub fn frame(&self, place: usize) -> &[u8] {
        if place >= self.held as usize {
            return &[];
        }
        let descriptor = self.rx.descriptor(place as u32);
        let (start, octets) = (descriptor.addr as usize, descriptor.len as usize);
        if octets > room(start, self.config.frame_bytes as usize, self.memory_bytes) {
            return &[];
        }
        // SAFETY: by the check above the octets lie inside one frame of this memory.
        let first = unsafe { self.memory.add(start) };
        // SAFETY: as above, and while the frame is held neither the kernel nor this process writes
        // to it.
        unsafe { slice::from_raw_parts(first, octets) }
    }

    /// Gives the batch back to the kernel: all of it, or none.
    ///
    /// Returns false if the fill ring has no room; the frames stay held and are given back by the
    /// next call. It makes a system call only to wake a driver that requests it.
    #[inline]
    pub fn release(&mut self) -> bool {
        if self.held == 0 {
            return true;
        }
        let rx = &self.rx;
        if !(self.fill).give(self.held, |place| rx.descriptor(place).addr) {
            return false;
        }
        self.rx.release(self.held);
        self.held = 0;
        // A worker that drives the queue itself wakes the driver when it finds no frames.
        if self.config.need_wakeup && !self.busy_polling && self.fill.needs_wakeup() {
            self.wake();
        }
        true
    }

    /// Lets the worker drive the NIC's queue (preferred busy polling, Linux 5.11).
    ///
    /// # Errors
    /// The error of `setsockopt`; then interrupts drive the queue as before.
    pub(super) fn start_busy_polling(&mut self) -> io::Result<()> {
        let budget = self.config.batch.clamp(LEAST_BUDGET, MOST_BUDGET);
        for (option, value) in [
            (libc::SO_PREFER_BUSY_POLL, 1),
            (libc::SO_BUSY_POLL, BUSY_POLL_US),
            (libc::SO_BUSY_POLL_BUDGET, budget.cast_signed()),
        ] {
            (self.handle).set_option(libc::SOL_SOCKET, option, &value)?;
        }
        self.busy_polling = true;
        Ok(())
    }

    /// True if the worker drives the NIC's queue.
    pub fn is_busy_polling(&self) -> bool {
        self.busy_polling
    }

    /// Ends busy polling if the driver gives its queue no NAPI number: then a socket cannot drive
    /// it. The number is known once frames have arrived.
    fn prove_busy_polling(&mut self) {
        match self
            .handle
            .option::<u32>(libc::SOL_SOCKET, libc::SO_INCOMING_NAPI_ID)
        {
            Ok(0) if self.rx.has_moved() => {
                self.busy_polling = false;
                log::warn!(
                    "queue {} of {} cannot be polled by a socket, so interrupts go on driving it: \
                     leave busy_poll off for this driver",
                    self.queue,
                    self.interface.name()
                );
            }
            Ok(0) | Err(_) => {}
            Ok(_) => self.busy_polling_proved = true,
        }
    }

    /// Waits for a frame, at most `timeout_ms` milliseconds.
    ///
    /// The removal of the interface is noticed at the latest when the time is over.
    ///
    /// # Errors
    /// [`XdpError::Socket`] if the socket cannot be polled.
    pub fn wait(&mut self, timeout_ms: u16) -> Result<Ready, XdpError> {
        if self.gone {
            return Ok(Ready::Gone);
        }
        if self.busy_polling && !self.busy_polling_proved {
            self.prove_busy_polling();
        }
        let mut poll = libc::pollfd {
            fd: self.handle.as_fd().as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd, which lives through the call.
        let events = unsafe { libc::poll(&raw mut poll, 1, timeout_ms.into()) };
        if events < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::Interrupted => Ok(Ready::TimedOut),
                _ => Err(self.socket_error("poll", error)),
            };
        }
        if poll.revents & libc::POLLIN != 0 {
            return Ok(Ready::Frames);
        }
        // The kernel unbinds a socket whose device was removed. `poll` then finds it idle for ever;
        // only its pending error (ENETDOWN) shows the removal.
        let broken = poll.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0;
        if broken || self.pending_error() != 0 || !self.interface.still_exists() {
            self.gone = true;
            return Ok(Ready::Gone);
        }
        Ok(Ready::TimedOut)
    }

    /// The socket's descriptor, for [`XdpProgram::serve`](super::XdpProgram::serve).
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// The interface that the socket is bound to.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// The RX queue that the socket is bound to.
    pub fn queue(&self) -> u32 {
        self.queue
    }

    /// The mode in effect, as the kernel reports it (Linux 5.3).
    pub fn mode(&self) -> BindMode {
        self.mode
    }

    /// Most frames that can be matched and neither counted nor lost: all of packet memory, and one
    /// that the kernel has matched and not yet placed or dropped.
    pub fn capacity(&self) -> u64 {
        u64::from(self.config.frames) + 1
    }

    /// The settings it was opened with.
    pub fn config(&self) -> &XskConfig {
        &self.config
    }

    /// How many frames the kernel lost on the way to this socket (Linux 5.9).
    ///
    /// # Errors
    /// [`XdpError::Socket`] if the kernel does not return the statistics.
    pub fn statistics(&self) -> Result<XskStatistics, XdpError> {
        // The fields of `struct xdp_statistics`, of which two are about sending.
        let read = self
            .handle
            .option::<[u64; 6]>(libc::SOL_XDP, libc::XDP_STATISTICS)
            .map_err(|source| self.socket_error("read the statistics of", source))?;
        let [
            rx_dropped,
            rx_invalid_descs,
            _,
            rx_ring_full,
            rx_fill_ring_empty_descs,
            _,
        ] = read;
        Ok(XskStatistics {
            rx_dropped,
            rx_invalid_descs,
            rx_ring_full,
            rx_fill_ring_empty_descs,
        })
    }

    /// Wakes the driver: the fill ring has frames again. The result is ignored: it is EAGAIN while
    /// there are no frames, and [`wait`](Self::wait) notices a removed device.
    pub(super) fn wake(&self) {
        let fd = self.handle.as_fd().as_raw_fd();
        // SAFETY: a length of 0 octets needs no buffer, and the address is not requested.
        unsafe {
            libc::recvfrom(
                fd,
                ptr::null_mut(),
                0,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
    }

    fn pending_error(&self) -> i32 {
        self.handle
            .option::<i32>(libc::SOL_SOCKET, libc::SO_ERROR)
            .unwrap_or(libc::EBADF)
    }

    pub(super) fn mode_in_effect(&self) -> Result<BindMode, XdpError> {
        let flags = self
            .handle
            .option::<u32>(libc::SOL_XDP, libc::XDP_OPTIONS)
            .map_err(|source| self.socket_error("read the mode of", source))?;
        Ok(if flags & libc::XDP_OPTIONS_ZEROCOPY != 0 {
            BindMode::ZeroCopy
        } else {
            BindMode::Copy
        })
    }

    pub(super) fn socket_error(&self, action: &'static str, source: io::Error) -> XdpError {
        XdpError::Socket {
            action,
            interface: self.interface.name().to_owned(),
            queue: self.queue,
            source,
        }
    }
}

impl AsFd for XskQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

/// True if the frame continues in the next descriptor.
#[inline]
const fn continues(descriptor: Descriptor) -> bool {
    descriptor.options & libc::XDP_PKT_CONTD != 0
}

/// How many octets from `start` on lie inside the frame that holds `start`.
#[inline]
fn room(start: usize, frame_bytes: usize, memory_bytes: usize) -> usize {
    if start >= memory_bytes {
        return 0;
    }
    // Frames are powers of two and aligned to their size.
    frame_bytes - (start & (frame_bytes - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// For any descriptor that the kernel may write, the octets returned lie in one frame.
        #[test]
        fn room_never_leaves_the_frame(start: usize, near in 0usize..40_000, four: bool) {
            let frame_bytes = if four { 4096 } else { 2048 };
            let memory = 8 * frame_bytes;
            for start in [start, near] {
                let octets = room(start, frame_bytes, memory);
                prop_assert!(octets <= frame_bytes);
                if octets > 0 {
                    prop_assert!(start + octets <= memory);
                    prop_assert_eq!(start / frame_bytes, (start + octets - 1) / frame_bytes);
                } else {
                    prop_assert!(start >= memory);
                }
            }
        }
    }
}
