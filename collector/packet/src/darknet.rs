//! Which addresses are dark: include and exclude prefixes, longest prefix wins.

use std::net::IpAddr;

use ipnet::IpNet;
use sha2::{Digest, Sha256};

use crate::link::{LinkType, Network, network};

/// Why a list of prefixes was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DarknetError {
    /// No prefix was given.
    #[error("no darknet prefix is given: add one with --prefix CIDR or `prefixes = [\"CIDR\"]`")]
    Empty,
    /// The text is not a prefix.
    #[error("prefix \"{0}\" cannot be read: write ADDRESS/LENGTH, for example 198.51.100.0/24")]
    Unparsable(String),
    /// Bits are set after the prefix length.
    #[error("prefix {0} has bits set after its length: did you mean {1}?")]
    HostBits(IpNet, IpNet),
    /// The same prefix stands twice.
    #[error("prefix {0} is given more than once: remove one of them")]
    Repeated(IpNet),
    /// An exclude that takes nothing away.
    #[error(
        "exclude {0} lies outside every included prefix: remove it, or include what it is part of"
    )]
    ExcludeOutside(IpNet),
}

/// One prefix of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The prefix.
    pub prefix: IpNet,
    /// True: addresses under it are dark; false: they are not.
    pub dark: bool,
}

/// The darknet: a set of addresses, as include and exclude prefixes.
///
/// Stored as sorted, disjoint ranges, so that one binary search answers.
#[derive(Clone, Debug)]
pub struct Darknet {
    rules: Vec<Rule>,
    ranges4: Vec<(u32, u32)>,
    ranges6: Vec<(u128, u128)>,
    version: String,
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Its destination is dark; the IP header is there.
    Dark(Network),
    /// It is not: not IP, cut before the destination address, or addressed elsewhere.
    Passed,
}

impl Darknet {
    /// Reads prefixes from their text.
    ///
    /// # Errors
    /// Whatever [`Darknet::new`] refuses, and texts that are no prefixes.
    pub fn parse<S: AsRef<str>>(includes: &[S], excludes: &[S]) -> Result<Self, DarknetError> {
        let read = |texts: &[S]| -> Result<Vec<IpNet>, DarknetError> {
            texts.iter().map(|text| prefix(text.as_ref())).collect()
        };
        Self::new(&read(includes)?, &read(excludes)?)
    }

    /// The darknet of these prefixes.
    ///
    /// # Errors
    /// An empty list, host bits, a prefix that stands twice, an exclude outside every include.
    pub fn new(includes: &[IpNet], excludes: &[IpNet]) -> Result<Self, DarknetError> {
        if includes.is_empty() {
            return Err(DarknetError::Empty);
        }
        let mut rules: Vec<Rule> = Vec::with_capacity(includes.len() + excludes.len());
        for (prefixes, dark) in [(includes, true), (excludes, false)] {
            for &prefix in prefixes {
                if prefix.trunc() != prefix {
                    return Err(DarknetError::HostBits(prefix, prefix.trunc()));
                }
                if !dark && !includes.iter().any(|include| include.contains(&prefix)) {
                    return Err(DarknetError::ExcludeOutside(prefix));
                }
                rules.push(Rule { prefix, dark });
            }
        }
        rules.sort_by_key(|rule| (rule.prefix, rule.dark));
        if let Some(pair) = rules.windows(2).find(|p| p[0].prefix == p[1].prefix) {
            return Err(DarknetError::Repeated(pair[0].prefix));
        }
        let version = version(&rules);
        let spans = |six: bool| {
            rules
                .iter()
                .filter(|r| r.prefix.addr().is_ipv6() == six)
                .map(|r| (first(r.prefix), last(r.prefix), r.dark))
                .collect::<Vec<_>>()
        };
        let ranges4 = flatten(&spans(false))
            .into_iter()
            .map(|(a, b)| (a as u32, b as u32))
            .collect();
        let ranges6 = flatten(&spans(true));
        Ok(Self {
            rules,
            ranges4,
            ranges6,
            version,
        })
    }

    /// Every prefix with its meaning, in address order: what the kernel's tries are filled with.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// A name for this list: the first 16 hexadecimal digits of a SHA-256 over the sorted list.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Is this IPv4 address (host order) dark?
    #[inline]
    pub fn contains4(&self, address: u32) -> bool {
        in_ranges(&self.ranges4, address)
    }

    /// Is this IPv6 address (host order) dark?
    #[inline]
    pub fn contains6(&self, address: u128) -> bool {
        in_ranges(&self.ranges6, address)
    }

    /// Is this address dark?
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => self.contains4(a.to_bits()),
            IpAddr::V6(a) => self.contains6(a.to_bits()),
        }
    }

    /// Observed IPv4 addresses: how many are dark, excludes subtracted.
    pub fn observed4(&self) -> u64 {
        self.ranges4
            .iter()
            .map(|&(a, b)| u64::from(b - a) + 1)
            .sum()
    }

    /// Observed IPv6 address space in /64s: how many hold at least one dark address.
    pub fn observed6_slash64s(&self) -> u64 {
        let mut count = 0u128;
        let mut counted_to: Option<u128> = None;
        for &(a, b) in &self.ranges6 {
            let (mut from, to) = (a >> 64, b >> 64);
            if counted_to.is_some_and(|last| last >= from) {
                from += 1;
            }
            if from <= to {
                count += to - from + 1;
            }
            counted_to = Some(to);
        }
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// Decides where a frame goes (counting rule 1).
    #[inline]
    pub fn destination(&self, link: LinkType, frame: &[u8]) -> Destination {
        let Some(found) = network(link, frame) else {
            return Destination::Passed;
        };
        let dark = match found {
            Network::Ipv4 { offset } => frame
                .get(offset + 16..offset + 20)
                .and_then(|octets| octets.try_into().ok())
                .is_some_and(|octets| self.contains4(u32::from_be_bytes(octets))),
            Network::Ipv6 { offset } => frame
                .get(offset + 24..offset + 40)
                .and_then(|octets| octets.try_into().ok())
                .is_some_and(|octets| self.contains6(u128::from_be_bytes(octets))),
        };
        if dark {
            Destination::Dark(found)
        } else {
            Destination::Passed
        }
    }
}

/// Reads one prefix; a bare address is a prefix of its full length.
fn prefix(text: &str) -> Result<IpNet, DarknetError> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| DarknetError::Unparsable(text.to_owned()))
}

fn first(prefix: IpNet) -> u128 {
    match prefix {
        IpNet::V4(p) => u128::from(p.network().to_bits()),
        IpNet::V6(p) => p.network().to_bits(),
    }
}

fn last(prefix: IpNet) -> u128 {
    match prefix {
        IpNet::V4(p) => u128::from(p.broadcast().to_bits()),
        IpNet::V6(p) => p.broadcast().to_bits(),
    }
}

#[inline]
fn in_ranges<A: Ord + Copy>(ranges: &[(A, A)], address: A) -> bool {
    let after = ranges.partition_point(|&(start, _)| start <= address);
    after > 0 && address <= ranges[after - 1].1
}

/// Turns nested prefixes (sorted by start, then by length) into disjoint dark ranges.
///
/// Prefixes never overlap by halves: of two, one holds the other or they are apart. So a stack
/// of the prefixes that are open at a point gives the longest one at its top.
fn flatten(spans: &[(u128, u128, bool)]) -> Vec<(u128, u128)> {
    let mut ranges: Vec<(u128, u128)> = Vec::new();
    let mut open: Vec<(u128, bool)> = Vec::new();
    let mut at = 0u128;
    let mut emit = |from: u128, to: u128| match ranges.last_mut() {
        Some(last) if last.1.checked_add(1) == Some(from) => last.1 = to,
        _ => ranges.push((from, to)),
    };
    // `at` is the first address not yet decided; it is past the end once `done`.
    let mut done = false;
    let mut close_until = |open: &mut Vec<(u128, bool)>, at: &mut u128, limit: Option<u128>| {
        while let Some(&(end, dark)) = open.last() {
            if limit.is_some_and(|start| end >= start) {
                break;
            }
            if !done && *at <= end {
                if dark {
                    emit(*at, end);
                }
                match end.checked_add(1) {
                    Some(next) => *at = next,
                    None => done = true,
                }
            }
            open.pop();
        }
        if let (Some(start), Some(&(_, dark))) = (limit, open.last())
            && *at < start
        {
            if dark {
                emit(*at, start - 1);
            }
            *at = start;
        }
    };
    for &(start, end, dark) in spans {
        close_until(&mut open, &mut at, Some(start));
        if open.is_empty() {
            at = start;
        }
        open.push((end, dark));
    }
    close_until(&mut open, &mut at, None);
    ranges
}

fn version(rules: &[Rule]) -> String {
    let mut hash = Sha256::new();
    for rule in rules {
        let sign = if rule.dark { '+' } else { '-' };
        hash.update(format!("{sign}{}\n", rule.prefix));
    }
    hash.finalize()[..8]
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use ipnet::{Ipv4Net, Ipv6Net};
    use proptest::prelude::*;

    fn darknet(includes: &[&str], excludes: &[&str]) -> Result<Darknet, DarknetError> {
        Darknet::parse(includes, excludes)
    }

    #[test]
    fn longest_prefix_wins_both_ways() {
        let d = darknet(&["10.0.0.0/8", "10.1.2.0/24"], &["10.1.0.0/16"]).unwrap();
        assert!(d.contains("10.0.0.1".parse().unwrap()));
        assert!(!d.contains("10.1.0.1".parse().unwrap()));
        assert!(d.contains("10.1.2.3".parse().unwrap()));
        assert!(d.contains("10.255.255.255".parse().unwrap()));
        assert!(!d.contains("11.0.0.0".parse().unwrap()));
        assert_eq!(d.observed4(), (1 << 24) - (1 << 16) + 256);
    }

    #[test]
    fn the_whole_space_is_a_prefix_too() {
        let d = darknet(&["0.0.0.0/0", "::/0"], &[]).unwrap();
        assert!(d.contains4(0) && d.contains4(u32::MAX) && d.contains6(u128::MAX));
        assert_eq!(d.observed4(), 1 << 32);
    }

    #[test]
    fn observed_ipv6_is_counted_in_slash_64s() {
        let d = darknet(&["2001:db8::/48"], &["2001:db8:0:5::/64"]).unwrap();
        assert_eq!(d.observed6_slash64s(), 65_535);
        let d = darknet(&["2001:db8::/128", "2001:db8::2/128"], &[]).unwrap();
        assert_eq!(d.observed6_slash64s(), 1);
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(darknet(&[], &[]).unwrap_err(), DarknetError::Empty);
        assert_eq!(
            darknet(&["10.0.0.0/33"], &[]).unwrap_err(),
            DarknetError::Unparsable("10.0.0.0/33".into())
        );
        assert!(matches!(
            darknet(&["10.0.0.1/8"], &[]).unwrap_err(),
            DarknetError::HostBits(..)
        ));
        assert!(matches!(
            darknet(&["10.0.0.0/8", "10.0.0.0/8"], &[]).unwrap_err(),
            DarknetError::Repeated(_)
        ));
        assert!(matches!(
            darknet(&["10.0.0.0/8"], &["10.0.0.0/8"]).unwrap_err(),
            DarknetError::Repeated(_)
        ));
        assert!(matches!(
            darknet(&["10.0.0.0/8"], &["11.0.0.0/24"]).unwrap_err(),
            DarknetError::ExcludeOutside(_)
        ));
    }

    #[test]
    fn the_version_depends_on_the_set_and_not_on_its_order() {
        let a = darknet(&["10.0.0.0/8", "11.0.0.0/8"], &[]).unwrap();
        let b = darknet(&["11.0.0.0/8", "10.0.0.0/8"], &[]).unwrap();
        let c = darknet(&["11.0.0.0/8", "10.0.0.0/9"], &[]).unwrap();
        assert_eq!(a.version(), b.version());
        assert_ne!(a.version(), c.version());
    }

    fn any_prefix() -> impl Strategy<Value = IpNet> {
        // Few distinct bits, so that prefixes nest and touch often.
        (any::<u8>(), 0u8..=8).prop_map(|(bits, length)| {
            IpNet::V4(
                Ipv4Net::new(Ipv4Addr::from_bits(u32::from(bits) << 24), length)
                    .unwrap()
                    .trunc(),
            )
        })
    }

    proptest! {
        /// The ranges agree with the definition: the longest prefix that holds the address decides.
        #[test]
        fn ranges_equal_the_longest_prefix(
            includes in proptest::collection::btree_set(any_prefix(), 1..12),
            excludes in proptest::collection::btree_set(any_prefix(), 0..12),
        ) {
            let includes: Vec<_> = includes.into_iter().collect();
            let excludes: Vec<_> = excludes
                .into_iter()
                .filter(|e| !includes.contains(e) && includes.iter().any(|i| i.contains(e)))
                .collect();
            let darknet = Darknet::new(&includes, &excludes).unwrap();
            let mut dark_blocks = 0u64;
            for block in 0..=255u32 {
                let address = IpAddr::V4(Ipv4Addr::from_bits(block << 24 | 77));
                let longest = darknet
                    .rules()
                    .iter()
                    .filter(|rule| rule.prefix.contains(&address))
                    .max_by_key(|rule| rule.prefix.prefix_len());
                let dark = longest.is_some_and(|rule| rule.dark);
                prop_assert_eq!(darknet.contains(address), dark);
                dark_blocks += u64::from(dark);
            }
            prop_assert_eq!(darknet.observed4(), dark_blocks << 24);
        }
    }

    #[test]
    fn a_frame_cut_before_its_destination_is_passed() {
        let d = darknet(&["0.0.0.0/0", "::/0"], &[]).unwrap();
        let four = [0x45u8; 20];
        let six = [0x60u8; 40];
        assert_eq!(
            d.destination(LinkType::RawIp, &four[..19]),
            Destination::Passed
        );
        assert_eq!(
            d.destination(LinkType::RawIp, &four),
            Destination::Dark(Network::Ipv4 { offset: 0 })
        );
        assert_eq!(
            d.destination(LinkType::RawIp, &six[..39]),
            Destination::Passed
        );
        assert_eq!(
            d.destination(LinkType::RawIp, &six),
            Destination::Dark(Network::Ipv6 { offset: 0 })
        );
    }

    #[test]
    fn a_bare_address_is_a_full_length_prefix() {
        let d = darknet(&["192.0.2.1", "2001:db8::1"], &[]).unwrap();
        assert_eq!(
            d.rules()[0].prefix,
            IpNet::V4(Ipv4Net::new(Ipv4Addr::new(192, 0, 2, 1), 32).unwrap())
        );
        assert_eq!(
            d.rules()[1].prefix,
            IpNet::V6(Ipv6Net::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 128).unwrap())
        );
    }
}
