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

/// What an Ethernet frame with these octets from its EtherType on is.
fn found(options: &LinkOptions, behind: &[&[u8]]) -> Result<Network, Unparsed> {
    let frame = [&[2; 12][..], &behind.concat()].concat();
    find(options, LinkType::Ethernet, &frame)
}

fn options(tags: &[u32], inner: &[InnerEthernet]) -> LinkOptions {
    LinkOptions::new(tags, inner).unwrap()
}

#[test]
fn tags_of_every_kind_count_together() {
    let default = LinkOptions::DEFAULT;
    let kinds: [&[u8]; 5] = [
        &[0x92, 0, 0, 1],
        &[0x89, 0x26, 0, 0, 0, 1],
        &[0x89, 0x3f, 0, 0, 0, 1, 0, 0],
        &[0x89, 0x88, 0, 0, 0, 1, 0, 0],
        &[0x88, 0xa8, 0, 1],
    ];
    let snap: &[u8] = &[0, 40, 0xaa, 0xaa, 3, 0, 0, 0];
    let ip: &[u8] = &[8, 0, 0x45];
    for first in kinds {
        for second in kinds {
            let offset = 14 + 2 * (first.len() + second.len());
            let four = [first, second, first, second];
            let wanted = Ok(Network::Ipv4 { offset });
            assert_eq!(found(&default, &[&four[..], &[ip]].concat()), wanted);
            // SNAP is no tag, wherever it is; a second one is not read.
            for place in 0..=4 {
                let mut headers = four.to_vec();
                headers.insert(place, snap);
                headers.push(ip);
                let wanted = Ok(Network::Ipv4 { offset: offset + 8 });
                assert_eq!(found(&default, &headers), wanted, "{headers:02x?}");
                headers.insert(place, snap);
                assert_eq!(found(&default, &headers), Err(Unparsed::Llc(0xaa)));
            }
            let fifth = Unparsed::EtherType(u16::from_be_bytes([first[0], first[1]]));
            let five = [first, second, first, second, first, ip];
            assert_eq!(found(&default, &five), Err(fifth));
        }
    }
}

#[test]
fn a_time_has_32_bits_if_what_follows_says_so() {
    let at = |octets: &[u8]| found(&LinkOptions::DEFAULT, &[&[0x89, 0x88], octets]);
    let ip = |offset| Ok(Network::Ipv4 { offset });
    assert_eq!(at(&[1, 2, 3, 4, 8, 0, 0x45, 0]), ip(20));
    assert_eq!(at(&[1, 2, 3, 4, 5, 6, 8, 0, 0x45]), ip(22));
    // The low 16 bits of 48 are the number of an EtherType.
    assert_eq!(at(&[1, 2, 3, 4, 8, 0, 8, 0, 0x45]), ip(22));
    assert_eq!(at(&[1, 2, 3, 4, 0x81, 0, 0, 5, 8, 0, 0x45]), ip(24));
    assert_eq!(
        at(&[1, 2, 3, 4, 5, 6, 8, 6, 0x45]),
        Err(Unparsed::EtherType(0x0806))
    );
}

#[test]
fn settings_read_what_is_named_without_them() {
    let [pbb, eompls] = InnerEthernet::ALL.map(|kind| options(&[], &[kind]));
    let default = LinkOptions::DEFAULT;
    let tag: &[&[u8]] = &[&[0x82, 0, 0, 1, 8, 0, 0x45]];
    assert_eq!(found(&default, tag), Err(Unparsed::EtherType(0x8200)));
    let ip = |offset| Ok(Network::Ipv4 { offset });
    assert_eq!(found(&options(&[0x8200], &[]), tag), ip(18));
    let customer: &[&[u8]] = &[
        &[0x88, 0xe7, 0, 0, 0, 9],
        &[4; 12],
        &[0x81, 0, 0, 1, 8, 0, 0x45],
    ];
    assert_eq!(found(&default, customer), Err(Unparsed::EtherType(0x88e7)));
    assert_eq!(found(&eompls, customer), Err(Unparsed::EtherType(0x88e7)));
    assert_eq!(found(&pbb, customer), ip(36));
    let twice: &[&[u8]] = &[
        &[0x88, 0xe7],
        &[0; 16],
        &[0x88, 0xe7],
        &[0; 16],
        &[8, 0, 0x45],
    ];
    assert_eq!(found(&pbb, twice), Err(Unparsed::EtherType(0x88e7)));

    let label: &[u8] = &[0x88, 0x47, 0, 1, 0x31, 64];
    let arp: &[u8] = &[8, 6, 0, 1];
    for (address, nibble) in [(0x45u8, 4), (0x6a, 6), (0x00, 0), (0x02, 0), (0x1c, 1)] {
        let addresses = [address; 12];
        let frame: &[&[u8]] = &[label, &addresses, &[8, 0, 0x45]];
        assert_eq!(found(&eompls, frame), ip(32), "{address:02x}");
        let named = Err(Unparsed::MplsPayload(nibble));
        let wanted = match nibble {
            4 => ip(18),
            6 => Ok(Network::Ipv6 { offset: 18 }),
            _ => named,
        };
        assert_eq!(found(&default, frame), wanted, "{address:02x}");
        let controlled: &[&[u8]] = &[label, &[0, 0, 7, 7], &addresses, &[8, 0, 0x45]];
        assert_eq!(found(&eompls, controlled), ip(36), "{address:02x}");
        // What neither reading finds is named by the likelier one.
        let unread: &[&[u8]] = &[label, &[0, 0, 7, 7], &addresses, arp];
        assert_eq!(found(&eompls, unread), Err(Unparsed::EtherType(0x0806)));
    }
    let plain: &[&[u8]] = &[label, &[0x45; 20]];
    assert_eq!(found(&eompls, plain), ip(18));
}

#[test]
fn slots_and_kinds_are_each_others_inverse() {
    for slot in (0..=0x2ff).chain(1501..=u16::MAX) {
        let what = Unparsed::from_slot(slot);
        if what != Unparsed::EtherType(slot) || slot > 1500 {
            assert_eq!(what.slot(), Some(slot), "{what:?}");
        }
        assert!(!what.name().is_empty() && !what.kind().is_empty());
    }
    assert_eq!(Unparsed::LinkType(1).slot(), None);
}

proptest::proptest! {
    /// Any octets, with any options: nothing panics, and what is found is in the frame.
    #[test]
    fn nothing_in_a_frame_panics(
        number in proptest::sample::select(vec![1u32, 9, 50, 51, 104, 113, 239, 276]),
        inner in 0usize..4,
        frame in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
    ) {
        let kinds: Vec<_> = (InnerEthernet::ALL.into_iter().enumerate())
            .filter_map(|(place, kind)| (inner >> place & 1 == 1).then_some(kind))
            .collect();
        let link = LinkType::from_number(number).unwrap();
        if let Ok(Network::Ipv4 { offset } | Network::Ipv6 { offset }) =
            find(&options(&[0x8200], &kinds), link, &frame)
        {
            proptest::prop_assert!(offset < frame.len());
        }
    }
}
