//! Captures whose times are odd (counting rule 9): nonsense among good times, wrong starts, clocks that
//! were set, times that cannot be stored. Every record with a good time counts in its own interval.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use noctule_testkit::frames::{self, DARK, DARK_PREFIX, Frame, syn, write_syns};
use noctule_testkit::program::{Ended, replay};
use noctule_testkit::{python, store};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A whole minute, seconds since 1970.
const MINUTE: i64 = 1_700_000_040;
const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// By interval: its start, records, late, time jumps.
type Rows = Vec<[i64; 4]>;

fn rows(folder: &Path) -> Rows {
    let mut rows: Rows = Vec::new();
    let mut ledger = store::ledger(folder);
    ledger.sort_by_key(|row| row.start);
    for row in &ledger {
        let counts = ["records", "late_packets", "time_jump_packets"].map(|name| row.get(name));
        assert_eq!(row.get("records"), row.get("counted_packets"));
        match rows.last_mut() {
            // Eras of a run.
            Some(last) if last[0] == row.start => (0..3).for_each(|at| last[at + 1] += counts[at]),
            _ => rows.push([row.start, counts[0], counts[1], counts[2]]),
        }
    }
    rows
}

/// Replays captures into a store; returns the outcome and the intervals that have records.
fn count(captures: &[&Path], more: &[&str]) -> (Ended, Rows) {
    let here = tempfile::tempdir().expect("a temporary folder");
    let folder = here.path().join("store");
    let mut arguments = vec!["--prefix", DARK_PREFIX, "--store", text(&folder)];
    arguments.extend(more);
    arguments.extend(captures.iter().map(|capture| text(capture)));
    let ended = replay(&arguments).success();
    let mut found = rows(&folder);
    // The same again is the same.
    let again = replay(&arguments).success();
    assert_eq!(again.summary(), ended.summary());
    assert_eq!(rows(&folder), found);
    found.retain(|row| row[1] > 0);
    (ended, found)
}

/// Records of these seconds, one after the other, counted by the minute of their own time.
fn by_minute(seconds: impl IntoIterator<Item = i64>) -> Rows {
    let mut seconds: Vec<_> = seconds.into_iter().collect();
    seconds.sort_unstable();
    let mut rows: Rows = Vec::new();
    for second in seconds {
        let start = second.div_euclid(60) * 60;
        match rows.last_mut() {
            Some(last) if last[0] == start => last[1] += 1,
            _ => rows.push([start, 1, 0, 0]),
        }
    }
    rows
}

fn run(from: i64, records: i64) -> impl Iterator<Item = i64> + Clone {
    (0..records).map(move |second| from + second)
}

/// Replays SYNs at these seconds.
fn count_seconds(seconds: &[i64]) -> (Ended, Rows) {
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("capture.pcap");
    write_syns(&capture, seconds);
    count(&[&capture], &[])
}

/// Asserts that every record counts in its own minute.
fn assert_own(seconds: &[i64]) -> Ended {
    let (ended, found) = count_seconds(seconds);
    assert_eq!(found, by_minute(seconds.iter().copied()));
    ended
}

#[test]
fn two_nonsense_times_in_a_row() {
    let mut seconds: Vec<_> = run(MINUTE, 10).collect();
    seconds.extend([2_314_000_000, 4_080_000_000]);
    seconds.extend(run(MINUTE + 10, 5400));
    let (ended, found) = count_seconds(&seconds);
    let mut expected = by_minute(run(MINUTE, 5410));
    expected[0] = [MINUTE, 62, 0, 2];
    assert_eq!(found, expected);
    let summary = ended.summary();
    assert_eq!((summary.dark_packets, summary.time_jump_packets), (5412, 2));
    assert_eq!(summary.late_packets, 0);
}

#[test]
fn a_wrong_first_time() {
    for wrong in [0, 2_100_000_000] {
        let good = (0..5).map(|minute| MINUTE + minute * 60);
        let seconds: Vec<_> = [wrong].into_iter().chain(good.clone()).collect();
        let (_, found) = count_seconds(&seconds);
        let mut expected = by_minute(good);
        expected[0] = [MINUTE, 2, 0, 1];
        assert_eq!(found, expected);
    }
}

#[test]
fn runs_of_nonsense_at_the_start_within_and_at_the_end() {
    let good = run(MINUTE, 300);
    for (at, length) in [(0, 3), (150, 1), (150, 20), (150, 32), (300, 1), (300, 3)] {
        for level in [0, MINUTE - 20 * DAY, MINUTE + 20 * DAY, 4_200_000_000] {
            let mut seconds: Vec<_> = good.clone().collect();
            seconds.splice(at..at, run(level, length));
            let (_, found) = count_seconds(&seconds);
            let mut expected = by_minute(good.clone());
            let interval = &mut expected[at.saturating_sub(1) / 60];
            (interval[1], interval[3]) = (60 + length, length);
            assert_eq!(found, expected, "{length} of {level} at {at}");
        }
    }
}

#[test]
fn alternating_nonsense() {
    let seconds: Vec<_> = run(MINUTE, 200)
        .flat_map(|good| [good, good * 7919 % 4_000_000_000])
        .collect();
    let (_, found) = count_seconds(&seconds);
    let jumps: i64 = found.iter().map(|row| row[3]).sum();
    assert_eq!(jumps, 200);
    let own: Vec<_> = found.iter().map(|row| (row[0], row[1] - row[3])).collect();
    let expected = by_minute(run(MINUTE, 200));
    assert_eq!(
        own,
        expected
            .iter()
            .map(|row| (row[0], row[1]))
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_clock_that_was_set_is_followed() {
    let steps = [
        3601,
        5 * 3600,
        DAY,
        400 * DAY,
        20 * YEAR,
        -3600,
        -5 * 3600,
        -DAY,
        -20 * YEAR,
    ];
    for step in steps {
        let seconds: Vec<_> = run(MINUTE, 200)
            .chain(run(MINUTE + 200 + step, 200))
            .collect();
        let ended = assert_own(&seconds);
        let told = ended.stderr.contains("a clock was set back 1 times");
        assert_eq!(told, step < 0, "{step}: {}", ended.stderr);
    }
    // Within the open intervals nothing begins anew.
    let seconds: Vec<_> = run(MINUTE, 65).chain(run(MINUTE + 59, 200)).collect();
    assert!(!assert_own(&seconds).stderr.contains("set back"));
}

#[test]
fn a_clock_that_was_set_back_into_stored_intervals_gets_files_of_its_own() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let (capture, folder) = (here.path().join("capture.pcap"), here.path().join("store"));
    let seconds: Vec<_> = run(MINUTE, 600).chain(run(MINUTE + 60, 600)).collect();
    write_syns(&capture, &seconds);
    let arguments = [
        "--prefix",
        DARK_PREFIX,
        "--store",
        text(&folder),
        text(&capture),
    ];
    replay(arguments).success();
    let files = store::files(&folder.join("ledger"));
    let second = files
        .keys()
        .filter(|path| text(path).ends_with("-1.parquet"));
    assert_eq!((files.len(), second.count()), (10 + 10, 10));
    assert_eq!(rows(&folder)[1], [MINUTE + 60, 120, 0, 0]);
    let tuples = here.path().join("tuples");
    let more = ["--flowtuple", text(&tuples), text(&capture)];
    replay([&["--prefix", DARK_PREFIX], &more[..]].concat()).success();
    assert_eq!(store::files(&tuples).len(), 20);
    // Another replay of the same time is still refused.
    write_syns(&capture, &seconds[1..]);
    assert!(replay(arguments).error().contains("--replace"));
}

#[test]
fn gaps_of_a_quiet_capture() {
    for seconds in [
        vec![MINUTE],
        vec![MINUTE, MINUTE + 7200],
        vec![MINUTE, MINUTE + 1, MINUTE + 6 * DAY],
        (0..60).map(|hour| MINUTE + hour * 5000).collect(),
    ] {
        assert_own(&seconds);
    }
}

#[test]
fn each_capture_of_a_merge_is_placed_by_itself() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let captures = [0, 1, 2].map(|number| here.path().join(format!("{number}.pcap")));
    let [first, second, third] = &captures;
    // One after the other, with a wrong start and a wrong end, and one with a single record.
    let good = [run(MINUTE, 90), run(MINUTE + 30, 90), run(MINUTE + 300, 1)];
    let begin = [4_000_000_000].into_iter().chain(good[0].clone());
    write_syns(first, &begin.collect::<Vec<_>>());
    let end = good[1].clone().chain([3_000_000_000, 5]);
    write_syns(second, &end.collect::<Vec<_>>());
    write_syns(third, &good[2].clone().collect::<Vec<_>>());
    let mut expected = by_minute(good.into_iter().flatten());
    (expected[0][1], expected[0][3]) = (expected[0][1] + 1, 1);
    (expected[1][1], expected[1][3]) = (expected[1][1] + 2, 2);
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let files = order.map(|number| captures[number].as_path());
        assert_eq!(count(&files, &[]).1, expected, "{order:?}");
    }
}

/// A pcapng capture whose interfaces have these clocks, in seconds, beside the time; `None`: the
/// interface says neither offset nor resolution. Records are (interface, microseconds).
fn pcapng(path: &Path, clocks: &[Option<i64>], records: &[(u32, u64)]) {
    let block = |kind: u32, body: &[u8]| {
        let mut block = kind.to_le_bytes().to_vec();
        let length = (12 + body.len().next_multiple_of(4)) as u32;
        block.extend(length.to_le_bytes());
        block.extend(body);
        block.resize(length as usize - 4, 0);
        block.extend(length.to_le_bytes());
        block
    };
    let mut file = block(
        0x0a0d_0d0a,
        &[&[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..], &[0xff; 8]].concat(),
    );
    for clock in clocks {
        let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0];
        if let Some(seconds) = clock {
            body.extend([14, 0, 8, 0]);
            body.extend(seconds.to_le_bytes());
            body.extend([0; 4]);
        }
        file.extend(block(1, &body));
    }
    for (number, &(interface, micros)) in (0..).zip(records) {
        let frame = syn(number, DARK, 23);
        let words = [interface, (micros >> 32) as u32, micros as u32, 54, 54];
        let mut body = words.map(u32::to_le_bytes).concat();
        body.extend(frame);
        file.extend(block(6, &body));
    }
    fs::write(path, file).expect("room for a file");
}

#[test]
fn times_that_cannot_be_stored_are_counted_apart() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("capture.pcapng");
    let micros = |second: i64| second as u64 * 1_000_000;
    // One interface before 1970, one right.
    let minutes = (0..5).map(|minute| MINUTE + minute * 60);
    let good = minutes.clone().map(|second| (1, micros(second)));
    let records: Vec<_> = [(0, 0)].into_iter().chain(good).collect();
    pcapng(&capture, &[Some(-1000), None], &records);
    let (ended, found) = count(&[&capture], &[]);
    let mut expected = by_minute(minutes);
    expected[0] = [MINUTE, 2, 0, 1];
    assert_eq!(found, expected);
    let warnings = ended.lines("noctule: warning: ");
    assert!(
        matches!(warnings[..], [line] if line.contains("1 records have times before 1970")),
        "{}",
        ended.stderr
    );
    // Nanoseconds, and the file does not say so.
    let records: Vec<_> = run(MINUTE, 3)
        .map(|second| (0, micros(second) * 1000))
        .collect();
    pcapng(&capture, &[None], &records);
    let (ended, found) = count(&[&capture], &[]);
    assert_eq!(
        (ended.summary().records, ended.summary().untimed_records),
        (0, 3)
    );
    assert!(found.is_empty());
    let warnings = ended.lines("noctule: warning: ");
    assert!(
        matches!(warnings[..], [line] if line.contains("--time-resolution ns")),
        "{}",
        ended.stderr
    );
    let (ended, found) = count(&[&capture], &["--time-resolution", "ns"]);
    assert_eq!(found, by_minute(run(MINUTE, 3)));
    assert!(ended.lines("noctule: warning: ").is_empty());
}

#[test]
fn an_interface_with_a_wrong_clock_takes_nothing_with_it() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("capture.pcapng");
    for clock in [-20 * YEAR, -20 * DAY, 7200, 20 * YEAR] {
        // Every third record has it, also the first.
        let records: Vec<_> = (run(MINUTE, 300).zip(0..))
            .map(|(second, number)| (u32::from(number % 3 != 0), second as u64 * 1_000_000))
            .collect();
        pcapng(&capture, &[Some(clock), None], &records);
        let (_, found) = count(&[&capture], &[]);
        let own: Vec<_> = (found.iter())
            .map(|row| (row[0], row[1] - row[3]))
            .collect();
        let expected: Vec<_> = (0..5).map(|minute| (MINUTE + minute * 60, 40)).collect();
        assert_eq!(own, expected, "{clock}");
        assert_eq!(found.iter().map(|row| row[3]).sum::<i64>(), 100);
    }
}

#[test]
fn nanoseconds_that_are_marked_as_microseconds() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("capture.pcap");
    write_syns(&capture, &[MINUTE; 10]);
    let mut octets = fs::read(&capture).expect("the capture");
    for number in 0..10u32 {
        let at = 24 + number as usize * (16 + 54) + 4;
        octets[at..at + 4].copy_from_slice(&(number * 100_000_000).to_le_bytes());
    }
    fs::write(&capture, octets).expect("room for a file");
    let (ended, _) = count(&[&capture], &[]);
    let warnings = ended.lines("noctule: warning: ");
    assert!(
        matches!(warnings[..], [line] if line.contains("9 records") && line.contains("--time-resolution ns")),
        "{}",
        ended.stderr
    );
    let (ended, _) = count(&[&capture], &["--time-resolution", "ns"]);
    assert!(
        ended.lines("noctule: warning: ").is_empty(),
        "{}",
        ended.stderr
    );
}

/// Random captures: stretches of a clock that is set now and then, with nonsense among them.
fn any_capture() -> impl Strategy<Value = Vec<i64>> {
    let time = prop_oneof![
        // Near the minute, and anywhere.
        3 => MINUTE - 9000..MINUTE + 9000,
        1 => 0..4_000_000_000i64,
    ];
    let stretch = (
        time.clone(),
        1..80i64,
        proptest::collection::vec((0..80usize, time), 0..8),
    );
    proptest::collection::vec(stretch, 1..5).prop_map(|stretches| {
        let mut seconds = Vec::new();
        for (start, length, nonsense) in stretches {
            let begin = seconds.len();
            seconds.extend(run(start, length).map(|second| second + second % 7));
            for (at, second) in nonsense {
                seconds.insert((begin + at).min(seconds.len()), second);
            }
        }
        seconds
    })
}

/// What the reference says of captures, by the rule's text.
fn reference(python: &str, captures: &[PathBuf]) -> Rows {
    let mut command = Command::new(python);
    command
        .arg(python::script("reference/recount_times.py"))
        .arg("60");
    let output = command.args(captures).output().expect("a Python");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = String::from_utf8(output.stdout).expect("text");
    let lines = printed.lines().filter(|line| !line.starts_with("untimed"));
    lines
        .map(|line| {
            let fields: Vec<i64> = (line.split(' '))
                .map(|field| field.parse().expect("a number"))
                .collect();
            fields.try_into().expect("four numbers")
        })
        .collect()
}

#[test]
fn the_reference_counts_random_times_alike() {
    let Some(python) = python::with("the_reference_counts_random_times_alike", "numpy") else {
        return;
    };
    let mut runner = TestRunner::new(Config::with_cases(40));
    let captures = proptest::collection::vec(any_capture(), 1..4);
    let outcome = runner.run(&captures, |captures| {
        let here = tempfile::tempdir().expect("a temporary folder");
        let files: Vec<_> = (captures.iter().zip(0..))
            .map(|(seconds, number)| {
                let path = here.path().join(format!("{number}.pcap"));
                let frames: Vec<_> = (seconds.iter().zip(0..))
                    .map(|(second, number)| Frame {
                        time_us: second * 1_000_000,
                        link: noctule_packet::link::LinkType::Ethernet,
                        octets: syn(number, DARK, 23),
                    })
                    .collect();
                frames::write(&path, &frames);
                path
            })
            .collect();
        let paths: Vec<_> = files.iter().map(PathBuf::as_path).collect();
        let (_, found) = count(&paths, &[]);
        prop_assert_eq!(found, reference(&python, &files));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
