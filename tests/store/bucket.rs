//! A store in an object store: whatever the network does and whenever the collector dies, every
//! file is there exactly once, as a replay into a folder would have written it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use noctule_testkit::bucket::{Bucket, Network, SECRETS, STORE};
use noctule_testkit::collector::Collector;
use noctule_testkit::frames::{DARK, DARK_PREFIX, syn, write_syns};
use noctule_testkit::program::{Ended, LIMIT, Running, noctule, replay};
use noctule_testkit::wire::{Wire, one_at_a_time};
use noctule_testkit::{store, wait_until};
use tempfile::TempDir;

/// An hour, seconds since 1970.
const HOUR: i64 = 1_699_999_200;
/// Files of a minute that has packets.
const FILES: usize = 3;

type Stored = BTreeMap<PathBuf, Vec<u8>>;

/// A capture, a spool, and what a replay into a folder makes of the capture.
struct Place {
    folder: TempDir,
    capture: PathBuf,
    spool: PathBuf,
    expected: Stored,
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

impl Place {
    fn new(minutes: i64) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let capture = folder.path().join("capture.pcap");
        let seconds: Vec<i64> = (0..minutes).map(|minute| HOUR + 60 * minute + 1).collect();
        write_syns(&capture, &seconds);
        let expected = into_folder(&capture, DARK_PREFIX);
        assert_eq!(expected.len(), FILES * minutes as usize);
        Self {
            spool: folder.path().join("spool"),
            folder,
            capture,
            expected,
        }
    }

    /// Starts a replay into the bucket.
    fn start(&self, bucket: &Bucket, prefix: &str, more: &[&str]) -> Running {
        let mut command = noctule(["replay", "--summary", "json", "--store", STORE]);
        command.args(["--prefix", prefix, "--spool", text(&self.spool)]);
        command.args(more).arg(&self.capture);
        Running::start(bucket.tell(&mut command))
    }

    fn replay(&self, bucket: &Bucket, prefix: &str, more: &[&str]) -> Ended {
        self.start(bucket, prefix, more).wait(LIMIT)
    }

    fn stored(&self, bucket: &Bucket) -> Stored {
        let copy = tempfile::tempdir_in(self.folder.path()).expect("a temporary folder");
        bucket.copy_to(copy.path());
        store::files(copy.path())
    }

    /// Files that wait in the spool.
    fn waiting(&self) -> usize {
        if !self.spool.exists() {
            return 0;
        }
        let files = store::files(&self.spool);
        let parquet = |path: &&PathBuf| path.extension().is_some_and(|e| e == "parquet");
        files.keys().filter(parquet).count()
    }

    /// Asserts that the bucket holds exactly what it should, and the spool nothing.
    fn delivered(&self, bucket: &Bucket) {
        assert_same(&self.stored(bucket), &self.expected);
        assert_eq!(self.waiting(), 0, "files wait in the spool");
    }
}

/// What a replay into a folder writes.
fn into_folder(capture: &Path, prefix: &str) -> Stored {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = folder.path().join("store");
    let arguments = ["--prefix", prefix, "--store", text(&store), text(capture)];
    replay(arguments).success();
    store::files(&store)
}

fn assert_same(found: &Stored, expected: &Stored) {
    let names = |stored: &Stored| stored.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected));
    assert!(found == expected, "files of equal names differ");
}

fn no_secrets(ended: &Ended) {
    for secret in SECRETS {
        for output in [&ended.stdout, &ended.stderr] {
            assert!(!output.contains(secret), "a secret is shown: {output}");
        }
    }
}

#[test]
fn a_faulty_network_delivers_every_file_once() {
    let Some(bucket) = Bucket::new("a_faulty_network_delivers_every_file_once") else {
        return;
    };
    let place = Place::new(12);
    bucket.network(Network::Flaky);
    let ended = place.replay(&bucket, DARK_PREFIX, &[]).success();
    assert!(bucket.refused() >= 6, "the network was not faulty");
    no_secrets(&ended);
    place.delivered(&bucket);
    // The same again finds everything in its place.
    bucket.network(Network::Works);
    place.replay(&bucket, DARK_PREFIX, &[]).success();
    place.delivered(&bucket);
}

#[test]
fn a_network_that_is_away_for_a_while_is_waited_for() {
    let Some(bucket) = Bucket::new("a_network_that_is_away_for_a_while_is_waited_for") else {
        return;
    };
    let place = Place::new(10);
    bucket.network(Network::AwayAfter(7));
    let mut running = place.start(&bucket, DARK_PREFIX, &[]);
    wait_until("it says that sending fails", LIMIT, || {
        assert!(running.is_running(), "{}", running.stderr());
        running.stderr().contains("fails: ")
    });
    assert!(place.waiting() >= 1, "what was not sent waits");
    bucket.network(Network::Works);
    let ended = running.wait(LIMIT).success();
    no_secrets(&ended);
    let said = |what: &str| ended.stderr.lines().filter(|l| l.contains(what)).count();
    let names = format!("sending to {STORE}");
    assert_eq!(said(&format!("{names} fails: ")), 1, "{}", ended.stderr);
    assert_eq!(
        said(&format!("{names} works again: ")),
        1,
        "{}",
        ended.stderr
    );
    place.delivered(&bucket);
}

#[test]
fn a_collector_that_dies_while_it_sends_loses_nothing() {
    let Some(bucket) = Bucket::new("a_collector_that_dies_while_it_sends_loses_nothing") else {
        return;
    };
    let place = Place::new(20);
    bucket.network(Network::Slow(Duration::from_millis(20)));
    for writes in [1, 9, 20] {
        bucket.network(Network::Slow(Duration::from_millis(20)));
        let running = place.start(&bucket, DARK_PREFIX, &[]);
        wait_until("files are being sent", LIMIT, || bucket.writes() >= writes);
        running.signal("KILL");
        let ended = running.wait(LIMIT);
        no_secrets(&ended);
        assert!(!ended.status.success(), "it was done before it was killed");
    }
    assert!(place.waiting() > 0);
    bucket.network(Network::Works);
    place.replay(&bucket, DARK_PREFIX, &[]).success();
    place.delivered(&bucket);
}

#[test]
fn what_could_not_be_sent_is_told_and_sent_by_the_next_run() {
    let Some(bucket) = Bucket::new("what_could_not_be_sent_is_told_and_sent_by_the_next_run")
    else {
        return;
    };
    let place = Place::new(6);
    bucket.network(Network::AwayAfter(4));
    let running = place.start(&bucket, DARK_PREFIX, &[]);
    wait_until("everything stands in the spool", LIMIT, || {
        bucket.writes() >= 4 && running.stderr().contains("fails: ")
    });
    running.signal("TERM");
    let ended = running.wait(LIMIT);
    let error = ended.error();
    no_secrets(&ended);
    let left = FILES * 6 - 4;
    let expected = format!("{left} files wait in {}", text(&place.spool));
    assert!(error.contains(&expected), "{error}");
    assert!(
        error.contains("the same command sends them again"),
        "{error}"
    );
    assert_eq!(place.waiting(), left);

    // Another replay of the sensor sends what the earlier one has left.
    bucket.network(Network::Works);
    let other = place.folder.path().join("other.pcap");
    write_syns(&other, &[HOUR + 86_400]);
    let mut command = noctule(["replay", "--store", STORE, "--prefix", DARK_PREFIX]);
    command.arg("--spool").arg(&place.spool).arg(&other);
    Running::start(bucket.tell(&mut command))
        .wait(LIMIT)
        .success();
    let mut expected = place.expected.clone();
    expected.extend(into_folder(&other, DARK_PREFIX));
    assert_same(&place.stored(&bucket), &expected);
    assert_eq!(place.waiting(), 0);
}

#[test]
fn other_content_under_a_files_name_is_told_and_kept() {
    let Some(bucket) = Bucket::new("other_content_under_a_files_name_is_told_and_kept") else {
        return;
    };
    let place = Place::new(2);
    place.replay(&bucket, DARK_PREFIX, &[]).success();
    let countries = place.folder.path().join("countries.csv");
    std::fs::write(&countries, "11.0.0.0,11.255.255.255,JP\n").expect("room for a file");
    let ended = place.replay(&bucket, DARK_PREFIX, &["--country-db", text(&countries)]);
    assert_eq!(ended.code(), 1);
    let (spool, there) = (text(&place.spool), format!("{STORE}/flows/"));
    let told = ended.lines("noctule: error: cannot send ");
    assert!(!told.is_empty(), "{}", ended.stderr);
    for line in told {
        assert!(line.contains(spool) && line.contains(STORE), "{line}");
    }
    assert!(ended.stderr.contains(&there), "{}", ended.stderr);
    assert_same(&place.stored(&bucket), &place.expected);
}

#[test]
fn a_range_in_a_bucket_is_replaced_as_one_step() {
    let Some(bucket) = Bucket::new("a_range_in_a_bucket_is_replaced_as_one_step") else {
        return;
    };
    let place = Place::new(8);
    place.replay(&bucket, DARK_PREFIX, &[]).success();
    let wider = "198.16.0.0/12";
    let new = into_folder(&place.capture, wider);

    let ended = place.replay(&bucket, wider, &[]);
    let error = ended.error();
    assert!(
        error.contains("--replace") && error.contains(STORE),
        "{error}"
    );
    place.delivered(&bucket);

    // Killed while it stages, the old is whole.
    bucket.network(Network::Slow(Duration::from_millis(20)));
    let running = place.start(&bucket, wider, &["--replace"]);
    wait_until("files are being staged", LIMIT, || bucket.writes() >= 5);
    running.signal("KILL");
    running.wait(LIMIT);
    let mut found = place.stored(&bucket);
    found.retain(|path, _| !path.starts_with("_staging"));
    assert_same(&found, &place.expected);

    // Killed while it carries out the change, the next run finishes it.
    bucket.network(Network::Slow(Duration::from_millis(20)));
    let running = place.start(&bucket, wider, &["--replace"]);
    // The staged files, the record, and some that are in their places.
    let enough = new.len() as u64 + 1 + 5;
    wait_until("the change is being made", LIMIT, || {
        bucket.writes() >= enough
    });
    running.signal("KILL");
    running.wait(LIMIT);
    bucket.network(Network::Works);
    place.replay(&bucket, wider, &[]).success();
    assert_same(&place.stored(&bucket), &new);
}

#[test]
fn a_bucket_is_asked_and_rolled_up_as_a_folder_is() {
    let Some(bucket) = Bucket::new("a_bucket_is_asked_and_rolled_up_as_a_folder_is") else {
        return;
    };
    let place = Place::new(3);
    place.replay(&bucket, DARK_PREFIX, &[]).success();
    let ask = |more: &[&str]| {
        let mut command = noctule(more);
        command.args(["--store", STORE]);
        Running::start(bucket.tell(&mut command)).wait(LIMIT)
    };
    bucket.network(Network::Flaky);
    let ended = ask(&["rollup"]);
    no_secrets(&ended);
    ended.success();
    let ended = ask(&["store", "verify"]);
    ended.success();
    let sql = "SELECT SUM(packets) AS packets FROM ports_daily UNION ALL \
               SELECT SUM(packets) FROM ports UNION ALL SELECT SUM(matched_packets) FROM ledger_daily";
    let ended = ask(&["query", "--format", "csv", sql]);
    no_secrets(&ended);
    let three = ended.success().stdout;
    assert!(bucket.refused() > 0, "the network was not faulty");
    let numbers: Vec<&str> = three.lines().skip(1).collect();
    assert_eq!(numbers, ["3", "3", "3"], "{three}");
    // Made once: the second rollup finds nothing to do.
    let before = place.stored(&bucket);
    ask(&["rollup"]).success();
    assert_same(&place.stored(&bucket), &before);
}

/// The sensor's namespace has no way to the object store: it is away as long as the run lasts.
#[test]
fn a_live_run_without_its_bucket_keeps_everything() {
    let test = "a_live_run_without_its_bucket_keeps_everything";
    let (Some(bucket), Some(wire)) = (Bucket::new(test), Wire::new(test, 1)) else {
        return;
    };
    let _alone = one_at_a_time();
    let place = Place::new(1);
    let arguments = ["--prefix", DARK_PREFIX, "--interval", "1"];
    let spool = ["--spool", text(&place.spool)];
    let arguments = [&arguments[..], &spool].concat();
    let mut collector = Collector::start_with(&wire, 1, STORE.as_ref(), arguments, |command| {
        bucket.tell(command);
    });
    let sent = wire.send((0..500).map(|number| syn(number, DARK, 23)), 10_000);
    wait_until("the frames have arrived", LIMIT, || wire.arrived() >= sent);
    thread::sleep(Duration::from_millis(1500));
    assert!(collector.is_running());
    let (ended, _folder) = collector.stop();
    let ended = ended.success();
    no_secrets(&ended);
    assert_eq!(ended.summary().dark_packets, sent);
    let waiting = place.waiting();
    assert!(waiting >= FILES);
    let expected = format!("{waiting} files wait in {}", text(&place.spool));
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);

    // The next run of the sensor, which reaches it.
    place.replay(&bucket, DARK_PREFIX, &[]).success();
    assert_eq!(place.waiting(), 0);
    assert_eq!(place.stored(&bucket).len(), waiting + place.expected.len());
}
