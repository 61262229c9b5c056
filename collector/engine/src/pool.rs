//! A worker's epochs: filled ones go to the flusher, which returns them empty.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use noctule_counters::RandomState;
use noctule_counters::epoch::{Capacity, Epoch};
use noctule_counters::known_sources::KnownSources;

use crate::schedule::Schedule;
use crate::time::IntervalId;

/// How a pool makes and begins epochs.
#[derive(Clone)]
pub struct EpochPlan {
    /// Size of the tables.
    pub capacity: Capacity,
    /// RX queues of the worker.
    pub queues: usize,
    /// The tables' hash, seeded once per start.
    pub hasher: RandomState,
    /// Length of an interval, in seconds.
    pub interval_seconds: u32,
    /// Sources that get a row when rows run out, if the flusher learns them; none: each pool learns
    /// its own.
    pub known_sources: Option<Arc<KnownSources>>,
    /// Which rules an epoch begins with.
    pub schedule: Arc<Schedule>,
}

impl EpochPlan {
    fn make(&self, known_sources: &Arc<KnownSources>) -> Box<Epoch> {
        let known_sources = Arc::clone(known_sources);
        Box::new(Epoch::with_known_sources(
            known_sources,
            &self.capacity,
            self.queues,
            &self.hasher,
        ))
    }
}

/// The worker's end of the supply.
pub struct Pool {
    plan: EpochPlan,
    known_sources: Arc<KnownSources>,
    returned: Receiver<Box<Epoch>>,
    unmade: usize,
}

/// The flusher's end of a pool: takes emptied epochs.
pub type Returns = Sender<Box<Epoch>>;

impl Pool {
    /// A pool of at most `epochs` epochs, each allocated when it is first needed.
    pub fn new(plan: EpochPlan, epochs: usize) -> (Self, Returns) {
        let (returns, returned) = unbounded();
        let own = || KnownSources::unseeded(plan.capacity.flows());
        let pool = Self {
            known_sources: plan.known_sources.clone().unwrap_or_else(own),
            plan,
            returned,
            unmade: epochs,
        };
        (pool, returns)
    }

    /// Allocates all epochs now and backs them with memory, so that neither happens during the run.
    pub fn fill(&mut self, returns: &Returns) {
        for _ in 0..std::mem::take(&mut self.unmade) {
            let epoch = self.plan.make(&self.known_sources);
            epoch.fault_in();
            // The receiving end is in `self`, so it is open.
            let _ = returns.send(epoch);
        }
    }

    /// An empty epoch for this interval and its rules, if one is free.
    pub fn try_take(&mut self, interval: impl Into<IntervalId>) -> Option<Box<Epoch>> {
        let free = self.returned.try_recv().ok().or_else(|| {
            (self.unmade > 0).then(|| {
                self.unmade -= 1;
                self.plan.make(&self.known_sources)
            })
        });
        free.map(|epoch| self.begin(epoch, interval.into()))
    }

    /// An empty epoch for this interval; waits for the flusher if none is free. None if the flusher
    /// has ended.
    pub fn take(&mut self, interval: impl Into<IntervalId>) -> Option<Box<Epoch>> {
        let interval = interval.into();
        self.try_take(interval).or_else(|| {
            let epoch = self.returned.recv().ok()?;
            Some(self.begin(epoch, interval))
        })
    }

    /// An epoch for the rest of an interval whose first epoch was closed early; allocated if none is
    /// free, because the flusher keeps the first one until the interval ends.
    pub fn extra(&mut self, interval: impl Into<IntervalId>) -> Box<Epoch> {
        let interval = interval.into();
        self.try_take(interval)
            .unwrap_or_else(|| self.begin(self.plan.make(&self.known_sources), interval))
    }

    /// Learns the sources that have rows in a filled epoch; for a pool that learns its own.
    pub fn learn(&self, epoch: &Epoch) {
        epoch.learn_sources(&self.known_sources);
    }

    fn begin(&self, mut epoch: Box<Epoch>, interval: IntervalId) -> Box<Epoch> {
        let number = interval.start.div_euclid(self.plan.interval_seconds.into());
        epoch.begin(&self.plan.schedule.at(interval), number);
        epoch
    }
}
