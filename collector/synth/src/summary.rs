//! The true counts as data, in the shape of what `noctule replay --summary json` prints.
//!
//! The types are apart from the collector's, so that its counters are no part of their own test;
//! `tests/reference/synthetic_truth/` holds the two shapes together.

use std::collections::BTreeMap;

use serde::Serialize;

/// One counting cell that is not empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrueCell {
    /// `tcp`, `udp`, `icmp`, `icmpv6`, or the IP protocol number.
    pub protocol: String,
    /// `scan`, `backscatter` or `other`.
    pub class: String,
    /// Destination port, or source port for backscatter; ICMP: type * 256 + code; none where
    /// the packets have no port.
    pub port: Option<u16>,
    /// Packets.
    pub packets: u64,
    /// Octets of IP datagrams.
    pub bytes: u64,
    /// Distinct source addresses.
    pub sources: u64,
}

/// Packets with one kind of header error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeaderErrorCount {
    /// The layer with the error, such as `ipv4` or `tcp`.
    pub layer: String,
    /// What is wrong in that layer's header.
    pub reason: String,
    /// Packets.
    pub packets: u64,
}

/// The destination of packets that ICMP errors quote: an address under attack, whose attacker
/// forged darknet addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrueVictim {
    /// Quoted destination address.
    pub address: String,
    /// Quoted protocol, named as in [`TrueCell`].
    pub protocol: String,
    /// Quoted destination port; ICMP: type * 256 + code; none where the quote has no port.
    pub port: Option<u16>,
    /// ICMP errors.
    pub packets: u64,
    /// Distinct addresses that sent them.
    pub senders: u64,
}

/// ICMP errors by what their quotes say: `errors` is the sum of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QuoteCounts {
    /// Dark packets of ICMP types 3, 4, 5, 11 and 12, and of ICMPv6 types 1 to 4.
    pub errors: u64,
    /// Counted for a victim.
    pub counted: u64,
    /// The quoted source is not the address that the error was sent to.
    pub foreign: u64,
    /// The quote is cut before its destination address, or is not IP.
    pub unreadable: u64,
    /// Lost to a full table: always 0.
    pub overflow: u64,
}

/// Everything that a collector without losses counts in the generated frames.
///
/// `records = dark_packets + passed_packets`; `dark_packets` is the sum of each of `by_class`,
/// `by_protocol` and `cells`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrueSummary {
    /// Frames, dark and passed.
    pub records: u64,
    /// Packets whose destination lies in the darknet.
    pub dark_packets: u64,
    /// Octets of their IP datagrams.
    pub dark_bytes: u64,
    /// Frames that are not dark.
    pub passed_packets: u64,
    /// Distinct source addresses of dark packets.
    pub sources: u64,
    /// Packets by protocol.
    pub by_protocol: BTreeMap<String, u64>,
    /// Packets by class; all three classes are always in it.
    pub by_class: BTreeMap<String, u64>,
    /// Packets by fingerprint, those above 0: without packets whose source is confirmed on that day
    /// for a fingerprint that supersedes this one; for a fingerprint with `packets = "confirmed"`, the
    /// packets of confirmed sources.
    pub fingerprints: BTreeMap<String, u64>,
    /// The zone whose days sources are confirmed on: an IANA name.
    pub timezone: String,
    /// Sources that were confirmed on at least one day, by fingerprint, those above 0.
    pub confirmed_sources: BTreeMap<String, u64>,
    /// Packets whose source address no host can have.
    pub bogon_packets: u64,
    /// Distinct such addresses.
    pub bogon_sources: u64,
    /// ICMP errors by what their quotes say.
    pub quotes: QuoteCounts,
    /// Most packets first, then by address, protocol and port.
    pub victims: Vec<TrueVictim>,
    /// Most packets first, then by protocol, class and port.
    pub cells: Vec<TrueCell>,
    /// Distinct sources by country.
    pub sources_by_country: BTreeMap<String, u64>,
    /// Most packets first, then by layer and reason.
    pub decode_errors: Vec<HeaderErrorCount>,
    /// Packets of intervals that were closed already: always 0.
    pub late_packets: u64,
    /// Packets without a row in a full flow table: always 0.
    pub overflow_packets: u64,
    /// Intervals that hold at least one dark packet.
    pub intervals: u64,
}

impl TrueSummary {
    /// Puts `cells`, `decode_errors` and `victims` into the order that the fields promise.
    pub(super) fn sort(&mut self) {
        self.cells.sort_by(|a, b| {
            (b.packets.cmp(&a.packets))
                .then_with(|| a.protocol.cmp(&b.protocol))
                .then_with(|| a.class.cmp(&b.class))
                .then_with(|| a.port.cmp(&b.port))
        });
        self.decode_errors.sort_by(|a, b| {
            (b.packets.cmp(&a.packets))
                .then_with(|| a.layer.cmp(&b.layer))
                .then_with(|| a.reason.cmp(&b.reason))
        });
        self.victims.sort_by(|a, b| {
            (b.packets.cmp(&a.packets))
                .then_with(|| a.address.cmp(&b.address))
                .then_with(|| a.protocol.cmp(&b.protocol))
                .then_with(|| a.port.cmp(&b.port))
        });
    }
}
