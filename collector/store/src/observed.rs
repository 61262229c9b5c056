//! Which times a sensor's runs have observed, so that no packet counts twice.
//!
//! The ledger of every run has the observed time of every interval. Two runs of one sensor that
//! observed the same time counted the same packets; two runs that follow one another may share an
//! interval. Intervals divide an hour and are aligned to it, so that intervals which overlap lie in
//! the same hour: only that hour's ledger files are read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use jiff::Timestamp;

use crate::error::StoreError;
use crate::files::Files;
use crate::layout::{self, interval_and_run};
use crate::table::Table;
use crate::{read, time};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Up to this number of days, folders are listed day by day; beyond it, table by table.
const MOST_DAYS: i64 = 400;

/// Separates a run's name from the number of its era. A live run whose clock was set has files of
/// several eras, named `<run>-1` and so on after the first.
pub const ERA_MARK: char = '-';

/// The name of the run in the name of a file of any era.
fn without_era(run: &str) -> &str {
    run.split_once(ERA_MARK).map_or(run, |(run, _)| run)
}

/// Begin and end of an observed time, microseconds since 1970.
pub type Span = (i64, i64);

/// True if two spans have more than a moment in common. A span without length, as that of a single
/// packet, overlaps a span that it lies within, and an equal one.
pub fn overlap(one: Span, other: Span) -> bool {
    one == other || (one.0 < other.1 && other.0 < one.1)
}

/// The interval of a ledger file, and the time that was observed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Start of the interval, microseconds since 1970.
    pub start_us: i64,
    /// Length of the interval, seconds.
    pub seconds: u32,
    /// The observed time; in files of version 1, which do not have it, the whole interval.
    pub span_us: Span,
}

impl Observed {
    /// Reads the octets of a ledger file; `path` is for errors. None if the file has no row.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the octets are not Parquet.
    pub fn read(path: &Path, octets: Vec<u8>) -> Result<Option<Self>, StoreError> {
        let mut observed: Option<Self> = None;
        for batch in read::read_octets(path, octets)? {
            let column = |name| batch.column_by_name(name).map(AsRef::as_ref);
            let time = |name, row| number(column(name), row);
            for row in 0..batch.num_rows() {
                let Some(start_us) = time("interval_start", row) else {
                    continue;
                };
                let lengths = column("interval_seconds")
                    .and_then(|lengths| lengths.as_primitive_opt::<Int32Type>());
                let seconds = lengths.map_or(0, |lengths| lengths.value(row));
                let seconds = u32::try_from(seconds).unwrap_or(0);
                let whole = (start_us, start_us + i64::from(seconds) * 1_000_000);
                let from = time("observed_from", row).unwrap_or(whole.0);
                let to = time("observed_to", row).unwrap_or(whole.1);
                // Each queue has a row.
                let so_far = observed.map_or((from, to), |observed| observed.span_us);
                observed = Some(Self {
                    start_us,
                    seconds,
                    span_us: (so_far.0.min(from), so_far.1.max(to)),
                });
            }
        }
        Ok(observed)
    }

    /// End of the interval, microseconds since 1970.
    pub fn end_us(&self) -> i64 {
        self.start_us + i64::from(self.seconds) * 1_000_000
    }
}

fn number(column: Option<&dyn Array>, row: usize) -> Option<i64> {
    let values = column?.as_primitive_opt::<TimestampMicrosecondType>()?;
    values.is_valid(row).then(|| values.value(row))
}

/// Why an interval must not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clash {
    /// Another run has observed the same time.
    OtherRun {
        /// The other run.
        run: String,
        /// Start of its interval, microseconds since 1970.
        start_us: i64,
        /// The store that has the other run's files.
        store: String,
    },
    /// The same run has been stored before, in intervals of another length.
    OtherLength {
        /// Seconds of those intervals.
        seconds: u32,
        /// The store that has them.
        store: String,
    },
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherRun {
                run,
                start_us,
                store,
            } => {
                let at = Timestamp::from_microsecond(*start_us).unwrap_or_default();
                write!(
                    f,
                    "run {run} of this sensor has observed the same time in interval {at}, in {store}"
                )
            }
            Self::OtherLength { seconds, store } => write!(
                f,
                "{store} has these captures already, in intervals of {seconds} s"
            ),
        }
    }
}

/// A ledger file.
#[derive(Clone, Debug)]
struct LedgerFile {
    start_us: i64,
    run: String,
    path: String,
    place: usize,
}

/// A sensor's ledger files, for a run that is about to add to them.
pub struct Ledgers {
    places: Vec<Files>,
    sensor: String,
    run: String,
    /// Runs that may have observed the same time.
    others: BTreeSet<String>,
    seconds: u32,
    /// The day that was listed last, and its files.
    listed: Option<(String, Vec<LedgerFile>)>,
    /// Length of the intervals of each run: all intervals of a run have one length.
    lengths: BTreeMap<String, u32>,
}

impl Ledgers {
    /// No request is made yet. `places` hold the sensor's files. While a file is sent from one to
    /// another, the place that has it first comes first.
    pub fn new(places: Vec<Files>, sensor: &str, run: &str, seconds: u32) -> Self {
        Self {
            places,
            sensor: sensor.to_owned(),
            run: run.to_owned(),
            others: BTreeSet::new(),
            seconds,
            listed: None,
            lengths: BTreeMap::new(),
        }
    }

    /// Accepts that these runs observed the same time: it is known that they counted other packets.
    #[must_use]
    pub fn beside(mut self, runs: &[String]) -> Self {
        self.others = runs.iter().cloned().collect();
        self
    }

    /// The first reason not to write an interval of which `span_us` was observed.
    ///
    /// Each day is listed once: later files of other programs are seen after [`Ledgers::look_again`].
    ///
    /// # Errors
    /// [`StoreError::IntervalStart`] if the start is not a whole second from 1970 to 9999; as
    /// [`Files::list`] and [`Files::read`]; [`StoreError::Damaged`] if a ledger file is not Parquet.
    pub fn clash(&mut self, start_us: i64, span_us: Span) -> Result<Option<Clash>, StoreError> {
        let hour = start_us - start_us.rem_euclid(HOUR_US);
        let end_us = start_us + i64::from(self.seconds) * 1_000_000;
        for listed in self.between(hour, end_us)? {
            let ours = without_era(&listed.run) == self.run;
            if !ours && self.others.contains(without_era(&listed.run)) {
                continue;
            }
            let known = self.lengths.get(&listed.run).copied();
            if known.is_some_and(|seconds| {
                (ours && seconds == self.seconds) || ends(&listed, seconds) <= start_us
            }) {
                continue;
            }
            let Some(observed) = self.read(&listed)? else {
                continue;
            };
            let store = || self.places[listed.place].location().to_string();
            if ours && observed.seconds != self.seconds {
                return Ok(Some(Clash::OtherLength {
                    seconds: observed.seconds,
                    store: store(),
                }));
            }
            if !ours && observed.end_us() > start_us && overlap(observed.span_us, span_us) {
                return Ok(Some(Clash::OtherRun {
                    run: listed.run.clone(),
                    start_us: observed.start_us,
                    store: store(),
                }));
            }
        }
        Ok(None)
    }

    /// An interval, of any run, that begins before a time and ends after it: its start, microseconds
    /// since 1970, and its length, seconds.
    ///
    /// # Errors
    /// As [`Ledgers::clash`].
    pub fn across(&mut self, at_us: i64) -> Result<Option<(i64, u32)>, StoreError> {
        let hour = at_us - at_us.rem_euclid(HOUR_US);
        for listed in self.between(hour, at_us)? {
            let known = self.lengths.get(&listed.run);
            if known.is_some_and(|&seconds| ends(&listed, seconds) <= at_us) {
                continue;
            }
            match self.read(&listed)? {
                Some(observed) if observed.end_us() > at_us => {
                    return Ok(Some((observed.start_us, observed.seconds)));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Lists files anew from now on.
    pub fn look_again(&mut self) {
        self.listed = None;
    }

    /// Ledger files of one hour whose intervals start at `from_us` or later, and before `before_us`.
    fn between(&mut self, from_us: i64, before_us: i64) -> Result<Vec<LedgerFile>, StoreError> {
        let date = time::date(from_us)?;
        if self.listed.as_ref().is_none_or(|(day, _)| *day != date) {
            let mut all = Vec::new();
            let folder = layout::interval_folder(Table::Ledger, &date, &self.sensor);
            for (place, files) in self.places.iter().enumerate() {
                for entry in files.list(&folder)? {
                    if let Some((start_us, run)) = interval_and_run(&entry.path) {
                        let run = run.to_owned();
                        let path = entry.path;
                        all.push(LedgerFile {
                            start_us,
                            run,
                            path,
                            place,
                        });
                    }
                }
            }
            all.sort_by_key(|listed| listed.start_us);
            self.listed = Some((date, all));
        }
        let all = self.listed.as_ref().map_or(&[][..], |(_, all)| all);
        let first = all.partition_point(|listed| listed.start_us < from_us);
        let after = all.partition_point(|listed| listed.start_us < before_us);
        Ok(all.get(first..after).unwrap_or_default().to_vec())
    }

    /// None for a file that was removed or has no row.
    fn read(&mut self, listed: &LedgerFile) -> Result<Option<Observed>, StoreError> {
        // The file may have been sent from the spool to the store meanwhile.
        for files in &self.places[listed.place..] {
            if let Some(octets) = files.read(&listed.path)? {
                let path = format!("{}/{}", files.location(), listed.path);
                let observed = Observed::read(Path::new(&path), octets)?;
                if let Some(observed) = observed {
                    self.lengths.insert(listed.run.clone(), observed.seconds);
                }
                return Ok(observed);
            }
        }
        Ok(None)
    }
}

fn ends(listed: &LedgerFile, seconds: u32) -> i64 {
    listed.start_us + i64::from(seconds) * 1_000_000
}

/// A sensor's files of all interval tables whose intervals start at `from_us` or later, and before
/// `before_us`, both in microseconds since 1970.
///
/// # Errors
/// [`StoreError::IntervalStart`] if a time is not from 1970 to 9999; as [`Files::list`].
pub fn files_between(
    files: &Files,
    sensor: &str,
    from_us: i64,
    before_us: i64,
) -> Result<Vec<String>, StoreError> {
    let (first, last) = (
        from_us.div_euclid(DAY_US),
        (before_us - 1).div_euclid(DAY_US),
    );
    let mut found = Vec::new();
    for table in Table::ALL {
        let mut folders = Vec::new();
        if last - first < MOST_DAYS {
            for day in first..=last {
                let date = time::date(day * DAY_US)?;
                folders.push(layout::interval_folder(table, &date, sensor));
            }
        } else {
            folders.push(table.to_string());
        }
        for folder in folders {
            let within = |path: &str| {
                layout::is_of_sensor(path, sensor)
                    && interval_and_run(path)
                        .is_some_and(|(start, _)| (from_us..before_us).contains(&start))
            };
            let entries = files.list(&folder)?.into_iter();
            found.extend(entries.map(|entry| entry.path).filter(|path| within(path)));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
