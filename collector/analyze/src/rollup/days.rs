//! The days of a store, with the interval files of each.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use noctule_store::Table;
use noctule_store::files::Entry;
use noctule_store::layout::interval_and_sensor;
use sha2::{Digest as _, Sha256};

use crate::args::RollupArgs;
use crate::daily::MADE_OF;
use crate::open::{FOREIGN, OpenStore};
use crate::table::Skipped;

/// Time after a day's end in which its last interval may still be written.
const GRACE: SignedDuration = SignedDuration::from_mins(10);

/// A sensor's day and the files of its intervals.
#[derive(Clone)]
pub(super) struct Day {
    /// The day in the report's time zone.
    pub(super) date: Date,
    pub(super) sensor: String,
    /// End of the day.
    pub(super) end: Timestamp,
    /// Files of the tables that daily tables are made of, by table and path.
    pub(super) inputs: Vec<(Table, Entry)>,
}

impl Day {
    /// Digest of the files' paths and lengths, 16 hexadecimal digits. A stored file never changes, so
    /// that its path and length identify it.
    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (_, entry) in &self.inputs {
            hash.update(format!("{} {}\n", entry.path, entry.bytes));
        }
        short(hash)
    }

    /// The day without files that were left out.
    pub(super) fn without(&self, skipped: &Skipped) -> Self {
        let mut day = self.clone();
        let inputs = &mut day.inputs;
        inputs.retain(|(_, entry)| !skipped.contains(&entry.path));
        day
    }

    /// The files of a table.
    pub(super) fn files_of(&self, table: Table) -> Vec<Entry> {
        let of_table = self.inputs.iter().filter(|(of, _)| *of == table);
        of_table.map(|(_, entry)| entry.clone()).collect()
    }
}

/// The first 16 hexadecimal digits of a digest.
pub(super) fn short(hash: Sha256) -> String {
    format!("{:.16x}", hash.finalize())
}

/// The days of a store that a command line selects.
pub(super) struct Days {
    /// Days that have closed, by date and sensor.
    pub(super) days: Vec<Day>,
    /// Number of days that were left out because they have not closed.
    pub(super) open: usize,
}

impl Days {
    /// Sorts a store's files into days. Days before `whole_from` are left out.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub(super) fn find(
        store: &OpenStore,
        zone: &TimeZone,
        args: &RollupArgs,
        whole_from: Option<Date>,
        now: Timestamp,
    ) -> Result<Self> {
        let mut found: BTreeMap<(Date, String), Vec<(Table, Entry)>> = BTreeMap::new();
        for table in MADE_OF {
            for entry in store.files.list(table.name())? {
                let Some((start, sensor)) = interval_and_sensor(table, &entry.path) else {
                    store.skipped.add(&entry.path, FOREIGN);
                    continue;
                };
                let date = start.to_zoned(zone.clone()).date();
                let day = found.entry((date, sensor.to_owned())).or_default();
                day.push((table, entry));
            }
        }
        let mut open = 0;
        let mut days = Vec::new();
        for ((date, sensor), mut inputs) in found {
            let selected =
                whole_from.is_none_or(|from| date >= from) && args.days.has(date, &sensor);
            if !selected {
                continue;
            }
            let end = date.checked_add(1.day())?;
            let end = end.to_zoned(zone.clone())?.timestamp();
            if end.checked_add(GRACE)? > now && !args.open_days {
                open += 1;
                continue;
            }
            inputs.sort();
            days.push(Day {
                date,
                sensor,
                end,
                inputs,
            });
        }
        Ok(Self { days, open })
    }
}
