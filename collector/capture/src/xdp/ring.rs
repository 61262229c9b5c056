//! The two rings of a receiving socket in this process's memory: the kernel puts frames into the RX
//! ring, and takes empty frames from the fill ring.
#![expect(unsafe_code, reason = "rings are memory shared with the kernel")]

use std::{
    io,
    os::fd::BorrowedFd,
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use super::mapping::Mapping;

/// A descriptor: where in packet memory a frame's octets begin, and how many there are.
pub use libc::xdp_desc as Descriptor;

/// A ring's positions and entries. Positions wrap at 2^32 and are taken modulo the ring's size, a
/// power of two.
#[derive(Debug)]
struct Shared<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    mask: u32,
    /// The memory that the pointers lead into; tests have their own.
    _mapping: Option<Mapping>,
}

/// The RX ring.
#[derive(Debug)]
pub struct RxRing {
    shared: Shared<Descriptor>,
    /// The first entry that was not given back to the kernel.
    first: u32,
    /// The end of the entries that the kernel is known to have written.
    end: u32,
}

/// The fill ring.
#[derive(Debug)]
pub struct FillRing {
    shared: Shared<u64>,
    /// The end of the entries that this side has written.
    end: u32,
    /// The first entry that the kernel may not have taken yet.
    first: u32,
}

// SAFETY: this side's positions and the entries that it owns are accessed through this value only,
// by the thread that has it; the kernel's side does not depend on threads.
unsafe impl Send for RxRing {}
// SAFETY: as above.
unsafe impl Send for FillRing {}

impl<T> Shared<T> {
    /// Maps a socket's ring of `size` entries, a power of two. `page` is the ring's offset for
    /// `mmap`, and `offsets` are those of positions and entries inside the mapping.
    fn map(
        socket: BorrowedFd<'_>,
        page: libc::off_t,
        offsets: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        let entries_bytes = size as usize * size_of::<T>();
        let mapping = Mapping::shared(offsets.desc as usize + entries_bytes, socket, page)?;
        let at = |offset: u64, bytes: usize| {
            let offset = offset as usize;
            if offset + bytes > mapping.bytes() {
                return Err(io::Error::other(
                    "the kernel's offsets lie outside the ring",
                ));
            }
            // SAFETY: the offset lies inside the mapping.
            Ok(unsafe { mapping.start().add(offset) })
        };
        let word = size_of::<u32>();
        Ok(Self {
            producer: at(offsets.producer, word)?.cast(),
            consumer: at(offsets.consumer, word)?.cast(),
            flags: at(offsets.flags, word)?.cast(),
            entries: at(offsets.desc, entries_bytes)?.cast(),
            mask: size - 1,
            _mapping: Some(mapping),
        })
    }

    #[inline]
    fn producer(&self) -> &AtomicU32 {
        // SAFETY: an aligned word in a mapping that lives as long as this value.
        unsafe { self.producer.as_ref() }
    }

    #[inline]
    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { self.consumer.as_ref() }
    }

    #[inline]
    fn flags(&self) -> u32 {
        // SAFETY: as above.
        unsafe { self.flags.as_ref() }.load(Ordering::Relaxed)
    }

    #[inline]
    fn entry(&self, position: u32) -> NonNull<T> {
        // SAFETY: a masked position is an entry of the ring.
        unsafe { self.entries.add((position & self.mask) as usize) }
    }
}

impl RxRing {
    /// Maps the RX ring of a socket, of `size` entries, at the kernel's offsets.
    ///
    /// # Errors
    /// The error of `mmap`, or an error if the offsets are outside the ring.
    pub fn map(
        socket: BorrowedFd<'_>,
        offsets: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        Shared::map(socket, libc::XDP_PGOFF_RX_RING, offsets, size).map(Self::from_shared)
    }

    fn from_shared(shared: Shared<Descriptor>) -> Self {
        let first = shared.consumer().load(Ordering::Relaxed);
        Self {
            shared,
            first,
            end: first,
        }
    }

    /// How many descriptors can be taken now, at most `most`. Another call without
    /// [`release`](Self::release) returns the same ones, and perhaps more.
    #[inline]
    pub fn peek(&mut self, most: u32) -> u32 {
        if self.end == self.first {
            // Pairs with the kernel's release: the entries that it wrote before are visible.
            self.end = self.shared.producer().load(Ordering::Acquire);
        }
        self.end.wrapping_sub(self.first).min(most)
    }

    /// The descriptor of frame `place`, which must be less than what [`peek`](Self::peek) returned.
    #[inline]
    pub fn descriptor(&self, place: u32) -> Descriptor {
        let entry = self.shared.entry(self.first.wrapping_add(place));
        // SAFETY: an aligned entry of the ring, which the kernel does not write before it is given
        // back, and any octets are a valid descriptor.
        unsafe { entry.read() }
    }

    /// True once a frame was given back.
    pub const fn has_moved(&self) -> bool {
        self.first != 0
    }

    /// Gives the first `count` entries back to the kernel.
    #[inline]
    pub fn release(&mut self, count: u32) {
        self.first = self.first.wrapping_add(count);
        self.shared.consumer().store(self.first, Ordering::Release);
    }
}

impl FillRing {
    /// Maps the fill ring of a socket, of `size` entries, at the kernel's offsets.
    ///
    /// # Errors
    /// The error of `mmap`, or an error if the offsets are outside the ring.
    pub fn map(
        socket: BorrowedFd<'_>,
        offsets: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        Shared::map(
            socket,
            libc::XDP_UMEM_PGOFF_FILL_RING as libc::off_t,
            offsets,
            size,
        )
        .map(Self::from_shared)
    }

    fn from_shared(shared: Shared<u64>) -> Self {
        let end = shared.producer().load(Ordering::Relaxed);
        let first = shared.consumer().load(Ordering::Relaxed);
        Self { shared, end, first }
    }

    /// Gives `count` frames to the kernel by their addresses: all, or none if there is no room for
    /// all. Returns whether it did.
    #[inline]
    pub fn give(&mut self, count: u32, address: impl Fn(u32) -> u64) -> bool {
        let size = self.shared.mask + 1;
        if size - self.end.wrapping_sub(self.first) < count {
            // Pairs with the kernel's release: it has read the entries before it advanced.
            self.first = self.shared.consumer().load(Ordering::Acquire);
            if size - self.end.wrapping_sub(self.first) < count {
                return false;
            }
        }
        for place in 0..count {
            let entry = self.shared.entry(self.end.wrapping_add(place));
            // SAFETY: an aligned entry of the ring, which the kernel has read.
            unsafe { entry.write(address(place)) };
        }
        self.end = self.end.wrapping_add(count);
        self.shared.producer().store(self.end, Ordering::Release);
        true
    }

    /// True if the driver sleeps until it is woken.
    #[inline]
    pub fn needs_wakeup(&self) -> bool {
        self.shared.flags() & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const SIZE: usize = 8;

    /// The memory of a ring, whose other side the test plays.
    struct Fake<T> {
        positions: Box<[u32; 3]>,
        entries: Box<[T; SIZE]>,
    }

    impl<T: Copy> Fake<T> {
        /// All positions begin near where they wrap.
        fn new(entry: T) -> Self {
            let start = u32::MAX - 5;
            Self {
                positions: Box::new([start, start, 0]),
                entries: Box::new([entry; SIZE]),
            }
        }

        fn pointers(&mut self) -> [*mut u32; 3] {
            let first = self.positions.as_mut_ptr();
            [first, first.wrapping_add(1), first.wrapping_add(2)]
        }

        /// The ring's end that is tested; this value must outlive it.
        fn shared(&mut self) -> Shared<T> {
            let [producer, consumer, flags] =
                self.pointers().map(|at| NonNull::new(at.cast()).unwrap());
            Shared {
                producer,
                consumer,
                flags,
                entries: NonNull::new(self.entries.as_mut_ptr()).unwrap(),
                mask: SIZE as u32 - 1,
                _mapping: None,
            }
        }

        fn position(&mut self, which: usize) -> &AtomicU32 {
            // SAFETY: an aligned word of this value's own memory.
            unsafe { AtomicU32::from_ptr(self.pointers()[which]) }
        }
    }

    proptest! {
        /// Frames come out of RX in the order in which they were put in, each once.
        #[test]
        fn rx_is_a_queue(steps in proptest::collection::vec((0u32..9, 0u32..9), 1..60)) {
            let none = Descriptor { addr: 0, len: 0, options: 0 };
            let mut fake = Fake::new(none);
            let mut rx = RxRing::from_shared(fake.shared());
            let (mut model, mut next) = (VecDeque::new(), 0u64);
            for (put, take) in steps {
                let room = SIZE as u32 - model.len() as u32;
                let end = fake.position(0).load(Ordering::Relaxed);
                for number in 0..put.min(room) {
                    let at = end.wrapping_add(number) as usize % SIZE;
                    fake.entries[at] = Descriptor { addr: next, ..none };
                    model.push_back(next);
                    next += 1;
                }
                fake.position(0).store(end.wrapping_add(put.min(room)), Ordering::Release);
                let there = rx.peek(take);
                prop_assert!(there <= take && there as usize <= model.len());
                for place in 0..there {
                    prop_assert_eq!(Some(rx.descriptor(place).addr), model.pop_front());
                }
                rx.release(there);
                prop_assert_eq!(rx.peek(u32::MAX) > 0, !model.is_empty());
            }
        }

        /// The kernel gets every address once, in order, and never more than fit.
        #[test]
        fn fill_is_a_queue(steps in proptest::collection::vec((0u32..12, 0u32..9), 1..60)) {
            let mut fake = Fake::new(0u64);
            let mut fill = FillRing::from_shared(fake.shared());
            let (mut model, mut next) = (VecDeque::new(), 0u64);
            for (put, take) in steps {
                let fits = model.len() + put as usize <= SIZE;
                prop_assert_eq!(fill.give(put, |place| next + u64::from(place)), fits);
                if fits {
                    model.extend(next..next + u64::from(put));
                    next += u64::from(put);
                }
                let first = fake.position(1).load(Ordering::Relaxed);
                let taken = take.min(model.len() as u32);
                for number in 0..taken {
                    let at = first.wrapping_add(number) as usize % SIZE;
                    prop_assert_eq!(Some(fake.entries[at]), model.pop_front());
                }
                fake.position(1).store(first.wrapping_add(taken), Ordering::Release);
            }
        }
    }
}
