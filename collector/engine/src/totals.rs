//! A run's totals, from which the summary and the printed ledger are made.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use noctule_counters::distinct::DistinctSources;
use noctule_counters::ports::PortCount;
use noctule_counters::summary::{Cell, DecodeErrorCount, Summary, UnparsedCount};
use noctule_counters::sums::Sums;
use noctule_packet::cell::protocol;
use noctule_packet::decode::Source;
use noctule_packet::{CellId, Class, DecodeError};
use noctule_store::tables::Mode;

use crate::findings::Findings;
use crate::geo::Geo;
use crate::ledger::{QueueId, QueueLedger};
use crate::lost::CountedBySlot;

/// Most sources whose packets are added up for the summary's list of top sources.
const TOP_SOURCES_KEPT: usize = 1 << 20;

/// Sums over all intervals of a run.
pub struct Totals {
    /// The whole run's account: all queues, all intervals.
    pub ledger: QueueLedger,
    /// Names of the interfaces; empty for a replay.
    pub interfaces: Vec<String>,
    /// The accounts of the queues.
    pub queues: BTreeMap<QueueId, QueueLedger>,
    /// Files written, and their octets.
    pub files: (u64, u64),
    /// Fingerprints, confirmed sources, bogons and victims.
    pub findings: Findings,
    /// Packets by the kernel ledger's slots.
    pub by_slot: CountedBySlot,
    cells: BTreeMap<CellId, PortCount>,
    inexact: BTreeSet<CellId>,
    distinct: DistinctSources,
    packets_by_source: Option<Sums<Source, u64>>,
    intervals: u64,
    degraded_intervals: u64,
}

/// The summary of a run, and figures that only the printed tables have.
pub struct RunSummary {
    /// The summary.
    pub summary: Summary,
    /// Sources with the most packets; none if there were too many sources to add up.
    pub top_sources: Option<Vec<(Source, u64)>>,
    /// Intervals whose flow table was full.
    pub degraded_intervals: u64,
}

impl Totals {
    /// No totals yet; at most `distinct_budget` pairs of source and cell are kept, and sources are
    /// confirmed by days of the zone.
    pub fn new(distinct_budget: usize, zone: TimeZone) -> Self {
        Self {
            ledger: QueueLedger::new(0, Mode::Replay),
            interfaces: Vec::new(),
            queues: BTreeMap::new(),
            files: (0, 0),
            findings: Findings::new(distinct_budget / 8, zone),
            by_slot: CountedBySlot::default(),
            cells: BTreeMap::new(),
            inexact: BTreeSet::new(),
            distinct: DistinctSources::new(distinct_budget),
            packets_by_source: Some(Sums::default()),
            intervals: 0,
            degraded_intervals: 0,
        }
    }

    /// Largest size in memory, in octets: the pairs of source and cell, of which sorting makes a
    /// copy, the map of sources, the findings, and the packets by slot.
    pub const fn most_bytes(distinct_budget: usize) -> usize {
        let entry = size_of::<(Source, u64)>();
        2 * distinct_budget * size_of::<u64>()
            + 4 * TOP_SOURCES_KEPT * entry
            + Findings::most_bytes(distinct_budget / 8)
            + CountedBySlot::BYTES
    }

    /// Adds a flow row.
    #[inline]
    pub fn flow(&mut self, source: Source, cell: CellId) {
        self.distinct.insert(source, cell);
    }

    /// Adds the packets of a source's flow rows of one interval.
    pub fn source(&mut self, source: Source, packets: u64) {
        let merges =
            (self.packets_by_source.as_mut()).is_some_and(|kept| kept.push(source, packets, add));
        if merges {
            self.limit_sources();
        }
    }

    /// Discards the packets by source if there are too many sources.
    fn limit_sources(&mut self) {
        self.packets_by_source =
            (self.packets_by_source.take()).filter(|kept| kept.merged() <= TOP_SOURCES_KEPT);
    }

    /// Adds a cell of an interval; `exact`: all of its packets are in flow rows.
    pub fn cell(&mut self, cell: CellId, count: PortCount, exact: bool) {
        self.by_slot.cell(cell, count.packets);
        let sum = self.cells.entry(cell).or_default();
        sum.packets += count.packets;
        sum.bytes += count.bytes;
        if !exact {
            self.inexact.insert(cell);
        }
    }

    /// Adds a queue's account of one interval.
    pub fn account(&mut self, row: &QueueLedger) {
        // In flight is a state and not a sum, so only the last interval's counts.
        let amounts = QueueLedger {
            in_flight_before: 0,
            in_flight_after: 0,
            ..row.clone()
        };
        self.ledger.add(&amounts);
        let queue = (self.queues.entry(row.queue))
            .or_insert_with(|| QueueLedger::new(row.queue.queue, row.mode));
        queue.add(&amounts);
        queue.in_flight_after = row.in_flight_after;
        self.ledger.in_flight_after = self.queues.values().map(|q| q.in_flight_after).sum();
    }

    /// Adds an interval that held dark packets.
    pub fn interval(&mut self, degraded: bool) {
        self.intervals += 1;
        self.degraded_intervals += u64::from(degraded);
    }

    /// Adds everything up.
    pub fn finish(&mut self, geo: &Geo) -> RunSummary {
        let counts = self.distinct.counts();
        let exact = self.inexact.is_empty();
        let passed = self.ledger.passed + self.ledger.not_parsed;
        let mut summary = Summary {
            // Lost packets were never read; the ledger has them.
            records: self.ledger.tally.packets + passed,
            dark_packets: self.ledger.tally.packets,
            dark_bytes: self.ledger.tally.bytes,
            passed_packets: passed,
            sources: (counts.as_ref())
                .filter(|_| exact)
                .map(|c| c.sources.len() as u64),
            by_class: Class::ALL.map(|class| (class.name().to_owned(), 0)).into(),
            late_packets: self.ledger.tally.late,
            repeats: Some(self.ledger.repeats),
            time_jump_packets: self.ledger.tally.time_jump,
            overflow_packets: self.ledger.tally.overflow,
            intervals: self.intervals,
            ..Summary::default()
        };
        for (&cell, count) in &self.cells {
            let protocol = protocol::name(cell.protocol()).into_owned();
            let class = cell.class().name().to_owned();
            *summary.by_protocol.entry(protocol.clone()).or_default() += count.packets;
            *summary.by_class.entry(class.clone()).or_default() += count.packets;
            let sources = (counts.as_ref())
                .filter(|_| !self.inexact.contains(&cell))
                .and_then(|counts| counts.by_cell.get(&cell).copied());
            summary.cells.push(Cell {
                protocol,
                class,
                port: cell.port(),
                packets: count.packets,
                bytes: count.bytes,
                sources,
            });
        }
        let sources = counts
            .as_ref()
            .filter(|_| exact)
            .map(|counts| &counts.sources[..]);
        self.findings.finish(&mut summary, sources);
        for (error, packets) in DecodeError::ALL.iter().zip(self.ledger.tally.errors) {
            if packets > 0 {
                let (layer, reason) = error.layer_and_reason();
                summary.decode_errors.push(DecodeErrorCount {
                    layer: layer.to_owned(),
                    reason: reason.to_owned(),
                    packets,
                });
            }
        }
        let unparsed = self.ledger.unparsed.iter();
        let unparsed = unparsed.map(|(what, &(packets, bytes))| UnparsedCount {
            kind: what.kind().to_owned(),
            number: what.number(),
            name: what.name().into_owned(),
            packets,
            bytes,
        });
        summary.unparsed = unparsed.collect();
        if let (Some(counts), true, true) = (&counts, exact, geo.countries.is_some()) {
            let mut by_country = BTreeMap::new();
            for &source in &counts.sources {
                if let Some(country) = geo.country(source) {
                    *by_country.entry(country.to_string()).or_default() += 1;
                }
            }
            summary.sources_by_country = Some(by_country);
        }
        summary.sort();
        if let Some(kept) = &mut self.packets_by_source {
            kept.merge(add);
        }
        self.limit_sources();
        let top_sources = self.packets_by_source.take();
        RunSummary {
            summary,
            top_sources: top_sources.map(|mut kept| top(kept.merge(add))),
            degraded_intervals: self.degraded_intervals,
        }
    }
}

fn add(sum: &mut u64, more: u64) {
    *sum += more;
}

fn top(sources: &[(Source, u64)]) -> Vec<(Source, u64)> {
    let mut sources = sources.to_vec();
    sources.sort_unstable_by_key(|&(source, packets)| (std::cmp::Reverse(packets), source));
    sources.truncate(10);
    sources
}
