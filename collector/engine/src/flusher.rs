//! The flusher: merges the workers' epochs of an interval, attributes sources, and writes the
//! interval's files. It has a thread of its own and returns every epoch, emptied, to its worker.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use crossbeam_channel::Receiver;
use jiff::tz::TimeZone;
use noctule_counters::epoch::Epoch;
use noctule_counters::known_sources::KnownSources;
use noctule_counters::merge::{self, SketchSet};
use noctule_counters::ports::{PortCount, PortCounters};
use noctule_counters::repeats::Repeats;
use noctule_packet::Rules;
use noctule_packet::decode::Source;
use noctule_store::Table;
use noctule_store::tables::{
    FlowEncoder, encode_fingerprints, encode_ledger, encode_ports, encode_sketches,
    encode_unparsed, encode_victims,
};

use crate::geo::{Attribution, Geo};
use crate::ledger::{QueueId, QueueLedger};
use crate::message::Message;
use crate::output::Sink;
use crate::pool::Returns;
use crate::rows::{self, LedgerFacts};
use crate::schedule::Schedule;
use crate::time::{IntervalId, stamp};
use crate::totals::Totals;

/// Most octets per flow while an interval is written: references to rows while they are sorted, later
/// fingerprint hits, and the encoded files.
pub const WRITING_BYTES_PER_FLOW: usize = 96;

/// Parts of a flusher.
pub struct FlusherSetup {
    /// Writes the files; none: only totals are kept.
    pub sink: Option<Sink>,
    /// Country and AS files.
    pub geo: Geo,
    /// The rules of each interval.
    pub schedule: Arc<Schedule>,
    /// Values that are equal in all ledger rows.
    pub facts: LedgerFacts,
    /// The RX queues of each worker.
    pub queues: Vec<Vec<QueueId>>,
    /// Returns each worker's epochs.
    pub returns: Vec<Returns>,
    /// Learns which sources have rows; none if the workers learn them.
    pub known_sources: Option<Arc<KnownSources>>,
    /// Producers that close intervals: the workers and, in a replay, the reader.
    pub producers: usize,
    /// Most pairs of source and cell that the summary keeps.
    pub distinct_budget: usize,
    /// The zone whose days the summary confirms sources by.
    pub zone: TimeZone,
    /// Write a log line for every interval.
    pub announce: bool,
}

#[derive(Default)]
struct Pending {
    epochs: Vec<(usize, Box<Epoch>)>,
    ledger: BTreeMap<QueueId, QueueLedger>,
}

/// The flusher.
pub struct Flusher {
    setup: FlusherSetup,
    pending: BTreeMap<IntervalId, Pending>,
    closed: Vec<IntervalId>,
    /// Country and AS files of a reload, by the first interval that they apply to.
    later_geo: BTreeMap<IntervalId, Geo>,
    /// Flow rows of the last interval.
    flows: u64,
    /// Flow rows of the current interval by cell: `packets` is the number of rows, `bytes` the
    /// number of their packets.
    flow_rows: PortCounters,
    /// The warning about repeats was logged.
    warned_of_repeats: bool,
    totals: Totals,
}

impl Flusher {
    /// A flusher without messages.
    pub fn new(setup: FlusherSetup) -> Self {
        Self {
            closed: vec![IntervalId::MIN; setup.producers],
            totals: Totals::new(setup.distinct_budget, setup.zone.clone()),
            setup,
            pending: BTreeMap::new(),
            later_geo: BTreeMap::new(),
            flows: 0,
            flow_rows: PortCounters::default(),
            warned_of_repeats: false,
        }
    }

    /// Takes messages until all producers are gone; then writes the intervals that are left.
    ///
    /// # Errors
    /// A file cannot be encoded, exists with other content, or could not be written before the run's
    /// end. Earlier intervals are in the store.
    pub fn run(mut self, messages: &Receiver<Message>) -> Result<(Totals, Geo)> {
        for message in messages {
            match message {
                Message::Epoch {
                    interval,
                    worker,
                    epoch,
                } => {
                    // Before anything else, since a flood may have begun already.
                    if let Some(known_sources) = &self.setup.known_sources {
                        epoch.learn_sources(known_sources);
                    }
                    let pending = self.pending.entry(interval).or_default();
                    pending.epochs.push((worker, epoch));
                }
                Message::Ledger { interval, row } => {
                    let pending = self.pending.entry(interval).or_default();
                    (pending.ledger.entry(row.queue))
                        .and_modify(|mine| mine.add(&row))
                        .or_insert(*row);
                }
                Message::Geo { from, geo } => {
                    self.later_geo.insert(from, *geo);
                }
                Message::Closed { producer, through } => {
                    self.closed[producer] = self.closed[producer].max(through);
                    self.flush_closed()?;
                }
            }
        }
        while let Some((interval, pending)) = self.pending.pop_first() {
            self.flush(interval, pending)?;
        }
        if let Some(sink) = &mut self.setup.sink {
            sink.finish()?;
            self.totals.files = sink.written();
        }
        Ok((self.totals, self.setup.geo))
    }

    fn flush_closed(&mut self) -> Result<()> {
        let through = self.closed.iter().copied().min();
        while let Some(entry) = self.pending.first_entry() {
            if Some(*entry.key()) > through {
                break;
            }
            let (interval, pending) = entry.remove_entry();
            self.flush(interval, pending)?;
        }
        Ok(())
    }

    fn flush(&mut self, interval: IntervalId, mut pending: Pending) -> Result<()> {
        while let Some(entry) = self.later_geo.first_entry()
            && *entry.key() <= interval
        {
            self.setup.geo = entry.remove();
        }
        let rules = self.setup.schedule.at(interval);
        for (worker, epoch) in &pending.epochs {
            for (lane, tally) in epoch.tallies().enumerate() {
                let queue = self.setup.queues[*worker][lane];
                if let Some(row) = pending.ledger.get_mut(&queue) {
                    row.tally.merge(&tally);
                }
            }
        }
        let degraded = (pending.ledger.values()).any(|row| {
            let tally = &row.tally;
            tally.overflow > 0 || tally.fingerprint_overflow > 0 || tally.quotes.overflow > 0
        });
        let quotes_exact = (pending.ledger.values()).all(|row| row.tally.quotes.overflow == 0);
        let start_us = interval.start_us();
        let span_us = self.observed(start_us, &pending.ledger);
        if let Some(sink) = &mut self.setup.sink {
            sink.begin(interval, span_us)?;
        }
        let epochs: Vec<&Epoch> = pending.epochs.iter().map(|(_, epoch)| &**epoch).collect();
        self.flows = 0;
        let files = if epochs.iter().all(|epoch| epoch.is_empty()) {
            Vec::new()
        } else {
            self.totals.interval(degraded);
            self.totals.findings.interval(interval.start, &rules);
            self.count(start_us, &epochs, &rules, quotes_exact)?
        };
        for (worker, mut epoch) in pending.epochs {
            epoch.clear();
            // A worker that has ended needs no epoch.
            let _ = self.setup.returns[worker].send(epoch);
        }
        if let Some(sink) = &mut self.setup.sink {
            for (table, bytes) in files {
                sink.put(table, start_us, bytes)?;
            }
            let unparsed = pending.ledger.values();
            let unparsed: Vec<_> = unparsed
                .flat_map(|row| {
                    rows::unparsed(start_us, self.setup.facts.interface(row.queue), row)
                })
                .collect();
            if !unparsed.is_empty() {
                sink.put(Table::Unparsed, start_us, encode_unparsed(&unparsed)?)?;
            }
        }
        self.put_ledger(interval, &pending.ledger, &rules, degraded)?;
        match &mut self.setup.sink {
            Some(sink) => sink.end(start_us, span_us),
            None => Ok(()),
        }
    }

    /// The span in which any queue observed an interval, microseconds since 1970.
    fn observed(&self, start_us: i64, ledger: &BTreeMap<QueueId, QueueLedger>) -> (i64, i64) {
        let mut spans = ledger.values().filter_map(|row| row.observed_us);
        let first = spans.next().unwrap_or_else(|| {
            let seconds = i64::from(self.setup.facts.interval_seconds);
            (start_us, start_us + seconds * 1_000_000)
        });
        spans.fold(first, |all, one| (all.0.min(one.0), all.1.max(one.1)))
    }

    /// Adds an interval to the totals and encodes its files.
    fn count(
        &mut self,
        start_us: i64,
        epochs: &[&Epoch],
        rules: &Rules,
        quotes_exact: bool,
    ) -> Result<Vec<(Table, Vec<u8>)>> {
        let mut sketches = SketchSet::of(epochs);
        let flows = self.count_flows(start_us, epochs, rules, &mut sketches)?;
        let totals = &mut self.totals;
        let mut port_rows = Vec::new();
        for epoch in epochs {
            totals.by_slot.add_remapped(epoch);
        }
        for (cell, count) in merge::ports(epochs) {
            // A cell's rows are its distinct sources if every packet is in a row.
            let in_rows = self.flow_rows.get(cell);
            let exact = in_rows.bytes == count.packets;
            totals.cell(cell, count, exact);
            let sources = exact.then_some(in_rows.packets);
            port_rows.push(rows::port(
                start_us,
                cell,
                count.packets,
                count.bytes,
                sources,
            ));
        }
        let hits = merge::fingerprints(epochs);
        totals.findings.hits(&hits);
        let senders = merge::victim_senders(epochs);
        totals.findings.victims(&senders);
        let Some(flows) = flows else {
            return Ok(Vec::new());
        };
        let mut files = vec![
            (Table::Flows, flows),
            (Table::Ports, encode_ports(&port_rows)?),
        ];
        if !hits.is_empty() {
            let rows = (hits.iter()).filter_map(|hits| rows::fingerprint(start_us, hits, rules));
            files.push((Table::Fingerprints, encode_fingerprints(rows)?));
        }
        if !sketches.is_empty() {
            let rows: Vec<_> = (sketches.iter())
                .map(|(scope, registers)| rows::sketch_row(start_us, scope, registers))
                .collect::<Result<_, _>>()?;
            files.push((Table::Sketches, encode_sketches(&rows)?));
        }
        if !senders.is_empty() {
            let rows: Vec<_> = (merge::victims(&senders).iter())
                .map(|count| rows::victim(start_us, count, quotes_exact))
                .collect();
            files.push((Table::Victims, encode_victims(&rows)?));
        }
        Ok(files)
    }

    /// Adds the flows of an interval to the totals, the sketches and `flow_rows`, and encodes them if
    /// there is a store.
    fn count_flows(
        &mut self,
        start_us: i64,
        epochs: &[&Epoch],
        rules: &Rules,
        sketches: &mut SketchSet,
    ) -> Result<Option<Vec<u8>>> {
        let (geo, totals) = (&self.setup.geo, &mut self.totals);
        let flow_rows = &mut self.flow_rows;
        flow_rows.clear();
        let storing = self.setup.sink.is_some();
        let mut encoder = storing.then(FlowEncoder::new).transpose()?;
        let mut failed = None;
        self.flows = 0;
        // The previous row's source, its attribution, and its packets so far.
        let mut last: Option<(Source, Attribution, u64)> = None;
        merge::flows(epochs, |flow| {
            self.flows += 1;
            let by = match &mut last {
                Some((source, by, packets)) if *source == flow.source => {
                    *packets += flow.packets;
                    *by
                }
                _ => {
                    let by = if storing {
                        geo.attribute(flow.source, rules)
                    } else {
                        Attribution {
                            bogon: rules.is_bogon(flow.source),
                            ..Attribution::default()
                        }
                    };
                    if let Some((source, _, packets)) =
                        last.replace((flow.source, by, flow.packets))
                    {
                        totals.source(source, packets);
                    }
                    by
                }
            };
            totals.flow(flow.source, flow.cell);
            totals.findings.flow(&flow, by.bogon);
            let row = PortCount {
                packets: 1,
                bytes: flow.packets,
            };
            flow_rows.add_all(flow.cell, row);
            if !sketches.is_empty() {
                sketches.add(flow.source, flow.cell);
            }
            if let (Some(encoder), None) = (&mut encoder, &failed) {
                failed = encoder.push(rows::flow(start_us, &flow, by)).err();
            }
        });
        if let Some((source, _, packets)) = last {
            totals.source(source, packets);
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        Ok(encoder.map(FlowEncoder::finish).transpose()?)
    }

    /// Writes the interval's ledger rows, last: they say that its other files are complete.
    fn put_ledger(
        &mut self,
        interval: IntervalId,
        ledger: &BTreeMap<QueueId, QueueLedger>,
        rules: &Rules,
        degraded: bool,
    ) -> Result<()> {
        let mut rows = Vec::new();
        let (mut counted, mut lost) = (0, 0);
        let mut repeats = Repeats::default();
        for row in ledger.values() {
            self.totals.account(row);
            self.totals.findings.tally(&row.tally, rules);
            rows.push(self.setup.facts.row(interval, row, rules, degraded));
            repeats.add(row.repeats);
            counted += row.tally.packets;
            lost += row.lost.total();
        }
        if let Some(percent) = repeats.suspicious_percent()
            && self.setup.announce
            && !std::mem::replace(&mut self.warned_of_repeats, true)
        {
            log::warn!(
                "{percent} % of the packets repeat another one within a millisecond: check whether the mirror port copies both directions, or two taps see one path; `ledger` has the share of each interval"
            );
        }
        if self.setup.announce {
            let stamp = stamp(interval.start);
            let note = if degraded {
                ", degraded: more flows than rows"
            } else {
                ""
            };
            let line = format!(
                "interval {stamp}: {counted} dark packets, {} flows, {lost} lost{note}",
                self.flows
            );
            if lost == 0 {
                log::info!("{line}");
            } else {
                log::warn!("{line}: the causes are in `ledger`");
            }
        }
        if let Some(sink) = &mut self.setup.sink
            && !rows.is_empty()
        {
            let bytes = encode_ledger(&rows)?;
            sink.put(Table::Ledger, interval.start_us(), bytes)?;
        }
        Ok(())
    }
}
