//! FlowTuples of a replay: a thread counts every dark packet a second time.
//!
//! The reader sends each dark packet to a worker and to a [`Tap`]. One thread receives all of them, in
//! the captures' order, so that the files do not depend on the number of workers. Its intervals follow
//! counting rule 9, as those of the store do, but may have another length.

use std::path::Path;

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

use crate::geo::Geo;
use crate::interval::IntervalClock;
use crate::shard::{BatchedPacket, Command, PacketBatch, Shard};
use crate::time::IntervalStart;

/// The reader's end of a [`Recorder`].
pub struct Tap {
    clock: IntervalClock,
    shard: Shard,
}

impl Tap {
    /// A tap with intervals of this length, and the recorder's ends: commands to receive, and a
    /// channel for emptied batches.
    pub fn new(interval_seconds: u32) -> (Self, Receiver<Command>, Sender<PacketBatch>) {
        let (shard, inbox, recycle) = Shard::new();
        let clock = IntervalClock::new(interval_seconds);
        (Self { clock, shard }, inbox, recycle)
    }

    /// Takes a record, dark or not: every record can advance the time.
    ///
    /// # Errors
    /// The recorder has ended; it returns the cause itself.
    #[inline(never)]
    pub fn record(&mut self, merged: &MergedRecord<'_>, destination: Destination) -> Result<()> {
        let assigned = self.clock.assign(merged.placed);
        if let Some(advance) = assigned.advanced {
            self.shard.close(advance.closed_through)?;
            if advance.set_back() {
                self.shard.set_back()?;
            }
        }
        match destination {
            Destination::Dark(network) => self.shard.push(merged, &assigned, network),
            Destination::Passed | Destination::NotParsed => Ok(()),
        }
    }

    /// Ends the recording; `stopped`: before the captures' ends.
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

/// Parts of a recorder.
pub struct RecorderSetup<'f> {
    /// Folder of the files.
    pub folder: &'f FlowTupleFolder,
    /// Reads a packet's header fields.
    pub reader: Reader,
    /// Files that attribute sources.
    pub geo: Geo,
    /// Most FlowTuples in memory, of all open intervals.
    pub max_tuples: usize,
}

/// Where the dark packets of a replay are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowTupleCounts {
    /// Packets in files.
    pub packets: u64,
    /// Rows of the files.
    pub rows: u64,
    /// Number of files.
    pub files: u64,
    /// Octets of the files.
    pub bytes: u64,
    /// IPv6 packets, for which the format has no record.
    pub ipv6: u64,
    /// Packets that count in another interval than their own: late packets and time jumps.
    pub displaced: u64,
    /// How often an interval was written out early; a FlowTuple may then have several rows in it.
    pub splits: u64,
    /// Packets of intervals that had not ended when the replay was stopped; they are in no file.
    pub unfinished: u64,
}

/// Counts packets by FlowTuple and writes a file for each interval.
pub struct Recorder<'f> {
    setup: RecorderSetup<'f>,
    tuples: Tuples,
    /// Files of open intervals that were written out early, with their numbers of packets.
    begun: Vec<(IntervalStart, FlowTupleFile<'f>, u64)>,
    /// How often the clock was set back.
    era: u32,
    recorded: FlowTupleCounts,
}

impl FlowTupleCounts {
    /// Checks that every dark packet of the replay is accounted for.
    ///
    /// # Errors
    /// A packet is in no file and in none of the other counts.
    pub fn check(&self, dark_packets: u64, folder: &Path) -> Result<()> {
        let accounted = self.packets + self.ipv6 + self.unfinished;
        if accounted == dark_packets {
            return Ok(());
        }
        Err(anyhow!(
            "of {dark_packets} dark packets, FlowTuples account for {accounted}: this is a defect, do not use the files in {}",
            folder.display()
        ))
    }
}

impl<'f> Recorder<'f> {
    /// A recorder without packets.
    pub fn new(setup: RecorderSetup<'f>) -> Self {
        Self {
            tuples: Tuples::new(setup.max_tuples),
            setup,
            begun: Vec::new(),
            era: 0,
            recorded: FlowTupleCounts::default(),
        }
    }

    /// Takes commands until the reader is gone. Intervals that are still open then are discarded,
    /// because the replay was stopped.
    ///
    /// # Errors
    /// A file cannot be written, or exists with other content. Files of earlier intervals are
    /// complete.
    pub fn run(
        mut self,
        inbox: &Receiver<Command>,
        recycle: &Sender<PacketBatch>,
    ) -> Result<FlowTupleCounts> {
        for command in inbox {
            match command {
                Command::Count(mut batch) => {
                    for (interval, packets) in batch.runs() {
                        for (item, octets) in packets {
                            self.count(interval, item, octets)?;
                        }
                    }
                    batch.clear();
                    // The reader may have ended.
                    let _ = recycle.send(batch);
                }
                Command::Close(through) => self.close(through)?,
                Command::SetBack => self.era += 1,
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
    fn count(
        &mut self,
        interval: IntervalStart,
        item: &BatchedPacket,
        octets: &[u8],
    ) -> Result<()> {
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
                    "an empty FlowTuple table has no room for one FlowTuple: this is a defect"
                ));
            }
        }
        Ok(())
    }

    /// Begins an interval's file.
    fn begin(&self, interval: IntervalStart) -> Result<FlowTupleFile<'f>> {
        let folder = self.setup.folder;
        Ok(match self.era {
            0 => folder.begin(interval)?,
            era => folder.begin_in_era(interval, era)?,
        })
    }

    /// Makes room: writes the FlowTuples of the fullest interval to its file.
    #[cold]
    fn split(&mut self) -> Result<()> {
        let Some(interval) = self.tuples.largest() else {
            return Ok(());
        };
        let known = (self.begun.iter()).position(|&(begun, ..)| begun == interval);
        let place = match known {
            Some(place) => place,
            None => {
                let file = self.begin(interval)?;
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
                None => (self.begin(interval)?, 0),
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

/// Adds sorted FlowTuples to a file; returns their number of packets.
fn append(file: &mut FlowTupleFile<'_>, sorted: Sorted, geo: &Geo, rows: &mut u64) -> Result<u64> {
    *rows += sorted.len() as u64;
    let mut written = 0;
    // Country and AS number of the previous row's source.
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
