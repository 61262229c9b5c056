//! Port counters: packets and bytes per protocol, class and port, in plain arrays.
//!
//! They are exact even when the flow table is full, because every cell has its counter from the
//! start: 65,536 ports and "no port" for TCP, UDP, ICMP and ICMPv6 in each class, and one cell per
//! class for every other protocol number.

use noctule_packet::cell::{CellId, Class, protocol};
use noctule_packet::decode::Packet;
use zerocopy::FromZeros;

use crate::memory::Memory;
use crate::port_remap::PortRemap;
use crate::prefetch::prefetch;
use crate::touched::Touched;

/// Packets and octets of IP datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
#[repr(C)]
pub struct PortCount {
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub bytes: u64,
}

/// Protocols with ports (or types and codes), in the order of their arrays.
const PORTED: [u8; 4] = [
    protocol::TCP,
    protocol::UDP,
    protocol::ICMP,
    protocol::ICMPV6,
];
/// 65,536 ports and "no port".
const PORTS: usize = 65_537;
/// Cells of protocols with ports.
const PORTED_CELLS: usize = PORTED.len() * Class::ALL.len() * PORTS;

/// All cells. The last part has 256 cells for each class; those of protocols with ports are unused.
const CELLS: usize = PORTED_CELLS + 256 * Class::ALL.len();

/// The counters of one worker and epoch: about 12.6 MB, of which only cells with traffic are written.
pub struct PortCounters {
    cells: Memory<PortCount>,
    touched: Touched<6>,
    remap: PortRemap,
}

impl Default for PortCounters {
    fn default() -> Self {
        Self {
            cells: Memory::zeroed(CELLS),
            touched: Touched::new(CELLS),
            remap: PortRemap::default(),
        }
    }
}

/// The index of a cell's counter.
#[inline]
pub(crate) fn place(cell: CellId) -> usize {
    let class = cell.class() as usize;
    let slot = match cell.protocol() {
        protocol::TCP => 0,
        protocol::UDP => 1,
        protocol::ICMP => 2,
        protocol::ICMPV6 => 3,
        other => return PORTED_CELLS + usize::from(other) * Class::ALL.len() + class,
    };
    let port = cell.port().map_or(0, |port| usize::from(port) + 1);
    (slot * Class::ALL.len() + class) * PORTS + port
}

/// The cell of the counter with this index: the inverse of [`place`].
fn cell(place: usize) -> CellId {
    let classes = Class::ALL.len();
    if let Some(rest) = place.checked_sub(PORTED_CELLS) {
        return CellId::new((rest / classes) as u8, Class::ALL[rest % classes], None);
    }
    let (row, port) = (place / PORTS, place % PORTS);
    let port = port.checked_sub(1).map(|port| port as u16);
    CellId::new(PORTED[row / classes], Class::ALL[row % classes], port)
}

impl PortCounters {
    /// Size of the counters in octets once every cell was written.
    pub const BYTES: usize = CELLS * size_of::<PortCount>() + PortRemap::BYTES;

    /// Records the kernel ledger's slot of a packet, if it is not the slot of its cell.
    #[inline]
    pub(crate) fn note_slot(&mut self, packet: &Packet) {
        if let Some(slot) = packet.ledger_slot {
            self.remap.add(packet.cell, slot);
        }
    }

    /// Slots of the kernel ledger whose count differs from that of the cells with that slot, and by
    /// how many packets: positive if the kernel has more.
    pub fn remapped(&self) -> impl Iterator<Item = (u32, i64)> {
        self.remap.iter()
    }

    /// Makes the kernel back the counters with memory now.
    pub(crate) fn fault_in(&self) {
        self.cells.fault_in();
    }

    /// Counts one packet of `bytes` octets.
    #[inline]
    pub fn add(&mut self, cell: CellId, bytes: u32) {
        self.add_at(place(cell) as u32, bytes);
    }

    /// [`PortCounters::add`] for the counter with this index.
    #[inline]
    pub(crate) fn add_at(&mut self, place: u32, bytes: u32) {
        let place = place as usize;
        self.touched.mark(place);
        let count = &mut self.cells[place];
        count.packets += 1;
        count.bytes += u64::from(bytes);
    }

    /// Adds several packets at once.
    #[inline]
    pub fn add_all(&mut self, cell: CellId, all: PortCount) {
        let place = place(cell);
        self.touched.mark(place);
        let count = &mut self.cells[place];
        count.packets += all.packets;
        count.bytes += all.bytes;
    }

    /// The count of a cell.
    #[inline]
    pub fn get(&self, cell: CellId) -> PortCount {
        self.cells[place(cell)]
    }

    /// Prefetches the counter with this index.
    #[inline]
    pub(crate) fn fetch(&self, place: u32) {
        prefetch(&self.cells[place as usize]);
    }

    /// Adds another worker's counts.
    pub fn merge(&mut self, other: &Self) {
        for place in other.touched.ranges().flatten() {
            let theirs = other.cells[place];
            if theirs.packets > 0 {
                self.touched.mark(place);
                self.cells[place].packets += theirs.packets;
                self.cells[place].bytes += theirs.bytes;
            }
        }
    }

    /// Every cell that is not empty.
    pub fn iter(&self) -> impl Iterator<Item = (CellId, PortCount)> {
        (self.touched.ranges().flatten())
            .map(|place| (cell(place), self.cells[place]))
            .filter(|(_, count)| count.packets > 0)
    }

    /// Sets every cell to zero.
    pub fn clear(&mut self) {
        self.remap.clear();
        self.touched
            .clear(|block| self.cells[block].fill(PortCount::default()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    fn any_cell() -> impl Strategy<Value = CellId> {
        let ported = (0usize..4, 0usize..3, proptest::option::of(any::<u16>()))
            .prop_map(|(p, c, port)| CellId::new(PORTED[p], Class::ALL[c], port));
        let other = (any::<u8>(), 0usize..3)
            .prop_filter("has ports", |(number, _)| !PORTED.contains(number))
            .prop_map(|(number, c)| CellId::new(number, Class::ALL[c], None));
        prop_oneof![ported, other]
    }

    proptest! {
        #[test]
        fn counters_agree_with_a_map(packets in proptest::collection::vec((any_cell(), any::<u32>()), 0..200)) {
            let mut counters = PortCounters::default();
            let mut model = BTreeMap::new();
            for &(cell, bytes) in &packets {
                counters.add(cell, bytes);
                let count: &mut PortCount = model.entry(cell).or_default();
                count.packets += 1;
                count.bytes += u64::from(bytes);
            }
            let mut merged = PortCounters::default();
            merged.merge(&counters);
            prop_assert_eq!(merged.iter().collect::<BTreeMap<_, _>>(), model);
            counters.clear();
            prop_assert_eq!(counters.iter().count(), 0);
        }
    }

    #[test]
    fn places_and_cells_are_each_others_inverse() {
        for at in 0..CELLS {
            // Protocols with ports never use their cells in the last part.
            if at < PORTED_CELLS || !PORTED.contains(&(((at - PORTED_CELLS) / 3) as u8)) {
                assert_eq!(place(cell(at)), at);
            }
        }
    }
}
