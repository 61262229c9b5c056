//! The reader's end of a replay worker: batches of packets, whose octets stay in the reader's blocks.

use anyhow::{Result, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use noctule_capture::file::{Block, MergedRecord};
use noctule_counters::epoch::Timing;
use noctule_packet::link::Network;

use crate::interval::Assigned;
use crate::time::IntervalStart;

/// Packets after which a batch is sent.
const BATCH_PACKETS: usize = 2048;
/// Octets of blocks after which a batch is sent: many captures are merged, or blocks are short.
const BATCH_BYTES: usize = 8 << 20;
/// Batches that may be queued for a worker.
const BATCHES: usize = 4;

/// A packet of a batch: the place of its octets, and what the reader has decoded.
#[derive(Clone, Copy)]
pub struct BatchedPacket {
    /// Index of its block in the batch.
    block: u16,
    /// Index of its interval in the batch.
    interval: u16,
    start: usize,
    length: u32,
    /// Octets of the frame on the wire.
    pub wire_bytes: u32,
    /// Place of the IP header.
    pub network: Network,
    /// Microseconds after the interval's start.
    pub offset_us: u32,
    /// Whether its own time lies in the interval.
    pub timing: Timing,
}

/// Packets on their way to a worker, with shared ownership of the blocks that hold their octets.
#[derive(Default)]
pub struct PacketBatch {
    blocks: Vec<Block>,
    intervals: Vec<IntervalStart>,
    items: Vec<BatchedPacket>,
    /// Octets of the blocks.
    bytes: usize,
}

impl PacketBatch {
    /// Removes all packets; the memory is kept.
    pub fn clear(&mut self) {
        self.blocks.clear();
        self.intervals.clear();
        self.items.clear();
        self.bytes = 0;
    }

    /// Runs of packets of one interval, with their frames.
    pub fn runs(
        &self,
    ) -> impl Iterator<Item = (IntervalStart, impl Iterator<Item = (&BatchedPacket, &[u8])>)> {
        let runs = self.items.chunk_by(|a, b| a.interval == b.interval);
        runs.map(|run| {
            let packets = run.iter().map(|item| {
                let octets = self.blocks[usize::from(item.block)].octets();
                (item, &octets[item.start..item.start + item.length as usize])
            });
            (self.intervals[usize::from(run[0].interval)], packets)
        })
    }

    /// Index of a block in the batch; mostly the last one.
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

/// A command from the reader to a worker.
pub enum Command {
    /// Count these packets.
    Count(PacketBatch),
    /// Send this interval's tables, and those of all before it, to the flusher.
    Close(IntervalStart),
    /// The clock was set back, after every interval was closed.
    SetBack,
}

/// The reader's end of a worker.
pub struct Shard {
    batch: PacketBatch,
    commands: Sender<Command>,
    emptied: Receiver<PacketBatch>,
}

impl Shard {
    /// The reader's end, and the worker's: commands to receive, and a channel for emptied batches.
    pub fn new() -> (Self, Receiver<Command>, Sender<PacketBatch>) {
        let (commands, inbox) = bounded(BATCHES);
        let (recycle, emptied) = unbounded();
        let shard = Self {
            batch: PacketBatch::default(),
            commands,
            emptied,
        };
        (shard, inbox, recycle)
    }

    /// Adds a packet, and sends the batch if it is full then.
    ///
    /// # Errors
    /// The worker has ended.
    #[inline]
    pub fn push(
        &mut self,
        merged: &MergedRecord<'_>,
        assigned: &Assigned,
        network: Network,
    ) -> Result<()> {
        let batch = &mut self.batch;
        let item = BatchedPacket {
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

    /// Sends the batch, unless it is empty.
    ///
    /// # Errors
    /// The worker has ended.
    pub fn send(&mut self) -> Result<()> {
        if !self.batch.items.is_empty() {
            let empty = self.emptied.try_recv().unwrap_or_default();
            let full = std::mem::replace(&mut self.batch, empty);
            self.command(Command::Count(full))?;
        }
        Ok(())
    }

    /// Closes an interval and all before it.
    ///
    /// # Errors
    /// The worker has ended.
    pub fn close(&mut self, through: IntervalStart) -> Result<()> {
        self.send()?;
        self.command(Command::Close(through))
    }

    /// Says that the clock was set back.
    ///
    /// # Errors
    /// The worker has ended.
    pub fn set_back(&mut self) -> Result<()> {
        self.command(Command::SetBack)
    }

    fn command(&self, command: Command) -> Result<()> {
        self.commands
            .send(command)
            .map_err(|_| anyhow!("a worker thread has ended early: this is a defect"))
    }
}
