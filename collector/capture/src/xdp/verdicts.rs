//! The XDP program's verdicts: its counters, read from user space.

use std::{
    mem::offset_of,
    sync::{Arc, atomic::Ordering},
};

use noctule_abi::{Tally, Verdicts, ledger::Counters, unparsed::UNPARSED_SLOTS};
use noctule_packet::Unparsed;

use super::{XdpError, mapped::Mapped};

/// Words of one queue's counters.
const WORDS: usize = size_of::<Counters>() / size_of::<u64>();
/// Words before the first slot of frames that were not parsed, and words of all of these slots.
const WORDS_BEFORE: usize = offset_of!(Counters, unparsed) / size_of::<u64>();
const UNPARSED_WORDS: usize = UNPARSED_SLOTS * size_of::<Tally>() / size_of::<u64>();

/// Reads the verdict counters; cheap to clone, and each worker thread may own a clone.
///
/// The counters are readable after the program is detached.
#[derive(Clone, Debug)]
pub struct VerdictReader {
    counters: Arc<Mapped>,
}

impl VerdictReader {
    pub(super) fn new(counters: Arc<Mapped>) -> Self {
        Self { counters }
    }

    /// The number of RX queues when the program was loaded.
    pub fn queues(&self) -> u32 {
        let elements = self.counters.words().len() / WORDS;
        u32::try_from(elements)
            .unwrap_or(u32::MAX)
            .saturating_sub(1)
    }

    /// The verdicts on frames of `queue` since the program was loaded.
    ///
    /// The index [`queues`](Self::queues), one past the last queue, holds the frames of queues that
    /// the NIC added after the load; they have no socket. Values never decrease. They are read one
    /// after another, so that a frame may be in `packets` and not yet in `bytes`.
    ///
    /// It makes no system call: it loads ten words from memory that the program writes to.
    ///
    /// # Errors
    /// [`XdpError::Map`] if `queue` is past that index.
    pub fn read(&self, queue: u32) -> Result<Verdicts, XdpError> {
        let mut elements = self.counters.words().chunks_exact(WORDS);
        let words = elements.nth(queue as usize).ok_or_else(|| XdpError::Map {
            action: format!("read queue {queue} of"),
            map: "COUNTERS",
            reason: format!("it has {} queues", self.queues()),
        })?;
        let mut words = words.iter().map(|word| word.load(Ordering::Acquire));
        // Verdicts come first, and their fields are read in their order in memory.
        let mut tally = || Tally {
            packets: words.next().unwrap_or_default(),
            bytes: words.next().unwrap_or_default(),
        };
        Ok(Verdicts {
            redirected: tally(),
            unserved_passed: tally(),
            unserved_dropped: tally(),
            passed: tally(),
            not_parsed: tally(),
        })
    }

    /// What the frames of `queue` are that were not parsed, since the program was loaded; kinds
    /// without frames are left out. It reads 1 MiB.
    ///
    /// The program counts a frame here before it counts the verdict, so that the sum may be ahead of
    /// [`Verdicts::not_parsed`] by a frame.
    pub fn unparsed(&self, queue: u32) -> impl Iterator<Item = (Unparsed, Tally)> {
        let words = (self
            .counters
            .words()
            .chunks_exact(WORDS)
            .nth(queue as usize))
        .map_or(&[][..], |words| {
            &words[WORDS_BEFORE..WORDS_BEFORE + UNPARSED_WORDS]
        });
        (0..=u16::MAX)
            .zip(words.chunks_exact(2))
            .filter_map(|(slot, words)| {
                let [packets, bytes] = [0, 1].map(|at| words[at].load(Ordering::Relaxed));
                (packets > 0).then(|| (Unparsed::from_slot(slot), Tally { packets, bytes }))
            })
    }
}
