//! Tests of tunnels: the inner header of an encapsulated packet is found, and nothing else is
//! decapsulated.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use crate::darknet::{Darknet, DarknetError, Destination};
use crate::link::{LinkType, Network};
use crate::tunnel::{TunnelError, TunnelKind, Tunnels};

/// Ends of tunnels, in both families.
const ENDPOINT4: [u8; 4] = [203, 0, 113, 1];
const ENDPOINT6: &str = "2001:db8:77::1";
/// A dark address.
const DARK: [u8; 4] = [198, 18, 7, 7];

fn tunnels(kinds: &[TunnelKind]) -> Tunnels {
    let endpoints = [IpAddr::from(ENDPOINT4), ENDPOINT6.parse().unwrap()];
    Tunnels::new(kinds, 4789, &endpoints).unwrap()
}

fn darknet(kinds: &[TunnelKind]) -> Darknet {
    let dark = Darknet::parse(&["198.18.0.0/15", "2001:db8:dead::/48"], &[]).unwrap();
    dark.with_tunnels(tunnels(kinds)).unwrap()
}

/// An IPv4 datagram with `options` words of options.
fn ipv4(options: u8, protocol: u8, destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0x45 + options, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    datagram.extend([11, 22, 33, 44]);
    datagram.extend(destination);
    datagram.resize(datagram.len() + 4 * usize::from(options), 1);
    datagram.extend(payload);
    let length = datagram.len() as u16;
    datagram[2..4].copy_from_slice(&length.to_be_bytes());
    datagram
}

/// An IPv6 datagram.
fn ipv6(next: u8, destination: &str, payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0x60, 0, 0, 0];
    datagram.extend((payload.len() as u16).to_be_bytes());
    datagram.extend([next, 64]);
    datagram.extend([0x20; 16]);
    let destination: std::net::Ipv6Addr = destination.parse().unwrap();
    datagram.extend(destination.octets());
    datagram.extend(payload);
    datagram
}

fn is_six(datagram: &[u8]) -> bool {
    datagram[0] >> 4 == 6
}

/// An Ethernet frame with this many VLAN tags.
fn ethernet(tags: usize, datagram: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([0x81, 0x00, 0, 5].repeat(tags));
    frame.extend(if is_six(datagram) {
        [0x86, 0xdd]
    } else {
        [0x08, 0x00]
    });
    frame.extend(datagram);
    frame
}

/// A GRE header with the fields that `flags` asks for.
fn gre(flags: u8, carried: u16, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![flags, 0];
    octets.extend(carried.to_be_bytes());
    let fields = [0x80, 0x20, 0x10].iter().filter(|&bit| flags & bit != 0);
    octets.resize(octets.len() + 4 * fields.count(), 0xaa);
    octets.extend(payload);
    octets
}

fn vxlan(flags: u8, port: u16, frame: &[u8]) -> Vec<u8> {
    udp(port, &[flags, 0, 0, 0, 0, 0, 7, 0], frame)
}

/// A UDP header, and a tunnel's header before what it carries.
fn udp(port: u16, head: &[u8], carried: &[u8]) -> Vec<u8> {
    let mut octets = vec![0xc0, 1];
    octets.extend(port.to_be_bytes());
    octets.extend(((8 + head.len() + carried.len()) as u16).to_be_bytes());
    octets.extend([0, 0]);
    octets.extend(head);
    octets.extend(carried);
    octets
}

/// Geneve with `words` words of options.
fn geneve(words: u8, carried: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = carried.to_be_bytes();
    let mut head = vec![words, 0, high, low, 0, 0, 7, 0];
    head.resize(8 + 4 * usize::from(words), 0xcc);
    udp(6081, &head, payload)
}

/// GTP-U with this many extension headers.
fn gtp(extensions: u8, datagram: &[u8]) -> Vec<u8> {
    let mut head = vec![0x34, 255, 0, 0, 0, 0, 0, 9, 0, 1, 0];
    for words in 1..=extensions {
        head.extend([0x85, words]);
        head.resize(head.len() + 4 * usize::from(words) - 2, 0xdd);
    }
    head.push(0);
    udp(2152, &head, datagram)
}

/// An ERSPAN type III header before a frame; `platform` as the O bit.
fn erspan3(frame_type: u8, platform: u8, frame: &[u8]) -> Vec<u8> {
    let mut octets = vec![0x20, 1, 0, 1, 0, 0, 0, 0, 0, 0, frame_type << 2, platform];
    octets.resize(12 + 8 * usize::from(platform), 0xbb);
    octets.extend(frame);
    octets
}

/// Every way to put a datagram into a tunnel: the kind, the outer protocol, what it carries.
fn wrappings(datagram: &[u8], flags: u8, tags: usize) -> Vec<(TunnelKind, u8, Vec<u8>)> {
    use TunnelKind::{Erspan, Geneve, Gre, Gtp, Ipip, Vxlan};
    let frame = ethernet(tags, datagram);
    let (protocol, ethertype) = if is_six(datagram) {
        (41, 0x86dd)
    } else {
        (4, 0x0800)
    };
    let erspan2 = [&[0x10, 5, 0, 1, 0, 0, 0, 9][..], &frame].concat();
    vec![
        (Ipip, protocol, datagram.to_vec()),
        (Gre, 47, gre(flags, ethertype, datagram)),
        (Gre, 47, gre(flags, 0x6558, &frame)),
        (Vxlan, 17, vxlan(0x08, 4789, &frame)),
        (Geneve, 17, geneve(flags & 0x3f, ethertype, datagram)),
        (Geneve, 17, geneve(tags as u8, 0x6558, &frame)),
        (Gtp, 17, udp(2152, &[0x30, 255, 0, 0, 0, 0, 0, 9], datagram)),
        (Gtp, 17, gtp(tags as u8, datagram)),
        (Erspan, 47, gre(flags & !0x10, 0x88be, &frame)),
        (Erspan, 47, gre(flags | 0x10, 0x88be, &erspan2)),
        (
            Erspan,
            47,
            gre(flags | 0x10, 0x22eb, &erspan3(0, 0, &frame)),
        ),
        (
            Erspan,
            47,
            gre(flags | 0x10, 0x22eb, &erspan3(0, 1, &frame)),
        ),
    ]
}

/// The octets from the deciding header on, if it is dark.
fn dark<'f>(darknet: &Darknet, frame: &'f [u8]) -> Option<&'f [u8]> {
    match darknet.destination(LinkType::RawIp, frame) {
        Destination::Dark(Network::Ipv4 { offset } | Network::Ipv6 { offset }) => {
            Some(&frame[offset..])
        }
        _ => None,
    }
}

fn verdict(kinds: &[TunnelKind], datagram: &[u8]) -> Destination {
    darknet(kinds).destination(LinkType::RawIp, datagram)
}

proptest! {
    /// For any outer header and tunnel fields, the inner datagram is found unchanged, if its kind is
    /// configured and the packet is addressed to an endpoint.
    #[test]
    fn what_was_wrapped_is_unwrapped(
        options in 0u8..=10,
        flags in proptest::sample::select(vec![0u8, 0x80, 0x20, 0x10, 0xa0, 0x90, 0x30, 0xb0]),
        tags in 0usize..=4,
        six in any::<bool>(),
        limit in proptest::option::of(0u8..3),
        payload in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let inner = if six {
            ipv6(6, "2001:db8:dead::5", &payload)
        } else {
            ipv4(0, 6, DARK, &payload)
        };
        for (kind, protocol, carried) in wrappings(&inner, flags, tags) {
            let outer4 = |to| ipv4(options, protocol, to, &carried);
            let outer6 = |to| match limit {
                // The encapsulation limit that Linux's tunnels add, or more options.
                Some(units) => {
                    let mut options = vec![protocol, units, 4, 1, 4, 1, 0, 0];
                    options.resize(8 + 8 * usize::from(units), 0);
                    ipv6(60, to, &[&options[..], &carried].concat())
                }
                None => ipv6(protocol, to, &carried),
            };
            for outer in [outer4(ENDPOINT4), outer6(ENDPOINT6)] {
                prop_assert_eq!(dark(&darknet(&[kind]), &outer), Some(&inner[..]));
                prop_assert_eq!(dark(&darknet(&TunnelKind::ALL), &outer), Some(&inner[..]));
                let others: Vec<_> = TunnelKind::ALL.into_iter().filter(|k| *k != kind).collect();
                prop_assert_eq!(dark(&darknet(&others), &outer), None);
            }
            for elsewhere in [outer4([203, 0, 113, 2]), outer6("2001:db8:77::2")] {
                prop_assert_eq!(verdict(&TunnelKind::ALL, &elsewhere), Destination::Passed);
            }
        }
    }

    #[test]
    fn nothing_in_a_frame_panics(
        frame in proptest::collection::vec(any::<u8>(), 0..200),
        protocol in proptest::sample::select(vec![4u8, 17, 41, 47]),
    ) {
        let darknet = darknet(&TunnelKind::ALL);
        for datagram in [
            ipv4(0, protocol, ENDPOINT4, &frame),
            ipv6(protocol, ENDPOINT6, &frame),
            ipv6(60, ENDPOINT6, &[&[protocol][..], &frame].concat()),
        ] {
            darknet.destination(LinkType::RawIp, &datagram);
        }
    }
}

#[test]
fn a_tunnel_packet_that_is_cut_is_not_parsed_until_its_inner_destination() {
    let inner = ipv4(0, 6, DARK, &[0; 20]);
    for (kind, protocol, carried) in wrappings(&inner, 0xb0, 2) {
        for outer in [
            ipv4(3, protocol, ENDPOINT4, &carried),
            ipv6(protocol, ENDPOINT6, &carried),
        ] {
            let reached = outer.len() - inner.len() + 20;
            for cut in 0..outer.len() {
                let found = verdict(&TunnelKind::ALL, &outer[..cut]);
                let is_dark = matches!(found, Destination::Dark(_));
                assert_eq!(is_dark, cut >= reached, "{kind}, {cut} octets: {found:?}");
                assert_ne!(found, Destination::Passed, "{kind}, {cut} octets");
            }
        }
    }
}

#[test]
fn one_level_is_opened_and_no_more() {
    let inner = ipv4(0, 6, DARK, &[0; 20]);
    for (_, protocol, carried) in wrappings(&inner, 0, 0) {
        for to in [ENDPOINT4, [10, 0, 0, 1]] {
            let nested = ipv4(0, protocol, to, &carried);
            let outer = ipv4(0, 47, ENDPOINT4, &gre(0, 0x0800, &nested));
            assert_eq!(verdict(&TunnelKind::ALL, &outer), Destination::Passed);
        }
        // A tunnel packet to a dark address is counted by its outer header.
        let nested = ipv4(0, protocol, DARK, &carried);
        let outer = ipv4(0, 47, ENDPOINT4, &gre(0, 0x0800, &nested));
        assert_eq!(dark(&darknet(&TunnelKind::ALL), &outer), Some(&nested[..]));
    }
    let undug = ipv4(0, 47, DARK, &gre(0, 0x0800, &inner));
    assert_eq!(dark(&darknet(&TunnelKind::ALL), &undug), Some(&undug[..]));
}

#[test]
fn what_cannot_be_opened_is_not_parsed() {
    use TunnelKind::{Erspan, Geneve, Gre, Gtp, Ipip, Vxlan};
    let inner = ipv4(0, 6, DARK, &[0; 20]);
    let frame = ethernet(0, &inner);
    let to = |protocol, carried: &[u8]| ipv4(0, protocol, ENDPOINT4, carried);
    let with = |mut datagram: Vec<u8>, at: usize, octet: u8| {
        datagram[at] = octet;
        datagram
    };
    let good = to(47, &gre(0, 0x0800, &inner));
    assert!(matches!(verdict(&[Gre], &good), Destination::Dark(_)));
    let cases = [
        ("more fragments", Gre, with(good.clone(), 6, 0x20)),
        ("a later fragment", Gre, with(good.clone(), 7, 1)),
        ("IHL below 5", Gre, with(good.clone(), 0, 0x44)),
        ("routing", Gre, with(good.clone(), 20, 0x40)),
        ("version 1", Gre, with(good.clone(), 21, 1)),
        ("a keep-alive", Gre, to(47, &gre(0, 0, &[]))),
        ("not IPv6", Gre, to(47, &gre(0, 0x86dd, &inner))),
        ("MPLS in GRE", Gre, to(47, &gre(0, 0x8847, &inner))),
        ("ERSPAN as GRE", Gre, to(47, &gre(0, 0x88be, &frame))),
        ("IPv4 as IPv6", Ipip, to(41, &inner)),
        ("IPIP with IHL 0", Ipip, with(to(4, &inner), 0, 0x40)),
        ("a fragment of IPIP", Ipip, with(to(4, &inner), 6, 0x20)),
        (
            "no network identifier",
            Vxlan,
            to(17, &vxlan(0, 4789, &frame)),
        ),
        (
            "ARP in VXLAN",
            Vxlan,
            to(17, &vxlan(8, 4789, &with(frame.clone(), 13, 6))),
        ),
        (
            "a first fragment",
            Vxlan,
            with(to(17, &vxlan(8, 4789, &frame)), 6, 0x20),
        ),
        (
            "version 1",
            Geneve,
            with(to(17, &geneve(0, 0x0800, &inner)), 28, 0x40),
        ),
        ("MPLS in Geneve", Geneve, to(17, &geneve(0, 0x8847, &inner))),
        ("version 2", Gtp, with(to(17, &gtp(0, &inner)), 28, 0x50)),
        ("GTP'", Gtp, with(to(17, &gtp(0, &inner)), 28, 0x24)),
        ("five extension headers", Gtp, to(17, &gtp(5, &inner))),
        (
            "one of no length",
            Gtp,
            with(to(17, &gtp(1, &inner)), 40, 0),
        ),
        (
            "one of 256 octets",
            Gtp,
            with(to(17, &gtp(1, &[0; 600])), 40, 64),
        ),
        ("no IP in GTP", Gtp, to(17, &gtp(1, &frame))),
        (
            "IP in ERSPAN",
            Erspan,
            to(47, &gre(0x10, 0x22eb, &erspan3(2, 0, &frame))),
        ),
        (
            "five tags",
            Erspan,
            to(47, &gre(0, 0x88be, &ethernet(5, &inner))),
        ),
    ];
    for (what, kind, datagram) in cases {
        assert_eq!(
            verdict(&[kind], &datagram),
            Destination::NotParsed,
            "{what}"
        );
    }
    for next in [0, 43, 44, 51] {
        let behind = [&[47, 0, 0, 0, 0, 0, 0, 0][..], &gre(0, 0x0800, &inner)].concat();
        let first = ipv6(next, ENDPOINT6, &behind);
        let second = [&[next, 0, 1, 4, 0, 0, 0, 0][..], &behind].concat();
        for datagram in [first, ipv6(60, ENDPOINT6, &second)] {
            let found = verdict(&[Gre], &datagram);
            assert_eq!(found, Destination::NotParsed, "extension header {next}");
        }
    }
}

#[test]
fn what_is_no_enabled_tunnel_is_what_its_outer_header_says() {
    use TunnelKind::{Erspan, Geneve, Gre, Gtp, Ipip, Vxlan};
    let inner = ipv4(0, 6, DARK, &[0; 20]);
    let frame = ethernet(0, &inner);
    let to = |protocol, carried: &[u8]| ipv4(0, protocol, ENDPOINT4, carried);
    let later_udp = || {
        let mut datagram = to(17, &vxlan(8, 4789, &frame));
        datagram[7] = 9;
        datagram
    };
    let options = [&[6, 0, 4, 1, 4, 1, 0, 0][..], &[0; 20]].concat();
    let cases = [
        (Gre, to(6, &[0; 20])),
        (Gre, to(4, &inner)),
        (Ipip, to(47, &gre(0, 0x0800, &inner))),
        (Erspan, to(47, &gre(0, 0x0800, &inner))),
        (Vxlan, to(17, &vxlan(8, 4790, &frame))),
        (Vxlan, later_udp()),
        (
            Geneve,
            to(17, &udp(6081, &[0, 0x80, 8, 0, 0, 0, 7, 0], &inner)),
        ),
        (
            Gtp,
            to(
                17,
                &udp(2152, &[0x32, 1, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0], &[]),
            ),
        ),
        (Gtp, to(17, &geneve(0, 0x0800, &inner))),
        (Gre, ipv6(60, ENDPOINT6, &options)),
    ];
    for (kind, datagram) in cases {
        assert_eq!(verdict(&[kind], &datagram), Destination::Passed, "{kind}");
    }
}

#[test]
fn mistakes_are_named() {
    let parse = |kinds: &[&str], port, ends: &[&str]| Tunnels::parse(kinds, port, ends);
    let end = &["203.0.113.1"][..];
    let refused = |kinds: &[&str], port, ends: &[&str]| parse(kinds, port, ends).unwrap_err();
    assert_eq!(refused(&["gre"], None, &[]), TunnelError::NoEndpoint);
    assert_eq!(refused(&[], None, end), TunnelError::NoKind);
    let unknown = TunnelError::UnknownKind("l2tp".into());
    assert_eq!(refused(&["gre", "l2tp"], None, end), unknown);
    let twice = TunnelError::RepeatedKind(TunnelKind::Gre);
    assert_eq!(refused(&["gre", "gre"], None, end), twice);
    let prefix = TunnelError::Unparsable("203.0.113.1/32".into());
    assert_eq!(refused(&["gre"], None, &["203.0.113.1/32"]), prefix);
    let twice = TunnelError::RepeatedEndpoint(IpAddr::from(ENDPOINT4));
    assert_eq!(refused(&["gre"], None, &[end, end].concat()), twice);
    assert_eq!(refused(&["gre"], Some(1), end), TunnelError::UnusedPort(1));
    assert_eq!(refused(&["vxlan"], Some(0), end), TunnelError::PortZero);
    let taken = TunnelError::PortTaken(6081, TunnelKind::Geneve);
    assert_eq!(refused(&["vxlan", "geneve"], Some(6081), end), taken);
    assert!(parse(&["vxlan", "gtp"], Some(6081), end).is_ok());
    let many: Vec<IpAddr> = (0..65).map(|n| Ipv4Addr::from_bits(n).into()).collect();
    let kinds = [TunnelKind::Gre];
    let too_many = Tunnels::new(&kinds, 4789, &many).unwrap_err();
    assert_eq!(too_many, TunnelError::TooManyEndpoints(65));
    assert!(Tunnels::new(&kinds, 4789, &many[..64]).is_ok());
    assert_eq!(parse(&[], None, &[]), Ok(Tunnels::default()));

    let dark = Darknet::parse(&["203.0.113.0/24"], &[]).unwrap();
    let error = dark.with_tunnels(tunnels(&kinds)).unwrap_err();
    assert_eq!(error, DarknetError::EndpointDark(ENDPOINT4.into()));
    let excluded = Darknet::parse(&["203.0.113.0/24"], &["203.0.113.1"]).unwrap();
    assert!(excluded.with_tunnels(tunnels(&kinds)).is_ok());
}

#[test]
fn tunnels_and_nothing_else_change_the_version() {
    let plain = || Darknet::parse(&["198.18.0.0/15"], &[]).unwrap();
    let version = |kinds: &[&str], port, ends: &[&str]| {
        let tunnels = Tunnels::parse(kinds, port, ends).unwrap();
        plain().with_tunnels(tunnels).unwrap().version().to_owned()
    };
    assert_eq!(version(&[], None, &[]), plain().version());
    let versions = [
        plain().version().to_owned(),
        version(&["gre"], None, &["203.0.113.1"]),
        version(&["gre"], None, &["203.0.113.2"]),
        version(&["vxlan"], None, &["203.0.113.1"]),
        version(&["vxlan"], Some(8472), &["203.0.113.1"]),
        version(&["gre", "vxlan"], None, &["203.0.113.1"]),
    ];
    let distinct: std::collections::BTreeSet<_> = versions.iter().collect();
    assert_eq!(distinct.len(), versions.len(), "{versions:?}");
    let ends = ["203.0.113.1", "203.0.113.2"];
    let swapped = ["203.0.113.2", "203.0.113.1"];
    assert_eq!(
        version(&["gre", "ipip"], None, &ends),
        version(&["ipip", "gre"], None, &swapped)
    );
}
