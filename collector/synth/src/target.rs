//! Where packets go: into the darknet, or just not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::random::Random;

/// Draws after which an address outside the darknet is taken not to exist.
const TRIES: usize = 64;

/// The darknet as something to aim at.
pub(super) struct Targets {
    prefixes: Vec<IpNet>,
    /// Network and host bits of each IPv4 prefix.
    four: Vec<(u32, u32)>,
    /// Addresses in the IPv4 prefixes up to and with each of them.
    sums4: Vec<u64>,
    /// Network and host bits of each IPv6 prefix.
    six: Vec<(u128, u128)>,
}

impl Targets {
    pub fn new(prefixes: &[IpNet]) -> Self {
        let mut targets = Self {
            prefixes: prefixes.iter().map(IpNet::trunc).collect(),
            four: Vec::new(),
            sums4: Vec::new(),
            six: Vec::new(),
        };
        let mut sum = 0;
        for prefix in prefixes {
            match prefix {
                IpNet::V4(p) => {
                    let hosts = p.hostmask().to_bits();
                    sum += u64::from(hosts) + 1;
                    targets.four.push((p.network().to_bits(), hosts));
                    targets.sums4.push(sum);
                }
                IpNet::V6(p) => {
                    let hosts = p.hostmask().to_bits();
                    targets.six.push((p.network().to_bits(), hosts));
                }
            }
        }
        targets
    }

    pub fn has4(&self) -> bool {
        !self.four.is_empty()
    }

    pub fn has6(&self) -> bool {
        !self.six.is_empty()
    }

    /// A dark IPv4 address, every one as likely as any other.
    #[inline]
    pub fn dark4(&self, random: &mut Random) -> u32 {
        let at = random.below(self.sums4.last().copied().unwrap_or(0));
        let index = self.sums4.partition_point(|&sum| sum <= at);
        self.four
            .get(index)
            .map_or(0, |&(network, hosts)| network | (random.word32() & hosts))
    }

    /// A dark IPv6 address; every prefix is as likely as any other.
    pub fn dark6(&self, random: &mut Random) -> u128 {
        if self.six.is_empty() {
            return 0;
        }
        let (network, hosts) = random.pick(&self.six);
        let bits = u128::from(random.word()) << 64 | u128::from(random.word());
        network | (bits & hosts)
    }

    /// A unicast IPv4 address that is not dark, if a few draws find one.
    pub fn outside4(&self, random: &mut Random) -> Option<u32> {
        (0..TRIES)
            .map(|_| 0x0100_0000 + random.below(0xdf00_0000) as u32)
            .find(|&bits| !self.is_dark(Ipv4Addr::from_bits(bits).into()))
    }

    /// A global IPv6 address that is not dark, if a few draws find one.
    pub fn outside6(&self, random: &mut Random) -> Option<u128> {
        (0..TRIES)
            .map(|_| (u128::from(random.word()) << 64 | u128::from(random.word())) >> 3 | 1 << 125)
            .find(|&bits| !self.is_dark(Ipv6Addr::from_bits(bits).into()))
    }

    fn is_dark(&self, address: IpAddr) -> bool {
        self.prefixes.iter().any(|prefix| prefix.contains(&address))
    }
}
