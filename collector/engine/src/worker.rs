//! A live worker: takes frames from its RX queues and counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use crossbeam_channel::Sender;
use noctule_capture::xdp::{BindMode, Ready, VerdictReader, XskQueue};
use noctule_counters::batch::{Batch, DarkFrame};
use noctule_counters::epoch::{Epoch, Timing};
use noctule_packet::darknet::Darknet;
use noctule_packet::link::LinkType;
use noctule_store::tables::Mode;

use crate::account::{Account, Snapshot};
use crate::interval::start_of;
use crate::message::{IntervalStart, Message};
use crate::patience::Patience;
use crate::pool::Pool;

/// Longest sleep, so that a quiet worker still closes its intervals on time.
const SLEEP_MS: u16 = 50;
/// How often a worker asks the kernel what was lost, for the line that it shows.
const LOOK_US: i64 = 1_000_000;
/// Longest wait at a stop for frames that XDP has matched to come out of the rings.
const DRAIN: Duration = Duration::from_millis(500);

/// What a worker shows while it runs; written by it alone.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Progress {
    /// Dark packets counted.
    pub counted: AtomicU64,
    /// Dark packets that were lost on the way to the worker's sockets, as of the last second.
    pub lost: AtomicU64,
    /// Intervals that were closed so far.
    pub swaps: AtomicU64,
    /// How long the last of these kept the worker from its rings, in nanoseconds.
    pub swap_ns: AtomicU64,
}

/// An RX queue with its account.
pub struct Lane {
    queue: XskQueue,
    mode: Mode,
    account: Account,
    counted: u64,
}

impl Lane {
    /// A lane for an open queue; `generic` says that XDP runs in generic mode.
    pub fn new(queue: XskQueue, generic: bool) -> Self {
        let mode = match (generic, queue.mode()) {
            (true, _) => Mode::Generic,
            (false, BindMode::ZeroCopy) => Mode::ZeroCopy,
            (false, BindMode::Copy) => Mode::Copy,
        };
        Self {
            queue,
            mode,
            account: Account::default(),
            counted: 0,
        }
    }

    /// One batch of frames, the hot path: taken, counted, given back. Returns how many there were.
    ///
    /// `lane` is this lane's number in the epoch. Some packets wait in `batch` for the next ones.
    #[inline]
    pub fn receive(
        &mut self,
        darknet: &Darknet,
        batch: &mut Batch,
        epoch: &mut Epoch,
        (offset_us, timing): (u32, Timing),
        lane: usize,
    ) -> usize {
        let frames = self.queue.receive();
        let queue = &self.queue;
        let dark = (0..frames).filter_map(|place| {
            let octets = queue.frame(place);
            Some(DarkFrame {
                network: darknet.locate(LinkType::Ethernet, octets)?,
                octets,
                wire_bytes: octets.len(),
                offset_us,
                timing,
                queue: lane,
            })
        });
        self.counted += batch.count(epoch, dark);
        self.queue.release();
        frames
    }

    /// Packets counted since it was opened.
    pub const fn counted(&self) -> u64 {
        self.counted
    }

    /// Its socket.
    pub const fn queue(&mut self) -> &mut XskQueue {
        &mut self.queue
    }

    fn snapshot(&self, verdicts: &VerdictReader) -> Result<Snapshot> {
        // Losses are read on both sides of the verdicts: when they agree, the three numbers
        // belong to the same moment as far as losses go. A storm may never let them agree.
        let mut statistics = self.queue.statistics()?;
        for _ in 0..8 {
            let snapshot = Snapshot {
                verdicts: verdicts.read(self.queue.queue())?,
                statistics,
                counted: self.counted,
            };
            statistics = self.queue.statistics()?;
            if statistics == snapshot.statistics {
                return Ok(snapshot);
            }
        }
        Ok(Snapshot {
            verdicts: verdicts.read(self.queue.queue())?,
            statistics,
            counted: self.counted,
        })
    }
}

/// How a worker's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// Its interface went away.
    InterfaceGone,
}

/// A worker with its queues.
pub struct Worker {
    /// Which of the workers it is.
    pub id: usize,
    /// Its RX queues.
    pub lanes: Vec<Lane>,
    /// Says where a dark frame's header is.
    pub darknet: Arc<Darknet>,
    /// Length of an interval, in seconds.
    pub interval_seconds: u32,
    /// XDP's counters.
    pub verdicts: VerdictReader,
    /// Its epochs.
    pub pool: Pool,
    /// Where filled epochs go.
    pub flusher: Sender<Message>,
    /// Set when the program is detached and the rings should be drained.
    pub stop: Arc<AtomicBool>,
    /// What it shows.
    pub progress: Arc<Progress>,
    /// Packets on their way into the tables.
    pub batch: Batch,
}

/// The interval that a worker is filling.
struct Open {
    epoch: Box<Epoch>,
    start: IntervalStart,
    /// False from the interval's end until a free epoch is there.
    on_time: bool,
    /// When watching began, in microseconds since 1970.
    since_us: i64,
    partial: bool,
}

impl Worker {
    /// Receives until it is told to stop or the interface goes away; then drains and closes.
    ///
    /// # Errors
    /// The kernel refuses to be read from, or no epoch can be had.
    pub fn run(mut self) -> Result<Ended> {
        let since_us = now_us();
        let start = start_of(since_us, self.interval_seconds);
        let Some(epoch) = self.pool.take(start) else {
            return Ok(Ended::Stopped);
        };
        let mut open = Open {
            epoch,
            start,
            on_time: true,
            since_us,
            partial: true,
        };
        let mut ended = Ended::Stopped;
        let mut patience = Patience::default();
        let mut look_at = since_us + LOOK_US;
        while !self.stop.load(Ordering::Relaxed) {
            let now = now_us();
            if now >= self.end_of(open.start) || open.epoch.is_crowded() {
                self.turn(&mut open, now)?;
            }
            if now >= look_at {
                look_at = now + LOOK_US;
                self.show_lost()?;
            }
            let taken = self.receive(&mut open, now);
            if taken > 0 {
                patience.rewarded(now, taken);
                continue;
            }
            if !patience.is_over(now) {
                std::hint::spin_loop();
            } else if self.sleep()? == Ready::Gone {
                ended = Ended::InterfaceGone;
                break;
            }
        }
        self.drain(&mut open)?;
        self.batch.finish(&mut open.epoch);
        open.partial = true;
        self.close(open, true)?;
        Ok(ended)
    }

    /// One round over the queues. Returns the frames taken.
    fn receive(&mut self, open: &mut Open, now: i64) -> usize {
        let offset = now.saturating_sub(open.start * 1_000_000).max(0);
        let offset_us = u32::try_from(offset).unwrap_or(u32::MAX);
        let timing = if open.on_time {
            Timing::OnTime
        } else {
            Timing::Late
        };
        let mut taken = 0;
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            let (batch, epoch) = (&mut self.batch, &mut open.epoch);
            taken += lane.receive(&self.darknet, batch, epoch, (offset_us, timing), number);
        }
        if taken == 0 {
            self.batch.finish(&mut open.epoch);
        } else {
            let counted = self.lanes.iter().map(|lane| lane.counted).sum();
            self.progress.counted.store(counted, Ordering::Relaxed);
        }
        taken
    }

    /// An interval has ended, or a row of its tables is nearly full.
    fn turn(&mut self, open: &mut Open, now: i64) -> Result<()> {
        let began = Instant::now();
        self.batch.finish(&mut open.epoch);
        let ended = now >= self.end_of(open.start);
        let start = start_of(now, self.interval_seconds);
        let fresh = if ended {
            self.pool.try_take(start)
        } else {
            Some(self.pool.extra(open.start))
        };
        let Some(fresh) = fresh else {
            // The flusher still has the other tables: what comes meanwhile counts here, as late.
            if open.on_time {
                log::warn!(
                    "worker {}: the store takes longer than an interval; until it is done packets count in the interval before, as late: look at its disk, or raise --interval",
                    self.id
                );
                open.on_time = false;
            }
            return Ok(());
        };
        if ended {
            let next = Open {
                epoch: fresh,
                start,
                on_time: true,
                since_us: start * 1_000_000,
                partial: false,
            };
            let done = std::mem::replace(open, next);
            // A frame may have come since the rings were last looked at: it is in flight.
            self.close(done, false)?;
            let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.progress.swap_ns.store(took, Ordering::Relaxed);
            self.progress.swaps.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let epoch = std::mem::replace(&mut open.epoch, fresh);
        self.send(Message::Epoch {
            interval: open.start,
            worker: self.id,
            epoch,
        });
        Ok(())
    }

    /// Sends an interval's tables and accounts to the flusher.
    fn close(&mut self, done: Open, settled: bool) -> Result<()> {
        let interval = done.start;
        let until_us = now_us().min(self.end_of(interval));
        let from_us = done.since_us.max(interval * 1_000_000);
        // A clock may be set back.
        let until_us = until_us.max(from_us);
        for number in 0..self.lanes.len() {
            let lane = &mut self.lanes[number];
            let now = lane.snapshot(&self.verdicts)?;
            let (queue, capacity) = (lane.queue.queue(), lane.queue.capacity());
            let mut row = lane
                .account
                .close(queue, lane.mode, &now, capacity, settled);
            row.partial = done.partial;
            row.observed_ms = (until_us - from_us) as u64 / 1000;
            row.observed_us = Some((from_us, until_us));
            let row = Box::new(row);
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

    /// After the program was detached: takes what the rings still hold.
    fn drain(&mut self, open: &mut Open) -> Result<()> {
        let until = Instant::now() + DRAIN;
        while Instant::now() < until {
            if self.receive(open, now_us()) > 0 {
                continue;
            }
            let mut waiting = 0;
            for lane in &self.lanes {
                waiting += Account::open(&lane.snapshot(&self.verdicts)?).max(0);
            }
            if waiting == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn show_lost(&self) -> Result<()> {
        let mut lost = 0;
        for lane in &self.lanes {
            let statistics = lane.queue.statistics()?;
            lost += statistics.rx_dropped + statistics.rx_ring_full;
        }
        self.progress.lost.store(lost, Ordering::Relaxed);
        Ok(())
    }

    fn sleep(&mut self) -> Result<Ready> {
        let share = SLEEP_MS / self.lanes.len().max(1) as u16;
        for lane in &mut self.lanes {
            match lane.queue.wait(share.max(1))? {
                Ready::TimedOut => {}
                other => return Ok(other),
            }
        }
        Ok(Ready::TimedOut)
    }

    fn end_of(&self, start: IntervalStart) -> i64 {
        (start + i64::from(self.interval_seconds)) * 1_000_000
    }

    fn send(&self, message: Message) {
        // A flusher that has ended has said why; the main thread stops the workers.
        let _ = self.flusher.send(message);
    }
}

/// The wall clock, in microseconds since 1970; read once per batch.
pub fn now_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| {
            i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
        })
}
