//! Where lost packets were going to: what the summary says by port adds up to what the ledger says
//! is lost, by destination port whatever the class.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use noctule_testkit::collector::Collector;
use noctule_testkit::frames::{DARK, DARK_PREFIX, syn};
use noctule_testkit::program::LIMIT;
use noctule_testkit::store::account;
use noctule_testkit::wait_until;
use noctule_testkit::wire::{Wire, one_at_a_time};

/// Offset of the TCP flags in an Ethernet frame with an IPv4 header of 20 octets.
const FLAGS: usize = 14 + 20 + 13;
/// Offset of the source port.
const SOURCE_PORT: usize = 14 + 20;
const SYN_ACK: u8 = 0x12;

/// An answer from port 80 to a packet with a forged source address in the darknet.
fn answer(number: u32, port: u16) -> Vec<u8> {
    let mut frame = syn(number, DARK, port);
    frame[FLAGS] = SYN_ACK;
    frame[SOURCE_PORT..][..2].copy_from_slice(&80u16.to_be_bytes());
    frame
}

/// A GRE packet, which has no ports.
fn portless(number: u32) -> Vec<u8> {
    let mut frame = syn(number, DARK, 0);
    frame[14 + 9] = 47;
    frame
}

#[test]
fn losses_are_told_by_destination_port_and_add_up() {
    let Some(wire) = Wire::new("losses_are_told_by_destination_port_and_add_up", 2) else {
        return;
    };
    let _alone = one_at_a_time();
    let here = tempfile::tempdir().expect("a temporary folder");
    let config = here.path().join("noctule.toml");
    fs::write(&config, "frames = 1024\ninterval = 1\n").expect("room for a file");
    let path = config.to_str().expect("a path in UTF-8");
    let arguments = ["--prefix", DARK_PREFIX, "--config", path];
    let collector = Collector::start(&wire, 2, arguments);
    let frames = (0..4096).map(|number| match number % 4 {
        0 => answer(number, 7_777),
        1 => portless(number),
        2 => syn(number, Ipv4Addr::new(192, 0, 2, 2), 99),
        _ => syn(number, DARK, 23),
    });
    let flood = wire.flood(frames.collect());
    let reaches = |intervals: usize| {
        wait_until("more intervals are written", LIMIT, || {
            collector.ledger().len() >= 2 * intervals
        });
    };
    reaches(2);
    collector.freeze(Duration::from_millis(700));
    reaches(collector.ledger().len() / 2 + 2);
    let (ended, store) = collector.stop();
    flood.end();

    let summary = ended.success().summary();
    let ledger = store.ledger();
    let sums = account(&ledger);
    assert!(
        sums.lost > 0,
        "rings of 1,024 frames held a flood: {sums:?}"
    );
    let unexplained: i64 = ledger.iter().map(|row| row.get("lost_unexplained")).sum();
    assert_eq!(unexplained, 0);
    let losses = summary.lost_by_port.expect("a live run tells losses");
    let by_port: i64 = losses.iter().map(|loss| loss.packets).sum();
    assert_eq!(by_port, sums.lost, "{losses:?}");
    let mut names: Vec<_> = (losses.iter())
        .map(|loss| (loss.protocol.as_str(), loss.port))
        .collect();
    names.sort_unstable();
    let expected = [("other", None), ("tcp", Some(23)), ("tcp", Some(7_777))];
    assert_eq!(names, expected, "{losses:?}");
    assert!(
        losses.is_sorted_by(|a, b| a.packets >= b.packets),
        "{losses:?}"
    );
    assert!(losses.iter().all(|loss| loss.packets > 0), "{losses:?}");
}

#[test]
fn a_run_without_losses_names_no_port() {
    let Some(wire) = Wire::new("a_run_without_losses_names_no_port", 1) else {
        return;
    };
    let _alone = one_at_a_time();
    let arguments = ["--prefix", DARK_PREFIX, "--interval", "1"];
    let mut collector = Collector::start(&wire, 1, arguments);
    let frames = (0..3_000).map(|number| match number % 3 {
        0 => answer(number, 7_777),
        1 => portless(number),
        _ => syn(number, DARK, 23),
    });
    let sent = wire.send(frames, 10_000);
    collector.wait_for(sent);
    let (ended, store) = collector.stop();
    let lost = account(&store.ledger()).lost;
    let losses = ended.success().summary().lost_by_port;
    let by_port: i64 = losses.into_iter().flatten().map(|loss| loss.packets).sum();
    assert_eq!((lost, by_port), (0, 0));
}
