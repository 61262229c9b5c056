//! FlowTuples of a replay: every dark packet a second time, on a thread of its own.
//!
//! The reader hands each dark packet to a [`Tap`] besides the worker that counts it. One thread sees
//! them all, in the captures' order, so that the files do not depend on how many workers there are.
//! Its intervals are its own, by the same rule (counting rule 9) as those of the store.

use anyhow::{Result, anyhow};
use crossbeam_channel::{Receiver, Sender};
use noctule_capture::file::MergedRecord;
use noctule_counters::epoch::Timing;
use noctule_counters::tuples::{Sorted, Tuples};
use noctule_packet::Source;
use noctule_packet::darknet::Destination;
use noctule_packet::flowtuple::Reader;
use noctule_packet::link::Network;
use noctule_store::Country;
use noctule_store::flowtuple::{FlowTupleFile, FlowTupleFolder, FlowTupleRow};

use crate::interval::IntervalClock;
use crate::message::IntervalStart;
use crate::rows::Geo;
use crate::shard::{Batch, Item, Order, Shard};

/// The reader's end: where dark packets go a second time.
pub struct Tap {
    clock: IntervalClock,
    shard: Shard,
}

impl Tap {
    /// A tap with intervals of this length, and the ends of its [`Recorder`]: where orders come in,
    /// and where emptied batches go.
    pub fn new(interval_seconds: u32) -> (Self, Receiver<Order>, Sender<Batch>) {
        let (shard, inbox, recycle) = Shard::new();
        let clock = IntervalClock::new(interval_seconds);
        (Self { clock, shard }, inbox, recycle)
    }

    /// Takes a record, dark or not: time goes on with each.
    ///
    /// # Errors
    /// The recorder has ended; it says why.
    #[inline(never)]
    pub fn record(&mut self, merged: &MergedRecord<'_>, destination: Destination) -> Result<()> {
        let assigned = (self.clock).assign(merged.record.time_us, merged.next_time_us);
        if let Some(advance) = assigned.advanced {
            self.shard.close(advance.closed_through)?;
        }
        match destination {
            Destination::Dark(network) => self.shard.push(merged, &assigned, network),
            Destination::Passed | Destination::NotParsed => Ok(()),
        }
    }

    /// Nothing more comes: the captures were read to their ends, or the replay was stopped.
    ///
    /// # Errors
    /// As [`Tap::record`].
    pub fn finish(&mut self, stopped: bool) -> Result<()> {
        if stopped {
            self.shard.send()
        } else {
            self.shard.close(IntervalStart::MAX)
        }
    }
}

/// What a recorder is made of.
pub struct Setup<'f> {
    /// Where files go.
    pub folder: &'f FlowTupleFolder,
    /// Reads the packets.
    pub reader: Reader,
    /// Files that attribute sources.
    pub geo: Geo,
    /// Most FlowTuples at once, of all open intervals.
    pub max_tuples: usize,
}

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Packets that stand in files.
    pub packets: u64,
    /// Rows of these files.
    pub rows: u64,
    /// The files.
    pub files: u64,
    /// Octets of them.
    pub bytes: u64,
    /// IPv6 packets, which the format does not know.
    pub ipv6: u64,
    /// Packets that count in another interval than their own, as late or as time jumps.
    pub displaced: u64,
    /// How often an interval was written out early, so that FlowTuples may stand twice in it.
    pub splits: u64,
    /// Packets of intervals that had not ended when the replay was stopped; no file has them.
    pub unfinished: u64,
}

/// Counts packets by FlowTuple and writes a file for each interval.
pub struct Recorder<'f> {
    setup: Setup<'f>,
    tuples: Tuples,
    /// Files of open intervals that were written to early, with the packets in them.
    begun: Vec<(IntervalStart, FlowTupleFile<'f>, u64)>,
    recorded: Recorded,
}

impl<'f> Recorder<'f> {
    /// A recorder that has seen nothing.
    pub fn new(setup: Setup<'f>) -> Self {
        Self {
            tuples: Tuples::new(setup.max_tuples),
            setup,
            begun: Vec::new(),
            recorded: Recorded::default(),
        }
    }

    /// Takes orders until the reader is gone. Intervals that it has not closed then are given up:
    /// the replay was stopped.
    ///
    /// # Errors
    /// A file cannot be written, or stands there with other content. Those of intervals before it
    /// are there.
    pub fn run(mut self, inbox: &Receiver<Order>, recycle: &Sender<Batch>) -> Result<Recorded> {
        for order in inbox {
            match order {
                Order::Count(mut batch) => {
                    for (interval, packets) in batch.runs() {
                        for (item, octets) in packets {
                            self.count(interval, item, octets)?;
                        }
                    }
                    batch.clear();
                    // The reader may be done and gone.
                    let _ = recycle.send(batch);
                }
                Order::Close(through) => self.close(through)?,
            }
        }
        let unwritten = self
            .begun
            .iter()
            .map(|(_, _, packets)| packets)
            .sum::<u64>();
        self.recorded.unfinished = unwritten;
        while let Some(interval) = self.tuples.oldest() {
            let packets = |sorted: Sorted| sorted.iter().map(|&(_, packets)| packets).sum::<u64>();
            self.recorded.unfinished += packets(self.tuples.take(interval));
        }
        Ok(self.recorded)
    }

    #[inline]
    fn count(&mut self, interval: IntervalStart, item: &Item, octets: &[u8]) -> Result<()> {
        let wire_bytes = item.wire_bytes as usize;
        let Some(tuple) = self.setup.reader.read(item.network, octets, wire_bytes) else {
            self.recorded.ipv6 += u64::from(matches!(item.network, Network::Ipv6 { .. }));
            return Ok(());
        };
        self.recorded.displaced += u64::from(item.timing != Timing::OnTime);
        if !self.tuples.add(interval, tuple) {
            self.split()?;
            if !self.tuples.add(interval, tuple) {
                return Err(anyhow!(
                    "there is no room for one FlowTuple in an empty table: this is a defect"
                ));
            }
        }
        Ok(())
    }

    /// Makes room: what the fullest interval holds goes to its file, and it begins anew.
    #[cold]
    fn split(&mut self) -> Result<()> {
        let Some(interval) = self.tuples.largest() else {
            return Ok(());
        };
        let known = (self.begun.iter()).position(|&(begun, ..)| begun == interval);
        let place = match known {
            Some(place) => place,
            None => {
                let file = self.setup.folder.begin(interval)?;
                self.begun.push((interval, file, 0));
                self.begun.len() - 1
            }
        };
        let sorted = self.tuples.take(interval);
        let (_, file, packets) = &mut self.begun[place];
        *packets += append(file, sorted, &self.setup.geo, &mut self.recorded.rows)?;
        self.recorded.splits += 1;
        Ok(())
    }

    /// Writes this interval's file and those of all before it.
    fn close(&mut self, through: IntervalStart) -> Result<()> {
        while let Some(interval) = self.oldest().filter(|&interval| interval <= through) {
            let begun = (self.begun.iter()).position(|&(begun, ..)| begun == interval);
            let (mut file, mut packets) = match begun.map(|place| self.begun.swap_remove(place)) {
                Some((_, file, packets)) => (file, packets),
                None => (self.setup.folder.begin(interval)?, 0),
            };
            let sorted = self.tuples.take(interval);
            packets += append(&mut file, sorted, &self.setup.geo, &mut self.recorded.rows)?;
            self.recorded.bytes += file.publish()?;
            self.recorded.files += 1;
            self.recorded.packets += packets;
        }
        Ok(())
    }

    /// The oldest interval that has packets.
    fn oldest(&self) -> Option<IntervalStart> {
        let begun = self.begun.iter().map(|&(interval, ..)| interval).min();
        [begun, self.tuples.oldest()].into_iter().flatten().min()
    }
}

/// Adds sorted FlowTuples to a file; returns their packets.
fn append(file: &mut FlowTupleFile<'_>, sorted: Sorted, geo: &Geo, rows: &mut u64) -> Result<u64> {
    *rows += sorted.len() as u64;
    let mut written = 0;
    // What holds for all rows of the source that came last.
    let mut last: Option<(u32, Option<Country>, Option<u32>)> = None;
    file.append(sorted.into_iter().map(|(tuple, packets)| {
        written += packets;
        let (_, country, asn) = match last {
            Some(known) if known.0 == tuple.source => known,
            _ => {
                let source = Source::V4(tuple.source);
                *last.insert((tuple.source, geo.country(source), geo.asn(source)))
            }
        };
        FlowTupleRow {
            source: tuple.source,
            destination: tuple.destination,
            protocol: tuple.protocol,
            source_port: tuple.source_port,
            destination_port: tuple.destination_port,
            ttl: tuple.ttl,
            tcp_flags: tuple.tcp_flags,
            ip_length: tuple.ip_length,
            syn_header_bytes: tuple.syn_header_bytes,
            syn_window: tuple.syn_window,
            is_spoofed: tuple.is_spoofed,
            is_masscan: tuple.is_masscan,
            packets,
            country,
            asn,
        }
    }))?;
    Ok(written)
}

#[cfg(test)]
mod tests;
