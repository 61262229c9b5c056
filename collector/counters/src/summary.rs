//! The summary of a run: what `--summary json` prints, and the shape of `synth`'s truth file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::repeats::Repeats;

/// The counts of one cell: protocol, class and port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// `tcp`, `udp`, `icmp`, `icmpv6`, or the IP protocol number.
    pub protocol: String,
    /// `scan`, `backscatter` or `other`.
    pub class: String,
    /// Destination port, or source port for backscatter; ICMP: type * 256 + code; none where
    /// the packet has no port.
    pub port: Option<u16>,
    /// Packets.
    pub packets: u64,
    /// Octets of IP datagrams.
    pub bytes: u64,
    /// Distinct source addresses; none when they could not be counted exactly.
    pub sources: Option<u64>,
}

/// Packets with one kind of header error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecodeErrorCount {
    /// The layer at which decoding stopped, such as `ipv4` or `tcp`.
    pub layer: String,
    /// The reason.
    pub reason: String,
    /// Packets.
    pub packets: u64,
}

/// Victim of an attack with forged sources: the destination of packets that ICMP errors quote.
///
/// The quoted packet has a darknet address as its forged source; its destination was attacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Victim {
    /// Quoted destination address.
    pub address: String,
    /// Quoted protocol, named as in [`Cell`].
    pub protocol: String,
    /// Quoted destination port; ICMP: type * 256 + code; none where the quote has no port.
    pub port: Option<u16>,
    /// ICMP errors.
    pub packets: u64,
    /// Distinct addresses that sent them; none when they could not be counted exactly.
    pub senders: Option<u64>,
}

/// ICMP errors by the outcome of reading their quotes: `errors` is the sum of the other fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotes {
    /// Dark packets that are ICMP 3, 4, 5, 11, 12 or ICMPv6 1 to 4.
    pub errors: u64,
    /// ICMP errors that were counted for a victim.
    pub counted: u64,
    /// The quoted source is not the address that the error was sent to.
    pub foreign: u64,
    /// The quote is cut before its destination address, or is not IP.
    pub unreadable: u64,
    /// The table of victims was full.
    pub overflow: u64,
}

/// Frames of one kind in which no destination address was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnparsedCount {
    /// The kind, such as `ethertype`.
    pub kind: String,
    /// The number that the kind has; none for frames that are cut and for further kinds.
    pub number: Option<u32>,
    /// A name for people.
    pub name: String,
    /// Frames.
    pub packets: u64,
    /// Octets of these frames.
    pub bytes: u64,
}

/// Dark packets to one destination port that XDP matched and no worker counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortLoss {
    /// `tcp` or `udp`; `other` for everything else.
    pub protocol: String,
    /// Destination port, also for backscatter; none for packets without a port.
    pub port: Option<u16>,
    /// Packets; negative if more were counted than matched.
    pub packets: i64,
}

/// Everything that a run counted, added up.
///
/// `records = dark_packets + passed_packets`; `dark_packets` is the sum of each of `by_class`,
/// `by_protocol` and `cells`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Frames read: dark and passed. Frames that a live run lost were not read; they are in the
    /// ledger.
    pub records: u64,
    /// Packets whose destination lies in the darknet.
    pub dark_packets: u64,
    /// Octets of their IP datagrams.
    pub dark_bytes: u64,
    /// Records that are not dark.
    pub passed_packets: u64,
    /// What those of them are in which no destination address was found, most frames first, then by
    /// kind and number.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unparsed: Vec<UnparsedCount>,
    /// Distinct source addresses of dark packets; none when they could not be counted exactly.
    pub sources: Option<u64>,
    /// Packets by protocol.
    pub by_protocol: BTreeMap<String, u64>,
    /// Packets by class; all three classes are always there.
    pub by_class: BTreeMap<String, u64>,
    /// Packets by fingerprint, those that occurred: packets that match and whose source is not
    /// confirmed on that day for a fingerprint that supersedes this one; for rules with
    /// `packets = "confirmed"`, the packets of confirmed sources. A fingerprint whose packets could not
    /// be counted exactly is in `confirmed_sources` alone.
    pub fingerprints: BTreeMap<String, u64>,
    /// The zone whose days confirmed sources are of: an IANA name.
    #[serde(default)]
    pub timezone: String,
    /// Distinct sources by the fingerprint that they were confirmed for on at least one day (section
    /// "Confirmed sources" of ARCHITECTURE.md), those fingerprints that had any; none when there were
    /// too many to keep.
    pub confirmed_sources: BTreeMap<String, Option<u64>>,
    /// Packets with a source address that no host can have; none if they could not be counted
    /// exactly.
    pub bogon_packets: Option<u64>,
    /// Distinct such addresses; none when they could not be counted exactly.
    pub bogon_sources: Option<u64>,
    /// ICMP errors by the outcome of reading their quotes.
    pub quotes: Quotes,
    /// Victims that ICMP errors quote, most packets first, then by address, protocol and port;
    /// none when there were too many to keep.
    pub victims: Option<Vec<Victim>>,
    /// Every cell with packets, most packets first, then by protocol, class and port.
    pub cells: Vec<Cell>,
    /// Distinct sources by country, when a country file was given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sources_by_country: Option<BTreeMap<String, u64>>,
    /// Header errors met in dark packets, most packets first.
    pub decode_errors: Vec<DecodeErrorCount>,
    /// Lost packets by destination port, most packets first, for a live run that was stopped in
    /// order; the sum of `packets` is the ledger's number of lost packets.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lost_by_port: Option<Vec<PortLoss>>,
    /// Packets that arrived after their interval was closed, and count in the oldest open interval.
    pub late_packets: u64,
    /// Dark packets that were compared with those of the millisecond before, and exact repeats among
    /// them; none in a truth.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repeats: Option<Repeats>,
    /// Packets whose time is nonsense, and which count in the interval of their neighbours.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub time_jump_packets: u64,
    /// Records of a replay without a time that can be stored, and without a neighbour that has one. They
    /// are in no other number. JSON leaves out 0.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub untimed_records: u64,
    /// Packets without a row in a full flow table.
    pub overflow_packets: u64,
    /// Intervals that hold at least one dark packet.
    pub intervals: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Summary {
    /// Sorts `cells`, `decode_errors`, `unparsed` and `victims` as their documentation says.
    pub fn sort(&mut self) {
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
        self.unparsed.sort_by(|a, b| {
            (b.packets.cmp(&a.packets)).then_with(|| (&a.kind, a.number).cmp(&(&b.kind, b.number)))
        });
        if let Some(victims) = &mut self.victims {
            victims.sort_by(|a, b| {
                (b.packets.cmp(&a.packets))
                    .then_with(|| a.address.cmp(&b.address))
                    .then_with(|| a.protocol.cmp(&b.protocol))
                    .then_with(|| a.port.cmp(&b.port))
            });
        }
    }
}
