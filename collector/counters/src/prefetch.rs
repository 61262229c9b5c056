//! Prefetching of cache lines.
#![expect(
    unsafe_code,
    reason = "the intrinsic takes a raw pointer, although the instruction never faults"
)]

/// Starts to fetch the cache line of this value.
///
/// Most packets miss every cache at their flow row. Without prefetching a worker waits for one row
/// after another; with it, for a batch of rows at once.
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
