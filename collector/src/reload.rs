//! SIGHUP: rules and geo files are read again, judged whole, and applied at an interval's start.
//! Whatever is refused leaves the old in force.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use crossbeam_channel::Sender;

use crate::args::RunArgs;
use crate::config::{self, Run};
use crate::engine::interval::start_of;
use crate::engine::message::{IntervalStart, Message};
use crate::engine::schedule::Schedule;
use crate::{geo, rules};

/// Time before an interval's end in which a reload waits for the next but one: every worker must
/// ask for its rules after they are there. An eighth of a second.
const TOO_LATE_US: i64 = 125_000;

/// What a reload needs.
pub struct Reload<'a> {
    /// The command line: flags go over the file that is read again.
    pub args: &'a RunArgs,
    /// The settings in force.
    pub running: &'a Run,
    /// Takes the rules.
    pub schedule: Arc<Schedule>,
    /// Takes the geo files.
    pub flusher: Sender<Message>,
}

impl Reload<'_> {
    /// Reads everything again, and says in one line what came of it.
    pub fn run(&self) {
        match self.apply() {
            Ok(line) => log::info!("{line}"),
            Err(error) => log::error!(
                "reload refused, the rules and geo files in force stay: {}",
                crate::one_line(&error)
            ),
        }
    }

    fn apply(&self) -> Result<String> {
        let fresh = config::run(self.args)?;
        let rules = rules::load(fresh.common.rules.as_deref())?;
        let geo = geo::open(&fresh.common)?;
        let from = self.next_start();
        let line = format!(
            "reloaded: rules {} with {} fingerprints, and geo files, from {} on{}",
            rules.version(),
            rules.fingerprints().len(),
            stamp(from),
            left_alone(self.running, &fresh)
        );
        let geo = Box::new(geo);
        (self.flusher.send(Message::Geo { from, geo }))
            .map_err(|_| anyhow!("the flusher has ended"))?;
        self.schedule.put(from, Arc::new(rules));
        Ok(line)
    }

    /// The first interval that no worker can have begun.
    fn next_start(&self) -> IntervalStart {
        let seconds = self.running.common.interval_seconds;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
        start_of(now + TOO_LATE_US, seconds) + i64::from(seconds)
    }
}

/// Settings that changed and that only a start applies.
fn left_alone(running: &Run, fresh: &Run) -> String {
    let changed = running.changed_until_restart(fresh);
    if changed.is_empty() {
        String::new()
    } else {
        format!(
            "; changed, but only a restart applies it: {}",
            changed.join(", ")
        )
    }
}

fn stamp(interval: IntervalStart) -> String {
    jiff::Timestamp::from_second(interval).map_or_else(|_| interval.to_string(), |t| t.to_string())
}
