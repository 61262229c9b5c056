//! Counts packets in groups, so that the cache lines they need are prefetched ahead of time.
//!
//! A group passes three stages while the memory fetches for it. First its packets are decoded and
//! matched against the fingerprints, and the tags of their buckets and the counters of their ports
//! are prefetched. Before the next group is decoded, their rows are prefetched. After the next group
//! was decoded, they are counted.

use std::sync::Arc;

use noctule_packet::decode;
use noctule_packet::link::Network;
use noctule_packet::rules::columns::{Columns, LANES};
use noctule_packet::rules::{Probes, RuleMatches, Rules};

use crate::count::PendingPacket;
use crate::epoch::Epoch;
use crate::tally::Timing;

/// Packets of a group: enough prefetches to run in parallel, and few enough that the lines are still
/// cached when they are used.
const GROUP: usize = 2 * LANES;
/// The group that is being decoded, and the group before it.
const GROUPS: usize = 2;

/// A dark frame, to be decoded and counted.
#[derive(Clone, Copy, Debug)]
pub struct DarkFrame<'f> {
    /// Protocol and offset of its IP header.
    pub network: Network,
    /// The captured octets, from the link layer on.
    pub octets: &'f [u8],
    /// Length on the wire in octets, link layer included.
    pub wire_bytes: usize,
    /// Microseconds after the interval's start.
    pub offset_us: u32,
    /// Whether its time lies in the interval.
    pub timing: Timing,
    /// The RX queue (in a replay 0) whose tally counts it.
    pub queue: usize,
}

/// Packets that pass the stages together.
#[derive(Clone)]
struct Group {
    pending: [PendingPacket; GROUP],
    packets: usize,
}

/// Packets of one epoch that are not counted yet. Its memory is allocated once.
pub struct Batch {
    groups: Box<[Group; GROUPS]>,
    probes: ProbeGroup,
    /// Index of the group that is decoded into next.
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
            probes: ProbeGroup::default(),
            next: 0,
        }
    }
}

impl Batch {
    /// Takes all frames, and counts all but the last of them; returns how many it took. Frames that
    /// are cut before their destination address are left out.
    pub fn count<'f>(
        &mut self,
        epoch: &mut Epoch,
        frames: impl IntoIterator<Item = DarkFrame<'f>>,
    ) -> u64 {
        let rules = Arc::clone(epoch.rules());
        let mut frames = frames.into_iter();
        let mut taken = 0;
        loop {
            // These rows arrive while the next group is decoded, and the tags of the next group
            // while these packets are counted. Both at once would exceed the CPU's fill buffers.
            let before = (self.next + 1) % GROUPS;
            self.fetch_rows(epoch, before);
            let group = &mut self.groups[self.next];
            group.packets = 0;
            while group.packets < GROUP {
                let packets = group.packets;
                let pending = &mut group.pending[packets..packets + LANES];
                let read = self.probes.read(&rules, epoch, pending, &mut frames);
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

    /// Counts the packets that were taken and not counted. Call it before the epoch is handed over.
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

/// Up to [`LANES`] probes that are matched against the fingerprints at once.
#[derive(Default)]
struct ProbeGroup {
    columns: Columns,
}

impl ProbeGroup {
    /// Decodes and matches frames until `pending` is full or `frames` ends; returns how many packets
    /// it wrote to `pending`.
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
