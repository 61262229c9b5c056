//! The end of an interval with 4 million flows in the tables: how long the worker pauses for it,
//! and how long the flusher needs to write them to Parquet files.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use crossbeam_channel::{Receiver, Sender, unbounded};
use hdrhistogram::Histogram;
use jiff::tz::TimeZone;
use noctule_counters::RandomState;
use noctule_counters::batch::Batch;
use noctule_counters::epoch::{Capacity, Epoch};
use noctule_engine::flusher::{Flusher, FlusherSetup};
use noctule_engine::geo::Geo;
use noctule_engine::ledger::{QueueId, QueueLedger};
use noctule_engine::message::Message;
use noctule_engine::output::Sink;
use noctule_engine::pool::{EpochPlan, Pool, Returns};
use noctule_engine::prefixes::PrefixLists;
use noctule_engine::rows::LedgerFacts;
use noctule_engine::schedule::Schedule;
use noctule_engine::time::{IntervalId, IntervalStart};
use noctule_packet::Rules;
use noctule_packet::darknet::Darknet;
use noctule_store::tables::Mode;
use noctule_store::{Store, Table, read};

use crate::figure::{Figure, Goal, Rounds};
use crate::frames::PREFIX;
use crate::probes::Probes;
use crate::threads::cpu_seconds;

/// Flows in the tables.
const FLOWS: usize = 4_000_000;
const ROUNDS: usize = 3;
/// Swaps that are measured, at least.
const SWAPS: usize = 2000;
/// Time between two swaps, in which the flusher displaces the caches.
const BETWEEN: Duration = Duration::from_millis(2);
/// The first interval, in seconds since 1970.
const START: IntervalStart = 1_735_689_600;
const INTERVAL_SECONDS: u32 = 60;

/// Measures both, and compares the written with the counted flows.
pub fn run() -> Result<Vec<Figure>> {
    let darknet = Darknet::parse(&[PREFIX], &[])?;
    let probes = Mutex::new(Probes::new()?);
    let load = Load { probes, darknet };
    let schedule = Schedule::new(Rules::shipped());
    let plan = EpochPlan {
        // No table may be full.
        capacity: Capacity::share(FLOWS * 3 / 2, 1),
        queues: 1,
        hasher: RandomState::new(),
        interval_seconds: INTERVAL_SECONDS,
        known_sources: None,
        schedule: Arc::clone(&schedule),
    };
    println!("{FLOWS} flows, median of {ROUNDS} rounds; at least {SWAPS} swaps");
    let folder = tempfile::Builder::new()
        .prefix("flush-")
        .tempdir_in(std::env::current_exe()?.parent().context("a folder")?)?;
    let (mut seconds, mut rates) = (Vec::new(), Vec::new());
    let mut epoch = Box::new(Epoch::new(&plan.capacity, plan.queues, &plan.hasher));
    for round in 0..ROUNDS {
        load.fill(&mut epoch)?;
        let place = folder.path().join(round.to_string());
        let flushed = flush(epoch, &load.darknet, &schedule, &place)?;
        if round == 0 {
            check(&place)?;
        }
        seconds.push(flushed.seconds);
        rates.push(FLOWS as f64 / flushed.cpu_seconds / 1e6);
        epoch = flushed.epoch;
    }
    let pauses = pauses(&load, &plan, epoch, folder.path())?;
    let us = |nanoseconds: u64| nanoseconds as f64 / 1e3;
    let quantile = |name: &str, at: f64, goals: &[Goal]| {
        let figures = [us(pauses.value_at_quantile(at))];
        let rounds = Rounds {
            figures: &figures,
            references: &[],
        };
        Figure::new(&format!("flush/pause {name}"), "us", &rounds, None, goals)
    };
    let alone = |name: &str, unit: &str, figures: &[f64], goal: Goal| {
        let rounds = Rounds {
            figures,
            references: &[],
        };
        Figure::new(name, unit, &rounds, None, &[goal])
    };
    Ok(vec![
        alone("flush/4 M flows", "s", &seconds, Goal::AtMost(4.0)),
        alone("flush/rows", "M rows per CPU s", &rates, Goal::AtLeast(1.0)),
        quantile("p50", 0.5, &[]),
        quantile("p99", 0.99, &[]),
        quantile("p99.9", 0.999, &[Goal::AtMost(50.0)]),
        quantile("max", 1.0, &[]),
    ])
}

/// The packets that fill the tables: SYNs of each source to three ports.
struct Load {
    probes: Mutex<Probes>,
    darknet: Darknet,
}

impl Load {
    /// Counts a packet for each of [`FLOWS`] flows.
    fn fill(&self, epoch: &mut Epoch) -> Result<()> {
        const PORTS: [u16; 16] = [
            23, 22, 80, 443, 445, 3389, 8080, 5555, 2323, 6379, 1433, 3306, 5060, 8443, 81, 21,
        ];
        let flow = |packet: u64| {
            let source = (packet as u32 / 3).wrapping_mul(0x9e37_79b1);
            let port = (source >> 8) as usize + packet as usize % 3;
            (source, PORTS[port % PORTS.len()])
        };
        let mut batch = Batch::default();
        let mut probes = self
            .probes
            .lock()
            .map_err(|_| anyhow!("a filling failed"))?;
        probes.send(&mut batch, epoch, 0..FLOWS as u64, flow)?;
        batch.finish(epoch);
        let found = epoch.flows4.len();
        ensure!(
            found == FLOWS,
            "there are {found} flows in the tables, not {FLOWS}"
        );
        Ok(())
    }
}

struct Flushed {
    seconds: f64,
    cpu_seconds: f64,
    epoch: Box<Epoch>,
}

fn setup(
    darknet: &Darknet,
    schedule: &Arc<Schedule>,
    store: &Path,
    returns: Returns,
) -> Result<FlusherSetup> {
    Ok(FlusherSetup {
        sink: Some(Sink::new(Store::open(store, "bench")?, "flush")),
        geo: Geo::default(),
        schedule: Arc::clone(schedule),
        facts: LedgerFacts {
            interfaces: Vec::new(),
            interval_seconds: INTERVAL_SECONDS,
            prefixes: PrefixLists::new(darknet),
        },
        queues: vec![vec![QueueId::default()]],
        returns: vec![returns],
        known_sources: None,
        producers: 1,
        zone: TimeZone::UTC,
        distinct_budget: 8 * FLOWS,
        announce: false,
    })
}

/// Sends the messages that a worker sends at the end of an interval.
fn send(flusher: &Sender<Message>, interval: IntervalStart, epoch: Box<Epoch>) -> Result<()> {
    let row = Box::new(QueueLedger::new(0, Mode::Copy));
    let interval = IntervalId::from(interval);
    let messages = [
        Message::Ledger { interval, row },
        Message::Epoch {
            interval,
            worker: 0,
            epoch,
        },
        Message::Closed {
            producer: 0,
            through: interval,
        },
    ];
    for message in messages {
        (flusher.send(message)).map_err(|_| anyhow!("the flusher has ended before its time"))?;
    }
    Ok(())
}

/// Writes one interval, on a thread of its own.
fn flush(
    epoch: Box<Epoch>,
    darknet: &Darknet,
    schedule: &Arc<Schedule>,
    store: &Path,
) -> Result<Flushed> {
    let (returns, returned) = unbounded();
    let setup = setup(darknet, schedule, store, returns)?;
    let (flusher, messages) = unbounded();
    send(&flusher, START, epoch)?;
    drop(flusher);
    let (seconds, cpu_seconds) = thread::scope(|scope| {
        let work = scope.spawn(|| {
            let (began, cpu) = (Instant::now(), cpu_seconds()?);
            Flusher::new(setup).run(&messages)?;
            Ok::<_, anyhow::Error>((began.elapsed().as_secs_f64(), cpu_seconds()? - cpu))
        });
        work.join().map_err(|_| anyhow!("the flusher panicked"))?
    })?;
    Ok(Flushed {
        seconds,
        cpu_seconds,
        epoch: returned.try_recv().context("the epoch comes back")?,
    })
}

/// Checks that all flows and packets are in the store.
fn check(store: &Path) -> Result<()> {
    let (mut rows, mut sum) = (0, 0);
    for batch in read::read_table(store, Table::Flows)? {
        let column = batch.column_by_name("packets").context("column packets")?;
        rows += batch.num_rows();
        sum += column
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .sum::<i64>();
    }
    ensure!(
        (rows, sum) == (FLOWS, FLOWS as i64),
        "the store has {rows} flows of {sum} packets; counted were {FLOWS} of one each"
    );
    Ok(())
}

/// Swaps full tables repeatedly, as a worker does, while a flusher writes.
fn pauses(
    load: &Load,
    plan: &EpochPlan,
    third: Box<Epoch>,
    folder: &Path,
) -> Result<Histogram<u64>> {
    let (mut pool, returns) = Pool::new(plan.clone(), 2);
    let mut open = pool.take(START).context("an epoch")?;
    let mut other = pool.take(START).context("an epoch")?;
    load.fill(&mut open)?;
    load.fill(&mut other)?;
    returns
        .send(other)
        .map_err(|_| anyhow!("the pool is gone"))?;
    let (to_courier, from_worker) = unbounded();
    let (flushing, mut third) = (AtomicBool::new(true), Some(third));
    let mut pauses = Histogram::<u64>::new(3)?;
    thread::scope(|scope| -> Result<()> {
        // Returns the tables without clearing them, which does not change the cost of a swap.
        scope.spawn(move || courier(&from_worker, &returns));
        let flushed = scope.spawn(|| {
            let flushed = (third.take().context("an epoch")).and_then(|mut epoch| {
                load.fill(&mut epoch)?;
                flush(epoch, &load.darknet, &plan.schedule, &folder.join("pauses"))
            });
            flushing.store(false, Ordering::Relaxed);
            flushed.map(|_| ())
        });
        let mut interval = START;
        while flushing.load(Ordering::Relaxed) || pauses.len() < SWAPS as u64 {
            thread::sleep(BETWEEN);
            interval += i64::from(INTERVAL_SECONDS);
            let began = Instant::now();
            let Some(fresh) = pool.try_take(interval) else {
                continue;
            };
            let full = std::mem::replace(&mut open, fresh);
            send(&to_courier, interval, full)?;
            pauses.record(began.elapsed().as_nanos() as u64)?;
        }
        drop(to_courier);
        flushed
            .join()
            .map_err(|_| anyhow!("the flusher panicked"))?
    })?;
    Ok(pauses)
}

fn courier(messages: &Receiver<Message>, returns: &Returns) {
    for message in messages {
        if let Message::Epoch { epoch, .. } = message {
            // Fails if the worker has ended.
            let _ = returns.send(epoch);
        }
    }
}
