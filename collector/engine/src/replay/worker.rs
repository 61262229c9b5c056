//! A replay worker: counts the packets that the reader sends it.

use crossbeam_channel::{Receiver, Sender};
use noctule_counters::batch;
use noctule_counters::epoch::Epoch;

use crate::message::Message;
use crate::pool::Pool;
use crate::shard::{BatchedPacket, Command, PacketBatch};
use crate::time::{IntervalId, IntervalStart};

/// An interval that a worker is filling.
struct OpenInterval {
    interval: IntervalStart,
    epoch: Box<Epoch>,
    /// Packets that are not in the tables yet.
    batch: batch::Batch,
}

impl OpenInterval {
    /// The interval and its tables, with all packets counted.
    fn filled(mut self) -> (IntervalStart, Box<Epoch>) {
        self.batch.finish(&mut self.epoch);
        (self.interval, self.epoch)
    }
}

/// A worker thread of a replay.
pub struct ReplayWorker {
    id: usize,
    pool: Pool,
    open: Vec<OpenInterval>,
    /// How often the clock was set back.
    era: u32,
    flusher: Sender<Message>,
}

impl ReplayWorker {
    /// A worker without open intervals.
    pub const fn new(id: usize, pool: Pool, flusher: Sender<Message>) -> Self {
        Self {
            id,
            pool,
            open: Vec::new(),
            era: 0,
            flusher,
        }
    }

    /// Counts until the reader is gone, or until the flusher is.
    pub fn run(mut self, inbox: &Receiver<Command>, recycle: &Sender<PacketBatch>) {
        for command in inbox {
            match command {
                Command::Count(mut batch) => {
                    for (interval, packets) in batch.runs() {
                        if self.count(interval, packets).is_none() {
                            return;
                        }
                    }
                    batch.clear();
                    // The reader may have ended.
                    let _ = recycle.send(batch);
                }
                Command::Close(through) => self.close(through),
                Command::SetBack => self.era += 1,
            }
        }
    }

    /// Counts packets of one interval. None if the flusher has ended.
    fn count<'b>(
        &mut self,
        interval: IntervalStart,
        packets: impl Iterator<Item = (&'b BatchedPacket, &'b [u8])>,
    ) -> Option<()> {
        let known = (self.open.iter()).position(|open| open.interval == interval);
        let place = match known {
            Some(place) => place,
            None => self.begin(interval)?,
        };
        let OpenInterval { epoch, batch, .. } = &mut self.open[place];
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

    /// Opens an interval; returns its index in `open`.
    #[cold]
    fn begin(&mut self, interval: IntervalStart) -> Option<usize> {
        self.open.push(OpenInterval {
            interval,
            epoch: self.pool.take(interval)?,
            batch: batch::Batch::default(),
        });
        Some(self.open.len() - 1)
    }

    /// Sends the tables of this interval and of all before it.
    fn close(&mut self, through: IntervalStart) {
        while let Some(place) = (self.open.iter()).position(|open| open.interval <= through) {
            let (interval, epoch) = self.open.swap_remove(place).filled();
            self.send(interval, epoch);
        }
        let producer = self.id;
        let _ = (self.flusher).send(Message::Closed {
            producer,
            through: self.id(through),
        });
    }

    /// An interval of the era.
    const fn id(&self, start: IntervalStart) -> IntervalId {
        IntervalId {
            era: self.era,
            start,
        }
    }

    fn send(&self, interval: IntervalStart, epoch: Box<Epoch>) {
        self.pool.learn(&epoch);
        let worker = self.id;
        // If the flusher has ended, it has reported why; the reader notices.
        let _ = self.flusher.send(Message::Epoch {
            interval: self.id(interval),
            worker,
            epoch,
        });
    }
}
