//! A live worker: receives frames from its RX queues and counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::Sender;
use noctule_capture::xdp::{Ready, Waiter};
use noctule_counters::batch::Batch;
use noctule_counters::epoch::{Epoch, Timing};
use noctule_packet::darknet::Darknet;

use crate::busy_poll_backoff::BusyPollBackoff;
use crate::clock::{Era, RunClock};
use crate::ledger::QueueLedger;
use crate::message::Message;
use crate::pool::Pool;
use crate::rx_queue::RxQueue;
use crate::time::{IntervalId, start_of};

/// Longest sleep, so that a worker without traffic still closes its intervals on time.
const SLEEP_MS: u16 = 50;
/// How often a worker reads the losses that the progress display shows.
const LOSSES_EVERY_US: i64 = 1_000_000;
/// Longest wait at a stop for matched frames that are still in the rings.
const DRAIN: Duration = Duration::from_millis(500);

/// Counts of a running worker for the progress display; only the worker writes them.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Progress {
    /// Dark packets counted.
    pub counted: AtomicU64,
    /// Dark packets that were lost on the way to the worker's sockets, as of the last second.
    pub lost: AtomicU64,
    /// Intervals closed so far.
    pub swaps: AtomicU64,
    /// Nanoseconds for which the last interval change kept the worker from its rings.
    pub swap_ns: AtomicU64,
}

/// Why a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerExit {
    /// The stop flag was set.
    Stopped,
    /// The kernel has closed a socket although its interface is still there.
    SocketClosed,
}

/// A worker with its queues.
pub struct Worker {
    /// Number of the worker.
    pub id: usize,
    /// Its RX queues.
    pub queues: Vec<RxQueue>,
    /// Finds the IP header in a dark frame.
    pub darknet: Arc<Darknet>,
    /// Length of an interval, in seconds.
    pub interval_seconds: u32,
    /// The run's clock.
    pub clock: Arc<RunClock>,
    /// The era that the worker is in.
    pub era: Arc<Era>,
    /// Its epochs.
    pub pool: Pool,
    /// Receives filled epochs and ledger rows.
    pub flusher: Sender<Message>,
    /// Set after the program was detached: the worker drains its rings and ends.
    pub stop: Arc<AtomicBool>,
    /// Counts for the progress display.
    pub progress: Arc<Progress>,
    /// Packets on their way into the tables.
    pub batch: Batch,
    /// Waits for several queues at once.
    pub waiter: Waiter,
}

/// The interval that a worker is filling.
struct OpenInterval {
    epoch: Box<Epoch>,
    id: IntervalId,
    /// False from the interval's end until an epoch is free.
    on_time: bool,
    /// When observation began, in microseconds since 1970.
    since_us: i64,
    partial: bool,
    /// The step of the wall clock that ended it, milliseconds; 0 if none did.
    clock_step_ms: i64,
}

impl Worker {
    /// Receives until the stop flag is set; then drains the rings and closes the interval. If an
    /// interface is removed, its other queues go on.
    ///
    /// # Errors
    /// The kernel refuses to read a socket, its statistics or the verdict map.
    pub fn run(mut self) -> Result<WorkerExit> {
        let began = self.now_us();
        let id = self.interval_at(began);
        let Some(epoch) = self.pool.take(id) else {
            return Ok(WorkerExit::Stopped);
        };
        let mut open = OpenInterval {
            epoch,
            id,
            on_time: true,
            since_us: began,
            partial: true,
            clock_step_ms: 0,
        };
        let exit = self.receive_until_stopped(&mut open, began)?;
        self.drain(&mut open)?;
        self.batch.finish(&mut open.epoch);
        open.partial = true;
        let now = self.now_us();
        self.close(open, now, true)?;
        Ok(exit)
    }

    /// The receive loop.
    fn receive_until_stopped(&mut self, open: &mut OpenInterval, began: i64) -> Result<WorkerExit> {
        let mut backoff = BusyPollBackoff::default();
        let mut losses_due = began + LOSSES_EVERY_US;
        while !self.stop.load(Ordering::Relaxed) {
            if self.clock.newest() != self.era.number {
                losses_due = self.change_era(open)?;
            }
            let now = self.now_us();
            if now >= self.end_of(open.id) {
                self.change_interval(open, now)?;
            } else if open.epoch.is_crowded() {
                self.change_epoch(open);
            }
            if now >= losses_due {
                losses_due = now + LOSSES_EVERY_US;
                self.publish_losses()?;
            }
            let frames = self.receive(open, now);
            if frames > 0 {
                backoff.received(now, frames);
            } else if !backoff.should_sleep(now) {
                std::hint::spin_loop();
            } else if self.sleep()? == Ready::Gone {
                return Ok(WorkerExit::SocketClosed);
            }
        }
        Ok(WorkerExit::Stopped)
    }

    /// Receives one batch from every queue. Returns the number of frames.
    fn receive(&mut self, open: &mut OpenInterval, now: i64) -> usize {
        let offset = now.saturating_sub(open.id.start_us()).max(0);
        let offset_us = u32::try_from(offset).unwrap_or(u32::MAX);
        let timing = if open.on_time {
            Timing::OnTime
        } else {
            Timing::Late
        };
        let mut frames = 0;
        for (number, queue) in self.queues.iter_mut().enumerate() {
            let (batch, epoch) = (&mut self.batch, &mut open.epoch);
            frames += queue.receive(&self.darknet, batch, epoch, (offset_us, timing), number);
        }
        if frames == 0 {
            self.batch.finish(&mut open.epoch);
        } else {
            let counted = self.queues.iter().map(RxQueue::counted).sum();
            self.progress.counted.store(counted, Ordering::Relaxed);
        }
        frames
    }

    /// Closes an interval that has ended and opens the current one, if an epoch is free. Otherwise
    /// the flusher still holds the other epoch, and packets go on counting in this one, as late.
    fn change_interval(&mut self, open: &mut OpenInterval, now: i64) -> Result<()> {
        let began = Instant::now();
        self.batch.finish(&mut open.epoch);
        let id = self.interval_at(now);
        let Some(epoch) = self.pool.try_take(id) else {
            if open.on_time {
                log::warn!(
                    "worker {}: writing an interval takes longer than an interval; until it is done, packets count in the previous interval, as late: check the store's disk, or raise --interval",
                    self.id
                );
                open.on_time = false;
            }
            return Ok(());
        };
        let next = OpenInterval {
            epoch,
            id,
            on_time: true,
            since_us: id.start_us(),
            partial: false,
            clock_step_ms: 0,
        };
        let done = std::mem::replace(open, next);
        // Frames that arrived since the last batch are in flight, so the account is not settled.
        self.close(done, now, false)?;
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.progress.swap_ns.store(took, Ordering::Relaxed);
        self.progress.swaps.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Sends the epoch to the flusher before its interval ends, because a row's counter is nearly
    /// full, and goes on in another one.
    fn change_epoch(&mut self, open: &mut OpenInterval) {
        self.batch.finish(&mut open.epoch);
        let fresh = self.pool.extra(open.id);
        let epoch = std::mem::replace(&mut open.epoch, fresh);
        self.send(Message::Epoch {
            interval: open.id,
            worker: self.id,
            epoch,
        });
    }

    /// The wall clock has stepped: closes the interval where the old time ends, and opens the one of
    /// the new time. Returns when losses are due.
    #[cold]
    fn change_era(&mut self, open: &mut OpenInterval) -> Result<i64> {
        self.batch.finish(&mut open.epoch);
        let until_us = self.now_us();
        // Eras between, if there are any, have no interval of this worker; their steps add up.
        let era = self.clock.era();
        let step_ms = era.step_since(&self.era) / 1000;
        self.era = era;
        let now = self.now_us();
        let id = self.interval_at(now);
        let next = OpenInterval {
            epoch: self.pool.extra(id),
            id,
            on_time: true,
            since_us: now,
            partial: true,
            clock_step_ms: 0,
        };
        let mut done = std::mem::replace(open, next);
        done.partial = true;
        done.clock_step_ms = step_ms;
        self.close(done, until_us, false)?;
        Ok(now + LOSSES_EVERY_US)
    }

    /// Sends the tables and accounts of an interval that was observed until `until_us` to the flusher.
    fn close(&mut self, done: OpenInterval, until_us: i64, settled: bool) -> Result<()> {
        let interval = done.id;
        let until_us = until_us.min(self.end_of(interval));
        let from_us = done.since_us.max(interval.start_us());
        // A small step back is followed within the era.
        let until_us = until_us.max(from_us);
        for number in 0..self.queues.len() {
            let row = self.queues[number].close_account(settled)?;
            let gone_us = self.queues[number].gone_us();
            let until_us = gone_us.map_or(until_us, |gone| gone.clamp(from_us, until_us));
            let row = Box::new(QueueLedger {
                partial: done.partial || gone_us.is_some(),
                observed_ms: (until_us - from_us) as u64 / 1000,
                observed_us: Some((from_us, until_us)),
                clock_step_ms: done.clock_step_ms,
                ..row
            });
            self.send(Message::Ledger { interval, row });
        }
        self.send(Message::Epoch {
            interval,
            worker: self.id,
            epoch: done.epoch,
        });
        self.send(Message::Closed {
            producer: self.id,
            through: interval,
        });
        Ok(())
    }

    /// After the program was detached: receives the frames that are still in the rings.
    fn drain(&mut self, open: &mut OpenInterval) -> Result<()> {
        let until = Instant::now() + DRAIN;
        while Instant::now() < until {
            let now = self.now_us();
            if self.receive(open, now) > 0 {
                continue;
            }
            let mut in_flight = 0;
            for queue in &self.queues {
                in_flight += queue.in_flight()?;
            }
            if in_flight == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn publish_losses(&self) -> Result<()> {
        let lost: u64 = (self.queues.iter()).map(RxQueue::lost).sum::<Result<_>>()?;
        self.progress.lost.store(lost, Ordering::Relaxed);
        Ok(())
    }

    /// Sleeps until frames arrive, for at most [`SLEEP_MS`]. `Gone`: a socket was closed although its
    /// interface is still there.
    fn sleep(&mut self) -> Result<Ready> {
        let (clock, era) = (&self.clock, &self.era);
        let now = || clock.now_us(era);
        if let [only] = &mut self.queues[..]
            && only.gone_us().is_none()
        {
            return only.wait(SLEEP_MS, now);
        }
        let mut there = (self.queues.iter())
            .filter(|queue| queue.gone_us().is_none())
            .map(RxQueue::socket)
            .peekable();
        if there.peek().is_none() {
            std::thread::sleep(Duration::from_millis(SLEEP_MS.into()));
            return Ok(Ready::TimedOut);
        }
        if self.waiter.wait(there, SLEEP_MS)? {
            return Ok(Ready::Frames);
        }
        for queue in &mut self.queues {
            if queue.wait(0, now)? == Ready::Gone {
                return Ok(Ready::Gone);
            }
        }
        Ok(Ready::TimedOut)
    }

    /// Microseconds since 1970 by the wall clock of the worker's era.
    fn now_us(&self) -> i64 {
        self.clock.now_us(&self.era)
    }

    fn interval_at(&self, now: i64) -> IntervalId {
        IntervalId {
            era: self.era.number,
            start: start_of(now, self.interval_seconds),
        }
    }

    fn end_of(&self, interval: IntervalId) -> i64 {
        (interval.start + i64::from(self.interval_seconds)) * 1_000_000
    }

    fn send(&self, message: Message) {
        // If the flusher has ended, it has reported why; the main thread stops the workers.
        let _ = self.flusher.send(message);
    }
}
