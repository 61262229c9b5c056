//! Daily tables while a collector runs: once an hour, `noctule-analyze rollup` is started with the
//! lowest priority. It finds out itself which days are complete.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::analyze_program;

/// Minute of the hour: days end at full or half hours, and their last interval is written later.
const MINUTE: i64 = 11;
const HOUR: Duration = Duration::from_secs(3600);

/// Starts the rollups of one sensor's days.
pub struct DailyTables {
    store: String,
    sensor: String,
    next: Instant,
    running: Option<Child>,
}

impl DailyTables {
    /// Rollups for a sensor that writes to `store`. None if `noctule-analyze` is not installed; a
    /// log line says so.
    pub fn new(store: String, sensor: &str) -> Option<Self> {
        if !analyze_program::is_installed() {
            log::info!(
                "days are not rolled up automatically: {} is neither beside this program nor on the PATH",
                analyze_program::NAME
            );
            return None;
        }
        let now = jiff::Timestamp::now().as_second();
        let wait = (MINUTE * 60 - now).rem_euclid(3600);
        Some(Self {
            store,
            sensor: sensor.to_owned(),
            next: Instant::now() + Duration::from_secs(wait.unsigned_abs()),
            running: None,
        })
    }

    /// Starts a rollup if one is due, and reports one that failed.
    pub fn poll(&mut self) {
        if let Some(child) = &mut self.running {
            match child.try_wait() {
                Ok(None) => return,
                Ok(Some(ended)) if ended.success() => {}
                Ok(Some(ended)) => {
                    log::warn!(
                        "days could not be rolled up ({ended}): see the lines above; the next attempt is in an hour"
                    );
                }
                Err(error) => log::warn!("the rollup's exit status is unknown: {error}"),
            }
            self.running = None;
        }
        if Instant::now() < self.next {
            return;
        }
        self.next += HOUR;
        let started = Command::new("nice")
            .args(["-n", "19"])
            .arg(analyze_program::path())
            .args(["rollup", "--threads", "1", "--memory", "512"])
            .args(["--store", &self.store, "--sensor", &self.sensor])
            .stdin(Stdio::null())
            .spawn();
        match started {
            Ok(child) => self.running = Some(child),
            Err(error) => log::warn!("cannot start `nice {}`: {error}", analyze_program::NAME),
        }
    }
}

impl Drop for DailyTables {
    /// Stops a running rollup, which leaves every day as it was.
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
