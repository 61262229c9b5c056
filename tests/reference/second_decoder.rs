//! The decoder, and the whole program, held against a second implementation of the counting
//! rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use noctule_capture::file::CaptureReader;
use noctule_counters::summary::Cell;
use noctule_packet::darknet::{Darknet, Destination};
use noctule_packet::link::LinkType;
use noctule_packet::{Class, Packet, Rules, Source, decode};
use noctule_testkit::layers::draw::{EXCLUDE, INCLUDE, drawn, layers};
use noctule_testkit::layers::{Captured, named};
use noctule_testkit::program::replay;
use noctule_testkit::reference::{self, Counted, Prefixes, Tally, judge};
use noctule_testkit::{data, frames};
use proptest::prelude::*;
use proptest::test_runner::Config;

/// What the program under test makes of a frame.
fn decoded(darknet: &Darknet, frame: &Captured) -> Option<Packet> {
    let link = LinkType::from_number(frame.link).expect("a link type that is read");
    match darknet.destination(link, &frame.octets) {
        Destination::Passed | Destination::NotParsed => None,
        Destination::Dark(network) => {
            let packet = decode(&Rules::shipped(), network, &frame.octets, frame.wire_bytes);
            Some(packet.expect("a dark frame has its addresses"))
        }
    }
}

/// The decoder's verdict in the reference's words; the destination is what the reference says,
/// since the decoder folds IPv6's.
fn said(packet: &Packet, destination: IpAddr) -> Counted {
    let source = match packet.source {
        Source::V4(address) => IpAddr::V4(Ipv4Addr::from(address)),
        Source::V6(address) => IpAddr::V6(Ipv6Addr::from(address)),
    };
    Counted {
        source,
        destination,
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

fn darknets() -> (Darknet, Prefixes) {
    let darknet = Darknet::parse(&INCLUDE, &EXCLUDE).expect("good prefixes");
    (darknet, Prefixes::new(&INCLUDE, &EXCLUDE))
}

/// Do both say the same of this frame? Returns what the reference says.
fn agreed(darknet: &Darknet, prefixes: &Prefixes, frame: &Captured) -> Option<Counted> {
    let expected = judge(prefixes, frame.link, &frame.octets, frame.wire_bytes);
    let found = decoded(darknet, frame);
    match (expected, found) {
        (None, None) => {}
        (Some(expected), Some(packet)) => {
            let found = said(&packet, expected.destination);
            assert_eq!(expected, found, "reference, decoder: {frame:02x?}");
            let folded = match expected.destination {
                IpAddr::V4(address) => address.to_bits().into(),
                IpAddr::V6(address) => {
                    let bits = address.to_bits();
                    (bits >> 64) as u64 ^ bits as u64
                }
            };
            assert_eq!(packet.destination, folded, "destination: {frame:02x?}");
        }
        (expected, found) => {
            panic!("one passes it, one does not: {expected:?}, {found:?}: {frame:02x?}")
        }
    }
    expected
}

#[test]
fn decoder_and_reference_agree_on_named_frames_cut_anywhere() {
    let (darknet, prefixes) = darknets();
    let mut frames = 0;
    for (_, whole) in named::all() {
        for length in 0..=whole.octets.len() {
            for wire_bytes in [length, whole.wire_bytes] {
                let frame = Captured {
                    link: whole.link,
                    octets: whole.octets[..length].to_vec(),
                    wire_bytes,
                };
                agreed(&darknet, &prefixes, &frame);
                frames += 1;
            }
        }
    }
    assert!(frames > 5_000, "{frames} frames");
}

proptest! {
    #![proptest_config(Config { cases: 30_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn decoder_and_reference_agree_on_any_frame(built in layers()) {
        let (darknet, prefixes) = darknets();
        agreed(&darknet, &prefixes, &built.frame());
    }

    #[test]
    fn decoder_and_reference_agree_on_octets(
        link in prop::sample::select(vec![0u32, 1, 9, 12, 50, 51, 101, 104, 108, 113, 239, 276]),
        octets in prop::collection::vec(any::<u8>(), 0..100),
        more in 0usize..100,
    ) {
        let all = (
            Darknet::parse(&["0.0.0.0/0", "::/0"], &["128.0.0.0/2"]).expect("good prefixes"),
            Prefixes::new(&["0.0.0.0/0", "::/0"], &["128.0.0.0/2"]),
        );
        let wire_bytes = octets.len() + more;
        agreed(&all.0, &all.1, &Captured { link, octets, wire_bytes });
    }
}

/// What a property test never meets it cannot test.
#[test]
fn drawn_frames_reach_every_part_of_the_rules() {
    let (_, prefixes) = darknets();
    let mut tally = Tally::default();
    let frames = drawn(60_000);
    for frame in &frames {
        tally.add(judge(
            &prefixes,
            frame.link,
            &frame.octets,
            frame.wire_bytes,
        ));
    }
    let dark = tally.dark as usize * 100 / frames.len();
    assert!((50..90).contains(&dark), "{dark} % are dark");
    for protocol in ["tcp", "udp", "icmp", "icmpv6"] {
        for class in ["scan", "backscatter", "other"] {
            for has_port in [true, false] {
                let cells = tally.cells.iter().filter(|((p, c, port), _)| {
                    (p.as_str(), c.as_str(), port.is_some()) == (protocol, class, has_port)
                });
                let packets: u64 = cells.map(|(_, (packets, _))| packets).sum();
                // UDP with ports is never of class other, and without them never of another
                // class than scan or other; TCP without flags has no class but other.
                let possible = !matches!(
                    (protocol, class, has_port),
                    ("udp", "other", true)
                        | ("udp", "backscatter", false)
                        | ("tcp", "scan" | "backscatter", false)
                );
                assert_eq!(
                    packets > 0,
                    possible,
                    "{protocol} {class} {has_port}: {packets}"
                );
            }
        }
    }
}

/// The cells of a replay are the reference's, source by source.
#[test]
fn the_program_counts_generated_frames_as_the_reference_does() {
    let (_, prefixes) = darknets();
    let here = tempfile::tempdir().expect("a temporary folder");
    let frames = drawn(6_000);
    let mut links: Vec<u32> = frames.iter().map(|frame| frame.link).collect();
    links.sort_unstable();
    links.dedup();
    assert!(links.len() >= 8, "{links:?}");
    let mut tally = Tally::default();
    let mut arguments: Vec<String> = Vec::new();
    for prefix in INCLUDE {
        arguments.extend(["--prefix".to_owned(), prefix.to_owned()]);
    }
    for prefix in EXCLUDE {
        arguments.extend(["--exclude".to_owned(), prefix.to_owned()]);
    }
    arguments.extend(["--workers".to_owned(), "2".to_owned()]);
    for link in links {
        let path = here.path().join(format!("{link}.pcap"));
        let of_link = || frames.iter().filter(|frame| frame.link == link);
        frames::write_captured(&path, link, of_link());
        for frame in of_link() {
            tally.add(judge(
                &prefixes,
                frame.link,
                &frame.octets,
                frame.wire_bytes,
            ));
        }
        arguments.push(path.to_str().expect("a path in UTF-8").to_owned());
    }
    let summary = replay(&arguments).success().summary();
    assert_eq!(summary.records, frames.len() as u64);
    assert_eq!(
        (summary.dark_packets, summary.passed_packets),
        (tally.dark, tally.passed)
    );
    let found: Vec<_> = (summary.cells.iter())
        .map(|cell| {
            let key = (cell.protocol.clone(), cell.class.clone(), cell.port);
            (key, (cell.packets, cell.bytes), cell.sources)
        })
        .collect();
    let mut expected = Vec::new();
    for (key, sum) in &tally.cells {
        expected.push((key.clone(), *sum, Some(tally.sources[key].len() as u64)));
    }
    for cell in &found {
        assert!(expected.contains(cell), "the reference has no {cell:?}");
    }
    assert_eq!(found.len(), expected.len());
}

/// The reference against readings that neither it nor the decoder had a part in.
#[test]
fn the_reference_counts_real_captures_as_expected() {
    let Some(folder) = data::folder("the_reference_counts_real_captures_as_expected") else {
        return;
    };
    for one in data::telescope(&folder) {
        let what = one.capture.display();
        let prefixes = Prefixes::new(&[&one.prefix], &[]);
        let mut tally = Tally::default();
        let mut reader = CaptureReader::open(&one.capture).expect("a good capture");
        while let Some(record) = reader.next().expect("a good capture") {
            let wire_bytes = record.wire_bytes as usize;
            tally.add(judge(
                &prefixes,
                record.link_number,
                record.bytes,
                wire_bytes,
            ));
        }
        let dark = one.expected["dark_packets"].as_u64();
        assert_eq!(Some(tally.dark), dark, "{what}");
        let expected: Vec<Cell> =
            serde_json::from_value(one.expected["cells"].clone()).expect("expected cells");
        assert_eq!(tally.cells.len(), expected.len(), "{what}");
        for cell in expected {
            let key = (cell.protocol, cell.class, cell.port);
            let found = tally.cells.get(&key).copied();
            assert_eq!(found, Some((cell.packets, cell.bytes)), "{what}: {key:?}");
            if let Some(sources) = cell.sources {
                assert_eq!(tally.sources[&key].len() as u64, sources, "{what}: {key:?}");
            }
        }
    }
}
