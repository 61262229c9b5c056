//! HyperLogLog registers as Apache DataSketches HLL images, and back.
//!
//! Image layout of a dense `HLL_8` sketch (40 octets, then the registers; little-endian), as
//! DataSketches' `PreambleUtil` gives it: preamble length in words (10), serial version (1),
//! family (7), lg_k, unused, flags, minimum register value (always 0 in `HLL_8`), mode; then the
//! HIP accumulator, KxQ0, KxQ1 (f64 each), registers at the minimum, auxiliary count (u32 each).
//! HIP estimates need the order of updates, which registers do not keep: the out-of-order flag
//! says so, and readers use the composite estimate.

use datasketches::hll::HllSketch;

/// Least and greatest `lg_k` of the format.
const LG_K: std::ops::RangeInclusive<u8> = 4..=21;
/// Greatest value of a register.
const MAX_VALUE: u8 = 63;
/// Octets before the registers.
const PREAMBLE: usize = 40;
const PREAMBLE_WORDS: u8 = 10;
const SERIAL_VERSION: u8 = 1;
const FAMILY_HLL: u8 = 7;
const FLAG_OUT_OF_ORDER: u8 = 16;
/// Current mode HLL (2) in the low two bits, target type HLL_8 (2) in the next.
const MODE_HLL_8: u8 = 2 | 2 << 2;

/// Why registers or an image were refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SketchError {
    /// `lg_k` is not in the format's range.
    #[error("cannot make a sketch with lg_k {0}: the format knows 4 to 21")]
    Size(u8),
    /// The number of registers is not `2^lg_k`.
    #[error("cannot make a sketch with lg_k {lg_k} of {found} registers: it has 2^lg_k of them")]
    Count {
        /// Binary logarithm of the right number.
        lg_k: u8,
        /// The number of registers.
        found: usize,
    },
    /// A register is greater than any update makes it.
    #[error("cannot read a sketch whose register {slot} is {value}: the greatest is {MAX_VALUE}")]
    Value {
        /// Index of the register.
        slot: usize,
        /// Its value.
        value: u8,
    },
    /// The image is not a dense HLL_8 image.
    #[error("cannot read a sketch: {0}; only dense HLL_8 images, as stored here, are read")]
    Image(&'static str),
}

/// The dense HLL_8 image of `2^lg_k` registers: `40 + 2^lg_k` octets.
///
/// # Errors
/// [`SketchError::Size`] if `lg_k` is not from 4 to 21, [`SketchError::Count`] if the number of
/// registers is not `2^lg_k`, [`SketchError::Value`] if a register is above 63.
pub fn image(lg_k: u8, registers: &[u8]) -> Result<Vec<u8>, SketchError> {
    check(lg_k, registers)?;
    let zeros = registers.iter().filter(|&&value| value == 0).count() as u32;
    let (mut kxq0, mut kxq1) = (0.0, 0.0);
    for &value in registers {
        // Terms too small to show beside the large ones are summed apart.
        let sum = if value < 32 { &mut kxq0 } else { &mut kxq1 };
        *sum += 1.0 / (1u64 << value) as f64;
    }
    let hip = 0.0f64;
    let mut image = Vec::with_capacity(PREAMBLE + registers.len());
    image.extend([PREAMBLE_WORDS, SERIAL_VERSION, FAMILY_HLL, lg_k]);
    image.extend([0, FLAG_OUT_OF_ORDER, 0, MODE_HLL_8]);
    for number in [hip, kxq0, kxq1] {
        image.extend(number.to_le_bytes());
    }
    for number in [zeros, 0] {
        image.extend(number.to_le_bytes());
    }
    image.extend(registers);
    Ok(image)
}

/// The registers in a dense HLL_8 image.
///
/// # Errors
/// [`SketchError::Image`] if the header is not that of a dense HLL_8 image; [`SketchError::Size`],
/// [`SketchError::Count`] and [`SketchError::Value`] as [`image`].
pub fn registers(image: &[u8]) -> Result<&[u8], SketchError> {
    let Some((header, values)) = image.split_at_checked(PREAMBLE) else {
        return Err(SketchError::Image("it is shorter than its header"));
    };
    if header[..3] != [PREAMBLE_WORDS, SERIAL_VERSION, FAMILY_HLL] || header[7] != MODE_HLL_8 {
        return Err(SketchError::Image("its header is another one"));
    }
    check(header[3], values)?;
    Ok(values)
}

/// Estimated number of distinct addresses in a dense HLL_8 image, by DataSketches' estimator.
///
/// Relative standard error: about 1.04 / sqrt(2^lg_k), 0.8 % for lg_k 14.
///
/// # Errors
/// [`SketchError::Image`] if the header is not that of a dense HLL_8 image; [`SketchError::Size`],
/// [`SketchError::Count`] and [`SketchError::Value`] as [`image`].
pub fn estimate(image: &[u8]) -> Result<f64, SketchError> {
    registers(image)?;
    let sketch = HllSketch::deserialize(image)
        .map_err(|_| SketchError::Image("its header does not fit its registers"))?;
    Ok(sketch.estimate())
}

fn check(lg_k: u8, registers: &[u8]) -> Result<(), SketchError> {
    if !LG_K.contains(&lg_k) {
        return Err(SketchError::Size(lg_k));
    }
    let found = registers.len();
    if found != 1 << lg_k {
        return Err(SketchError::Count { lg_k, found });
    }
    match registers.iter().position(|&value| value > MAX_VALUE) {
        Some(slot) => Err(SketchError::Value {
            slot,
            value: registers[slot],
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datasketches::hll::{Coupon, HllType, HllUnion};
    use proptest::prelude::*;

    /// The registers of a sketch of these addresses. The library shows a coupon only through
    /// `Debug`, as its packed number: 6 bits of value, 26 bits of slot.
    fn counted(lg_k: u8, addresses: std::ops::Range<u32>) -> Vec<u8> {
        let mut registers = vec![0; 1 << lg_k];
        for address in addresses {
            let packed = format!("{:?}", Coupon::from_value(u64::from(address)));
            let packed = packed.trim_start_matches("Coupon(").trim_end_matches(')');
            let packed: u32 = packed.parse().unwrap();
            let register = &mut registers[packed as usize & ((1 << lg_k) - 1)];
            *register = (packed >> 26).max(u32::from(*register)) as u8;
        }
        registers
    }

    fn sketched(lg_k: u8, addresses: std::ops::Range<u32>) -> HllSketch {
        let mut sketch = HllSketch::new(lg_k, HllType::Hll8).unwrap();
        for address in addresses {
            sketch.update(u64::from(address));
        }
        sketch
    }

    #[test]
    fn an_image_is_what_datasketches_makes_of_a_union() {
        // A union loses the order of updates as our registers do, so images agree to the bit.
        for lg_k in [4, 12, 14] {
            let mut union = HllUnion::new(lg_k).unwrap();
            for part in [0..40_000, 30_000..90_000] {
                union.update(&sketched(lg_k, part));
            }
            let theirs = union.to_sketch(HllType::Hll8).serialize();
            assert_eq!(
                image(lg_k, &counted(lg_k, 0..90_000)).unwrap(),
                theirs,
                "{lg_k}"
            );
        }
    }

    #[test]
    fn estimates_are_near_the_truth_at_every_size() {
        for (lg_k, tolerance) in [(12, 0.05), (14, 0.025)] {
            for count in [1, 10, 1_000, 50_000, 1_000_000] {
                let image = image(lg_k, &counted(lg_k, 0..count)).unwrap();
                let estimate = estimate(&image).unwrap();
                let error = estimate / f64::from(count) - 1.0;
                assert!(error.abs() < tolerance, "{count}: {estimate} (lg_k {lg_k})");
            }
        }
        let empty = image(14, &[0; 1 << 14]).unwrap();
        assert_eq!(estimate(&empty), Ok(0.0));
    }

    #[test]
    fn an_image_merges_with_a_normal_sketch() {
        let ours = image(12, &counted(12, 0..30_000)).unwrap();
        let ours = HllSketch::deserialize(&ours).unwrap();
        for last in [30_010, 60_000] {
            let mut union = HllUnion::new(12).unwrap();
            union.update(&sketched(12, 20_000..last));
            union.update(&ours);
            let both = union.to_sketch(HllType::Hll8).serialize();
            let expected = counted(12, 0..last);
            assert_eq!(registers(&both), Ok(&expected[..]));
        }
    }

    #[test]
    fn malformed_sketches_are_refused() {
        let good = image(4, &counted(4, 0..100)).unwrap();
        assert_eq!(registers(&good), Ok(&counted(4, 0..100)[..]));
        for cut in 0..good.len() {
            assert!(registers(&good[..cut]).is_err(), "cut at {cut}");
            assert!(estimate(&good[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(image(3, &[0; 1 << 3]), Err(SketchError::Size(3)));
        assert_eq!(
            image(4, &[0; 15]),
            Err(SketchError::Count { lg_k: 4, found: 15 })
        );
        let mut values = [0; 16];
        values[9] = 64;
        assert_eq!(
            image(4, &values),
            Err(SketchError::Value { slot: 9, value: 64 })
        );
    }

    proptest! {
        #[test]
        fn images_and_registers_are_the_same_thing(
            values in proptest::collection::vec(0..=MAX_VALUE, 64),
        ) {
            let octets = image(6, &values).unwrap();
            prop_assert_eq!(registers(&octets), Ok(&values[..]));
            prop_assert!(estimate(&octets).is_ok());
        }

        #[test]
        fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = estimate(&octets);
            let mut image = image(4, &[0; 1 << 4]).unwrap();
            let end = octets.len().min(image.len());
            image[..end].copy_from_slice(&octets[..end]);
            let _ = estimate(&image);
        }
    }
}
