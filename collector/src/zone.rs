//! The zone by whose days a run's summary confirms sources: `report_timezone` in the `noctule.toml` at
//! the store's root, as in reports; UTC without a store or without that setting.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use noctule_engine::output::retry;
use noctule_store::Location;
use noctule_store::files::Files;
use serde::Deserialize;

/// The settings file at a store's root.
const FILE: &str = "noctule.toml";
/// Longest wait of a live run for a bucket, since the darknet's packets are not counted meanwhile.
const BUCKET_TIMEOUT: Duration = Duration::from_secs(5);

/// The setting; reports check the file's other settings.
#[derive(Deserialize)]
struct Settings {
    report_timezone: Option<String>,
}

/// The zone of a replay; `stop` ends the wait for a bucket that does not answer.
///
/// # Errors
/// The store does not answer for five minutes, its settings cannot be read, or the zone is unknown.
pub fn replay(store: Option<&Location>, stop: &Arc<AtomicBool>) -> Result<TimeZone> {
    let Some(location) = store else {
        return Ok(TimeZone::UTC);
    };
    let files = Files::open(location)?;
    let text = retry(stop, || files.read(FILE))?;
    of(text, location)
}

/// The zone of a live run; UTC, with a warning, if the store does not answer or its settings are invalid.
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
    let zone = (zone.recv_timeout(BUCKET_TIMEOUT)).unwrap_or_else(|_| {
        Err(anyhow::anyhow!(
            "{location} did not answer in {BUCKET_TIMEOUT:?}"
        ))
    });
    zone.unwrap_or_else(|error| {
        log::warn!(
            "the summary's days are those of UTC, because the store's zone is unknown: {error:#}"
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
