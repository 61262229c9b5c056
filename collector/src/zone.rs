//! The zone whose days a run's summary confirms sources by: `report_timezone` in the `noctule.toml` at
//! the store's root, as in reports; UTC without a store or without that setting.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use noctule_engine::retry::persist;
use noctule_store::Location;
use noctule_store::files::Files;
use serde::Deserialize;

/// The file at a store's root that says it.
const FILE: &str = "noctule.toml";
/// A live run does not wait longer than this for a bucket: packets come already.
const PATIENCE: Duration = Duration::from_secs(5);

/// The setting; reports check the file's other settings.
#[derive(Deserialize)]
struct Settings {
    report_timezone: Option<String>,
}

/// The zone of a replay; `stop` ends the wait for a bucket that does not answer.
///
/// # Errors
/// The store does not answer for long, its settings cannot be read, or the zone is not known.
pub fn replay(store: Option<&Location>, stop: &Arc<AtomicBool>) -> Result<TimeZone> {
    let Some(location) = store else {
        return Ok(TimeZone::UTC);
    };
    let files = Files::open(location)?;
    let text = persist(stop, || files.read(FILE))?;
    of(text, location)
}

/// The zone of a live run. If it cannot be found out, that is logged, and the zone is UTC.
pub fn live(store: Option<&Location>) -> TimeZone {
    let Some(location) = store else {
        return TimeZone::UTC;
    };
    let (found, zone) = mpsc::sync_channel(1);
    let place = location.clone();
    // The thread ends with the process if the bucket does not answer.
    thread::spawn(move || {
        let text = Files::open(&place).and_then(|files| files.read(FILE));
        let _ = found.send(text.map_err(Into::into).and_then(|text| of(text, &place)));
    });
    let zone = (zone.recv_timeout(PATIENCE))
        .unwrap_or_else(|_| Err(anyhow::anyhow!("{location} did not answer in {PATIENCE:?}")));
    zone.unwrap_or_else(|error| {
        log::warn!(
            "the summary's days are those of UTC, since the store's zone is not known: {error:#}"
        );
        TimeZone::UTC
    })
}

fn of(text: Option<Vec<u8>>, location: &Location) -> Result<TimeZone> {
    let place = || format!("cannot use the settings in {location}/{FILE}");
    let text = String::from_utf8(text.unwrap_or_default()).with_context(place)?;
    let settings: Settings = toml::from_str(&text).with_context(place)?;
    match settings.report_timezone {
        Some(name) => named(&name).with_context(place),
        None => Ok(TimeZone::UTC),
    }
}

/// A zone by its IANA name.
///
/// # Errors
/// The time zone database does not know the name.
pub fn named(name: &str) -> Result<TimeZone> {
    TimeZone::get(name)
        .with_context(|| format!("\"{name}\" is no time zone: write it as Asia/Tokyo or UTC"))
}
