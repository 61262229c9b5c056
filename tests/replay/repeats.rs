//! A tap that sends every packet twice is named, however many workers count.

use std::path::Path;

use noctule_packet::link::LinkType;
use noctule_testkit::frames::{DARK, DARK_PREFIX, Frame, syn, write};
use noctule_testkit::program::replay;
use noctule_testkit::store;

/// Writes probes that arrive 100 microseconds apart, each this many times.
fn capture(path: &Path, times: u32) {
    let frames: Vec<Frame> = (0..20_000)
        .flat_map(|number| (0..times).map(move |copy| (number, copy)))
        .map(|(number, copy)| Frame {
            time_us: 1_700_000_040_000_000 + i64::from(number * 100 + copy),
            link: LinkType::Ethernet,
            octets: syn(number, DARK, 23),
        })
        .collect();
    write(path, &frames);
}

#[test]
fn a_tap_that_sends_everything_twice_is_named() {
    let here = tempfile::tempdir().expect("a temporary folder");
    for (times, workers, percent) in [(1, "1", 0), (2, "1", 50), (2, "3", 50)] {
        let path = here.path().join(format!("{times}.pcap"));
        capture(&path, times);
        let folder = here.path().join(format!("store-{times}-{workers}"));
        let arguments = ["--prefix", DARK_PREFIX, "--workers", workers, "--store"];
        let places = [&folder, &path].map(|path| path.to_str().expect("a path in UTF-8"));
        let summary = replay([&arguments[..], &places].concat())
            .success()
            .summary();
        let named = summary.repeats.expect("a count").suspicious_percent();
        assert_eq!(named, (times == 2).then_some(50));
        let ledger = store::ledger(&folder);
        let sum = |name| ledger.iter().map(|row| row.get(name)).sum::<i64>();
        let sampled = sum("repeats_sampled_packets");
        assert!(sampled > 100, "{sampled}");
        let share = sum("repeats_packets") * 100 / sampled;
        assert!((percent - 1..=percent).contains(&share), "{share} %");
    }
}
