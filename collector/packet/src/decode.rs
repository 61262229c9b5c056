//! Decodes an IP datagram to what is counted: counting rules 2 to 8 of ARCHITECTURE.md.
//!
//! etherparse's slices check lengths once and then read without checks. If a slice refuses a header
//! that can be read in part, that part is read here and the error is kept.

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice, UdpHeaderSlice};
use noctule_abi::ledger::{OTHER, slot};

use crate::cell::{CellId, Class, protocol};
use crate::error::{DecodeError, DecodeErrors};
use crate::extension;
use crate::link::Network;
use crate::quote::{self, Quoted};
use crate::rules::{Probe, RuleMatches, Rules};
pub use crate::source::Source;

/// The fields of a dark packet that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source address; it may be forged.
    pub source: Source,
    /// Destination address; an IPv6 address is folded to 64 bits by XOR.
    pub destination: u64,
    /// Protocol, class and port.
    pub cell: CellId,
    /// Octets of the IP datagram on the wire.
    pub bytes: u32,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// The kernel ledger's slot ([`noctule_abi::ledger`]), if it is not the slot of the cell: the
    /// destination port's for backscatter, and `OTHER` behind IPv6 extension headers.
    pub ledger_slot: Option<u32>,
    /// TCP flags; 0 for anything else.
    pub tcp_flags: u8,
    /// IPv4 identification; 0 for IPv6.
    pub ip_id: u16,
    /// Source port of TCP and UDP; none if the header is cut before it.
    pub source_port: Option<u16>,
    /// The fingerprints that a TCP probe over IPv4 matches; none for other packets.
    pub rule_matches: Option<RuleMatches>,
    /// The packet that an ICMP error quotes.
    pub quoted: Option<Quoted>,
    /// Header errors.
    pub errors: DecodeErrors,
}

/// The layer-4 part: its captured octets, and its length on the wire.
struct Segment<'a> {
    octets: &'a [u8],
    wire_bytes: usize,
}

/// The fields of layer 4.
struct Layer4<'a> {
    class: Class,
    port: Option<u16>,
    source_port: Option<u16>,
    destination_port: Option<u16>,
    tcp_flags: u8,
    /// The TCP segment, if it is captured up to its flags.
    tcp: Option<&'a [u8]>,
    /// An ICMP message that quotes a packet.
    error: Option<&'a [u8]>,
}

impl Layer4<'_> {
    const fn portless(class: Class) -> Self {
        Self {
            class,
            port: None,
            source_port: None,
            destination_port: None,
            tcp_flags: 0,
            tcp: None,
            error: None,
        }
    }

    /// With source and destination port; the cell's port follows from the class (counting rule 5).
    #[inline]
    const fn with_ports(class: Class, (source, destination): (u16, u16)) -> Self {
        let port = match class {
            Class::Backscatter => source,
            Class::Scan | Class::Other => destination,
        };
        Self {
            port: Some(port),
            source_port: Some(source),
            destination_port: Some(destination),
            ..Self::portless(class)
        }
    }

    /// The kernel ledger's slot, if it is not that of the cell.
    #[inline]
    fn other_slot(&self, protocol: u8, ledger_slot: u32) -> Option<u32> {
        (slot(protocol, self.port) != ledger_slot).then_some(ledger_slot)
    }
}

/// A packet before it is matched against the fingerprints: it has no `rule_matches`.
#[derive(Clone, Copy, Debug)]
pub struct Unmatched<'a> {
    /// The packet.
    pub packet: Packet,
    /// Its headers, if it is a TCP probe over IPv4.
    pub probe: Option<Probe<'a>>,
}

/// Decodes the datagram at `network` and gives it a class and fingerprints by `rules`. `frame` is the
/// captured part of the frame, which had `wire_bytes` octets on the wire, link layer included.
///
/// `None` only if the frame is cut before its destination address, which
/// [`Darknet::destination`](crate::darknet::Darknet::destination) excludes for dark packets.
pub fn decode(rules: &Rules, network: Network, frame: &[u8], wire_bytes: usize) -> Option<Packet> {
    let Unmatched { mut packet, probe } = read(rules, network, frame, wire_bytes)?;
    packet.rule_matches = probe.map(|probe| rules.match_probe(&probe));
    Some(packet)
}

/// [`decode`] without the fingerprints: [`Rules::match_probes`] matches several packets at once.
#[inline]
pub fn read<'a>(
    rules: &Rules,
    network: Network,
    frame: &'a [u8],
    wire_bytes: usize,
) -> Option<Unmatched<'a>> {
    let wire_bytes = wire_bytes.max(frame.len());
    match network {
        Network::Ipv4 { offset } => ipv4(rules, frame.get(offset..)?, wire_bytes - offset),
        Network::Ipv6 { offset } => ipv6(rules, frame.get(offset..)?, wire_bytes - offset),
    }
}

#[inline]
fn ipv4<'a>(rules: &Rules, datagram: &'a [u8], carried: usize) -> Option<Unmatched<'a>> {
    let fixed: &[u8; 20] = datagram.first_chunk()?;
    let mut errors = DecodeErrors::default();
    let header_bytes = usize::from(fixed[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let number = fixed[9];
    let fragment_offset = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff;
    let destination = u32::from_be_bytes([fixed[16], fixed[17], fixed[18], fixed[19]]);
    let ip_id = u16::from_be_bytes([fixed[4], fixed[5]]);

    let layer4 = if header_bytes < 20 {
        errors.insert(DecodeError::Ipv4IhlBelow5);
        Layer4::portless(Class::Other)
    } else {
        // A cut header is reported as cut, whatever its length field says.
        if datagram.len() < header_bytes {
            errors.insert(DecodeError::Ipv4HeaderCut);
        } else if total < header_bytes {
            errors.insert(DecodeError::Ipv4LengthBelowHeader);
        } else if total > carried {
            errors.insert(DecodeError::Ipv4LengthBeyondFrame);
        }
        let end = if total < header_bytes {
            carried
        } else {
            total.min(carried)
        };
        if fragment_offset != 0 {
            Layer4::portless(Class::Other)
        } else {
            let octets = match Ipv4HeaderSlice::from_slice(datagram) {
                Ok(header) => &datagram[header.slice().len()..end.min(datagram.len())],
                Err(_) => &[],
            };
            let wire_bytes = end.saturating_sub(header_bytes);
            let segment = Segment { octets, wire_bytes };
            layer4(rules, number, &segment, &mut errors)
        }
    };

    let probe = layer4.tcp.and_then(|tcp| Probe::new(fixed, tcp));
    let receiver = Source::V4(destination);
    let packet = Packet {
        source: Source::V4(u32::from_be_bytes([
            fixed[12], fixed[13], fixed[14], fixed[15],
        ])),
        destination: u64::from(destination),
        cell: CellId::new(number, layer4.class, layer4.port),
        bytes: total.min(carried) as u32,
        ledger_slot: layer4.other_slot(number, slot(number, layer4.destination_port)),
        ttl: fixed[8],
        tcp_flags: layer4.tcp_flags,
        ip_id,
        source_port: layer4.source_port,
        rule_matches: None,
        quoted: layer4.error.map(|message| quote::read(message, receiver)),
        errors,
    };
    Some(Unmatched { packet, probe })
}

fn ipv6<'a>(rules: &Rules, datagram: &'a [u8], carried: usize) -> Option<Unmatched<'a>> {
    let header = Ipv6HeaderSlice::from_slice(datagram).ok()?;
    let mut errors = DecodeErrors::default();
    let chain = extension::walk(&header, datagram, carried, &mut errors);
    let layer4 = if chain.complete && !chain.later_fragment {
        let segment = Segment {
            octets: &datagram[chain.offset.min(datagram.len())..chain.end.min(datagram.len())],
            wire_bytes: chain.end.saturating_sub(chain.offset),
        };
        layer4(rules, chain.protocol, &segment, &mut errors)
    } else {
        Layer4::portless(Class::Other)
    };
    let ledger_slot = if chain.offset == extension::IPV6_HEADER_BYTES {
        slot(chain.protocol, layer4.destination_port)
    } else {
        OTHER
    };
    let destination = u128::from_be_bytes(header.destination());
    let packet = Packet {
        source: Source::V6(u128::from_be_bytes(header.source())),
        destination: (destination >> 64) as u64 ^ destination as u64,
        cell: CellId::new(chain.protocol, layer4.class, layer4.port),
        bytes: u32::try_from(chain.bytes).unwrap_or(u32::MAX),
        ledger_slot: layer4.other_slot(chain.protocol, ledger_slot),
        ttl: header.hop_limit(),
        tcp_flags: layer4.tcp_flags,
        ip_id: 0,
        source_port: layer4.source_port,
        rule_matches: None,
        quoted: (layer4.error).map(|message| quote::read(message, Source::V6(destination))),
        errors,
    };
    let probe = None;
    Some(Unmatched { packet, probe })
}

#[inline]
fn layer4<'a>(
    rules: &Rules,
    number: u8,
    segment: &Segment<'a>,
    errors: &mut DecodeErrors,
) -> Layer4<'a> {
    match number {
        protocol::TCP => tcp(rules, segment, errors),
        protocol::UDP => udp(rules, segment, errors),
        protocol::ICMP => {
            let kind = |kind| (rules.icmp_class(kind), quote::icmp_quotes(kind));
            icmp(segment, kind, DecodeError::IcmpCut, errors)
        }
        protocol::ICMPV6 => {
            let kind = |kind| (rules.icmpv6_class(kind), quote::icmpv6_quotes(kind));
            icmp(segment, kind, DecodeError::Icmpv6Cut, errors)
        }
        _ => Layer4::portless(Class::Other),
    }
}

#[inline]
fn tcp<'a>(rules: &Rules, segment: &Segment<'a>, errors: &mut DecodeErrors) -> Layer4<'a> {
    let octets = segment.octets;
    // The slice refuses a header with a wrong data offset, which real Mirai packets have. Then the
    // fixed part is read here.
    if let Ok(header) = TcpHeaderSlice::from_slice(octets) {
        let ports = (header.source_port(), header.destination_port());
        return tcp_cell(rules, ports, octets[13], octets);
    }
    let Some(&[a, b, c, d]) = octets.first_chunk() else {
        errors.insert(DecodeError::TcpCutBeforePorts);
        return Layer4::portless(Class::Other);
    };
    let ports = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let Some(&[.., words, flags]) = octets.first_chunk::<14>() else {
        errors.insert(DecodeError::TcpCutBeforeFlags);
        return Layer4::with_ports(Class::Other, ports);
    };
    let header_bytes = usize::from(words >> 4) * 4;
    if octets.len() < 20 {
        errors.insert(DecodeError::TcpHeaderCut);
    } else if header_bytes < 20 {
        errors.insert(DecodeError::TcpDataOffsetBelow5);
    } else if header_bytes > segment.wire_bytes {
        errors.insert(DecodeError::TcpDataOffsetBeyondEnd);
    } else {
        // The options lie on the wire but not in the capture.
        errors.insert(DecodeError::TcpHeaderCut);
    }
    tcp_cell(rules, ports, flags, octets)
}

#[inline]
fn tcp_cell<'a>(rules: &Rules, ports: (u16, u16), flags: u8, octets: &'a [u8]) -> Layer4<'a> {
    Layer4 {
        tcp_flags: flags,
        tcp: Some(octets),
        ..Layer4::with_ports(rules.tcp_class(flags), ports)
    }
}

#[inline]
fn udp<'a>(rules: &Rules, segment: &Segment<'a>, errors: &mut DecodeErrors) -> Layer4<'a> {
    let octets = segment.octets;
    let Some(&[a, b, c, d]) = octets.first_chunk() else {
        errors.insert(DecodeError::UdpCutBeforePorts);
        return Layer4::portless(Class::Scan);
    };
    let (source_port, destination_port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let class = match UdpHeaderSlice::from_slice(octets) {
        Ok(header) => {
            let length = header.length();
            if length < 8 {
                errors.insert(DecodeError::UdpLengthBelow8);
            } else if usize::from(length) > segment.wire_bytes {
                errors.insert(DecodeError::UdpLengthBeyondEnd);
            }
            rules.udp_class(source_port, length, &octets[8..])
        }
        Err(_) => {
            errors.insert(DecodeError::UdpHeaderCut);
            // The octets that decide are cut off; the length, if captured, may exclude an answer.
            let length = octets
                .get(4..6)
                .map_or(u16::MAX, |pair| u16::from_be_bytes([pair[0], pair[1]]));
            rules.udp_class(source_port, length, &[])
        }
    };
    Layer4::with_ports(class, (source_port, destination_port))
}

/// `classify` gives a type's class, and whether the type is an error that quotes a packet.
#[inline]
fn icmp<'a>(
    segment: &Segment<'a>,
    classify: impl Fn(u8) -> (Class, bool),
    cut: DecodeError,
    errors: &mut DecodeErrors,
) -> Layer4<'a> {
    let Some(&kind) = segment.octets.first() else {
        errors.insert(cut);
        return Layer4::portless(Class::Other);
    };
    let (class, quotes) = classify(kind);
    let port = segment
        .octets
        .get(1)
        .map(|&code| u16::from_be_bytes([kind, code]));
    if port.is_none() {
        errors.insert(cut);
    }
    Layer4 {
        port,
        error: quotes.then_some(segment.octets),
        ..Layer4::portless(class)
    }
}
