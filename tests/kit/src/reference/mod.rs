//! A second implementation of the counting rules of ARCHITECTURE.md, to hold the first against.
//!
//! It was written from the rules' text and the protocols' documents and shares no line with the
//! packet crate. It is meant to be read beside the rules, so it is slow on purpose: octets are
//! copied into vectors, and what a header says is looked at where the rule speaks of it. It
//! depends on the standard library only, so that the fuzz targets can take it in as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub mod answers;
mod class;
mod layer3;
mod layer4;
mod link;
mod octets;

pub use class::Class;

/// Which addresses are dark (counting rule 1).
#[derive(Clone, Debug, Default)]
pub struct Prefixes(Vec<(Vec<u8>, usize, bool)>);

impl Prefixes {
    /// Prefixes that are dark, and prefixes that are not, as `address/length`.
    ///
    /// # Panics
    /// One of them is not that.
    pub fn new(include: &[&str], exclude: &[&str]) -> Self {
        let mut all = Vec::new();
        for (texts, dark) in [(include, true), (exclude, false)] {
            for text in texts {
                let (address, length) = text.split_once('/').expect("address/length");
                let address = match address.parse().expect("an address") {
                    IpAddr::V4(address) => address.octets().to_vec(),
                    IpAddr::V6(address) => address.octets().to_vec(),
                };
                all.push((address, length.parse().expect("a prefix length"), dark));
            }
        }
        Self(all)
    }

    /// Is the address dark? Of the prefixes that it lies in, the longest decides.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let matching = (self.0.iter()).filter(|(prefix, length, _)| {
            prefix.len() == address.len()
                && (0..*length).all(|bit| bit_of(prefix, bit) == bit_of(&address, bit))
        });
        let longest = matching.max_by_key(|(_, length, _)| *length);
        longest.is_some_and(|(_, _, dark)| *dark)
    }
}

fn bit_of(octets: &[u8], bit: usize) -> bool {
    octets[bit / 8] & (0x80 >> (bit % 8)) != 0
}

/// Where a dark packet counts, and for how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Who sent it.
    pub source: IpAddr,
    /// Where it went.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Class.
    pub class: Class,
    /// Port, or ICMP type * 256 + code.
    pub port: Option<u16>,
    /// Octets of the datagram on the wire.
    pub bytes: u64,
}

/// What a frame counts as; `None` if it is passed.
///
/// `link` is the capture's number of the link type, `captured` what there is of the frame, and
/// `wire_bytes` how long it was on the wire, never less than was captured.
pub fn judge(
    prefixes: &Prefixes,
    link: u32,
    captured: &[u8],
    wire_bytes: usize,
) -> Option<Counted> {
    let found = link::datagram(link, captured)?;
    let carried = wire_bytes - found.offset;
    let datagram = captured[found.offset..].to_vec();
    let read = match found.version {
        4 => layer3::ipv4(&datagram, carried)?,
        _ => layer3::ipv6(&datagram, carried)?,
    };
    prefixes.contains(read.destination).then_some(())?;
    let (class, port) = match read.reached {
        layer3::Reached::Layer4(part) => layer4::class_and_port(read.protocol, &part),
        layer3::Reached::No => (Class::Other, None),
    };
    Some(Counted {
        source: read.source,
        destination: read.destination,
        protocol: read.protocol,
        class,
        port,
        bytes: read.bytes,
    })
}

/// What a cell holds: packets, bytes.
pub type Sum = (u64, u64);

/// Counts of many frames, in the words that a summary prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By protocol's name, class and port.
    pub cells: BTreeMap<(String, String, Option<u16>), Sum>,
    /// Sources by cell.
    pub sources: BTreeMap<(String, String, Option<u16>), BTreeSet<IpAddr>>,
    /// Frames that were not dark.
    pub passed: u64,
    /// Frames that were.
    pub dark: u64,
}

impl Tally {
    /// Adds a frame's verdict.
    pub fn add(&mut self, verdict: Option<Counted>) {
        let Some(counted) = verdict else {
            self.passed += 1;
            return;
        };
        self.dark += 1;
        let key = (
            protocol_name(counted.protocol),
            counted.class.name().to_owned(),
            counted.port,
        );
        let sum = self.cells.entry(key.clone()).or_default();
        *sum = (sum.0 + 1, sum.1 + counted.bytes);
        self.sources.entry(key).or_default().insert(counted.source);
    }
}

/// A protocol's name in a summary (counting rule 2).
fn protocol_name(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        other => other.to_string(),
    }
}
