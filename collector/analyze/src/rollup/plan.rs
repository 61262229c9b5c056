//! What a rollup would do: its settings, the days of the store, and the files that it has of them.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;
use noctule_store::DailyTable;
use noctule_store::files::Entry;
use noctule_store::layout::{DailyFiles, zone_folder, zone_in_paths};

use super::days::{Day, Days};
use super::options::Options;
use crate::args::RollupArgs;
use crate::open::OpenStore;
use crate::settings::{Settings, zone};

/// How the daily files of a day compare with those that would be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// They are the same.
    Current,
    /// They were made of other files.
    Changed,
    /// They do not exist, or are to be made again.
    Missing,
}

/// What a rollup would do.
pub(super) struct Plan {
    /// IANA name of the time zone.
    pub(super) zone: String,
    pub(super) options: Options,
    /// The days, with the files that they are made of.
    pub(super) days: Days,
    daily: BTreeMap<DailyTable, Vec<Entry>>,
}

impl Plan {
    /// Reads the settings of the command line and of the store, and lists the store's files.
    ///
    /// # Errors
    /// If the store cannot be listed, or settings or a list of research scanners are not valid.
    pub(super) fn read(store: &OpenStore, args: &RollupArgs) -> Result<Self> {
        let settings = Settings::read(&store.files)?;
        let zone_name = args.timezone.as_ref().unwrap_or(&settings.report_timezone);
        let zone = zone(zone_name)?;
        let now = Timestamp::now();
        let whole_from = settings.first_whole_day(&zone, now)?;
        let mut daily = BTreeMap::new();
        for table in DailyTable::ALL {
            daily.insert(table, store.files.list(&zone_folder(table, zone_name))?);
        }
        Ok(Self {
            zone: zone_name.clone(),
            options: Options::read(args, &settings, &store.files)?,
            days: Days::find(store, &zone, args, whole_from, now)?,
            daily,
        })
    }

    /// The daily files of a day, as they would be made now.
    pub(super) fn files(&self, day: &Day) -> DailyFiles {
        DailyFiles {
            zone: self.zone.clone(),
            date: day.date,
            sensor: day.sensor.clone(),
            name: format!("{}-{}", day.digest(), self.options.digest),
        }
    }

    /// What a day was made of, as JSON, for the metadata of its files.
    pub(super) fn about(&self, day: &Day) -> String {
        let about = serde_json::json!({
            "zone": zone_in_paths(&self.zone),
            "date": day.date.to_string(),
            "sensor": day.sensor,
            "files": day.inputs.len(),
            "settings": self.options.about,
        });
        about.to_string()
    }

    /// Compares the store's daily files of a day with those that would be made now. Files that were
    /// made with other settings count as current, unless they are to be made again (`redo`).
    pub(super) fn state(&self, day: &Day, redo: bool) -> State {
        let files = self.files(day);
        let stored = self.daily.iter().flat_map(|(table, entries)| {
            let folder = format!("{}/", files.folder(*table));
            let entries = entries.iter();
            entries.filter_map(move |entry| entry.path.strip_prefix(&folder))
        });
        let stems: Vec<&str> = stored
            .map(|name| name.strip_suffix(".parquet").unwrap_or(name))
            .collect();
        if stems.len() != DailyTable::ALL.len() {
            return State::Missing;
        }
        if stems.iter().all(|stem| *stem == files.name) {
            return State::Current;
        }
        let inputs = day.digest();
        let of_inputs = |stem: &&str| stem.split_once('-').is_some_and(|(of, _)| of == inputs);
        match (stems.iter().all(of_inputs), redo) {
            (true, false) => State::Current,
            (true, true) => State::Missing,
            (false, _) => State::Changed,
        }
    }
}
