//! What a run says of itself when it starts.

use noctule_capture::xdp;
use noctule_counters::admission::KnownSources;
use noctule_counters::epoch::Capacity;
use noctule_packet::Rules;
use noctule_packet::tunnel::TunnelKind;

use crate::config::Run;
use crate::run::{DISTINCT_PER_FLOW, EPOCHS};
use noctule_engine::flusher::WRITING_BYTES_PER_FLOW;
use noctule_engine::sink::WAITING_BYTES;
use noctule_engine::totals::Totals;

/// The ceiling of memory that the configuration sets, part by part, in MiB.
pub fn memory(config: &Run, queues: u32) -> String {
    let flows = config.common.max_flows;
    let workers = config.common.workers.unwrap_or(queues as usize);
    let workers = workers.min(queues as usize);
    let tables =
        workers * EPOCHS * Capacity::share(flows, workers).bytes() + KnownSources::bytes(flows);
    let packets = queues as usize * (config.socket.frames * config.socket.frame_bytes) as usize;
    let writing = flows * WRITING_BYTES_PER_FLOW;
    let summary = Totals::most_bytes(flows * DISTINCT_PER_FLOW);
    let kernel = xdp::kernel_bytes(queues);
    let parts = [tables, packets, writing, summary, WAITING_BYTES, kernel].map(|bytes| bytes >> 20);
    format!(
        "memory: at most {} MiB = {} tables + {} packet memory + {} while an interval is written + {} summary + {} files if the store is away + {} maps in the kernel; max_flows and frames set it",
        parts.iter().sum::<usize>(),
        parts[0],
        parts[1],
        parts[2],
        parts[3],
        parts[4],
        parts[5],
    )
}

/// What the run counts by, on one line.
pub fn in_force(config: &Run, rules: &Rules) -> String {
    let tunnels = config.common.darknet.tunnels();
    let opened = if tunnels.is_empty() {
        "no tunnel is opened".to_owned()
    } else {
        let kinds: Vec<_> = tunnels.kinds().map(TunnelKind::name).collect();
        let ends: Vec<_> = tunnels.endpoints().map(|end| end.to_string()).collect();
        format!("{} to {} is opened", kinds.join(", "), ends.join(", "))
    };
    format!(
        "rules {}, {} fingerprints; prefixes {}; {opened}",
        rules.version(),
        rules.fingerprints().len(),
        config.common.darknet.version()
    )
}
