//! The engine's worker and flusher on the wire, as in `noctule run`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use crossbeam_channel::{bounded, unbounded};
use jiff::tz::TimeZone;
use noctule_capture::xdp::{
    AttachMode, BindMode, Interface, Unserved, Waiter, XdpProgram, XskConfig, XskQueue,
};
use noctule_counters::RandomState;
use noctule_counters::batch::Batch;
use noctule_counters::epoch::Capacity;
use noctule_counters::known_sources::KnownSources;
use noctule_engine::clock::RunClock;
use noctule_engine::flusher::{Flusher, FlusherSetup};
use noctule_engine::geo::Geo;
use noctule_engine::ledger::{QueueId, QueueLedger};
use noctule_engine::message::Message;
use noctule_engine::output::Sink;
use noctule_engine::pool::{EpochPlan, Pool};
use noctule_engine::prefixes::PrefixLists;
use noctule_engine::rows::LedgerFacts;
use noctule_engine::rx_queue::RxQueue;
use noctule_engine::schedule::Schedule;
use noctule_engine::time::IntervalId;
use noctule_engine::totals::Totals;
use noctule_engine::worker::{Progress, Worker, WorkerExit};
use noctule_packet::Rules;
use noctule_store::Store;

use super::wire::{self, SENSOR, Sent, Wire};

/// Tables of the worker: one that is filled and one that is written.
const EPOCHS: usize = 2;

/// Pairs of source and cell that the summary keeps, per row of the flow table.
const DISTINCT_PER_FLOW: usize = 4;

/// Packet memory of 128 MiB, so that other threads of the machine may take the worker's CPU for
/// some ten milliseconds without loss.
const SOCKET: XskConfig = XskConfig {
    frames: 65_536,
    frame_bytes: 2048,
    batch: 64,
    need_wakeup: true,
    busy_poll: false,
    fragments: true,
};

/// Settings of a collector.
pub struct Plan {
    /// Rows of the flow table.
    pub max_flows: usize,
    /// Length of an interval in seconds.
    pub interval_seconds: u32,
    /// The store that it writes to; `None` to write nothing.
    pub store: Option<Store>,
}

/// A worker that counts what arrives at the wire's end, and a flusher.
pub struct Collector {
    program: XdpProgram,
    /// The worker's progress counters.
    pub progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
    worker: JoinHandle<Result<WorkerExit>>,
    tee: JoinHandle<Vec<(IntervalId, QueueLedger)>>,
    flusher: JoinHandle<Result<(Totals, Geo)>>,
}

/// The ledger of a run that has ended.
pub struct Collected {
    /// The account of every interval.
    pub intervals: Vec<QueueLedger>,
    /// Their sum, as the flusher has it.
    pub total: QueueLedger,
}

impl Collector {
    /// Starts a collector; from then on it counts the frames that are sent.
    pub fn start(wire: &Wire, plan: Plan) -> Result<Self> {
        let _inside = wire.enter()?;
        let interface = Interface::find(SENSOR)?;
        let darknet = wire::darknet()?;
        let mut program = XdpProgram::load(&interface, 1, &darknet, Unserved::Drop)?;
        let schedule = Schedule::new(Rules::shipped());
        let known_sources = KnownSources::new(plan.max_flows, &RandomState::new());
        let (mut pool, returns) = Pool::new(
            EpochPlan {
                capacity: Capacity::share(plan.max_flows, 1),
                queues: 1,
                hasher: RandomState::new(),
                interval_seconds: plan.interval_seconds,
                known_sources: Some(Arc::clone(&known_sources)),
                schedule: Arc::clone(&schedule),
            },
            EPOCHS,
        );
        pool.fill(&returns);
        let setup = FlusherSetup {
            sink: plan.store.map(|store| Sink::new(store, "bench")),
            geo: Geo::default(),
            schedule,
            facts: LedgerFacts {
                interfaces: Vec::new(),
                interval_seconds: plan.interval_seconds,
                prefixes: PrefixLists::new(&darknet),
            },
            queues: vec![vec![QueueId::default()]],
            returns: vec![returns],
            known_sources: Some(known_sources),
            producers: 1,
            zone: TimeZone::UTC,
            distinct_budget: plan.max_flows * DISTINCT_PER_FLOW,
            announce: false,
        };
        let (to_flusher, messages) = unbounded();
        let flusher = thread::spawn(move || Flusher::new(setup).run(&messages));
        let (to_tee, told) = unbounded();
        let tee = thread::spawn(move || {
            let mut ledger = Vec::new();
            for message in told {
                if let Message::Ledger { interval, row } = &message {
                    ledger.push((*interval, (**row).clone()));
                }
                // If the flusher has ended, `finish` returns its error.
                let _ = to_flusher.send(message);
            }
            ledger
        });
        let (progress, stop) = (Arc::default(), Arc::default());
        let (opened, open) = bounded(1);
        let worker = {
            let (progress, stop) = (Arc::clone(&progress), Arc::clone(&stop));
            let verdicts = program.verdict_reader();
            let (interface, counting) = (interface.clone(), wire.counting);
            let (go, started) = bounded::<()>(1);
            let thread = thread::Builder::new().name("worker-0".to_owned());
            thread.spawn(move || {
                core_affinity::set_for_current(counting);
                let queue = XskQueue::open(&interface, 0, &SOCKET, BindMode::Copy)?;
                let fd = queue.fd().try_clone_to_owned()?;
                let _ = opened.send((fd, go));
                if started.recv().is_err() {
                    return Ok(WorkerExit::Stopped);
                }
                let clock = RunClock::system();
                let worker = Worker {
                    id: 0,
                    era: clock.era(),
                    clock,
                    queues: vec![RxQueue::new(0, queue, verdicts, false)],
                    darknet: Arc::new(darknet),
                    interval_seconds: plan.interval_seconds,
                    pool,
                    flusher: to_tee,
                    stop,
                    progress,
                    batch: Batch::default(),
                    waiter: Waiter::default(),
                };
                worker.run()
            })?
        };
        let Ok((fd, go)) = open.recv() else {
            return match worker.join() {
                Ok(Err(error)) => Err(error),
                _ => Err(anyhow!("the worker ended before it opened its queue")),
            };
        };
        program.serve(0, std::os::fd::AsFd::as_fd(&fd))?;
        program.attach(AttachMode::Native)?;
        go.send(()).context("the worker has ended")?;
        Ok(Self {
            program,
            progress,
            stop,
            worker,
            tee,
            flusher,
        })
    }

    /// Packets counted so far.
    pub fn counted(&self) -> u64 {
        self.progress.counted.load(Ordering::Relaxed)
    }

    /// True if all frames sent were counted or lost.
    pub fn is_settled(&self, sent: u64) -> bool {
        let lost = self.progress.lost.load(Ordering::Relaxed);
        self.counted() + lost >= sent
    }

    /// Stops it as a signal stops `noctule run`, and checks its ledger: sent = matched = counted +
    /// lost, and no loss is unexplained.
    pub fn finish(mut self, sent: &Sent) -> Result<Collected> {
        wire::wait_until(Duration::from_secs(2), || self.is_settled(sent.frames));
        self.program.detach()?;
        self.stop.store(true, Ordering::Relaxed);
        match self.worker.join() {
            Ok(Ok(WorkerExit::Stopped)) => {}
            Ok(Ok(WorkerExit::SocketClosed)) => bail!("the wire broke"),
            Ok(Err(error)) => return Err(error),
            Err(_) => bail!("the worker panicked"),
        }
        let ledger = self.tee.join().map_err(|_| anyhow!("the tee panicked"))?;
        let (totals, _) = (self.flusher.join()).map_err(|_| anyhow!("the flusher panicked"))??;
        let total = totals.ledger;
        let lost = &total.lost;
        ensure!(
            sent.frames == total.matched
                && total.matched as i64 == total.tally.packets as i64 + lost.total()
                && lost.unexplained == 0,
            "{} packets were sent, {} matched, {} counted, and lost: {lost:?}",
            sent.frames,
            total.matched,
            total.tally.packets
        );
        Ok(Collected {
            intervals: ledger.into_iter().map(|(_, row)| row).collect(),
            total,
        })
    }
}
