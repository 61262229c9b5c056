//! Packets on their way into the tables: what each will touch is asked for ahead of time.
//!
//! Packets go in groups, and each group through three stages, so that the memory works while others
//! are decoded and counted. First its packets are decoded and judged together, and the tags of their
//! buckets and the counters of their ports are asked for; then, when the group before is counted,
//! their rows; and when the next group is read, they are counted.

use std::sync::Arc;

use noctule_packet::decode;
use noctule_packet::link::Network;
use noctule_packet::rules::columns::{Columns, LANES};
use noctule_packet::rules::{Probes, RuleMatches, Rules};

use crate::count::PendingPacket;
use crate::epoch::Epoch;
use crate::tally::Timing;

/// Packets of a group: enough requests to the memory at once, few enough that what has come is still
/// there when it is needed.
const GROUP: usize = 2 * LANES;
/// The group that is being read, and the one before.
const GROUPS: usize = 2;

/// A dark frame, to be decoded and counted.
#[derive(Clone, Copy, Debug)]
pub struct DarkFrame<'f> {
    /// Where its IP header is.
    pub network: Network,
    /// What was captured of it, from the link layer on.
    pub octets: &'f [u8],
    /// Octets that it had on the wire, link layer included.
    pub wire_bytes: usize,
    /// Microseconds after the interval's start.
    pub offset_us: u32,
    /// How its time stands to the interval.
    pub timing: Timing,
    /// The RX queue (in a replay 0) whose tally counts it.
    pub queue: usize,
}

/// Packets that go through the stages together.
#[derive(Clone)]
struct Group {
    pending: [PendingPacket; GROUP],
    packets: usize,
}

/// Packets of one epoch that wait to be counted. Its memory is allocated once.
pub struct Batch {
    groups: Box<[Group; GROUPS]>,
    columns: ProbeGroup,
    /// Which group is read into next.
    next: usize,
}

impl Default for Batch {
    fn default() -> Self {
        let empty = Group {
            pending: [PendingPacket::NOTHING; GROUP],
            packets: 0,
        };
        Self {
            groups: Box::new(std::array::from_fn(|_| empty.clone())),
            columns: ProbeGroup::default(),
            next: 0,
        }
    }
}

impl Batch {
    /// Takes frames, and counts others that were taken before; returns how many it took. Frames that
    /// are cut before their destination address are none.
    pub fn count<'f>(
        &mut self,
        epoch: &mut Epoch,
        frames: impl IntoIterator<Item = DarkFrame<'f>>,
    ) -> u64 {
        let rules = Arc::clone(epoch.rules());
        let mut frames = frames.into_iter();
        let mut taken = 0;
        loop {
            // The memory fetches these rows while the next packets are read, and the tags of those
            // while these are counted: more requests at once than it can hold would stand in line.
            let before = (self.next + 1) % GROUPS;
            self.fetch_rows(epoch, before);
            let group = &mut self.groups[self.next];
            group.packets = 0;
            while group.packets < GROUP {
                let packets = group.packets;
                let pending = &mut group.pending[packets..packets + LANES];
                let read = self.columns.read(&rules, epoch, pending, &mut frames);
                group.packets += read;
                if read < LANES {
                    break;
                }
            }
            let packets = group.packets;
            if packets == 0 {
                return taken;
            }
            taken += packets as u64;
            epoch.fetch_tags(&group.pending[..packets]);
            self.count_group(epoch, before);
            self.next = before;
        }
    }

    /// Counts what waits. Nothing may wait when the epoch changes hands.
    pub fn finish(&mut self, epoch: &mut Epoch) {
        let last = (self.next + 1) % GROUPS;
        self.fetch_rows(epoch, last);
        self.count_group(epoch, last);
    }

    fn fetch_rows(&mut self, epoch: &Epoch, group: usize) {
        let Group { pending, packets } = &mut self.groups[group];
        epoch.fetch_rows(&mut pending[..*packets]);
    }

    fn count_group(&mut self, epoch: &mut Epoch, group: usize) {
        let Group { pending, packets } = &mut self.groups[group];
        for pending in &pending[..*packets] {
            epoch.count_pending(pending);
        }
        *packets = 0;
    }
}

/// Packets that are judged together.
#[derive(Default)]
struct ProbeGroup {
    columns: Columns,
}

impl ProbeGroup {
    /// Reads and judges frames until `pending` is full or they are at their end; how many packets
    /// they were.
    #[inline]
    fn read<'f>(
        &mut self,
        rules: &Rules,
        epoch: &mut Epoch,
        pending: &mut [PendingPacket],
        frames: &mut impl Iterator<Item = DarkFrame<'f>>,
    ) -> usize {
        let mut probes: Probes<'f> = [None; LANES];
        let mut packets = 0;
        let mut some_probe = false;
        for frame in frames {
            let read = decode::read(rules, frame.network, frame.octets, frame.wire_bytes);
            let Some(read) = read else { continue };
            let DarkFrame {
                offset_us,
                timing,
                queue,
                ..
            } = frame;
            let place = &mut pending[packets];
            epoch.prepare(place, &read.packet, offset_us, timing, queue);
            if let Some(probe) = &read.probe {
                self.columns.put(packets, probe);
                some_probe = true;
            }
            probes[packets] = read.probe;
            packets += 1;
            if packets == LANES {
                break;
            }
        }
        let matches = if some_probe {
            rules.match_probes(&self.columns, &probes)
        } else {
            [RuleMatches::default(); LANES]
        };
        for ((pending, probe), matches) in pending[..packets].iter_mut().zip(&probes).zip(&matches)
        {
            epoch.set_matches(pending, probe.map(|_| *matches));
        }
        packets
    }
}
