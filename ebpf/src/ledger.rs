//! The counters of each RX queue: frames by verdict, and dark frames by protocol and port.
//!
//! A driver runs the program for one queue's frames one after another, so that plain additions are
//! enough. Where several CPUs may run it for the same queue at once, additions are atomic.

use core::{arch::asm, mem::offset_of};

use aya_ebpf::{Global, bindings::BPF_F_MMAPABLE, macros::map, maps::Array, programs::XdpContext};
use noctule_abi::{
    Tally,
    ledger::{Counters, OTHER, SLOTS, TCP, UDP, slot},
    tunnel::IPV4_FRAGMENT_OFFSET,
};

use crate::frame::{Frame, Inner, Ip, Plain, be16};

/// Verdicts and ledger of each RX queue; the last element, [`LATER_QUEUES`], is for queues that
/// the NIC grew after the program was loaded.
#[map]
static COUNTERS: Array<Counters> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Index of the last element of [`COUNTERS`]: the number of RX queues when the program was
/// loaded.
#[unsafe(no_mangle)]
static LATER_QUEUES: Global<u32> = Global::new(0);

/// The counters of a frame's queue, and what the frame adds to them.
pub struct Queue {
    counters: *mut Counters,
    bytes: u64,
    shared: bool,
}

impl Queue {
    /// The counters of RX queue `number`, for a frame of `bytes` octets; `shared` is true if other
    /// CPUs may count on the same queue.
    #[inline(always)]
    pub fn find(number: u32, bytes: u64, shared: bool) -> Option<Self> {
        let later = LATER_QUEUES.load();
        Some(Self {
            counters: COUNTERS.get_ptr_mut(number.min(later))?,
            bytes,
            // Several queues share the last element.
            shared: shared || number >= later,
        })
    }

    /// Adds the frame to the verdict at this offset of `Verdicts`; returns `action`.
    #[inline(always)]
    pub fn count(&self, verdict: usize, action: u32) -> u32 {
        let at = offset_of!(Counters, verdicts) + verdict;
        self.add(self.counters.wrapping_byte_add(at).cast());
        action
    }

    /// Adds a dark frame to its slot.
    #[inline(always)]
    pub fn enter(&self, slot: u32) {
        if slot < SLOTS {
            let at = offset_of!(Counters, slots) + slot as usize * size_of::<Tally>();
            self.add(self.counters.wrapping_byte_add(at).cast());
        }
    }

    /// Adds a frame that was not parsed to its slot.
    #[inline(always)]
    pub fn enter_unparsed(&self, slot: u16) {
        let at = offset_of!(Counters, unparsed) + usize::from(slot) * size_of::<Tally>();
        self.add(self.counters.wrapping_byte_add(at).cast());
    }

    #[inline(always)]
    fn add(&self, tally: *mut Tally) {
        // SAFETY: the pointers lead into an element of a map, which lives as long as the program,
        // and are aligned as its type says. Where other CPUs write to it, all additions are atomic;
        // user space only reads.
        unsafe {
            let (packets, bytes) = (&raw mut (*tally).packets, &raw mut (*tally).bytes);
            if self.shared {
                add_atomically(packets, 1);
                add_atomically(bytes, self.bytes);
            } else {
                *packets += 1;
                *bytes += self.bytes;
            }
        }
    }
}

/// BPF's atomic addition. It is written in assembly because the library has none for this target.
///
/// # Safety
/// `counter` must be aligned and valid for writes.
#[inline(always)]
unsafe fn add_atomically(counter: *mut u64, amount: u64) {
    // SAFETY: one addition to memory that the caller vouches for.
    unsafe {
        asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) amount, options(nostack));
    }
}

/// [`slot_of`] for Ethernet and an IPv4 header of 20 octets.
#[inline(always)]
pub fn slot_of_plain(frame: &Plain<'_>) -> u32 {
    let protocol = frame.octet::<23>();
    if protocol != TCP && protocol != UDP {
        return OTHER;
    }
    let length = frame.be16::<16>();
    let has_ports = frame.be16::<20>() & IPV4_FRAGMENT_OFFSET == 0 && (length < 20 || length >= 24);
    let port = if has_ports {
        frame.destination_port()
    } else {
        None
    };
    slot(protocol, port)
}

/// The slot of a dark frame whose datagram begins at `ip`, as `noctule_abi::ledger` defines it.
#[inline(always)]
pub fn slot_of(ctx: &XdpContext, frame: &impl Frame, ip: Ip) -> u32 {
    // These fields lie before the destination address, which was read, so they are in the frame.
    // Each has its own check: the verifier cannot follow one check that covers two fields.
    let (protocol_at, length_at) = if ip.six { (6, 4) } else { (9, 2) };
    let Some([protocol]) = frame.octets(ip.offset + protocol_at) else {
        return OTHER;
    };
    if protocol != TCP && protocol != UDP {
        return OTHER;
    }
    let Some(length) = be16(frame, ip.offset + length_at) else {
        return OTHER;
    };
    let header_bytes;
    let has_ports;
    if ip.six {
        header_bytes = 40;
        has_ports = length == 0 || length >= 4;
    } else {
        let Some([first]) = frame.octets(ip.offset) else {
            return OTHER;
        };
        let Some(fragment) = be16(frame, ip.offset + 6) else {
            return OTHER;
        };
        header_bytes = usize::from(first & 0xf) * 4;
        has_ports = header_bytes >= 20
            && fragment & IPV4_FRAGMENT_OFFSET == 0
            && (usize::from(length) < header_bytes || usize::from(length) >= header_bytes + 4);
    }
    if !has_ports {
        return slot(protocol, None);
    }
    // The offset depends on a field of the frame, so the ports are read through `Inner`.
    let ports = Inner(ctx).octets::<4>(ip.offset + header_bytes);
    slot(
        protocol,
        ports.map(|[_, _, high, low]| u16::from_be_bytes([high, low])),
    )
}
