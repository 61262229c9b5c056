//! `noctule run`: collects from a network interface.

mod line;

use std::io::IsTerminal as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use core_affinity::CoreId;
use crossbeam_channel::{Sender, bounded, unbounded};
use noctule_capture::xdp::{
    AttachMode, BindMode, Interface, VerdictReader, XdpError, XdpProgram, XskQueue, privilege,
};
use noctule_counters::RandomState;
use noctule_counters::admission::KnownSources;
use noctule_counters::batch::Batch;
use noctule_counters::epoch::Capacity;

use self::line::LiveLine;
use crate::args::{Mode, RunArgs};
use crate::config::{self, Run};
use crate::daily::DailyTables;
use crate::reload::Reload;
use crate::storing::{self, Closing, Storing};
use crate::{cpus, geo, notice, print, rules, signals, zone};
use noctule_engine::flusher::{Flusher, Setup};
use noctule_engine::message::Message;
use noctule_engine::pool::{EpochPlan, Pool};
use noctule_engine::prefixes::PrefixLists;
use noctule_engine::rows::LedgerFacts;
use noctule_engine::schedule::Schedule;
use noctule_engine::worker::{Ended, Lane, Progress, Worker};

/// Tables of a worker: one that is filled and one that is written.
pub const EPOCHS: usize = 2;
/// Pairs of source and cell that the summary keeps, per row of the flow table.
pub const DISTINCT_PER_FLOW: usize = 4;
/// How often the main thread looks at signals, the interface and the workers.
const LOOK: Duration = Duration::from_millis(200);

/// Collects until a signal, or until the interface goes away.
///
/// # Errors
/// A setting, a privilege, the interface, the kernel, or the store.
pub fn run(args: &RunArgs) -> Result<()> {
    let config = config::run(args)?;
    let geo = geo::open(&config.common)?;
    let rules = Arc::new(rules::load(config.common.rules.as_deref())?);
    let schedule = Schedule::new(Arc::clone(&rules));
    let (sink, closing) = storing::live(&config.common, &start_name())?
        .map(|Storing { sink, closing }| (sink, closing))
        .unzip();
    let interface = Interface::find(&config.interface)?;
    privilege::check()?;
    if !interface.is_up()? {
        bail!(
            "interface {0} is down: bring it up with `ip link set dev {0} up`",
            config.interface
        );
    }
    let stop = signals::stop_flag()?;
    let reload_asked = signals::reload_flag()?;
    let began = Instant::now();
    log::info!("{}", notice::memory(&config, interface.rx_queues()?));
    log::info!("{}", notice::in_force(&config, &rules));
    let (flusher, messages) = unbounded();
    let mut collector = Collector::start(&config, &interface, &schedule, &flusher)?;
    let lists = PrefixLists::new(&config.common.darknet);
    let setup = Setup {
        sink,
        geo,
        schedule: Arc::clone(&schedule),
        facts: LedgerFacts {
            interval_seconds: config.common.interval_seconds,
            prefixes: Arc::clone(&lists),
        },
        queues: collector.queues.clone(),
        returns: std::mem::take(&mut collector.returns),
        known_sources: Some(Arc::clone(&collector.known_sources)),
        producers: collector.queues.len(),
        zone: zone::live(config.common.store.as_ref()),
        distinct_budget: config.common.max_flows * DISTINCT_PER_FLOW,
        announce: !live_line(),
    };
    let mut reload = Reload {
        args,
        running: &config,
        schedule,
        flusher,
        lists,
        in_force: config.common.darknet.version().to_owned(),
        waiting: None,
    };
    let mut daily = (config.common.store.as_ref())
        .and_then(|store| DailyTables::new(store.to_string(), &config.common.sensor));
    let flusher = thread::spawn(move || Flusher::new(setup).run(&messages));
    let tend = |program: &mut XdpProgram| {
        if let Some(daily) = &mut daily {
            daily.tend();
        }
        reload.flip_if_due(program);
        if reload_asked.swap(false, Ordering::Relaxed) {
            reload.run(program);
        }
        reload.until_flip()
    };
    let watched = collector.watch(&interface, &stop, &flusher, tend);
    // The flusher ends when nobody can send to it any more.
    drop(reload);
    let ledger = collector.program.ledger_reader();
    let stopped = collector.stop();
    let flushed = flusher.join();
    let delivered = closing.as_ref().map_or(Ok(()), Closing::live);
    let (mut totals, geo) =
        flushed.map_err(|_| anyhow!("the flusher thread panicked: this is a defect"))??;
    let mut finished = totals.finish(&geo);
    // Only after an orderly stop is nothing in flight that would be told as lost.
    if watched.is_ok() && stopped.is_ok() {
        finished.summary.lost_by_port = Some(totals.by_slot.missing(&ledger.packets()));
    }
    print::totals(
        args.common.summary,
        &finished,
        &totals,
        &config.common,
        began.elapsed(),
    )?;
    watched?;
    stopped?;
    delivered
}

/// A run is named by its start, in microseconds since 1970.
fn start_name() -> String {
    (jiff::Timestamp::now().as_microsecond()).to_string()
}

fn live_line() -> bool {
    std::io::stderr().is_terminal()
}

/// The running threads and the attached program.
struct Collector {
    program: XdpProgram,
    verdicts: VerdictReader,
    workers: Vec<JoinHandle<Result<Ended>>>,
    progress: Vec<Arc<Progress>>,
    stop: Arc<AtomicBool>,
    queues: Vec<Vec<u32>>,
    /// Sources that get a flow row when rows run out.
    known_sources: Arc<KnownSources>,
    returns: Vec<noctule_engine::pool::Returns>,
}

/// A worker thread's report that its sockets are open.
struct Opened {
    worker: usize,
    core: Option<CoreId>,
    /// Starts it, and says whether XDP runs in generic mode.
    start: Sender<bool>,
    /// Queue, socket, how it is bound, and whether the worker polls it busily.
    sockets: Vec<(u32, OwnedFd, BindMode, bool)>,
}

impl Collector {
    /// Opens everything, then attaches: from then on packets are counted.
    fn start(
        config: &Run,
        interface: &Interface,
        schedule: &Arc<Schedule>,
        flusher: &Sender<Message>,
    ) -> Result<Self> {
        let queue_count = interface.rx_queues()?;
        let wanted = config.common.workers.unwrap_or(queue_count as usize);
        let workers = wanted.min(queue_count as usize);
        if workers < wanted {
            log::warn!(
                "{} has {queue_count} RX queues, so {workers} workers run and not {wanted}: `ethtool -L {} combined {wanted}` gives it more, if the NIC has them",
                config.interface,
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
        let sockets = collector.open(config, interface, schedule, flusher)?;
        let mode = attach(&mut collector.program, config)?;
        let generic = matches!(mode, AttachMode::Generic);
        for Opened {
            worker,
            core,
            start,
            sockets,
        } in sockets
        {
            for (queue, _, bound, polled) in sockets {
                log::info!(
                    "{} queue {queue}: {}{}, worker {worker} on {}",
                    config.interface,
                    if generic { "generic" } else { bound.name() },
                    if polled { ", busy polling" } else { "" },
                    core.map_or_else(
                        || "no fixed CPU".to_owned(),
                        |core| format!("CPU {}", core.id)
                    )
                );
            }
            // A worker that is gone is found by `watch`.
            let _ = start.send(generic);
        }
        Ok(collector)
    }

    /// Starts the worker threads; each pins itself, opens its sockets and waits for its start.
    fn open(
        &mut self,
        config: &Run,
        interface: &Interface,
        schedule: &Arc<Schedule>,
        flusher: &Sender<Message>,
    ) -> Result<Vec<Opened>> {
        let workers = self.queues.len();
        let capacity = Capacity::share(config.common.max_flows, workers);
        let hasher = RandomState::new();
        let darknet = Arc::new(config.common.darknet.clone());
        let cores = cpus::choose(&config.cpus)?;
        let (report, reports) = unbounded();
        for (id, queues) in self.queues.iter().enumerate() {
            let plan = EpochPlan {
                capacity,
                lanes: queues.len(),
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
            let (start, started) = bounded(1);
            let core = cores.get(id % cores.len().max(1)).copied();
            let (interface, queues, report) = (interface.clone(), queues.clone(), report.clone());
            let (mode, socket) = (config.mode, config.socket);
            let (flusher, stop) = (flusher.clone(), Arc::clone(&self.stop));
            let darknet = Arc::clone(&darknet);
            let (verdicts, interval_seconds) =
                (self.verdicts.clone(), config.common.interval_seconds);
            let thread = thread::Builder::new().name(format!("worker-{id}"));
            let handle = thread.spawn(move || {
                if let Some(core) = core {
                    core_affinity::set_for_current(core);
                }
                // On this thread, so that the packet memory lies near its CPU.
                let opened = (queues.iter())
                    .map(|&queue| match mode {
                        Mode::Auto => XskQueue::open_auto(&interface, queue, &socket),
                        Mode::ZeroCopy => {
                            XskQueue::open(&interface, queue, &socket, BindMode::ZeroCopy)
                        }
                        Mode::Copy | Mode::Generic => {
                            XskQueue::open(&interface, queue, &socket, BindMode::Copy)
                        }
                    })
                    .collect::<Result<Vec<_>, _>>();
                let queues = match opened {
                    Ok(queues) => queues,
                    Err(error) => {
                        let _ = report.send(Err(anyhow::Error::from(error)));
                        return Ok(Ended::Stopped);
                    }
                };
                let sockets = (queues.iter())
                    .map(|queue| {
                        let fd = queue.fd().try_clone_to_owned()?;
                        Ok((queue.queue(), fd, queue.mode(), queue.is_busy_polling()))
                    })
                    .collect::<Result<Vec<_>>>();
                let _ = report.send(sockets.map(|sockets| Opened {
                    worker: id,
                    core,
                    start,
                    sockets,
                }));
                drop(report);
                let Ok(generic) = started.recv() else {
                    return Ok(Ended::Stopped);
                };
                let worker = Worker {
                    id,
                    lanes: (queues.into_iter())
                        .map(|queue| Lane::new(queue, generic))
                        .collect(),
                    darknet,
                    interval_seconds,
                    verdicts,
                    pool,
                    flusher,
                    stop,
                    progress,
                    batch: Batch::default(),
                };
                worker.run()
            });
            self.workers
                .push(handle.context("cannot start a worker thread")?);
        }
        drop(report);
        let mut all = Vec::new();
        for opened in reports {
            let opened = opened?;
            for (queue, fd, ..) in &opened.sockets {
                self.program.serve(*queue, fd.as_fd())?;
            }
            all.push(opened);
        }
        all.sort_by_key(|opened| opened.worker);
        Ok(all)
    }

    /// Shows totals until something ends the run. `tend` is called at every look, and when the
    /// time is over that it asked for.
    fn watch<T>(
        &mut self,
        interface: &Interface,
        stop: &AtomicBool,
        flusher: &JoinHandle<T>,
        mut tend: impl FnMut(&mut XdpProgram) -> Option<Duration>,
    ) -> Result<()> {
        let mut line = LiveLine::new(live_line());
        let mut wanted = None;
        loop {
            thread::sleep(wanted.unwrap_or(LOOK).min(LOOK));
            wanted = tend(&mut self.program);
            line.show(self);
            if stop.load(Ordering::Relaxed) {
                line.end();
                log::info!("stopping: detaching, then draining what is in flight");
                return Ok(());
            }
            if !interface.still_exists() {
                line.end();
                bail!(
                    "interface {} went away while collecting: everything counted until then is stored; bring it back and start again",
                    interface.name()
                );
            }
            if flusher.is_finished() || self.workers.iter().any(JoinHandle::is_finished) {
                line.end();
                return Ok(());
            }
        }
    }

    /// Detaches, lets the workers drain and close, and waits for them.
    fn stop(mut self) -> Result<()> {
        let detached = self.program.detach();
        self.stop.store(true, Ordering::Relaxed);
        let mut gone = false;
        let mut failed = None;
        for worker in self.workers.drain(..) {
            match worker.join() {
                Ok(Ok(ended)) => gone |= ended == Ended::InterfaceGone,
                Ok(Err(error)) => failed = Some(error),
                Err(_) => failed = Some(anyhow!("a worker thread panicked: this is a defect")),
            }
        }
        if gone || !self.program.interface().still_exists() {
            bail!(
                "interface {} went away while collecting: everything counted until then is stored; bring it back and start again",
                self.program.interface().name()
            );
        }
        if let Some(error) = failed {
            return Err(error);
        }
        detached.map_err(Into::into)
    }
}

/// Attaches natively, or in generic mode where that is asked for or allowed; says which it was.
fn attach(program: &mut XdpProgram, config: &Run) -> Result<AttachMode> {
    if config.mode == Mode::Generic {
        program.attach(AttachMode::Generic)?;
        return Ok(AttachMode::Generic);
    }
    match program.attach(AttachMode::Native) {
        Err(error @ XdpError::Attach { .. }) if config.allow_generic => {
            log::warn!("{error}; generic XDP is allowed and takes its place");
            program.attach(AttachMode::Generic)?;
            Ok(AttachMode::Generic)
        }
        other => {
            other?;
            Ok(AttachMode::Native)
        }
    }
}
