//! The XDP program and `Darknet::destination` decide alike on frames with every kind of header
//! between Ethernet and IP, in any order, cut anywhere and with wrong octets; and they agree on what
//! a frame is that cannot be read.

use noctule_abi::Verdicts;
use noctule_packet::{
    Unparsed,
    darknet::{Darknet, Destination},
    link::{InnerEthernet, LinkOptions, LinkType, network},
    tunnel::TunnelKind,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    AttachMode, Unserved,
    program::OBJECT,
    tunnel_tests,
    verdict_tests::{Expected, action, frame, load, overwrite, skipped},
};

/// Frames of all options together; each costs one system call.
const FRAMES: usize = 30_000;
/// EtherTypes that the runs configure as those of tags.
const OUTER_TAGS: [u32; 2] = [0x8200, 0x9300];
/// What announces a tag, configured or not.
const TAGS: [u16; 12] = [
    0x8100, 0x8100, 0x88a8, 0x9100, 0x9200, 0x8200, 0x9300, 0x8926, 0x893f, 0x8988, 0x8988, 0x88e7,
];

/// Every set of options, without tunnels and with them.
fn darknets() -> Vec<Darknet> {
    let inner: [&[InnerEthernet]; 4] = [
        &[],
        &[InnerEthernet::Pbb],
        &[InnerEthernet::Eompls],
        &InnerEthernet::ALL,
    ];
    let tags: [&[u32]; 2] = [&[], &OUTER_TAGS];
    let kinds: [&[TunnelKind]; 2] = [&[], &TunnelKind::ALL];
    let mut darknets = Vec::new();
    for inner in inner {
        for tags in tags {
            for kinds in kinds {
                let options = LinkOptions::new(tags, inner).unwrap();
                darknets.push(tunnel_tests::darknet(kinds, 4789).with_link_options(options));
            }
        }
    }
    darknets
}

/// The octets of a frame from an EtherType on: headers, then a datagram or something else.
fn behind_addresses(random: &mut ChaCha8Rng, depth: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    // What `frame` makes has an EtherType behind its tags and labels already.
    let mut inner = frame(random).split_off(12);
    let headers = [0, 1, 1, 2, 3, 4, 5, 6][random.random_range(0..8)];
    for _ in 0..headers {
        match random.random_range(0..8) {
            0 | 1 => octets.extend(snap(random)),
            2 if depth == 0 => {
                labels(random, &mut octets);
                octets.extend(addresses(random));
            }
            _ => octets.extend(tag(random)),
        }
    }
    if random.random_ratio(1, 8) {
        // An LLC frame of another kind, or a type that is not read.
        let dsap = [0x42, 0xaa, 0xfe, random.random()][random.random_range(0..4)];
        inner = vec![0, 38, dsap, dsap, 3];
        inner.resize(60, 0);
    } else if random.random_ratio(1, 10) {
        overwrite(&mut inner, &random.random::<[u8; 2]>());
    }
    octets.extend(inner);
    octets
}

/// Two addresses of Ethernet; the first often begins as IP or a control word does.
fn addresses(random: &mut ChaCha8Rng) -> [u8; 12] {
    let mut addresses = random.random::<[u8; 12]>();
    let starts: [&[u8]; 5] = [&[0, 0], &[0, 0, 0x5e], &[0x45], &[0x60], &[]];
    overwrite(&mut addresses, starts[random.random_range(0..5)]);
    addresses
}

/// An EtherType that announces a tag, and the tag without the next EtherType.
fn tag(random: &mut ChaCha8Rng) -> Vec<u8> {
    let ethertype = TAGS[random.random_range(0..TAGS.len())];
    let mut octets = ethertype.to_be_bytes().to_vec();
    let bytes = match ethertype {
        0x8926 => 4,
        0x893f => 6,
        0x8988 => [4, 6, 6][random.random_range(0..3)],
        0x88e7 => 16,
        _ => 2,
    };
    octets.extend((0..bytes).map(|_| random.random::<u8>()));
    if ethertype == 0x8988 && random.random_ratio(1, 4) {
        // The time's last octets look like an EtherType.
        let at = octets.len() - 2;
        octets[at..].copy_from_slice(&[8, 0]);
    }
    octets
}

/// A length, LLC and SNAP.
fn snap(random: &mut ChaCha8Rng) -> Vec<u8> {
    let length = random.random_range(0..=1536u16);
    let mut octets = length.to_be_bytes().to_vec();
    let organisation = [0, 0, 0xf8, 0x0c][random.random_range(0..4)];
    octets.extend([0xaa, 0xaa, 3, 0, 0, organisation]);
    octets
}

/// MPLS labels, and sometimes a control word.
fn labels(random: &mut ChaCha8Rng, octets: &mut Vec<u8>) {
    super::verdict_tests::mpls(random, octets);
    match random.random_range(0..4) {
        0 => octets.extend([0; 4]),
        1 => octets.extend([0, 0, random.random(), random.random()]),
        _ => {}
    }
}

/// A frame; in one of three it is inside a mirror's or another tunnel.
fn layered(random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut frame = addresses(random).to_vec();
    frame.extend(behind_addresses(random, 0));
    if random.random_ratio(1, 3) {
        let mut outer = tunnel_tests::tunnel_frame(random);
        // The octets of an Ethernet frame in a tunnel, if there is one, are exchanged for others.
        if let Some(at) = outer.windows(4).position(|part| part == [0x10, 1, 0, 1]) {
            outer.truncate(at + 8);
            outer.extend(addresses(random));
            outer.extend(behind_addresses(random, 1));
            frame = outer;
        }
    }
    if random.random_ratio(1, 4) {
        frame.truncate(random.random_range(14..=frame.len()));
    }
    if random.random_ratio(1, 6) {
        let at = random.random_range(12..frame.len());
        frame[at] = random.random();
    }
    frame.truncate(3_000);
    frame
}

#[test]
fn the_kernel_reads_every_kind_of_header_like_user_space() {
    if skipped("the_kernel_reads_every_kind_of_header_like_user_space") {
        return;
    }
    let mut random = ChaCha8Rng::seed_from_u64(0x6c61_7965_7273);
    let mut met = Verdicts::default();
    let mut rarer = 0;
    let mut kinds = std::collections::BTreeMap::<&str, u64>::new();
    let darknets = darknets();
    for darknet in &darknets {
        let mut program = load(OBJECT, darknet, Unserved::Drop).unwrap();
        program.load_program(AttachMode::Generic.program()).unwrap();
        let info = program.xdp("noctule").unwrap().info().unwrap();
        if let Some(steps) = info.verified_instruction_count() {
            assert!(
                steps < 500_000,
                "the verifier's limit is a million: {steps}, {:?} {:?}",
                darknet.link_options(),
                darknet.tunnels()
            );
        }
        let what = format!("{:?}", darknet.link_options());
        let mut expected = Expected::default();
        for _ in 0..FRAMES / darknets.len() {
            let frame = layered(&mut random);
            let wanted = expected.frame(darknet, Unserved::Drop, &frame);
            let found = action(&mut program, &frame);
            assert_eq!(found, wanted, "{what}: {frame:02x?}");
            let destination = darknet.destination(LinkType::Ethernet, &frame);
            if let Destination::Dark(found) = destination
                && network(LinkType::Ethernet, &frame) != Some(found)
            {
                rarer += 1;
            }
        }
        expected.assert_found(&program, &what);
        for (what, tally) in &expected.unparsed {
            *kinds.entry(what.kind()).or_default() += tally.packets;
        }
        let expected = expected.verdicts;
        met.unserved_dropped.packets += expected.unserved_dropped.packets;
        met.passed.packets += expected.passed.packets;
        met.not_parsed.packets += expected.not_parsed.packets;
    }
    // The test is useful only if each outcome is frequent, and what needs an option, too.
    let outcomes = [met.unserved_dropped, met.passed, met.not_parsed];
    assert!(
        outcomes.iter().all(|tally| tally.packets > 2_000),
        "{met:?}"
    );
    assert!(rarer > 200, "{rarer} dark frames needed an option");
    let all = [
        Unparsed::Cut,
        Unparsed::EtherType(0),
        Unparsed::Llc(0),
        Unparsed::IpVersion(0),
        Unparsed::MplsPayload(0),
        Unparsed::Tunnel(0),
    ];
    for kind in all.map(Unparsed::kind) {
        assert!(
            kinds.get(kind).is_some_and(|&frames| frames > 30),
            "{kind}: {kinds:?}"
        );
    }
}
