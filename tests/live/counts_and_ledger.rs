//! `noctule run` on a cable between two namespaces: live counts are replay's counts, the ledger
//! balances whatever happens, and what is not dark passes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use noctule_counters::summary::Summary;
use noctule_store::Table;
use noctule_testkit::collector::Collector;
use noctule_testkit::frames::{self, DARK, DARK_PREFIX, syn};
use noctule_testkit::program::{LIMIT, Running, noctule, replay};
use noctule_testkit::store::{LedgerRow, account, sum};
use noctule_testkit::wire::{Wire, one_at_a_time};
use noctule_testkit::{compare, data, wait_until};

/// Every fact of a summary that does not depend on when and how packets came.
const TIMELESS: [&str; 14] = [
    "dark_packets",
    "dark_bytes",
    "sources",
    "by_protocol",
    "by_class",
    "fingerprints",
    "confirmed_sources",
    "bogon_packets",
    "bogon_sources",
    "quotes",
    "victims",
    "decode_errors",
    "overflow_packets",
    "cells",
];

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Asserts that nothing was lost, so that counts can be compared.
fn nothing_lost(ledger: &[LedgerRow], dark_packets: u64) {
    let sums = account(ledger);
    let causes: Vec<_> = ledger.iter().filter(|row| row.lost() != 0).collect();
    assert!(
        causes.is_empty(),
        "the machine was too busy, or packets were lost: {causes:?}"
    );
    assert_eq!(
        (sums.matched, sums.counted),
        (dark_packets as i64, dark_packets as i64)
    );
}

#[test]
fn captures_sent_over_a_cable_count_as_in_a_replay() {
    let test = "captures_sent_over_a_cable_count_as_in_a_replay";
    let Some(folder) = data::folder(test) else {
        return;
    };
    let _alone = one_at_a_time();
    for one in data::telescope(&folder) {
        let Some(wire) = Wire::new(test, 1) else {
            return;
        };
        let what = one.capture.display().to_string();
        let small = ["--prefix", &one.prefix, "--max-flows", "200000"];
        let expected = replay([&small[..], &[text(&one.capture)]].concat());
        let expected = expected.success().summary();
        let arguments = [&small[..], &["--interval", "1"]].concat();
        let mut collector = Collector::start(&wire, 1, arguments);
        let sent = wire.send(frames::for_ethernet(&one.capture), 20_000);
        assert_eq!(sent, expected.records, "{what}");
        collector.wait_for(expected.dark_packets);
        let (ended, store) = collector.stop();
        let found = ended.success().summary();
        nothing_lost(&store.ledger(), expected.dark_packets);
        compare::assert_adds_up(&what, &found);
        compare::assert_same_fields(&what, &TIMELESS, &expected, &found);
        assert_eq!(found.passed_packets, expected.passed_packets, "{what}");
    }
}

#[test]
fn a_million_synthetic_packets_count_as_they_were_made() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("synthetic.pcap");
    let prefixes = ["--prefix", "198.18.0.0/16", "--prefix", "2001:db8:77::/48"];
    let size = ["--packets", "1000000", "--sources", "50000"];
    let mut make = noctule(["synth", "--seed", "7", "--duration", "600"]);
    make.args(prefixes).args(size).arg("--out").arg(&capture);
    let made = Running::start(&mut make).wait(LIMIT).success();
    let beside = |ending: &str| here.path().join(format!("synthetic.pcap.{ending}"));
    let truth = fs::read_to_string(beside("truth.json"))
        .unwrap_or_else(|error| panic!("no truth beside the capture: {error}\n{}", made.stderr));
    let truth: Summary = serde_json::from_str(&truth).expect("the truth is a summary");
    assert_eq!(truth.records, 1_000_000);
    compare::assert_adds_up("the truth", &truth);

    let countries = beside("country.csv");
    for workers in ["1", "2"] {
        let more = ["--workers", workers, "--country-db", text(&countries)];
        let found = replay([&prefixes[..], &more, &[text(&capture)]].concat());
        let mut found = found.success().summary();
        // The truth does not say what frames are that are passed: ARP, and five tags.
        let unparsed = std::mem::take(&mut found.unparsed);
        let names: Vec<_> = unparsed.iter().map(|one| one.number).collect();
        assert_eq!(names, [Some(0x0806), Some(0x8100)]);
        found.repeats = None;
        compare::assert_same("replay", &truth, &found);
    }

    let Some(wire) = Wire::new("a_million_synthetic_packets_count_as_they_were_made", 1) else {
        return;
    };
    let _alone = one_at_a_time();
    // Rings that hold what comes while another process has the core.
    let config = here.path().join("noctule.toml");
    fs::write(&config, "frames = 32768\ninterval = 2\n").expect("room for a file");
    let more = ["--config", text(&config), "--country-db", text(&countries)];
    let mut collector = Collector::start(&wire, 1, [&prefixes[..], &more].concat());
    let sent = wire.send(frames::for_ethernet(&capture), 60_000);
    assert_eq!(sent, truth.records);
    collector.wait_for(truth.dark_packets);
    let (ended, store) = collector.stop();
    let found = ended.success().summary();
    nothing_lost(&store.ledger(), truth.dark_packets);
    compare::assert_same_fields("live", &TIMELESS, &truth, &found);
    compare::assert_same_fields("live", &["sources_by_country"], &truth, &found);
    assert_eq!(found.records, truth.records);
}

#[test]
fn two_queues_share_the_packets_between_two_workers() {
    let Some(wire) = Wire::new("two_queues_share_the_packets_between_two_workers", 2) else {
        return;
    };
    let _alone = one_at_a_time();
    let arguments = ["--prefix", DARK_PREFIX, "--interval", "1"];
    let mut collector = Collector::start(&wire, 2, arguments);
    let sent = wire.send((0..50_000).map(|number| syn(number, DARK, 23)), 20_000);
    collector.wait_for(sent);
    let said = collector.stderr();
    for worker in ["worker 0", "worker 1"] {
        assert!(said.contains(worker), "{said}");
    }
    let (ended, store) = collector.stop();
    assert_eq!(ended.success().summary().dark_packets, sent);
    let ledger = store.ledger();
    nothing_lost(&ledger, sent);
    let by_queue = [0, 1].map(|queue| account(ledger.iter().filter(|row| row.queue == queue)));
    let counted = by_queue.map(|sums| sums.counted);
    assert!(counted.iter().all(|&counted| counted > 0), "{counted:?}");
    assert_eq!(counted.iter().sum::<i64>(), sent as i64);
}

/// Asserts that each queue's account balances in each interval, and from one to the next.
fn balanced(ledger: &[LedgerRow]) {
    let mut in_flight: BTreeMap<i32, i64> = BTreeMap::new();
    for row in ledger {
        let before = row.get("in_flight_before");
        let after = row.get("in_flight_after");
        let into = before + row.get("matched_packets");
        let out = row.get("counted_packets") + row.lost() + after;
        assert_eq!(into, out, "{row:?}");
        assert!((0..=8193).contains(&after), "{row:?}");
        let last = in_flight.insert(row.queue, after).unwrap_or(0);
        assert_eq!(
            before, last,
            "what was in flight came from nowhere: {row:?}"
        );
        let seen = ["matched_packets", "passed_packets", "not_parsed_packets"];
        let seen: i64 = seen.iter().map(|name| row.get(name)).sum();
        assert_eq!(row.get("records"), seen, "{row:?}");
    }
    for (queue, packets) in in_flight {
        assert_eq!(packets, 0, "queue {queue} ended with packets in flight");
    }
}

#[test]
fn a_stop_under_full_traffic_balances() {
    let Some(wire) = Wire::new("a_stop_under_full_traffic_balances", 2) else {
        return;
    };
    let _alone = one_at_a_time();
    let arguments = ["--prefix", DARK_PREFIX, "--interval", "1"];
    let collector = Collector::start(&wire, 2, arguments);
    let flood = wire.flood((0..4096).map(|number| syn(number, DARK, 23)).collect());
    wait_until("four intervals are written", LIMIT, || {
        collector.ledger().len() >= 8
    });
    assert!(flood.is_running());
    let (ended, store) = collector.stop();
    assert!(flood.is_running(), "traffic ended before the collector");
    let sent = flood.end();

    let summary = ended.success().summary();
    let ledger = store.ledger();
    balanced(&ledger);
    let sums = account(&ledger);
    let dark = summary.dark_packets as i64;
    assert_eq!(sums.counted, dark);
    assert_eq!(sum(&store.path(), Table::Ports, "packets"), dark);
    assert_eq!(sums.matched, dark + sums.lost);
    let unexplained: Vec<_> = (ledger.iter())
        .map(|row| row.get("lost_unexplained"))
        .filter(|&packets| packets != 0)
        .collect();
    assert!(unexplained.is_empty(), "unexplained: {unexplained:?}");
    assert!(dark > 10_000 && dark <= sent as i64, "{dark} of {sent}");
    compare::assert_adds_up("under traffic", &summary);
    let shown = format!(
        "{sent} sent, {} matched, {} lost\n",
        sums.matched, sums.lost
    );
    // Past the harness: how far "full rate" went is worth knowing.
    let _ = std::io::stderr().write_all(shown.as_bytes());
}

/// On a quiet darknet it is often a frame that wakes the worker at an interval's end.
#[test]
fn a_frame_at_an_intervals_end_is_not_called_lost() {
    let Some(wire) = Wire::new("a_frame_at_an_intervals_end_is_not_called_lost", 1) else {
        return;
    };
    let _alone = one_at_a_time();
    let arguments = ["--prefix", DARK_PREFIX, "--interval", "1"];
    let mut collector = Collector::start(&wire, 1, arguments);
    for number in 0..48 {
        wire.send([syn(number, DARK, 23)], 1_000_000);
        thread::sleep(Duration::from_millis(125));
    }
    collector.wait_for(48);
    let (ended, store) = collector.stop();
    assert_eq!(ended.success().summary().dark_packets, 48);
    let ledger = store.ledger();
    balanced(&ledger);
    nothing_lost(&ledger, 48);
    assert!(ledger.len() >= 6, "{ledger:?}");
}

#[test]
fn what_a_slow_collector_loses_has_causes() {
    let Some(wire) = Wire::new("what_a_slow_collector_loses_has_causes", 2) else {
        return;
    };
    let _alone = one_at_a_time();
    let here = tempfile::tempdir().expect("a temporary folder");
    let config = here.path().join("noctule.toml");
    fs::write(&config, "frames = 1024\ninterval = 1\n").expect("room for a file");
    let arguments = ["--prefix", DARK_PREFIX, "--config", text(&config)];
    let collector = Collector::start(&wire, 2, arguments);
    let flood = wire.flood((0..4096).map(|number| syn(number, DARK, 23)).collect());
    let reaches = |intervals: usize| {
        wait_until("more intervals are written", LIMIT, || {
            collector.ledger().len() >= 2 * intervals
        });
    };
    reaches(2);
    collector.freeze(Duration::from_millis(700));
    reaches(collector.ledger().len() / 2 + 2);
    let (ended, store) = collector.stop();
    let sent = flood.end();

    let summary = ended.success().summary();
    let ledger = store.ledger();
    balanced(&ledger);
    let sums = account(&ledger);
    let dark = summary.dark_packets as i64;
    assert!(
        sums.lost > 0,
        "rings of 1,024 frames held a flood: {sums:?}"
    );
    assert_eq!(sums.matched, dark + sums.lost);
    assert!(sums.matched <= sent as i64, "{sums:?} of {sent} sent");
    for row in &ledger {
        assert_eq!(row.get("lost_unexplained"), 0, "{row:?}");
    }
    compare::assert_adds_up("after a loss", &summary);
}

/// Octets of the transfer that runs beside darknet traffic.
const TRANSFER: usize = 5 << 20;

fn pattern(at: usize) -> u8 {
    (at.wrapping_mul(0x9e37_79b1) >> 16) as u8
}

/// Takes one connection and returns what came over it.
fn take(listener: &TcpListener) -> std::io::Result<Vec<u8>> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut octets = Vec::with_capacity(TRANSFER);
    stream.read_to_end(&mut octets)?;
    stream.write_all(b"done")?;
    Ok(octets)
}

/// Sends the transfer and waits for the answer.
fn give(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(20))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let octets: Vec<u8> = (0..TRANSFER).map(pattern).collect();
    stream.write_all(&octets)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

#[test]
fn what_is_not_dark_passes_beside_full_traffic() {
    let Some(wire) = Wire::new("what_is_not_dark_passes_beside_full_traffic", 1) else {
        return;
    };
    let _alone = one_at_a_time();
    wire.with_addresses("192.0.2.2/24", "192.0.2.1/24");
    let sensor = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 2), 4_000));
    let arguments = ["--prefix", DARK_PREFIX, "--interval", "1"];
    let collector = Collector::start(&wire, 1, arguments);
    let flood = wire.flood((0..4096).map(|number| syn(number, DARK, 23)).collect());
    wait_until("dark packets are counted", LIMIT, || {
        account(&collector.ledger()).counted > 0
    });

    let ping = ["-n", "-q", "-c", "20", "-i", "0.1", "-W", "5", "192.0.2.2"];
    let output = wire.sender.command("ping", &ping);
    let output = output.unwrap_or_else(|error| panic!("{error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("20 received, 0% packet loss"), "{said}");

    let listener = {
        let _inside = wire
            .sensor
            .enter()
            .unwrap_or_else(|error| panic!("{error}"));
        TcpListener::bind(sensor).expect("a free port")
    };
    let taker = thread::spawn(move || take(&listener));
    let answer = {
        let _inside = wire
            .sender
            .enter()
            .unwrap_or_else(|error| panic!("{error}"));
        give(sensor).expect("a connection beside darknet traffic")
    };
    assert_eq!(answer, b"done");
    let taken = taker.join().expect("no panic").expect("a transfer");
    assert_eq!(taken.len(), TRANSFER);
    assert!((taken.iter().enumerate()).all(|(at, &octet)| octet == pattern(at)));

    assert!(flood.is_running(), "darknet traffic ended before the rest");
    let (ended, store) = collector.stop();
    let sent = flood.end();
    let summary = ended.success().summary();
    let ledger = store.ledger();
    balanced(&ledger);
    let sums = account(&ledger);
    assert!(sums.passed > 20, "{sums:?}");
    assert!(
        sums.counted > 10_000 && sums.counted <= sent as i64,
        "{sums:?}"
    );
    let ports: Vec<_> = summary.cells.iter().map(|cell| cell.port).collect();
    assert_eq!(ports, [Some(23)], "only what is dark was counted");
}
