//! Which address a source has, and in which country and autonomous system that lies.
//!
//! IPv4 space is taken in blocks of /12, IPv6 space in /32s; each block belongs to
//! one country and one AS. Source `i` lies in block `i mod blocks` at a scrambled position, so
//! no two sources share an address and no table of sources is needed.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::bogon::Bogons;
use super::error::SynthError;
use super::random::{Random, scramble};

const MAX_BLOCKS: usize = 256;
/// Host bits of a lane's IPv4 block, a /12.
pub(super) const BLOCK_BITS: u32 = 20;
const BLOCK_MASK: u64 = (1 << BLOCK_BITS) - 1;

/// IPv4 space that no source on the Internet has: the special-purpose registry of IANA
/// (RFC 6890), multicast and what lies above.
const RESERVED: [(u32, u8); 15] = [
    (0x0000_0000, 8),
    (0x0a00_0000, 8),
    (0x6440_0000, 10),
    (0x7f00_0000, 8),
    (0xa9fe_0000, 16),
    (0xac10_0000, 12),
    (0xc000_0000, 24),
    (0xc000_0200, 24),
    (0xc058_6300, 24),
    (0xc0a8_0000, 16),
    (0xc612_0000, 15),
    (0xc633_6400, 24),
    (0xcb00_7100, 24),
    (0xe000_0000, 4),
    (0xf000_0000, 4),
];

/// Where a country's IPv6 space comes from: the first 16 bits of its registry.
const APNIC: u16 = 0x2400;
const ARIN: u16 = 0x2600;
const LACNIC: u16 = 0x2800;
const RIPE: u16 = 0x2a00;
const AFRINIC: u16 = 0x2c00;

/// Code, weight among sources in thousandths, registry, AS numbers.
type Country = (&'static str, u32, u16, &'static [u32]);

const COUNTRIES: [Country; 30] = [
    ("CN", 190, APNIC, &[4134, 4837, 9808, 56040]),
    ("US", 160, ARIN, &[7922, 14061, 16509, 396_982]),
    ("IN", 70, APNIC, &[9829, 24560, 55836]),
    ("BR", 65, LACNIC, &[28573, 27699, 18881]),
    ("RU", 60, RIPE, &[12389, 8402, 49505]),
    ("NL", 45, RIPE, &[202_425, 49981, 60781]),
    ("VN", 35, APNIC, &[45899, 7552]),
    ("TW", 35, APNIC, &[3462, 9924]),
    ("DE", 35, RIPE, &[3320, 24940]),
    ("GB", 32, RIPE, &[2856, 5607]),
    ("KR", 30, APNIC, &[4766, 9318]),
    ("ID", 22, APNIC, &[7713, 23693]),
    ("FR", 20, RIPE, &[3215, 16276]),
    ("HK", 18, APNIC, &[4760, 135_377]),
    ("JP", 17, APNIC, &[4713, 2516]),
    ("SG", 16, APNIC, &[4657, 45102]),
    ("TR", 15, RIPE, &[9121, 47331]),
    ("IR", 15, RIPE, &[58224, 44244]),
    ("UA", 14, RIPE, &[15895, 6849]),
    ("IT", 13, RIPE, &[3269, 30722]),
    ("MX", 12, LACNIC, &[8151, 13999]),
    ("TH", 11, APNIC, &[9737, 23969]),
    ("AR", 10, LACNIC, &[7303, 22927]),
    ("PL", 9, RIPE, &[5617, 8374]),
    ("EG", 9, AFRINIC, &[8452, 36992]),
    ("ZA", 9, AFRINIC, &[3741, 37457]),
    ("BG", 9, RIPE, &[8866, 34224]),
    ("RO", 8, RIPE, &[8708, 9050]),
    ("CA", 8, ARIN, &[812, 577]),
    ("ES", 8, RIPE, &[3352, 12430]),
];

/// A line of a country or AS file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRange {
    /// The first address.
    pub start: IpAddr,
    /// The last address.
    pub end: IpAddr,
    /// Country code, or AS number.
    pub value: String,
}

#[derive(Debug)]
pub(super) struct AddressBlock {
    /// First address of the IPv4 block.
    pub block4: u32,
    /// First 32 bits of the IPv6 block.
    pub block6: u32,
    /// Empty if the block has no sources.
    pub country: Cow<'static, str>,
    pub system: u32,
}

/// The addresses of all sources.
pub(super) struct Addresses {
    lanes: Vec<AddressBlock>,
    key: u64,
    bogons: Bogons,
}

/// A source, as the frames and the truth need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// Its number, from 0.
    pub index: u64,
    /// True if it sends from an address that no host can have.
    pub bogon: bool,
    /// Random, and always the same for it: what its habits are derived from.
    pub habit: u64,
}

impl Addresses {
    /// Lays out room for this many sources, outside the darknet where that leaves enough.
    pub fn new(sources: u64, prefixes: &[IpNet], random: &mut Random) -> Result<Self, SynthError> {
        let outside = free_blocks4(prefixes);
        let blocks = if room(outside.len()) < sources {
            // Nearly everything is dark: then dark addresses have to send as well.
            free_blocks4(&[])
        } else {
            outside
        };
        if room(blocks.len()) < sources {
            return Err(SynthError::TooManySources {
                wanted: sources,
                most: room(blocks.len()),
            });
        }
        let count = blocks.len().min(MAX_BLOCKS);
        let turn = random.below(blocks.len() as u64) as usize;
        let mut lanes: Vec<AddressBlock> = (0..count)
            .map(|lane| {
                let (country, registry, system) = owner(lane, count);
                AddressBlock {
                    block4: blocks[(lane * blocks.len() / count + turn) % blocks.len()],
                    block6: block6(registry, lane, prefixes),
                    country: country.into(),
                    system,
                }
            })
            .collect();
        // Which block is whose, and which lane the busiest sources live in, is up to the seed.
        for last in (1..count).rev() {
            let other = random.below(last as u64 + 1) as usize;
            let (a, b) = (lanes[last].block4, lanes[other].block4);
            (lanes[last].block4, lanes[other].block4) = (b, a);
            lanes.swap(last, random.below(last as u64 + 1) as usize);
        }
        Ok(Self {
            lanes,
            key: random.word(),
            bogons: Bogons::new(prefixes),
        })
    }

    /// The addresses in these blocks: source `i` has the position `i / blocks` in block `i % blocks`.
    pub fn of_blocks(lanes: Vec<AddressBlock>, prefixes: &[IpNet], random: &mut Random) -> Self {
        Self {
            lanes,
            key: random.word(),
            bogons: Bogons::new(prefixes),
        }
    }

    pub fn source(&self, index: u64) -> Source {
        Source {
            index,
            bogon: false,
            habit: scramble(self.key ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        }
    }

    #[inline]
    fn lane(&self, index: u64) -> (&AddressBlock, u64) {
        let lanes = self.lanes.len() as u64;
        (&self.lanes[(index % lanes) as usize], index / lanes)
    }

    /// The IPv4 address that a source sends from.
    #[inline]
    pub fn source4(&self, source: Source) -> u32 {
        if source.bogon {
            self.bogons.address4(source.index)
        } else {
            self.address4(source.index)
        }
    }

    /// The IPv6 address that a source sends from.
    pub fn source6(&self, source: Source) -> u128 {
        if source.bogon {
            self.bogons.address6(source.index)
        } else {
            self.address6(source.index)
        }
    }

    /// The IPv4 address of a source that exists.
    #[inline]
    fn address4(&self, index: u64) -> u32 {
        let (lane, position) = self.lane(index);
        // Each step can be undone within 20 bits, so positions stay apart.
        let a = (position ^ self.key) & BLOCK_MASK;
        let b = (a ^ (a >> 11)).wrapping_mul(0x9_e375) & BLOCK_MASK;
        let c = (b ^ (b >> 9)).wrapping_mul(0x6_c8e9) & BLOCK_MASK;
        lane.block4 | (c ^ (c >> 10)) as u32
    }

    /// The IPv6 address of a source that exists.
    #[inline]
    fn address6(&self, index: u64) -> u128 {
        let (lane, position) = self.lane(index);
        let interface = scramble(position ^ self.key);
        u128::from(lane.block6) << 96 | u128::from(interface >> 48) << 64 | u128::from(interface)
    }

    /// The country of a source that exists.
    pub fn country(&self, index: u64) -> &str {
        &self.lane(index).0.country
    }

    /// Every block with its country, neighbours of one country joined; IPv6 on demand.
    pub fn countries(&self, six: bool) -> Vec<AddressRange> {
        self.ranges(six, |lane| lane.country.to_string())
    }

    /// Every block with its AS number, neighbours of one AS joined; IPv6 on demand.
    pub fn systems(&self, six: bool) -> Vec<AddressRange> {
        self.ranges(six, |lane| lane.system.to_string())
    }

    fn ranges(&self, six: bool, value: impl Fn(&AddressBlock) -> String) -> Vec<AddressRange> {
        let mut spans: Vec<(u32, u128, u128, String)> = Vec::new();
        for lane in self.lanes.iter().filter(|lane| !lane.country.is_empty()) {
            let first = u128::from(lane.block4);
            spans.push((4, first, first | u128::from(BLOCK_MASK), value(lane)));
            if six {
                let first = u128::from(lane.block6) << 96;
                spans.push((6, first, first | (u128::MAX >> 32), value(lane)));
            }
        }
        spans.sort();
        spans.dedup_by(|next, last| {
            let joined = next.0 == last.0 && next.1 == last.2 + 1 && next.3 == last.3;
            if joined {
                last.2 = next.2;
            }
            joined
        });
        let address = |family, bits: u128| match family {
            4 => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        };
        spans
            .into_iter()
            .map(|(family, start, end, value)| AddressRange {
                start: address(family, start),
                end: address(family, end),
                value,
            })
            .collect()
    }
}

/// How many sources find room in this many blocks.
fn room(blocks: usize) -> u64 {
    (blocks.min(MAX_BLOCKS) as u64) << BLOCK_BITS
}

/// First addresses of the /12 blocks that touch neither reserved space nor these prefixes.
pub(super) fn free_blocks4(prefixes: &[IpNet]) -> Vec<u32> {
    let span = |first: u32, length: u8| {
        (
            first,
            first | u32::MAX.checked_shr(length.into()).unwrap_or(0),
        )
    };
    let taken: Vec<(u32, u32)> = RESERVED
        .iter()
        .map(|&(first, length)| span(first, length))
        .chain(prefixes.iter().filter_map(|prefix| match prefix {
            IpNet::V4(p) => Some((p.network().to_bits(), p.broadcast().to_bits())),
            IpNet::V6(_) => None,
        }))
        .collect();
    (0..1u32 << (32 - BLOCK_BITS))
        .map(|number| number << BLOCK_BITS)
        .filter(|&first| {
            let last = first | BLOCK_MASK as u32;
            !taken.iter().any(|&(from, to)| from <= last && first <= to)
        })
        .collect()
}

/// A /32 of this registry for the lane, outside the darknet where there is one.
fn block6(registry: u16, lane: usize, prefixes: &[IpNet]) -> u32 {
    let block = |round: u32| u32::from(registry) << 16 | (round << 8 | lane as u32);
    (1..256)
        .map(block)
        .find(|&block| {
            let address = Ipv6Addr::from_bits(u128::from(block) << 96);
            !prefixes.iter().any(|prefix| match prefix {
                IpNet::V6(p) => {
                    Ipv6Net::new(address, 32).is_ok_and(|net| p.contains(&net) || net.contains(p))
                }
                IpNet::V4(_) => false,
            })
        })
        .unwrap_or_else(|| block(1))
}

/// Country, registry and AS number of a lane: shares of the lanes follow the weights.
fn owner(lane: usize, lanes: usize) -> (&'static str, u16, u32) {
    let total: u64 = COUNTRIES.iter().map(|country| u64::from(country.1)).sum();
    let mut left = (2 * lane as u64 + 1) * total / (2 * lanes as u64);
    for (code, weight, registry, systems) in COUNTRIES {
        if left < u64::from(weight) {
            let system = systems[left as usize * systems.len() / weight as usize];
            return (code, registry, system);
        }
        left -= u64::from(weight);
    }
    let (code, _, registry, systems) = COUNTRIES[0];
    (code, registry, systems[0])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ipnet::Ipv4Net;

    use super::*;

    fn layout(prefix: &str, sources: u64) -> Addresses {
        Addresses::new(sources, &[prefix.parse().unwrap()], &mut Random::new(9)).unwrap()
    }

    #[test]
    fn no_two_sources_share_an_address() {
        let addresses = layout("192.0.2.0/24", 3_000_000);
        let mut four: Vec<u32> = (0..3_000_000).map(|i| addresses.address4(i)).collect();
        four.sort_unstable();
        assert!(four.windows(2).all(|pair| pair[0] < pair[1]));
        let six: HashSet<u128> = (0..100_000).map(|i| addresses.address6(i)).collect();
        assert_eq!(six.len(), 100_000);
        // A whole lane, in which every position occurs once.
        let mut lane: Vec<u32> = (0..1 << BLOCK_BITS)
            .map(|i| addresses.address4(i * MAX_BLOCKS as u64))
            .collect();
        lane.sort_unstable();
        lane.dedup();
        assert_eq!(lane.len(), 1 << BLOCK_BITS);
    }

    #[test]
    fn sources_are_public_and_not_dark() {
        let dark: IpNet = "64.0.0.0/3".parse().unwrap();
        let addresses = layout("64.0.0.0/3", 1_000_000);
        for index in 0..100_000 {
            let address = Ipv4Addr::from_bits(addresses.address4(index));
            assert!(!dark.contains(&IpAddr::V4(address)), "{address}");
            for (first, length) in RESERVED {
                let net = Ipv4Net::new(Ipv4Addr::from_bits(first), length).unwrap();
                assert!(!net.contains(&address), "{address}");
            }
        }
    }

    #[test]
    fn only_bogons_are_bogons() {
        let rules = noctule_packet::Rules::shipped();
        let is_bogon = |source| rules.is_bogon(source);
        use noctule_packet::Source::{V4, V6};
        for dark in [
            "198.18.0.0/15",
            "240.0.0.0/4",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "fc00::/7",
        ] {
            let addresses = layout(dark, 1 << 28 >> 2);
            let mut seen = HashSet::new();
            for index in (0..50_000).chain((1 << 28) - 50_000..1 << 28) {
                let source = addresses.source(index % (1 << 26));
                assert!(!is_bogon(V4(addresses.source4(source))), "{dark} {index}");
                assert!(!is_bogon(V6(addresses.source6(source))), "{dark} {index}");
                let bogon = Source {
                    index,
                    bogon: true,
                    ..source
                };
                let (four, six) = (addresses.source4(bogon), addresses.source6(bogon));
                assert!(is_bogon(V4(four)), "{dark} {index}");
                assert!(is_bogon(V6(six)), "{dark} {index}");
                assert!(
                    seen.insert(u128::from(four)) && seen.insert(six),
                    "{dark} {index}"
                );
            }
        }
    }

    #[test]
    fn a_darknet_of_everything_still_leaves_sources() {
        assert_eq!(layout("0.0.0.0/0", 10).lanes.len(), MAX_BLOCKS);
        assert!(matches!(
            Addresses::new(u64::MAX, &[], &mut Random::new(1)),
            Err(SynthError::TooManySources { .. })
        ));
    }

    #[test]
    fn every_country_has_a_lane_and_the_ranges_agree() {
        let addresses = layout("198.51.100.0/24", 1000);
        let countries = addresses.countries(true);
        let codes: HashSet<&str> = countries.iter().map(|range| &range.value[..]).collect();
        assert_eq!(codes.len(), COUNTRIES.len());
        assert!(countries.windows(2).all(|pair| pair[0].end < pair[1].start));
        for index in 0..5000 {
            for address in [
                IpAddr::V4(Ipv4Addr::from_bits(addresses.address4(index))),
                IpAddr::V6(Ipv6Addr::from_bits(addresses.address6(index))),
            ] {
                let range = countries
                    .iter()
                    .find(|range| range.start <= address && address <= range.end)
                    .unwrap();
                assert_eq!(range.value, addresses.country(index), "{address}");
            }
        }
        assert!(addresses.systems(true).len() <= 2 * MAX_BLOCKS);
    }
}
