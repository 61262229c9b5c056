//! The ceiling of memory that a configuration sets.

use noctule_counters::epoch::Capacity;
use noctule_store::tables::FlowRow;

use crate::config::Run;
use crate::engine::flusher::WAITING_BYTES;
use crate::engine::totals::Totals;
use crate::run::{DISTINCT_PER_FLOW, EPOCHS};

/// The ceiling of memory that the configuration sets, part by part, in MiB.
pub fn ceiling(config: &Run, queues: u32) -> String {
    let flows = config.common.max_flows;
    let workers = config.common.workers.unwrap_or(queues as usize);
    let workers = workers.min(queues as usize);
    let tables = workers * EPOCHS * Capacity::share(flows, workers).bytes();
    let packets = queues as usize * (config.socket.frames * config.socket.frame_bytes) as usize;
    // While an interval is written: a row and two references per flow.
    let writing = flows * (size_of::<FlowRow>() + 2 * size_of::<usize>());
    let summary = Totals::most_bytes(flows * DISTINCT_PER_FLOW);
    let parts = [tables, packets, writing, summary, WAITING_BYTES].map(|bytes| bytes >> 20);
    format!(
        "memory: at most {} MiB = {} tables + {} packet memory + {} while an interval is written + {} summary + {} files if the store is away; max_flows and frames set it",
        parts.iter().sum::<usize>(),
        parts[0],
        parts[1],
        parts[2],
        parts[3],
        parts[4],
    )
}
