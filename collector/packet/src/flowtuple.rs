//! The fields of CAIDA's FlowTuple, version 3, of one IPv4 packet.
//!
//! The meaning of each field is that of corsaro3 (repository `CAIDA/corsaro3`), which makes the
//! FlowTuples of the UCSD telescope: `libcorsaro/libcorsaro_flowtuple.h` (the record),
//! `libcorsaro/plugins/corsaro_flowtuple.c` (lengths, flags, window),
//! `libcorsaro/libcorsaro_tagging.c` (ports; ICMP type and code instead of ports) and
//! `libcorsaro/libcorsaro_filtering.c` (`is_spoofed`). Differences, all of them:
//!
//! - layer 4 ends where the IP length says (counting rule 3), so that the padding of an Ethernet
//!   frame is not read; corsaro3 reads up to the frame's end;
//! - TCP flags are given if they were captured (counting rule 4), not only with a whole header;
//! - a header length below 5 words gives no layer 4;
//! - `is_masscan` is what fingerprints with `flowtuple_field = "is_masscan"` match, an equation over fields; corsaro3's is a SYN
//!   without options, of window 1024 and a TTL of 200 or more;
//! - packets that differ in any field are different FlowTuples. corsaro3 distinguishes them by
//!   addresses, ports, protocol, TTL, flags and length only, and takes the other fields from the
//!   first packet.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::cell::protocol;
use crate::class::tcp_flags::{ACK, FIN, RST, SYN};
use crate::link::Network;
use crate::rules::{Probe, Rules};

const PSH: u8 = 0x08;
const URG: u8 = 0x20;
/// The flags that corsaro3 examines for `is_spoofed`.
const JUDGED_FLAGS: u8 = FIN | SYN | RST | PSH | ACK | URG;
/// Combinations of these flags that occur in real connections.
const NORMAL_FLAGS: u64 = {
    let sets = [
        SYN,
        ACK,
        RST,
        FIN,
        SYN | FIN,
        SYN | ACK,
        FIN | ACK,
        ACK | PSH,
        FIN | ACK | PSH,
    ];
    let (mut bits, mut place) = (0, 0);
    while place < sets.len() {
        bits |= 1 << sets[place];
        place += 1;
    }
    bits
};

/// IPv6 in IPv4: with ICMP, TCP and UDP the protocols that corsaro3 calls normal.
const IPV6_IN_IPV4: u8 = 41;
/// The TTL from which corsaro3 calls a packet forged, unless it is ICMP.
const SPOOFED_TTL: u8 = 200;

/// The FlowTuple of an IPv4 packet. The sort order starts with the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowTuple {
    /// Source address, in host order.
    pub source: u32,
    /// Destination address, in host order.
    pub destination: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// Source port of TCP and UDP, ICMP type; 0 for other protocols and if the packet is cut.
    pub source_port: u16,
    /// Destination port of TCP and UDP, ICMP code; 0 like `source_port`.
    pub destination_port: u16,
    /// Time to live.
    pub ttl: u8,
    /// TCP flags, without NS; 0 for anything else.
    pub tcp_flags: u8,
    /// The IP header's total length field, octets.
    pub ip_length: u16,
    /// Length of the TCP header in octets, by its data offset, if SYN is the only flag; otherwise 0.
    pub syn_header_bytes: u8,
    /// TCP window, if SYN is the only flag; otherwise 0.
    pub syn_window: u16,
    /// corsaro3's filter `spoofed` calls the packet forged.
    pub is_spoofed: bool,
    /// A fingerprint with `flowtuple_field = "is_masscan"` matches.
    pub is_masscan: bool,
}

impl Hash for FlowTuple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let word = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let ports = u32::from(self.source_port) << 16 | u32::from(self.destination_port);
        let lengths = u32::from(self.ip_length) << 16 | u32::from(self.syn_window);
        let octets = [
            self.protocol,
            self.ttl,
            self.tcp_flags,
            self.syn_header_bytes | u8::from(self.is_spoofed) << 6 | u8::from(self.is_masscan) << 7,
        ];
        state.write_u64(word(self.source, self.destination));
        state.write_u64(word(ports, lengths));
        state.write_u32(u32::from_le_bytes(octets));
    }
}

/// The fields of layer 4.
#[derive(Clone, Copy, Default)]
struct Layer4 {
    ports: Option<(u16, u16)>,
    tcp_flags: u8,
    syn_header_bytes: u8,
    syn_window: u16,
    /// The flags of a TCP header that is captured whole.
    whole_flags: Option<u8>,
}

/// Reads FlowTuples.
pub struct Reader {
    rules: Arc<Rules>,
    /// Indices of the fingerprints that set `is_masscan`.
    masscan: Vec<usize>,
}

impl Reader {
    /// A reader that sets `is_masscan` by these rules.
    pub fn new(rules: Arc<Rules>) -> Self {
        let all = rules.fingerprints().iter().enumerate();
        let masscan = all.filter(|(_, rule)| rule.uses.is_masscan);
        let masscan = masscan.map(|(place, _)| place).collect();
        Self { rules, masscan }
    }

    /// The FlowTuple of the datagram at `network`. `frame` is the captured part of the frame, which
    /// had `wire_bytes` octets on the wire, link layer included.
    ///
    /// `None` for IPv6, which the format does not support, and for a frame that is cut before its
    /// destination address, which is never dark.
    #[inline]
    pub fn read(&self, network: Network, frame: &[u8], wire_bytes: usize) -> Option<FlowTuple> {
        let Network::Ipv4 { offset } = network else {
            return None;
        };
        let datagram = frame.get(offset..)?;
        let fixed: &[u8; 20] = datagram.first_chunk()?;
        let carried = wire_bytes.max(frame.len()) - offset;
        let segment = segment(fixed, datagram, carried);
        let layer4 = segment.map_or_else(Layer4::default, |octets| layer4(fixed[9], octets));
        let word = |at: usize| {
            u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]])
        };
        let (source_port, destination_port) = layer4.ports.unwrap_or_default();
        Some(FlowTuple {
            source: word(12),
            destination: word(16),
            protocol: fixed[9],
            source_port,
            destination_port,
            ttl: fixed[8],
            tcp_flags: layer4.tcp_flags,
            ip_length: u16::from_be_bytes([fixed[2], fixed[3]]),
            syn_header_bytes: layer4.syn_header_bytes,
            syn_window: layer4.syn_window,
            is_spoofed: is_spoofed(fixed, &layer4),
            is_masscan: self.is_masscan(fixed, segment),
        })
    }

    #[inline]
    fn is_masscan(&self, fixed: &[u8; 20], segment: Option<&[u8]>) -> bool {
        let Some(octets) = segment.filter(|_| fixed[9] == protocol::TCP) else {
            return false;
        };
        let Some(probe) = Probe::new(fixed, octets) else {
            return false;
        };
        let matches = |&place: &usize| self.rules.fingerprints()[place].matches(&probe);
        self.masscan.iter().any(matches)
    }
}

/// The captured octets of layer 4 (counting rule 3). None for a fragment after the first, and if the
/// IP header is wrong or cut.
#[inline]
fn segment<'a>(fixed: &[u8; 20], datagram: &'a [u8], carried: usize) -> Option<&'a [u8]> {
    let header_bytes = usize::from(fixed[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let fragment_offset = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff;
    if fixed[0] >> 4 != 4 || header_bytes < 20 || fragment_offset != 0 {
        return None;
    }
    let end = if total < header_bytes {
        carried
    } else {
        total.min(carried)
    };
    datagram.get(header_bytes..end.min(datagram.len()))
}

#[inline]
fn layer4(number: u8, octets: &[u8]) -> Layer4 {
    let ports = || {
        let &[a, b, c, d] = octets.first_chunk()?;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    };
    match number {
        protocol::TCP => tcp(ports(), octets),
        protocol::UDP => Layer4 {
            ports: ports(),
            ..Layer4::default()
        },
        protocol::ICMP => Layer4 {
            ports: (octets.first_chunk()).map(|&[kind, code]| (kind.into(), code.into())),
            ..Layer4::default()
        },
        _ => Layer4::default(),
    }
}

#[inline]
fn tcp(ports: Option<(u16, u16)>, octets: &[u8]) -> Layer4 {
    let tcp_flags = octets.get(13).copied().unwrap_or(0);
    let mut read = Layer4 {
        ports,
        tcp_flags,
        ..Layer4::default()
    };
    let Some(fixed) = octets.first_chunk::<20>() else {
        return read;
    };
    let header_bytes = (fixed[12] >> 4) * 4;
    if tcp_flags == SYN {
        read.syn_header_bytes = header_bytes;
        read.syn_window = u16::from_be_bytes([fixed[14], fixed[15]]);
    }
    read.whole_flags = (usize::from(header_bytes) <= octets.len()).then_some(tcp_flags);
    read
}

/// corsaro3's filter `spoofed`. True for any of these: an unusual protocol; an unusual combination
/// of TCP flags; a TTL of 200 or more, except for ICMP; a fragment after the first; the reserved IP
/// flag; a source that ends in 0 or 255 or equals the destination; a port 0.
#[inline]
fn is_spoofed(fixed: &[u8; 20], layer4: &Layer4) -> bool {
    let number = fixed[9];
    let abnormal = match number {
        protocol::ICMP | protocol::UDP | IPV6_IN_IPV4 => false,
        protocol::TCP => (layer4.whole_flags)
            .is_some_and(|flags| NORMAL_FLAGS >> (flags & JUDGED_FLAGS) & 1 == 0),
        _ => true,
    };
    let port_zero = number != protocol::ICMP
        && (layer4.ports).is_some_and(|(source, destination)| source == 0 || destination == 0);
    let reserved_or_offset = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x9fff;
    abnormal
        || port_zero
        || (number != protocol::ICMP && fixed[8] >= SPOOFED_TTL)
        || reserved_or_offset != 0
        || matches!(fixed[15], 0 | 255)
        || fixed[12..16] == fixed[16..20]
}

#[cfg(test)]
mod tests;
