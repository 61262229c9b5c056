//! `noctule replay --follow`: captures that others are still writing, each record counted once, whatever
//! happens to the files and to the program.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use noctule_store::Table;
use noctule_testkit::frames::{DARK_PREFIX, write_syns};
use noctule_testkit::program::{Ended, LIMIT, Running, noctule};
use noctule_testkit::{store, wait_until};
use tempfile::TempDir;

/// A whole minute, seconds since 1970.
const MINUTE: i64 = 1_700_000_040;
/// Octets of a record of a SYN, and of a capture's header.
const RECORD_BYTES: usize = 16 + 54;
const HEADER_BYTES: usize = 24;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A followed folder and a store, in a folder of their own.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("captures")).expect("a folder");
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("captures").join(name)
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn follow(&self) -> Running {
        let (captures, store) = (self.folder.path().join("captures"), self.store());
        Running::start(&mut noctule([
            "replay",
            "--prefix",
            DARK_PREFIX,
            "--max-flows",
            "1000",
            "--settle",
            "2",
            "--store",
            text(&store),
            "--follow",
            text(&captures),
        ]))
    }

    /// The octets of a capture of this many SYNs, one a second.
    fn capture(&self, from: i64, records: i64) -> Vec<u8> {
        let path = self.folder.path().join("made.pcap");
        let seconds: Vec<_> = (0..records).map(|second| from + second).collect();
        write_syns(&path, &seconds);
        fs::read(path).expect("the capture")
    }

    /// Packets that are stored.
    fn packets(&self) -> i64 {
        if !self.store().join("ports").exists() {
            return 0;
        }
        store::sum(&self.store(), Table::Ports, "packets")
    }

    fn wait_for(&self, packets: i64) {
        wait_until(&format!("{packets} packets are stored"), LIMIT, || {
            self.packets() == packets
        });
    }
}

fn append(path: &Path, octets: &[u8]) {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.expect("a file")
        .write_all(octets)
        .expect("room for a file");
}

fn stop(running: Running) -> Ended {
    running.signal("TERM");
    running.wait(LIMIT).success()
}

#[test]
fn files_that_grow_are_rotated_renamed_and_compressed_count_once() {
    let place = Place::new();
    let first = place.capture(MINUTE, 200);
    let running = place.follow();
    // Cut within a record, as a writer's buffer leaves it.
    let cut = HEADER_BYTES + 100 * RECORD_BYTES + 30;
    append(&place.file("first.pcap"), &first[..cut]);
    place.wait_for(100);
    append(&place.file("first.pcap"), &first[cut..]);
    // One that appears under a temporary name.
    let second = place.capture(MINUTE + 200, 100);
    append(&place.file(".second.tmp"), &second);
    place.wait_for(200);
    fs::rename(place.file(".second.tmp"), place.file("second.pcap")).expect("a rename");
    place.wait_for(300);
    // One that is compressed after it was counted, under its own name and another.
    let packed = zstd::encode_all(&second[..], 1).expect("zstd packs");
    fs::write(place.file("second.pcap.zst"), packed).expect("room for a file");
    fs::rename(place.file("second.pcap"), place.file("old.pcap")).expect("a rename");
    // A ring of files: a name comes again with other records.
    fs::write(place.file("first.pcap"), place.capture(MINUTE + 300, 50)).expect("room");
    fs::write(place.file("notes.txt"), "no capture").expect("room for a file");
    place.wait_for(350);
    wait_until("the stranger is named", LIMIT, || {
        running.stderr().contains("notes.txt")
    });
    sleep(Duration::from_secs(3));
    let ended = stop(running);
    assert_eq!(place.packets(), 350, "{}", ended.stderr);
    assert_eq!(ended.lines("noctule: error: ").len(), 0);

    // Another run counts nothing again, and goes on.
    let before = store::files(&place.store().join("ports"));
    let running = place.follow();
    append(&place.file("third.pcap"), &place.capture(MINUTE + 350, 10));
    place.wait_for(360);
    sleep(Duration::from_secs(3));
    stop(running);
    assert_eq!(place.packets(), 360);
    let after = store::files(&place.store().join("ports"));
    assert!(
        before
            .iter()
            .all(|(path, octets)| after.get(path) == Some(octets))
    );
}

#[test]
fn a_kill_at_any_moment_loses_and_repeats_nothing() {
    let place = Place::new();
    for number in 0..6 {
        let octets = place.capture(MINUTE + number * 1000, 1000);
        fs::write(place.file(&format!("{number}.pcap")), octets).expect("room for a file");
    }
    for delay in 0..10 {
        let mut running = place.follow();
        let until = Instant::now() + Duration::from_millis(2000 + 70 * delay);
        while Instant::now() < until {
            assert!(running.is_running(), "{}", running.stderr());
            sleep(Duration::from_millis(5));
        }
        running.signal("KILL");
        assert!(!running.wait(LIMIT).status.success());
    }
    let running = place.follow();
    place.wait_for(6000);
    sleep(Duration::from_secs(3));
    stop(running);
    assert_eq!(place.packets(), 6000);
}

#[test]
fn two_followers_and_missing_settings_are_refused() {
    let place = Place::new();
    append(&place.file("one.pcap"), &place.capture(MINUTE, 10));
    let running = place.follow();
    place.wait_for(10);
    let second = place.follow().wait(LIMIT);
    assert!(second.error().contains("is in use"), "{}", second.stderr);
    stop(running);
    let follow = |arguments: &[&str]| {
        let captures = place.folder.path().join("captures");
        let mut command = vec![
            "replay",
            "--prefix",
            DARK_PREFIX,
            "--follow",
            text(&captures),
        ];
        command.extend(arguments);
        Running::start(&mut noctule(command)).wait(LIMIT)
    };
    assert!(follow(&[]).error().contains("--follow needs a store"));
    assert_eq!(follow(&["a.pcap"]).code(), 2);
}
