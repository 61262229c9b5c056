//! The two rings of a receiving socket, as this process sees them: RX, where the kernel puts
//! frames, and fill, where it takes empty ones from.
//!
//! libxdp makes and unmaps them. Its own access functions cannot be inlined into Rust and are
//! called for every descriptor, which costs more than the rest of a ring's work.
#![expect(unsafe_code, reason = "rings are memory shared with the kernel")]

use std::{
    cell::UnsafeCell,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, Ordering},
};

use libxdp_sys::{xsk_ring_cons, xsk_ring_prod};

/// A descriptor: where in packet memory a frame's octets begin, and how many there are.
pub use libc::xdp_desc as Descriptor;

/// `XDP_RING_NEED_WAKEUP` of `linux/if_xdp.h`.
const NEED_WAKEUP: u32 = 1;

/// A ring's positions and entries, as libxdp has mapped them. Positions run on for ever and are
/// taken modulo the size, a power of two.
#[derive(Debug)]
struct Shared<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    mask: u32,
}

/// The RX ring.
#[derive(Debug)]
pub struct RxRing {
    shared: Shared<Descriptor>,
    /// The first entry that was not given back to the kernel.
    first: u32,
    /// The end of what the kernel is known to have put there.
    end: u32,
}

/// The fill ring.
#[derive(Debug)]
pub struct FillRing {
    shared: Shared<u64>,
    /// The end of what this side has put there.
    end: u32,
    /// The first entry that the kernel may not have taken yet.
    first: u32,
}

// SAFETY: positions of one side and the entries that it owns are touched through this value only,
// whichever thread has it; the kernel's side does not know threads.
unsafe impl Send for RxRing {}
// SAFETY: as above.
unsafe impl Send for FillRing {}

impl<T> Shared<T> {
    /// # Safety
    /// The pointers must be those of a ring that libxdp has mapped, of `T`s, and stay mapped.
    unsafe fn new(
        positions: [*mut u32; 3],
        entries: *mut std::ffi::c_void,
        mask: u32,
    ) -> Option<Self> {
        let [producer, consumer, flags] = positions.map(|at| NonNull::new(at.cast()));
        Some(Self {
            producer: producer?,
            consumer: consumer?,
            flags: flags?,
            entries: NonNull::new(entries.cast())?,
            mask,
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
        // SAFETY: masked, every position is an entry of the ring.
        unsafe { self.entries.add((position & self.mask) as usize) }
    }
}

impl RxRing {
    /// The ring that libxdp has described; none while it has made none.
    ///
    /// # Safety
    /// The ring must stay mapped while the value lives, and be used by nobody else.
    pub unsafe fn new(raw: &UnsafeCell<xsk_ring_cons>) -> Option<Self> {
        // SAFETY: libxdp writes to it while it makes and unmaps the ring only.
        let raw = unsafe { *raw.get() };
        let positions = [raw.producer, raw.consumer, raw.flags];
        // SAFETY: the caller vouches for it.
        let shared = unsafe { Shared::new(positions, raw.ring, raw.mask) }?;
        let first = shared.consumer().load(Ordering::Relaxed);
        Some(Self {
            shared,
            first,
            end: first,
        })
    }

    /// How many frames can be taken now, at most `most`. Asking again gives the same ones.
    #[inline]
    pub fn peek(&mut self, most: u32) -> u32 {
        if self.end == self.first {
            // Pairs with the kernel's release: what it wrote before is seen after.
            self.end = self.shared.producer().load(Ordering::Acquire);
        }
        self.end.wrapping_sub(self.first).min(most)
    }

    /// The descriptor of frame `place`, which must be less than what [`peek`](Self::peek) said.
    #[inline]
    pub fn descriptor(&self, place: u32) -> Descriptor {
        let entry = self.shared.entry(self.first.wrapping_add(place));
        // SAFETY: an entry of the ring, aligned; the kernel leaves it alone until it is given back,
        // and any octets are a descriptor.
        unsafe { entry.read() }
    }

    /// Has anything ever been given back?
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
    /// The ring that libxdp has described; none while it has made none.
    ///
    /// # Safety
    /// The ring must stay mapped while the value lives, and be used by nobody else.
    pub unsafe fn new(raw: &UnsafeCell<xsk_ring_prod>) -> Option<Self> {
        // SAFETY: libxdp writes to it while it makes and unmaps the ring only.
        let raw = unsafe { *raw.get() };
        let positions = [raw.producer, raw.consumer, raw.flags];
        // SAFETY: the caller vouches for it.
        let shared = unsafe { Shared::new(positions, raw.ring, raw.mask) }?;
        let end = shared.producer().load(Ordering::Relaxed);
        let first = shared.consumer().load(Ordering::Relaxed);
        Some(Self { shared, end, first })
    }

    /// Gives frames to the kernel by their addresses: all, or none if there is not room for all.
    #[inline]
    pub fn give(&mut self, count: u32, address: impl Fn(u32) -> u64) -> bool {
        let size = self.shared.mask + 1;
        if size - self.end.wrapping_sub(self.first) < count {
            // Pairs with the kernel's release: it has read the entries before it moved on.
            self.first = self.shared.consumer().load(Ordering::Acquire);
            if size - self.end.wrapping_sub(self.first) < count {
                return false;
            }
        }
        for place in 0..count {
            let entry = self.shared.entry(self.end.wrapping_add(place));
            // SAFETY: an entry of the ring, aligned, and the kernel has left it.
            unsafe { entry.write(address(place)) };
        }
        self.end = self.end.wrapping_add(count);
        self.shared.producer().store(self.end, Ordering::Release);
        true
    }

    /// Has the driver gone to sleep until it is woken?
    #[inline]
    pub fn needs_wakeup(&self) -> bool {
        self.shared.flags() & NEED_WAKEUP != 0
    }
}

/// A ring's description before libxdp has filled it in.
pub const fn no_consumer() -> xsk_ring_cons {
    xsk_ring_cons {
        cached_prod: 0,
        cached_cons: 0,
        mask: 0,
        size: 0,
        producer: ptr::null_mut(),
        consumer: ptr::null_mut(),
        ring: ptr::null_mut(),
        flags: ptr::null_mut(),
    }
}

/// As [`no_consumer`], of the other kind.
pub const fn no_producer() -> xsk_ring_prod {
    xsk_ring_prod {
        cached_prod: 0,
        cached_cons: 0,
        mask: 0,
        size: 0,
        producer: ptr::null_mut(),
        consumer: ptr::null_mut(),
        ring: ptr::null_mut(),
        flags: ptr::null_mut(),
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
            let [producer, consumer, flags] = fake.pointers();
            let ring = fake.entries.as_mut_ptr().cast();
            let raw = UnsafeCell::new(xsk_ring_cons { producer, consumer, flags, ring, mask: SIZE as u32 - 1, size: SIZE as u32, ..no_consumer() });
            // SAFETY: the memory outlives the ring, and the test alone plays the other side.
            let mut rx = unsafe { RxRing::new(&raw) }.unwrap();
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
            let [producer, consumer, flags] = fake.pointers();
            let ring = fake.entries.as_mut_ptr().cast();
            let raw = UnsafeCell::new(xsk_ring_prod { producer, consumer, flags, ring, mask: SIZE as u32 - 1, size: SIZE as u32, ..no_producer() });
            // SAFETY: the memory outlives the ring, and the test alone plays the other side.
            let mut fill = unsafe { FillRing::new(&raw) }.unwrap();
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
