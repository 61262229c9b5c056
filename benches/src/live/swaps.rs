//! The highest rate without loss, and a hundred epoch swaps near it.

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

/// Least and greatest rate to try, in packets/s.
const RATES: (f64, f64) = (0.02e6, 6e6);
/// How often the span of rates is halved (in its logarithm).
const STEPS: usize = 7;
/// Time of one try.
const TRY: Duration = Duration::from_millis(1500);
/// Swaps at least.
const SWAPS: u64 = 100;
/// Length of a try after which a rate is called loss-free, flushes included.
const SUSTAINED: Duration = Duration::from_secs(10);
/// Factor for the next try if a rate lost packets in such a try.
const STEP_DOWN: f64 = 0.85;
/// Factor for a second hundred swaps, if the first lost packets.
const SECOND_CHANCE: f64 = 0.7;
/// Such tries at most.
const SUSTAINED_TRIES: usize = 8;
/// Rows of the flow table: so few that a flush always ends within an interval of a second.
const MAX_FLOWS: usize = 100_000;

/// Measures both.
pub fn run(wire: &Wire) -> Result<Vec<Figure>> {
    let before = Usage::now()?;
    let short = highest(wire)?;
    let rate = sustained(wire, short)?;
    let usage = Usage::now()?.since(&before);
    println!(
        "highest rate without loss {:.2} Mpps in tries of {TRY:?}, {:.2} Mpps in tries of {SUSTAINED:?} with flushes, while {:.1} s of CPU time were stolen by other machines",
        short / 1e6,
        rate / 1e6,
        usage.stolen
    );
    let mut figures = vec![
        figure("live/loss-free-short", "Mpps", short / 1e6, &[]),
        figure("live/loss-free", "Mpps", rate / 1e6, &[]),
    ];
    // In a hundred seconds other processes disturb more than in ten: if the rate loses packets,
    // that is printed, and a lower rate is tried.
    let (swaps, lost) = swap(wire, rate)?;
    figures.extend(if lost == 0 {
        swaps
    } else {
        swap(wire, rate * SECOND_CHANCE)?.0
    });
    Ok(figures)
}

/// Steps down from the rate that was loss-free in short tries to one that is so in a long try.
fn sustained(wire: &Wire, mut rate: f64) -> Result<f64> {
    for _ in 0..SUSTAINED_TRIES {
        let folder = tempfile::tempdir()?;
        let store = Store::open(folder.path(), "bench")?;
        let packets = (rate * SUSTAINED.as_secs_f64()) as u64;
        let (collected, _) = collect(wire, plan(Some(store)), packets, rate)?;
        if collected.total.lost.total() == 0 {
            break;
        }
        rate *= STEP_DOWN;
    }
    Ok(rate)
}

/// Halves the span between a rate without loss and a rate with loss.
fn highest(wire: &Wire) -> Result<f64> {
    let (mut low, mut high) = RATES;
    for _ in 0..STEPS {
        let rate = (low * high).sqrt();
        let packets = (rate * TRY.as_secs_f64()) as u64;
        let (collected, reached) = collect(wire, plan(None), packets, rate)?;
        // A rate that the generator does not reach says nothing about the collector.
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

/// Sends until there were enough swaps, and times each. Also returns how many packets were lost.
fn swap(wire: &Wire, rate: f64) -> Result<(Vec<Figure>, i64)> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path(), "bench")?;
    let before = Usage::now()?;
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
        "{} packets at {:.2} Mpps in {swaps} swaps; {} lost, in {with_loss} of {} intervals; {} counted late; {:.1} s of CPU time stolen by other machines",
        sent.frames,
        sent.rate() / 1e6,
        collected.total.lost.total(),
        collected.intervals.len(),
        collected.total.tally.late,
        Usage::now()?.since(&before).stolen,
    );
    ensure!(
        counted == collected.total.tally.packets as i64,
        "intervals do not add up to the whole"
    );
    let us = |ns: u64| ns as f64 / 1e3;
    let lost = collected.total.lost.total();
    let least = Goal::AtLeast(SWAPS as f64);
    let mut figures = vec![
        // There are fewer if the flusher needed longer than an interval.
        figure("live/swaps", "swaps", swaps as f64, &[least]),
        figure("live/swaps-at", "Mpps", sent.rate() / 1e6, &[]),
        figure(
            "live/lost-over-swaps",
            "packets",
            lost as f64,
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
    Ok((figures, lost))
}

fn figure(name: &str, unit: &str, value: f64, goals: &[Goal]) -> Figure {
    let rounds = Rounds {
        figures: &[value],
        references: &[],
    };
    Figure::new(name, unit, &rounds, None, goals)
}
