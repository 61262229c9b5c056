//! The highest rate at which nothing is lost, and a hundred epoch swaps near it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use noctule_store::Store;

use super::collector::{Collected, Collector, Plan};
use super::cpu::Usage;
use super::wire::{self, Wire};
use crate::figure::{Figure, Goal, Rounds};

/// Least and greatest rate that is tried, in packets/s.
const RATES: (f64, f64) = (0.02e6, 6e6);
/// How often the span is halved (in its logarithm).
const STEPS: usize = 7;
/// Time of one try.
const TRY: Duration = Duration::from_millis(1500);
/// Swaps at least.
const SWAPS: u64 = 100;
/// Part of the highest rate at which swaps are looked at: a try is short, and a neighbour on the
/// machine takes its share at any time.
const MARGIN: f64 = 0.7;
/// Rows of the flow table: so few that a flush ends within an interval of a second, whatever comes.
const MAX_FLOWS: usize = 100_000;

/// Measures both.
pub fn run(wire: &Wire) -> Result<Vec<Figure>> {
    let before = Usage::now()?;
    let rate = highest(wire)?;
    let usage = Usage::now()?.since(&before);
    println!(
        "highest rate without loss {:.2} Mpps in tries of {TRY:?}, while {:.1} s of CPU time were stolen by other machines",
        rate / 1e6,
        usage.stolen
    );
    let mut figures = vec![figure("live/loss-free", "Mpps", rate / 1e6, &[])];
    figures.extend(swap(wire, rate * MARGIN)?);
    Ok(figures)
}

/// Halves the span between a rate without loss and one with.
fn highest(wire: &Wire) -> Result<f64> {
    let (mut low, mut high) = RATES;
    for _ in 0..STEPS {
        let rate = (low * high).sqrt();
        let packets = (rate * TRY.as_secs_f64()) as u64;
        let (collected, reached) = collect(wire, plan(None), packets, rate)?;
        // What the generator itself cannot send says nothing about the collector.
        if collected.total.lost.total() == 0 && reached > 0.9 * rate {
            low = rate;
        } else {
            high = rate;
        }
    }
    Ok(low)
}

fn plan(store: Option<Store>) -> Plan {
    Plan {
        max_flows: MAX_FLOWS,
        interval_seconds: 1,
        store,
    }
}

fn collect(wire: &Wire, plan: Plan, packets: u64, rate: f64) -> Result<(Collected, f64)> {
    let collector = Collector::start(wire, plan)?;
    let sent =
        thread::scope(|scope| wire::join(scope.spawn(|| wire.send(packets, Some(rate), || true))))?;
    Ok((collector.finish(&sent)?, sent.rate()))
}

/// Sends until there were enough swaps, and times each.
fn swap(wire: &Wire, rate: f64) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path(), "bench")?;
    let collector = Collector::start(wire, plan(Some(store)))?;
    let enough = AtomicBool::new(false);
    let limit = Instant::now() + Duration::from_secs(SWAPS + 20);
    let mut pauses = Histogram::<u64>::new(3)?;
    let sent = thread::scope(|scope| {
        let go_on = || !enough.load(Ordering::Relaxed) && Instant::now() < limit;
        let sender = scope.spawn(move || wire.send(u64::MAX, Some(rate), go_on));
        let mut seen = 0;
        while seen < SWAPS && Instant::now() < limit && !sender.is_finished() {
            thread::sleep(Duration::from_millis(50));
            let swaps = collector.progress.swaps.load(Ordering::Relaxed);
            if swaps > seen {
                seen = swaps;
                pauses.record(collector.progress.swap_ns.load(Ordering::Relaxed))?;
            }
        }
        enough.store(true, Ordering::Relaxed);
        wire::join(sender)
    })?;
    let swaps = collector.progress.swaps.load(Ordering::Relaxed);
    let collected = collector.finish(&sent)?;
    let counted: i64 = (collected.intervals.iter())
        .map(|row| {
            (row.in_flight_before + row.matched) as i64
                - row.lost.total()
                - row.in_flight_after as i64
        })
        .sum();
    let with_loss = (collected.intervals.iter())
        .filter(|row| row.lost.total() != 0)
        .count();
    println!(
        "{} packets at {:.2} Mpps in {swaps} swaps; {} lost, in {with_loss} of {} intervals; {} counted late",
        sent.frames,
        sent.rate() / 1e6,
        collected.total.lost.total(),
        collected.intervals.len(),
        collected.total.tally.late,
    );
    ensure!(
        counted == collected.total.tally.packets as i64,
        "intervals do not add up to the whole"
    );
    let us = |ns: u64| ns as f64 / 1e3;
    let lost = collected.total.lost.total() as f64;
    let least = Goal::AtLeast(SWAPS as f64);
    let mut figures = vec![
        // Fewer, where the flusher needed longer than an interval.
        figure("live/swaps", "swaps", swaps as f64, &[least]),
        figure(
            "live/lost-over-swaps",
            "packets",
            lost,
            &[Goal::AtMost(0.0)],
        ),
    ];
    for (name, value) in [
        ("live/swap-p50", pauses.value_at_quantile(0.5)),
        ("live/swap-p99", pauses.value_at_quantile(0.99)),
        ("live/swap-p99.9", pauses.value_at_quantile(0.999)),
        ("live/swap-max", pauses.max()),
    ] {
        figures.push(figure(name, "us", us(value), &[]));
    }
    Ok(figures)
}

fn figure(name: &str, unit: &str, value: f64, goals: &[Goal]) -> Figure {
    let rounds = Rounds {
        figures: &[value],
        references: &[],
    };
    Figure::new(name, unit, &rounds, None, goals)
}
