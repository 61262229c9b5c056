//! Addresses that no host can have, for forged sources.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::random::scramble;

/// Private, shared, link-local and other such space: network and length.
const FOUR: [(Ipv4Addr, u8); 7] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(0, 0, 0, 0), 8),
];

/// Reserved space, in which every source has a place: 28 bits of it.
const RESERVED: u32 = 0xf000_0000;

/// Unique local and link-local addresses, and those of what is to be discarded: 64 bits each.
const SIX: [u64; 3] = [
    0xfd00_0000_0000_0000,
    0xfe80_0000_0000_0000,
    0x0100_0000_0000_0000,
];

/// Bogon addresses: one for each source.
pub(super) struct Bogons {
    /// Networks and their host bits, those apart from the darknet.
    four: Vec<(u32, u32)>,
}

impl Bogons {
    /// Outside the darknet, as far as this list has enough; reserved space may be dark.
    pub fn new(prefixes: &[IpNet]) -> Self {
        let is_apart = |net: &Ipv4Net| {
            !prefixes.iter().any(|prefix| match prefix {
                IpNet::V4(p) => p.contains(net) || net.contains(p),
                IpNet::V6(_) => false,
            })
        };
        let four = (FOUR.into_iter())
            .filter_map(|(network, length)| Ipv4Net::new(network, length).ok())
            .filter(is_apart)
            .map(|net| (net.network().to_bits(), net.hostmask().to_bits()))
            .collect();
        Self { four }
    }

    /// The IPv4 address of a source, another one for each.
    pub fn address4(&self, index: u64) -> u32 {
        // One place more, for reserved space.
        let nets = self.four.len() as u64 + 1;
        let (net, place) = (index % nets, index / nets);
        match self.four.get(net as usize) {
            Some(&(network, hosts)) if place <= u64::from(hosts) => {
                // An odd factor undoes itself within any number of bits.
                network | ((place as u32).wrapping_mul(0x9e37_79b1) & hosts)
            }
            _ => RESERVED | index as u32,
        }
    }

    /// The IPv6 address of a source, another one for each.
    pub fn address6(&self, index: u64) -> u128 {
        let network = SIX[(index % SIX.len() as u64) as usize];
        u128::from(network) << 64 | u128::from(scramble(index))
    }
}
