//! What a live run logs when it starts: its memory ceiling, and what it counts by.

use noctule_capture::xdp;
use noctule_counters::epoch::Capacity;
use noctule_counters::known_sources::KnownSources;
use noctule_packet::Rules;
use noctule_packet::tunnel::TunnelKind;

use crate::config::Live;
use crate::flusher::WRITING_BYTES_PER_FLOW;
use crate::output::QUEUED_BYTES;
use crate::totals::Totals;

/// Epochs of a worker: one is filled while the other is written.
pub const EPOCHS: usize = 2;
/// Pairs of source and cell that the summary keeps, per row of the flow table.
pub const DISTINCT_PER_FLOW: usize = 4;

/// Logs the startup summary of a run on interfaces with so many RX queues each.
pub fn log(config: &Live, rules: &Rules, queues: &[u32]) {
    log::info!("{}", memory_ceiling(config, queues));
    log::info!("{}", rules_and_prefixes(config, rules));
}

/// The memory ceiling that the configuration sets, part by part, in MiB.
fn memory_ceiling(config: &Live, by_interface: &[u32]) -> String {
    let queues: u32 = by_interface.iter().sum();
    let flows = config.common.max_flows;
    let workers = config.common.workers.unwrap_or(queues as usize);
    let workers = workers.min(queues as usize);
    let tables =
        workers * EPOCHS * Capacity::share(flows, workers).bytes() + KnownSources::bytes(flows);
    let packets = queues as usize * (config.socket.frames * config.socket.frame_bytes) as usize;
    let writing = flows * WRITING_BYTES_PER_FLOW;
    let summary = Totals::most_bytes(flows * DISTINCT_PER_FLOW);
    let kernel = by_interface
        .iter()
        .map(|&queues| xdp::kernel_bytes(queues))
        .sum();
    let parts = [tables, packets, writing, summary, QUEUED_BYTES, kernel].map(|bytes| bytes >> 20);
    format!(
        "memory: at most {} MiB = {} tables + {} packet memory + {} while an interval is written + {} summary + {} files while the store is unavailable + {} maps in the kernel; max_flows and frames set it",
        parts.iter().sum::<usize>(),
        parts[0],
        parts[1],
        parts[2],
        parts[3],
        parts[4],
        parts[5],
    )
}

/// The rules, prefixes and tunnels by which the run counts.
fn rules_and_prefixes(config: &Live, rules: &Rules) -> String {
    let darknet = &config.common.darknet;
    let tunnels = darknet.tunnels();
    let opened = if tunnels.is_empty() {
        "no tunnel is opened".to_owned()
    } else {
        let kinds: Vec<_> = tunnels.kinds().map(TunnelKind::name).collect();
        let ends: Vec<_> = tunnels.endpoints().map(|end| end.to_string()).collect();
        format!("{} to {} is opened", kinds.join(", "), ends.join(", "))
    };
    let link = darknet.link_options();
    let tags = link.outer_tags().map(|tag| format!("outer tag {tag:#06x}"));
    let inner = link.inner_ethernet().map(|kind| kind.name().to_owned());
    let read: String = (tags.chain(inner))
        .map(|one| format!(", {one} is read"))
        .collect();
    format!(
        "rules {}, {} fingerprints; prefixes {}; {opened}{read}",
        rules.version(),
        rules.fingerprints().len(),
        darknet.version()
    )
}
