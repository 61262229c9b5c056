//! A worker's supply of epochs: filled ones go to the flusher, emptied ones come back.

use crossbeam_channel::{Receiver, Sender, unbounded};
use noctule_counters::RandomState;
use noctule_counters::epoch::{Capacity, Epoch};

/// How epochs come to be.
#[derive(Clone)]
pub struct EpochPlan {
    /// Size of the tables.
    pub capacity: Capacity,
    /// Lanes of the worker.
    pub lanes: usize,
    /// The tables' hash, seeded once per start.
    pub hasher: RandomState,
}

impl EpochPlan {
    fn make(&self) -> Box<Epoch> {
        Box::new(Epoch::new(&self.capacity, self.lanes, &self.hasher))
    }
}

/// The worker's end.
pub struct Pool {
    plan: EpochPlan,
    returned: Receiver<Box<Epoch>>,
    unmade: usize,
}

/// The flusher's end: where it sends emptied epochs.
pub type Returns = Sender<Box<Epoch>>;

impl Pool {
    /// A pool of at most `epochs` epochs, made when they are first needed.
    pub fn new(plan: EpochPlan, epochs: usize) -> (Self, Returns) {
        let (returns, returned) = unbounded();
        let pool = Self {
            plan,
            returned,
            unmade: epochs,
        };
        (pool, returns)
    }

    /// Makes all epochs now, so that no allocation comes later.
    pub fn fill(&mut self, returns: &Returns) {
        for _ in 0..std::mem::take(&mut self.unmade) {
            // The receiving end is in `self`, so it is open.
            let _ = returns.send(self.plan.make());
        }
    }

    /// An empty epoch, if one is free.
    pub fn try_take(&mut self) -> Option<Box<Epoch>> {
        if let Ok(epoch) = self.returned.try_recv() {
            return Some(epoch);
        }
        (self.unmade > 0).then(|| {
            self.unmade -= 1;
            self.plan.make()
        })
    }

    /// An empty epoch, waiting for the flusher if none is free. None: the flusher has ended.
    pub fn take(&mut self) -> Option<Box<Epoch>> {
        self.try_take().or_else(|| self.returned.recv().ok())
    }

    /// An epoch beyond the pool's number, for the rest of an interval whose first epoch had to
    /// be closed early: the flusher holds that one until the interval ends.
    pub fn extra(&mut self) -> Box<Epoch> {
        self.try_take().unwrap_or_else(|| self.plan.make())
    }
}
