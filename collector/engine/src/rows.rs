//! Converts counted intervals to the store's rows.

use std::sync::Arc;

use noctule_counters::fingerprints::Hits;
use noctule_counters::flow::Flow;
use noctule_counters::registers::Registers;
use noctule_counters::sketches::Scope;
use noctule_counters::victims::VictimCount;
use noctule_packet::cell::protocol::TCP;
use noctule_packet::{CellId, Class, Rules, Source};
use noctule_store::cell::{self, Cell};
use noctule_store::sketch::{self, SketchError};
use noctule_store::tables::{
    FingerprintRow, FlowRow, LedgerRow, PortRow, SketchRow, UnparsedRow, VictimRow,
};

use crate::geo::Attribution;
use crate::ledger::{QueueId, QueueLedger};
use crate::prefixes::PrefixLists;
use crate::time::IntervalId;

/// A cell as tables have it.
fn stored_cell(cell: CellId) -> Cell {
    Cell::new(cell.protocol(), stored_class(cell.class()), cell.port())
}

const fn stored_class(class: Class) -> cell::Class {
    match class {
        Class::Scan => cell::Class::Scan,
        Class::Backscatter => cell::Class::Backscatter,
        Class::Other => cell::Class::Other,
    }
}

/// A row of `flows`.
pub fn flow(start_us: i64, flow: &Flow, by: Attribution) -> FlowRow {
    FlowRow {
        interval_start_us: start_us,
        source: flow.source.into(),
        cell: stored_cell(flow.cell),
        packets: flow.packets,
        bytes: flow.bytes,
        first_ms: flow.first_us / 1000,
        duration_ms: flow.last_us / 1000 - flow.first_us / 1000,
        ttl_min: flow.ttl.0,
        ttl_max: flow.ttl.1,
        tcp_flags: flow.tcp_flags,
        ip_id_min: flow.ip_id.map(|span| span.0),
        ip_id_max: flow.ip_id.map(|span| span.1),
        constants: flow.slots,
        last_source_port: flow.last_source_port,
        destinations: flow.destinations,
        country: by.country,
        asn: by.asn,
        bogon: by.bogon,
    }
}

/// A row of `ports`.
pub fn port(
    start_us: i64,
    cell: CellId,
    packets: u64,
    bytes: u64,
    sources: Option<u64>,
) -> PortRow {
    PortRow {
        interval_start_us: start_us,
        cell: stored_cell(cell),
        packets,
        bytes,
        sources,
    }
}

/// A row of `fingerprints`; none if `rules` does not have the hits' rule.
pub fn fingerprint<'r>(start_us: i64, hits: &Hits, rules: &'r Rules) -> Option<FingerprintRow<'r>> {
    let rule = rules.fingerprints().get(hits.rule)?;
    Some(FingerprintRow {
        interval_start_us: start_us,
        source: Source::V4(hits.source).into(),
        protocol: TCP,
        port: Some(hits.port),
        rule: &rule.name,
        rule_version: rule.version,
        hits: hits.hits,
        constant: hits.span,
    })
}

/// A row of `victims`; `exact`: every quote found room in the table.
pub fn victim(start_us: i64, count: &VictimCount, exact: bool) -> VictimRow {
    VictimRow {
        interval_start_us: start_us,
        victim: count.victim.address.into(),
        protocol: count.victim.protocol,
        port: count.victim.port,
        packets: count.packets,
        senders: exact.then_some(count.senders),
    }
}

/// The rows of `unparsed` of one queue, of the interface with this name.
pub fn unparsed(
    start_us: i64,
    interface: Option<&str>,
    row: &QueueLedger,
) -> impl Iterator<Item = UnparsedRow> {
    let queue = row.queue.queue;
    (row.unparsed.iter()).map(move |(what, &(packets, bytes))| UnparsedRow {
        interval_start_us: start_us,
        interface: interface.map(str::to_owned),
        queue,
        kind: what.kind(),
        number: what.number(),
        packets,
        bytes,
    })
}

/// A row of `sketches`.
///
/// # Errors
/// The registers are not those of a valid sketch.
pub fn sketch_row(
    start_us: i64,
    scope: Scope,
    registers: &Registers,
) -> Result<SketchRow, SketchError> {
    let (protocol, class, port) = match scope {
        Scope::Protocol(number) => (number, None, None),
        Scope::Class(number, class) => (number, Some(class), None),
        Scope::Cell(cell) => (cell.protocol(), Some(cell.class()), cell.port()),
    };
    Ok(SketchRow {
        interval_start_us: start_us,
        protocol,
        class: class.map(stored_class),
        port,
        lg_k: registers.lg_k(),
        sketch: sketch::image(registers.lg_k(), registers.values())?,
    })
}

/// Values that are equal in all ledger rows of a run.
pub struct LedgerFacts {
    /// Length of an interval.
    pub interval_seconds: u32,
    /// The prefix list of each interval.
    pub prefixes: Arc<PrefixLists>,
    /// Names of the run's interfaces; empty for a replay.
    pub interfaces: Vec<String>,
}

impl LedgerFacts {
    /// Name of a queue's interface; none for a replay.
    pub fn interface(&self, of: QueueId) -> Option<&str> {
        (self.interfaces.get(usize::from(of.interface))).map(String::as_str)
    }

    /// A row of `ledger`.
    pub fn row(
        &self,
        interval: IntervalId,
        row: &QueueLedger,
        rules: &Rules,
        degraded: bool,
    ) -> LedgerRow {
        let constants = (rules.carried_in_flows())
            .map(|(place, rule)| (place, format!("{}/{}", rule.name, rule.version)));
        let quotes = &row.tally.quotes;
        let start_us = interval.start_us();
        let end_us = start_us + i64::from(self.interval_seconds) * 1_000_000;
        let (list, changed_us) = self.prefixes.at(interval.era, start_us, end_us);
        LedgerRow {
            interval_start_us: start_us,
            interval_seconds: self.interval_seconds,
            observed_ms: row.observed_ms,
            observed_us: row.observed_us.unwrap_or((start_us, end_us)),
            interface: self.interface(row.queue).map(str::to_owned),
            queue: row.queue.queue,
            mode: row.mode,
            clock_step_ms: row.clock_step_ms,
            records: row.records,
            matched_packets: row.matched,
            matched_bytes: row.matched_bytes,
            passed_packets: row.passed,
            passed_bytes: row.passed_bytes,
            not_parsed_packets: row.not_parsed,
            in_flight_before: row.in_flight_before,
            counted_packets: row.tally.packets,
            counted_bytes: row.tally.bytes,
            lost_unserved: row.lost.unserved,
            lost_rx_dropped: row.lost.rx_dropped,
            lost_rx_ring_full: row.lost.rx_ring_full,
            lost_unexplained: row.lost.unexplained,
            in_flight_after: row.in_flight_after,
            late_packets: row.tally.late,
            time_jump_packets: row.tally.time_jump,
            repeats_sampled: row.repeats.sampled,
            repeats: row.repeats.repeated,
            overflow_packets: row.tally.overflow,
            fingerprint_overflow_hits: row.tally.fingerprint_overflow,
            icmp_errors: quotes.errors,
            quotes_counted: quotes.counted(),
            quotes_foreign: quotes.foreign,
            quotes_unreadable: quotes.unreadable,
            quotes_overflow: quotes.overflow,
            decode_errors: row.tally.errors,
            prefixes_version: list.version,
            prefixes_changed_us: changed_us,
            observed_addresses: list.addresses,
            observed_slash64s: list.slash64s,
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            rules_version: rules.version().to_owned(),
            constants: in_places(constants),
            complete: !row.partial && row.lost.total() == 0 && row.lost.unexplained == 0,
            degraded,
            partial: row.partial,
        }
    }
}

/// Joins names with commas, each at its index; an index without a name is empty.
fn in_places(names: impl Iterator<Item = (usize, String)>) -> String {
    let mut places: Vec<String> = Vec::new();
    for (place, name) in names {
        if places.len() <= place {
            places.resize(place + 1, String::new());
        }
        places[place] = name;
    }
    places.join(",")
}

#[cfg(test)]
mod tests {
    use noctule_packet::DecodeError;
    use noctule_packet::cell::protocol;
    use noctule_packet::rules::SLOTS;
    use noctule_store::tables;

    use super::*;

    #[test]
    fn tables_name_what_packets_have_by_the_same_names() {
        for class in Class::ALL {
            assert_eq!(stored_class(class).name(), class.name());
        }
        for number in 0..=u8::MAX {
            assert_eq!(
                noctule_store::protocol::name(number),
                protocol::name(number)
            );
        }
        let errors = DecodeError::ALL.map(DecodeError::layer_and_reason);
        assert_eq!(tables::DECODE_ERRORS, errors);
        assert_eq!(tables::CONSTANTS, SLOTS);
    }
}
