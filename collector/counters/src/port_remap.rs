//! Packets whose slot in the kernel ledger is not the slot of their cell.
//!
//! The kernel counts by destination port and knows no classes; a backscatter cell has the source
//! port. These packets are moved from one slot to the other, so that the kernel's counts and the
//! port counters can be compared slot by slot.

use noctule_abi::ledger::{SLOTS, slot};
use noctule_packet::CellId;

use crate::touched::Touched;

/// Differences by slot: 1 MiB, of which only slots with backscatter are written.
pub(crate) struct PortRemap {
    packets: Box<[i64]>,
    touched: Touched<6>,
}

impl Default for PortRemap {
    fn default() -> Self {
        Self {
            packets: vec![0; SLOTS as usize].into_boxed_slice(),
            touched: Touched::new(SLOTS as usize),
        }
    }
}

impl PortRemap {
    /// Size in octets.
    pub const BYTES: usize = SLOTS as usize * size_of::<i64>();

    /// Records that the kernel counted a packet of this cell in `slot_of_packet`. Slots out of range
    /// are ignored.
    #[inline]
    pub fn add(&mut self, cell: CellId, slot_of_packet: u32) {
        let from = slot(cell.protocol(), cell.port());
        for (slot, packets) in [(from, -1), (slot_of_packet, 1)] {
            if let Some(sum) = self.packets.get_mut(slot as usize) {
                *sum += packets;
                self.touched.mark(slot as usize);
            }
        }
    }

    /// Every slot whose difference is not zero.
    pub fn iter(&self) -> impl Iterator<Item = (u32, i64)> {
        (self.touched.ranges().flatten())
            .map(|slot| (slot as u32, self.packets[slot]))
            .filter(|&(_, packets)| packets != 0)
    }

    pub fn clear(&mut self) {
        self.touched.clear(|block| self.packets[block].fill(0));
    }
}

#[cfg(test)]
mod tests {
    use noctule_packet::Class;
    use noctule_packet::cell::protocol::TCP;

    use super::*;

    #[test]
    fn a_packet_is_taken_from_one_slot_and_added_to_another() {
        let mut port_remap = PortRemap::default();
        let answer = CellId::new(TCP, Class::Backscatter, Some(80));
        for port in [5, 5, 80] {
            port_remap.add(answer, slot(TCP, Some(port)));
        }
        assert_eq!(port_remap.iter().collect::<Vec<_>>(), [(5, 2), (80, -2)]);
        port_remap.clear();
        assert_eq!(port_remap.iter().count(), 0);
        port_remap.add(answer, SLOTS);
        assert_eq!(port_remap.iter().collect::<Vec<_>>(), [(80, -1)]);
    }
}
