//! The reader of a replay: decides which records are dark, assigns them to intervals, and spreads
//! them over the workers by source, so that all rows of a source are in one worker's tables.

use std::collections::BTreeMap;
use std::collections::btree_map::OccupiedEntry;

use anyhow::{Result, anyhow};
use crossbeam_channel::Sender;
use noctule_capture::file::{CaptureRecord, Merged, MergedRecord};
use noctule_counters::epoch::Timing;
use noctule_counters::repeats::RepeatSampler;
use noctule_packet::Unparsed;
use noctule_packet::darknet::{Darknet, Destination};
use noctule_packet::link::Network;
use noctule_store::tables::Mode;

use crate::flowtuple::Tap;
use crate::interval::{Advance, IntervalClock, LAST_INTERVAL, ObservedSpans};
use crate::ledger::QueueLedger;
use crate::message::Message;
use crate::replay::link_types::LinkTypes;
use crate::shard::Shard;
use crate::time::{IntervalId, IntervalStart};

/// Records between two updates of the progress display.
const SHOW_EVERY: u64 = 8192;

/// Records that a replay has read.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordCounts {
    /// Records read.
    pub records: u64,
    /// How often a clock was set back to intervals that were closed.
    pub set_back: u64,
}

/// Accounts of the open intervals. The one used last is kept apart from the map, because most records
/// belong to the same interval as the record before.
#[derive(Default)]
struct Accounts {
    rows: BTreeMap<IntervalStart, QueueLedger>,
    current: Option<(IntervalStart, QueueLedger)>,
    first: Option<IntervalStart>,
}

impl Accounts {
    /// The account of an interval, made if it is new.
    #[inline]
    fn row(&mut self, interval: IntervalStart) -> &mut QueueLedger {
        if !matches!(self.current, Some((current, _)) if current == interval) {
            self.take(interval);
        }
        // `take` has made it current, so this never makes a new account.
        let fresh = || (interval, QueueLedger::new(0, Mode::Replay));
        &mut self.current.get_or_insert_with(fresh).1
    }

    /// Makes the account of an interval the current one.
    #[cold]
    fn take(&mut self, interval: IntervalStart) {
        self.rows.extend(self.current.take());
        let first = *self.first.get_or_insert(interval);
        let row = (self.rows.remove(&interval)).unwrap_or_else(|| QueueLedger {
            // It is unknown whether the sensor observed the time before a capture's first record.
            partial: interval <= first,
            ..QueueLedger::new(0, Mode::Replay)
        });
        self.current = Some((interval, row));
    }

    /// The newest open interval's account.
    fn newest(&mut self) -> Option<&mut QueueLedger> {
        self.rows.extend(self.current.take());
        self.rows.last_entry().map(OccupiedEntry::into_mut)
    }

    /// Removes and returns the accounts of this interval and of all before it.
    fn close(&mut self, through: IntervalStart) -> BTreeMap<IntervalStart, QueueLedger> {
        self.rows.extend(self.current.take());
        let later = self.rows.split_off(&(through + 1));
        std::mem::replace(&mut self.rows, later)
    }
}

/// The reader of a replay.
pub struct Reader<'d> {
    darknet: &'d Darknet,
    clock: IntervalClock,
    shards: Vec<Shard>,
    open: Accounts,
    /// How often the clock was set back.
    era: u32,
    flusher: Sender<Message>,
    /// Takes every dark packet a second time, for the FlowTuple recorder.
    tap: Option<Box<Tap>>,
    counts: RecordCounts,
    link_types: LinkTypes,
    observed: ObservedSpans,
    repeats: RepeatSampler,
}

impl<'d> Reader<'d> {
    /// A reader that has read nothing. `shards` are the workers; `tap` takes every dark packet a
    /// second time, for the FlowTuple recorder.
    pub fn new(
        darknet: &'d Darknet,
        interval_seconds: u32,
        shards: Vec<Shard>,
        flusher: Sender<Message>,
        tap: Option<Tap>,
    ) -> Self {
        Self {
            darknet,
            clock: IntervalClock::new(interval_seconds),
            shards,
            open: Accounts::default(),
            era: 0,
            flusher,
            tap: tap.map(Box::new),
            counts: RecordCounts::default(),
            link_types: LinkTypes::default(),
            observed: ObservedSpans::default(),
            repeats: RepeatSampler::default(),
        }
    }

    /// Reads the captures to their ends, or until `go_on`, which is called every [`SHOW_EVERY`]
    /// records, returns false.
    ///
    /// # Errors
    /// A worker, the recorder or the flusher has ended early.
    pub fn run(
        mut self,
        captures: &mut Merged,
        mut go_on: impl FnMut(&Merged, RecordCounts) -> bool,
    ) -> Result<(RecordCounts, LinkTypes)> {
        let mut stopped = false;
        while let Some(merged) = captures.next() {
            self.read(&merged)?;
            if self.counts.records.is_multiple_of(SHOW_EVERY) && !go_on(captures, self.counts) {
                stopped = true;
                break;
            }
        }
        if let Some(tap) = &mut self.tap {
            tap.finish(stopped)?;
        }
        self.close_all()?;
        Ok((self.counts, self.link_types))
    }

    #[inline]
    fn read(&mut self, merged: &MergedRecord<'_>) -> Result<()> {
        let record = &merged.record;
        let assigned = self.clock.assign(merged.placed);
        let set_back = (assigned.advanced).is_some_and(|advance| advance.set_back());
        if set_back {
            self.set_back()?;
        }
        if assigned.timing == Timing::OnTime {
            let after_gap = (assigned.advanced).is_some_and(|advance| advance.after_gap);
            self.observed.add(merged.placed.time_us, after_gap);
        }
        if let Some(advance) = assigned.advanced.filter(|_| !set_back) {
            if let Some(newest) = self.open.newest() {
                newest.repeats.add(self.repeats.take());
            }
            self.advance(advance)?;
        }
        self.counts.records += 1;
        self.link_types.record(merged.file);
        let row = self.open.row(assigned.interval);
        row.records += 1;
        let destination = match record.link {
            Some(link) => self.darknet.destination(link, record.bytes),
            None => {
                self.link_types.unread(merged.file, record.link_number);
                Destination::NotParsed
            }
        };
        if let Some(tap) = &mut self.tap {
            tap.record(merged, destination)?;
        }
        let wire_bytes = u64::from(record.wire_bytes);
        match destination {
            Destination::Dark(network) => {
                self.repeats.packet(network, record.bytes, record.time_us);
                row.matched += 1;
                row.matched_bytes += wire_bytes;
                let shards = self.shards.len();
                let shard = if shards == 1 {
                    0
                } else {
                    shard_of(network, record.bytes, shards)
                };
                self.shards[shard].push(merged, &assigned, network)
            }
            Destination::Passed => {
                row.passed += 1;
                row.passed_bytes += wire_bytes;
                Ok(())
            }
            Destination::NotParsed => {
                row.add_unparsed(unparsed(self.darknet, record), 1, wire_bytes);
                Ok(())
            }
        }
    }

    /// Time has gone on to another interval: opens accounts of the intervals without records, and
    /// closes the oldest ones.
    fn advance(&mut self, advance: Advance) -> Result<()> {
        let Advance {
            closed_through,
            empty: (from, to),
            after_gap: _,
        } = advance;
        let step = self.clock.seconds();
        let mut interval = from;
        while interval < to {
            self.open.row(interval);
            interval += step;
        }
        self.close(closed_through)
    }

    /// Closes every interval.
    fn close_all(&mut self) -> Result<()> {
        if let Some(last) = self.open.newest() {
            last.repeats.add(self.repeats.take());
            // It is unknown whether the sensor observed the rest of a capture's last interval.
            last.partial = true;
        }
        self.close(LAST_INTERVAL)
    }

    /// The clock was set back: closes every interval, and begins another era. An interval may come again
    /// in it.
    #[cold]
    fn set_back(&mut self) -> Result<()> {
        self.close_all()?;
        for shard in &mut self.shards {
            shard.set_back()?;
        }
        self.era += 1;
        self.counts.set_back += 1;
        self.open = Accounts::default();
        self.observed = ObservedSpans::default();
        Ok(())
    }

    /// Closes this interval and all before it: the workers send their tables, and this thread the
    /// accounts.
    fn close(&mut self, through: IntervalStart) -> Result<()> {
        for shard in &mut self.shards {
            shard.close(through)?;
        }
        for (interval, row) in self.open.close(through) {
            let start_us = interval.saturating_mul(1_000_000);
            let end_us = start_us.saturating_add(self.clock.seconds() * 1_000_000);
            let (from, to) = self.observed.within(start_us, end_us);
            let row = Box::new(QueueLedger {
                partial: row.partial || (from, to) != (start_us, end_us),
                observed_ms: (to - from) as u64 / 1000,
                observed_us: Some((from, to)),
                ..row
            });
            self.send(Message::Ledger {
                interval: self.id(interval),
                row,
            })?;
        }
        self.send(Message::Closed {
            producer: self.shards.len(),
            through: self.id(through),
        })
    }

    /// An interval of the era.
    const fn id(&self, start: IntervalStart) -> IntervalId {
        IntervalId {
            era: self.era,
            start,
        }
    }

    fn send(&self, message: Message) -> Result<()> {
        self.flusher
            .send(message)
            .map_err(|_| anyhow!("the flusher thread has ended early"))
    }
}

/// What a record is that was not parsed.
#[cold]
fn unparsed(darknet: &Darknet, record: &CaptureRecord<'_>) -> Unparsed {
    match record.link {
        Some(link) => (darknet.unparsed(link, record.bytes)).unwrap_or(Unparsed::Other),
        None => Unparsed::LinkType(record.link_number),
    }
}

/// Number of the worker that counts a packet; equal for all packets of a source.
fn shard_of(network: Network, frame: &[u8], shards: usize) -> usize {
    let source = match network {
        Network::Ipv4 { offset } => frame.get(offset + 12..offset + 16),
        Network::Ipv6 { offset } => frame.get(offset + 8..offset + 24),
    };
    let folded = (source.unwrap_or_default().chunks_exact(4)).fold(0u32, |sum, word| {
        sum ^ u32::from_be_bytes([word[0], word[1], word[2], word[3]])
    });
    let mixed = u64::from(folded.wrapping_mul(0x9e37_79b1));
    ((mixed * shards as u64) >> 32) as usize
}
