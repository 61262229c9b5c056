//! Reload of prefixes, rules and geo files. All are validated together and take effect at an
//! interval's start; if one is invalid, none is applied.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use crossbeam_channel::Sender;
use noctule_packet::darknet::Darknet;
use noctule_store::diagnostics::error_line;

use super::ports::Ports;
use crate::clock::RunClock;
use crate::config::Live;
use crate::geo::Geo;
use crate::message::Message;
use crate::prefixes::{ListFacts, PrefixLists};
use crate::rule_file;
use crate::schedule::Schedule;
use crate::time::{IntervalId, stamp, start_of};

/// A reload this close to an interval's end takes effect one interval later, so that the rules are
/// in the schedule before any worker reads it. An eighth of a second.
const MARGIN_US: i64 = 125_000;

/// The reload state of a live run.
pub struct Reload<'a> {
    /// The settings in force.
    running: &'a Live,
    schedule: Arc<Schedule>,
    flusher: Sender<Message>,
    lists: Arc<PrefixLists>,
    clock: Arc<RunClock>,
    /// Version of the prefix list in force.
    in_force: String,
    /// A prefix list in the programs' other generation, and the interval from which it decides.
    pending: Option<(IntervalId, ListFacts)>,
}

impl<'a> Reload<'a> {
    /// The state of a run that has just started.
    pub fn new(
        running: &'a Live,
        schedule: Arc<Schedule>,
        flusher: Sender<Message>,
        lists: Arc<PrefixLists>,
        clock: Arc<RunClock>,
    ) -> Self {
        Self {
            running,
            schedule,
            flusher,
            lists,
            clock,
            in_force: running.common.darknet.version().to_owned(),
            pending: None,
        }
    }

    /// Applies settings that were read again, and logs the outcome on one line.
    pub fn apply(&mut self, settings: Result<Live>, ports: &mut Ports) {
        match settings.and_then(|fresh| self.try_apply(&fresh, ports)) {
            Ok(line) => log::info!("{line}"),
            Err(error) => log::error!(
                "reload refused, the prefixes, rules and geo files in force stay: {}",
                error_line(&*error)
            ),
        }
    }

    fn try_apply(&mut self, fresh: &Live, ports: &mut Ports) -> Result<String> {
        let common = &fresh.common;
        let rules = rule_file::load(common.rules.as_deref())?;
        let geo = Geo::open(common.country_db.as_deref(), common.asn_db.as_deref())?;
        // Tunnels change at a restart only, and their endpoints must not be dark by the new list.
        let tunnels = self.running.common.darknet.tunnels().clone();
        let darknet = common.darknet.clone().with_tunnels(tunnels)?;
        let pending = self.prepare(&darknet, ports)?;
        let from = self.next_start();
        let line = format!(
            "reloaded: rules {} with {} fingerprints, prefixes {} with {}, and geo files, from {} on{}",
            rules.version(),
            rules.fingerprints().len(),
            darknet.version(),
            observed(&ListFacts::new(&darknet)),
            stamp(from.start),
            unapplied(self.running, fresh)
        );
        let geo = Box::new(geo);
        (self.flusher.send(Message::Geo { from, geo }))
            .map_err(|_| anyhow!("the flusher has ended"))?;
        self.schedule.put(from, Arc::new(rules));
        self.pending = pending.map(|facts| (from, facts));
        Ok(line)
    }

    /// Fills the programs' other generation, unless the list is the one in force.
    fn prepare(&mut self, darknet: &Darknet, ports: &mut Ports) -> Result<Option<ListFacts>> {
        if darknet.version() == self.in_force {
            return Ok(None);
        }
        // `prepare` overwrites the generation of a pending list.
        self.pending = None;
        ports.prepare(darknet)?;
        Ok(Some(ListFacts::new(darknet)))
    }

    /// Time until the pending prefix list takes effect; none without a pending list. A step of the
    /// clock ends the interval before it, so that it takes effect then.
    pub fn until_flip(&self) -> Option<Duration> {
        let (from, _) = self.pending.as_ref()?;
        if from.era < self.clock.newest() {
            return Some(Duration::ZERO);
        }
        let now = self.clock.now_us(&self.clock.era());
        let left = from.start.saturating_mul(1_000_000).saturating_sub(now);
        Some(Duration::from_micros(left.try_into().unwrap_or(0)))
    }

    /// Makes the pending prefix list decide, if its interval has begun.
    pub fn flip_if_due(&mut self, ports: &mut Ports) {
        if self.until_flip() != Some(Duration::ZERO) {
            return;
        }
        let Some((from, facts)) = self.pending.take() else {
            return;
        };
        let flip = || ports.flip();
        let era = self.clock.era();
        match (self.lists).change(facts.clone(), (&self.clock, &era), flip) {
            Ok(since) => {
                log::info!(
                    "prefixes {} with {} decide, {} us after {}",
                    facts.version,
                    observed(&facts),
                    since - from.start_us(),
                    stamp(from.start)
                );
                self.in_force = facts.version;
            }
            Err(error) => log::error!(
                "the new prefixes do not decide, the old stay: {}",
                error_line(&*error)
            ),
        }
    }

    /// The first interval that no worker can have begun.
    fn next_start(&self) -> IntervalId {
        let seconds = self.running.common.interval_seconds;
        let era = self.clock.era();
        let now = self.clock.now_us(&era);
        IntervalId {
            era: era.number,
            start: start_of(now + MARGIN_US, seconds) + i64::from(seconds),
        }
    }
}

fn observed(facts: &ListFacts) -> String {
    format!("{} addresses and {} /64s", facts.addresses, facts.slash64s)
}

/// Settings that changed and that only a restart applies.
fn unapplied(running: &Live, fresh: &Live) -> String {
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
