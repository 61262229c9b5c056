//! Bounds-checked access to a frame, in the two ways that the verifier can follow.

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
