//! A batch of decoded packets: their rows are asked for all at once and counted one by one.

use noctule_packet::Packet;

use crate::epoch::{Epoch, Timing};

/// Packets that a batch holds: enough misses to keep the memory busy, few enough that what was
/// fetched is still there when it is counted.
pub const BATCH: usize = 32;

/// A packet that waits to be counted.
struct Waiting {
    packet: Packet,
    offset_us: u32,
    timing: Timing,
    lane: usize,
    /// Of the packet's flow key.
    hash: u64,
}

/// Packets of one epoch that wait to be counted together. Its memory is allocated once.
pub struct Batch {
    waiting: Vec<Waiting>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            waiting: Vec::with_capacity(BATCH),
        }
    }
}

impl Batch {
    /// Takes a packet as [`Epoch::count`] does, and counts all when there are enough.
    #[inline]
    pub fn count(
        &mut self,
        epoch: &mut Epoch,
        packet: Packet,
        offset_us: u32,
        timing: Timing,
        lane: usize,
    ) {
        let hash = epoch.fetch(&packet);
        self.waiting.push(Waiting {
            packet,
            offset_us,
            timing,
            lane,
            hash,
        });
        if self.waiting.len() == BATCH {
            self.finish(epoch);
        }
    }

    /// Counts what waits. Nothing may wait when the epoch changes hands.
    #[inline]
    pub fn finish(&mut self, epoch: &mut Epoch) {
        for waiting in &self.waiting {
            epoch.count_at(
                waiting.hash,
                &waiting.packet,
                waiting.offset_us,
                waiting.timing,
                waiting.lane,
            );
        }
        self.waiting.clear();
    }
}
