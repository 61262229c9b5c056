//! Distinct sources of packets without a row in a full flow table.
//!
//! All registers are allocated with the epoch: one sketch for each protocol, one for each class of
//! the protocols with ports, and a pool for the first cells that overflow. Other overflowing cells
//! have no distinct count.

use ahash::RandomState;
use noctule_packet::Source;
use noctule_packet::cell::{CellId, Class, protocol};

use crate::registers::{Registers, coupon};

/// log2 of the number of registers of the sketches of protocols and classes.
pub const LG_K_WIDE: u8 = 14;
/// log2 of the number of registers of the sketches of cells.
pub const LG_K_CELL: u8 = 12;
/// Cells that get a sketch of their own.
pub const POOL_CELLS: usize = 64;
/// Slots of the pool's index: a power of two, at most a quarter of them used.
const INDEX: usize = 256;
const NO_CELL: u32 = u32::MAX;

/// Protocols whose classes have sketches. Other protocols have class `other` only, so the
/// protocol's sketch is also the sketch of that class.
const CLASSED: [u8; 4] = [
    protocol::TCP,
    protocol::UDP,
    protocol::ICMP,
    protocol::ICMPV6,
];

/// The packets whose sources a sketch counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All packets of a protocol.
    Protocol(u8),
    /// All packets of a protocol and class.
    Class(u8, Class),
    /// One cell.
    Cell(CellId),
}

impl Scope {
    /// True if it includes packets of this cell.
    pub fn holds(self, cell: CellId) -> bool {
        match self {
            Self::Protocol(number) => cell.protocol() == number,
            Self::Class(number, class) => cell.protocol() == number && cell.class() == class,
            Self::Cell(own) => own == cell,
        }
    }
}

/// One worker's sketches of one epoch.
pub struct Sketches {
    protocols: Vec<Registers>,
    classes: Vec<Registers>,
    index: [(u32, u8); INDEX],
    /// Hash of the index, seeded so that a sender cannot choose cells that collide. Sketches of the
    /// pool are assigned in order of arrival, independent of the hash.
    hasher: RandomState,
    pool: Vec<Registers>,
    cells: [u32; POOL_CELLS],
    used: usize,
}

impl Sketches {
    /// Empty sketches.
    pub fn new(hasher: RandomState) -> Self {
        let make = |count: usize, lg_k: u8| (0..count).map(|_| Registers::new(lg_k)).collect();
        Self {
            protocols: make(256, LG_K_WIDE),
            classes: make(CLASSED.len() * Class::ALL.len(), LG_K_WIDE),
            index: [(NO_CELL, 0); INDEX],
            pool: make(POOL_CELLS, LG_K_CELL),
            cells: [NO_CELL; POOL_CELLS],
            used: 0,
            hasher,
        }
    }

    /// Size of the registers in octets once every sketch was used.
    pub const BYTES: usize =
        (256 + CLASSED.len() * Class::ALL.len()) * (1 << LG_K_WIDE) + POOL_CELLS * (1 << LG_K_CELL);

    /// Adds the source of one overflowing packet.
    pub fn add(&mut self, source: Source, cell: CellId) {
        let coupon = coupon(source);
        self.protocols[usize::from(cell.protocol())].update(coupon);
        if let Some(slot) = CLASSED.iter().position(|&number| number == cell.protocol()) {
            self.classes[slot * Class::ALL.len() + cell.class() as usize].update(coupon);
        }
        if let Some(place) = self.pool_place(cell) {
            self.pool[place].update(coupon);
        }
    }

    /// Index of the cell's sketch in the pool; a new cell gets the next free one, if any.
    fn pool_place(&mut self, cell: CellId) -> Option<usize> {
        let bits = cell.to_bits();
        let mut at = self.hasher.hash_one(bits) as usize % INDEX;
        loop {
            match self.index[at] {
                (found, place) if found == bits => return Some(usize::from(place)),
                (NO_CELL, _) if self.used < POOL_CELLS => {
                    let place = self.used;
                    self.index[at] = (bits, place as u8);
                    self.cells[place] = bits;
                    self.used += 1;
                    return Some(place);
                }
                (NO_CELL, _) => return None,
                _ => at = (at + 1) % INDEX,
            }
        }
    }

    /// Every sketch to which a source was added.
    pub fn iter(&self) -> impl Iterator<Item = (Scope, &Registers)> {
        let protocols = (self.protocols.iter().enumerate())
            .map(|(number, registers)| (Scope::Protocol(number as u8), registers));
        let classes = self.classes.iter().enumerate().map(|(at, registers)| {
            let class = Class::ALL[at % Class::ALL.len()];
            (
                Scope::Class(CLASSED[at / Class::ALL.len()], class),
                registers,
            )
        });
        let cells = (self.pool.iter().zip(self.cells))
            .take(self.used)
            .map(|(registers, bits)| (Scope::Cell(CellId::from_bits(bits)), registers));
        (protocols.chain(classes).chain(cells)).filter(|(_, registers)| !registers.is_empty())
    }

    pub(crate) fn clear(&mut self) {
        let all = (self.protocols.iter_mut())
            .chain(&mut self.classes)
            .chain(&mut self.pool[..self.used]);
        for registers in all {
            registers.clear();
        }
        self.index = [(NO_CELL, 0); INDEX];
        self.cells = [NO_CELL; POOL_CELLS];
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(port: u16) -> CellId {
        CellId::new(protocol::TCP, Class::Scan, Some(port))
    }

    #[test]
    fn the_first_cells_get_sketches_and_the_rest_do_not() {
        let mut sketches = Sketches::new(RandomState::new());
        for port in 0..200 {
            sketches.add(Source::V4(u32::from(port)), cell(port));
        }
        let cells: Vec<_> = (sketches.iter())
            .filter_map(|(scope, _)| match scope {
                Scope::Cell(cell) => cell.port(),
                _ => None,
            })
            .collect();
        assert_eq!(cells, (0..POOL_CELLS as u16).collect::<Vec<_>>());
        let wide = sketches.iter().count() - cells.len();
        assert_eq!(wide, 2, "tcp, and tcp scan");
        sketches.clear();
        assert_eq!(sketches.iter().count(), 0);
    }

    #[test]
    fn other_protocols_have_one_sketch() {
        let mut sketches = Sketches::new(RandomState::new());
        let gre = CellId::new(47, Class::Other, None);
        sketches.add(Source::V4(1), gre);
        let scopes: Vec<_> = sketches.iter().map(|(scope, _)| scope).collect();
        assert_eq!(scopes, [Scope::Protocol(47), Scope::Cell(gre)]);
        assert!(scopes.iter().all(|scope| scope.holds(gre)));
    }
}
