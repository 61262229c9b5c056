//! Replay: capture files take the place of the rings.
//!
//! The reader decides what is dark, assigns intervals and spreads packets over the workers by
//! source, so that a source's rows stand in one worker's tables.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use noctule_capture::file::{Merged, Record};
use noctule_counters::batch;
use noctule_counters::epoch::{Epoch, Timing};
use noctule_packet::darknet::{Darknet, Destination};
use noctule_packet::link::Network;
use noctule_store::tables::Mode;

use super::interval::{Advance, IntervalClock};
use super::message::{IntervalStart, Message, QueueLedger};
use super::pool::{EpochPlan, Pool, Returns};

/// Octets of frames after which a batch is sent.
const BATCH_BYTES: usize = 256 << 10;
/// Batches that may wait for a worker.
const BATCHES: usize = 4;
/// Tables of a worker: two open intervals and one that is being written.
const EPOCHS: usize = 3;

/// A packet of a batch.
#[derive(Clone, Copy)]
struct Item {
    start: usize,
    end: usize,
    wire_bytes: usize,
    network: Network,
    interval: IntervalStart,
    offset_us: u32,
    timing: Timing,
}

/// Frames on their way to a worker.
#[derive(Default)]
struct Batch {
    octets: Vec<u8>,
    items: Vec<Item>,
}

enum Order {
    Count(Batch),
    Close(IntervalStart),
}

/// The reader's end of a worker.
struct Shard {
    batch: Batch,
    orders: Sender<Order>,
    emptied: Receiver<Batch>,
}

impl Shard {
    fn push(&mut self, item: Item, octets: &[u8]) -> Result<()> {
        let start = self.batch.octets.len();
        self.batch.octets.extend_from_slice(octets);
        let end = self.batch.octets.len();
        self.batch.items.push(Item { start, end, ..item });
        if end >= BATCH_BYTES {
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        if !self.batch.items.is_empty() {
            let empty = self.emptied.try_recv().unwrap_or_default();
            let full = std::mem::replace(&mut self.batch, empty);
            self.order(Order::Count(full))?;
        }
        Ok(())
    }

    fn close(&mut self, through: IntervalStart) -> Result<()> {
        self.send()?;
        self.order(Order::Close(through))
    }

    fn order(&self, order: Order) -> Result<()> {
        self.orders
            .send(order)
            .map_err(|_| anyhow!("a worker thread has ended before its time: this is a defect"))
    }
}

/// What a replay looked at, for the progress display.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Records read.
    pub records: u64,
    /// Records whose link type is not read here; they are passed.
    pub foreign_link: u64,
}

/// The reading side of a replay.
pub struct Reader<'d> {
    darknet: &'d Darknet,
    clock: IntervalClock,
    shards: Vec<Shard>,
    open: BTreeMap<IntervalStart, QueueLedger>,
    flusher: Sender<Message>,
    seen: Seen,
    first: Option<IntervalStart>,
    /// Times of the first record and of the newest one, in microseconds.
    span_us: Option<(i64, i64)>,
}

/// Starts `workers` worker threads; each is handed to `spawn`. Returns the reader and where the
/// flusher sends emptied epochs.
pub fn start<'d>(
    darknet: &'d Darknet,
    interval_seconds: u32,
    workers: usize,
    plan: &EpochPlan,
    flusher: &Sender<Message>,
    mut spawn: impl FnMut(Box<dyn FnOnce() + Send>),
) -> (Reader<'d>, Vec<Returns>) {
    let mut shards = Vec::new();
    let mut all_returns = Vec::new();
    for id in 0..workers {
        let (pool, returns) = Pool::new(plan.clone(), EPOCHS);
        let (orders, inbox) = bounded(BATCHES);
        let (recycle, emptied) = unbounded();
        let worker = ReplayWorker {
            id,
            pool,
            open: Vec::new(),
            flusher: flusher.clone(),
        };
        spawn(Box::new(move || worker.run(&inbox, &recycle)));
        all_returns.push(returns);
        shards.push(Shard {
            batch: Batch::default(),
            orders,
            emptied,
        });
    }
    let reader = Reader {
        darknet,
        clock: IntervalClock::new(interval_seconds),
        shards,
        open: BTreeMap::new(),
        flusher: flusher.clone(),
        seen: Seen::default(),
        first: None,
        span_us: None,
    };
    (reader, all_returns)
}

impl Reader<'_> {
    /// Reads to the end of all captures; `show` is called now and then. It ends early, as at the
    /// end of the captures, when `show` says so.
    ///
    /// # Errors
    /// A worker thread died.
    pub fn run(
        mut self,
        captures: &mut Merged,
        mut show: impl FnMut(&Merged, Seen) -> bool,
    ) -> Result<Seen> {
        while let Some(merged) = captures.next() {
            self.read(&merged.record, merged.next_time_us)?;
            if self.seen.records.is_multiple_of(8192) && !show(captures, self.seen) {
                break;
            }
        }
        let seconds = i64::MAX / 1_000_000;
        if let Some(mut last) = self.open.last_entry() {
            // Where a capture ends, nobody knows whether the interval went on.
            last.get_mut().partial = true;
        }
        self.close(seconds)?;
        Ok(self.seen)
    }

    fn read(&mut self, record: &Record<'_>, next_time_us: Option<i64>) -> Result<()> {
        let assigned = self.clock.assign(record.time_us, next_time_us);
        if let Some(advance) = assigned.advanced {
            self.advance(advance)?;
        }
        if assigned.timing == Timing::OnTime {
            let (first, newest) = self.span_us.unwrap_or((record.time_us, record.time_us));
            self.span_us = Some((first, newest.max(record.time_us)));
        }
        let first = *self.first.get_or_insert(assigned.interval);
        let row = (self.open.entry(assigned.interval)).or_insert_with(|| QueueLedger {
            partial: assigned.interval <= first,
            ..QueueLedger::new(0, Mode::Replay)
        });
        self.seen.records += 1;
        row.records += 1;
        let Some(link) = record.link else {
            self.seen.foreign_link += 1;
            row.not_parsed += 1;
            row.passed_bytes += u64::from(record.wire_bytes);
            return Ok(());
        };
        match self.darknet.destination(link, record.bytes) {
            Destination::Dark(network) => {
                row.matched += 1;
                row.matched_bytes += u64::from(record.wire_bytes);
                let item = Item {
                    start: 0,
                    end: 0,
                    wire_bytes: record.wire_bytes as usize,
                    network,
                    interval: assigned.interval,
                    offset_us: assigned.offset_us,
                    timing: assigned.timing,
                };
                let shard = shard_of(network, record.bytes, self.shards.len());
                self.shards[shard].push(item, record.bytes)
            }
            Destination::Passed => {
                row.passed += 1;
                row.passed_bytes += u64::from(record.wire_bytes);
                Ok(())
            }
            Destination::NotParsed => {
                row.not_parsed += 1;
                row.passed_bytes += u64::from(record.wire_bytes);
                Ok(())
            }
        }
    }

    fn advance(&mut self, advance: Advance) -> Result<()> {
        let Advance {
            closed_through,
            empty: (from, to),
        } = advance;
        let step = self.clock.seconds();
        let mut interval = from;
        while interval < to {
            (self.open.entry(interval)).or_insert_with(|| QueueLedger::new(0, Mode::Replay));
            interval += step;
        }
        self.close(closed_through)
    }

    fn close(&mut self, through: IntervalStart) -> Result<()> {
        for shard in &mut self.shards {
            shard.close(through)?;
        }
        let later = self.open.split_off(&(through + 1));
        for (interval, row) in std::mem::replace(&mut self.open, later) {
            let row = Box::new(QueueLedger {
                observed_ms: self.observed_ms(interval),
                ..row
            });
            self.send(Message::Ledger { interval, row })?;
        }
        self.send(Message::Closed {
            producer: self.shards.len(),
            through,
        })
    }

    /// How much of an interval lies between the first record and the newest.
    fn observed_ms(&self, interval: IntervalStart) -> u64 {
        let (first, newest) = self.span_us.unwrap_or_default();
        let start = interval.saturating_mul(1_000_000);
        let end = start.saturating_add(self.clock.seconds() * 1_000_000);
        let observed = newest.min(end).saturating_sub(first.max(start));
        u64::try_from(observed / 1000).unwrap_or(0)
    }

    fn send(&self, message: Message) -> Result<()> {
        self.flusher
            .send(message)
            .map_err(|_| anyhow!("the flusher thread has ended before its time"))
    }
}

/// Which worker counts a packet: the same one for all packets of a source.
fn shard_of(network: Network, frame: &[u8], shards: usize) -> usize {
    let source = match network {
        Network::Ipv4 { offset } => frame.get(offset + 12..offset + 16),
        Network::Ipv6 { offset } => frame.get(offset + 8..offset + 24),
    };
    let folded = (source.unwrap_or_default().chunks_exact(4)).fold(0u32, |sum, word| {
        sum ^ u32::from_be_bytes([word[0], word[1], word[2], word[3]])
    });
    let mixed = u64::from(folded.wrapping_mul(0x9e37_79b1));
    ((mixed * shards as u64) >> 32) as usize
}

/// An interval that a worker is filling.
struct Open {
    interval: IntervalStart,
    epoch: Box<Epoch>,
    /// Packets on their way into the tables.
    batch: batch::Batch,
}

impl Open {
    /// The tables with everything in them.
    fn filled(mut self) -> (IntervalStart, Box<Epoch>) {
        self.batch.finish(&mut self.epoch);
        (self.interval, self.epoch)
    }
}

struct ReplayWorker {
    id: usize,
    pool: Pool,
    open: Vec<Open>,
    flusher: Sender<Message>,
}

impl ReplayWorker {
    fn run(mut self, inbox: &Receiver<Order>, recycle: &Sender<Batch>) {
        for order in inbox {
            match order {
                Order::Count(mut batch) => {
                    for items in batch.items.chunk_by(|a, b| a.interval == b.interval) {
                        if self.count(items, &batch.octets).is_none() {
                            return;
                        }
                    }
                    batch.octets.clear();
                    batch.items.clear();
                    // The reader may be done and gone.
                    let _ = recycle.send(batch);
                }
                Order::Close(through) => self.close(through),
            }
        }
    }

    /// Counts packets of one interval. None: the flusher has ended, so there is nothing to count
    /// for.
    fn count(&mut self, items: &[Item], octets: &[u8]) -> Option<()> {
        let interval = items.first()?.interval;
        let known = (self.open.iter()).position(|open| open.interval == interval);
        let place = match known {
            Some(place) => place,
            None => {
                self.open.push(Open {
                    interval,
                    epoch: self.pool.take(interval)?,
                    batch: batch::Batch::default(),
                });
                self.open.len() - 1
            }
        };
        let Open { epoch, batch, .. } = &mut self.open[place];
        let frames = items.iter().map(|item| batch::Frame {
            network: item.network,
            octets: &octets[item.start..item.end],
            wire_bytes: item.wire_bytes,
            offset_us: item.offset_us,
            timing: item.timing,
            lane: 0,
        });
        batch.count(epoch, frames);
        if epoch.is_crowded() {
            batch.finish(epoch);
            let epoch = std::mem::replace(epoch, self.pool.extra(interval));
            self.send(interval, epoch);
        }
        Some(())
    }

    fn close(&mut self, through: IntervalStart) {
        while let Some(place) = (self.open.iter()).position(|open| open.interval <= through) {
            let (interval, epoch) = self.open.swap_remove(place).filled();
            self.send(interval, epoch);
        }
        let producer = self.id;
        let _ = (self.flusher).send(Message::Closed { producer, through });
    }

    fn send(&self, interval: IntervalStart, epoch: Box<Epoch>) {
        self.pool.learn(&epoch);
        let worker = self.id;
        // A flusher that has ended has said why; the reader notices.
        let _ = self.flusher.send(Message::Epoch {
            interval,
            worker,
            epoch,
        });
    }
}
