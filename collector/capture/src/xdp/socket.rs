//! One AF_XDP socket with its packet memory: the receiving end of one RX queue.
//!
//! Every frame of the packet memory (UMEM) is at any time in exactly one of three places: with
//! the kernel (fill ring, driver, RX ring), or *held* in the batch that [`XskQueue::receive`]
//! took and [`XskQueue::release`] has not yet given back.
#![expect(
    unsafe_code,
    reason = "ring memory is shared with the kernel, and a few socket calls have no safe wrapper"
)]

use std::{
    io,
    mem::{size_of, size_of_val},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr, slice,
};

use super::{
    BindMode, Interface, XdpError, XskConfig,
    handle::Handle,
    ring::{FillRing, RxRing},
};

/// Microseconds that a sleep in poll may poll the NIC before it sleeps (`SO_BUSY_POLL`); any number
/// but 0 lets the socket drive its queue at all.
const BUSY_POLL_US: i32 = 20;
/// Frames that one drive of the NIC takes at least; the kernel's default of 8 would make a system
/// call of every eighth frame.
const LEAST_BUDGET: u32 = 64;
/// As many, at most: the kernel's own work waits as long.
const MOST_BUDGET: u32 = 256;

/// Why [`XskQueue::wait`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Frames can be received.
    Frames,
    /// Nothing came in time.
    TimedOut,
    /// The interface was removed: no frame will ever come.
    Gone,
}

/// What the kernel lost on the way to this socket, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XskStatistics {
    /// Frames lost because they were too long or, in copy mode, the fill ring was empty.
    pub rx_dropped: u64,
    /// Frames lost to descriptors that the kernel refused; anything but 0 is a defect here.
    pub rx_invalid_descs: u64,
    /// Frames lost because the RX ring was full: the worker was too slow.
    pub rx_ring_full: u64,
    /// Attempts, not frames: how often the fill ring was found empty.
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
/// Dropping it closes the socket and frees the packet memory. It may move to another thread.
#[derive(Debug)]
pub struct XskQueue {
    /// Frames of the RX ring, from its first on, that were received and not yet given back.
    pub(super) held: u32,
    pub(super) rx: RxRing,
    pub(super) fill: FillRing,
    /// Start of packet memory.
    pub(super) memory: *const u8,
    pub(super) memory_bytes: usize,
    /// The worker drives the NIC's queue, instead of interrupts.
    pub(super) busy_polling: bool,
    /// Whether it can is known only once frames have come.
    pub(super) busy_polling_proved: bool,
    pub(super) config: XskConfig,
    pub(super) interface: Interface,
    pub(super) queue: u32,
    pub(super) mode: BindMode,
    pub(super) gone: bool,
    /// Keeps the rings and the memory where they are.
    pub(super) handle: Handle,
}

// SAFETY: the pointer is to memory that `handle` owns, which moves along.
unsafe impl Send for XskQueue {}

impl XskQueue {
    /// Takes up to a batch of frames from the RX ring; returns how many.
    ///
    /// The frames of the batch before are given back first, if [`release`](Self::release) was
    /// forgotten or could not; while that fails nothing new is taken.
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
        self.held as usize
    }

    /// The octets of frame `place` of the batch, link layer first.
    ///
    /// Empty for a place at or after what [`receive`](Self::receive) returned, and for a
    /// descriptor that reaches outside its frame, which no sound kernel writes.
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
        // SAFETY: the check above holds the octets inside one frame of this memory.
        let first = unsafe { self.memory.add(start) };
        // SAFETY: as above, and while the frame is held neither the kernel nor this process
        // writes to it.
        unsafe { slice::from_raw_parts(first, octets) }
    }

    /// Gives the batch back to the kernel: all of it, or none.
    ///
    /// Returns false when the fill ring had no room; the frames stay held and are given back
    /// the next time. The one system call here is the wake-up that a driver asks for.
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
        // Where the worker drives the queue itself, it will do so when it finds nothing.
        if self.config.need_wakeup && !self.busy_polling && self.fill.needs_wakeup() {
            self.wake();
        }
        true
    }

    /// Lets the worker drive the NIC's queue (preferred busy polling), if the kernel can.
    ///
    /// # Errors
    /// What the kernel answers; nothing has changed for the receiving then.
    pub(super) fn start_busy_polling(&mut self) -> io::Result<()> {
        let budget = self.config.batch.clamp(LEAST_BUDGET, MOST_BUDGET);
        self.set_option(libc::SO_PREFER_BUSY_POLL, 1)?;
        self.set_option(libc::SO_BUSY_POLL, BUSY_POLL_US)?;
        self.set_option(libc::SO_BUSY_POLL_BUDGET, budget.cast_signed())?;
        self.busy_polling = true;
        Ok(())
    }

    /// Does the worker drive the NIC's queue?
    pub fn is_busy_polling(&self) -> bool {
        self.busy_polling
    }

    /// A driver without a number for its queue cannot be driven by a socket; frames say it.
    fn prove_busy_polling(&mut self) {
        match self.option::<u32>(libc::SOL_SOCKET, libc::SO_INCOMING_NAPI_ID) {
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

    /// Waits until a frame is there, at most `timeout_ms` milliseconds.
    ///
    /// An interface that was removed is noticed at the latest when the time is over.
    ///
    /// # Errors
    /// [`XdpError::Socket`] when the socket cannot be polled.
    pub fn wait(&mut self, timeout_ms: u16) -> Result<Ready, XdpError> {
        if self.gone {
            return Ok(Ready::Gone);
        }
        if self.busy_polling && !self.busy_polling_proved {
            self.prove_busy_polling();
        }
        let mut poll = libc::pollfd {
            fd: self.handle.as_raw_fd(),
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
        // A socket whose device went away is unbound by the kernel and polls as idle for ever;
        // only its pending error (ENETDOWN) tells.
        let broken = poll.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0;
        if broken || self.pending_error() != 0 || !self.interface.still_exists() {
            self.gone = true;
            return Ok(Ready::Gone);
        }
        Ok(Ready::TimedOut)
    }

    /// The socket's descriptor, for [`XdpProgram::serve`](super::XdpProgram::serve).
    pub fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor stays open as long as the queues in `self` do.
        unsafe { BorrowedFd::borrow_raw(self.handle.as_raw_fd()) }
    }

    /// The RX queue it is bound to.
    pub fn queue(&self) -> u32 {
        self.queue
    }

    /// The mode that is really in effect, as the kernel says.
    pub fn mode(&self) -> BindMode {
        self.mode
    }

    /// Most frames that can be matched and not yet counted or lost: all of packet memory, and
    /// one that the kernel has matched and not yet placed or dropped.
    pub fn capacity(&self) -> u64 {
        u64::from(self.config.frames) + 1
    }

    /// Its sizes.
    pub fn config(&self) -> &XskConfig {
        &self.config
    }

    /// What the kernel lost on the way to this socket.
    ///
    /// # Errors
    /// [`XdpError::Socket`].
    pub fn statistics(&self) -> Result<XskStatistics, XdpError> {
        // Those of `struct xdp_statistics`, without those of sending.
        let read = self
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

    /// Tells the driver that the fill ring has frames again. Its answer says nothing: without
    /// frames to receive it is EAGAIN, and a device that is gone shows in [`wait`](Self::wait).
    pub(super) fn wake(&self) {
        let fd = self.handle.as_raw_fd();
        // SAFETY: nothing is received, so no pointer is needed.
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
        self.option::<i32>(libc::SOL_SOCKET, libc::SO_ERROR)
            .unwrap_or(libc::EBADF)
    }

    pub(super) fn mode_in_effect(&self) -> Result<BindMode, XdpError> {
        let flags = self
            .option::<u32>(libc::SOL_XDP, libc::XDP_OPTIONS)
            .map_err(|source| self.socket_error("read the mode of", source))?;
        Ok(if flags & libc::XDP_OPTIONS_ZEROCOPY != 0 {
            BindMode::ZeroCopy
        } else {
            BindMode::Copy
        })
    }

    fn option<T: Default + Copy>(&self, level: i32, name: i32) -> io::Result<T> {
        let mut value = T::default();
        let mut octets = size_of::<T>() as libc::socklen_t;
        // SAFETY: `value` is plain integers of `octets` octets; the kernel writes no more.
        let result = unsafe {
            libc::getsockopt(
                self.handle.as_raw_fd(),
                level,
                name,
                (&raw mut value).cast(),
                &raw mut octets,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(value)
    }

    fn set_option(&self, name: i32, value: i32) -> io::Result<()> {
        // SAFETY: the kernel reads an integer, whose size is given.
        let result = unsafe {
            libc::setsockopt(
                self.handle.as_raw_fd(),
                libc::SOL_SOCKET,
                name,
                (&raw const value).cast(),
                size_of_val(&value) as libc::socklen_t,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    fn socket_error(&self, action: &'static str, source: io::Error) -> XdpError {
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
        /// Whatever the kernel writes into a descriptor, the octets shown lie in one frame.
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
