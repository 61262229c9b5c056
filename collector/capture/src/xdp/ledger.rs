//! The kernel's ledger: dark packets by protocol and destination port, read from user space.

use std::{
    mem::offset_of,
    sync::{Arc, atomic::Ordering},
};

use noctule_abi::{
    Tally,
    ledger::{Counters, SLOTS},
};

use super::mapped::Mapped;

/// Words of one slot: packets and bytes.
const WORDS: usize = size_of::<Tally>() / size_of::<u64>();
/// Words of all counters of a queue, and the words before its first slot.
const QUEUE_WORDS: usize = size_of::<Counters>() / size_of::<u64>();
const WORDS_BEFORE: usize = offset_of!(Counters, slots) / size_of::<u64>();

/// Reads the ledger; cheap to clone, and readable after the program is detached.
///
/// Slots are those of [`noctule_abi::ledger`]. The sum of a queue's packets equals
/// [`Verdicts::matched`](noctule_abi::Verdicts::matched) of that queue.
#[derive(Clone, Debug)]
pub struct LedgerReader {
    counters: Arc<Mapped>,
}

impl LedgerReader {
    pub(super) fn new(counters: Arc<Mapped>) -> Self {
        Self { counters }
    }

    /// The slots of one queue that are not empty, with their numbers. Queues are numbered as in
    /// [`VerdictReader::read`](super::VerdictReader::read); a queue past them has no slots.
    ///
    /// It reads 2 MiB.
    pub fn queue(&self, queue: u32) -> impl Iterator<Item = (u32, Tally)> {
        let mut queues = self.counters.words().chunks_exact(QUEUE_WORDS);
        let words = queues
            .nth(queue as usize)
            .map(|words| &words[WORDS_BEFORE..]);
        (0..SLOTS)
            .zip(words.unwrap_or(&[]).chunks_exact(WORDS))
            .map(|(slot, words)| {
                let [packets, bytes] = [0, 1].map(|at| words[at].load(Ordering::Relaxed));
                (slot, Tally { packets, bytes })
            })
            .filter(|(_, tally)| tally.packets > 0)
    }

    /// Dark packets by slot, summed over the queues that existed when the program was loaded:
    /// [`SLOTS`] numbers.
    pub fn packets(&self) -> Box<[u64]> {
        let mut sum = vec![0; SLOTS as usize];
        let elements = self.counters.words().len() / QUEUE_WORDS;
        for queue in 0..u32::try_from(elements.saturating_sub(1)).unwrap_or(u32::MAX) {
            for (slot, tally) in self.queue(queue) {
                sum[slot as usize] += tally.packets;
            }
        }
        sum.into_boxed_slice()
    }
}
