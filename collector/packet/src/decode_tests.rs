//! Tests of the decoder: each counting rule, and properties over built and broken packets.

use etherparse::PacketBuilder;
use proptest::prelude::*;

use crate::cell::{CellId, Class, protocol};
use crate::decode::{Packet, Source, decode};
use crate::error::DecodeError;
use crate::link::Network;
use crate::rules::Rules;

const FOUR: Network = Network::Ipv4 { offset: 0 };
const SIX: Network = Network::Ipv6 { offset: 0 };

fn tcp(flags: u8, options: &[u8]) -> Vec<u8> {
    let mut builder = PacketBuilder::ipv4([192, 0, 2, 1], [198, 18, 0, 5], 44)
        .tcp(40_000, 23, 0xc612_0005, 1024)
        .options_raw(options)
        .unwrap();
    for (bit, set) in [(0x01, 0), (0x02, 1), (0x04, 2), (0x10, 3)] {
        if flags & bit != 0 {
            builder = match set {
                0 => builder.fin(),
                1 => builder.syn(),
                2 => builder.rst(),
                _ => builder.ack(1),
            };
        }
    }
    let mut packet = Vec::new();
    builder.write(&mut packet, &[]).unwrap();
    packet
}

fn udp(source: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([192, 0, 2, 1], [198, 18, 0, 5], 64)
        .udp(source, 1900)
        .write(&mut packet, payload)
        .unwrap();
    packet
}

fn four(datagram: &[u8]) -> Packet {
    decode(&Rules::shipped(), FOUR, datagram, datagram.len()).unwrap()
}

fn errors(packet: &Packet) -> Vec<DecodeError> {
    packet
        .errors
        .numbers()
        .map(|n| DecodeError::ALL[n])
        .collect()
}

/// Names of the fingerprints that a probe matches.
fn matches(packet: &Packet) -> Vec<String> {
    let rules = Rules::shipped();
    let places = packet.rule_matches.unwrap().places();
    places
        .map(|place| rules.fingerprints()[place].name.clone())
        .collect()
}

#[test]
fn a_syn_is_a_scan_of_its_destination_port() {
    let packet = four(&tcp(0x02, &[]));
    assert_eq!(packet.source, Source::V4(0xc000_0201));
    assert_eq!(
        packet.cell,
        CellId::new(protocol::TCP, Class::Scan, Some(23))
    );
    assert_eq!((packet.bytes, packet.ttl, packet.tcp_flags), (40, 44, 2));
    assert_eq!(packet.source_port, Some(40_000));
    assert!(packet.errors.is_empty());
    assert_eq!(matches(&packet), ["mirai", "mirai-precursor"]);
}

#[test]
fn backscatter_counts_on_the_victims_port() {
    for flags in [0x12, 0x04, 0x14] {
        let packet = four(&tcp(flags, &[]));
        let cell = CellId::new(protocol::TCP, Class::Backscatter, Some(40_000));
        assert_eq!(
            (packet.cell, packet.rule_matches),
            (cell, None),
            "{flags:#x}"
        );
    }
    let packet = four(&udp(53, &[0, 0, 0x80, 0]));
    let cell = CellId::new(protocol::UDP, Class::Backscatter, Some(53));
    assert_eq!(packet.cell, cell);
}

#[test]
fn a_wrong_data_offset_keeps_ports_flags_and_mirai() {
    let mut packet = tcp(0x02, &[]);
    packet[32] = 0x60;
    let decoded = four(&packet);
    assert_eq!(
        decoded.cell,
        CellId::new(protocol::TCP, Class::Scan, Some(23))
    );
    assert_eq!(matches(&decoded), ["mirai", "mirai-precursor"]);
    assert_eq!(errors(&decoded), [DecodeError::TcpDataOffsetBeyondEnd]);
    packet[32] = 0x40;
    assert_eq!(errors(&four(&packet)), [DecodeError::TcpDataOffsetBelow5]);
}

#[test]
fn a_tcp_header_counts_as_far_as_it_goes() {
    let packet = tcp(0x02, &[2, 4, 5, 0xb4]);
    let of = |captured: usize| {
        decode(&Rules::shipped(), FOUR, &packet[..captured], packet.len()).unwrap()
    };
    let portless = CellId::new(protocol::TCP, Class::Other, None);
    let unflagged = CellId::new(protocol::TCP, Class::Other, Some(23));
    let scan = CellId::new(protocol::TCP, Class::Scan, Some(23));
    for captured in 20..=packet.len() {
        let (cell, error) = match captured - 20 {
            0..4 => (portless, Some(DecodeError::TcpCutBeforePorts)),
            4..14 => (unflagged, Some(DecodeError::TcpCutBeforeFlags)),
            14..24 => (scan, Some(DecodeError::TcpHeaderCut)),
            _ => (scan, None),
        };
        let decoded = of(captured);
        assert_eq!(decoded.cell, cell, "{captured} octets");
        assert_eq!(errors(&decoded), Vec::from_iter(error), "{captured} octets");
        assert_eq!(decoded.bytes, 44, "the wire's length, not the capture's");
    }
}

#[test]
fn an_ihl_below_5_has_protocol_and_nothing_else() {
    let mut packet = tcp(0x02, &[]);
    packet[0] = 0x44;
    let decoded = four(&packet);
    assert_eq!(decoded.cell, CellId::new(protocol::TCP, Class::Other, None));
    assert_eq!(errors(&decoded), [DecodeError::Ipv4IhlBelow5]);
}

#[test]
fn a_length_below_the_header_reads_to_the_frames_end() {
    for total in [0u16, 19] {
        let mut packet = tcp(0x02, &[]);
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        let decoded = four(&packet);
        assert_eq!(
            decoded.cell,
            CellId::new(protocol::TCP, Class::Scan, Some(23))
        );
        assert_eq!(
            decoded.bytes,
            u32::from(total),
            "the smaller of field and frame"
        );
        assert_eq!(errors(&decoded), [DecodeError::Ipv4LengthBelowHeader]);
    }
}

#[test]
fn padding_behind_the_datagram_is_not_its_own() {
    let mut packet = tcp(0x02, &[]);
    packet[2..4].copy_from_slice(&30u16.to_be_bytes());
    packet.resize(64, 0xff);
    let decoded = four(&packet);
    assert_eq!(decoded.bytes, 30);
    assert_eq!(
        decoded.cell,
        CellId::new(protocol::TCP, Class::Other, Some(23))
    );
    assert_eq!(errors(&decoded), [DecodeError::TcpCutBeforeFlags]);
}

#[test]
fn fragments_after_the_first_have_no_port() {
    let mut packet = udp(53, &[0, 0, 0x80]);
    packet[6] = 0x20;
    assert_eq!(
        four(&packet).cell.port(),
        Some(53),
        "first fragments have ports"
    );
    packet[7] = 1;
    assert_eq!(
        four(&packet).cell,
        CellId::new(protocol::UDP, Class::Other, None)
    );
}

#[test]
fn udp_without_ports_is_a_scan_without_a_port() {
    let packet = udp(53, &[0, 0, 0x80]);
    let decoded = decode(&Rules::shipped(), FOUR, &packet[..22], packet.len()).unwrap();
    assert_eq!(decoded.cell, CellId::new(protocol::UDP, Class::Scan, None));
    assert_eq!(errors(&decoded), [DecodeError::UdpCutBeforePorts]);
    let decoded = decode(&Rules::shipped(), FOUR, &packet[..26], packet.len()).unwrap();
    assert_eq!(
        decoded.cell.class(),
        Class::Backscatter,
        "cut before the bit"
    );
    assert_eq!(errors(&decoded), [DecodeError::UdpHeaderCut]);
}

#[test]
fn udp_lengths_are_judged() {
    let mut packet = udp(5000, &[1, 2, 3, 4]);
    packet[24..26].copy_from_slice(&7u16.to_be_bytes());
    assert_eq!(errors(&four(&packet)), [DecodeError::UdpLengthBelow8]);
    packet[24..26].copy_from_slice(&13u16.to_be_bytes());
    assert_eq!(errors(&four(&packet)), [DecodeError::UdpLengthBeyondEnd]);
    packet[24..26].copy_from_slice(&12u16.to_be_bytes());
    assert!(errors(&four(&packet)).is_empty());
}

#[test]
fn icmp_counts_type_and_code_and_ipv4_ah_is_not_walked() {
    let mut packet = udp(1, &[]);
    packet[9] = protocol::ICMP;
    packet[20..22].copy_from_slice(&[3, 10]);
    let cell = CellId::new(protocol::ICMP, Class::Backscatter, Some(778));
    assert_eq!(four(&packet).cell, cell);
    packet[9] = protocol::AUTHENTICATION;
    assert_eq!(four(&packet).cell, CellId::new(51, Class::Other, None));
}

/// An IPv6 datagram with the extension headers `chain`, the first of which has number `next`.
fn six(next: u8, chain: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((chain.len() as u16).to_be_bytes());
    packet.extend([next, 55]);
    packet.extend([0x20; 32]);
    packet.extend(chain);
    packet
}

fn syn_segment() -> Vec<u8> {
    tcp(0x02, &[])[20..].to_vec()
}

#[test]
fn ipv6_extension_headers_are_walked() {
    // Hop-by-hop, routing, fragment (first), authentication, destination options, then TCP.
    let mut chain = vec![43, 0, 1, 4, 0, 0, 0, 0];
    chain.extend([44, 0, 0, 0, 0, 0, 0, 0]);
    chain.extend([51, 0, 0, 1, 0, 0, 0, 9]);
    chain.extend([60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    chain.extend([6, 0, 1, 4, 0, 0, 0, 0]);
    chain.extend(syn_segment());
    let packet = six(0, &chain);
    let decoded = decode(&Rules::shipped(), SIX, &packet, packet.len()).unwrap();
    assert_eq!(
        decoded.cell,
        CellId::new(protocol::TCP, Class::Scan, Some(23))
    );
    assert_eq!(decoded.bytes as usize, packet.len());
    assert!(decoded.errors.is_empty() && decoded.rule_matches.is_none());
}

#[test]
fn a_broken_ipv6_chain_counts_as_the_number_reached() {
    let packet = six(0, &[43, 0, 1, 4, 0, 0, 0, 0, 6, 200, 0, 0]);
    let decoded = decode(&Rules::shipped(), SIX, &packet, packet.len()).unwrap();
    assert_eq!(decoded.cell, CellId::new(43, Class::Other, None));
    assert_eq!(errors(&decoded), [DecodeError::Ipv6ExtensionCut]);
}

#[test]
fn later_ipv6_fragments_have_no_port() {
    let mut chain = vec![6, 0, 0, 9, 0, 0, 0, 9];
    chain.extend(syn_segment());
    let packet = six(44, &chain);
    let decoded = decode(&Rules::shipped(), SIX, &packet, packet.len()).unwrap();
    assert_eq!(decoded.cell, CellId::new(protocol::TCP, Class::Other, None));
}

#[test]
fn a_jumbograms_length_stands_in_its_option() {
    let mut packet = six(0, &[6, 0, 0xc2, 4, 0, 0, 0, 28]);
    packet.extend(syn_segment());
    packet[4..6].copy_from_slice(&[0, 0]);
    packet.extend([0; 9]);
    let decoded = decode(&Rules::shipped(), SIX, &packet, packet.len()).unwrap();
    assert_eq!(decoded.bytes, 68);
    assert_eq!(
        decoded.cell,
        CellId::new(protocol::TCP, Class::Scan, Some(23))
    );
}

/// Counting rule 8: one error per layer, and a cut header precedes other errors of its layer.
#[test]
fn a_cut_header_is_no_matter_of_lengths() {
    for total in [0, 40, 60, 90] {
        for fragment in [0, 0x20] {
            let mut packet = tcp(0x02, &[]);
            packet[0] = 0x4f;
            packet[3] = total;
            packet[7] = fragment;
            let all = errors(&four(&packet));
            let ipv4: Vec<_> = (all.iter())
                .filter(|error| error.layer_and_reason().0 == "ipv4")
                .collect();
            assert_eq!(ipv4, [&DecodeError::Ipv4HeaderCut], "total length {total}");
        }
    }
}

/// Counting rule 3: a jumbogram's layer 4 ends at the frame's end, whatever its option claims.
#[test]
fn a_jumbo_length_that_cannot_be_hides_nothing() {
    for claimed in 0..40u8 {
        let mut packet = six(0, &[6, 0, 0xc2, 4, 0, 0, 0, claimed]);
        packet.extend(syn_segment());
        packet[4..6].copy_from_slice(&[0, 0]);
        let decoded = decode(&Rules::shipped(), SIX, &packet, packet.len()).unwrap();
        let expected = CellId::new(protocol::TCP, Class::Scan, Some(23));
        assert_eq!(decoded.cell, expected, "{claimed} octets claimed");
        assert_eq!(decoded.bytes, 40 + u32::from(claimed).min(28));
    }
}

/// RFC 2675 and RFC 8200: hop-by-hop options are valid only directly behind the IPv6 header.
#[test]
fn a_jumbo_option_counts_in_the_first_header_only() {
    let mut packet = six(60, &[0, 0, 1, 4, 0, 0, 0, 0]);
    packet.extend([6, 0, 0xc2, 4, 0, 0, 0, 9]);
    packet.extend(syn_segment());
    packet[4..6].copy_from_slice(&[0, 0]);
    let decoded = decode(&Rules::shipped(), SIX, &packet, packet.len()).unwrap();
    assert_eq!(decoded.cell.port(), Some(23));
    assert_eq!(decoded.bytes, 40, "what the header's own field says");
}

#[test]
fn ipv6_lengths_beyond_the_frame_are_told() {
    let mut packet = six(58, &[128, 0, 0, 0]);
    packet[5] = 40;
    let decoded = decode(&Rules::shipped(), SIX, &packet, packet.len()).unwrap();
    assert_eq!(decoded.cell, CellId::new(58, Class::Scan, Some(128 << 8)));
    assert_eq!(decoded.bytes, 44);
    assert_eq!(errors(&decoded), [DecodeError::Ipv6LengthBeyondFrame]);
}

proptest! {
    /// Any octets with a destination address are counted.
    #[test]
    fn anything_with_a_destination_is_counted(
        mut octets in proptest::collection::vec(any::<u8>(), 40..120),
        cut in 0usize..120,
        more in 0usize..2000,
        numbers in proptest::sample::select(vec![0u8, 1, 6, 17, 43, 44, 51, 58, 60, 47]),
    ) {
        for (network, nibble, at, least) in [(FOUR, 0x40, 9, 20), (SIX, 0x60, 6, 40)] {
            octets[0] = nibble | (octets[0] & 0xf);
            octets[at] = numbers;
            let captured = &octets[..octets.len().min(cut.max(least))];
            let decoded = decode(&Rules::shipped(), network, captured, captured.len() + more).unwrap();
            prop_assert!(decoded.bytes as usize <= captured.len() + more);
        }
    }

    /// A frame cut before its destination is refused, never read past its end.
    #[test]
    fn a_cut_frame_is_refused(octets in proptest::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(decode(&Rules::shipped(), SIX, &octets, 1500), None);
        if octets.len() < 20 {
            prop_assert_eq!(decode(&Rules::shipped(), FOUR, &octets, 1500), None);
        }
    }

    /// The two ways of reading a TCP header agree: a wrong data offset, which etherparse refuses,
    /// changes the error only.
    #[test]
    fn both_ways_of_reading_tcp_agree(flags in 0u8..=255, ports: (u16, u16), sequence: u32) {
        let mut packet = tcp(0, &[]);
        packet[20..22].copy_from_slice(&ports.0.to_be_bytes());
        packet[22..24].copy_from_slice(&ports.1.to_be_bytes());
        packet[24..28].copy_from_slice(&sequence.to_be_bytes());
        packet[33] = flags;
        let by_slice = four(&packet);
        packet[32] = 0xf0;
        let by_hand = four(&packet);
        prop_assert!(by_slice.errors.is_empty());
        prop_assert_eq!(Packet { errors: by_slice.errors, ..by_hand }, by_slice);
    }

    /// Against etherparse's own reading of whole packets.
    #[test]
    fn whole_packets_read_as_etherparse_reads_them(
        payload in proptest::collection::vec(any::<u8>(), 0..80),
        ports: (u16, u16),
        ttl: u8,
    ) {
        let mut packet = Vec::new();
        PacketBuilder::ipv6([3; 16], [4; 16], ttl)
            .udp(ports.0, ports.1)
            .write(&mut packet, &payload)
            .unwrap();
        let decoded = decode(&Rules::shipped(), SIX, &packet, packet.len()).unwrap();
        let lax = etherparse::LaxSlicedPacket::from_ip(&packet).unwrap();
        let Some(etherparse::TransportSlice::Udp(header)) = lax.transport else {
            panic!("etherparse finds no UDP");
        };
        let port = match decoded.cell.class() {
            Class::Backscatter => header.source_port(),
            _ => header.destination_port(),
        };
        prop_assert_eq!(decoded.cell.port(), Some(port));
        prop_assert_eq!(decoded.source_port, Some(header.source_port()));
        prop_assert_eq!(decoded.ttl, ttl);
        prop_assert_eq!(decoded.bytes as usize, packet.len());
        prop_assert!(decoded.errors.is_empty());
    }
}
