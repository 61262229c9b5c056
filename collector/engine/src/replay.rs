//! A replay: counts capture files with the tables and the flusher of a live run.
//!
//! No octet of a frame is copied: the workers decode packets in the blocks that the reader has read.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use crossbeam_channel::unbounded;
use jiff::tz::TimeZone;
use noctule_capture::file::{Capture, Merged, TimeResolution};
use noctule_counters::RandomState;
use noctule_counters::epoch::Capacity;
use noctule_packet::Rules;
use noctule_packet::flowtuple;
use noctule_store::flowtuple::FlowTupleFolder;
use sha2::{Digest as _, Sha256};

use self::link_types::LinkTypes;
use self::problems::check_captures;
use self::reader::{Reader, RecordCounts};
use self::worker::ReplayWorker;
use crate::config::Replay;
use crate::flowtuple::{FlowTupleCounts, Recorder, RecorderSetup, Tap};
use crate::flusher::{Flusher, FlusherSetup};
use crate::geo::Geo;
use crate::ledger::QueueId;
use crate::outcome::{Outcome, ProgressDisplay};
use crate::output::{Delivery, Output, Sink};
use crate::pool::{EpochPlan, Pool};
use crate::prefixes::PrefixLists;
use crate::rows::LedgerFacts;
use crate::rule_file;
use crate::schedule::Schedule;
use crate::shard::Shard;
use crate::totals::Totals;

mod follow;
mod journal;
mod link_types;
mod problems;
mod reader;
mod worker;

pub use self::follow::Follower;

/// Epochs of a worker: two open intervals, and one that is being written.
const EPOCHS: usize = 3;
/// Pairs of source and cell that the summary keeps, per row of the flow table.
const DISTINCT_PER_FLOW: usize = 8;

/// How far a replay has read.
#[derive(Clone, Copy, Debug)]
pub struct ReplayProgress {
    /// Octets of all captures; none if the length of one is unknown.
    pub total_bytes: Option<u64>,
    /// Octets read.
    pub consumed_bytes: u64,
    /// Records read.
    pub records: u64,
    /// Time since the replay began.
    pub elapsed: Duration,
}

/// A replay that has ended.
pub struct ReplayOutcome {
    /// Totals, and the error to report.
    pub run: Outcome,
    /// FlowTuples written, if the configuration asks for them.
    pub flowtuples: Option<FlowTupleCounts>,
}

/// A replay whose inputs are open and which has not begun.
pub struct ReplayRun<'c> {
    config: &'c Replay,
    geo: Geo,
    rules: Arc<Rules>,
    inputs: Vec<Capture>,
    /// Equal captures, prefixes and rules give equal names.
    name: String,
    /// Other runs that are known to have counted other records.
    others: Vec<String>,
}

/// What the threads of a replay return.
struct Counted {
    totals: Totals,
    geo: Geo,
    flowtuples: Option<FlowTupleCounts>,
    records: RecordCounts,
    link_types: LinkTypes,
    captures: Merged,
}

impl<'c> ReplayRun<'c> {
    /// Opens rules and geo files, and looks at the captures.
    ///
    /// # Errors
    /// A file is unreadable or invalid, or a capture is given twice. Every capture that cannot be read
    /// is named, in lines of the log if there are several.
    pub fn open(config: &'c Replay) -> Result<Self> {
        let common = &config.common;
        let geo = Geo::open(common.country_db.as_deref(), common.asn_db.as_deref())?;
        let rules = Arc::new(rule_file::load(common.rules.as_deref())?);
        let inputs = look_at(&config.files, config.time_resolution)?;
        Ok(Self {
            name: run_name(inputs.iter().map(Capture::digest), config, &rules),
            config,
            geo,
            rules,
            inputs,
            others: Vec::new(),
        })
    }

    /// The name of a run of a capture with this content.
    ///
    /// # Errors
    /// The rule file is invalid.
    fn name_of(config: &Replay, content: &str) -> Result<String> {
        let rules = rule_file::load(config.common.rules.as_deref())?;
        Ok(run_name([content].into_iter(), config, &rules))
    }

    /// A run of this name over one capture; `others` are runs that counted other records.
    ///
    /// # Errors
    /// A rule or geo file is unreadable or invalid.
    fn of_capture(
        config: &'c Replay,
        capture: Capture,
        name: &str,
        others: Vec<String>,
    ) -> Result<Self> {
        let common = &config.common;
        Ok(Self {
            config,
            geo: Geo::open(common.country_db.as_deref(), common.asn_db.as_deref())?,
            rules: Arc::new(rule_file::load(common.rules.as_deref())?),
            inputs: vec![capture],
            name: name.to_owned(),
            others,
        })
    }

    /// Counts the captures, until their ends or until `stop` is set. The summary confirms sources by
    /// days of `zone`.
    ///
    /// # Errors
    /// The store refuses the output, or a thread failed. An unreadable capture or undelivered
    /// files are in the outcome.
    pub fn run(
        self,
        stop: &Arc<AtomicBool>,
        zone: TimeZone,
        display: &mut dyn ProgressDisplay<ReplayProgress>,
    ) -> Result<ReplayOutcome> {
        let config = self.config;
        let tuples = (config.flowtuple.as_ref())
            .map(|settings| FlowTupleFolder::open(&settings.folder, &self.name))
            .transpose()?;
        let output = Output::replay(
            &config.common,
            &self.name,
            config.replace,
            &self.others,
            stop,
        )?;
        let (sink, delivery) = output.map(|output| (output.sink, output.delivery)).unzip();
        let began = Instant::now();
        let counted = self
            .count(sink, zone, tuples.as_ref(), stop, display)
            .inspect_err(|_| {
                if let Some(delivery) = &delivery {
                    delivery.abandon();
                }
            })?;
        if stop.load(Ordering::Relaxed) {
            log::warn!("stopped by a signal: the captures were not read to their end");
        }
        let names = counted.captures.names();
        let name = |file: usize| names[file].clone();
        let unread = counted.link_types.problems(name);
        let mut faults = counted.captures.time_faults();
        if config.time_resolution.is_some() {
            // The option decides how fractions are read.
            faults.long_fractions = 0;
        }
        let read = check_captures(&counted.captures, counted.records, unread, faults);
        let finish = |delivery: &Delivery| delivery.finish_replay(read.is_ok(), stop);
        let delivered = delivery.as_ref().map_or(Ok(()), finish);
        let mut totals = counted.totals;
        let mut summary = totals.finish(&counted.geo);
        summary.summary.untimed_records = faults.untimed;
        let recorded = match (&counted.flowtuples, &tuples) {
            (Some(counts), Some(folder)) => {
                counts.check(summary.summary.dark_packets, folder.path())
            }
            _ => Ok(()),
        };
        Ok(ReplayOutcome {
            run: Outcome {
                totals,
                summary,
                elapsed: began.elapsed(),
                result: recorded.and(read).and(delivered),
            },
            flowtuples: counted.flowtuples,
        })
    }

    /// Runs reader, workers, flusher and FlowTuple recorder.
    fn count(
        self,
        sink: Option<Sink>,
        zone: TimeZone,
        tuples: Option<&FlowTupleFolder>,
        stop: &AtomicBool,
        display: &mut dyn ProgressDisplay<ReplayProgress>,
    ) -> Result<Counted> {
        let common = &self.config.common;
        let workers = common.workers.unwrap_or(1);
        let schedule = Schedule::new(Arc::clone(&self.rules));
        let plan = EpochPlan {
            capacity: Capacity::share(common.max_flows, workers),
            queues: 1,
            hasher: hasher(&self.name),
            interval_seconds: common.interval_seconds,
            known_sources: None,
            schedule: Arc::clone(&schedule),
        };
        let mut captures = Merged::new(self.inputs);
        let began = Instant::now();
        let (flusher, messages) = unbounded();
        thread::scope(|scope| {
            // Names that `top -H` shows.
            let named = |name: String| thread::Builder::new().name(name);
            let (mut threads, mut shards, mut returns) = (Vec::new(), Vec::new(), Vec::new());
            for id in 0..workers {
                let (pool, pool_returns) = Pool::new(plan.clone(), EPOCHS);
                let (shard, inbox, recycle) = Shard::new();
                let worker = ReplayWorker::new(id, pool, flusher.clone());
                let work = move || worker.run(&inbox, &recycle);
                threads.push(named(format!("worker {id}")).spawn_scoped(scope, work)?);
                shards.push(shard);
                returns.push(pool_returns);
            }
            let (tap, recording) = match (&self.config.flowtuple, tuples) {
                (Some(settings), Some(folder)) => {
                    let (tap, inbox, recycle) = Tap::new(settings.interval_seconds);
                    let recorder = Recorder::new(RecorderSetup {
                        folder,
                        reader: flowtuple::Reader::new(Arc::clone(&self.rules)),
                        geo: self.geo.clone(),
                        max_tuples: common.max_flows,
                    });
                    let work = move || recorder.run(&inbox, &recycle);
                    let thread = named("flowtuple".to_owned()).spawn_scoped(scope, work)?;
                    (Some(tap), Some(thread))
                }
                _ => (None, None),
            };
            let reader = Reader::new(
                &common.darknet,
                common.interval_seconds,
                shards,
                flusher,
                tap,
            );
            let setup = FlusherSetup {
                sink,
                geo: self.geo,
                schedule,
                facts: LedgerFacts {
                    interval_seconds: common.interval_seconds,
                    prefixes: PrefixLists::new(&common.darknet),
                    interfaces: Vec::new(),
                },
                queues: vec![vec![QueueId::default()]; workers],
                returns,
                known_sources: None,
                producers: workers + 1,
                zone,
                distinct_budget: common.max_flows.saturating_mul(DISTINCT_PER_FLOW),
                announce: false,
            };
            let flushing = named("flusher".to_owned())
                .spawn_scoped(scope, move || Flusher::new(setup).run(&messages))?;
            let records = reader.run(&mut captures, |captures, records| {
                display.show(&ReplayProgress {
                    total_bytes: captures.total_bytes(),
                    consumed_bytes: captures.consumed_bytes(),
                    records: records.records,
                    elapsed: began.elapsed(),
                });
                !stop.load(Ordering::Relaxed)
            });
            display.clear();
            // If both the flusher and the reader failed, the flusher's error is the cause.
            let (totals, geo) = join(flushing, "flusher")??;
            let flowtuples = recording
                .map(|thread| {
                    join(thread, "FlowTuple")?.context("FlowTuples were not written to their end")
                })
                .transpose()?;
            for thread in threads {
                join(thread, "worker")?;
            }
            let (records, link_types) = records?;
            Ok(Counted {
                totals,
                geo,
                flowtuples,
                records,
                link_types,
                captures,
            })
        })
    }
}

fn join<T>(thread: ScopedJoinHandle<'_, T>, name: &str) -> Result<T> {
    thread
        .join()
        .map_err(|_| anyhow!("the {name} thread panicked: this is a defect"))
}

/// Looks at every capture.
fn look_at(files: &[PathBuf], resolution: Option<TimeResolution>) -> Result<Vec<Capture>> {
    let mut names = BTreeSet::new();
    for file in files {
        // A link is another name for the same packets. `-` is standard input and no path.
        let real = std::fs::canonicalize(file).unwrap_or_else(|_| file.clone());
        if !names.insert(real) {
            bail!(
                "{} is given twice: its packets would count twice",
                file.display()
            );
        }
    }
    let looked = files.iter().map(|file| Capture::look(file, resolution));
    let (mut inputs, mut unreadable) = (Vec::new(), Vec::new());
    for input in looked {
        match input {
            Ok(input) => inputs.push(input),
            Err(problem) => unreadable.push(problem),
        }
    }
    match &unreadable[..] {
        [] => Ok(inputs),
        [_] => Err(unreadable.remove(0).into()),
        all => {
            for problem in all {
                log::warn!("{problem}");
            }
            bail!(
                "{} of the {} captures cannot be read, each is named above: nothing was counted; correct them or leave them out",
                all.len(),
                files.len()
            )
        }
    }
}

/// A digest of captures, prefixes and rules, so that the same replay writes the same files.
fn run_name<'d>(digests: impl Iterator<Item = &'d str>, config: &Replay, rules: &Rules) -> String {
    let mut hash = Sha256::new();
    for digest in digests {
        hash.update(digest);
        hash.update("\n");
    }
    hash.update(config.common.darknet.version());
    hash.update(rules.version());
    match config.time_resolution {
        None => {}
        Some(TimeResolution::Microseconds) => hash.update("us"),
        Some(TimeResolution::Nanoseconds) => hash.update("ns"),
    }
    format!("{:.16x}", hash.finalize())
}

/// The tables' hash. When rows run out, the hash can decide which flows keep a row, so it must be
/// the same whenever the same replay runs.
fn hasher(run: &str) -> RandomState {
    let mut seeds = [0; 4];
    for (place, octet) in run.bytes().enumerate() {
        seeds[place % 4] = seeds[place % 4] << 8 | u64::from(octet);
    }
    let [a, b, c, d] = seeds;
    RandomState::with_seeds(a, b, c, d)
}
