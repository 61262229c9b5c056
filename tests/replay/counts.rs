//! `noctule replay`: right counts from every kind of capture, however it is given.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use noctule_counters::summary::Summary;
use noctule_testkit::data::{self, Telescope};
use noctule_testkit::frames::{self, DARK_PREFIX, write_syns};
use noctule_testkit::program::{Ended, LIMIT, Running, noctule, replay};
use noctule_testkit::{compare, store};

/// A whole minute, seconds since 1970.
const MINUTE: i64 = 1_700_000_040;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Replays a telescope capture, given under another name and with more arguments.
fn replay_as(one: &Telescope, files: &[&Path], more: &[&str]) -> Summary {
    let mut arguments = vec!["--prefix", &one.prefix];
    arguments.extend(more);
    arguments.extend(files.iter().map(|file| text(file)));
    replay(arguments).success().summary()
}

#[test]
fn telescope_captures_give_what_an_independent_reading_gives() {
    let Some(folder) = data::folder("telescope_captures_give_what_an_independent_reading_gives")
    else {
        return;
    };
    let countries = data::countries(&folder);
    for one in data::telescope(&folder) {
        for workers in ["1", "3"] {
            let what = format!("{}, {workers} workers", one.capture.display());
            let more = ["--workers", workers, "--country-db", text(&countries)];
            let summary = replay_as(&one, &[&one.capture], &more);
            compare::assert_fields(&what, &one.expected, &summary);
            compare::assert_adds_up(&what, &summary);
        }
    }
}

#[test]
fn a_capture_counts_the_same_packed_or_through_a_pipe() {
    let Some(folder) = data::folder("a_capture_counts_the_same_packed_or_through_a_pipe") else {
        return;
    };
    let one = data::capture(&folder, "synack-reflection");
    let plain = replay_as(&one, &[&one.capture], &[]);
    compare::assert_fields("plain", &without_countries(&one), &plain);
    let octets = fs::read(&one.capture).expect("the capture");
    let here = tempfile::tempdir().expect("a temporary folder");

    let gzip = here.path().join("capture.gz");
    let file = File::create(&gzip).expect("a file");
    let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    packer.write_all(&octets).expect("room for a file");
    packer.finish().expect("room for a file");
    compare::assert_same("gzip", &plain, &replay_as(&one, &[&gzip], &[]));

    let zst = here.path().join("capture.zst");
    let packed = zstd::encode_all(&octets[..], 1).expect("zstd packs");
    fs::write(&zst, packed).expect("room for a file");
    compare::assert_same("zstd", &plain, &replay_as(&one, &[&zst], &[]));

    for input in [&one.capture, &gzip, &zst] {
        let mut command = noctule(["replay", "--summary", "json", "--prefix", &one.prefix, "-"]);
        let ended = Running::start_with_input(&mut command, input).wait(LIMIT);
        let what = format!("{} through standard input", input.display());
        compare::assert_same(&what, &plain, &ended.success().summary());
    }
}

fn without_countries(one: &Telescope) -> serde_json::Value {
    let mut expected = one.expected.clone();
    if let Some(fields) = expected.as_object_mut() {
        fields.remove("sources_by_country");
    }
    expected
}

#[test]
fn two_halves_of_a_capture_count_as_the_whole() {
    let Some(folder) = data::folder("two_halves_of_a_capture_count_as_the_whole") else {
        return;
    };
    let here = tempfile::tempdir().expect("a temporary folder");
    for name in ["synack-reflection", "backscatter"] {
        let one = data::capture(&folder, name);
        let whole = replay_as(&one, &[&one.capture], &[]);
        let frames = frames::read(&one.capture);
        let halves = [0, 1].map(|half| {
            let path = here.path().join(format!("{name}-{half}.pcap"));
            frames::write(&path, frames.iter().skip(half).step_by(2));
            path
        });
        let [first, second] = &halves;
        let half = replay_as(&one, &[first], &[]);
        assert!(
            half.records < whole.records,
            "a half is less than the whole"
        );
        for order in [[first, second], [second, first]] {
            let merged = replay_as(&one, &order.map(PathBuf::as_path), &[]);
            compare::assert_same(name, &whole, &merged);
        }
    }
}

#[test]
fn a_capture_cut_in_its_last_record_counts_up_to_it() {
    let Some(folder) = data::folder("a_capture_cut_in_its_last_record_counts_up_to_it") else {
        return;
    };
    let one = data::capture(&folder, "synack-reflection");
    let frames = frames::read(&one.capture);
    let octets = fs::read(&one.capture).expect("the capture");
    let last = octets.len() - 16 - frames[frames.len() - 1].octets.len();
    let here = tempfile::tempdir().expect("a temporary folder");
    let whole = here.path().join("whole.pcap");
    fs::write(&whole, &octets[..last]).expect("room for a file");
    let expected = replay_as(&one, &[&whole], &[]);
    assert_eq!(expected.records, frames.len() as u64 - 1);

    let cut = here.path().join("cut.pcap");
    for length in [last + 5, last + 16, octets.len() - 1] {
        fs::write(&cut, &octets[..length]).expect("room for a file");
        let ended = replay(["--prefix", &one.prefix, text(&cut)]).success();
        compare::assert_same("cut", &expected, &ended.summary());
        let warnings = ended.lines("noctule: warning: ");
        let place = format!("{} is cut at offset {last}", cut.display());
        assert!(
            matches!(warnings[..], [line] if line.contains(&place)),
            "{}",
            ended.stderr
        );
    }
}

/// Replays SYNs at these seconds after [`MINUTE`] into a store, at a minute's interval.
///
/// Returns the summary and, by interval: start after [`MINUTE`], records, counted, late, jumps.
fn replay_seconds(seconds: &[i64]) -> (Summary, Vec<[i64; 5]>) {
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("capture.pcap");
    let seconds: Vec<i64> = seconds.iter().map(|second| MINUTE + second).collect();
    write_syns(&capture, &seconds);
    let folder = here.path().join("store");
    let store = ["--store", text(&folder), text(&capture)];
    let ended = replay([&["--prefix", DARK_PREFIX], &store[..]].concat()).success();
    let row = |row: &store::LedgerRow| {
        let counts = [
            "records",
            "counted_packets",
            "late_packets",
            "time_jump_packets",
        ];
        let [a, b, c, d] = counts.map(|name| row.get(name));
        [row.start - MINUTE, a, b, c, d]
    };
    let ledger = store::ledger(&folder).iter().map(row).collect();
    (ended.summary(), ledger)
}

#[test]
fn what_comes_late_counts_in_the_oldest_open_interval() {
    // The third steps back within the open two, the fifth and the last beyond them.
    let (summary, ledger) = replay_seconds(&[5, 70, 6, 130, 7, 131, 8]);
    assert_eq!((summary.records, summary.dark_packets), (7, 7));
    assert_eq!((summary.late_packets, summary.intervals), (2, 3));
    let expected = [[0, 2, 2, 0, 0], [60, 3, 3, 2, 0], [120, 2, 2, 0, 0]];
    assert_eq!(ledger, expected);
}

#[test]
fn a_lone_record_a_year_ahead_counts_where_time_stands() {
    let year = 365 * 86_400;
    let (summary, ledger) = replay_seconds(&[5, 70, year, 71, 130]);
    assert_eq!((summary.dark_packets, summary.intervals), (5, 3));
    assert_eq!(summary.late_packets, 0);
    let expected = [[0, 1, 1, 0, 0], [60, 3, 3, 0, 1], [120, 1, 1, 0, 0]];
    assert_eq!(ledger, expected);
}

#[test]
fn a_jump_that_the_next_record_confirms_is_believed() {
    let day = 86_400;
    let (summary, ledger) = replay_seconds(&[5, day + 1, day + 2]);
    assert_eq!((summary.dark_packets, summary.intervals), (3, 2));
    assert_eq!(ledger, [[0, 1, 1, 0, 0], [day, 2, 2, 0, 0]]);
}

#[test]
fn empty_intervals_write_nothing_but_their_ledger_row() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("capture.pcap");
    write_syns(&capture, &[MINUTE, MINUTE + 200]);
    let folder = here.path().join("store");
    let files = ["--store", text(&folder), text(&capture)];
    let ended: Ended = replay([&["--prefix", DARK_PREFIX], &files[..]].concat()).success();
    assert_eq!(ended.summary().intervals, 2);
    let starts: Vec<_> = (store::ledger(&folder).iter())
        .map(|row| (row.start - MINUTE, row.get("counted_packets")))
        .collect();
    assert_eq!(starts, [(0, 1), (60, 0), (120, 0), (180, 1)]);
    let ports = store::files(&folder.join("ports"));
    assert_eq!(ports.len(), 2, "{:?}", ports.keys());
}
