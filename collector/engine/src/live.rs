//! A live run: collects from network interfaces until it is stopped or all of them are removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use crossbeam_channel::unbounded;
use jiff::tz::TimeZone;
use noctule_abi::ledger::SLOTS;
use noctule_capture::xdp::Interface;
use noctule_packet::Rules;

use self::collector::Collector;
pub use self::collector::LiveCounts;
use self::health::Health;
use self::reload::Reload;
use crate::clock::RunClock;
use crate::config::Live;
use crate::flusher::{Flusher, FlusherSetup};
use crate::geo::Geo;
use crate::outcome::{Outcome, ProgressDisplay};
use crate::output::Output;
use crate::prefixes::PrefixLists;
use crate::rows::LedgerFacts;
use crate::rule_file;
use crate::schedule::Schedule;

mod collector;
mod cpus;
mod health;
mod ports;
mod reload;
mod startup_summary;

/// How often the main thread checks signals, the interface and the threads.
const POLL_EVERY: Duration = Duration::from_millis(200);
/// How often the progress is shown.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// A live run whose inputs are open and which has not begun.
pub struct LiveRun<'c> {
    config: &'c Live,
    geo: Geo,
    rules: Arc<Rules>,
    output: Option<Output>,
    interfaces: Vec<Interface>,
}

/// What the caller of a live run supplies.
pub struct LiveControl<'a> {
    /// Ends the run when it is set.
    pub stop: &'a AtomicBool,
    /// Called every 200 ms. Returns the settings, read again, if a reload was requested.
    pub poll: &'a mut dyn FnMut() -> Option<Result<Live>>,
    /// Shows the counts, once a second.
    pub display: &'a mut dyn ProgressDisplay<LiveCounts>,
    /// The zone by whose days the summary confirms sources.
    pub zone: TimeZone,
    /// Write a log line for every interval.
    pub log_intervals: bool,
}

impl<'c> LiveRun<'c> {
    /// Opens rules, geo files, the store and the interfaces.
    ///
    /// # Errors
    /// A file is unreadable or invalid, the store or the spool takes no files, an interface does
    /// not exist, is down or is of a kind that gets no frames, or the process lacks a privilege.
    pub fn open(config: &'c Live) -> Result<Self> {
        let common = &config.common;
        let geo = Geo::open(common.country_db.as_deref(), common.asn_db.as_deref())?;
        let rules = Arc::new(rule_file::load(common.rules.as_deref())?);
        let output = Output::live(common, &run_name())?;
        let interfaces = ports::find(config)?;
        Ok(Self {
            config,
            geo,
            rules,
            output,
            interfaces,
        })
    }

    /// Collects until `control.stop` is set or all interfaces are removed.
    ///
    /// # Errors
    /// The program or a socket cannot be set up, or the flusher could not write a file. An error
    /// after packets were counted is in the outcome.
    pub fn run(self, control: LiveControl<'_>) -> Result<Outcome> {
        let Self {
            config, interfaces, ..
        } = self;
        let common = &config.common;
        let began = Instant::now();
        let queues = (interfaces.iter())
            .map(Interface::rx_queues)
            .collect::<Result<Vec<_>, _>>()?;
        startup_summary::log(config, &self.rules, &queues);
        let names: Vec<_> = (interfaces.iter())
            .map(|interface| interface.name().to_owned())
            .collect();
        let schedule = Schedule::new(self.rules);
        let (sink, delivery) = self
            .output
            .map(|output| (output.sink, output.delivery))
            .unzip();
        let (flusher, messages) = unbounded();
        let clock = RunClock::system();
        let mut collector = Collector::start(config, &interfaces, &schedule, &flusher, &clock)?;
        let lists = PrefixLists::new(&common.darknet);
        let setup = FlusherSetup {
            sink,
            geo: self.geo,
            schedule: Arc::clone(&schedule),
            facts: LedgerFacts {
                interval_seconds: common.interval_seconds,
                prefixes: Arc::clone(&lists),
                interfaces: names.clone(),
            },
            queues: collector.queues().to_vec(),
            returns: collector.take_returns(),
            known_sources: Some(collector.known_sources()),
            producers: collector.queues().len(),
            zone: control.zone.clone(),
            distinct_budget: common.max_flows * startup_summary::DISTINCT_PER_FLOW,
            announce: control.log_intervals,
        };
        let flusher_thread = thread::spawn(move || Flusher::new(setup).run(&messages));
        let mut reload = Reload::new(config, schedule, flusher, lists, Arc::clone(&clock));
        let hint_after = (config.hint_after_seconds > 0)
            .then(|| Duration::from_secs(config.hint_after_seconds.into()));
        let watched = watch(
            &mut collector,
            Health::new(&interfaces, hint_after, config.promiscuous),
            &mut reload,
            &clock,
            || flusher_thread.is_finished(),
            control,
        );
        // The flusher ends when every sender is gone.
        drop(reload);
        let ledgers = collector.ledger_readers();
        let stopped = collector.stop();
        let flushed = flusher_thread.join();
        let delivered = delivery.map_or(Ok(()), |delivery| delivery.finish_live());
        let (mut totals, geo) =
            flushed.map_err(|_| anyhow!("the flusher thread panicked: this is a defect"))??;
        totals.interfaces = names;
        let mut summary = totals.finish(&geo);
        // Packets in flight would appear as lost, and only an orderly stop leaves none.
        if watched.is_ok() && stopped.is_ok() {
            let mut matched = vec![0; SLOTS as usize];
            for ledger in &ledgers {
                for (sum, packets) in matched.iter_mut().zip(ledger.packets()) {
                    *sum += packets;
                }
            }
            summary.summary.lost_by_port = Some(totals.by_slot.missing(&matched));
        }
        Ok(Outcome {
            totals,
            summary,
            elapsed: began.elapsed(),
            result: watched.and(stopped).and(delivered),
        })
    }
}

/// Polls the caller, applies reloads and shows the counts until the run must end: the stop flag is
/// set, all interfaces are removed, or a thread has ended.
fn watch(
    collector: &mut Collector,
    mut health: Health,
    reload: &mut Reload<'_>,
    clock: &RunClock,
    flusher_ended: impl Fn() -> bool,
    control: LiveControl<'_>,
) -> Result<()> {
    let display = control.display;
    let mut show_at = Instant::now();
    loop {
        thread::sleep(reload.until_flip().unwrap_or(POLL_EVERY).min(POLL_EVERY));
        if let Some(step_us) = clock.check() {
            log_step(step_us);
        }
        reload.flip_if_due(collector.ports());
        if let Some(settings) = (control.poll)() {
            reload.apply(settings, collector.ports());
        }
        if Instant::now() >= show_at {
            show_at += SHOW_EVERY;
            display.show(&collector.counts());
        }
        if control.stop.load(Ordering::Relaxed) {
            display.clear();
            log::info!("stopping: detaching, then draining packets in flight");
            return Ok(());
        }
        if health.look(collector.ports().seen()) {
            display.clear();
            return Err(ports::gone(collector.ports().interfaces()));
        }
        if flusher_ended() || collector.a_worker_ended() {
            display.clear();
            return Ok(());
        }
    }
}

/// One line for a step of the wall clock.
fn log_step(step_us: i64) {
    let seconds = step_us.unsigned_abs() as f64 / 1e6;
    let (way, after) = if step_us < 0 {
        (
            "back",
            "; times that repeat are stored in files of their own",
        )
    } else {
        ("forward", "")
    };
    log::warn!(
        "the clock was set {way} by {seconds:.3} s: the open interval ends as partial and the next begins at the new time{after}; check the machine's NTP"
    );
}

/// A live run is named by its start, in microseconds since 1970.
fn run_name() -> String {
    (jiff::Timestamp::now().as_microsecond()).to_string()
}
