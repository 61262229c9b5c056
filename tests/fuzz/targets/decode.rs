//! Any octets as a frame: nothing panics, what is decoded makes sense, the reference says the same,
//! and so does the FlowTuple.
//!
//! Input: link type (its place in [`LINKS`]), how much longer the frame was on the wire (three
//! octets, big-endian), then what was captured of it.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use noctule_packet::darknet::{Darknet, Destination};
use noctule_packet::flowtuple;
use noctule_packet::link::{LinkType, Network};
use noctule_packet::{Class, DecodeError, Packet, Rules, Source, decode};

#[path = "../../kit/src/reference/mod.rs"]
#[expect(dead_code, reason = "the whole-program tests use the rest")]
mod reference;

use reference::{Counted, Prefixes, judge};

/// Numbers of the link types that are read.
const LINKS: [u32; 12] = [1, 101, 113, 276, 0, 108, 229, 104, 9, 50, 51, 239];

/// A half is dark, with a hole; and everything of IPv6 but a hole.
const INCLUDE: [&str; 3] = ["0.0.0.0/1", "192.0.0.0/3", "::/0"];
const EXCLUDE: [&str; 2] = ["16.0.0.0/4", "8000::/2"];

static RULES: LazyLock<Arc<Rules>> = LazyLock::new(Rules::shipped);

static FLOWTUPLES: LazyLock<flowtuple::Reader> =
    LazyLock::new(|| flowtuple::Reader::new(Rules::shipped()));

static DARKNET: LazyLock<(Darknet, Prefixes)> = LazyLock::new(|| {
    let darknet = Darknet::parse(&INCLUDE, &EXCLUDE).expect("good prefixes");
    (darknet, Prefixes::new(&INCLUDE, &EXCLUDE))
});

fuzz_target!(|input: &[u8]| {
    let [link, a, b, c, ref frame @ ..] = *input else {
        return;
    };
    let number = LINKS[usize::from(link) % LINKS.len()];
    let wire_bytes = frame.len() + u32::from_be_bytes([0, a, b, c]) as usize;
    let (darknet, prefixes) = &*DARKNET;
    let link = LinkType::from_number(number).expect("a link type that is read");
    let expected = judge(prefixes, number, frame, wire_bytes);
    match darknet.destination(link, frame) {
        Destination::Passed | Destination::NotParsed => {
            assert_eq!(expected, None, "the decoder passes it");
        }
        Destination::Dark(network) => {
            let (Network::Ipv4 { offset } | Network::Ipv6 { offset }) = network;
            let packet =
                decode(&RULES, network, frame, wire_bytes).expect("a dark frame is counted");
            let carried = wire_bytes - offset;
            check(&packet, carried);
            let expected = expected.expect("the reference finds it dark, too");
            assert_eq!(expected, said(&packet, &expected));
            let tuple = FLOWTUPLES.read(network, frame, wire_bytes);
            assert_eq!(tuple.is_some(), matches!(network, Network::Ipv4 { .. }));
            if let Some(tuple) = tuple {
                assert_eq!(Source::V4(tuple.source), packet.source);
                assert_eq!(
                    (tuple.protocol, tuple.ttl, tuple.tcp_flags),
                    (packet.cell.protocol(), packet.ttl, packet.tcp_flags)
                );
            }
        }
    }
});

/// What holds of every packet, whatever it is.
fn check(packet: &Packet, carried: usize) {
    assert!(packet.bytes as usize <= carried, "more than was carried");
    let cell = packet.cell;
    let has_ports = matches!(cell.protocol(), 6 | 17);
    if !has_ports {
        assert_eq!(packet.source_port, None);
        assert!(cell.port().is_none() || matches!(cell.protocol(), 1 | 58));
        assert!(cell.class() == Class::Other || matches!(cell.protocol(), 1 | 58));
    }
    if packet.tcp_flags != 0 || packet.rule_matches.is_some() {
        assert_eq!(cell.protocol(), 6);
        assert!(cell.port().is_some() && packet.source_port.is_some());
    }
    if packet.rule_matches.is_some() {
        assert_eq!(cell.class(), Class::Scan);
        assert!(matches!(packet.source, Source::V4(_)));
    }
    // At most one error per layer (counting rule 8).
    let mut layers: Vec<_> = (packet.errors.numbers())
        .map(|number| DecodeError::ALL[number].layer_and_reason().0)
        .collect();
    let errors = layers.len();
    layers.dedup();
    assert_eq!(layers.len(), errors, "{:?}", packet.errors);
}

/// The decoder's verdict in the reference's words.
fn said(packet: &Packet, expected: &Counted) -> Counted {
    Counted {
        source: match packet.source {
            Source::V4(address) => IpAddr::V4(Ipv4Addr::from(address)),
            Source::V6(address) => IpAddr::V6(Ipv6Addr::from(address)),
        },
        destination: expected.destination,
        protocol: packet.cell.protocol(),
        class: match packet.cell.class() {
            Class::Scan => reference::Class::Scan,
            Class::Backscatter => reference::Class::Backscatter,
            Class::Other => reference::Class::Other,
        },
        port: packet.cell.port(),
        bytes: packet.bytes.into(),
    }
}
