//! Bounds-checked access to a frame, in the ways that the verifier can follow.

use core::arch::asm;

use aya_ebpf::programs::XdpContext;

/// Octets of a frame by their offset.
pub trait Frame {
    /// `N` octets from `offset` on; `None` where the frame is shorter.
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

/// A frame up to its first IP header: offsets take few values, which the verifier knows.
pub struct Outer<'a>(pub &'a XdpContext);

/// The same frame behind that header, where offsets depend on what the frame says.
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
    /// The same offset, of which the verifier knows no more than that it is small.
    ///
    /// Otherwise it would follow every way through the inner headers once for each way that led
    /// to them, and give up. No headers that are read reach as far as 4 KiB.
    #[inline(always)]
    pub fn forget(&self, offset: usize) -> usize {
        (opaque(self.0.data() + offset) - self.0.data()) & 0xfff
    }
}

/// The first [`Plain::BYTES`] octets of a frame, checked once and read in whole numbers: what
/// nearly all frames need.
///
/// For octets that need no alignment the compiler puts numbers together octet by octet, which
/// costs as much as all the rest; so their loads are spelled out.
pub struct Plain<'a> {
    ctx: &'a XdpContext,
    at: *const u8,
}

impl<'a> Plain<'a> {
    /// Ethernet and an IPv4 header without options.
    pub const BYTES: usize = 34;

    /// `None` where the frame is shorter.
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
        // SAFETY: the octets lie in the checked part. Kernels whose machine cannot load from such
        // an address refuse the program.
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
    /// port; `None` where the frame is cut before.
    #[inline(always)]
    pub fn destination_port(&self) -> Option<u16> {
        if self.at as usize + Self::BYTES + 4 > self.ctx.data_end() {
            return None;
        }
        let value: u64;
        // SAFETY: the comparison holds the octets inside the frame.
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
    // SAFETY: the line above holds `at..at + N` inside the frame, and octets need no alignment.
    Some(unsafe { *(at as *const [u8; N]) })
}

/// The same address, but the compiler cannot compute it in another way: the verifier allows access
/// only through the very pointer that was compared with the frame's end.
#[inline(always)]
fn opaque(address: usize) -> usize {
    // SAFETY: the reference is valid for a read.
    unsafe { core::ptr::read_volatile(&raw const address) }
}
