//! Large zeroed arrays that the kernel backs only where they are touched.
#![expect(
    unsafe_code,
    reason = "a table of gigabytes must not be written once just to make it empty"
)]

/// Types for which all bits zero is a valid, empty value.
///
/// # Safety
/// Implement it only for plain data (integers and arrays or structures of them).
pub(crate) unsafe trait Zeroable: Copy {}

// SAFETY: an integer.
unsafe impl Zeroable for u8 {}
// SAFETY: an integer.
unsafe impl Zeroable for u64 {}
// SAFETY: two integers.
unsafe impl Zeroable for crate::ports::PortCount {}
// SAFETY: integers only.
unsafe impl Zeroable for crate::flow::Row4 {}
// SAFETY: integers only.
unsafe impl Zeroable for crate::flow::Row6 {}
// SAFETY: integers only.
unsafe impl Zeroable for crate::fingerprints::FingerprintRow {}
// SAFETY: integers only.
unsafe impl Zeroable for crate::victims::VictimRow {}

/// `length` zero values, mapped lazily.
pub(crate) fn zeroed<T: Zeroable>(length: usize) -> Box<[T]> {
    let values = Box::<[T]>::new_zeroed_slice(length);
    // SAFETY: `Zeroable` promises that all bits zero is a value.
    unsafe { values.assume_init() }
}
