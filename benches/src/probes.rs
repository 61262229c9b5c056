//! TCP SYNs that are generated while they are counted, from any number of sources and ports, in
//! frames that are laid out like a ring's.

use std::ops::Range;

use anyhow::{Result, ensure};
use noctule_counters::batch::Batch;
use noctule_counters::epoch::Epoch;
use noctule_packet::darknet::Darknet;

use crate::frames::PREFIX;
use crate::frames::located;

/// Octets of a slot.
const SLOT: usize = 64;
/// Slots: 64 MiB.
const SLOTS: usize = 1 << 20;

/// Octets of a frame: Ethernet's minimum, without the checksum.
const FRAME: usize = 60;
const SOURCE: usize = 14 + 12;
const PORT: usize = 14 + 20 + 2;

/// Frames of 64 octets, over 64 MiB.
pub struct Probes {
    octets: Vec<u8>,
    darknet: Darknet,
}

impl Probes {
    /// Frames that differ in sequence number and destination only.
    pub fn new() -> Result<Self> {
        let mut octets = vec![0; SLOT * SLOTS];
        for (number, slot) in octets.chunks_exact_mut(SLOT).enumerate() {
            slot[12..14].copy_from_slice(&[8, 0]);
            slot[14..24].copy_from_slice(&[0x45, 0, 0, 40, 0x12, 0x34, 0, 0, 61, 6]);
            slot[30..32].copy_from_slice(&[198, 18]);
            slot[32..34].copy_from_slice(&(number as u16).to_be_bytes());
            slot[34..36].copy_from_slice(&40_000u16.to_be_bytes());
            slot[38..42].copy_from_slice(&(number as u32).wrapping_mul(0x9e37_79b1).to_be_bytes());
            slot[46..50].copy_from_slice(&[0x50, 2, 0xfa, 0xf0]);
        }
        let darknet = Darknet::parse(&[PREFIX], &[])?;
        Ok(Self { octets, darknet })
    }

    /// Number of frames.
    pub const fn len(&self) -> usize {
        SLOTS
    }

    /// The frames.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.octets.chunks_exact(SLOT).map(|slot| &slot[..FRAME])
    }

    /// Writes source and port of packets with these numbers, as `key` gives them, into the first
    /// frames. There must be no more numbers than frames.
    pub fn write(&mut self, packets: Range<u64>, mut key: impl FnMut(u64) -> (u32, u16)) {
        for (slot, packet) in self.octets.chunks_exact_mut(SLOT).zip(packets) {
            let (source, port) = key(packet);
            slot[SOURCE..SOURCE + 4].copy_from_slice(&source.to_be_bytes());
            slot[PORT..PORT + 2].copy_from_slice(&port.to_be_bytes());
        }
    }

    /// Counts the first frames as a live worker does; the last ones may remain in the batch.
    pub fn count(&self, frames: usize, batch: &mut Batch, epoch: &mut Epoch) -> Result<()> {
        let located = located(&self.darknet, self.iter().take(frames));
        let counted = batch.count(epoch, located);
        ensure!(
            counted == frames as u64,
            "{counted} of {frames} frames were counted"
        );
        Ok(())
    }

    /// Counts the packets with these numbers.
    pub fn send(
        &mut self,
        batch: &mut Batch,
        epoch: &mut Epoch,
        packets: Range<u64>,
        key: impl Fn(u64) -> (u32, u16),
    ) -> Result<()> {
        let mut next = packets.start;
        while next < packets.end {
            let end = packets.end.min(next + SLOTS as u64);
            self.write(next..end, &key);
            self.count((end - next) as usize, batch, epoch)?;
            next = end;
        }
        Ok(())
    }
}
