//! The XDP program and `Darknet::destination` decide alike on tunnel packets, with random outer,
//! tunnel and inner headers, in frames that are cut anywhere.

use noctule_abi::Verdicts;
use noctule_packet::{
    darknet::{Darknet, Destination},
    link::{LinkType, Network, network},
    tunnel::{TunnelKind, Tunnels},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    AttachMode, Unserved,
    program::OBJECT,
    verdict_tests::{Expected, action, frame, load, mpls, overwrite, skipped},
};

/// Frames of each set of tunnels; each costs one system call.
const FRAMES: usize = 600;
/// Addresses at which tunnels end.
const ENDPOINTS: [&str; 3] = ["203.0.113.1", "203.0.113.129", "2001:db8:77::1"];
/// VXLAN's port in half of the runs; frames go to this and to the standard port.
const OTHER_PORT: u16 = 8472;

/// The darknet of all runs, with these kinds of tunnel.
pub(super) fn darknet(kinds: &[TunnelKind], vxlan_port: u16) -> Darknet {
    let includes = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "203.0.113.0/25"];
    let excludes = ["10.1.0.0/16", "2001:db8:77::/64", "203.0.113.1"];
    let darknet = Darknet::parse(&includes, &excludes).unwrap();
    if kinds.is_empty() {
        return darknet;
    }
    let endpoints = ENDPOINTS.map(|text| text.parse().unwrap());
    let tunnels = Tunnels::new(kinds, vxlan_port, &endpoints).unwrap();
    darknet.with_tunnels(tunnels).unwrap()
}

/// Every set of kinds, the empty one too.
fn sets() -> impl Iterator<Item = Vec<TunnelKind>> {
    (0..1 << TunnelKind::ALL.len()).map(|bits| {
        let kinds = TunnelKind::ALL.into_iter().enumerate();
        let in_set = kinds.filter(|(number, _)| bits >> number & 1 == 1);
        in_set.map(|(_, kind)| kind).collect()
    })
}

/// A tunnel packet that is often nearly right, in an Ethernet frame that is cut in one of four.
pub(super) fn tunnel_frame(random: &mut ChaCha8Rng) -> Vec<u8> {
    let (six, datagram) = outer(random, 0);
    let ethertype: u16 = if six { 0x86dd } else { 0x0800 };
    let mut frame: Vec<u8> = (0..12).map(|_| random.random()).collect();
    for _ in 0..[0, 0, 0, 1, 4][random.random_range(0..5)] {
        frame.extend([0x81, 0x00, 0, 1]);
    }
    if random.random_ratio(1, 8) {
        mpls(random, &mut frame);
    } else {
        frame.extend(ethertype.to_be_bytes());
    }
    frame.extend(datagram);
    if random.random_ratio(1, 4) {
        frame.truncate(random.random_range(14..=frame.len()));
    }
    // The kernel's test run puts more than a page into fragments.
    frame.truncate(3_000);
    frame
}

/// One of several values with equal chances, or a random value in one of `odds`.
fn mostly(random: &mut ChaCha8Rng, odds: u32, values: &[u8]) -> u8 {
    if random.random_ratio(1, odds) {
        random.random()
    } else {
        values[random.random_range(0..values.len())]
    }
}

/// An IP datagram with a tunnel inside, and whether it is IPv6.
fn outer(random: &mut ChaCha8Rng, depth: u32) -> (bool, Vec<u8>) {
    let protocol = mostly(random, 24, &[4, 41, 47, 47, 47, 17, 17, 17, 17]);
    let inside = inside(random, protocol, depth);
    if random.random_ratio(1, 3) {
        let mut datagram = vec![0x60; 8];
        datagram.extend((0..16).map(|_| random.random::<u8>()));
        let near: [&[u8]; 3] = [&[0x20, 1, 0xd, 0xb8, 0, 0x77], &[0x20, 1, 0xd, 0xb8], &[]];
        let mut destination = [0; 16];
        overwrite(
            &mut destination,
            near[[0, 0, 0, 0, 1, 2][random.random_range(0..6)]],
        );
        destination[15] = 1;
        datagram.extend(destination);
        let mut next = protocol;
        if random.random_ratio(1, 3) {
            next = mostly(random, 12, &[60, 60, 60, 60, 60, 60, 0, 43, 44, 51]);
            let units = [0, 0, 0, 1, 2, 250][random.random_range(0..6)];
            let behind = mostly(random, 8, &[protocol]);
            datagram.extend([behind, units]);
            datagram.resize(datagram.len() + 6 + 8 * usize::from(units), 0);
        }
        datagram[6] = next;
        datagram.extend(inside);
        return (true, datagram);
    }
    let words = [5, 5, 5, 5, 6, 15, random.random_range(0..5)][random.random_range(0..7)];
    let mut datagram = vec![0x40 | words, 0, 0, 0, 0, 0];
    let fragment: u16 = match random.random_range(0..16) {
        0 => 0x2000,
        1 => random.random(),
        2 => random.random_range(1..0x2000),
        3..9 => 0x4000,
        _ => 0,
    };
    datagram.extend(fragment.to_be_bytes());
    datagram.extend([64, protocol, 0, 0]);
    datagram.extend(random.random::<[u8; 4]>());
    let last = mostly(random, 12, &[1, 1, 129, 129, 129, 2]);
    datagram.extend([203, 0, 113, last]);
    datagram.resize(usize::from(words.max(5)) * 4, 1);
    datagram.extend(inside);
    (false, datagram)
}

/// The octets behind the outer header.
fn inside(random: &mut ChaCha8Rng, protocol: u8, depth: u32) -> Vec<u8> {
    match protocol {
        17 => match random.random_range(0..3) {
            0 => vxlan(random, depth),
            1 => geneve(random, depth),
            _ => gtp(random, depth),
        },
        47 => gre(random, depth),
        4 | 41 => {
            let claimed = [protocol, 4][usize::from(random.random_ratio(1, 12))];
            ip(random, claimed, depth)
        }
        _ => frame(random),
    }
}

/// An IP datagram of the version that a protocol number of IP in IP means; in one of four cases a
/// tunnel packet again.
fn ip(random: &mut ChaCha8Rng, protocol: u8, depth: u32) -> Vec<u8> {
    loop {
        let (six, datagram) = if depth == 0 && random.random_ratio(1, 4) {
            outer(random, 1)
        } else {
            let frame = frame(random);
            match network(LinkType::Ethernet, &frame) {
                Some(Network::Ipv4 { offset }) => (false, frame[offset..].to_vec()),
                Some(Network::Ipv6 { offset }) => (true, frame[offset..].to_vec()),
                None => continue,
            }
        };
        if six == (protocol == 41) {
            return datagram;
        }
    }
}

/// An Ethernet frame; in one of four it holds a tunnel packet again.
fn ethernet(random: &mut ChaCha8Rng, depth: u32) -> Vec<u8> {
    if depth > 0 || !random.random_ratio(1, 4) {
        return frame(random);
    }
    let (six, datagram) = outer(random, 1);
    let ethertype: u16 = if six { 0x86dd } else { 0x0800 };
    [&[2; 12][..], &ethertype.to_be_bytes(), &datagram].concat()
}

/// A UDP header to one of these ports.
fn udp(random: &mut ChaCha8Rng, ports: &[u16]) -> Vec<u8> {
    let mut octets = random.random::<[u8; 2]>().to_vec();
    octets.extend(ports[random.random_range(0..ports.len())].to_be_bytes());
    octets.extend([0, 99, 0, 0]);
    octets
}

/// Geneve with options, sometimes of another version, a control message or of another protocol.
fn geneve(random: &mut ChaCha8Rng, depth: u32) -> Vec<u8> {
    let mut octets = udp(random, &[6081, 6081, 6081, 6081, 4789]);
    let words = mostly(random, 12, &[0, 0, 1, 2, 63]);
    octets.extend([words, mostly(random, 8, &[0, 0x40, 0, 0x80])]);
    let carried = [0x6558u16, 0x6558, 0x0800, 0x86dd, 0x8847][random.random_range(0..5)];
    octets.extend(carried.to_be_bytes());
    octets.extend([0, 0, 7, 0]);
    octets.resize(octets.len() + 4 * usize::from(words & 0x3f), 0xee);
    octets.extend(match carried {
        0x0800 => ip(random, 4, depth),
        0x86dd => ip(random, 41, depth),
        _ => ethernet(random, depth),
    });
    octets
}

/// GTP-U with optional fields and up to six extension headers.
fn gtp(random: &mut ChaCha8Rng, depth: u32) -> Vec<u8> {
    let mut octets = udp(random, &[2152, 2152, 2152, 2152, 2123]);
    let flags = mostly(random, 10, &[0x30, 0x30, 0x32, 0x34, 0x34, 0x37, 0x36]);
    octets.extend([flags, mostly(random, 8, &[255, 255, 255, 255, 1, 26])]);
    octets.extend([0, 40, 0, 0, 0, 9]);
    if flags & 7 != 0 {
        let extensions = [0, 1, 1, 2, 4, 6][random.random_range(0..6)];
        octets.extend([0, 1, 0, 0x85 * u8::from(extensions > 0)]);
        for left in (0..extensions).rev() {
            let units = mostly(random, 16, &[1, 1, 2]);
            let mut header = vec![0; (4 * usize::from(units)).max(1)];
            header[0] = units;
            if let Some(last) = header.last_mut().filter(|_| units > 0) {
                *last = 0x85 * u8::from(left > 0);
            }
            octets.extend(header);
        }
    }
    let protocol = [4, 4, 41][random.random_range(0..3)];
    octets.extend(ip(random, protocol, depth));
    octets
}

fn vxlan(random: &mut ChaCha8Rng, depth: u32) -> Vec<u8> {
    let mut octets = udp(random, &[4789, 4789, OTHER_PORT, OTHER_PORT, 53]);
    octets.extend([mostly(random, 8, &[0x08]), 0, 0, 0, 0, 0, 7, 0]);
    octets.extend(ethernet(random, depth));
    octets
}

fn gre(random: &mut ChaCha8Rng, depth: u32) -> Vec<u8> {
    let kinds = [
        0x0800u16, 0x86dd, 0x6558, 0x88be, 0x88be, 0x22eb, 0x22eb, 0, 0x8847,
    ];
    let carried = if random.random_ratio(1, 16) {
        random.random()
    } else {
        kinds[random.random_range(0..kinds.len())]
    };
    let flags = mostly(random, 12, &[0, 0x10, 0x20, 0x80, 0x30, 0xa0, 0xb0]);
    let version = mostly(random, 12, &[0, 0, 0, 0x80]);
    let mut octets = vec![flags, version];
    octets.extend(carried.to_be_bytes());
    let fields = [0x80, 0x20, 0x10].map(|bit| usize::from(flags & bit != 0));
    octets.extend((0..4 * fields.iter().sum::<usize>()).map(|_| random.random::<u8>()));
    match carried {
        0x0800 => octets.extend(ip(random, 4, depth)),
        0x86dd => octets.extend(ip(random, 41, depth)),
        0x88be => {
            if flags & 0x10 != 0 {
                octets.extend([0x10, 1, 0, 1, 0, 0, 0, 0]);
            }
            octets.extend(ethernet(random, depth));
        }
        0x22eb => {
            octets.extend([0x20, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
            let frame_type = mostly(random, 8, &[0, 0x80]);
            let last = mostly(random, 8, &[0, 1]);
            octets.extend([frame_type, last]);
            octets.resize(octets.len() + 8 * usize::from(last & 1), 0xee);
            octets.extend(ethernet(random, depth));
        }
        _ => octets.extend(ethernet(random, depth)),
    }
    octets
}

#[test]
fn the_kernel_opens_tunnels_like_user_space() {
    if skipped("the_kernel_opens_tunnels_like_user_space") {
        return;
    }
    let mut random = ChaCha8Rng::seed_from_u64(0x7475_6e6e_656c);
    let mut met = Verdicts::default();
    let mut opened = [0; TunnelKind::ALL.len()];
    for (set, kinds) in sets().enumerate() {
        let port = if set % 2 == 0 { 4789 } else { OTHER_PORT };
        let darknet = darknet(&kinds, port);
        let mut program = load(OBJECT, &darknet, Unserved::Drop).unwrap();
        // The verifier checks the program of each mode separately.
        let generic = AttachMode::Generic.program();
        program.load_program(generic).unwrap();
        let info = program.xdp("noctule").unwrap().info().unwrap();
        // Kernels before 5.16 do not report the number.
        if let Some(steps) = info.verified_instruction_count() {
            assert!(
                steps < 200_000,
                "the verifier's limit is a million: {steps}"
            );
        }
        let mut expected = Expected::default();
        // Of one kind alone more, since it is counted how often it is opened.
        let frames = if kinds.len() == 1 { 8 * FRAMES } else { FRAMES };
        for _ in 0..frames {
            let frame = tunnel_frame(&mut random);
            let wanted = expected.frame(&darknet, Unserved::Drop, &frame);
            let found = action(&mut program, &frame);
            assert_eq!(found, wanted, "{kinds:?}, port {port}: {frame:02x?}");
            let inner = darknet.destination(LinkType::Ethernet, &frame);
            if let Destination::Dark(found) = inner
                && network(LinkType::Ethernet, &frame) != Some(found)
                && let [kind] = kinds[..]
            {
                opened[kind as usize] += 1;
            }
        }
        expected.assert_found(&program, &format!("{kinds:?}"));
        let expected = expected.verdicts;
        met.unserved_dropped.packets += expected.unserved_dropped.packets;
        met.passed.packets += expected.passed.packets;
        met.not_parsed.packets += expected.not_parsed.packets;
    }
    // The test is useful only if each outcome is frequent, and each kind of tunnel is opened.
    let outcomes = [met.unserved_dropped, met.passed, met.not_parsed];
    let least = FRAMES as u64;
    assert!(
        outcomes.iter().all(|tally| tally.packets > least),
        "{met:?}"
    );
    assert!(
        opened.iter().all(|&frames| frames > 20),
        "opened: {opened:?}"
    );
}
