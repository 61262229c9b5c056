//! What lies below IP on a cable: the XDP program takes what it can read, names what it cannot, and the
//! store's account of it is exact.

use noctule_testkit::collector::Collector;
use noctule_testkit::frames::{DARK, DARK_PREFIX, syn};
use noctule_testkit::store::{account, unparsed};
use noctule_testkit::wire::{Wire, one_at_a_time};

/// Frames of each kind.
const EACH: u32 = 300;

/// An Ethernet frame from its first EtherType on, as long as a cable wants it.
fn ethernet(behind: &[&[u8]]) -> Vec<u8> {
    let mut frame = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &behind.concat()].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

#[test]
fn headers_below_ip_are_read_and_others_named() {
    let test = "headers_below_ip_are_read_and_others_named";
    let Some(wire) = Wire::new(test, 1) else {
        return;
    };
    let _alone = one_at_a_time();
    let settings = ["--outer-tag", "0x8200", "--inner-ethernet", "pbb,eompls"];
    let dark = ["--prefix", DARK_PREFIX, "--interval", "1"];
    let mut collector = Collector::start(&wire, 1, [&dark[..], &settings].concat());
    let mut frames = Vec::new();
    for number in 0..EACH {
        let whole = syn(number, DARK, 23);
        let ip = &whole[14..];
        for behind in [
            &[&[0, 48, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], ip][..],
            &[&[0x92, 0, 0, 5, 0x81, 0, 0, 6, 8, 0], ip],
            &[&[0x82, 0, 0, 5, 8, 0], ip],
            &[&[0x89, 0x26, 0, 0, 0, 1, 8, 0], ip],
            &[&[0x89, 0x3f, 0, 0, 0, 1, 0, 0, 8, 0], ip],
            &[&[0x89, 0x88, 0, 0, 0, 1, 0, 0, 8, 0], ip],
            &[&[0x88, 0xe7, 0, 0, 0, 9], &whole],
            &[&[0x88, 0x47, 0, 1, 0x31, 64], &whole],
            &[&[0x88, 0x47, 0, 1, 0x31, 64, 0, 0, 0, 0], &whole],
            // Not read.
            &[&[0x88, 0xcc, 2, 7]],
            &[&[0x12, 0x34, 0, 1]],
            &[&[0, 38, 0x42, 0x42, 3]],
            &[&[8, 0, 0x60], &ip[1..]],
        ] {
            frames.push(ethernet(behind));
        }
    }
    wire.send(&frames, 4_000);
    let each = u64::from(EACH);
    collector.wait_for(9 * each);
    let (ended, store) = collector.stop();
    let summary = ended.success().summary();
    assert_eq!(summary.dark_packets, 9 * each);
    assert_eq!(summary.dark_bytes, 9 * each * 40);
    for (kind, number) in [
        ("ethertype", 0x88cc),
        ("ethertype", 0x1234),
        ("llc", 0x42),
        ("ip_version", 6),
    ] {
        let found = (summary.unparsed.iter())
            .find(|one| (one.kind.as_str(), one.number) == (kind, Some(number)));
        let sizes = found.map(|one| (one.packets, one.bytes));
        assert_eq!(sizes, Some((each, each * 60)), "{kind} {number:#x}");
    }
    let ledger = store.ledger();
    let named = unparsed(&store.path());
    for row in &ledger {
        let sum = named.get(&(row.start, row.queue)).copied();
        assert_eq!(sum.unwrap_or_default(), row.get("not_parsed_packets"));
    }
    let all: i64 = named.values().sum();
    assert!(all >= 4 * i64::from(EACH), "{all}");
    let sums = account(&ledger);
    assert_eq!((sums.matched, sums.lost), (9 * i64::from(EACH), 0));
}
