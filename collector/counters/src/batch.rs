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
use noctule_packet::rules::{Marks, Probes, Rules};

use crate::count::Waiting;
use crate::epoch::Epoch;
use crate::tally::Timing;

/// Packets of a group: enough requests to the memory at once, few enough that what has come is still
/// there when it is needed.
const GROUP: usize = 2 * LANES;
/// The group that is being read, and the one before.
const GROUPS: usize = 2;

/// A dark frame, to be decoded and counted.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'f> {
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
    /// The lane whose tally counts it.
    pub lane: usize,
}

/// Packets that go through the stages together.
#[derive(Clone)]
struct Group {
    waiting: [Waiting; GROUP],
    packets: usize,
}

/// Packets of one epoch that wait to be counted. Its memory is allocated once.
pub struct Batch {
    groups: Box<[Group; GROUPS]>,
    columns: Together,
    /// Which group is read into next.
    next: usize,
}

impl Default for Batch {
    fn default() -> Self {
        let empty = Group {
            waiting: [Waiting::NOTHING; GROUP],
            packets: 0,
        };
        Self {
            groups: Box::new(std::array::from_fn(|_| empty.clone())),
            columns: Together::default(),
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
        frames: impl IntoIterator<Item = Frame<'f>>,
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
                let waiting = &mut group.waiting[packets..packets + LANES];
                let read = self.columns.read(&rules, epoch, waiting, &mut frames);
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
            epoch.fetch_tags(&group.waiting[..packets]);
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
        let Group { waiting, packets } = &mut self.groups[group];
        epoch.fetch_rows(&mut waiting[..*packets]);
    }

    fn count_group(&mut self, epoch: &mut Epoch, group: usize) {
        let Group { waiting, packets } = &mut self.groups[group];
        for waiting in &waiting[..*packets] {
            epoch.count_waiting(waiting);
        }
        *packets = 0;
    }
}

/// Packets that are judged together.
#[derive(Default)]
struct Together {
    columns: Columns,
}

impl Together {
    /// Reads and judges frames until `waiting` is full or they are at their end; how many packets
    /// they were.
    #[inline]
    fn read<'f>(
        &mut self,
        rules: &Rules,
        epoch: &mut Epoch,
        waiting: &mut [Waiting],
        frames: &mut impl Iterator<Item = Frame<'f>>,
    ) -> usize {
        let mut probes: Probes<'f> = [None; LANES];
        let mut packets = 0;
        let mut some_probe = false;
        for frame in frames {
            let read = decode::read(rules, frame.network, frame.octets, frame.wire_bytes);
            let Some(read) = read else { continue };
            let Frame {
                offset_us,
                timing,
                lane,
                ..
            } = frame;
            let place = &mut waiting[packets];
            epoch.announce(place, &read.packet, offset_us, timing, lane);
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
        let marks = if some_probe {
            rules.judge_all(&self.columns, &probes)
        } else {
            [Marks::default(); LANES]
        };
        for ((waiting, probe), marks) in waiting[..packets].iter_mut().zip(&probes).zip(&marks) {
            epoch.judge(waiting, probe.map(|_| *marks));
        }
        packets
    }
}
