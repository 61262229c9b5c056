//! SIGHUP: prefixes, rules and geo files are read again, judged whole, and applied at an
//! interval's start. Whatever is refused leaves the old in force.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use crossbeam_channel::Sender;
use noctule_capture::xdp::XdpProgram;
use noctule_packet::darknet::Darknet;

use crate::args::RunArgs;
use crate::config::{self, Run};
use crate::{geo, rules};
use noctule_engine::interval::start_of;
use noctule_engine::message::{IntervalStart, Message};
use noctule_engine::prefixes::{ListFacts, PrefixLists};
use noctule_engine::schedule::Schedule;
use noctule_engine::worker::now_us;

/// Time before an interval's end in which a reload waits for the next but one: every worker must
/// ask for its rules after they are there. An eighth of a second.
const TOO_LATE_US: i64 = 125_000;

/// What a reload needs.
pub struct Reload<'a> {
    /// The command line: flags go over the file that is read again.
    pub args: &'a RunArgs,
    /// The settings in force.
    pub running: &'a Run,
    /// Takes the rules.
    pub schedule: Arc<Schedule>,
    /// Takes the geo files.
    pub flusher: Sender<Message>,
    /// Takes the prefixes.
    pub lists: Arc<PrefixLists>,
    /// Version of the prefixes that decide.
    pub in_force: String,
    /// Prefixes that wait in the program's other generation for their interval.
    pub waiting: Option<(IntervalStart, ListFacts)>,
}

impl Reload<'_> {
    /// Reads everything again, and says in one line what came of it.
    pub fn run(&mut self, program: &mut XdpProgram) {
        match self.apply(program) {
            Ok(line) => log::info!("{line}"),
            Err(error) => log::error!(
                "reload refused, the prefixes, rules and geo files in force stay: {}",
                noctule_store::diagnostics::error_line(&*error)
            ),
        }
    }

    fn apply(&mut self, program: &mut XdpProgram) -> Result<String> {
        let fresh = config::run(self.args)?;
        let rules = rules::load(fresh.common.rules.as_deref())?;
        let geo = geo::open(&fresh.common)?;
        // Tunnels wait for a restart, and their ends must not be dark by the new list either.
        let tunnels = self.running.common.darknet.tunnels().clone();
        let darknet = fresh.common.darknet.clone().with_tunnels(tunnels)?;
        let waiting = self.prepare(&darknet, program)?;
        let from = self.next_start();
        let line = format!(
            "reloaded: rules {} with {} fingerprints, prefixes {} with {}, and geo files, from {} on{}",
            rules.version(),
            rules.fingerprints().len(),
            darknet.version(),
            observed(&ListFacts::new(&darknet)),
            stamp(from),
            left_alone(self.running, &fresh)
        );
        let geo = Box::new(geo);
        (self.flusher.send(Message::Geo { from, geo }))
            .map_err(|_| anyhow!("the flusher has ended"))?;
        self.schedule.put(from, Arc::new(rules));
        self.waiting = waiting.map(|facts| (from, facts));
        Ok(line)
    }

    /// Fills the program's other generation, unless the list is the one that decides.
    fn prepare(
        &mut self,
        darknet: &Darknet,
        program: &mut XdpProgram,
    ) -> Result<Option<ListFacts>> {
        if darknet.version() == self.in_force {
            return Ok(None);
        }
        // What waited there is about to be overwritten.
        self.waiting = None;
        program.prepare(darknet)?;
        Ok(Some(ListFacts::new(darknet)))
    }

    /// How long until prefixes that wait should decide; none if none wait.
    pub fn until_flip(&self) -> Option<Duration> {
        let (from, _) = self.waiting.as_ref()?;
        let left = from.saturating_mul(1_000_000).saturating_sub(now_us());
        Some(Duration::from_micros(left.try_into().unwrap_or(0)))
    }

    /// Lets prefixes decide that have waited for this moment.
    pub fn flip_if_due(&mut self, program: &mut XdpProgram) {
        if self.until_flip() != Some(Duration::ZERO) {
            return;
        }
        let Some((from, facts)) = self.waiting.take() else {
            return;
        };
        let flip = || program.flip().map_err(anyhow::Error::from);
        match self.lists.change(facts.clone(), flip) {
            Ok(since) => {
                log::info!(
                    "prefixes {} with {} decide, {} us after {}",
                    facts.version,
                    observed(&facts),
                    since - from * 1_000_000,
                    stamp(from)
                );
                self.in_force = facts.version;
            }
            Err(error) => log::error!(
                "the new prefixes do not decide, the old stay: {}",
                noctule_store::diagnostics::error_line(&*error)
            ),
        }
    }

    /// The first interval that no worker can have begun.
    fn next_start(&self) -> IntervalStart {
        let seconds = self.running.common.interval_seconds;
        start_of(now_us() + TOO_LATE_US, seconds) + i64::from(seconds)
    }
}

fn observed(facts: &ListFacts) -> String {
    format!("{} addresses and {} /64s", facts.addresses, facts.slash64s)
}

/// Settings that changed and that only a start applies.
fn left_alone(running: &Run, fresh: &Run) -> String {
    let changed = running.changed_until_restart(fresh);
    if changed.is_empty() {
        String::new()
    } else {
        format!(
            "; changed, but only a restart applies it: {}",
            changed.join(", ")
        )
    }
}

fn stamp(interval: IntervalStart) -> String {
    jiff::Timestamp::from_second(interval).map_or_else(|_| interval.to_string(), |t| t.to_string())
}
