//! Tests of FlowTuples: each field by example, and against the decoder on any octets.

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;
use crate::cell::Class;
use crate::decode::{Source, decode};

const FOUR: Network = Network::Ipv4 { offset: 0 };

fn read(datagram: &[u8]) -> FlowTuple {
    read_on_wire(datagram, datagram.len())
}

fn read_on_wire(datagram: &[u8], wire_bytes: usize) -> FlowTuple {
    let reader = Reader::new(Rules::shipped());
    reader.read(FOUR, datagram, wire_bytes).unwrap()
}

fn packet(
    build: impl FnOnce(etherparse::PacketBuilderStep<etherparse::IpHeaders>) -> Vec<u8>,
) -> Vec<u8> {
    build(PacketBuilder::ipv4([192, 0, 2, 1], [198, 18, 0, 5], 44))
}

fn syn(options: &[u8]) -> Vec<u8> {
    packet(|ip| {
        let mut octets = Vec::new();
        let tcp = ip.tcp(40_000, 23, 0x0102_0304, 1024).syn();
        let tcp = tcp.options_raw(options).unwrap();
        tcp.write(&mut octets, &[]).unwrap();
        octets
    })
}

fn udp(source: u16, destination: u16) -> Vec<u8> {
    packet(|ip| {
        let mut octets = Vec::new();
        ip.udp(source, destination)
            .write(&mut octets, b"?")
            .unwrap();
        octets
    })
}

fn with(mut datagram: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    for &(place, octet) in changes {
        datagram[place] = octet;
    }
    datagram
}

#[test]
fn a_syn_has_a_header_length_and_a_window() {
    let expected = FlowTuple {
        source: 0xc000_0201,
        destination: 0xc612_0005,
        protocol: 6,
        source_port: 40_000,
        destination_port: 23,
        ttl: 44,
        tcp_flags: 2,
        ip_length: 44,
        syn_header_bytes: 24,
        syn_window: 1024,
        is_spoofed: false,
        is_masscan: false,
    };
    assert_eq!(read(&syn(&[2, 4, 5, 0xb4])), expected);
    // With ECN flags it is not SYN alone, and still not forged.
    let ecn = read(&with(syn(&[2, 4, 5, 0xb4]), &[(33, 0xc2)]));
    let expected = FlowTuple {
        tcp_flags: 0xc2,
        syn_header_bytes: 0,
        syn_window: 0,
        ..expected
    };
    assert_eq!(ecn, expected);
}

#[test]
fn masscan_is_known_by_its_ip_id() {
    let id = (0xc612_0005u32 ^ 23 ^ 0x0102_0304) as u16;
    let [high, low] = id.to_be_bytes();
    let mut probe = with(syn(&[]), &[(4, high), (5, low)]);
    assert!(read(&probe).is_masscan);
    probe[5] ^= 1;
    assert!(!read(&probe).is_masscan);
    // Not a probe any more.
    probe[5] ^= 1;
    probe[33] = 0x12;
    assert!(!read(&probe).is_masscan);
}

#[test]
fn udp_has_ports_and_icmp_type_and_code_in_their_place() {
    let query = read(&udp(53, 1900));
    assert_eq!((query.protocol, query.ip_length), (17, 29));
    assert_eq!((query.source_port, query.destination_port), (53, 1900));
    assert_eq!((query.tcp_flags, query.syn_header_bytes), (0, 0));
    let unreachable = packet(|ip| {
        let mut octets = Vec::new();
        let icmp = ip.icmpv4_raw(3, 13, [0; 4]);
        icmp.write(&mut octets, &[0; 8]).unwrap();
        octets
    });
    let unreachable = read(&unreachable);
    assert_eq!(unreachable.protocol, 1);
    assert_eq!(
        (unreachable.source_port, unreachable.destination_port),
        (3, 13)
    );
    // Neither TCP, UDP nor ICMP: these octets are not ports.
    let gre = read(&with(udp(53, 1900), &[(9, 47)]));
    assert_eq!((gre.source_port, gre.destination_port), (0, 0));
}

#[test]
fn what_is_cut_off_is_zero() {
    let whole = syn(&[2, 4, 5, 0xb4]);
    let wire = whole.len();
    let ports = |tuple: FlowTuple| (tuple.source_port, tuple.destination_port);
    assert_eq!(ports(read_on_wire(&whole[..23], wire)), (0, 0));
    let cut = read_on_wire(&whole[..24], wire);
    assert_eq!((ports(cut), cut.tcp_flags), ((40_000, 23), 0));
    let cut = read_on_wire(&whole[..34], wire);
    assert_eq!((cut.tcp_flags, cut.syn_header_bytes), (2, 0));
    let cut = read_on_wire(&whole[..40], wire);
    assert_eq!((cut.syn_header_bytes, cut.syn_window), (24, 1024));
    let reader = Reader::new(Rules::shipped());
    assert_eq!(reader.read(FOUR, &whole[..19], wire), None);
    assert_eq!(reader.read(FOUR, &[], 0), None);
    let six = Network::Ipv6 { offset: 0 };
    assert_eq!(reader.read(six, &[0x60; 60], 60), None);
}

#[test]
fn padding_behind_the_datagram_is_no_header() {
    // The length is 20: the octets after it are Ethernet padding.
    let padded = with(syn(&[]), &[(2, 0), (3, 20)]);
    let tuple = read(&padded);
    assert_eq!((tuple.ip_length, tuple.tcp_flags), (20, 0));
    assert_eq!((tuple.source_port, tuple.destination_port), (0, 0));
    // A length below the header's length is ignored.
    let tuple = read(&with(syn(&[]), &[(2, 0), (3, 0)]));
    assert_eq!((tuple.ip_length, tuple.tcp_flags), (0, 2));
}

#[test]
fn forged_headers_are_told_as_corsaro_tells_them() {
    let forged = |datagram: Vec<u8>| read(&datagram).is_spoofed;
    assert!(!forged(syn(&[])) && !forged(udp(53, 1900)));
    for octet in [0, 255] {
        assert!(
            forged(with(syn(&[]), &[(15, octet)])),
            "source ends {octet}"
        );
    }
    assert!(!forged(with(syn(&[]), &[(15, 1)])) && !forged(with(syn(&[]), &[(15, 254)])));
    assert!(forged(with(syn(&[]), &[(8, 200)])) && !forged(with(syn(&[]), &[(8, 199)])));
    assert!(forged(with(udp(53, 1900), &[(8, 255)])));
    // ICMP may have any TTL, and type or code 0 is no port 0.
    let echo = with(udp(0x0800, 0), &[(9, 1), (8, 255)]);
    assert!(!forged(echo));
    assert!(forged(with(syn(&[]), &[(6, 0x80)])), "reserved flag");
    assert!(forged(with(syn(&[]), &[(7, 1)])), "later fragment");
    assert!(!forged(with(syn(&[]), &[(6, 0x20)])), "first fragment");
    assert!(!forged(with(syn(&[]), &[(6, 0x40)])), "do not fragment");
    assert!(forged(udp(0, 53)) && forged(udp(53, 0)));
    assert!(forged(with(syn(&[]), &[(20, 0), (21, 0)])), "TCP port 0");
    let itself = [(12, 198), (13, 18), (14, 0), (15, 5)];
    assert!(forged(with(syn(&[]), &itself)), "source is destination");
    assert!(forged(with(udp(53, 1900), &[(9, 47)])), "GRE");
    assert!(!forged(with(udp(53, 1900), &[(9, 41)])), "IPv6 in IPv4");
}

#[test]
fn flags_of_connections_are_normal_and_no_others() {
    let normal = |flags: u8| {
        let has = |bit: u8| flags & bit != 0;
        let (fin, syn, rst, psh, ack, urg) = (has(1), has(2), has(4), has(8), has(16), has(32));
        match (urg, rst, syn, ack) {
            (true, ..) => false,
            (_, true, ..) => !fin && !syn && !psh && !ack,
            (_, _, true, true) => !fin && !psh,
            (_, _, true, false) => !psh,
            (_, _, false, true) => true,
            (_, _, false, false) => fin && !psh,
        }
    };
    for flags in 0..=255 {
        let tuple = read(&with(syn(&[]), &[(33, flags)]));
        assert_eq!(tuple.is_spoofed, !normal(flags), "{flags:#04x}");
        assert_eq!(tuple.tcp_flags, flags);
        let is_syn = flags == 2;
        assert_eq!(
            (tuple.syn_header_bytes, tuple.syn_window) == (20, 1024),
            is_syn
        );
    }
    // The flags of a cut header are ignored.
    assert!(!read(&with(syn(&[]), &[(33, 0), (32, 0x60)])).is_spoofed);
}

proptest! {
    #[test]
    fn fields_are_those_that_the_decoder_counts_by(
        mut datagram in prop::collection::vec(any::<u8>(), 20..64),
        first in prop::sample::select(vec![0x45u8, 0x45, 0x46, 0x44, 0x65]),
        number in prop::sample::select(vec![1u8, 6, 6, 17, 47, 58]),
        flags in prop::sample::select(vec![2u8, 18, 4, 0, 16]),
        fragment in prop::sample::select(vec![0u8, 0, 0x20, 1]),
        total in 0u8..80,
        more in 0usize..20,
    ) {
        datagram[0] = first;
        datagram[9] = number;
        datagram[6] = fragment;
        datagram[7] = 0;
        datagram[2] = 0;
        datagram[3] = total;
        if let Some(octet) = datagram.get_mut(33) {
            *octet = flags;
        }
        let wire = datagram.len() + more;
        let tuple = read_on_wire(&datagram, wire);
        let counted = decode(&Rules::shipped(), FOUR, &datagram, wire).unwrap();
        prop_assert_eq!(Source::V4(tuple.source), counted.source);
        prop_assert_eq!(u64::from(tuple.destination), counted.destination);
        prop_assert_eq!((tuple.ttl, tuple.tcp_flags), (counted.ttl, counted.tcp_flags));
        prop_assert_eq!(tuple.protocol, counted.cell.protocol());
        let port = counted.cell.port().unwrap_or(0);
        match number {
            1 => prop_assert_eq!(tuple.source_port << 8 | tuple.destination_port, port),
            6 | 17 => {
                prop_assert_eq!(tuple.source_port, counted.source_port.unwrap_or(0));
                if counted.cell.class() != Class::Backscatter {
                    prop_assert_eq!(tuple.destination_port, port);
                }
            }
            _ => prop_assert_eq!((tuple.source_port, tuple.destination_port), (0, 0)),
        }
        let (masscan, _) = Rules::shipped().find("masscan").unwrap();
        let marked = counted.rule_matches.is_some_and(|matches| matches.bits >> masscan & 1 == 1);
        prop_assert_eq!(tuple.is_masscan, marked);
    }
}
