//! `noctule store expire`: removes files of days that the store's `keep_days` no longer keeps.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use noctule_store::{DailyTable, layout};

use crate::args::ExpireArgs;
use crate::daily::MADE_OF;
use crate::open::{AnyTable, OpenStore};
use crate::outcome::Outcome;
use crate::settings::{Settings, zone};

/// Removes files, or with `--dry-run` prints which would be removed.
///
/// # Errors
/// If the store cannot be listed or a file not removed, or its settings are not valid.
pub fn run(args: &ExpireArgs) -> Result<Outcome> {
    let store = OpenStore::open(&args.store)?;
    let settings = Settings::read(&store.files)?;
    if settings.keep_days.is_empty() {
        log::info!("everything is kept: noctule.toml at the store's root has no [keep_days]");
        return Ok(Outcome::Whole);
    }
    let zone = zone(&settings.report_timezone)?;
    let today = Timestamp::now().to_zoned(zone.clone()).date();
    let rolled_up = rolled_up(&store, &settings.report_timezone)?;
    for table in AnyTable::all() {
        let Some(&days) = settings.keep_days.get(table.name()) else {
            continue;
        };
        let first_kept = today.checked_sub(i64::from(days).days())?;
        let mut going: BTreeMap<(Date, String), Vec<(String, u64)>> = BTreeMap::new();
        for entry in store.files.list(table.name())? {
            let Some((date, sensor)) = place(table, &entry.path) else {
                continue;
            };
            if date < first_kept {
                let files = going.entry((date, sensor)).or_default();
                files.push((entry.path, entry.bytes));
            }
        }
        for ((date, sensor), files) in going {
            if needs_rollup(table) && !is_rolled_up(&rolled_up, &zone, date, &sensor)? {
                log::warn!(
                    "{} of {date}, sensor {sensor}, are kept: that day has not been rolled up",
                    table.name()
                );
                continue;
            }
            let octets: u64 = files.iter().map(|(_, bytes)| bytes).sum();
            println!(
                "{} {date} {sensor}: {} files, {:.1} MiB{}",
                table.name(),
                files.len(),
                octets as f64 / f64::from(1 << 20),
                if args.dry_run {
                    " would go"
                } else {
                    " removed"
                }
            );
            if !args.dry_run {
                for (path, _) in files {
                    store.files.remove(&path)?;
                }
            }
        }
    }
    Ok(Outcome::Whole)
}

fn place(table: AnyTable, path: &str) -> Option<(Date, String)> {
    let folders = layout::folders(table.name(), path)?;
    let date = folders.get("date")?.parse().ok()?;
    Some((date, (*folders.get("sensor")?).to_owned()))
}

/// True if daily tables are made of the table.
fn needs_rollup(table: AnyTable) -> bool {
    matches!(table, AnyTable::Interval(table) if MADE_OF.contains(&table))
}

/// The days that have daily tables, with their sensors.
fn rolled_up(store: &OpenStore, zone: &str) -> Result<BTreeSet<(Date, String)>> {
    let table = AnyTable::Daily(DailyTable::Ledger);
    let files = store
        .files
        .list(&layout::zone_folder(DailyTable::Ledger, zone))?;
    Ok(files
        .iter()
        .filter_map(|entry| place(table, &entry.path))
        .collect())
}

/// True if every day of the zone that overlaps a UTC date has daily tables.
fn is_rolled_up(
    done: &BTreeSet<(Date, String)>,
    zone: &TimeZone,
    date: Date,
    sensor: &str,
) -> Result<bool> {
    let start = date.to_zoned(TimeZone::UTC)?.timestamp();
    let end = start.checked_add(24.hours())?.checked_sub(1.second())?;
    Ok([start, end].iter().all(|at| {
        let day = at.to_zoned(zone.clone()).date();
        done.contains(&(day, sensor.to_owned()))
    }))
}
