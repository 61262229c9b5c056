//! Overlaps are found, and neighbours are left in peace.

use std::sync::Arc;

use arrow_array::{Int32Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::{IntervalFiles, Location, Store};

const S: i64 = 1_000_000;
/// A whole hour.
const HOUR: i64 = 1_474_372_800 * S;

/// A ledger file with these rows: from when to when each queue was watched; none: as version 1.
fn ledger(start_us: i64, seconds: i32, spans: &[Option<Span>]) -> Vec<u8> {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let times = |values: Vec<Option<i64>>| {
        Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
    };
    let mut fields = vec![
        Field::new("interval_start", time(), true),
        Field::new("interval_seconds", DataType::Int32, true),
    ];
    let starts = times(vec![Some(start_us); spans.len()]);
    let lengths = Arc::new(Int32Array::from(vec![seconds; spans.len()]));
    let mut columns: Vec<arrow_array::ArrayRef> = vec![starts, lengths];
    if spans.iter().all(Option::is_some) {
        let bounds = |pick: fn(Span) -> i64| times(spans.iter().map(|s| s.map(pick)).collect());
        fields.push(Field::new("observed_from", time(), true));
        fields.push(Field::new("observed_to", time(), true));
        columns.extend([bounds(|s| s.0) as _, bounds(|s| s.1) as _]);
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn put(&self, run: &str, start_us: i64, seconds: i32, spans: &[Option<Span>]) {
        self.put_of("s", run, start_us, &ledger(start_us, seconds, spans));
    }

    fn put_of(&self, sensor: &str, run: &str, interval_start_us: i64, octets: &[u8]) {
        let store = Store::open(self.folder.path(), sensor).unwrap();
        let files = IntervalFiles {
            interval_start_us,
            run: run.to_owned(),
        };
        store.put(Table::Ledger, &files, octets).unwrap();
    }

    fn files(&self) -> Files {
        Files::open(&Location::Folder(self.folder.path().to_owned())).unwrap()
    }

    fn ledgers(&self, run: &str, seconds: u32) -> Ledgers {
        Ledgers::new(vec![self.files()], "s", run, seconds)
    }

    fn clashes(&self, run: &str, seconds: u32, start_us: i64, span: Span) -> bool {
        let clash = self.ledgers(run, seconds).clash(start_us, span).unwrap();
        clash.is_some()
    }
}

#[test]
fn spans_overlap_by_more_than_a_moment() {
    for (one, other, expected) in [
        ((0, 10), (5, 15), true),
        ((0, 10), (10, 20), false),
        ((0, 10), (11, 20), false),
        ((0, 10), (2, 3), true),
        ((0, 10), (0, 10), true),
        ((5, 5), (0, 10), true),
        ((5, 5), (5, 5), true),
        ((5, 5), (5, 10), false),
        ((5, 5), (0, 5), false),
        ((5, 5), (6, 6), false),
    ] {
        assert_eq!(overlap(one, other), expected, "{one:?} {other:?}");
        assert_eq!(overlap(other, one), expected, "{other:?} {one:?}");
    }
}

#[test]
fn another_run_that_watched_at_the_same_time_is_found() {
    let it = Fixture::new();
    // Two queues, of which one was watched longer.
    let spans = [Some((HOUR, HOUR + 20 * S)), Some((HOUR, HOUR + 30 * S))];
    it.put("old", HOUR, 60, &spans);
    let found = it
        .ledgers("new", 60)
        .clash(HOUR, (HOUR + 29 * S, HOUR + 60 * S));
    let expected = Clash::OtherRun {
        run: "old".into(),
        start_us: HOUR,
        store: it.folder.path().display().to_string(),
    };
    assert_eq!(found.unwrap(), Some(expected.clone()));
    let said = expected.to_string();
    assert!(
        said.contains("run old") && said.contains("2016-09-20T12:00:00Z"),
        "{said}"
    );
    // It went on where the other had stopped; the next interval; another sensor; the same run.
    assert!(!it.clashes("new", 60, HOUR, (HOUR + 30 * S, HOUR + 60 * S)));
    assert!(!it.clashes("new", 60, HOUR + 60 * S, (HOUR + 60 * S, HOUR + 120 * S)));
    assert!(!it.clashes("old", 60, HOUR, (HOUR, HOUR + 60 * S)));
    let mut other = Ledgers::new(vec![it.files()], "s-2", "new", 60);
    assert_eq!(other.clash(HOUR, (HOUR, HOUR + 60 * S)).unwrap(), None);
}

#[test]
fn intervals_of_other_lengths_are_compared_too() {
    let it = Fixture::new();
    it.put(
        "old",
        HOUR,
        3600,
        &[Some((HOUR + 100 * S, HOUR + 1000 * S))],
    );
    let minute = |at: i64| (HOUR + at * S, HOUR + (at + 60) * S);
    assert!(it.clashes("new", 60, HOUR + 960 * S, minute(960)));
    assert!(!it.clashes("new", 60, HOUR + 1020 * S, minute(1020)));
    assert!(!it.clashes("new", 60, HOUR, minute(0)));

    let it = Fixture::new();
    it.put("old", HOUR + 120 * S, 60, &[Some(minute(120))]);
    assert!(it.clashes("new", 300, HOUR, (HOUR, HOUR + 300 * S)));
    assert!(!it.clashes("new", 300, HOUR, (HOUR, HOUR + 120 * S)));
}

#[test]
fn a_file_of_version_1_observed_its_whole_interval() {
    let it = Fixture::new();
    it.put("old", HOUR, 60, &[None]);
    assert!(it.clashes("new", 60, HOUR, (HOUR + 59 * S, HOUR + 60 * S)));
    assert!(!it.clashes("new", 10, HOUR + 60 * S, (HOUR + 60 * S, HOUR + 70 * S)));
}

#[test]
fn the_same_run_in_other_intervals_is_told_as_such() {
    let it = Fixture::new();
    it.put("r", HOUR, 60, &[Some((HOUR, HOUR + 60 * S))]);
    let clash = it.ledgers("r", 10).clash(HOUR + 10 * S, (HOUR, HOUR));
    let said = clash.unwrap().unwrap().to_string();
    assert!(said.contains("in intervals of 60 s"), "{said}");
}

#[test]
fn what_waits_in_a_spool_counts_and_may_move_on() {
    let (spool, store) = (Fixture::new(), Fixture::new());
    let span = Some((HOUR, HOUR + 60 * S));
    spool.put("old", HOUR, 60, &[span]);
    let mut ledgers = Ledgers::new(vec![spool.files(), store.files()], "s", "new", 60);
    let clash = ledgers.clash(HOUR, (HOUR, HOUR + S)).unwrap();
    assert!(clash.is_some());
    // Listed in the spool, and then found where it went.
    store.put("old", HOUR, 60, &[span]);
    let path = spool.files().list("ledger").unwrap()[0].path.clone();
    spool.files().remove(&path).unwrap();
    let clash = ledgers.clash(HOUR, (HOUR, HOUR + S)).unwrap();
    assert!(clash.is_some());
    store.files().remove(&path).unwrap();
    ledgers.look_again();
    assert_eq!(ledgers.clash(HOUR, (HOUR, HOUR + S)).unwrap(), None);
}

#[test]
fn an_interval_across_a_bound_is_found() {
    let it = Fixture::new();
    it.put("old", HOUR + 300 * S, 300, &[None]);
    let mut ledgers = it.ledgers("new", 60);
    let found = Some((HOUR + 300 * S, 300));
    assert_eq!(ledgers.across(HOUR + 360 * S).unwrap(), found);
    for bound in [0, 300, 600, 3600] {
        assert_eq!(ledgers.across(HOUR + bound * S).unwrap(), None, "{bound}");
    }
}

#[test]
fn files_of_a_range_are_those_of_the_sensor() {
    let it = Fixture::new();
    for start in [HOUR - 60 * S, HOUR, HOUR + 86_400 * S, HOUR + 86_460 * S] {
        it.put("r", start, 60, &[None]);
        it.put_of("s-2", "r", start, b"other");
    }
    let names = |from: i64, before: i64| -> Vec<i64> {
        let found = files_between(&it.files(), "s", from, before).unwrap();
        found
            .iter()
            .map(|path| interval_and_run(path).unwrap().0 - HOUR)
            .collect()
    };
    assert_eq!(names(HOUR, HOUR + 86_460 * S), [0, 86_400 * S]);
    // A long range is listed at once.
    let year = 366 * 2 * DAY_US;
    assert_eq!(names(HOUR, HOUR + year), [0, 86_400 * S, 86_460 * S]);
    assert_eq!(
        interval_and_run("ledger/20160920T120000Z-a-b.parquet"),
        Some((HOUR, "a-b"))
    );
    assert_eq!(interval_and_run("ledger/readme.parquet"), None);
}
