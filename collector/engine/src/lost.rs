//! Lost packets by destination port: the kernel's packet counts minus those of the run.
//!
//! Both are compared for the whole run, after the program was detached and the rings were
//! drained: during a run, packets in flight would appear as lost.

use std::cmp::Reverse;

use noctule_abi::ledger::{SLOTS, TCP_PORTLESS, UDP_PORTLESS, UDP_PORTS, slot};
use noctule_counters::epoch::Epoch;
use noctule_counters::summary::PortLoss;
use noctule_packet::CellId;

/// Packets that a run has counted, by the kernel ledger's slots.
pub struct CountedBySlot(Box<[i64]>);

impl Default for CountedBySlot {
    fn default() -> Self {
        Self(vec![0; SLOTS as usize].into_boxed_slice())
    }
}

impl CountedBySlot {
    /// Size in memory, in octets.
    pub const BYTES: usize = SLOTS as usize * size_of::<i64>();

    /// Adds packets of a cell to the slot of the cell's port.
    pub fn cell(&mut self, cell: CellId, packets: u64) {
        self.add(slot(cell.protocol(), cell.port()), packets as i64);
    }

    /// Moves an epoch's packets whose slot is not that of their cell to the kernel's slot.
    pub fn add_remapped(&mut self, epoch: &Epoch) {
        for (slot, packets) in epoch.ports.remapped() {
            self.add(slot, packets);
        }
    }

    fn add(&mut self, slot: u32, packets: i64) {
        if let Some(sum) = self.0.get_mut(slot as usize) {
            *sum += packets;
        }
    }

    /// Packets of `matched`, the kernel's packets by slot, that were not counted; most packets first.
    pub fn missing(&self, matched: &[u64]) -> Vec<PortLoss> {
        let mut losses: Vec<_> = (0..)
            .zip(matched.iter().zip(&self.0))
            .map(|(slot, (&matched, &counted))| (slot, matched as i64 - counted))
            .filter(|&(_, packets)| packets != 0)
            .collect();
        losses.sort_by_key(|&(slot, packets)| (Reverse(packets), slot));
        (losses.into_iter())
            .map(|(slot, packets)| {
                let (protocol, port) = name(slot);
                PortLoss {
                    protocol: protocol.to_owned(),
                    port,
                    packets,
                }
            })
            .collect()
    }
}

fn name(slot: u32) -> (&'static str, Option<u16>) {
    match slot {
        ..UDP_PORTS => ("tcp", u16::try_from(slot).ok()),
        UDP_PORTS..TCP_PORTLESS => ("udp", u16::try_from(slot - UDP_PORTS).ok()),
        TCP_PORTLESS => ("tcp", None),
        UDP_PORTLESS => ("udp", None),
        _ => ("other", None),
    }
}

#[cfg(test)]
mod tests {
    use noctule_abi::ledger::OTHER;
    use noctule_packet::Class;

    use super::*;

    #[test]
    fn missing_packets_are_listed_by_destination() {
        let mut counted = CountedBySlot::default();
        counted.cell(CellId::new(6, Class::Scan, Some(23)), 10);
        counted.cell(CellId::new(17, Class::Other, None), 1);
        counted.cell(CellId::new(1, Class::Scan, Some(0x800)), 4);
        let mut matched = vec![0; SLOTS as usize];
        for (slot, packets) in [
            (slot(6, Some(23)), 13),
            (slot(17, Some(53)), 7),
            (UDP_PORTLESS, 1),
            (TCP_PORTLESS, 2),
            (OTHER, 3),
        ] {
            matched[slot as usize] = packets;
        }
        let missing: Vec<_> = (counted.missing(&matched).into_iter())
            .map(|loss| (loss.protocol, loss.port, loss.packets))
            .collect();
        let expected = [
            ("udp", Some(53), 7),
            ("tcp", Some(23), 3),
            ("tcp", None, 2),
            ("other", None, -1),
        ];
        assert_eq!(
            missing,
            expected.map(|(name, port, n)| (name.to_owned(), port, n))
        );
    }
}
