//! One sensor over several interfaces: each has its queues, sockets and account, and the sensor one
//! darknet.

use std::fs;
use std::thread;
use std::time::Duration;

use noctule_testkit::collector::Collector;
use noctule_testkit::compare;
use noctule_testkit::frames::{DARK, DARK_PREFIX, syn};
use noctule_testkit::netns::veth_pair;
use noctule_testkit::store::{LedgerRow, account};
use noctule_testkit::wait_until;
use noctule_testkit::wire::{DARK_END, SENDER_END, Wire, one_at_a_time, run};

/// The second cable's ends.
const OTHER_DARK: &str = "dark1";
const OTHER_SENDER: &str = "gen1";
const LIMIT: Duration = Duration::from_secs(30);

/// Two cables between two namespaces, the first with two queues.
fn two_cables(test: &str) -> Option<Wire> {
    let wire = Wire::new(test, 2)?;
    let ends = [(&wire.sensor, OTHER_DARK), (&wire.sender, OTHER_SENDER)];
    veth_pair(ends[0], ends[1], 1).unwrap_or_else(|error| panic!("{error}"));
    Some(wire)
}

fn start(wire: &Wire, arguments: &[&str]) -> Collector {
    let own = ["--interface", DARK_END, "--interface", OTHER_DARK];
    let more = ["--mode", "copy", "--interval", "1"];
    Collector::start_on(wire, 3, [&own[..], &more, arguments].concat())
}

fn of<'l>(ledger: &'l [LedgerRow], interface: &str) -> Vec<&'l LedgerRow> {
    ledger
        .iter()
        .filter(|row| row.interface == interface)
        .collect()
}

#[test]
fn each_interface_has_its_account_and_the_sensor_one_darknet() {
    let test = "each_interface_has_its_account_and_the_sensor_one_darknet";
    let Some(wire) = two_cables(test) else {
        return;
    };
    let _alone = one_at_a_time();
    for workers in ["3", "2", "1"] {
        let mut collector = start(&wire, &["--prefix", DARK_PREFIX, "--workers", workers]);
        // The same sources over both: one source is one source, whichever way its packets take.
        wire.send((0..900).map(|number| syn(number, DARK, 23)), 10_000);
        wire.send_over(
            OTHER_SENDER,
            (0..600).map(|number| syn(number, DARK, 23)),
            10_000,
        );
        let passed = (0..50).map(|number| syn(number, [192, 0, 2, 1].into(), 23));
        wire.send_over(OTHER_SENDER, passed, 10_000);
        collector.wait_for(1_500);
        let said = collector.stderr();
        for queue in [
            "dark0 queue 0: copy",
            "dark0 queue 1: copy",
            "dark1 queue 0: copy",
        ] {
            assert!(said.contains(queue), "{said}");
        }
        let (ended, store) = collector.stop();
        let summary = ended.success().summary();
        assert_eq!(summary.dark_packets, 1_500);
        assert_eq!(summary.sources, Some(900));
        compare::assert_adds_up("two interfaces", &summary);
        assert_eq!(summary.lost_by_port.as_deref().map(<[_]>::len), Some(0));
        let ledger = store.ledger();
        let [first, second] = [DARK_END, OTHER_DARK].map(|name| of(&ledger, name));
        assert_eq!(first.len() + second.len(), ledger.len());
        for (rows, sent) in [(&first, 900), (&second, 600)] {
            let sums = account(rows.iter().copied());
            assert_eq!((sums.matched, sums.counted, sums.lost), (sent, sent, 0));
        }
        assert_eq!(account(second.iter().copied()).passed, 50);
        // Both rows of an interval state the sensor's darknet, not a part of it.
        for row in &ledger {
            assert_eq!(row.get("observed_addresses"), 1 << 17);
        }
    }
}

#[test]
fn a_reload_reaches_every_interface() {
    let Some(wire) = two_cables("a_reload_reaches_every_interface") else {
        return;
    };
    let _alone = one_at_a_time();
    let here = tempfile::tempdir().expect("a temporary folder");
    let config = here.path().join("noctule.toml");
    let write = |prefix: &str| {
        fs::write(&config, format!("prefixes = [\"{prefix}\"]\n")).expect("room for a file");
    };
    write("198.51.100.0/24");
    let path = config.to_str().expect("a path in UTF-8");
    let mut collector = start(&wire, &["--config", path]);
    let both = |port| {
        wire.send((0..100).map(|number| syn(number, DARK, port)), 10_000);
        let frames = (0..100).map(|number| syn(number, DARK, port));
        wire.send_over(OTHER_SENDER, frames, 10_000);
    };
    both(23);
    write(DARK_PREFIX);
    collector.signal("HUP");
    wait_until("the new prefixes decide", LIMIT, || {
        collector.stderr().contains("addresses and 0 /64s decide")
    });
    both(80);
    collector.wait_for(200);
    let (ended, store) = collector.stop();
    let summary = ended.success().summary();
    assert_eq!((summary.dark_packets, summary.passed_packets), (200, 200));
    let ledger = store.ledger();
    for name in [DARK_END, OTHER_DARK] {
        let sums = account(of(&ledger, name));
        assert_eq!((sums.counted, sums.passed), (100, 100), "{name}");
    }
}

#[test]
fn an_interface_without_a_link_or_removed_leaves_the_other_running() {
    let test = "an_interface_without_a_link_or_removed_leaves_the_other_running";
    let Some(wire) = two_cables(test) else {
        return;
    };
    let _alone = one_at_a_time();
    for workers in ["3", "1"] {
        let mut collector = start(&wire, &["--prefix", DARK_PREFIX, "--workers", workers]);
        let mut sent = 0;
        let mut send = |name: &str, count: u32| {
            let frames = (0..count).map(|number| syn(number, DARK, 23));
            sent += wire.send_over(name, frames, 10_000);
            sent
        };
        send(OTHER_SENDER, 100);
        collector.wait_for(send(SENDER_END, 100));
        run(
            &wire.sender,
            "ip",
            &["link", "set", "dev", OTHER_SENDER, "down"],
        );
        wait_until("the loss of the link is logged", LIMIT, || {
            collector.stderr().contains("dark1 has no link")
        });
        collector.wait_for(send(SENDER_END, 100));
        run(
            &wire.sender,
            "ip",
            &["link", "set", "dev", OTHER_SENDER, "up"],
        );
        wait_until("the link is back", LIMIT, || {
            collector.stderr().contains("dark1 has a link again")
        });
        collector.wait_for(send(OTHER_SENDER, 100));

        run(&wire.sender, "ip", &["link", "del", OTHER_SENDER]);
        wait_until("the removal is logged", LIMIT, || {
            collector.stderr().contains("interface dark1 went away")
        });
        collector.wait_for(send(SENDER_END, 100));
        thread::sleep(Duration::from_millis(2_500));
        assert!(collector.is_running(), "{}", collector.stderr());
        let (ended, store) = collector.stop();
        assert_eq!(ended.code(), 1);
        let text = ended.stderr.lines().last().unwrap_or_default();
        assert!(
            text.contains("interface dark1 went away while collecting"),
            "{text}"
        );
        let ledger = store.ledger();
        let [first, second] = [DARK_END, OTHER_DARK].map(|name| of(&ledger, name));
        assert_eq!(account(first.iter().copied()).counted, 300);
        assert_eq!(account(second.iter().copied()).counted, 200);
        assert_eq!(account(&ledger).lost, 0);
        // The ledger shows from when on the removed interface was not observed.
        let last = second.last().expect("rows of the removed interface");
        assert_eq!(last.get("observed_ms"), 0, "{last:?}");
        let whole = first.iter().filter(|row| row.get("observed_ms") == 1_000);
        assert!(whole.count() >= 2, "{first:?}");
        veth_pair((&wire.sensor, OTHER_DARK), (&wire.sender, OTHER_SENDER), 1)
            .unwrap_or_else(|error| panic!("{error}"));
    }
}
