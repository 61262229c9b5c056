//! CPU time of the whole machine, softirqs included.

use std::fs;

use anyhow::{Context as _, Result};

/// Ticks per second in `/proc/stat` (`USER_HZ`, 100 on every Linux).
const TICKS: f64 = 100.0;

/// Seconds of CPU time, of all CPUs together.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// In processes and in the kernel, softirqs included; without processes of low priority, which
    /// do not belong to the bench.
    pub busy: f64,
    /// Taken by other virtual machines.
    pub stolen: f64,
}

impl Usage {
    /// The time used since the machine was started.
    pub fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        let line = (text.lines().find_map(|line| line.strip_prefix("cpu ")))
            .context("/proc/stat has no line of all CPUs")?;
        let ticks: Vec<f64> = (line.split_whitespace())
            .map_while(|number| number.parse().ok())
            .collect();
        let [
            user,
            _nice,
            system,
            _idle,
            _wait,
            interrupts,
            softirqs,
            stolen,
            ..,
        ] = ticks[..]
        else {
            anyhow::bail!("/proc/stat is of another form: {line}");
        };
        Ok(Self {
            busy: (user + system + interrupts + softirqs) / TICKS,
            stolen: stolen / TICKS,
        })
    }

    /// The time used after `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            busy: self.busy - before.busy,
            stolen: self.stolen - before.stolen,
        }
    }
}
