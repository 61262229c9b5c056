//! What the XDP program decided: its per-CPU counters, read from user space.
#![expect(unsafe_code, reason = "a map value type must be declared plain data")]

use std::{fmt, sync::Arc};

use aya::maps::{MapData, PerCpuArray};
use noctule_abi::{Tally, Verdicts};

use super::{XdpError, error::one_line};

/// [`Verdicts`] as a map value.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct VerdictValue(Verdicts);

// SAFETY: `Verdicts` is `repr(C)` and made of u64 alone: no padding, and every bit pattern is a
// value.
unsafe impl aya::Pod for VerdictValue {}

/// Reads the verdict counters; cheap to clone, and each worker thread may own one.
///
/// It stays readable after the program is detached.
#[derive(Clone)]
pub struct VerdictReader {
    map: Arc<PerCpuArray<MapData, VerdictValue>>,
}

impl VerdictReader {
    pub(super) fn new(map: PerCpuArray<MapData, VerdictValue>) -> Self {
        Self { map: Arc::new(map) }
    }

    /// RX queues that were there when the program was loaded.
    pub fn queues(&self) -> u32 {
        self.map.len().saturating_sub(1)
    }

    /// What was decided on `queue` since the program was loaded, summed over the CPUs.
    ///
    /// The index [`queues`](Self::queues), one past the last queue, holds the frames of queues
    /// that the NIC grew after the load; they have no socket. Values only ever grow. One CPU's
    /// counters are read one after another, so a frame that is decided on meanwhile may be in
    /// `packets` and not yet in `bytes`.
    ///
    /// One system call and one small allocation: once per interval, never per packet.
    ///
    /// # Errors
    /// [`XdpError::Map`] for a queue past that index.
    pub fn read(&self, queue: u32) -> Result<Verdicts, XdpError> {
        let per_cpu = self.map.get(&queue, 0).map_err(|error| XdpError::Map {
            action: format!("read queue {queue} of"),
            map: "VERDICTS",
            reason: one_line(&error),
        })?;
        Ok(per_cpu
            .iter()
            .fold(Verdicts::default(), |sum, value| add(sum, value.0)))
    }
}

impl fmt::Debug for VerdictReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerdictReader")
            .field("queues", &self.queues())
            .finish_non_exhaustive()
    }
}

fn add(a: Verdicts, b: Verdicts) -> Verdicts {
    let tally = |a: Tally, b: Tally| Tally {
        packets: a.packets.wrapping_add(b.packets),
        bytes: a.bytes.wrapping_add(b.bytes),
    };
    Verdicts {
        redirected: tally(a.redirected, b.redirected),
        unserved_passed: tally(a.unserved_passed, b.unserved_passed),
        unserved_dropped: tally(a.unserved_dropped, b.unserved_dropped),
        passed: tally(a.passed, b.passed),
        not_parsed: tally(a.not_parsed, b.not_parsed),
    }
}
