//! The XDP program and `Darknet::destination` decide alike on the same frames, and every frame is
//! in exactly one counter. BPF_PROG_TEST_RUN runs the program; it is not attached.

use std::{collections::BTreeMap, env, fs, io::Write as _};

use aya::{Ebpf, maps::Map};
use noctule_abi::{
    Tally, Verdicts,
    ledger::{TCP_PORTLESS, UDP_PORTLESS, UDP_PORTS, slot},
};
use noctule_packet::{
    Rules, Unparsed,
    darknet::{Darknet, Destination},
    decode,
    link::{InnerEthernet, LinkOptions, LinkType},
    tunnel::TunnelKind,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    AttachMode, Interface, Trial, Unserved, XdpError, XdpProgram, privilege, program::OBJECT,
    tunnel_tests,
};

pub(super) const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// Frames of one run; each costs one system call.
const FRAMES: usize = 20_000;

/// True if the kernel would refuse what this test does; writes the line that says so past the test
/// harness, which keeps what a passing test prints.
pub(super) fn skipped(test: &str) -> bool {
    match privilege::check() {
        Ok(()) => false,
        Err(missing) => {
            let line = format!("SKIPPED {test}: {missing}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            true
        }
    }
}

pub(super) fn load(
    object: &[u8],
    darknet: &Darknet,
    unserved: Unserved,
) -> Result<XdpProgram, XdpError> {
    XdpProgram::load_object(object, &Interface::find("lo")?, 1, darknet, unserved)
}

pub(super) fn action(program: &mut XdpProgram, frame: &[u8]) -> u32 {
    let native = Trial::Mode(AttachMode::Native);
    program.try_frame(native, frame, 1).unwrap().action
}

/// Include and exclude prefixes of all lengths, nested and not, in both families.
pub(super) fn darknets() -> Vec<Darknet> {
    let all: [(&[&str], &[&str]); 4] = [
        (
            &[
                "10.0.0.0/8",
                "10.1.2.0/24",
                "192.0.2.7",
                "2001:db8::/32",
                "2001:db8:0:1::/64",
            ],
            &[
                "10.1.0.0/16",
                "10.1.2.128/25",
                "2001:db8::/48",
                "2001:db8:0:1::5",
            ],
        ),
        (&["0.0.0.0/0", "::/0"], &["128.0.0.0/1", "8000::/1"]),
        (&["10.0.0.0/9"], &[]),
        (&["2001:db8::/33"], &["2001:db8:1::/48"]),
    ];
    all.iter()
        .map(|(includes, excludes)| Darknet::parse(includes, excludes).unwrap())
        .collect()
}

/// A frame that is often nearly right: 0 to 6 tags, then often PPPoE or MPLS, IP of either version
/// or a wrong nibble, a destination near the prefixes' edges, cut anywhere from the Ethernet
/// header on.
///
/// The kernel's test run takes no frame shorter than an Ethernet header.
pub(super) fn frame(random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut frame: Vec<u8> = (0..12).map(|_| random.random()).collect();
    let tags = match random.random_range(0..10) {
        0..4 => 0,
        n => n - 3,
    };
    for _ in 0..tags {
        let types = [0x8100u16, 0x88a8, 0x9100, 0x9200];
        let kinds = if random.random_ratio(1, 10) { 4 } else { 3 };
        frame.extend(types[random.random_range(0..kinds)].to_be_bytes());
        frame.extend(random.random::<[u8; 2]>());
    }
    let six = random.random::<bool>();
    let ethertype = match random.random_range(0..12) {
        0 => 0x0806,
        1 => random.random(),
        2 => 0x86dd,
        3 => 0x0800,
        _ if six => 0x86dd,
        _ => 0x0800,
    };
    match random.random_range(0..8) {
        0 => pppoe(random, &mut frame, ethertype),
        1 => mpls(random, &mut frame),
        _ => frame.extend(u16::to_be_bytes(ethertype)),
    }
    let nibble = match random.random_range(0..10) {
        0 => random.random_range(0..16),
        _ if six => 6,
        _ => 4,
    };
    let ip = frame.len();
    let words = [5, random.random_range(0..16)][usize::from(random.random_ratio(1, 3))];
    frame.push(nibble << 4 | words);
    frame.extend((0..random.random_range(39..100)).map(|_| random.random::<u8>()));
    likely_ports(random, &mut frame[ip..], six);
    if six {
        let starts: [&[u8]; 5] = [
            &[0x20, 0x01, 0x0d, 0xb8],
            &[0x20, 0x01, 0x0d, 0xb8, 0, 0],
            &[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1],
            &[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5],
            &[0x20, 0x01, 0x0d, 0xb8, 0, 1],
        ];
        overwrite(&mut frame[ip + 24..], starts[random.random_range(0..5)]);
    } else {
        let starts: [&[u8]; 5] = [&[10], &[10, 1], &[10, 1, 2], &[192, 0, 2, 7], &[]];
        overwrite(&mut frame[ip + 16..], starts[random.random_range(0..5)]);
    }
    if random.random_ratio(1, 3) {
        frame.truncate(random.random_range(14..=frame.len()));
    }
    frame
}

/// Sets lengths, fragment and protocol of an IP header such that the datagram often has ports.
fn likely_ports(random: &mut ChaCha8Rng, header: &mut [u8], six: bool) {
    let length = match random.random_range(0..4) {
        0 => random.random_range(0..70u16),
        1 => random.random(),
        _ => 40,
    };
    let protocols = [6, 6, 17, 17, 1, 58, 0, 43, 44, 51, 60];
    let protocol = protocols[random.random_range(0..protocols.len())];
    if six {
        overwrite(&mut header[4..], &length.to_be_bytes());
        header[6] = protocol;
    } else {
        overwrite(&mut header[2..], &length.to_be_bytes());
        if !random.random_ratio(1, 4) {
            let flags = [0, 0x20, 0x40][random.random_range(0..3)];
            overwrite(&mut header[6..], &[flags, 0]);
        }
        header[9] = protocol;
    }
}

/// A PPPoE session header; sometimes its first octets or its protocol are wrong.
fn pppoe(random: &mut ChaCha8Rng, frame: &mut Vec<u8>, ethertype: u16) {
    let head = if random.random_ratio(1, 8) {
        0x12
    } else {
        0x11
    };
    let code = if random.random_ratio(1, 8) { 0xa7 } else { 0 };
    let protocol = match (random.random_range(0..8), ethertype) {
        (0, _) => random.random(),
        (_, 0x86dd) => 0x0057u16,
        _ => 0x0021,
    };
    frame.extend([0x88, 0x64, head, code, 0, 1, 0, 60]);
    frame.extend(protocol.to_be_bytes());
}

/// 1 to 10 MPLS labels; sometimes no label has the bit of the last.
pub(super) fn mpls(random: &mut ChaCha8Rng, frame: &mut Vec<u8>) {
    frame.extend([0x88, random.random_range(0x47..=0x48)]);
    let labels = random.random_range(1..=10);
    let bottom = !random.random_ratio(1, 8);
    for label in 1..=labels {
        let third = (random.random::<u8>() & !1) | u8::from(bottom && label == labels);
        frame.extend([random.random(), random.random(), third, 64]);
    }
}

pub(super) fn overwrite(at: &mut [u8], octets: &[u8]) {
    at[..octets.len()].copy_from_slice(octets);
}

/// The verdicts and slots that the program must count, by the user-space rules.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub verdicts: Verdicts,
    pub slots: BTreeMap<u32, Tally>,
    pub unparsed: BTreeMap<Unparsed, Tally>,
}

impl Expected {
    /// Adds this frame; returns the action that the program must take.
    pub fn frame(&mut self, darknet: &Darknet, unserved: Unserved, frame: &[u8]) -> u32 {
        if let Destination::Dark(found) = darknet.destination(LinkType::Ethernet, frame) {
            let packet = decode(&Rules::shipped(), found, frame, frame.len()).unwrap();
            let own = slot(packet.cell.protocol(), packet.cell.port());
            let tally = self.slots.entry(packet.ledger_slot.unwrap_or(own));
            let tally = tally.or_default();
            tally.packets += 1;
            tally.bytes += frame.len() as u64;
        }
        if let Some(what) = darknet.unparsed(LinkType::Ethernet, frame) {
            let tally = self.unparsed.entry(what).or_default();
            tally.packets += 1;
            tally.bytes += frame.len() as u64;
        }
        expect(&mut self.verdicts, darknet, unserved, frame)
    }

    /// Asserts that the program has counted exactly this on its first queue.
    pub fn assert_found(&self, program: &XdpProgram, what: &str) {
        assert_eq!(program.verdicts(0).unwrap(), self.verdicts, "{what}");
        let ledger = program.ledger_reader();
        let slots: BTreeMap<_, _> = ledger.queue(0).collect();
        assert_eq!(slots, self.slots, "{what}");
        let sum: u64 = ledger.packets().iter().sum();
        assert_eq!(sum, self.verdicts.matched(), "{what}");
        let unparsed: BTreeMap<_, _> = program.verdict_reader().unparsed(0).collect();
        assert_eq!(unparsed, self.unparsed, "{what}");
        let sum: u64 = unparsed.values().map(|tally| tally.packets).sum();
        assert_eq!(sum, self.verdicts.not_parsed.packets, "{what}");
    }
}

/// Adds a frame to the counters that the program must have, by the user-space rules.
fn expect(verdicts: &mut Verdicts, darknet: &Darknet, unserved: Unserved, frame: &[u8]) -> u32 {
    let (tally, action) = match (darknet.destination(LinkType::Ethernet, frame), unserved) {
        (Destination::Dark(_), Unserved::Pass) => (&mut verdicts.unserved_passed, XDP_PASS),
        (Destination::Dark(_), Unserved::Drop) => (&mut verdicts.unserved_dropped, XDP_DROP),
        (Destination::Passed, _) => (&mut verdicts.passed, XDP_PASS),
        (Destination::NotParsed, _) => (&mut verdicts.not_parsed, XDP_PASS),
    };
    tally.packets += 1;
    tally.bytes += frame.len() as u64;
    action
}

#[test]
fn the_kernel_decides_and_counts_like_user_space() {
    if skipped("the_kernel_decides_and_counts_like_user_space") {
        return;
    }
    let mut random = ChaCha8Rng::seed_from_u64(0x6e6f_6374_756c_6521);
    let mut total = Verdicts::default();
    let mut slots = [0; 5];
    for darknet in darknets() {
        for unserved in [Unserved::Drop, Unserved::Pass] {
            let mut program = load(OBJECT, &darknet, unserved).unwrap();
            let mut expected = Expected::default();
            for _ in 0..FRAMES / 8 {
                let frame = frame(&mut random);
                let action_expected = expected.frame(&darknet, unserved, &frame);
                assert_eq!(
                    action(&mut program, &frame),
                    action_expected,
                    "{frame:02x?}"
                );
            }
            expected.assert_found(&program, "one list");
            assert_eq!(program.verdicts(1).unwrap(), Verdicts::default());
            for (slot, tally) in expected.slots {
                slots[kind_of(slot)] += tally.packets;
            }
            let expected = expected.verdicts;
            total.unserved_dropped.packets += expected.unserved_dropped.packets;
            total.unserved_passed.packets += expected.unserved_passed.packets;
            total.passed.packets += expected.passed.packets;
            total.not_parsed.packets += expected.not_parsed.packets;
        }
    }
    // The test is useful only if each outcome is frequent.
    let least = FRAMES as u64 / 40;
    for (outcome, tally) in [
        ("dropped", total.unserved_dropped),
        ("passed unserved", total.unserved_passed),
        ("passed", total.passed),
        ("not parsed", total.not_parsed),
    ] {
        assert!(
            tally.packets > least,
            "only {} were {outcome}",
            tally.packets
        );
    }
    assert!(slots.iter().all(|&packets| packets > 100), "{slots:?}");
}

fn kind_of(slot: u32) -> usize {
    match slot {
        ..UDP_PORTS => 0,
        UDP_PORTS..TCP_PORTLESS => 1,
        TCP_PORTLESS => 2,
        UDP_PORTLESS => 3,
        _ => 4,
    }
}

#[test]
fn a_queue_that_does_not_exist_is_refused_by_name() {
    if skipped("a_queue_that_does_not_exist_is_refused_by_name") {
        return;
    }
    let darknet = Darknet::parse(&["10.0.0.0/8"], &[]).unwrap();
    let program = load(OBJECT, &darknet, Unserved::Pass).unwrap();
    assert_eq!(program.verdict_reader().queues(), 1);
    let error = program.verdicts(2).unwrap_err().to_string();
    assert!(
        error.contains("queue 2") && error.contains("COUNTERS"),
        "{error}"
    );
    assert!(load(OBJECT, &darknet, Unserved::Pass).is_ok());
    let lo = Interface::find("lo").unwrap();
    let error = XdpProgram::load(&lo, 0, &darknet, Unserved::Pass).unwrap_err();
    assert!(
        matches!(
            error,
            XdpError::Setting {
                setting: "queues",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_object_that_is_none_is_refused_on_one_line() {
    let darknet = Darknet::parse(&["10.0.0.0/8"], &[]).unwrap();
    let error = load(b"not an object", &darknet, Unserved::Pass).unwrap_err();
    assert!(matches!(error, XdpError::Load { .. }), "{error:?}");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
}

/// Name, type, size of key and value, entries and flags of each map, by name.
fn map_definitions(object: &[u8]) -> Vec<(String, String)> {
    let ebpf = Ebpf::load(object).unwrap();
    let mut maps: Vec<_> = ebpf
        .maps()
        .map(|(name, map)| {
            let (Map::Array(data) | Map::HashMap(data) | Map::LpmTrie(data) | Map::XskMap(data)) =
                map
            else {
                panic!("{name} is of a kind that the program does not use");
            };
            let info = data.info().unwrap();
            let definition = format!(
                "{:?}: {} to {}, {} entries, flags {}",
                info.map_type().unwrap(),
                info.key_size(),
                info.value_size(),
                info.max_entries(),
                info.map_flags()
            );
            (name.to_owned(), definition)
        })
        .collect();
    maps.sort();
    maps
}

/// `cargo xtask build-ebpf --check` runs this with two objects that different compilers made.
#[test]
fn two_objects_agree() {
    let [Some(one), Some(other)] =
        ["NOCTULE_XDP_OBJECT", "NOCTULE_XDP_OTHER_OBJECT"].map(env::var_os)
    else {
        println!("two_objects_agree: skipped (no NOCTULE_XDP_OBJECT, NOCTULE_XDP_OTHER_OBJECT)");
        return;
    };
    assert!(
        privilege::check().is_ok(),
        "comparing verdicts needs root: BPF_PROG_TEST_RUN loads both objects"
    );
    let objects = [one, other].map(|path| fs::read(path).unwrap());
    let [one, other] = objects.each_ref().map(|object| map_definitions(object));
    assert_eq!(one.len(), 11, "{one:?}");
    assert_eq!(one, other);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut darknets = darknets();
    let link = LinkOptions::new(&[0x8200], &InnerEthernet::ALL).unwrap();
    darknets.push(tunnel_tests::darknet(&TunnelKind::ALL, 4789).with_link_options(link));
    for darknet in darknets {
        for unserved in [Unserved::Drop, Unserved::Pass] {
            let mut pair = objects
                .each_ref()
                .map(|object| load(object, &darknet, unserved).unwrap());
            for number in 0..FRAMES / 8 {
                let frame = if darknet.tunnels().is_empty() || number % 8 == 0 {
                    frame(&mut random)
                } else {
                    tunnel_tests::tunnel_frame(&mut random)
                };
                let [one, other] = pair.each_mut().map(|program| action(program, &frame));
                assert_eq!(one, other, "{frame:02x?}");
            }
            let [one, other] = pair.map(|program| {
                let slots: Vec<_> = program.ledger_reader().queue(0).collect();
                (program.verdicts(0).unwrap(), slots)
            });
            assert_eq!(one, other);
        }
    }
    println!("two_objects_agree: compared over {} frames", FRAMES / 4 * 5);
}
