//! Bounds-checked access to a frame, in the ways that the verifier can follow.

use core::arch::asm;

use aya_ebpf::programs::XdpContext;

/// Reads octets of a frame by offset.
pub trait Frame {
    /// `N` octets from `offset` on; `None` if the frame is shorter.
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

/// A frame up to its first IP header, where an offset has few possible values and the verifier
/// tracks each.
pub struct Outer<'a>(pub &'a XdpContext);

/// A frame behind that header, where offsets depend on fields of the frame.
pub struct Inner<'a>(pub &'a XdpContext);

impl Frame for Outer<'_> {
    #[inline(always)]
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        read(self.0, self.0.data() + offset)
    }
}

impl Frame for Inner<'_> {
    #[inline(always)]
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        read(self.0, opaque(self.0.data() + offset))
    }
}

impl Inner<'_> {
    /// Returns `offset` so that the verifier only knows that it is below 4 KiB.
    ///
    /// Otherwise the verifier would follow every path through the inner headers once for each path
    /// that led to them, and give up. The headers that are read end before 4 KiB.
    #[inline(always)]
    pub fn forget(&self, offset: usize) -> usize {
        (opaque(self.0.data() + offset) - self.0.data()) & 0xfff
    }

    /// Returns `number` so that the verifier only knows that it has 16 bits, for the same reason.
    #[inline(always)]
    pub fn forget_number(&self, number: u16) -> u16 {
        (opaque(self.0.data() + usize::from(number)) - self.0.data()) as u16
    }
}

/// The first [`Plain::BYTES`] octets of a frame, checked once and read as whole numbers: enough for
/// nearly all frames.
///
/// The compiler would put an unaligned number together octet by octet, which costs as much as all
/// the rest, so the loads are written in assembly.
pub struct Plain<'a> {
    ctx: &'a XdpContext,
    at: *const u8,
}

impl<'a> Plain<'a> {
    /// Octets of an Ethernet header and an IPv4 header without options.
    pub const BYTES: usize = 34;

    /// The first octets of the frame; `None` if the frame is shorter.
    #[inline(always)]
    pub fn of(ctx: &'a XdpContext) -> Option<Self> {
        let at = ctx.data();
        (at + Self::BYTES <= ctx.data_end()).then_some(Self {
            ctx,
            at: at as *const u8,
        })
    }

    /// Two octets from `OFFSET` on, in network order.
    #[inline(always)]
    pub fn be16<const OFFSET: usize>(&self) -> u16 {
        const { assert!(OFFSET + 2 <= Self::BYTES, "behind the checked part") };
        let value: u64;
        // SAFETY: the octets lie in the checked part. A kernel whose CPU cannot load from an
        // unaligned address refuses the program.
        unsafe {
            asm!("{0} = *(u16 *)({1} + {2})", out(reg) value, in(reg) self.at, const OFFSET,
                options(nostack, readonly, pure));
        }
        u16::from_be(value as u16)
    }

    /// Four octets from `OFFSET` on, in network order.
    #[inline(always)]
    pub fn be32<const OFFSET: usize>(&self) -> u32 {
        const { assert!(OFFSET + 4 <= Self::BYTES, "behind the checked part") };
        let value: u64;
        // SAFETY: as above.
        unsafe {
            asm!("{0} = *(u32 *)({1} + {2})", out(reg) value, in(reg) self.at, const OFFSET,
                options(nostack, readonly, pure));
        }
        u32::from_be(value as u32)
    }

    /// One octet.
    #[inline(always)]
    pub fn octet<const OFFSET: usize>(&self) -> u8 {
        const { assert!(OFFSET < Self::BYTES, "behind the checked part") };
        // SAFETY: the octet lies in the checked part.
        unsafe { *self.at.wrapping_add(OFFSET) }
    }

    /// The two octets at offset 2 behind the checked part, where TCP and UDP have the destination
    /// port; `None` if the frame ends before them.
    #[inline(always)]
    pub fn destination_port(&self) -> Option<u16> {
        if self.at as usize + Self::BYTES + 4 > self.ctx.data_end() {
            return None;
        }
        let value: u64;
        // SAFETY: the comparison ensures that the octets lie inside the frame.
        unsafe {
            asm!("{0} = *(u16 *)({1} + {2})", out(reg) value, in(reg) self.at,
                const Self::BYTES + 2, options(nostack, readonly, pure));
        }
        Some(u16::from_be(value as u16))
    }
}

#[inline(always)]
fn read<const N: usize>(ctx: &XdpContext, at: usize) -> Option<[u8; N]> {
    if at + N > ctx.data_end() {
        return None;
    }
    // SAFETY: the check above ensures that `at..at + N` lies inside the frame, and octets need no
    // alignment.
    Some(unsafe { *(at as *const [u8; N]) })
}

/// Returns `address` through a volatile read, so that the compiler cannot compute it in another
/// way: the verifier allows access only through the pointer that was compared with the frame's end.
#[inline(always)]
fn opaque(address: usize) -> usize {
    // SAFETY: the reference is valid for a read.
    unsafe { core::ptr::read_volatile(&raw const address) }
}

/// Where an IP header is in the frame; its version nibble agrees with the EtherType before it.
#[derive(Clone, Copy)]
pub struct Ip {
    /// Octets before it.
    pub offset: usize,
    /// True for IPv6, false for IPv4.
    pub six: bool,
}

/// Two octets from `offset` on, in network order.
#[inline(always)]
pub fn be16(frame: &impl Frame, offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(frame.octets(offset)?))
}
