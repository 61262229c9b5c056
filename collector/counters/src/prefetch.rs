//! Asking the memory for a cache line before it is needed.
#![expect(
    unsafe_code,
    reason = "the instruction takes any address and never faults, which its signature cannot say"
)]

/// Begins to fetch the line that this value stands in, for writing soon.
///
/// A flow row is a miss in every cache on most packets; without this a worker waits for one row
/// after another, with it for a batch of them at once.
#[inline]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and never faults, and the address is a reference's.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
