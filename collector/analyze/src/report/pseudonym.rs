//! Prefix-preserving pseudonyms of addresses: Crypto-PAn.
//!
//! Two addresses share exactly as many leading bits as their pseudonyms do. The address of a
//! pseudonym can only be computed with the key. Source: Xu, Fan,
//! Ammar, Moon, "Prefix-Preserving IP Address Anonymization", ICNP 2002, and its authors' reference
//! implementation; for IPv6 the same over 128 bits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use aes::Aes128;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockEncrypt as _, KeyInit as _};
use anyhow::{Context as _, Result, bail};

/// Length of a key in octets.
const KEY: usize = 32;

/// A key, ready for use.
pub struct Pseudonyms {
    cipher: Aes128,
    pad: u128,
}

impl Pseudonyms {
    /// Reads a key: a file of 32 octets, or of 64 hexadecimal digits.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Self> {
        let octets = std::fs::read(path)
            .with_context(|| format!("cannot read the key in {}", path.display()))?;
        let key = match <[u8; KEY]>::try_from(octets.as_slice()) {
            Ok(key) => Some(key),
            Err(_) => std::str::from_utf8(&octets)
                .ok()
                .and_then(|text| hexadecimal(text.trim())),
        };
        match key {
            Some(key) => Ok(Self::new(&key)),
            None => bail!(
                "{} is not a key: it must hold 32 octets, or 64 hexadecimal digits (`head -c 32 /dev/urandom > FILE` makes one)",
                path.display()
            ),
        }
    }

    /// The first half of `key` is the cipher's key; the second half, encrypted, pads the blocks.
    pub fn new(key: &[u8; KEY]) -> Self {
        let (first, second) = key.split_at(KEY / 2);
        let cipher = Aes128::new(GenericArray::from_slice(first));
        let mut pad = GenericArray::clone_from_slice(second);
        cipher.encrypt_block(&mut pad);
        Self {
            cipher,
            pad: u128::from_be_bytes(pad.into()),
        }
    }

    /// The pseudonym of an address.
    pub fn of(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(address) => {
                let bits = u128::from(u32::from(address)) << 96;
                Ipv4Addr::from((self.hide(bits, 32) >> 96) as u32).into()
            }
            IpAddr::V6(address) => Ipv6Addr::from(self.hide(address.into(), 128)).into(),
        }
    }

    /// Flips each of the first `count` bits if the encryption of the bits before it has its first bit
    /// set.
    fn hide(&self, bits: u128, count: u32) -> u128 {
        let mut flips = 0;
        for place in 0..count {
            let before = !u128::MAX.checked_shr(place).unwrap_or(0);
            let block = bits & before | self.pad & !before;
            let mut block = GenericArray::from(block.to_be_bytes());
            self.cipher.encrypt_block(&mut block);
            flips |= u128::from(block[0] >> 7) << (127 - place);
        }
        bits ^ flips
    }
}

fn hexadecimal(text: &str) -> Option<[u8; KEY]> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect();
    let pairs: Vec<u8> = digits?
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    (text.len() == 2 * KEY).then(|| pairs.try_into().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The key of the reference implementation's sample.
    const SAMPLE: [u8; KEY] = [
        21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16, 216, 152, 143, 131,
        121, 121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2,
    ];

    #[test]
    fn pseudonyms_are_those_of_the_reference_implementation() {
        let pseudonyms = Pseudonyms::new(&SAMPLE);
        for (address, expected) in [
            ("128.11.68.132", "135.242.180.132"),
            ("129.118.74.4", "134.136.186.123"),
            ("130.132.252.244", "133.68.164.234"),
            ("141.223.7.43", "141.167.8.160"),
            ("141.233.145.108", "141.129.237.235"),
            ("152.163.225.39", "151.140.114.167"),
            ("156.29.3.236", "147.225.12.42"),
            ("165.247.96.84", "162.9.99.234"),
            ("166.107.77.190", "160.132.178.185"),
            ("192.102.249.13", "252.138.62.131"),
            ("192.215.32.125", "252.43.47.189"),
            ("192.233.80.103", "252.25.108.8"),
            ("192.41.57.43", "252.222.221.184"),
            ("193.150.244.223", "253.169.52.216"),
            ("195.205.63.100", "255.186.223.5"),
            ("198.200.171.101", "249.199.68.213"),
            ("198.26.132.101", "249.36.123.202"),
            ("198.36.213.5", "249.7.21.132"),
            ("198.51.77.238", "249.18.186.254"),
            ("199.217.79.101", "248.38.184.213"),
            ("::1", "78ff:f001:9fc0:20df:8380:b1f1:704:ed"),
            ("::2", "78ff:f001:9fc0:20df:8380:b1f1:704:ef"),
            ("2001:db8::1", "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1e"),
            ("2001:db8::2", "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1c"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(pseudonyms.of(address).to_string(), expected, "{address}");
        }
    }

    #[test]
    fn a_key_is_octets_or_digits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let digits: String = SAMPLE.iter().map(|octet| format!("{octet:02X}")).collect();
        for content in [SAMPLE.to_vec(), format!("{digits}\n").into_bytes()] {
            std::fs::write(&path, content).unwrap();
            let address: IpAddr = "128.11.68.132".parse().unwrap();
            let pseudonym = Pseudonyms::read(&path).unwrap().of(address);
            assert_eq!(pseudonym.to_string(), "135.242.180.132");
        }
        for content in [
            &b""[..],
            b"short",
            &[7; 33],
            "é".repeat(32).as_bytes(),
            &digits.as_bytes()[1..],
        ] {
            std::fs::write(&path, content).unwrap();
            assert!(Pseudonyms::read(&path).is_err(), "{content:?}");
        }
        assert!(Pseudonyms::read(&folder.path().join("none")).is_err());
    }

    proptest! {
        #[test]
        fn prefixes_are_kept_and_no_more(a: u32, b: u32, key: [u8; KEY]) {
            let pseudonyms = Pseudonyms::new(&key);
            let of = |address: u32| match pseudonyms.of(Ipv4Addr::from(address).into()) {
                IpAddr::V4(pseudonym) => u32::from(pseudonym),
                IpAddr::V6(_) => unreachable!("an IPv4 address has one of its kind"),
            };
            prop_assert_eq!((a ^ b).leading_zeros(), (of(a) ^ of(b)).leading_zeros());
        }

        #[test]
        fn longer_addresses_keep_theirs(a: u128, b: u128, shared in 0u32..128, key: [u8; KEY]) {
            let mask = !(u128::MAX >> shared);
            let b = a & mask | b & !mask;
            let pseudonyms = Pseudonyms::new(&key);
            let of = |address: u128| match pseudonyms.of(Ipv6Addr::from(address).into()) {
                IpAddr::V6(pseudonym) => u128::from(pseudonym),
                IpAddr::V4(_) => unreachable!("an IPv6 address has one of its kind"),
            };
            prop_assert_eq!((a ^ b).leading_zeros(), (of(a) ^ of(b)).leading_zeros());
        }
    }
}
