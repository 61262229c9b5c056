//! From counted intervals to the store's rows.

use noctule_counters::fingerprints::FingerprintKey;
use noctule_counters::flow::Flow;
use noctule_counters::registers::Registers;
use noctule_counters::sketches::Scope;
use noctule_packet::darknet::Darknet;
use noctule_packet::fingerprint::{RULES, RULES_VERSION};
use noctule_packet::{CellId, Source};
use noctule_store::Country;
use noctule_store::geo::{AsnDb, CountryDb};
use noctule_store::sketch::{self, SketchError};
use noctule_store::tables::{FingerprintRow, FlowRow, LedgerRow, PortRow, SketchRow};

use super::message::{IntervalStart, QueueLedger};

/// The files that attribute sources.
#[derive(Default)]
pub struct Geo {
    /// Country by address, when configured.
    pub countries: Option<CountryDb>,
    /// AS number by address, when configured.
    pub asns: Option<AsnDb>,
}

/// Country and AS number of one source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attribution {
    /// `??` when the country file does not know it; none without a country file.
    pub country: Option<Country>,
    /// None when the file does not know it, or without one.
    pub asn: Option<u32>,
}

impl Geo {
    /// Country and AS number of a source.
    pub fn attribute(&self, source: Source) -> Attribution {
        Attribution {
            country: (self.countries.as_ref())
                .map(|db| db.lookup(source).unwrap_or(Country::UNKNOWN)),
            asn: self.asns.as_ref().and_then(|db| db.lookup(source)),
        }
    }
}

/// A row of `flows`.
pub fn flow(start_us: i64, flow: &Flow, by: Attribution) -> FlowRow {
    FlowRow {
        interval_start_us: start_us,
        source: flow.source,
        cell: flow.cell,
        packets: flow.packets,
        bytes: flow.bytes,
        first_ms: flow.first_us / 1000,
        duration_ms: flow.last_us / 1000 - flow.first_us / 1000,
        ttl_min: flow.ttl.0,
        ttl_max: flow.ttl.1,
        tcp_flags: flow.tcp_flags,
        marks: flow.marks,
        ip_id_min: flow.ip_id.map(|span| span.0),
        ip_id_max: flow.ip_id.map(|span| span.1),
        nmap_min: flow.nmap.map(|span| span.0),
        nmap_max: flow.nmap.map(|span| span.1),
        unicornscan_min: flow.unicornscan.map(|span| span.0),
        unicornscan_max: flow.unicornscan.map(|span| span.1),
        last_source_port: flow.last_source_port,
        destinations: flow.destinations,
        country: by.country,
        asn: by.asn,
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
        cell,
        packets,
        bytes,
        sources,
    }
}

/// A row of `fingerprints`.
pub fn fingerprint(start_us: i64, key: &FingerprintKey, hits: u64) -> FingerprintRow<'static> {
    let rule = &RULES[usize::from(key.rule)];
    FingerprintRow {
        interval_start_us: start_us,
        source: key.source,
        protocol: key.protocol,
        port: Some(key.port),
        rule: rule.name,
        rule_version: rule.version,
        hits,
    }
}

/// A row of `sketches`.
///
/// # Errors
/// Registers that are no sketch's.
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
        class,
        port,
        lg_k: registers.lg_k(),
        sketch: sketch::image(registers)?,
    })
}

/// What stands in every ledger row of a run.
pub struct LedgerFacts {
    /// Length of an interval.
    pub interval_seconds: u32,
    prefixes_version: String,
    observed_addresses: u64,
    observed_slash64s: u64,
}

impl LedgerFacts {
    /// The facts of a darknet.
    pub fn new(darknet: &Darknet, interval_seconds: u32) -> Self {
        Self {
            interval_seconds,
            prefixes_version: darknet.version().to_owned(),
            observed_addresses: darknet.observed4(),
            observed_slash64s: darknet.observed6_slash64s(),
        }
    }

    /// A row of `ledger`.
    pub fn row(&self, start: IntervalStart, row: &QueueLedger, degraded: bool) -> LedgerRow {
        LedgerRow {
            interval_start_us: start * 1_000_000,
            interval_seconds: self.interval_seconds,
            observed_ms: row.observed_ms,
            queue: row.queue,
            mode: row.mode,
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
            overflow_packets: row.tally.overflow,
            fingerprint_overflow_hits: row.tally.fingerprint_overflow,
            decode_errors: row.tally.errors.to_vec(),
            prefixes_version: self.prefixes_version.clone(),
            observed_addresses: self.observed_addresses,
            observed_slash64s: self.observed_slash64s,
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            rules_version: RULES_VERSION.to_owned(),
            complete: !row.partial && row.lost.total() == 0 && row.lost.unexplained == 0,
            degraded,
            partial: row.partial,
        }
    }
}
