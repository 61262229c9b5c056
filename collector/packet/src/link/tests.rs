//! Tests of the way from a frame to its IP header.

use noctule_abi::{MAX_MPLS_LABELS, MAX_VLAN_TAGS};

use super::*;

fn ethernet(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 1]);
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

#[test]
fn tags_are_skipped_up_to_the_limit() {
    for tags in 0..=MAX_VLAN_TAGS + 2 {
        let frame = ethernet(&vec![0x8100; tags], 0x0800, &[0x45]);
        let expected = (tags <= MAX_VLAN_TAGS).then_some(Network::Ipv4 {
            offset: 14 + 4 * tags,
        });
        assert_eq!(network(LinkType::Ethernet, &frame), expected, "{tags} tags");
    }
}

#[test]
fn pppoe_sessions_are_opened() {
    let session = |head: [u8; 2], protocol: u16, first: u8| {
        let mut payload = [head[0], head[1], 0, 9, 0, 30].to_vec();
        payload.extend(protocol.to_be_bytes());
        payload.push(first);
        network(LinkType::Ethernet, &ethernet(&[0x8100], 0x8864, &payload))
    };
    assert_eq!(
        session([0x11, 0], 0x21, 0x45),
        Some(Network::Ipv4 { offset: 26 })
    );
    assert_eq!(
        session([0x11, 0], 0x57, 0x60),
        Some(Network::Ipv6 { offset: 26 })
    );
    assert_eq!(session([0x11, 0], 0x57, 0x45), None, "the nibble disagrees");
    assert_eq!(session([0x11, 0], 0xc021, 0x45), None, "link control");
    assert_eq!(session([0x11, 7], 0x21, 0x45), None, "discovery");
}

#[test]
fn mpls_labels_are_skipped_up_to_the_limit() {
    for labels in 1..=10 {
        let mut payload = [0, 0, 0, 64].repeat(labels);
        payload[labels * 4 - 2] = 1;
        payload.push(0x45);
        let expected = (labels <= MAX_MPLS_LABELS).then_some(Network::Ipv4 {
            offset: 14 + 4 * labels,
        });
        for ethertype in [0x8847, 0x8848] {
            let frame = ethernet(&[], ethertype, &payload);
            assert_eq!(
                network(LinkType::Ethernet, &frame),
                expected,
                "{labels} labels"
            );
        }
    }
    let bottomless = ethernet(&[], 0x8847, &[0; 9]);
    assert_eq!(network(LinkType::Ethernet, &bottomless), None);
}

#[test]
fn the_version_nibble_must_agree_with_the_ethertype() {
    assert_eq!(
        network(LinkType::Ethernet, &ethernet(&[], 0x0800, &[0x60])),
        None
    );
    assert_eq!(
        network(LinkType::Ethernet, &ethernet(&[], 0x86dd, &[0x60])),
        Some(Network::Ipv6 { offset: 14 })
    );
    assert_eq!(
        network(LinkType::Ethernet, &ethernet(&[], 0x0806, &[0x45])),
        None
    );
}

#[test]
fn every_link_type_finds_its_header() {
    let mut sll = vec![0; 14];
    sll.extend([0x08, 0x00, 0x45]);
    assert_eq!(
        network(LinkType::LinuxSll, &sll),
        Some(Network::Ipv4 { offset: 16 })
    );
    let mut sll2 = vec![0x86, 0xdd];
    sll2.resize(20, 0);
    sll2.push(0x60);
    assert_eq!(
        network(LinkType::LinuxSll2, &sll2),
        Some(Network::Ipv6 { offset: 20 })
    );
    for family in [[2, 0, 0, 0], [0, 0, 0, 2]] {
        let frame = [&family[..], &[0x45]].concat();
        assert_eq!(
            network(LinkType::BsdLoopback, &frame),
            Some(Network::Ipv4 { offset: 4 })
        );
    }
    let frame = [30, 0, 0, 0, 0x60];
    assert_eq!(
        network(LinkType::BsdLoopback, &frame),
        Some(Network::Ipv6 { offset: 4 })
    );
    assert_eq!(
        network(LinkType::RawIp, &[0x45]),
        Some(Network::Ipv4 { offset: 0 })
    );
    assert_eq!(network(LinkType::RawIp, &[]), None);
}

#[test]
fn a_frame_cut_anywhere_in_its_link_header_is_not_ip() {
    let frame = ethernet(&[0x88a8, 0x8100], 0x0800, &[0x45]);
    for cut in 0..frame.len() {
        assert_eq!(
            network(LinkType::Ethernet, &frame[..cut]),
            None,
            "cut at {cut}"
        );
    }
}
