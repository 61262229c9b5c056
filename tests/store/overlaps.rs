//! Nothing is counted twice and nothing is overwritten silently: replays of what another run has
//! observed are refused, or swap it as one step.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use noctule_store::{Store, Table};
use noctule_testkit::collector::Collector;
use noctule_testkit::frames::{self, DARK, DARK_PREFIX, Frame, syn, write_syns};
use noctule_testkit::program::{Ended, LIMIT, Running, noctule, replay};
use noctule_testkit::wire::{Wire, one_at_a_time};
use noctule_testkit::{store, wait_until};
use tempfile::TempDir;

/// An hour, seconds since 1970.
const HOUR: i64 = 1_699_999_200;
/// Holds what [`DARK_PREFIX`] holds, so that a replay counts the same packets under another name.
const WIDER: &str = "198.16.0.0/12";

type Stored = BTreeMap<PathBuf, Vec<u8>>;

struct Place {
    folder: TempDir,
    store: PathBuf,
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = folder.path().join("store");
        Self { folder, store }
    }

    /// A capture of SYNs at these seconds after [`HOUR`].
    fn capture(&self, name: &str, seconds: impl IntoIterator<Item = i64>) -> PathBuf {
        let path = self.folder.path().join(name);
        let seconds: Vec<i64> = seconds.into_iter().map(|second| HOUR + second).collect();
        write_syns(&path, &seconds);
        path
    }

    fn replay(&self, prefix: &str, more: &[&str], capture: &Path) -> Ended {
        let what = ["--prefix", prefix, "--store", text(&self.store)];
        replay([&what[..], more, &[text(capture)]].concat())
    }

    /// The store's files once it has been opened again.
    fn opened(&self) -> Stored {
        Store::open(&self.store, "sensor").unwrap_or_else(|error| panic!("{error}"));
        let mut files = store::files(&self.store);
        files.retain(|path, _| !path.starts_with("_staging"));
        files
    }

    fn packets(&self) -> i64 {
        store::sum(&self.store, Table::Ports, "packets")
    }

    /// Asserts that a replay is refused and has changed nothing.
    fn refused(&self, prefix: &str, more: &[&str], capture: &Path, because: &str) {
        let before = store::files(&self.store);
        let ended = self.replay(prefix, more, capture);
        let error = ended.error();
        assert!(error.contains(because), "{error}");
        assert!(error.contains(text(&self.store)), "{error}");
        assert!(store::files(&self.store) == before, "the store has changed");
    }
}

fn assert_same(found: &Stored, expected: &Stored) {
    let names = |stored: &Stored| stored.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected));
    assert!(found == expected, "files of equal names differ");
}

#[test]
fn another_prefix_list_is_refused_and_replaces_if_asked_to() {
    let place = Place::new();
    let capture = place.capture("capture.pcap", [1, 2, 61, 125]);
    place.replay(DARK_PREFIX, &[], &capture).success();
    place.refused(WIDER, &[], &capture, "--replace");
    let minutes = ["--interval", "10"];
    place.refused(WIDER, &minutes, &capture, "--replace");

    // What lies outside the range stays, and so does another sensor's.
    let later = place.capture("later.pcap", [600]);
    place.replay(DARK_PREFIX, &[], &later).success();
    place
        .replay(DARK_PREFIX, &["--sensor", "other"], &capture)
        .success();
    let kept: Stored = (place.opened().into_iter())
        .filter(|(path, _)| text(path).contains("sensor=other") || text(path).contains("T221000Z"))
        .collect();
    assert_eq!(kept.len(), 3 + 9);

    let ended = place.replay(WIDER, &["--replace"], &capture).success();
    assert!(
        ended.stderr.contains("9 files came, 9 went"),
        "{}",
        ended.stderr
    );
    let alone = Place::new();
    alone.replay(WIDER, &[], &capture).success();
    let mut expected = alone.opened();
    expected.extend(kept);
    assert_same(&place.opened(), &expected);
    // Twice is no more.
    place.replay(WIDER, &["--replace"], &capture).success();
    assert_same(&place.opened(), &expected);
    assert_eq!(place.packets(), 4 + 1 + 4);
}

#[test]
fn a_single_packet_is_not_counted_twice_either() {
    let place = Place::new();
    let capture = place.capture("capture.pcap", [7]);
    place.replay(DARK_PREFIX, &[], &capture).success();
    place.refused(WIDER, &[], &capture, "--replace");
}

#[test]
fn captures_that_follow_one_another_share_an_interval() {
    let place = Place::new();
    let frames: Vec<Frame> = (0..400)
        .map(|number| Frame {
            time_us: HOUR * 1_000_000 + i64::from(number) * 400_000,
            link: noctule_packet::link::LinkType::Ethernet,
            octets: syn(number, DARK, 23),
        })
        .collect();
    let [whole, first, second] = ["whole", "first", "second"].map(|name| {
        let path = place.folder.path().join(name);
        let (from, to) = match name {
            "whole" => (0, 400),
            "first" => (0, 222),
            _ => (222, 400),
        };
        frames::write(&path, &frames[from..to]);
        path
    });
    place.replay(DARK_PREFIX, &[], &first).success();
    place.replay(DARK_PREFIX, &[], &second).success();
    let alone = Place::new();
    alone.replay(DARK_PREFIX, &[], &whole).success();
    for (table, column) in [
        (Table::Ports, "packets"),
        (Table::Flows, "packets"),
        (Table::Ledger, "counted_packets"),
        (Table::Ledger, "records"),
    ] {
        let sums = [&place, &alone].map(|place| store::sum(&place.store, table, column));
        assert_eq!(sums, [400; 2], "{table} {column}");
    }
    // In whatever order they come, the whole overlaps both.
    place.refused(DARK_PREFIX, &[], &whole, "has observed the same time");
    alone.refused(DARK_PREFIX, &[], &second, "has observed the same time");
}

#[test]
fn an_interval_that_lies_partly_in_the_range_is_refused() {
    let place = Place::new();
    let long = place.capture("long.pcap", [1, 599]);
    place
        .replay(DARK_PREFIX, &["--interval", "600"], &long)
        .success();
    let within = place.capture("within.pcap", [130, 190]);
    place.refused(WIDER, &["--replace"], &within, "give --interval 600");
    place
        .replay(WIDER, &["--replace", "--interval", "600"], &within)
        .success();
    assert_eq!(place.packets(), 2);
}

#[test]
fn a_replacing_replay_that_fails_changes_nothing() {
    let place = Place::new();
    let capture = place.capture("capture.pcap", [1, 61]);
    place.replay(DARK_PREFIX, &[], &capture).success();
    let before = place.opened();
    let damaged = place.capture("damaged.pcap", [1, 61]);
    let mut octets = fs::read(&damaged).expect("the capture");
    let second = 24 + 16 + 54;
    octets[second + 8..second + 12].fill(0xff);
    fs::write(&damaged, octets).expect("room for a file");
    let ended = place.replay(WIDER, &["--replace"], &damaged);
    ended.error();
    assert_same(&place.opened(), &before);
    assert!(!place.store.join("_staging").exists(), "something is left");
    let ended = replay(["--prefix", WIDER, "--replace", text(&capture)]);
    assert!(ended.error().contains("--store"), "{}", ended.stderr);
}

#[test]
fn a_replacing_replay_that_dies_leaves_the_old_or_the_new() {
    const MINUTES: i64 = 40;
    const PACKETS: i64 = 2 * MINUTES;
    let place = Place::new();
    let seconds = |offset| (0..PACKETS).map(move |number| 30 * number + offset);
    let old = place.capture("old.pcap", seconds(2));
    let new = place.capture("new.pcap", seconds(3).chain([59]));
    place.replay(DARK_PREFIX, &[], &old).success();
    let before = place.opened();
    let alone = Place::new();
    let began = Instant::now();
    alone.replay(WIDER, &[], &new).success();
    let takes = began.elapsed();
    let after = alone.opened();
    let (mut olds, mut news) = (0, 0);
    let mut check = |what: &str| {
        let found = place.opened();
        if found.keys().eq(before.keys()) {
            assert_same(&found, &before);
            assert_eq!(place.packets(), PACKETS, "{what}");
            olds += 1;
        } else {
            assert_same(&found, &after);
            assert_eq!(place.packets(), PACKETS + 1, "{what}");
            news += 1;
            // Back to the old.
            let ended = place.replay(DARK_PREFIX, &["--replace"], &old);
            ended.success();
            assert_same(&place.opened(), &before);
        }
    };
    let start = || {
        let mut command = noctule([
            "replay",
            "--summary",
            "none",
            "--replace",
            "--prefix",
            WIDER,
        ]);
        Running::start(command.arg("--store").arg(&place.store).arg(&new))
    };
    // At moments spread over its run.
    for part in [1, 3, 5, 7, 8, 9] {
        let running = start();
        thread::sleep(takes * part / 8);
        running.signal("KILL");
        running.wait(LIMIT);
        check(&format!("killed after {part} eighths"));
    }
    // While the change is being carried out: when it is recorded, and when files have moved.
    let changes = place.store.join("_changes");
    for wait_ms in [0, 5, 20] {
        let mut running = start();
        wait_until("the change is recorded", LIMIT, || {
            let recorded = fs::read_dir(&changes).is_ok_and(|mut entries| {
                entries.any(|e| e.is_ok_and(|e| text(&e.path()).ends_with(".json")))
            });
            recorded || !running.is_running()
        });
        thread::sleep(Duration::from_millis(wait_ms));
        if running.is_running() {
            running.signal("KILL");
        }
        running.wait(LIMIT);
        check(&format!("killed {wait_ms} ms after the record"));
    }
    assert!(olds > 0 && news > 0, "{olds} old, {news} new");
}

#[test]
fn a_replacing_replay_that_is_stopped_changes_nothing() {
    let place = Place::new();
    let capture = place.capture("capture.pcap", (0..120).map(|minute| 60 * minute));
    place.replay(DARK_PREFIX, &[], &capture).success();
    let before = place.opened();
    let mut command = noctule(["replay", "--summary", "none", "--replace"]);
    command
        .args(["--prefix", WIDER, "--store"])
        .arg(&place.store);
    let running = Running::start(command.arg(&capture));
    wait_until("files are being staged", LIMIT, || {
        place.store.join("_staging").exists()
    });
    running.signal("TERM");
    let ended = running.wait(LIMIT);
    let error = ended.error();
    assert!(error.contains("nothing was replaced"), "{error}");
    assert_same(&place.opened(), &before);
    assert!(!place.store.join("_staging").exists(), "something is left");
}

#[test]
fn a_collector_restarted_within_an_interval_is_no_other_run() {
    let test = "a_collector_restarted_within_an_interval_is_no_other_run";
    let Some(wire) = Wire::new(test, 1) else {
        return;
    };
    let _alone = one_at_a_time();
    let place = Place::new();
    // Both runs within one hour.
    let left = 3600 - unix_seconds() % 3600;
    if left < 40 {
        thread::sleep(Duration::from_secs(left + 1));
    }
    let arguments = ["--prefix", DARK_PREFIX, "--interval", "3600"];
    let mut sent = 0;
    for _ in 0..2 {
        let collector = Collector::start_with(&wire, 1, &place.store, arguments, |_| {});
        let before = wire.arrived();
        let some = wire.send((0..500).map(|number| syn(number, DARK, 23)), 10_000);
        wait_until("the frames have arrived", LIMIT, || {
            wire.arrived() >= before + some
        });
        let (ended, _folder) = collector.stop();
        let ended = ended.success();
        assert!(
            !ended.stderr.contains("observed the same time"),
            "{}",
            ended.stderr
        );
        assert_eq!(ended.summary().dark_packets, some);
        sent += some;
    }
    assert_eq!(place.packets(), sent as i64);
    let ledger = store::files(&place.store.join("ledger"));
    assert_eq!(ledger.len(), 2, "one interval, two runs");
}

fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("a clock after 1970").as_secs()
}
