//! Two generations of prefixes, filled in turn: the list that was flipped to is always in force.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use noctule_packet::darknet::Darknet;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    AttachMode, Trial, Unserved,
    program::OBJECT,
    verdict_tests::{Expected, XDP_DROP, darknets, load, skipped},
};

/// 1,000 IPv4 and 200 IPv6 prefixes of all lengths, many of them inside others.
fn many(random: &mut ChaCha8Rng) -> Darknet {
    let (mut includes, mut excludes) = (BTreeSet::new(), BTreeSet::new());
    includes.insert("10.0.0.0/8".parse::<IpNet>().unwrap());
    includes.insert("2001:db8::/32".parse::<IpNet>().unwrap());
    while includes.len() + excludes.len() < 1_202 {
        let net = if includes.len() + excludes.len() < 1_002 {
            let address = Ipv4Addr::from(0x0a00_0000 | random.random::<u32>() & 0x0003_ffff);
            IpNet::new(address.into(), random.random_range(12..=32))
        } else {
            let near = 0x2001_0db8 << 96 | u128::from(random.random::<u16>()) << 80;
            let address = Ipv6Addr::from(near | random.random_range(0..4));
            IpNet::new(address.into(), random.random_range(33..=128))
        };
        let net = net.unwrap().trunc();
        let (one, other) = if random.random() {
            (&mut includes, &excludes)
        } else {
            (&mut excludes, &includes)
        };
        if !other.contains(&net) {
            one.insert(net);
        }
    }
    let lists = [includes, excludes].map(|list| list.into_iter().collect::<Vec<_>>());
    Darknet::new(&lists[0], &lists[1]).unwrap()
}

/// A frame whose destination lies at an edge of this darknet, on either side, with random octets
/// behind its IP header.
fn edge_frame(random: &mut ChaCha8Rng, darknet: &Darknet) -> Vec<u8> {
    let rule = darknet.rules()[random.random_range(0..darknet.rules().len())];
    let step = random.random_range(0..3u32);
    let mut frame = vec![2; 12];
    match rule.prefix {
        IpNet::V4(net) => {
            let edge = [net.network(), net.broadcast()][random.random_range(0..2)];
            let address = edge.to_bits().wrapping_add(step).wrapping_sub(1);
            frame.extend([
                0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1,
            ]);
            frame.extend(address.to_be_bytes());
        }
        IpNet::V6(net) => {
            let edge = [net.network(), net.broadcast()][random.random_range(0..2)];
            let address = (edge.to_bits().wrapping_add(step.into())).wrapping_sub(1);
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 17, 64]);
            frame.extend([1; 16]);
            frame.extend(address.to_be_bytes());
        }
    }
    frame.extend(random.random::<[u8; 20]>());
    frame
}

/// Lists take turns in the two generations, and after each change frames near the edges of each
/// list get the right verdict, from the programs of both modes.
#[test]
fn a_flip_changes_the_list_and_nothing_else() {
    if skipped("a_flip_changes_the_list_and_nothing_else") {
        return;
    }
    let mut random = ChaCha8Rng::seed_from_u64(0x666c_6970);
    let mut lists = darknets();
    lists.push(many(&mut random));
    lists.push(many(&mut random));
    let mut program = load(OBJECT, &lists[0], Unserved::Drop).unwrap();
    let mut expected = Expected::default();
    let mut dark = [0; 2];
    for turn in 0..3 * lists.len() {
        let next = &lists[turn % lists.len()];
        program.prepare(next).unwrap();
        // The list in force has not changed yet.
        let before = &lists[turn.saturating_sub(1) % lists.len()];
        for (at, darknet) in [before, next].into_iter().enumerate() {
            if at == 1 {
                program.flip().unwrap();
            }
            for number in 0..500 {
                let frame = edge_frame(&mut random, [next, before][number % 2]);
                let wanted = expected.frame(darknet, Unserved::Drop, &frame);
                let mode = [AttachMode::Native, AttachMode::Generic][number / 2 % 2];
                let found = program.try_frame(Trial::Mode(mode), &frame, 1).unwrap();
                assert_eq!(found.action, wanted, "turn {turn}: {frame:02x?}");
                dark[usize::from(wanted == XDP_DROP)] += 1;
            }
        }
    }
    expected.assert_found(&program, "all lists");
    assert!(dark.iter().all(|&frames| frames > 2_000), "{dark:?}");
}
