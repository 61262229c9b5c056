//! The attached XDP program and the worker threads of a live run.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use core_affinity::CoreId;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use noctule_capture::xdp::{
    AttachMode, BindMode, Interface, LedgerReader, VerdictReader, XdpError, XdpProgram, XskConfig,
    XskQueue,
};
use noctule_counters::RandomState;
use noctule_counters::batch::Batch;
use noctule_counters::epoch::Capacity;
use noctule_counters::known_sources::KnownSources;

use super::cpus;
use super::startup_summary::EPOCHS;
use crate::clock::RunClock;
use crate::config::{Live, ReceiveMode};
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

/// The running threads and the attached program.
pub struct Collector {
    program: XdpProgram,
    verdicts: VerdictReader,
    workers: Vec<JoinHandle<Result<WorkerExit>>>,
    progress: Vec<Arc<Progress>>,
    stop: Arc<AtomicBool>,
    /// The RX queues of each worker.
    queues: Vec<Vec<u32>>,
    /// Sources that get a flow row when rows run out.
    known_sources: Arc<KnownSources>,
    returns: Vec<Returns>,
}

/// A worker thread's report that its sockets are open.
struct Opened {
    worker: usize,
    core: Option<CoreId>,
    /// Starts the worker, and says whether XDP runs in generic mode.
    start: Sender<bool>,
    sockets: Vec<OpenedSocket>,
}

struct OpenedSocket {
    queue: u32,
    fd: OwnedFd,
    mode: BindMode,
    busy_polling: bool,
}

/// What a worker thread opens its sockets by.
struct SocketPlan {
    interface: Interface,
    queues: Vec<u32>,
    mode: ReceiveMode,
    config: XskConfig,
}

impl Collector {
    /// Opens all sockets, then attaches the program: from then on packets are counted.
    pub fn start(
        config: &Live,
        interface: &Interface,
        schedule: &Arc<Schedule>,
        flusher: &Sender<Message>,
        clock: &Arc<RunClock>,
    ) -> Result<Self> {
        let queue_count = interface.rx_queues()?;
        let wanted = config.common.workers.unwrap_or(queue_count as usize);
        let workers = wanted.min(queue_count as usize);
        if workers < wanted {
            log::warn!(
                "{0} has {queue_count} RX queues, so {workers} workers run and not {wanted}: `ethtool -L {0} combined {wanted}` adds queues, if the NIC has them",
                config.interface
            );
        }
        let program = XdpProgram::load(
            interface,
            queue_count,
            &config.common.darknet,
            config.unserved,
        )?;
        program.check_free()?;
        let mut collector = Self {
            verdicts: program.verdict_reader(),
            workers: Vec::new(),
            progress: Vec::new(),
            stop: Arc::new(AtomicBool::new(false)),
            queues: (0..workers as u32)
                .map(|first| (first..queue_count).step_by(workers).collect())
                .collect(),
            returns: Vec::new(),
            known_sources: KnownSources::new(config.common.max_flows, &RandomState::new()),
            program,
        };
        let opened = collector.open(config, interface, schedule, flusher, clock)?;
        let mode = attach(&mut collector.program, config)?;
        let generic = matches!(mode, AttachMode::Generic);
        for opened in opened {
            opened.log(&config.interface, generic);
            // If the worker is gone, the main thread notices.
            let _ = opened.start.send(generic);
        }
        Ok(collector)
    }

    /// Starts the worker threads. Each pins itself, opens its sockets and waits for its start.
    fn open(
        &mut self,
        config: &Live,
        interface: &Interface,
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
                interface: interface.clone(),
                queues: queues.clone(),
                mode: config.mode,
                config: config.socket,
            };
            let worker = Worker {
                id,
                queues: Vec::new(),
                darknet: Arc::clone(&darknet),
                interval_seconds: config.common.interval_seconds,
                clock: Arc::clone(clock),
                era: clock.era(0),
                verdicts: self.verdicts.clone(),
                pool,
                flusher: flusher.clone(),
                stop: Arc::clone(&self.stop),
                progress,
                batch: Batch::default(),
            };
            let core = cores.get(id % cores.len().max(1)).copied();
            let report = report.clone();
            let thread = thread::Builder::new().name(format!("worker-{id}"));
            let handle = thread.spawn(move || run_worker(worker, core, &sockets, report));
            self.workers
                .push(handle.context("cannot start a worker thread")?);
        }
        drop(report);
        let mut all = Vec::new();
        for opened in reports {
            let opened = opened?;
            for socket in &opened.sockets {
                self.program.serve(socket.queue, socket.fd.as_fd())?;
            }
            all.push(opened);
        }
        all.sort_by_key(|opened| opened.worker);
        Ok(all)
    }

    /// The XDP program.
    pub const fn program(&mut self) -> &mut XdpProgram {
        &mut self.program
    }

    /// The RX queues of each worker.
    pub fn queues(&self) -> &[Vec<u32>] {
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

    /// Reads the kernel's packet counts by port, also after the collector was stopped.
    pub fn ledger_reader(&self) -> LedgerReader {
        self.program.ledger_reader()
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
        for queue in self.queues.iter().flatten() {
            if let Ok(verdicts) = self.verdicts.read(*queue) {
                counts.passed += verdicts.passed.packets + verdicts.not_parsed.packets;
                counts.lost += verdicts.unserved_passed.packets + verdicts.unserved_dropped.packets;
            }
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
    /// The interface was removed, a worker failed, or the program cannot be detached.
    pub fn stop(mut self) -> Result<()> {
        let detached = self.program.detach();
        self.stop.store(true, Ordering::Relaxed);
        let mut gone = false;
        let mut failed = None;
        for worker in self.workers.drain(..) {
            match worker.join() {
                Ok(Ok(exit)) => gone |= exit == WorkerExit::InterfaceGone,
                Ok(Err(error)) => failed = Some(error),
                Err(_) => failed = Some(anyhow!("a worker thread panicked: this is a defect")),
            }
        }
        if gone || !self.program.interface().still_exists() {
            return Err(interface_gone(self.program.interface()));
        }
        if let Some(error) = failed {
            return Err(error);
        }
        detached.map_err(Into::into)
    }
}

impl SocketPlan {
    fn open(&self) -> Result<Vec<XskQueue>> {
        (self.queues.iter())
            .map(|&queue| {
                let bind = |mode| XskQueue::open(&self.interface, queue, &self.config, mode);
                let opened = match self.mode {
                    ReceiveMode::Auto => XskQueue::open_auto(&self.interface, queue, &self.config),
                    ReceiveMode::ZeroCopy => bind(BindMode::ZeroCopy),
                    ReceiveMode::Copy | ReceiveMode::Generic => bind(BindMode::Copy),
                };
                Ok(opened?)
            })
            .collect()
    }
}

impl Opened {
    /// One log line per queue: how it is bound, and which worker serves it on which CPU.
    fn log(&self, interface: &str, generic: bool) {
        let cpu = self.core.map_or_else(
            || "no fixed CPU".to_owned(),
            |core| format!("CPU {}", core.id),
        );
        for socket in &self.sockets {
            log::info!(
                "{interface} queue {}: {}{}, worker {} on {cpu}",
                socket.queue,
                if generic {
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
    plan: &SocketPlan,
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
    let (start, started): (_, Receiver<bool>) = bounded(1);
    let opened = describe(&sockets).map(|sockets| Opened {
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
    worker.queues = (sockets.into_iter())
        .map(|socket| RxQueue::new(socket, generic))
        .collect();
    worker.run()
}

fn describe(sockets: &[XskQueue]) -> Result<Vec<OpenedSocket>> {
    (sockets.iter())
        .map(|socket| {
            Ok(OpenedSocket {
                queue: socket.queue(),
                fd: socket.fd().try_clone_to_owned()?,
                mode: socket.mode(),
                busy_polling: socket.is_busy_polling(),
            })
        })
        .collect()
}

/// Attaches natively, or in generic mode where that is requested or allowed. Returns the mode.
fn attach(program: &mut XdpProgram, config: &Live) -> Result<AttachMode> {
    if config.mode == ReceiveMode::Generic {
        program.attach(AttachMode::Generic)?;
        return Ok(AttachMode::Generic);
    }
    match program.attach(AttachMode::Native) {
        Err(error @ XdpError::Attach { .. }) if config.allow_generic => {
            log::warn!("{error}; attaching in generic mode instead, since it is allowed");
            program.attach(AttachMode::Generic)?;
            Ok(AttachMode::Generic)
        }
        other => {
            other?;
            Ok(AttachMode::Native)
        }
    }
}

/// The error of a run whose interface was removed.
pub fn interface_gone(interface: &Interface) -> anyhow::Error {
    anyhow!(
        "interface {} went away while collecting: everything counted until then is stored; bring it back and start again",
        interface.name()
    )
}
