//! The kernel's ledger: dark packets by protocol and destination port, read from user space.

use std::sync::{Arc, atomic::Ordering};

use noctule_abi::{Tally, ledger::SLOTS};

use super::mapped::Mapped;

/// Words of one slot: packets and bytes.
const WORDS: usize = size_of::<Tally>() / size_of::<u64>();

/// Reads the ledger; cheap to clone, and readable after the program is detached.
///
/// Slots are those of [`noctule_abi::ledger`]. The sum of a queue's packets is what its
/// [`Verdicts`](noctule_abi::Verdicts) have as matched.
#[derive(Clone, Debug)]
pub struct LedgerReader {
    slots: Arc<Mapped>,
}

impl LedgerReader {
    pub(super) fn new(slots: Mapped) -> Self {
        Self {
            slots: Arc::new(slots),
        }
    }

    /// What one queue's slots hold, those that are not empty; queues as in
    /// [`VerdictReader::read`](super::VerdictReader::read), and none past them.
    ///
    /// A pass over 2 MiB.
    pub fn queue(&self, queue: u32) -> impl Iterator<Item = (u32, Tally)> {
        let first = queue as usize * SLOTS as usize * WORDS;
        let words = self.slots.words().get(first..).unwrap_or(&[]);
        (0..SLOTS)
            .zip(words.chunks_exact(WORDS))
            .map(|(slot, words)| {
                let [packets, bytes] = [0, 1].map(|at| words[at].load(Ordering::Relaxed));
                (slot, Tally { packets, bytes })
            })
            .filter(|(_, tally)| tally.packets > 0)
    }

    /// Dark packets by slot of all queues that were there when the program was loaded: [`SLOTS`]
    /// numbers.
    pub fn packets(&self) -> Box<[u64]> {
        let mut sum = vec![0; SLOTS as usize];
        let elements = self.slots.words().len() / (SLOTS as usize * WORDS);
        for queue in 0..u32::try_from(elements.saturating_sub(1)).unwrap_or(u32::MAX) {
            for (slot, tally) in self.queue(queue) {
                sum[slot as usize] += tally.packets;
            }
        }
        sum.into_boxed_slice()
    }
}
