//! Which days a store has, and which files belong to each.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use noctule_store::files::Entry;
use noctule_store::{DailyTable, Table, layout};
use sha2::{Digest as _, Sha256};

use crate::args::RollupArgs;
use crate::daily::MADE_OF;
use crate::open::{FOREIGN, OpenStore};
use crate::table::Skipped;

/// After a day's end its last interval is still being written.
const GRACE: SignedDuration = SignedDuration::from_mins(10);

/// A sensor's day and the files that hold its intervals.
pub(super) struct Day {
    /// The day in the zone.
    pub(super) date: Date,
    pub(super) sensor: String,
    /// When it ends.
    pub(super) end: Timestamp,
    /// Files of the tables that a rollup reads, by path.
    pub(super) inputs: Vec<(Table, Entry)>,
}

impl Day {
    /// 16 hexadecimal digits that stand for the files: their paths and lengths, since a stored file
    /// never changes.
    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (_, entry) in &self.inputs {
            hash.update(format!("{} {}\n", entry.path, entry.bytes));
        }
        short(hash)
    }

    /// Leaves out what cannot be used, and says whether there was any.
    pub(super) fn retain(&mut self, skipped: &Skipped) -> bool {
        let before = self.inputs.len();
        self.inputs
            .retain(|(_, entry)| !skipped.contains(&entry.path));
        self.inputs.len() < before
    }

    pub(super) fn files_of(&self, table: Table) -> Vec<Entry> {
        let of_table = self.inputs.iter().filter(|(of, _)| *of == table);
        of_table.map(|(_, entry)| entry.clone()).collect()
    }
}

/// The first 16 hexadecimal digits of a digest.
pub(super) fn short(hash: Sha256) -> String {
    let octets = hash.finalize();
    octets[..8]
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

/// Days to look at, and what daily files there are.
pub(super) struct Days {
    pub(super) days: Vec<Day>,
    /// Daily files, by table.
    pub(super) daily: BTreeMap<DailyTable, Vec<Entry>>,
    /// How many days were left out because they have not closed.
    pub(super) open: usize,
}

impl Days {
    /// Lists a store's files and sorts them into days; those before `whole_from` are left alone.
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
                let Some((start, sensor)) = layout::interval_and_sensor(table, &entry.path) else {
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
            let wanted = whole_from.is_none_or(|from| date >= from)
                && args.from.is_none_or(|from| date >= from)
                && args.to.is_none_or(|to| date <= to)
                && (args.sensor.is_empty() || args.sensor.contains(&sensor));
            if !wanted {
                continue;
            }
            let end = (date.checked_add(1.day())?)
                .to_zoned(zone.clone())?
                .timestamp();
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
        let mut daily = BTreeMap::new();
        for table in DailyTable::ALL {
            daily.insert(table, store.files.list(table.name())?);
        }
        Ok(Self { days, daily, open })
    }
}
