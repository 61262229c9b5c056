//! Replay: capture files take the place of the rings.
//!
//! The reader decides what is dark, assigns intervals and spreads packets over the workers by
//! source, so that a source's rows stand in one worker's tables. No octet of a frame is copied on
//! the way: workers decode where the reader has read.

use std::collections::BTreeMap;
use std::collections::btree_map::OccupiedEntry;

use anyhow::{Result, anyhow};
use crossbeam_channel::{Receiver, Sender};
use noctule_capture::file::{Merged, MergedRecord};
use noctule_counters::batch;
use noctule_counters::epoch::{Epoch, Timing};
use noctule_packet::darknet::{Darknet, Destination};
use noctule_packet::link::Network;
use noctule_store::tables::Mode;

use crate::flowtuple::Tap;
use crate::interval::{Advance, IntervalClock, Watched};
use crate::message::{IntervalStart, Message, QueueLedger};
use crate::pool::{EpochPlan, Pool, Returns};
use crate::shard::{Batch, Item, Order, Shard};

/// Tables of a worker: two open intervals and one that is being written.
const EPOCHS: usize = 3;

/// What a replay looked at, for the progress display.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Records read.
    pub records: u64,
    /// Records whose link type is not read here; they are passed.
    pub foreign_link: u64,
}

/// Accounts of the intervals that are open, one of them in hand: records mostly follow one another
/// in one interval.
#[derive(Default)]
struct Accounts {
    rows: BTreeMap<IntervalStart, QueueLedger>,
    in_hand: Option<(IntervalStart, QueueLedger)>,
    first: Option<IntervalStart>,
}

impl Accounts {
    /// The account of an interval.
    #[inline]
    fn row(&mut self, interval: IntervalStart) -> &mut QueueLedger {
        if !matches!(self.in_hand, Some((in_hand, _)) if in_hand == interval) {
            self.take(interval);
        }
        // It is in hand, so nothing is made here.
        let fresh = || (interval, QueueLedger::new(0, Mode::Replay));
        &mut self.in_hand.get_or_insert_with(fresh).1
    }

    #[cold]
    fn take(&mut self, interval: IntervalStart) {
        self.rows.extend(self.in_hand.take());
        let first = *self.first.get_or_insert(interval);
        let row = (self.rows.remove(&interval)).unwrap_or_else(|| QueueLedger {
            // Where a capture begins, nobody knows what came before.
            partial: interval <= first,
            ..QueueLedger::new(0, Mode::Replay)
        });
        self.in_hand = Some((interval, row));
    }

    /// The newest open interval's account.
    fn newest(&mut self) -> Option<&mut QueueLedger> {
        self.rows.extend(self.in_hand.take());
        self.rows.last_entry().map(OccupiedEntry::into_mut)
    }

    /// Takes away this interval's account and all before it.
    fn close(&mut self, through: IntervalStart) -> BTreeMap<IntervalStart, QueueLedger> {
        self.rows.extend(self.in_hand.take());
        let later = self.rows.split_off(&(through + 1));
        std::mem::replace(&mut self.rows, later)
    }
}

/// The reading side of a replay.
pub struct Reader<'d> {
    darknet: &'d Darknet,
    clock: IntervalClock,
    shards: Vec<Shard>,
    open: Accounts,
    flusher: Sender<Message>,
    /// Where dark packets go a second time.
    tap: Option<Box<Tap>>,
    seen: Seen,
    watched: Watched,
}

/// Starts `workers` worker threads; each is handed to `spawn`, with its number. Returns the reader
/// and where the flusher sends emptied epochs.
///
/// # Errors
/// `spawn` fails.
pub fn start<'d>(
    darknet: &'d Darknet,
    interval_seconds: u32,
    workers: usize,
    plan: &EpochPlan,
    flusher: &Sender<Message>,
    mut spawn: impl FnMut(usize, Box<dyn FnOnce() + Send>) -> Result<()>,
) -> Result<(Reader<'d>, Vec<Returns>)> {
    let mut shards = Vec::new();
    let mut all_returns = Vec::new();
    for id in 0..workers {
        let (pool, returns) = Pool::new(plan.clone(), EPOCHS);
        let (shard, inbox, recycle) = Shard::new();
        let worker = ReplayWorker {
            id,
            pool,
            open: Vec::new(),
            flusher: flusher.clone(),
        };
        spawn(id, Box::new(move || worker.run(&inbox, &recycle)))?;
        all_returns.push(returns);
        shards.push(shard);
    }
    let reader = Reader {
        darknet,
        clock: IntervalClock::new(interval_seconds),
        shards,
        open: Accounts::default(),
        flusher: flusher.clone(),
        tap: None,
        seen: Seen::default(),
        watched: Watched::default(),
    };
    Ok((reader, all_returns))
}

impl Reader<'_> {
    /// Gives every dark packet to a tap, too.
    pub fn tapped(self, tap: Tap) -> Self {
        let tap = Some(Box::new(tap));
        Self { tap, ..self }
    }

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
        let mut stopped = false;
        while let Some(merged) = captures.next() {
            self.read(&merged)?;
            if self.seen.records.is_multiple_of(8192) && !show(captures, self.seen) {
                stopped = true;
                break;
            }
        }
        if let Some(tap) = &mut self.tap {
            tap.finish(stopped)?;
        }
        let seconds = i64::MAX / 1_000_000;
        if let Some(last) = self.open.newest() {
            // Where a capture ends, nobody knows whether the interval went on.
            last.partial = true;
        }
        self.close(seconds)?;
        Ok(self.seen)
    }

    #[inline]
    fn read(&mut self, merged: &MergedRecord<'_>) -> Result<()> {
        let record = &merged.record;
        let assigned = self.clock.assign(record.time_us, merged.next_time_us);
        if assigned.timing == Timing::OnTime {
            let after_gap = (assigned.advanced).is_some_and(|advance| advance.after_gap);
            self.watched.see(record.time_us, after_gap);
        }
        if let Some(advance) = assigned.advanced {
            self.advance(advance)?;
        }
        self.seen.records += 1;
        let row = self.open.row(assigned.interval);
        row.records += 1;
        let destination = match record.link {
            Some(link) => self.darknet.destination(link, record.bytes),
            None => {
                self.seen.foreign_link += 1;
                Destination::NotParsed
            }
        };
        if let Some(tap) = &mut self.tap {
            tap.record(merged, destination)?;
        }
        let wire_bytes = u64::from(record.wire_bytes);
        match destination {
            Destination::Dark(network) => {
                row.matched += 1;
                row.matched_bytes += wire_bytes;
                let shards = self.shards.len();
                let shard = if shards == 1 {
                    0
                } else {
                    shard_of(network, record.bytes, shards)
                };
                self.shards[shard].push(merged, &assigned, network)
            }
            Destination::Passed => {
                row.passed += 1;
                row.passed_bytes += wire_bytes;
                Ok(())
            }
            Destination::NotParsed => {
                row.not_parsed += 1;
                row.passed_bytes += wire_bytes;
                Ok(())
            }
        }
    }

    fn advance(&mut self, advance: Advance) -> Result<()> {
        let Advance {
            closed_through,
            empty: (from, to),
            after_gap: _,
        } = advance;
        let step = self.clock.seconds();
        let mut interval = from;
        while interval < to {
            self.open.row(interval);
            interval += step;
        }
        self.close(closed_through)
    }

    fn close(&mut self, through: IntervalStart) -> Result<()> {
        for shard in &mut self.shards {
            shard.close(through)?;
        }
        for (interval, row) in self.open.close(through) {
            let start_us = interval.saturating_mul(1_000_000);
            let end_us = start_us.saturating_add(self.clock.seconds() * 1_000_000);
            let (from, to) = self.watched.part(start_us, end_us);
            let row = Box::new(QueueLedger {
                partial: row.partial || (from, to) != (start_us, end_us),
                observed_ms: (to - from) as u64 / 1000,
                observed_us: Some((from, to)),
                ..row
            });
            self.send(Message::Ledger { interval, row })?;
        }
        self.send(Message::Closed {
            producer: self.shards.len(),
            through,
        })
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
                    for (interval, packets) in batch.runs() {
                        if self.count(interval, packets).is_none() {
                            return;
                        }
                    }
                    batch.clear();
                    // The reader may be done and gone.
                    let _ = recycle.send(batch);
                }
                Order::Close(through) => self.close(through),
            }
        }
    }

    /// Counts packets of one interval. None: the flusher has ended, so there is nothing to count
    /// for.
    fn count<'b>(
        &mut self,
        interval: IntervalStart,
        packets: impl Iterator<Item = (&'b Item, &'b [u8])>,
    ) -> Option<()> {
        let known = (self.open.iter()).position(|open| open.interval == interval);
        let place = match known {
            Some(place) => place,
            None => self.begin(interval)?,
        };
        let Open { epoch, batch, .. } = &mut self.open[place];
        let frames = packets.map(|(item, octets)| batch::DarkFrame {
            network: item.network,
            octets,
            wire_bytes: item.wire_bytes as usize,
            offset_us: item.offset_us,
            timing: item.timing,
            queue: 0,
        });
        batch.count(epoch, frames);
        if epoch.is_crowded() {
            batch.finish(epoch);
            let epoch = std::mem::replace(epoch, self.pool.extra(interval));
            self.send(interval, epoch);
        }
        Some(())
    }

    /// Opens an interval; its place among the open ones.
    #[cold]
    fn begin(&mut self, interval: IntervalStart) -> Option<usize> {
        self.open.push(Open {
            interval,
            epoch: self.pool.take(interval)?,
            batch: batch::Batch::default(),
        });
        Some(self.open.len() - 1)
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
