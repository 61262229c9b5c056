//! Ranges from a MaxMind DB (format 2.0, <https://maxmind.github.io/MaxMind-DB/>).
//!
//! The crate `maxminddb` reads the metadata and the records. The search tree is walked here,
//! because a damaged one may loop or double at every level: the walk has a budget, and every node
//! must be reached, which finds most pointers that lead astray.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use maxminddb::{MaxMindDbError, PathElement, Reader};

use super::node::Node;
use super::ranges::{Entries, FileRange, Odd, Read};
use super::span::short;
use super::value::{Parsed, Value};

const MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// By the format, the mark lies within the last 128 KiB.
const MARK_WITHIN: usize = 128 * 1024;
/// Zeros between tree and data.
const SEPARATOR: usize = 16;
/// Visits per node after which a tree counts as damaged. A tree has one visit per node, and a few if
/// its writer shares equal subtrees.
const VISITS_PER_NODE: usize = 4;
/// Where IPv4 begins in an IPv6 tree.
const IPV4_DEPTH: u8 = 96;

/// True if the file is a MaxMind DB.
pub(super) fn recognise(bytes: &[u8]) -> bool {
    let tail = &bytes[bytes.len().saturating_sub(MARK_WITHIN)..];
    tail.windows(MARK.len()).any(|octets| octets == MARK)
}

/// Every range of the file, or the reason why it is not valid.
pub(super) fn read<V: Value>(bytes: &[u8]) -> Result<Read<V>, String> {
    let reader = Reader::from_source(bytes).map_err(|error| error.to_string())?;
    let leaves = Tree::new(bytes, &reader)?.leaves()?;
    // The walk comes first, since it is bounded for every tree, and `verify` is not. Beyond the format,
    // `verify` wants a type and a description, which valid files may lack.
    let metadata = reader.metadata();
    if !metadata.description.is_empty() && !metadata.database_type.is_empty() {
        reader.verify().map_err(|error| error.to_string())?;
    }

    let six = metadata.ip_version == 6;
    let mut values: HashMap<usize, Parsed<V>> = HashMap::new();
    let mut entries = (Vec::new(), Vec::new());
    let mut odd = Odd::default();
    for leaf in leaves {
        let value = match values.get(&leaf.record) {
            Some(&value) => value,
            None => {
                let (value, text) = value(&reader, leaf.start, six)?;
                if let Some(text) = text.filter(|_| value == Parsed::Odd) {
                    let address = address(leaf.start, six);
                    (odd.example)
                        .get_or_insert_with(|| format!("\"{}\" at {address}", short(&text)));
                }
                values.insert(leaf.record, value);
                value
            }
        };
        odd.ranges += u64::from(value == Parsed::Odd);
        leaf.push(value.known(), six, &mut entries);
    }
    Ok(Read { entries, odd })
}

fn address(bits: u128, six: bool) -> IpAddr {
    match u32::try_from(bits) {
        Ok(bits) => IpAddr::V4(Ipv4Addr::from_bits(bits)),
        Err(_) if six => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        Err(_) => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
    }
}

/// The value of the record at an address, and its text where that is not a value.
fn value<V: Value>(
    reader: &Reader<&[u8]>,
    at: u128,
    six: bool,
) -> Result<(Parsed<V>, Option<String>), String> {
    let address = if six {
        IpAddr::V6(Ipv6Addr::from_bits(at))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(at as u32))
    };
    let failed = |error: MaxMindDbError| format!("the record of {address} cannot be read: {error}");
    let found = reader.lookup(address).map_err(failed)?;
    // Looking up a key that does not exist steps over every field, so that all must be whole.
    found
        .decode_path::<u32>(&[PathElement::Key("\0")])
        .map_err(failed)?;
    let mut result = (Parsed::Unknown, None);
    for path in V::PATHS {
        let (&key, inner) = path.split_first().unwrap_or((&"", &[]));
        let node = found.decode_path::<Node>(&[PathElement::Key(key)]);
        // AS numbers are integers in some layouts and text in others.
        let Some(text) = node.map_err(failed)?.and_then(|node| node.text(inner)) else {
            continue;
        };
        match V::parse(text.trim()) {
            Parsed::Known(value) => return Ok((Parsed::Known(value), None)),
            // IPinfo's `country` is a name where `country_code` has the code.
            Parsed::Odd if result.1.is_none() => result = (Parsed::Odd, Some(text)),
            _ => {}
        }
    }
    Ok(result)
}

/// A prefix that has a record.
struct Leaf {
    /// First address; an IPv4-only tree's are in the low 32 bits.
    start: u128,
    /// Last address.
    end: u128,
    /// Where the tree points to, the same for equal records.
    record: usize,
}

impl Leaf {
    fn push<V: Copy>(&self, value: Option<V>, six: bool, entries: &mut Entries<V>) {
        let (start, end, line) = (self.start, self.end, 0);
        // A record above all of IPv4 in an IPv6 tree holds for it too.
        if start <= u128::from(u32::MAX) {
            entries.0.push(FileRange {
                start: start as u32,
                end: u32::try_from(end).unwrap_or(u32::MAX),
                value,
                line,
            });
        }
        if six && end > u128::from(u32::MAX) {
            entries.1.push(FileRange {
                start,
                end,
                value,
                line,
            });
        }
    }
}

/// A search tree: nodes of two records, each the number of a node, "nothing" (the number of
/// nodes), or beyond that a place in the data.
struct Tree<'b> {
    octets: &'b [u8],
    nodes: usize,
    /// Bits of one record: 24, 28 or 32.
    record_bits: u16,
    /// Bits of an address: 32 or 128.
    depth: u8,
}

impl<'b> Tree<'b> {
    fn new(bytes: &'b [u8], reader: &Reader<&[u8]>) -> Result<Self, String> {
        let metadata = reader.metadata();
        let nodes = metadata.node_count as usize;
        let node_octets = usize::from(metadata.record_size) / 4;
        // `Reader` has checked the same; if it no longer did, this would be a panic without the check.
        let octets = nodes
            .checked_mul(node_octets)
            .and_then(|size| bytes.get(..size))
            .ok_or("the search tree is longer than the file")?;
        let separator = bytes.get(octets.len()..octets.len() + SEPARATOR);
        if separator != Some(&[0; SEPARATOR]) {
            return Err("there are no zeros between the search tree and the data".into());
        }
        Ok(Self {
            octets,
            nodes,
            record_bits: metadata.record_size,
            depth: if metadata.ip_version == 6 { 128 } else { 32 },
        })
    }

    /// One record of a node; "nothing" for what is outside the tree.
    fn record(&self, node: usize, right: bool) -> usize {
        let size = usize::from(self.record_bits) / 4;
        let Some(octets) = self.octets.get(node * size..(node + 1) * size) else {
            return self.nodes;
        };
        let number = |octets: &[u8], high: u8| {
            octets.iter().fold(usize::from(high), |sum, &octet| {
                sum << 8 | usize::from(octet)
            })
        };
        match (self.record_bits, right) {
            // The middle octet's halves are the records' highest bits.
            (28, false) => number(&octets[..3], octets[3] >> 4),
            (28, true) => number(&octets[4..], octets[3] & 0xf),
            (_, false) => number(&octets[..size / 2], 0),
            (_, true) => number(&octets[size / 2..], 0),
        }
    }

    /// The node below which IPv4 lies in an IPv6 tree, if it has one.
    fn ipv4_node(&self) -> Option<usize> {
        if self.depth != 128 {
            return None;
        }
        let mut node = 0;
        for _ in 0..IPV4_DEPTH {
            node = self.record(node, false);
            if node >= self.nodes {
                return None;
            }
        }
        Some(node)
    }

    /// Every prefix with a record, in address order.
    ///
    /// Other prefixes that lead to the IPv4 node are aliases, and are left out.
    fn leaves(&self) -> Result<Vec<Leaf>, String> {
        let ipv4_node = self.ipv4_node();
        let mut leaves = Vec::new();
        let mut reached = vec![false; self.nodes];
        let mut budget = self.nodes.saturating_mul(VISITS_PER_NODE);
        let mut open = vec![(0usize, 0u128, 0u8)];
        while let Some((node, start, depth)) = open.pop() {
            if node == self.nodes {
                continue;
            }
            if node > self.nodes {
                let record = node - self.nodes;
                if record < SEPARATOR {
                    return Err("the search tree points between tree and data".into());
                }
                let below = self.depth - depth;
                let end = start | 1u128.checked_shl(below.into()).unwrap_or(0).wrapping_sub(1);
                leaves.push(Leaf { start, end, record });
                continue;
            }
            if Some(node) == ipv4_node && start != 0 {
                continue;
            }
            if depth == self.depth {
                return Err("the search tree is deeper than an address is long".into());
            }
            budget = budget
                .checked_sub(1)
                .ok_or("the search tree runs in circles")?;
            if let Some(reached) = reached.get_mut(node) {
                *reached = true;
            }
            let one = 1u128 << (self.depth - depth - 1);
            open.push((self.record(node, true), start | one, depth + 1));
            open.push((self.record(node, false), start, depth + 1));
        }
        let lost = reached.iter().filter(|&&reached| !reached).count();
        if lost > 0 {
            let nodes = self.nodes;
            return Err(format!(
                "{lost} of {nodes} nodes of the search tree lead nowhere"
            ));
        }
        Ok(leaves)
    }
}
