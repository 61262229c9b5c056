//! `noctule replay`: counts capture files.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use crossbeam_channel::unbounded;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use noctule_capture::file::{CaptureReader, Merged};
use noctule_counters::RandomState;
use noctule_counters::epoch::Capacity;
use noctule_packet::Rules;
use sha2::{Digest as _, Sha256};

use crate::args::{ReplayArgs, SummaryForm};
use crate::config::{self, Common};
use crate::storing::{self, Storing};
use crate::{flowtuple, geo, print, rules, signals, zone};
use noctule_engine::flusher::{Flusher, Setup};
use noctule_engine::pool::EpochPlan;
use noctule_engine::prefixes::PrefixLists;
use noctule_engine::replay::{Seen, start};
use noctule_engine::rows::LedgerFacts;
use noctule_engine::schedule::Schedule;

/// Counts the files.
///
/// # Errors
/// A setting, a file of which nothing can be read, a damaged file, or the store.
pub fn run(args: &ReplayArgs) -> Result<()> {
    let common = config::replay(&args.common)?;
    let geo = geo::open(&common)?;
    let rules = Arc::new(rules::load(common.rules.as_deref())?);
    let readers = open(args)?;
    let stop = signals::stop_flag()?;
    let zone = zone::replay(common.store.as_ref(), &stop)?;
    let run = run_name(&readers, &common, &rules);
    let tuples = flowtuple::plan(args, &common, &run, &rules, &geo)?;
    let schedule = Schedule::new(rules);
    let (sink, closing) = storing::replay(&common, &run, args.replace, &stop)?
        .map(|Storing { sink, closing }| (sink, closing))
        .unzip();
    let workers = common.workers.unwrap_or(1);
    let plan = EpochPlan {
        capacity: Capacity::share(common.max_flows, workers),
        lanes: 1,
        hasher: hasher(&run),
        interval_seconds: common.interval_seconds,
        known_sources: None,
        schedule: Arc::clone(&schedule),
    };
    let (flusher, messages) = unbounded();
    let began = Instant::now();
    let counted = thread::scope(|scope| -> Result<_> {
        let mut threads = Vec::new();
        // What `top -H` shows.
        let named = |name: String| thread::Builder::new().name(name);
        let (reader, returns) = start(
            &common.darknet,
            common.interval_seconds,
            workers,
            &plan,
            &flusher,
            |id, work| {
                threads.push(named(format!("worker {id}")).spawn_scoped(scope, work)?);
                Ok(())
            },
        )?;
        drop(flusher);
        let (reader, recording) = match &tuples {
            Some(plan) => {
                let (tap, recording) = plan.start(scope)?;
                (reader.tapped(tap), Some(recording))
            }
            None => (reader, None),
        };
        let setup = Setup {
            sink,
            geo,
            schedule,
            facts: LedgerFacts {
                interval_seconds: common.interval_seconds,
                prefixes: PrefixLists::new(&common.darknet),
            },
            queues: vec![vec![0]; workers],
            returns,
            known_sources: None,
            producers: workers + 1,
            zone,
            distinct_budget: common.max_flows.saturating_mul(8),
            announce: false,
        };
        let flushing = named("flusher".to_owned())
            .spawn_scoped(scope, move || Flusher::new(setup).run(&messages))?;
        let mut captures = Merged::new(readers);
        let bar = progress_bar(captures.total_bytes(), args.common.summary);
        let seen = reader.run(&mut captures, |captures, seen| {
            show(&bar, captures, seen);
            !stop.load(Ordering::Relaxed)
        });
        bar.finish_and_clear();
        // The flusher's error is the cause of whatever the reader met.
        let flushed = flushing
            .join()
            .map_err(|_| anyhow!("the flusher thread panicked: this is a defect"))?;
        let (totals, geo) = flushed?;
        let recorded = recording.map(flowtuple::join).transpose()?;
        for thread in threads {
            thread
                .join()
                .map_err(|_| anyhow!("a worker thread panicked: this is a defect"))?;
        }
        Ok((totals, geo, recorded, seen?, captures))
    });
    let (mut totals, geo, recorded, seen, captures) = counted.inspect_err(|_| {
        if let Some(closing) = &closing {
            closing.fail();
        }
    })?;
    if stop.load(Ordering::Relaxed) {
        log::warn!("stopped by a signal: the captures were not read to their end");
    }
    let judged = judge(&captures, seen);
    let closed = (closing.as_ref()).map_or(Ok(()), |closing| closing.replay(judged.is_ok(), &stop));
    let finished = totals.finish(&geo);
    print::totals(
        args.common.summary,
        &finished,
        &totals,
        &common,
        began.elapsed(),
    )?;
    if let (Some(plan), Some(recorded)) = (&tuples, &recorded) {
        plan.tell(recorded, finished.summary.dark_packets)?;
    }
    judged?;
    closed
}

fn open(args: &ReplayArgs) -> Result<Vec<CaptureReader>> {
    let mut names = BTreeSet::new();
    for file in &args.files {
        // A link is another name for the same packets; `-` is no file and stands for itself.
        let real = std::fs::canonicalize(file).unwrap_or_else(|_| file.clone());
        if !names.insert(real) {
            bail!(
                "{} is given twice: its packets would count twice",
                file.display()
            );
        }
    }
    (args.files.iter())
        .map(|file| CaptureReader::open(file).map_err(Into::into))
        .collect()
}

/// Equal inputs, prefixes and rules give equal names, so that a replay done twice writes the
/// same files.
fn run_name(readers: &[CaptureReader], common: &Common, rules: &Rules) -> String {
    let mut hash = Sha256::new();
    for reader in readers {
        hash.update(reader.digest());
        hash.update("\n");
    }
    hash.update(common.darknet.version());
    hash.update(rules.version());
    format!("{:.16x}", hash.finalize())
}

/// The tables' hash: where rows run out, which flows keep theirs may depend on it, and the same run
/// must give the same files.
fn hasher(run: &str) -> RandomState {
    let mut seeds = [0; 4];
    for (place, octet) in run.bytes().enumerate() {
        seeds[place % 4] = seeds[place % 4] << 8 | u64::from(octet);
    }
    let [a, b, c, d] = seeds;
    RandomState::with_seeds(a, b, c, d)
}

fn progress_bar(total: Option<u64>, summary: SummaryForm) -> ProgressBar {
    let hidden = summary == SummaryForm::None || !std::io::stderr().is_terminal();
    let target = if hidden {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let template = match total {
        Some(_) => "{bar:30} {bytes}/{total_bytes}  {msg}  {eta} left",
        None => "{spinner} {bytes}  {msg}",
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(total, target).with_style(style)
}

fn show(bar: &ProgressBar, captures: &Merged, seen: Seen) {
    bar.set_position(captures.consumed_bytes());
    let seconds = bar.elapsed().as_secs_f64().max(1e-6);
    let rate = seen.records as f64 / seconds;
    bar.set_message(format!("{} packets/s", print::rate(rate)));
}

/// What the captures' ends mean for the exit status.
fn judge(captures: &Merged, seen: Seen) -> Result<()> {
    if seen.foreign_link > 0 {
        if seen.foreign_link == seen.records {
            bail!(
                "none of the {} records has a link type that is read here: give Ethernet, raw IP, Linux cooked or BSD loopback captures",
                seen.records
            );
        }
        log::warn!(
            "{} records have a link type that is not read here; they count as passed",
            seen.foreign_link
        );
    }
    if captures.problems().is_empty() && seen.records == 0 {
        log::warn!("the captures hold no records");
    }
    let fatal =
        |problem: &&_| !noctule_capture::file::CaptureError::is_cut(problem) || nothing(problem);
    for problem in captures.problems().iter().filter(|p| !fatal(p)) {
        log::warn!("{problem}");
    }
    let mut errors = captures.problems().iter().filter(fatal);
    let Some(first) = errors.next() else {
        return Ok(());
    };
    for problem in errors {
        log::error!("{problem}");
    }
    Err(anyhow!("{first}")).context("not every capture could be read to its end")
}

/// A capture that is cut in its first record.
fn nothing(problem: &noctule_capture::file::CaptureError) -> bool {
    matches!(
        problem,
        noctule_capture::file::CaptureError::Cut { records: 0, .. }
    )
}
