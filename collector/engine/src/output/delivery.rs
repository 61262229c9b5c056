//! The end of a run's output: the spool is emptied, and a replacing replay commits its change.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use noctule_store::change::{self, Change};
use noctule_store::files::Files;
use noctule_store::layout::interval_and_run;
use noctule_store::observed::{Ledgers, files_between};
use noctule_store::{Location, StoreError, Table};

use super::retry::retry;
use super::uploader::{Undelivered, Uploader};
use crate::config::Common;

/// A gap between intervals beyond which the stored time is not replaced, microseconds: a clock that was
/// wrong at a capture's start must not remove years of other captures.
const GAP_US: i64 = 7 * 86_400 * 1_000_000;

/// What remains to be done after a run's last file was written.
pub struct Delivery {
    location: Location,
    sensor: String,
    run: String,
    interval_seconds: u32,
    uploader: Option<Uploader>,
    /// Name of the change that a replacing replay makes.
    change: Option<String>,
}

impl Delivery {
    /// The delivery of a run that writes to `location`.
    pub fn new(
        common: &Common,
        location: &Location,
        run: &str,
        uploader: Option<Uploader>,
        change: Option<String>,
    ) -> Self {
        Self {
            location: location.clone(),
            sensor: common.sensor.clone(),
            run: run.to_owned(),
            interval_seconds: common.interval_seconds,
            uploader,
            change,
        }
    }

    /// Ends a live run. Files that cannot be sent soon are left to the sensor's next run.
    ///
    /// # Errors
    /// A file contradicts one in the store, or the spool cannot be listed.
    pub fn finish_live(&self) -> Result<()> {
        let Some(uploader) = &self.uploader else {
            return Ok(());
        };
        if let Some(left) = uploader.finish(&AtomicBool::new(true))? {
            log::warn!(
                "{}: the next run of this sensor sends them",
                describe(&left, uploader)
            );
        }
        uploader.contradictions()
    }

    /// Ends a replay: waits until every file is sent and, if the captures were read to their end
    /// (`whole`), commits the change.
    ///
    /// # Errors
    /// A file could not be sent or contradicts one in the store, the change could not be
    /// committed, or a replacing replay was stopped by a signal.
    pub fn finish_replay(&self, whole: bool, stop: &AtomicBool) -> Result<()> {
        let stopped = stop.load(Ordering::Relaxed);
        if self.change.is_some() && (stopped || !whole) {
            self.abandon();
            if stopped {
                bail!("stopped by a signal: nothing was replaced; the same command begins again");
            }
            return Ok(());
        }
        if let Some(uploader) = &self.uploader
            && let Some(left) = uploader.finish(stop)?
        {
            uploader.contradictions()?;
            bail!(
                "{}: the same command sends them again",
                describe(&left, uploader)
            );
        }
        let Some(change) = &self.change else {
            return Ok(());
        };
        self.replace(change, stop)
    }

    /// Ends a replay that failed: its files are sent, unless they were to replace others.
    pub fn abandon(&self) {
        let Some(change) = &self.change else {
            if let Err(error) = self.finish_live() {
                log::error!("{error:#}");
            }
            return;
        };
        // The spool first, so that no more files are sent from it.
        let mut places = vec![self.location.clone()];
        if let Some(uploader) = &self.uploader {
            places.insert(0, Location::Folder(uploader.folder().to_owned()));
        }
        for place in places {
            let gone = Files::open(&place).and_then(|files| change::abandon(&files, change));
            if let Err(error) = gone {
                log::warn!("{error}; the staged files of {change} are removed after a day");
            }
        }
    }

    /// Commits the change of a replacing replay: its files come, and the sensor's other files of
    /// the same time go.
    fn replace(&self, change: &str, stop: &AtomicBool) -> Result<()> {
        let files = Files::open(&self.location)?;
        let come = retry(stop, || change::staged(&files, change))?;
        let ledger = |path: &&String| path.starts_with(Table::Ledger.name());
        let starts =
            (come.iter().filter(ledger)).filter_map(|path| Some(interval_and_run(path)?.0));
        let ranges = ranges(starts.collect());
        if ranges.is_empty() {
            log::warn!("the captures hold no interval: nothing was replaced");
            return Ok(());
        }
        let mut go = Vec::new();
        for (first, last) in ranges {
            let end = last + i64::from(self.interval_seconds) * 1_000_000;
            for bound in [first, end] {
                let places = vec![Files::open(&self.location)?];
                let mut ledgers =
                    Ledgers::new(places, &self.sensor, &self.run, self.interval_seconds);
                if let Some((start_us, seconds)) = retry(stop, || ledgers.across(bound))? {
                    let start = jiff::Timestamp::from_microsecond(start_us).unwrap_or_default();
                    let [first, end] = [first, end]
                        .map(|us| jiff::Timestamp::from_microsecond(us).unwrap_or_default());
                    self.abandon();
                    bail!(
                        "cannot replace {first} to {end} in {}: the interval of {seconds} s from {start} there lies partly outside; give --interval {seconds}, or another --store",
                        self.location
                    );
                }
            }
            go.extend(retry(stop, || {
                files_between(&files, &self.sensor, first, end)
            })?);
        }
        let gone = go.iter().filter(|path| !come.contains(path)).count();
        // A commit that has begun must not be stopped; repeating it is harmless.
        let never = AtomicBool::new(false);
        retry(&never, || {
            Change::of(&files, change, come.clone()).commit(go.clone())
        })
        .map_err(|error: StoreError| {
            anyhow::Error::from(error).context(
                "the change is not finished; the next run with this store finishes it if it was recorded, and the same command makes it in any case",
            )
        })?;
        log::info!(
            "replaced in {}: {} files came, {gone} went",
            self.location,
            come.len()
        );
        Ok(())
    }
}

/// First and last of these starts, in stretches without a gap of more than [`GAP_US`].
fn ranges(mut starts: Vec<i64>) -> Vec<(i64, i64)> {
    starts.sort_unstable();
    let stretches = starts.chunk_by(|one, next| next - one <= GAP_US);
    (stretches.filter_map(|starts| Some((*starts.first()?, *starts.last()?)))).collect()
}

/// Number, folder, destination and cause of undelivered files.
fn describe(left: &Undelivered, uploader: &Uploader) -> String {
    let cause = left
        .cause
        .as_ref()
        .map_or_else(String::new, |cause| format!(" ({cause})"));
    format!(
        "{} files wait in {} for {}{cause}",
        left.files,
        left.folder.display(),
        uploader.store()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_long_gap_is_not_replaced() {
        let week = GAP_US;
        assert_eq!(ranges(Vec::new()), []);
        assert_eq!(ranges(vec![9]), [(9, 9)]);
        let starts = vec![2 * week + 1, 0, week, 5 * week, 2 * week + 1];
        assert_eq!(
            ranges(starts),
            [
                (0, week),
                (2 * week + 1, 2 * week + 1),
                (5 * week, 5 * week)
            ]
        );
    }
}
