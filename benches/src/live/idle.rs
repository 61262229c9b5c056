//! CPU time of a worker with few or no packets.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::collector::{Collector, Plan};
use super::wire::{self, Sent, Wire};
use crate::figure::{Figure, Goal, Rounds};

/// Packets/s of a /16 on an ordinary day.
const ORDINARY: f64 = 5_000.0;
/// How long the worker's CPU time is measured.
const WATCHED: Duration = Duration::from_secs(3);
/// Goal: percent of a core that the worker may take.
const MOST: f64 = 10.0;

/// Measures, and checks that every frame sent was counted or lost.
pub fn run(wire: &Wire) -> Result<Vec<Figure>> {
    let plan = Plan {
        max_flows: 100_000,
        interval_seconds: 3600,
        store: None,
    };
    let collector = Collector::start(wire, plan)?;
    let silent = percent()?;
    let enough = AtomicBool::new(false);
    let (sent, ordinary) = thread::scope(|scope| {
        let go_on = || !enough.load(Ordering::Relaxed);
        let sender = scope.spawn(move || wire.send(u64::MAX, Some(ORDINARY), go_on));
        // The generator is loaded first.
        wire::wait_until(WATCHED, || collector.counted() > 0);
        let ordinary = percent();
        enough.store(true, Ordering::Relaxed);
        let sent: Result<Sent> = wire::join(sender);
        sent.and_then(|sent| Ok((sent, ordinary?)))
    })?;
    collector.finish(&sent)?;
    let figure = |name, value| {
        let rounds = Rounds {
            figures: &[value],
            references: &[],
        };
        Figure::new(name, "% of a core", &rounds, None, &[Goal::AtMost(MOST)])
    };
    Ok(vec![
        figure("live/idle", silent),
        figure("live/at-5-kpps", ordinary),
    ])
}

/// Percent of a core that the worker's thread takes, by the kernel's account.
fn percent() -> Result<f64> {
    let (began, before) = (Instant::now(), worker_ns()?);
    thread::sleep(WATCHED);
    Ok((worker_ns()? - before) as f64 / began.elapsed().as_nanos() as f64 * 100.0)
}

/// Nanoseconds that the worker's thread has run.
fn worker_ns() -> Result<u64> {
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == "worker-0" {
            let text = fs::read_to_string(task.join("schedstat"))?;
            let ran = text
                .split_whitespace()
                .next()
                .and_then(|ran| ran.parse().ok());
            return ran.context("schedstat is of another form");
        }
    }
    anyhow::bail!("there is no worker")
}
