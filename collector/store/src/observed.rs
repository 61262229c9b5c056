//! Which moments a sensor's runs have observed, so that no packet counts twice.
//!
//! The ledger of every run says of every interval from when to when it was watching. Two runs of
//! one sensor that watched at the same time counted the same packets; two that follow one another
//! may share an interval. Intervals divide an hour and are aligned to it, so whatever reaches into
//! an interval stands in the same hour: only that hour's ledger files are read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use jiff::Timestamp;

use crate::files::Files;
use crate::{StoreError, Table, read, time};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// More days than this are not listed one by one.
const MOST_DAYS: i64 = 400;

/// From when to when somebody was watching, microseconds since 1970.
pub type Span = (i64, i64);

/// Whether two spans have more than a moment in common. A span without length, as that of a single
/// packet, does if it lies within the other, or is the same.
pub fn overlap(one: Span, other: Span) -> bool {
    one == other || (one.0 < other.1 && other.0 < one.1)
}

/// What a ledger file says of its interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Start of the interval, microseconds since 1970.
    pub start_us: i64,
    /// Its length, seconds.
    pub seconds: u32,
    /// When the run was watching; files of version 1 do not say, and then it is the whole interval.
    pub span_us: Span,
}

impl Observed {
    /// Reads it from a ledger file's octets; `path` is where they come from. None if there is no
    /// row in it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
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

    /// When the interval ends.
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
    /// Another run observed it at the same time.
    OtherRun {
        /// The other run.
        run: String,
        /// Start of its interval, microseconds since 1970.
        start_us: i64,
        /// Where it stands.
        store: String,
    },
    /// The same run stands there in intervals of another length.
    OtherLength {
        /// Seconds of those intervals.
        seconds: u32,
        /// Where they stand.
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
                "these captures stand in {store} already, in intervals of {seconds} s"
            ),
        }
    }
}

/// A ledger file.
#[derive(Clone, Debug)]
struct Listed {
    start_us: i64,
    run: String,
    path: String,
    place: usize,
}

/// A sensor's ledger, as the run that is to write beside it sees it.
pub struct Ledgers {
    places: Vec<Files>,
    sensor: String,
    run: String,
    seconds: u32,
    /// Files of the day that was asked for last.
    listed: Option<(String, Vec<Listed>)>,
    /// Length of the intervals of each run: all intervals of a run have one length.
    lengths: BTreeMap<String, u32>,
}

impl Ledgers {
    /// Nothing is asked for yet. `places` hold the sensor's files; a file that is on its way from
    /// one to another must be in the one that comes first until it is in the other.
    pub fn new(places: Vec<Files>, sensor: &str, run: &str, seconds: u32) -> Self {
        Self {
            places,
            sensor: sensor.to_owned(),
            run: run.to_owned(),
            seconds,
            listed: None,
            lengths: BTreeMap::new(),
        }
    }

    /// The first reason not to write an interval, with what was observed of it.
    ///
    /// What others put there since the interval's day was first asked for is not seen until
    /// [`Ledgers::look_again`].
    ///
    /// # Errors
    /// [`StoreError::IntervalStart`], and files that cannot be listed or read.
    pub fn clash(&mut self, start_us: i64, span_us: Span) -> Result<Option<Clash>, StoreError> {
        let hour = start_us - start_us.rem_euclid(HOUR_US);
        let end_us = start_us + i64::from(self.seconds) * 1_000_000;
        for listed in self.between(hour, end_us)? {
            let ours = listed.run == self.run;
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

    /// An interval, of any run, in whose midst a moment lies: its start and its length in seconds.
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

    /// Forgets which files there are.
    pub fn look_again(&mut self) {
        self.listed = None;
    }

    /// Ledger files of one hour whose intervals start from one time on and before another.
    fn between(&mut self, from_us: i64, before_us: i64) -> Result<Vec<Listed>, StoreError> {
        let date = time::date(from_us)?;
        if self.listed.as_ref().is_none_or(|(day, _)| *day != date) {
            let mut all = Vec::new();
            let folder = format!("{}/date={date}/sensor={}", Table::Ledger, self.sensor);
            for (place, files) in self.places.iter().enumerate() {
                for entry in files.list(&folder)? {
                    if let Some((start_us, run)) = interval_and_run(&entry.path) {
                        let run = run.to_owned();
                        let path = entry.path;
                        all.push(Listed {
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

    /// None for a file that has gone or holds nothing.
    fn read(&mut self, listed: &Listed) -> Result<Option<Observed>, StoreError> {
        // From a spool it may have gone to the store meanwhile.
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

fn ends(listed: &Listed, seconds: u32) -> i64 {
    listed.start_us + i64::from(seconds) * 1_000_000
}

/// Start of the interval, in microseconds since 1970, and run of a file of an interval table.
pub fn interval_and_run(path: &str) -> Option<(i64, &str)> {
    let name = path.rsplit('/').next()?.strip_suffix(".parquet")?;
    let (stamp, run) = name.split_once('-')?;
    Some((time::parse_stamp(stamp)?, run))
}

/// A sensor's files of all interval tables whose intervals start from one time on and before
/// another.
///
/// # Errors
/// [`StoreError::IntervalStart`], and folders that cannot be listed.
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
                folders.push(format!("{table}/date={date}/sensor={sensor}"));
            }
        } else {
            folders.push(table.to_string());
        }
        let of_sensor = format!("/sensor={sensor}/");
        for folder in folders {
            let within = |path: &str| {
                path.contains(&of_sensor)
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
