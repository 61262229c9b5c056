//! Which files of the store hold which days of the report's time zone, of which sensor.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use datafusion::common::ScalarValue;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use noctule_store::files::Entry;
use noctule_store::{DailyTable, Table, layout};

use super::period::Span;
use super::questions::Input;
use super::rows::number_of;
use crate::open::{FOREIGN, OpenStore};
use crate::table::StoreFile;

/// Files are asked about together up to so many octets: some millions of rows.
const WINDOW_OCTETS: u64 = 48 << 20;
/// Days that are asked about together, however small.
const WINDOW_DAYS: usize = 62;

/// Files of a table by day, each with its sensor.
type FilesByDay = BTreeMap<Date, Vec<(String, Entry)>>;

/// Files of the tables that a report reads.
pub struct Tables {
    daily: BTreeMap<DailyTable, FilesByDay>,
    fingerprints: FilesByDay,
    /// Of `flows` and `ledger`: the days of sensors that [`Tables::add_intervals`] has added.
    intervals: BTreeMap<Table, FilesByDay>,
}

impl Tables {
    /// Lists the daily files of a time zone, and the files of fingerprints.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub fn list(store: &OpenStore, zone: &TimeZone, zone_name: &str) -> Result<Self> {
        let mut daily = BTreeMap::new();
        for table in DailyTable::ALL {
            let folder = layout::zone_folder(table, zone_name);
            let place = |path: &str| {
                let folders = layout::folders(table.name(), path)?;
                let date = folders.get("date")?.parse::<Date>().ok()?;
                Some((date, (*folders.get("sensor")?).to_owned()))
            };
            daily.insert(table, by_day(store, &folder, place)?);
        }
        let table = Table::Fingerprints;
        let place = |path: &str| {
            let (start, sensor) = layout::interval_and_sensor(table, path)?;
            Some((start.to_zoned(zone.clone()).date(), sensor.to_owned()))
        };
        let fingerprints = by_day(store, table.name(), place)?;
        Ok(Self {
            daily,
            fingerprints,
            intervals: BTreeMap::new(),
        })
    }

    /// Adds the files of `flows` and `ledger` of days of sensors that are `wanted`; `dates` are the days,
    /// if they are known.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub fn add_intervals(
        &mut self,
        store: &OpenStore,
        zone: &TimeZone,
        dates: Option<&BTreeSet<Date>>,
        wanted: impl Fn(Date, &str) -> bool,
    ) -> Result<()> {
        // Folders have dates of UTC.
        let utc: Option<BTreeSet<Date>> = dates.map(|dates| {
            let around = |date: &Date| [date.yesterday().ok(), Some(*date), date.tomorrow().ok()];
            dates.iter().flat_map(around).flatten().collect()
        });
        for table in [Table::Flows, Table::Ledger] {
            let folders: Vec<String> = match &utc {
                Some(dates) => {
                    let folder = |date| format!("{}/date={date}", table.name());
                    dates.iter().map(folder).collect()
                }
                None => vec![table.name().to_owned()],
            };
            let place = |path: &str| {
                let (start, sensor) = layout::interval_and_sensor(table, path)?;
                Some((start.to_zoned(zone.clone()).date(), sensor.to_owned()))
            };
            let added = self.intervals.entry(table).or_default();
            for folder in folders {
                for (date, files) in by_day(store, &folder, place)? {
                    let files = files.into_iter();
                    let files: Vec<_> = files.filter(|(sensor, _)| wanted(date, sensor)).collect();
                    if !files.is_empty() {
                        added.entry(date).or_default().extend(files);
                    }
                }
            }
        }
        Ok(())
    }

    /// Sensors that have a day in a span.
    pub fn sensors(&self, span: Span) -> BTreeSet<String> {
        let ledger = self.daily.get(&DailyTable::Ledger).into_iter();
        let files = ledger.flat_map(|days| days.range(span.from..=span.to));
        files
            .flat_map(|(_, files)| files.iter().map(|(sensor, _)| sensor.clone()))
            .collect()
    }

    /// The first day of any sensor.
    pub fn first_day(&self) -> Option<Date> {
        let ledger = self.daily.get(&DailyTable::Ledger)?;
        ledger.keys().next().copied()
    }

    /// Leaves out the files of other sensors.
    pub fn retain(&mut self, sensors: &BTreeSet<String>) {
        for by_day in self.daily.values_mut().chain([&mut self.fingerprints]) {
            for files in by_day.values_mut() {
                files.retain(|(sensor, _)| sensors.contains(sensor));
            }
            by_day.retain(|_, files| !files.is_empty());
        }
    }

    /// Files of a daily table of the days of a span.
    pub fn daily(&self, table: DailyTable, span: Span) -> Vec<Entry> {
        let days = self.daily.get(&table).into_iter();
        let files = days.flat_map(|days| days.range(span.from..=span.to));
        files
            .flat_map(|(_, files)| files.iter().map(|(_, entry)| entry.clone()))
            .collect()
    }

    /// Files of an interval table of the days of a span, with day and sensor as their folders' values.
    /// Of other tables than `fingerprints` these are the ones that were added.
    pub fn intervals(&self, table: Table, span: Span) -> Vec<StoreFile> {
        let by_day = match table {
            Table::Fingerprints => Some(&self.fingerprints),
            _ => self.intervals.get(&table),
        };
        let days = by_day.into_iter();
        let days = days.flat_map(|by_day| by_day.range(span.from..=span.to));
        days.flat_map(|(date, files)| {
            files.iter().map(|(sensor, entry)| {
                let day = ScalarValue::Date32(Some(number_of(*date)));
                StoreFile::new(entry, vec![day, ScalarValue::from(sensor.as_str())])
            })
        })
        .collect()
    }

    /// Cuts a span into runs of days that are asked about together, so that large days are read one
    /// at a time. Days without files are in none.
    pub fn windows(&self, inputs: &[Input], span: Span) -> Vec<Span> {
        let mut windows: Vec<Span> = Vec::new();
        let (mut octets, mut count) = (0, 0);
        let read = self.read_by(inputs);
        for date in span.days() {
            let files = read.iter().filter_map(|days| days.get(&date)).flatten();
            let of_day: u64 = files.map(|(_, entry)| entry.bytes).sum();
            if of_day == 0 {
                continue;
            }
            match windows.last_mut() {
                Some(window) if octets + of_day <= WINDOW_OCTETS && count < WINDOW_DAYS => {
                    window.to = date;
                    octets += of_day;
                    count += 1;
                }
                _ => {
                    windows.push(Span::new(date, date));
                    (octets, count) = (of_day, 1);
                }
            }
        }
        windows
    }

    fn read_by(&self, inputs: &[Input]) -> Vec<&FilesByDay> {
        let mut read = Vec::new();
        for input in inputs {
            match input {
                Input::Daily(table) => read.extend(self.daily.get(table)),
                Input::Fingerprints | Input::MatchedEarlier => read.push(&self.fingerprints),
                Input::Intervals => read.extend(self.intervals.get(&Table::Flows)),
                Input::Confirmed | Input::ConfirmedEarlier => {
                    read.push(&self.fingerprints);
                    read.extend(self.daily.get(&DailyTable::Flows));
                    read.extend(self.intervals.get(&Table::Flows));
                }
            }
        }
        read
    }
}

/// Sorts the files of a folder by day; those whose place is foreign are left out and named.
fn by_day(
    store: &OpenStore,
    folder: &str,
    place: impl Fn(&str) -> Option<(Date, String)>,
) -> Result<FilesByDay> {
    let mut by_day = FilesByDay::new();
    for entry in store.files.list(folder)? {
        match place(&entry.path) {
            Some((date, sensor)) => by_day.entry(date).or_default().push((sensor, entry)),
            None => {
                store.skipped.add(&entry.path, FOREIGN);
            }
        }
    }
    Ok(by_day)
}
