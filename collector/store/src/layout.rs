//! Where the files of a store are. Every path in a store is composed and taken apart here.
//!
//! | Files | Path, relative to the store |
//! |---|---|
//! | interval tables | `<table>/date=YYYY-MM-DD/sensor=<name>/<interval start>-<run>.parquet` |
//! | daily tables | `<table>/zone=<zone>/date=YYYY-MM-DD/sensor=<name>/<inputs>-<settings>.parquet` |
//! | staged for a change | `_staging/<change>/<path that the file gets>` |
//! | record of a change | `_changes/<change>.json` |
//!
//! `date=` of interval tables is the UTC date; `date=` of daily tables is the day of the zone, whose
//! name has `-` in place of `/` (`Asia-Tokyo`).

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::error::StoreError;
use crate::table::{DailyTable, Table};
use crate::time;

/// The folder of files that are staged for changes.
pub(crate) const STAGING: &str = "_staging";
/// The folder of change records.
pub(crate) const CHANGES: &str = "_changes";

/// The name that the files of one interval share, one file per table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntervalFiles {
    /// Start of the interval, microseconds since 1970, a whole second.
    pub interval_start_us: i64,
    /// The run: its start in microseconds (live), or a digest of inputs, prefixes and rules
    /// (replay). Letters, digits, hyphens and underscores, at most 128.
    pub run: String,
}

impl IntervalFiles {
    /// The path of a table's file.
    ///
    /// # Errors
    /// [`StoreError::RunName`] if the run's name is empty, too long or has other characters;
    /// [`StoreError::IntervalStart`] if the start is not a whole second from 1970 to 9999.
    pub fn path(&self, table: Table, sensor: &str) -> Result<String, StoreError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.run.is_empty() || self.run.len() > 128 || !self.run.chars().all(plain) {
            return Err(StoreError::RunName(self.run.clone()));
        }
        let start = self.interval_start_us;
        let folder = interval_folder(table, &time::date(start)?, sensor);
        Ok(format!(
            "{folder}/{}-{}.parquet",
            time::stamp(start)?,
            self.run
        ))
    }
}

/// Checks a sensor's name.
///
/// # Errors
/// [`StoreError::SensorName`] unless the name matches `[a-z][a-z0-9-]*` and has at most 200
/// characters.
pub fn check_sensor(name: &str) -> Result<(), StoreError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    // With 200 octets a path component stays below the 255 of every file system.
    if name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(plain)
        && name.len() <= 200
    {
        Ok(())
    } else {
        Err(StoreError::SensorName(name.to_owned()))
    }
}

/// The folder of one UTC date (`YYYY-MM-DD`) in an interval table.
pub fn date_folder(table: Table, date: impl fmt::Display) -> String {
    format!("{table}/date={date}")
}

/// The folder of a sensor's files of one UTC date (`YYYY-MM-DD`) in an interval table.
pub fn interval_folder(table: Table, date: &str, sensor: &str) -> String {
    format!("{}/sensor={sensor}", date_folder(table, date))
}

/// Whether a path has the folder of this sensor in it.
pub(crate) fn is_of_sensor(path: &str, sensor: &str) -> bool {
    path.contains(&format!("/sensor={sensor}/"))
}

/// Start of the interval, in microseconds since 1970, and run, from the path of a file of an
/// interval table; none for other files.
pub fn interval_and_run(path: &str) -> Option<(i64, &str)> {
    let name = path.rsplit('/').next()?.strip_suffix(".parquet")?;
    let (stamp, run) = name.split_once('-')?;
    Some((time::parse_stamp(stamp)?, run))
}

/// Start of the interval, and sensor, from the path of a file of this interval table; none for
/// files at any other place.
pub fn interval_and_sensor(table: Table, path: &str) -> Option<(Timestamp, &str)> {
    let folders = folders(table.name(), path)?;
    let sensor = *folders.get("sensor")?;
    folders.get("date")?;
    let (start_us, _) = interval_and_run(path)?;
    Some((Timestamp::from_microsecond(start_us).ok()?, sensor))
}

/// The values of the `name=value` folders between a table's folder and a `.parquet` file; none for
/// a path that is not made like this.
pub fn folders<'p>(table: &str, path: &'p str) -> Option<BTreeMap<&'p str, &'p str>> {
    let below = path.strip_prefix(table)?.strip_prefix('/')?;
    let (folders, file) = below.rsplit_once('/')?;
    if !file.ends_with(".parquet") {
        return None;
    }
    folders
        .split('/')
        .map(|folder| folder.split_once('='))
        .collect()
}

/// The folder of one zone's files in a daily table; `zone` is an IANA name.
pub fn zone_folder(table: DailyTable, zone: &str) -> String {
    format!("{table}/zone={}", zone_in_paths(zone))
}

/// A time zone's IANA name as paths have it.
pub fn zone_in_paths(zone: &str) -> String {
    zone.replace('/', "-")
}

/// The files of one sensor's day in the daily tables, one file per table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DailyFiles {
    /// IANA name of the report time zone.
    pub zone: String,
    /// The day in that zone.
    pub date: Date,
    /// The sensor.
    pub sensor: String,
    /// `<digest of inputs>-<digest of settings>`: equal inputs and settings give equal names.
    pub name: String,
}

impl DailyFiles {
    /// The folder of the day's files in a table.
    pub fn folder(&self, table: DailyTable) -> String {
        let Self { date, sensor, .. } = self;
        let zone = zone_folder(table, &self.zone);
        format!("{zone}/date={date}/sensor={sensor}")
    }

    /// The path of a table's file.
    pub fn path(&self, table: DailyTable) -> String {
        format!("{}/{}.parquet", self.folder(table), self.name)
    }

    /// The name of the change that publishes the files.
    pub fn change(&self) -> String {
        let Self {
            date, sensor, name, ..
        } = self;
        let zone = zone_in_paths(&self.zone);
        format!("rollup-{zone}-{date}-{sensor}-{name}")
    }
}

/// The folder in which the files of a change wait.
pub fn staging(change: &str) -> String {
    format!("{STAGING}/{change}")
}

/// Where a file waits that gets this path when the change is carried out.
pub(crate) fn staged(change: &str, path: &str) -> String {
    format!("{STAGING}/{change}/{path}")
}

/// The record of a change.
pub(crate) fn change_record(change: &str) -> String {
    format!("{CHANGES}/{change}.json")
}

/// The change that a record is of.
pub(crate) fn change_of_record(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.trim_end_matches(".json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_as_they_are_composed() {
        let files = IntervalFiles {
            interval_start_us: 1_474_372_800_000_000,
            run: "1474372799000000".to_owned(),
        };
        let path = files.path(Table::Flows, "a-1").unwrap();
        assert_eq!(
            path,
            "flows/date=2016-09-20/sensor=a-1/20160920T120000Z-1474372799000000.parquet"
        );
        let start_us = files.interval_start_us;
        assert_eq!(interval_and_run(&path), Some((start_us, &*files.run)));
        let start = Timestamp::from_microsecond(start_us).unwrap();
        assert_eq!(
            interval_and_sensor(Table::Flows, &path),
            Some((start, "a-1"))
        );
        assert!(is_of_sensor(&path, "a-1") && !is_of_sensor(&path, "a"));
        assert_eq!(interval_and_sensor(Table::Ports, &path), None);

        let day = DailyFiles {
            zone: "Asia/Tokyo".to_owned(),
            date: jiff::civil::date(2016, 9, 20),
            sensor: "a-1".to_owned(),
            name: "0123-89".to_owned(),
        };
        let path = day.path(DailyTable::Ports);
        assert_eq!(
            path,
            "ports_daily/zone=Asia-Tokyo/date=2016-09-20/sensor=a-1/0123-89.parquet"
        );
        let folders = folders("ports_daily", &path).unwrap();
        let expected = [
            ("date", "2016-09-20"),
            ("sensor", "a-1"),
            ("zone", "Asia-Tokyo"),
        ];
        assert_eq!(folders.into_iter().collect::<Vec<_>>(), expected);
        assert_eq!(day.change(), "rollup-Asia-Tokyo-2016-09-20-a-1-0123-89");
        let change = day.change();
        assert_eq!(change_of_record(&change_record(&change)), change);
    }

    #[test]
    fn files_at_other_places_are_foreign() {
        for path in [
            "flows/date=2016-09-20/sensor=a/notes.txt",
            "flows/date=2016-09-20/20160920T120000Z-r.parquet",
            "flows/sensor=a/20160920T120000Z-r.parquet",
            "flows/date=2016-09-20/sensor=a/r.parquet",
            "flows/x.parquet",
        ] {
            assert_eq!(interval_and_sensor(Table::Flows, path), None, "{path}");
        }
        assert_eq!(folders("flows", "flows/below/x.parquet"), None);
    }
}
