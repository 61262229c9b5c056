//! The wall clock is set while a collector runs: every packet is counted once, in files that nothing
//! overwrites, and the ledger says what was observed and where the clock was set.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use noctule_testkit::collector::Collector;
use noctule_testkit::frames::{DARK, DARK_PREFIX, syn};
use noctule_testkit::program::LIMIT;
use noctule_testkit::store::{account, files};
use noctule_testkit::wait_until;
use noctule_testkit::wire::{Wire, one_at_a_time};

/// The wall clock of a collector that a test sets.
struct Clock {
    file: fs::File,
    path: PathBuf,
    library: PathBuf,
}

impl Clock {
    fn new(folder: &Path) -> Self {
        let library = folder.join("clock_shift.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("live/clock_shift.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .status()
            .expect("cc runs");
        assert!(built.success(), "the library is built");
        let path = folder.join("shift");
        let file = fs::File::create(&path).expect("room for a file");
        let clock = Self {
            file,
            path,
            library,
        };
        clock.set(0);
        clock
    }

    /// Sets the clock this many seconds from the true time.
    fn set(&self, seconds: i64) {
        let microseconds = (seconds * 1_000_000).to_ne_bytes();
        (self.file.write_all_at(&microseconds, 0)).expect("room for a number");
    }

    fn preload(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("NOCTULE_CLOCK_SHIFT", &self.path);
    }
}

/// Steps that a test makes, in seconds.
const STEPS: [i64; 4] = [-6, -3_600, 3_601, 86_400];

#[test]
fn every_packet_is_counted_once_while_the_clock_is_set() {
    let Some(wire) = Wire::new("every_packet_is_counted_once_while_the_clock_is_set", 2) else {
        return;
    };
    let _alone = one_at_a_time();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = Clock::new(folder.path());
    let arguments = ["--prefix", DARK_PREFIX, "--interval", "10"];
    let began = Instant::now();
    let mut collector = Collector::start_with(&wire, 2, "store".as_ref(), arguments, |command| {
        clock.preload(command);
    });
    let (mut sent, mut shift, mut kept) = (0, 0, files(&collector.store()));
    for (number, step) in (1..).zip(STEPS) {
        let frames = |from: u32| (from..from + 500).map(|n| syn(n, DARK, 23));
        sent += wire.send(frames(number as u32 * 1000), 5_000);
        shift += step;
        clock.set(shift);
        wait_until("the step is noticed", LIMIT, || {
            assert!(collector.is_running(), "{}", collector.stderr());
            let said = collector.stderr();
            said.matches("the clock was set ").count() == number
        });
        sent += wire.send(frames(number as u32 * 1000 + 500), 5_000);
        thread::sleep(Duration::from_secs(1));
        // Files that were written are as they were.
        let now = files(&collector.store());
        for (path, octets) in &kept {
            assert_eq!(now.get(path), Some(octets), "{}", path.display());
        }
        kept = now;
    }
    let (ended, store) = collector.stop();
    let watched = began.elapsed();
    let said = ended.success().stderr.clone();
    for line in [
        "back by 6.0",
        "back by 3600.0",
        "forward by 3601.0",
        "forward by 86400.0",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let ledger = store.ledger();
    let sums = account(&ledger);
    assert_eq!((sums.counted, sums.lost), (sent as i64, 0), "{ledger:?}");
    for queue in [0, 1] {
        let rows: Vec<_> = ledger.iter().filter(|row| row.queue == queue).collect();
        let mut steps: Vec<i64> = (rows.iter())
            .map(|row| (row.get("clock_step_ms") + 500).div_euclid(1000))
            .filter(|step| *step != 0)
            .collect();
        let mut expected = STEPS.to_vec();
        steps.sort_unstable();
        expected.sort_unstable();
        assert_eq!(steps, expected, "queue {queue}");
        // No time is claimed that was not observed.
        let observed: i64 = rows.iter().map(|row| row.get("observed_ms")).sum();
        assert!(
            observed <= watched.as_millis() as i64,
            "{observed} ms of {watched:?}"
        );
        assert!(observed >= 5_000, "{observed} ms");
        assert!(rows.iter().all(|row| row.get("observed_ms") <= 10_000));
    }
}
