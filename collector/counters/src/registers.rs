//! HyperLogLog registers with the hash of Apache DataSketches.
//!
//! The library's sketch allocates when it grows, which the hot path must not do. So a worker keeps
//! plain registers, and the flusher writes them in the library's format. Hash and coupon follow the
//! DataSketches HLL specification (MurmurHash3 x64 128 with seed 9001), so that these sketches merge
//! with sketches that other programs make of the same addresses.

use noctule_packet::Source;

const SEED: u64 = 9001;
const SLOT_BITS: u32 = 26;
const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// A hashed address: upper 6 bits the register's value, lower 26 bits its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coupon(u32);

/// Hashes an address: the 8 little-endian octets of `address as u64` for IPv4, the 16 octets in
/// network order for IPv6.
#[inline]
pub fn coupon(source: Source) -> Coupon {
    let (low, high) = match source {
        Source::V4(address) => murmur3(SEED ^ mix1(u64::from(address)), SEED, 8),
        Source::V6(address) => {
            let octets = address.to_be();
            let (first, second) = (octets as u64, (octets >> 64) as u64);
            let mut h1 = SEED ^ mix1(first);
            h1 = h1.rotate_left(27).wrapping_add(SEED);
            h1 = h1.wrapping_mul(5).wrapping_add(0x52dc_e729);
            let mut h2 = SEED ^ mix2(second);
            h2 = h2.rotate_left(31).wrapping_add(h1);
            h2 = h2.wrapping_mul(5).wrapping_add(0x3849_5ab5);
            murmur3(h1, h2, 16)
        }
    };
    let value = high.leading_zeros().min(62) + 1;
    Coupon(value << SLOT_BITS | low as u32 & ((1 << SLOT_BITS) - 1))
}

#[inline]
const fn mix1(k: u64) -> u64 {
    k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

#[inline]
const fn mix2(k: u64) -> u64 {
    k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

#[inline]
const fn finish(mut k: u64) -> u64 {
    k ^= k >> 33;
    k = k.wrapping_mul(0xff51_afd7_ed55_8ccd);
    k ^= k >> 33;
    k = k.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ k >> 33
}

/// MurmurHash3 x64 128 after its last block.
#[inline]
const fn murmur3(h1: u64, h2: u64, length: u64) -> (u64, u64) {
    let (h1, h2) = (h1 ^ length, h2 ^ length);
    let h1 = h1.wrapping_add(h2);
    let h2 = h2.wrapping_add(h1);
    let (h1, h2) = (finish(h1), finish(h2));
    let h1 = h1.wrapping_add(h2);
    (h1, h2.wrapping_add(h1))
}

/// The registers of one sketch: 2^lg_k octets.
#[derive(Clone)]
pub struct Registers {
    lg_k: u8,
    used: bool,
    values: Box<[u8]>,
}

impl Registers {
    /// Empty registers. The kernel backs their memory when it is first written.
    pub fn new(lg_k: u8) -> Self {
        Self {
            lg_k,
            used: false,
            values: vec![0; 1 << lg_k].into_boxed_slice(),
        }
    }

    /// Adds an address.
    #[inline]
    pub fn update(&mut self, coupon: Coupon) {
        let register = &mut self.values[coupon.0 as usize & ((1 << self.lg_k) - 1)];
        *register = (*register).max((coupon.0 >> SLOT_BITS) as u8);
        self.used = true;
    }

    /// Adds the addresses of another sketch.
    ///
    /// # Panics
    /// If the number of registers differs.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.lg_k, other.lg_k, "sketches of different sizes");
        for (mine, &theirs) in self.values.iter_mut().zip(&other.values) {
            *mine = (*mine).max(theirs);
        }
        self.used |= other.used;
    }

    /// log2 of the number of registers.
    pub const fn lg_k(&self) -> u8 {
        self.lg_k
    }

    /// The registers.
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// True if no address was added.
    pub const fn is_empty(&self) -> bool {
        !self.used
    }

    pub(crate) fn clear(&mut self) {
        if self.used {
            self.values.fill(0);
            self.used = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use datasketches::hash::value::raw_bytes;
    use datasketches::hll::{Coupon as Theirs, HllSketch, HllType};
    use proptest::prelude::*;

    fn theirs(source: Source) -> Theirs {
        match source {
            Source::V4(address) => Theirs::from_value(u64::from(address)),
            Source::V6(address) => {
                Theirs::from_value(raw_bytes::from_vec(address.to_be_bytes().to_vec()))
            }
        }
    }

    proptest! {
        /// The library shows a coupon only through `Debug`, as its packed number.
        #[test]
        fn coupons_are_the_librarys(four: u32, six: u128) {
            for source in [Source::V4(four), Source::V6(six)] {
                prop_assert_eq!(format!("{:?}", coupon(source)), format!("{:?}", theirs(source)));
            }
        }
    }

    #[test]
    fn coupons_are_murmur3_as_published() {
        let of = |(low, high): (u64, u64)| {
            Coupon((high.leading_zeros() + 1) << SLOT_BITS | low as u32 & 0x3ff_ffff)
        };
        let six = u128::from_be_bytes(std::array::from_fn(|n| n as u8));
        // As Python's mmh3 hashes these octets with seed 9001.
        for (source, hash) in [
            (
                Source::V4(0),
                (0x4089_0191_dcc2_d7cb, 0x9a7a_cdbe_1b80_efb2),
            ),
            (
                Source::V4(0xc000_0201),
                (0xaf06_19a5_7570_b4a3, 0x803e_6bee_2112_b7c2),
            ),
            (
                Source::V6(six),
                (0x1191_c3da_933a_429e, 0xfd98_4b42_1d27_b17b),
            ),
        ] {
            assert_eq!(coupon(source), of(hash), "{source:?}");
        }
    }

    #[test]
    fn merging_is_counting_all_and_clearing_forgets() {
        let counted = |addresses: std::ops::Range<u128>| {
            let mut registers = Registers::new(10);
            for address in addresses {
                registers.update(coupon(Source::V6(address)));
            }
            registers
        };
        let mut merged = counted(0..2000);
        merged.merge(&counted(1500..3000));
        assert_eq!(merged.values(), counted(0..3000).values());
        assert!(!merged.is_empty());
        merged.clear();
        assert_eq!(merged.values(), [0; 1 << 10]);
        assert!(merged.is_empty());
    }

    #[test]
    fn registers_are_the_librarys() {
        let mut registers = Registers::new(12);
        let mut sketch = HllSketch::new(12, HllType::Hll8).unwrap();
        for address in 0..100_000u32 {
            let source = Source::V4(address.wrapping_mul(2_654_435_761));
            registers.update(coupon(source));
            sketch.update_with_coupon(theirs(source));
        }
        // A dense HLL_8 image is 40 octets of preamble and then the registers.
        assert_eq!(&sketch.serialize()[40..], registers.values());
    }
}
