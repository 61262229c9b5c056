//! The decoder held against etherparse's lax reading, with every difference that is on purpose
//! named by the counting rule that explains it.

use std::collections::BTreeMap;

use etherparse::err::ipv6_exts::HeaderError::HopByHopNotAtStart;
use etherparse::err::packet::SliceError;
use etherparse::{LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use noctule_packet::darknet::{Darknet, Destination};
use noctule_packet::link::{LinkType, Network, network};
use noctule_packet::{Class, DecodeError, Packet, Rules, Source, decode};
use noctule_testkit::layers::draw::drawn;

/// Where we differ from etherparse on purpose, and by which counting rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// Rule 8: a wrong or cut IPv4 header has addresses and a protocol; etherparse refuses it.
    Ipv4HeaderWrong,
    /// Rule 2: IPv4's authentication header is protocol 51; etherparse looks behind it.
    AuthenticationOverIpv4,
    /// Rule 2: hop-by-hop options are walked wherever they are; etherparse wants them first.
    HopByHopLater,
    /// Rule 5: what follows a later fragment's header is no header; etherparse walks on.
    HeadersInLaterFragment,
    /// Rule 5: first fragments have ports; etherparse stops before them.
    FirstFragment,
    /// Rule 7: ports and flags are read before the data offset is checked.
    DataOffset,
    /// Rules 5 and 8: of a cut header counts what is there; etherparse wants all of it.
    Layer4Cut,
    /// Rule 1, link layer: etherparse reads three tags, and neither PPPoE nor MPLS.
    DeeperLink,
    /// Rule 1: an ethertype and a version that disagree are not IP; etherparse goes by the latter.
    VersionDisagrees,
}

const DIFFERENCES: usize = 9;

/// Is there a fragment header with an offset among these whole extension headers? Etherparse's own
/// iterator reads past their end where a broken one follows.
fn has_later_fragment(mut number: u8, mut headers: &[u8]) -> bool {
    while let [next, units, high, low, ..] = *headers {
        let length = match number {
            44 if high != 0 || low & 0xf8 != 0 => return true,
            44 => 8,
            51 => 4 * (usize::from(units) + 2),
            _ => 8 * (usize::from(units) + 1),
        };
        number = next;
        headers = headers.get(length..).unwrap_or(&[]);
    }
    false
}

/// Holds a packet against etherparse's lax reading of its datagram.
fn against_etherparse(packet: &Packet, datagram: &[u8]) -> Option<Difference> {
    let what = format!("{packet:?}: {datagram:02x?}");
    let Ok(sliced) = LaxSlicedPacket::from_ip(datagram) else {
        let kinds = [DecodeError::Ipv4IhlBelow5, DecodeError::Ipv4HeaderCut];
        // The options of a later fragment do not matter.
        let is_later_fragment = datagram[6] & 0x1f != 0 || datagram[7] != 0;
        let is_told = kinds.into_iter().any(|kind| packet.errors.contains(kind));
        assert!(is_told || is_later_fragment, "{what}");
        assert_eq!(packet.cell.port(), None, "{what}");
        return Some(Difference::Ipv4HeaderWrong);
    };
    let stopped = sliced.stop_err.as_ref().map(|(error, _)| error);
    let protocol = packet.cell.protocol();
    let later_fragment;
    match sliced.net.as_ref().expect("an IP header") {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            assert_eq!(packet.source, Source::V4(header.source_addr().to_bits()));
            assert_eq!(
                packet.destination,
                u64::from(header.destination_addr().to_bits())
            );
            assert_eq!(packet.ip_id, header.identification());
            assert_eq!(packet.ttl, header.ttl());
            assert_eq!(protocol, header.protocol().0, "{what}");
            if protocol == 51 {
                assert_eq!(packet.cell.port(), None, "{what}");
                return Some(Difference::AuthenticationOverIpv4);
            }
            later_fragment = header.fragments_offset().value() != 0;
        }
        LaxNetSlice::Ipv6(ip) => {
            assert_eq!(
                packet.source,
                Source::V6(ip.header().source_addr().to_bits())
            );
            assert_eq!(packet.ttl, ip.header().hop_limit());
            let extensions = ip.extensions();
            later_fragment = (extensions.first_header())
                .is_some_and(|first| has_later_fragment(first.0, extensions.slice()));
            if protocol != ip.payload().ip_number.0 {
                if later_fragment {
                    assert_eq!(packet.cell.port(), None, "{what}");
                    return Some(Difference::HeadersInLaterFragment);
                }
                let expected = Some(&SliceError::Ipv6Exts(HopByHopNotAtStart));
                assert_eq!(stopped, expected, "{what}");
                return Some(Difference::HopByHopLater);
            }
        }
        LaxNetSlice::Arp(_) => panic!("a datagram is no ARP: {what}"),
    }
    if later_fragment {
        assert_eq!(
            (packet.cell.class(), packet.cell.port()),
            (Class::Other, None),
            "{what}"
        );
        return None;
    }
    let port = |source, destination| {
        assert_eq!(packet.source_port, Some(source), "{what}");
        let is_backscatter = packet.cell.class() == Class::Backscatter;
        let port = if is_backscatter { source } else { destination };
        assert_eq!(packet.cell.port(), Some(port), "{what}");
    };
    let type_and_code = |octets: [u8; 2]| {
        assert_eq!(
            packet.cell.port(),
            Some(u16::from_be_bytes(octets)),
            "{what}"
        );
    };
    match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            port(tcp.source_port(), tcp.destination_port());
            assert_eq!(packet.tcp_flags, tcp.slice()[13], "{what}");
        }
        Some(TransportSlice::Udp(udp)) => port(udp.source_port(), udp.destination_port()),
        Some(TransportSlice::Icmpv4(icmp)) => type_and_code([icmp.type_u8(), icmp.code_u8()]),
        Some(TransportSlice::Icmpv6(icmp)) => type_and_code([icmp.type_u8(), icmp.code_u8()]),
        Some(TransportSlice::Igmp(_)) => assert_eq!(packet.cell.port(), None, "{what}"),
        None => {
            if sliced
                .net
                .as_ref()
                .and_then(LaxNetSlice::ip_payload_ref)
                .is_some_and(|ip| ip.fragmented)
            {
                return Some(Difference::FirstFragment);
            }
            return match stopped {
                Some(SliceError::Tcp(_)) => Some(Difference::DataOffset),
                Some(SliceError::Len(_)) if [1, 6, 17, 58, 2].contains(&protocol) => {
                    Some(Difference::Layer4Cut)
                }
                _ => {
                    assert_eq!(packet.cell.port(), None, "{what}");
                    None
                }
            };
        }
    }
    None
}

/// Holds the way to the datagram against etherparse's.
fn link_against_etherparse(frame: &[u8]) -> Option<Difference> {
    let found = network(LinkType::Ethernet, frame);
    let sliced = LaxSlicedPacket::from_ethernet(frame).ok();
    let net = sliced.as_ref().and_then(|sliced| sliced.net.as_ref());
    let is_macsec = |ext: &LaxLinkExtSlice<'_>| matches!(ext, LaxLinkExtSlice::Macsec(_));
    match (found, net) {
        (Some(Network::Ipv4 { .. }), Some(LaxNetSlice::Ipv4(_)))
        | (Some(Network::Ipv6 { .. }), Some(LaxNetSlice::Ipv6(_)))
        | (None, None | Some(LaxNetSlice::Arp(_))) => None,
        (Some(Network::Ipv4 { offset } | Network::Ipv6 { offset }), None) => {
            if LaxSlicedPacket::from_ip(&frame[offset..]).is_err() {
                return Some(Difference::Ipv4HeaderWrong);
            }
            let tags = (12..offset - 2).step_by(4).take_while(|&at| {
                [[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00]].contains(&[frame[at], frame[at + 1]])
            });
            let tags = tags.count();
            let ethertype = [frame[12 + 4 * tags], frame[13 + 4 * tags]];
            // PPPoE and MPLS, tags of other kinds, and a length with SNAP behind it.
            let is_deeper = [0x8864, 0x8847, 0x8848, 0x9200, 0x8926, 0x893f, 0x8988]
                .contains(&u16::from_be_bytes(ethertype))
                || u16::from_be_bytes(ethertype) <= 1500;
            assert!(tags == 4 || is_deeper, "{frame:02x?}");
            Some(Difference::DeeperLink)
        }
        (None, Some(LaxNetSlice::Ipv4(_) | LaxNetSlice::Ipv6(_))) => {
            let sliced = sliced.as_ref().expect("it found a datagram");
            if sliced.link_exts.iter().any(is_macsec) {
                return None;
            }
            let payload = sliced.ether_payload().expect("a datagram");
            let right = if payload.payload[0] >> 4 == 4 {
                0x0800
            } else {
                0x86dd
            };
            assert_ne!(payload.ether_type.0, right, "{frame:02x?}");
            Some(Difference::VersionDisagrees)
        }
        other => panic!("{other:?}: {frame:02x?}"),
    }
}

#[test]
fn decoder_and_etherparse_agree_but_where_a_rule_says_otherwise() {
    let everything = Darknet::parse(&["0.0.0.0/0", "::/0"], &[]).expect("good prefixes");
    let mut differences: BTreeMap<Difference, usize> = BTreeMap::new();
    let mut same = 0;
    for frame in drawn(60_000) {
        let link = LinkType::from_number(frame.link).expect("a link type that is read");
        if link == LinkType::Ethernet
            && let Some(difference) = link_against_etherparse(&frame.octets)
        {
            *differences.entry(difference).or_default() += 1;
        }
        let Destination::Dark(at) = everything.destination(link, &frame.octets) else {
            continue;
        };
        let (Network::Ipv4 { offset } | Network::Ipv6 { offset }) = at;
        let packet =
            decode(&Rules::shipped(), at, &frame.octets, frame.wire_bytes).expect("addresses");
        match against_etherparse(&packet, &frame.octets[offset..]) {
            Some(difference) => *differences.entry(difference).or_default() += 1,
            None => same += 1,
        }
    }
    assert!(same > 10_000, "only {same} alike: {differences:?}");
    let met = differences.values().filter(|&&count| count > 20).count();
    assert_eq!(met, DIFFERENCES, "{differences:?}");
}
