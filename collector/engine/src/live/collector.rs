//! The attached XDP programs and the worker threads of a live run.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use core_affinity::CoreId;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use noctule_capture::xdp::{
    BindMode, Interface, LedgerReader, VerdictReader, Waiter, XskConfig, XskQueue,
};
use noctule_counters::RandomState;
use noctule_counters::batch::Batch;
use noctule_counters::epoch::Capacity;
use noctule_counters::known_sources::KnownSources;

use super::cpus;
use super::ports::{self, Ports};
use super::startup_summary::EPOCHS;
use crate::clock::RunClock;
use crate::config::{Live, ReceiveMode};
use crate::ledger::QueueId;
use crate::message::Message;
use crate::pool::{EpochPlan, Pool, Returns};
use crate::rx_queue::RxQueue;
use crate::schedule::Schedule;
use crate::worker::{Progress, Worker, WorkerExit};

/// Packets so far, of all queues.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveCounts {
    /// Dark packets counted.
    pub counted: u64,
    /// Dark packets lost: by the kernel as of the last second, or for want of a socket.
    pub lost: u64,
    /// Packets passed to the host.
    pub passed: u64,
}

/// The running threads and the attached programs.
pub struct Collector {
    ports: Ports,
    workers: Vec<JoinHandle<Result<WorkerExit>>>,
    progress: Vec<Arc<Progress>>,
    stop: Arc<AtomicBool>,
    /// The RX queues of each worker.
    queues: Vec<Vec<QueueId>>,
    /// Sources that get a flow row when rows run out.
    known_sources: Arc<KnownSources>,
    returns: Vec<Returns>,
}

/// A worker thread's report that its sockets are open.
struct Opened {
    worker: usize,
    core: Option<CoreId>,
    /// Starts the worker, and says for each interface whether XDP runs in generic mode.
    start: Sender<Arc<[bool]>>,
    sockets: Vec<OpenedSocket>,
}

struct OpenedSocket {
    id: QueueId,
    interface: Interface,
    fd: OwnedFd,
    mode: BindMode,
    busy_polling: bool,
}

/// What a worker thread opens its sockets by.
struct SocketPlan {
    /// Queues with their interfaces and the interfaces' counters.
    queues: Vec<(QueueId, Interface, VerdictReader)>,
    mode: ReceiveMode,
    config: XskConfig,
}

impl Collector {
    /// Opens all sockets, then attaches the programs: from then on packets are counted.
    pub fn start(
        config: &Live,
        interfaces: &[Interface],
        schedule: &Arc<Schedule>,
        flusher: &Sender<Message>,
        clock: &Arc<RunClock>,
    ) -> Result<Self> {
        let ports = Ports::load(config, interfaces)?;
        let queues = ports.queues();
        let wanted = config.common.workers.unwrap_or(queues.len());
        let workers = wanted.min(queues.len());
        if workers < wanted {
            let names: Vec<_> = interfaces.iter().map(Interface::name).collect();
            log::warn!(
                "{} RX queues of {} are served by {workers} workers, and not by {wanted}: `ethtool -L {} combined {wanted}` adds queues, if the NIC has them",
                queues.len(),
                names.join(", "),
                names[0]
            );
        }
        let spread = |first| {
            queues
                .iter()
                .copied()
                .skip(first)
                .step_by(workers)
                .collect()
        };
        let mut collector = Self {
            workers: Vec::new(),
            progress: Vec::new(),
            stop: Arc::new(AtomicBool::new(false)),
            queues: (0..workers).map(spread).collect(),
            returns: Vec::new(),
            known_sources: KnownSources::new(config.common.max_flows, &RandomState::new()),
            ports,
        };
        let opened = collector.open(config, schedule, flusher, clock)?;
        let generic: Arc<[bool]> = collector.ports.attach(config)?.into();
        for opened in opened {
            opened.log(&generic);
            // If the worker is gone, the main thread notices.
            let _ = opened.start.send(Arc::clone(&generic));
        }
        Ok(collector)
    }

    /// Starts the worker threads. Each pins itself, opens its sockets and waits for its start.
    fn open(
        &mut self,
        config: &Live,
        schedule: &Arc<Schedule>,
        flusher: &Sender<Message>,
        clock: &Arc<RunClock>,
    ) -> Result<Vec<Opened>> {
        let capacity = Capacity::share(config.common.max_flows, self.queues.len());
        let hasher = RandomState::new();
        let darknet = Arc::new(config.common.darknet.clone());
        let cores = cpus::choose(&config.cpus)?;
        let (report, reports) = unbounded();
        for (id, queues) in self.queues.iter().enumerate() {
            let plan = EpochPlan {
                capacity,
                queues: queues.len(),
                hasher: hasher.clone(),
                interval_seconds: config.common.interval_seconds,
                known_sources: Some(Arc::clone(&self.known_sources)),
                schedule: Arc::clone(schedule),
            };
            let (mut pool, returns) = Pool::new(plan, EPOCHS);
            pool.fill(&returns);
            self.returns.push(returns);
            let progress = Arc::new(Progress::default());
            self.progress.push(Arc::clone(&progress));
            let sockets = SocketPlan {
                queues: (queues.iter())
                    .map(|&id| {
                        (
                            id,
                            self.ports.interface(id).clone(),
                            self.ports.verdicts(id),
                        )
                    })
                    .collect(),
                mode: config.mode,
                config: config.socket,
            };
            let worker = Worker {
                id,
                queues: Vec::new(),
                darknet: Arc::clone(&darknet),
                interval_seconds: config.common.interval_seconds,
                clock: Arc::clone(clock),
                era: clock.era(),
                pool,
                flusher: flusher.clone(),
                stop: Arc::clone(&self.stop),
                progress,
                batch: Batch::default(),
                waiter: Waiter::default(),
            };
            let core = cores.get(id % cores.len().max(1)).copied();
            let report = report.clone();
            let thread = thread::Builder::new().name(format!("worker-{id}"));
            let handle = thread.spawn(move || run_worker(worker, core, sockets, report));
            self.workers
                .push(handle.context("cannot start a worker thread")?);
        }
        drop(report);
        let mut all = Vec::new();
        for opened in reports {
            let opened = opened?;
            for socket in &opened.sockets {
                self.ports.serve(socket.id, socket.fd.as_fd())?;
            }
            all.push(opened);
        }
        all.sort_by_key(|opened| opened.worker);
        Ok(all)
    }

    /// The interfaces with their programs.
    pub const fn ports(&mut self) -> &mut Ports {
        &mut self.ports
    }

    /// The RX queues of each worker.
    pub fn queues(&self) -> &[Vec<QueueId>] {
        &self.queues
    }

    /// Where the flusher sends each worker's epochs back to; empty the second time.
    pub fn take_returns(&mut self) -> Vec<Returns> {
        std::mem::take(&mut self.returns)
    }

    /// Sources that get a flow row when rows run out.
    pub fn known_sources(&self) -> Arc<KnownSources> {
        Arc::clone(&self.known_sources)
    }

    /// Read the kernel's packet counts by port, also after the collector was stopped.
    pub fn ledger_readers(&self) -> Vec<LedgerReader> {
        self.ports.ledgers()
    }

    /// Packets so far.
    pub fn counts(&self) -> LiveCounts {
        let sum = |of: fn(&Progress) -> &AtomicU64| -> u64 {
            (self.progress.iter())
                .map(|progress| of(progress).load(Ordering::Relaxed))
                .sum()
        };
        let mut counts = LiveCounts {
            counted: sum(|progress| &progress.counted),
            lost: sum(|progress| &progress.lost),
            passed: 0,
        };
        for seen in self.ports.seen() {
            counts.passed += seen.passed + seen.not_parsed;
            counts.lost += seen.unserved;
        }
        counts
    }

    /// True if a worker thread has ended.
    pub fn a_worker_ended(&self) -> bool {
        self.workers.iter().any(JoinHandle::is_finished)
    }

    /// Detaches, lets the workers drain their rings and close, and waits for them.
    ///
    /// # Errors
    /// An interface was removed, a worker failed, or a program cannot be detached.
    pub fn stop(mut self) -> Result<()> {
        let detached = self.ports.detach();
        self.stop.store(true, Ordering::Relaxed);
        let (mut closed, mut failed) = (false, None);
        for worker in self.workers.drain(..) {
            match worker.join() {
                Ok(Ok(exit)) => closed |= exit == WorkerExit::SocketClosed,
                Ok(Err(error)) => failed = Some(error),
                Err(_) => failed = Some(anyhow!("a worker thread panicked: this is a defect")),
            }
        }
        let gone = || self.ports.interfaces().filter(|one| !one.still_exists());
        if gone().next().is_some() {
            return Err(ports::gone(gone()));
        }
        if closed {
            return Err(anyhow!(
                "the kernel closed a socket of the collector: everything counted until then is stored; look at `dmesg`, and start again"
            ));
        }
        if let Some(error) = failed {
            return Err(error);
        }
        detached
    }
}

impl SocketPlan {
    fn open(&self) -> Result<Vec<XskQueue>> {
        (self.queues.iter())
            .map(|(id, interface, _)| {
                let bind = |mode| XskQueue::open(interface, id.queue, &self.config, mode);
                let opened = match self.mode {
                    ReceiveMode::Auto => XskQueue::open_auto(interface, id.queue, &self.config),
                    ReceiveMode::ZeroCopy => bind(BindMode::ZeroCopy),
                    ReceiveMode::Copy | ReceiveMode::Generic => bind(BindMode::Copy),
                };
                Ok(opened?)
            })
            .collect()
    }

    fn describe(&self, sockets: &[XskQueue]) -> Result<Vec<OpenedSocket>> {
        (self.queues.iter().zip(sockets))
            .map(|((id, interface, _), socket)| {
                Ok(OpenedSocket {
                    id: *id,
                    interface: interface.clone(),
                    fd: socket.fd().try_clone_to_owned()?,
                    mode: socket.mode(),
                    busy_polling: socket.is_busy_polling(),
                })
            })
            .collect()
    }
}

impl Opened {
    /// One log line per queue: how it is bound, and which worker serves it on which CPU.
    fn log(&self, generic: &[bool]) {
        let cpu = self.core.map_or_else(
            || "no fixed CPU".to_owned(),
            |core| format!("CPU {}", core.id),
        );
        for socket in &self.sockets {
            log::info!(
                "{} queue {}: {}{}, worker {} on {cpu}",
                socket.interface.name(),
                socket.id.queue,
                if generic[usize::from(socket.id.interface)] {
                    "generic"
                } else {
                    socket.mode.name()
                },
                if socket.busy_polling {
                    ", busy polling"
                } else {
                    ""
                },
                self.worker
            );
        }
    }
}

/// A worker thread: pins itself, opens its sockets, reports them, waits for its start and runs.
fn run_worker(
    mut worker: Worker,
    core: Option<CoreId>,
    plan: SocketPlan,
    report: Sender<Result<Opened>>,
) -> Result<WorkerExit> {
    if let Some(core) = core {
        core_affinity::set_for_current(core);
    }
    // On this thread, so that packet memory is near its CPU.
    let sockets = match plan.open() {
        Ok(sockets) => sockets,
        Err(error) => {
            let _ = report.send(Err(error));
            return Ok(WorkerExit::Stopped);
        }
    };
    let (start, started): (_, Receiver<Arc<[bool]>>) = bounded(1);
    let opened = plan.describe(&sockets).map(|sockets| Opened {
        worker: worker.id,
        core,
        start,
        sockets,
    });
    let _ = report.send(opened);
    drop(report);
    let Ok(generic) = started.recv() else {
        return Ok(WorkerExit::Stopped);
    };
    worker.queues = (plan.queues.into_iter().zip(sockets))
        .map(|((id, _, verdicts), socket)| {
            let generic = generic[usize::from(id.interface)];
            RxQueue::new(id.interface, socket, verdicts, generic)
        })
        .collect();
    worker.run()
}
