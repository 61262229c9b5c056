//! Prefixes by reload, under traffic: what is dark by every list is counted whole, the gateway's
//! own traffic passes, every account balances, and each interval names its list.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use noctule_store::Table;
use noctule_testkit::collector::Collector;
use noctule_testkit::frames::{DARK, syn};
use noctule_testkit::program::LIMIT;
use noctule_testkit::store::{self, LedgerRow, account};
use noctule_testkit::wait_until;
use noctule_testkit::wire::{Wire, one_at_a_time};

/// Dark by some lists only.
const SOMETIMES: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// Longest that traffic lasts, whatever becomes of the reloads.
const MOST_FRAMES: u32 = 300_000;
const PACKETS_PER_SECOND: u32 = 8_000;

/// Lists by which [`DARK`] is dark, of a handful and of more than a thousand prefixes; the second
/// and fourth hold [`SOMETIMES`] as well.
fn lists() -> [String; 4] {
    let many: String = (0..1_000)
        .map(|number| {
            format!(
                ", \"10.{}.{}.0/{}\"",
                number / 250,
                number % 250,
                24 + number % 8
            )
        })
        .collect();
    [
        "prefixes = [\"198.18.0.0/15\"]\n".to_owned(),
        "prefixes = [\"198.18.0.0/16\", \"198.51.100.0/24\"]\n\
         exclude = [\"198.51.100.1/32\", \"198.18.9.0/24\"]\n"
            .to_owned(),
        format!("prefixes = [\"198.18.0.0/31\"{many}]\n"),
        format!(
            "prefixes = [\"198.0.0.0/8\", \"2001:db8::/32\"{many}]\nexclude = [\"198.51.0.0/24\"]\n"
        ),
    ]
}

/// What the ledger says of an interval's prefixes.
#[derive(Debug, Default)]
struct Interval {
    versions: BTreeSet<(String, i64)>,
    changed: bool,
    sometimes: i64,
}

fn intervals(folder: &Path) -> BTreeMap<i64, Interval> {
    let mut all: BTreeMap<i64, Interval> = BTreeMap::new();
    for batch in store::table(folder, Table::Ledger) {
        let starts = batch["interval_start"].as_primitive::<TimestampMicrosecondType>();
        let versions = batch["prefixes_version"].as_string::<i32>();
        let addresses = batch["observed_addresses"].as_primitive::<Int64Type>();
        let changed = batch["prefixes_changed_us"].as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let interval = all.entry(starts.value(row)).or_default();
            let version = versions.value(row).to_owned();
            interval.versions.insert((version, addresses.value(row)));
            interval.changed |= changed.is_valid(row);
        }
    }
    for batch in store::table(folder, Table::Ports) {
        let starts = batch["interval_start"].as_primitive::<TimestampMicrosecondType>();
        let ports = batch["port"].as_primitive::<Int32Type>();
        let packets = batch["packets"].as_primitive::<Int64Type>();
        for row in (0..batch.num_rows()).filter(|&row| ports.value(row) == 7) {
            all.entry(starts.value(row)).or_default().sometimes += packets.value(row);
        }
    }
    all
}

fn balanced(ledger: &[LedgerRow]) {
    for row in ledger {
        let into = row.get("in_flight_before") + row.get("matched_packets");
        let out = row.get("counted_packets") + row.lost() + row.get("in_flight_after");
        assert_eq!(into, out, "{row:?}");
        assert_eq!(row.get("lost_unexplained"), 0, "{row:?}");
    }
}

/// Sends SYNs to port 23 of an address that is dark by every list and to port 7 of another, in turn, until
/// it is enough; returns how many.
fn alternate(wire: &Wire, other: Ipv4Addr, enough: &AtomicBool) -> u64 {
    let frames = (0..MOST_FRAMES)
        .take_while(|_| !enough.load(Ordering::Relaxed))
        .map(|number| match number % 2 {
            0 => syn(number, DARK, 23),
            _ => syn(number, other, 7),
        });
    wire.send(frames, PACKETS_PER_SECOND)
}

fn lines(collector: &Collector, part: &str) -> usize {
    let said = collector.stderr();
    said.lines().filter(|line| line.contains(part)).count()
}

#[test]
fn prefixes_change_under_traffic_and_nothing_else_does() {
    let test = "prefixes_change_under_traffic_and_nothing_else_does";
    let Some(wire) = Wire::new(test, 1) else {
        return;
    };
    let _alone = one_at_a_time();
    wire.with_addresses("192.0.2.2/24", "192.0.2.1/24");
    let here = tempfile::tempdir().expect("a temporary folder");
    let config = here.path().join("noctule.toml");
    let write = |list: &str| {
        let settings = "interval = 1\nframes = 32768\n";
        fs::write(&config, format!("{list}{settings}")).expect("room for a file");
    };
    let lists = lists();
    write(&lists[0]);
    let path = config.to_str().expect("a path in UTF-8");
    let mut collector = Collector::start(&wire, 1, ["--config", path]);

    let enough = AtomicBool::new(false);
    let (sent, pinged) = thread::scope(|scope| {
        let traffic = scope.spawn(|| alternate(&wire, SOMETIMES, &enough));
        let ping = scope.spawn(|| {
            let ping = ["-n", "-q", "-c", "80", "-i", "0.1", "-W", "5", "192.0.2.2"];
            wire.sender.command("ping", &ping)
        });
        for (number, list) in lists.iter().cycle().skip(1).take(5).enumerate() {
            write(list);
            collector.signal("HUP");
            let decides = " decide, ";
            wait_until("the new list decides", LIMIT, || {
                lines(&collector, decides) > number
            });
            thread::sleep(Duration::from_millis(1_200));
        }
        // A list that is refused leaves the old in force.
        write("prefixes = [\"198.18.0.1/15\"]\n");
        collector.signal("HUP");
        wait_until("the bad list is refused", LIMIT, || {
            lines(&collector, "reload refused") == 1
        });
        let said = collector.stderr();
        let refusal = said.lines().find(|line| line.contains("reload refused"));
        assert!(
            refusal.is_some_and(|line| line.contains("198.18.0.1/15") && line.contains("stay")),
            "{said}"
        );
        thread::sleep(Duration::from_millis(1_200));
        enough.store(true, Ordering::Relaxed);
        (
            traffic.join().expect("traffic"),
            ping.join().expect("a ping"),
        )
    });
    let pinged = pinged.unwrap_or_else(|error| panic!("{error}"));
    let said = String::from_utf8_lossy(&pinged.stdout);
    assert!(said.contains("80 received, 0% packet loss"), "{said}");
    assert!(sent < u64::from(MOST_FRAMES), "the traffic ended too early");
    let always = sent.div_ceil(2);
    collector.wait_for(always);
    let (ended, kept) = collector.stop();
    let summary = ended.success().summary();

    let ledger = kept.ledger();
    balanced(&ledger);
    let sums = account(&ledger);
    assert_eq!(sums.lost, 0, "the machine was too busy: {ledger:?}");
    let packets = |port| {
        let cells = summary.cells.iter().filter(|cell| cell.port == Some(port));
        cells.map(|cell| cell.packets).sum::<u64>()
    };
    assert_eq!(packets(23), always, "dark by every list, counted whole");
    let sometimes = packets(7);
    assert!(
        sometimes > 0 && sometimes < sent / 2,
        "{sometimes} of {sent}"
    );

    let all = intervals(&kept.path());
    let changes = all.values().filter(|interval| interval.changed).count();
    assert_eq!(changes, 5, "{all:#?}");
    let lists: BTreeSet<_> = all.values().flat_map(|i| i.versions.iter()).collect();
    assert_eq!(lists.len(), 4, "{all:#?}");
    // 198.18.0.0/15; /16 less a /24, and a /24 less an address; a handful; a /8 less a /24.
    let first = (1 << 17, (1 << 16) - 256 + 255);
    for (start, interval) in &all {
        assert_eq!(interval.versions.len(), 1, "{start}: {interval:?}");
        let (_, addresses) = interval.versions.first().expect("a version");
        let holds = *addresses == first.1 || *addresses > 1 << 23;
        if !interval.changed && !holds {
            assert_eq!(interval.sometimes, 0, "{start}: {interval:?}");
        }
    }
    let observed: BTreeSet<_> = lists.iter().map(|(_, addresses)| *addresses).collect();
    assert!(
        observed.contains(&first.0) && observed.contains(&first.1),
        "{observed:?}"
    );
}

/// An exclude file of 5,000 prefixes, with or without one that holds [`FAR`].
fn excludes(far: bool) -> String {
    let mut text = String::from("# made by a database\r\n\r\n");
    for number in 0..5_000u32 {
        let address = Ipv4Addr::from(0xc612_1000 + 8 * number);
        let line = match number % 2 {
            0 => format!("{address}/29\r\n"),
            _ => format!("{address} # a host\r\n"),
        };
        text.push_str(&line);
    }
    if far {
        text.push_str("198.19.0.0/24\n198.19.0.0/24\n203.0.113.0/24\n");
    }
    text
}

/// In the darknet, and excluded at times.
const FAR: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 7);

#[test]
fn an_exclude_file_of_5000_lines_reloads_under_traffic() {
    let test = "an_exclude_file_of_5000_lines_reloads_under_traffic";
    let Some(wire) = Wire::new(test, 1) else {
        return;
    };
    let _alone = one_at_a_time();
    let here = tempfile::tempdir().expect("a temporary folder");
    let config = here.path().join("noctule.toml");
    let list = here.path().join("exclude.txt");
    let settings = format!(
        "prefixes = [\"198.18.0.0/15\"]\nexclude_file = \"{}\"\ninterval = 1\nframes = 32768\n",
        list.display()
    );
    fs::write(&config, settings).expect("room for a file");
    let write = |text: &str| fs::write(&list, text).expect("room for a file");
    write(&excludes(false));
    let path = config.to_str().expect("a path in UTF-8");
    let mut collector = Collector::start(&wire, 1, ["--config", path]);

    let enough = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let traffic = scope.spawn(|| alternate(&wire, FAR, &enough));
        for (number, far) in [true, false, true].into_iter().enumerate() {
            write(&excludes(far));
            collector.signal("HUP");
            wait_until("the new list decides", LIMIT, || {
                lines(&collector, " decide, ") > number
            });
            thread::sleep(Duration::from_millis(2_200));
        }
        write("198.18.3.0/24\n198.18.3.0/24,JP\n");
        collector.signal("HUP");
        wait_until("the bad list is refused", LIMIT, || {
            lines(&collector, "reload refused") == 1
        });
        thread::sleep(Duration::from_millis(1_200));
        enough.store(true, Ordering::Relaxed);
        traffic.join().expect("traffic")
    });
    let said = collector.stderr();
    let refusal = said.lines().find(|line| line.contains("reload refused"));
    let parts = ["stay", "exclude.txt", "line 2", "198.18.3.0/24,JP"];
    assert!(
        refusal.is_some_and(|line| parts.iter().all(|part| line.contains(part))),
        "{said}"
    );
    let told = "1 repeated (such as 198.19.0.0/24), 1 outside the darknet (such as 203.0.113.0/24)";
    assert_eq!(lines(&collector, told), 2, "{said}");
    assert!(sent < u64::from(MOST_FRAMES), "the traffic ended too early");
    let always = sent.div_ceil(2);
    collector.wait_for(always);
    let (ended, kept) = collector.stop();
    let summary = ended.success().summary();

    let ledger = kept.ledger();
    balanced(&ledger);
    assert_eq!(account(&ledger).lost, 0, "the machine was too busy");
    let packets = |port| {
        let cells = summary.cells.iter().filter(|cell| cell.port == Some(port));
        cells.map(|cell| cell.packets).sum::<u64>()
    };
    assert_eq!(packets(23), always, "dark by every list, counted whole");

    let dark_far = (1 << 17) - 2_500 * 8 - 2_500;
    let all = intervals(&kept.path());
    let changes = all.values().filter(|interval| interval.changed).count();
    assert_eq!(changes, 3, "{all:#?}");
    let mut seen = BTreeSet::new();
    let mut far = 0;
    for (start, interval) in &all {
        assert_eq!(interval.versions.len(), 1, "{start}: {interval:?}");
        let (_, addresses) = interval.versions.first().expect("a version");
        assert!(
            [dark_far, dark_far - 256].contains(addresses),
            "{interval:?}"
        );
        seen.insert(*addresses);
        far += interval.sometimes;
        if !interval.changed && *addresses != dark_far {
            assert_eq!(interval.sometimes, 0, "{start}: {interval:?}");
        }
    }
    assert_eq!(seen.len(), 2, "{all:#?}");
    assert!(far > 0 && u64::try_from(far) == Ok(packets(7)) && packets(7) < sent / 2);
}
