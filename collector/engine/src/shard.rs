//! The reader's end of a replay worker: batches of packets that lie where they were read.

use anyhow::{Result, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use noctule_capture::file::{Block, MergedRecord};
use noctule_counters::epoch::Timing;
use noctule_packet::link::Network;

use crate::interval::Assigned;
use crate::message::IntervalStart;

/// Packets after which a batch is sent.
const BATCH_PACKETS: usize = 2048;
/// Octets of blocks after which a batch is sent: many captures are merged, or one comes in drips.
const BATCH_BYTES: usize = 8 << 20;
/// Batches that may wait for a worker.
const BATCHES: usize = 4;

/// A packet of a batch: where its octets are, and what the reader has found out.
#[derive(Clone, Copy)]
pub struct Item {
    /// Which of the batch's blocks it lies in.
    block: u16,
    /// Which of the batch's intervals it counts in.
    interval: u16,
    start: usize,
    length: u32,
    /// Octets of the frame on the wire.
    pub wire_bytes: u32,
    /// Where its IP header is.
    pub network: Network,
    /// Microseconds after the interval's start.
    pub offset_us: u32,
    /// How its time stands to the interval.
    pub timing: Timing,
}

/// Frames on their way to a worker: not the octets, but a share in the blocks that hold them.
#[derive(Default)]
pub struct Batch {
    blocks: Vec<Block>,
    intervals: Vec<IntervalStart>,
    items: Vec<Item>,
    /// Octets of the blocks.
    bytes: usize,
}

impl Batch {
    /// Empties it; its memory stays.
    pub fn clear(&mut self) {
        self.blocks.clear();
        self.intervals.clear();
        self.items.clear();
        self.bytes = 0;
    }

    /// Packets that follow one another in one interval, with their frames.
    pub fn runs(
        &self,
    ) -> impl Iterator<Item = (IntervalStart, impl Iterator<Item = (&Item, &[u8])>)> {
        let runs = self.items.chunk_by(|a, b| a.interval == b.interval);
        runs.map(|run| {
            let packets = run.iter().map(|item| {
                let octets = self.blocks[usize::from(item.block)].octets();
                (item, &octets[item.start..item.start + item.length as usize])
            });
            (self.intervals[usize::from(run[0].interval)], packets)
        })
    }

    /// The place of a block among the batch's: mostly the last one.
    #[inline]
    fn block(&mut self, block: &Block) -> u16 {
        let place = self.blocks.iter().rposition(|known| known.is(block));
        place.unwrap_or_else(|| {
            self.bytes += block.octets().len();
            self.blocks.push(block.clone());
            self.blocks.len() - 1
        }) as u16
    }

    #[inline]
    fn interval(&mut self, interval: IntervalStart) -> u16 {
        let place = self.intervals.iter().rposition(|&known| known == interval);
        place.unwrap_or_else(|| {
            self.intervals.push(interval);
            self.intervals.len() - 1
        }) as u16
    }
}

/// What the reader asks a worker to do.
pub enum Order {
    /// Count these packets.
    Count(Batch),
    /// Send this interval's tables, and those of all before it, to the flusher.
    Close(IntervalStart),
}

/// The reader's end of a worker.
pub struct Shard {
    batch: Batch,
    orders: Sender<Order>,
    emptied: Receiver<Batch>,
}

impl Shard {
    /// A worker's three ends: the reader's, where orders come in, and where emptied batches go.
    pub fn new() -> (Self, Receiver<Order>, Sender<Batch>) {
        let (orders, inbox) = bounded(BATCHES);
        let (recycle, emptied) = unbounded();
        let shard = Self {
            batch: Batch::default(),
            orders,
            emptied,
        };
        (shard, inbox, recycle)
    }

    #[inline]
    /// Adds a packet, and sends the batch if it is full then.
    ///
    /// # Errors
    /// The worker has ended, here as below.
    pub fn push(
        &mut self,
        merged: &MergedRecord<'_>,
        assigned: &Assigned,
        network: Network,
    ) -> Result<()> {
        let batch = &mut self.batch;
        let item = Item {
            block: batch.block(merged.block),
            interval: batch.interval(assigned.interval),
            timing: assigned.timing,
            start: merged.start,
            // A record has at most 16 MiB.
            length: merged.record.bytes.len() as u32,
            wire_bytes: merged.record.wire_bytes,
            network,
            offset_us: assigned.offset_us,
        };
        batch.items.push(item);
        if batch.items.len() >= BATCH_PACKETS || batch.bytes >= BATCH_BYTES {
            self.send()?;
        }
        Ok(())
    }

    /// Sends the batch, if there is something in it.
    pub fn send(&mut self) -> Result<()> {
        if !self.batch.items.is_empty() {
            let empty = self.emptied.try_recv().unwrap_or_default();
            let full = std::mem::replace(&mut self.batch, empty);
            self.order(Order::Count(full))?;
        }
        Ok(())
    }

    /// Closes an interval and all before it.
    pub fn close(&mut self, through: IntervalStart) -> Result<()> {
        self.send()?;
        self.order(Order::Close(through))
    }

    fn order(&self, order: Order) -> Result<()> {
        self.orders
            .send(order)
            .map_err(|_| anyhow!("a worker thread has ended before its time: this is a defect"))
    }
}
