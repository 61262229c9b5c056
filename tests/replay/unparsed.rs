//! What cannot be read is named: link types of captures, and frames without a destination address.

use std::fs;

use noctule_testkit::frames::{self, DARK, ethernet, syn, write_one};
use noctule_testkit::layers::Captured;
use noctule_testkit::program::{LIMIT, Running, noctule, replay};
use noctule_testkit::store;

#[test]
fn a_capture_that_cannot_be_read_is_named_and_others_count() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let foreign = write_one(here.path(), 147, vec![0; 60]);
    let good = write_one(here.path(), 1, syn(7, DARK, 23));
    let count = |captures: &[&str]| {
        let dark = ["replay", "--prefix", "198.18.0.0/15"];
        Running::start(&mut noctule([&dark[..], captures].concat())).wait(LIMIT)
    };
    let ended = count(&[&foreign]);
    assert_eq!(ended.code(), 1);
    for part in ["147 (private use)", "none of its 1 records", "147.pcap"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    let ended = count(&[&foreign, &good]);
    assert_eq!(ended.code(), 1);
    assert!(ended.stdout.contains("link type 147"), "{}", ended.stdout);
    assert!(ended.stdout.contains("1 dark packets"), "{}", ended.stdout);

    // Two interfaces of one file, of which one cannot be read.
    let block = |kind: u32, body: &[u8]| {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = (12 + body.len() as u32).to_le_bytes();
        [&kind.to_le_bytes()[..], &length, &body, &length].concat()
    };
    let section = [
        &0x1a2b_3c4d_u32.to_le_bytes()[..],
        &[1, 0, 0, 0],
        &[0xff; 8],
    ]
    .concat();
    let interface = |link: u16| block(1, &[&link.to_le_bytes()[..], &[0; 6]].concat());
    let packet = |interface: u32, octets: &[u8]| {
        let time = 1_700_000_000_000_000_u64;
        let length = octets.len() as u32;
        let words = [interface, (time >> 32) as u32, time as u32, length, length];
        block(
            6,
            &[&words.map(u32::to_le_bytes).concat()[..], octets].concat(),
        )
    };
    let mixed = [
        block(0x0a0d_0d0a, &section),
        interface(105),
        interface(1),
        packet(0, &[0; 30]),
        packet(1, &syn(7, DARK, 23)),
    ]
    .concat();
    let path = here.path().join("mixed.pcapng");
    fs::write(&path, mixed).expect("room for a file");
    let path = path.to_str().expect("a path in UTF-8");
    let ended = count(&[path]).success();
    for part in ["mixed.pcapng", "1 of its 2 records", "105 (IEEE 802.11)"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

/// The rows of `unparsed` add up to the ledger's column, in every interval.
#[test]
fn the_store_says_what_was_not_parsed() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let octets = [
        ethernet(&[&[8, 6], &[0; 46]]),
        ethernet(&[&[0x88, 0xcc], &[0; 46]]),
        ethernet(&[&[0, 38, 0x42, 0x42, 3], &[0; 43]]),
        ethernet(&[&[8, 0, 0x65], &[0; 45]]),
        syn(7, DARK, 23)[..20].to_vec(),
        syn(7, DARK, 23),
    ];
    // 6,000 records at a millisecond each, over more than one interval of a second.
    let frames: Vec<_> = (0..6_000)
        .map(|number| Captured {
            link: 1,
            octets: octets[number % octets.len()].clone(),
            wire_bytes: 60,
        })
        .collect();
    let capture = here.path().join("odd.pcap");
    frames::write_captured(&capture, 1, &frames);
    let store = here.path().join("store");
    let place = store.to_str().expect("a path in UTF-8");
    let capture = capture.to_str().expect("a path in UTF-8");
    let arguments = [
        "--prefix",
        "198.18.0.0/15",
        "--interval",
        "1",
        "--store",
        place,
        capture,
    ];
    let summary = replay(arguments).success().summary();
    let kinds: Vec<_> = (summary.unparsed.iter())
        .map(|one| (one.kind.as_str(), one.number, one.packets))
        .collect();
    assert_eq!(
        kinds,
        [
            ("cut", None, 1_000),
            ("ethertype", Some(0x0806), 1_000),
            ("ethertype", Some(0x88cc), 1_000),
            ("ip_version", Some(6), 1_000),
            ("llc", Some(0x42), 1_000),
        ]
    );
    assert_eq!(
        summary.unparsed.iter().map(|one| one.bytes).sum::<u64>(),
        5_000 * 60
    );
    let unparsed = store::unparsed(&store);
    let ledger = store::ledger(&store);
    assert!(ledger.len() >= 6, "{} intervals", ledger.len());
    for row in &ledger {
        let of_interval = unparsed.get(&(row.start, 0)).copied();
        assert_eq!(of_interval, Some(row.get("not_parsed_packets")));
    }
    assert_eq!(unparsed.values().sum::<i64>(), 5_000);
}
