//! The summary of a run: what `--summary json` prints, and the shape of `synth`'s truth file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One counting cell: protocol, class and port, with what fell into it.
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

/// Packets in which one kind of header error was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecodeErrorCount {
    /// The layer at which decoding stopped, such as `ipv4` or `tcp`.
    pub layer: String,
    /// What was wrong there.
    pub reason: String,
    /// Packets.
    pub packets: u64,
}

/// Whom ICMP errors name as the one that did not answer: where the quoted packet was going to.
///
/// The quoted packet bore a darknet address as its forged source; its destination was attacked.
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

/// What became of the quotes in ICMP errors: `errors` is the sum of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotes {
    /// Dark packets that are ICMP 3, 4, 5, 11, 12 or ICMPv6 1 to 4.
    pub errors: u64,
    /// Of these, counted for a victim.
    pub counted: u64,
    /// The quoted source is not the address that the error was sent to.
    pub foreign: u64,
    /// The quote is cut before its destination address, or is not IP.
    pub unreadable: u64,
    /// They found no room in a full table.
    pub overflow: u64,
}

/// Dark packets to one destination port that XDP matched and nobody counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortLoss {
    /// `tcp` or `udp`; `other` for everything else.
    pub protocol: String,
    /// Destination port, also of backscatter; none where the packets have none.
    pub port: Option<u16>,
    /// Packets; below 0 where more were counted than matched.
    pub packets: i64,
}

/// Everything that a run counted, added up.
///
/// `records = dark_packets + passed_packets`; `dark_packets` is the sum of each of `by_class`,
/// `by_protocol` and `cells`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Frames read: dark and passed. What a live run lost was not read; the ledger has it.
    pub records: u64,
    /// Packets whose destination lies in the darknet.
    pub dark_packets: u64,
    /// Octets of their IP datagrams.
    pub dark_bytes: u64,
    /// Records that are not dark.
    pub passed_packets: u64,
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
    /// Packets whose source address cannot be anybody's; none when they could not be counted
    /// exactly.
    pub bogon_packets: Option<u64>,
    /// Distinct such addresses; none when they could not be counted exactly.
    pub bogon_sources: Option<u64>,
    /// What became of the quotes in ICMP errors.
    pub quotes: Quotes,
    /// Victims that ICMP errors quote, most packets first, then by address, protocol and port;
    /// none when there were too many to keep.
    pub victims: Option<Vec<Victim>>,
    /// Every cell that is not empty, most packets first, then by protocol, class and port.
    pub cells: Vec<Cell>,
    /// Distinct sources by country, when a country file was given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sources_by_country: Option<BTreeMap<String, u64>>,
    /// Header errors met in dark packets, most packets first.
    pub decode_errors: Vec<DecodeErrorCount>,
    /// Where lost packets were going to, most packets first, for a live run that was stopped in
    /// order; `packets` add up to all that the ledger has as lost.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lost_by_port: Option<Vec<PortLoss>>,
    /// Packets that came after their interval was closed and count in the oldest open one.
    pub late_packets: u64,
    /// Packets whose flow found no row in a full flow table.
    pub overflow_packets: u64,
    /// Intervals that hold at least one dark packet.
    pub intervals: u64,
}

impl Summary {
    /// Puts `cells`, `decode_errors` and `victims` into the order that the fields promise.
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
