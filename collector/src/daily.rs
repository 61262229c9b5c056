//! Daily tables while a collector runs: once an hour the other program is asked to make what days
//! have closed, on the lowest priority. It decides itself which days those are.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::companion;

/// Minutes after the hour: days end at whole or half hours, and their last interval takes a while.
const MINUTE: i64 = 11;
const HOUR: Duration = Duration::from_secs(3600);

/// Starts rollups of one sensor's days.
pub struct DailyTables {
    store: String,
    sensor: String,
    next: Instant,
    running: Option<Child>,
}

impl DailyTables {
    /// For a sensor that writes to a store; none, with a line that says so, where the program that
    /// makes daily tables is not there.
    pub fn new(store: String, sensor: &str) -> Option<Self> {
        if !companion::is_there() {
            log::info!(
                "days are not rolled up by themselves: {} is not beside this program",
                companion::NAME
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

    /// Looks whether it is time, and whether the last one went well.
    pub fn tend(&mut self) {
        if let Some(child) = &mut self.running {
            match child.try_wait() {
                Ok(None) => return,
                Ok(Some(ended)) if ended.success() => {}
                Ok(Some(ended)) => {
                    log::warn!(
                        "days could not be rolled up ({ended}): see above; tried again in an hour"
                    );
                }
                Err(error) => log::warn!("nothing is known of the rollup: {error}"),
            }
            self.running = None;
        }
        if Instant::now() < self.next {
            return;
        }
        self.next += HOUR;
        let started = Command::new("nice")
            .args(["-n", "19"])
            .arg(companion::place())
            .args(["rollup", "--threads", "1", "--memory", "512"])
            .args(["--store", &self.store, "--sensor", &self.sensor])
            .stdin(Stdio::null())
            .spawn();
        match started {
            Ok(child) => self.running = Some(child),
            Err(error) => log::warn!("cannot start `nice {}`: {error}", companion::NAME),
        }
    }
}

impl Drop for DailyTables {
    /// A rollup that is stopped leaves every day as it was.
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
