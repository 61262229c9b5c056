//! Rows of the flow table: who sent what to which cell.
//!
//! Key and value of an IPv4 row share one cache line. All-zero is an empty slot, since a row in
//! use has at least one packet.

use noctule_packet::CellId;
use noctule_packet::decode::{Packet, Source};
use noctule_packet::rules::SLOTS;

use crate::table::Row;

/// Packets at which a row asks for its epoch to be closed early, so that its 32-bit counter never
/// wraps: a margin of 65,536 packets, more than any batch.
pub const ROW_LIMIT: u32 = u32::MAX - 65_536;

const HAS_SOURCE_PORT: u8 = 1;
const HAS_IP_ID: u8 = 2;
const HAS_SLOTS: u8 = 4;
/// Its packets bear different sets of fingerprints, which are counted in the fingerprint table.
const MIXED: u8 = 8;

/// What a row carries beside its key: 56 octets.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Value {
    bytes: u64,
    destinations: u64,
    packets: u32,
    first_us: u32,
    last_us: u32,
    slots_min: [u16; SLOTS],
    slots_max: [u16; SLOTS],
    ip_id_min: u16,
    ip_id_max: u16,
    expression_min: u16,
    expression_max: u16,
    last_source_port: u16,
    ttl_min: u8,
    ttl_max: u8,
    tcp_flags: u8,
    /// Number of the set of fingerprints that all packets bear, unless they are [`MIXED`].
    set: u8,
    has: u8,
}

impl Value {
    const VACANT: Self = Self {
        bytes: 0,
        destinations: 0,
        packets: 0,
        first_us: 0,
        last_us: 0,
        slots_min: [0; SLOTS],
        slots_max: [0; SLOTS],
        ip_id_min: 0,
        ip_id_max: 0,
        expression_min: 0,
        expression_max: 0,
        last_source_port: 0,
        ttl_min: 0,
        ttl_max: 0,
        tcp_flags: 0,
        set: 0,
        has: 0,
    };
}

/// An IPv4 row: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Row4 {
    key: u64,
    value: Value,
}

/// An IPv6 row: 80 octets.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Row6 {
    source: u128,
    cell: u32,
    value: Value,
}

const _: () = assert!(size_of::<Row4>() == 64 && size_of::<Row6>() == 80);

impl Row for Row4 {
    type Key = u64;
    const VACANT: Self = Self::start(0);
    #[inline]
    fn key(&self) -> u64 {
        self.key
    }
    #[inline]
    fn is_vacant(&self) -> bool {
        self.value.packets == 0
    }
}

impl Row for Row6 {
    type Key = (u128, u32);
    const VACANT: Self = Self::start((0, 0));
    #[inline]
    fn key(&self) -> (u128, u32) {
        (self.source, self.cell)
    }
    #[inline]
    fn is_vacant(&self) -> bool {
        self.value.packets == 0
    }
}

impl Row4 {
    #[inline]
    pub(crate) const fn key_of(source: u32, cell: CellId) -> u64 {
        (source as u64) << 32 | cell.to_bits() as u64
    }

    #[inline]
    pub(crate) const fn start(key: u64) -> Self {
        Self {
            key,
            value: Value::VACANT,
        }
    }

    #[inline]
    pub(crate) fn value_mut(&mut self) -> &mut Value {
        &mut self.value
    }

    /// Sorts rows by source and cell.
    pub(crate) const fn order(&self) -> u64 {
        self.key
    }

    /// Source, port and the fingerprints that all of the row's packets bear.
    pub(crate) fn borne(&self) -> Option<(u32, u16, Borne)> {
        let borne = self.value.borne()?;
        let port = CellId::from_bits(self.key as u32).port()?;
        Some(((self.key >> 32) as u32, port, borne))
    }

    /// The row as a flow.
    pub fn flow(&self) -> Flow {
        let cell = CellId::from_bits(self.key as u32);
        self.value.flow(Source::V4((self.key >> 32) as u32), cell)
    }
}

impl Row6 {
    #[inline]
    pub(crate) const fn start((source, cell): (u128, u32)) -> Self {
        Self {
            source,
            cell,
            value: Value::VACANT,
        }
    }

    #[inline]
    pub(crate) fn value_mut(&mut self) -> &mut Value {
        &mut self.value
    }

    /// Sorts rows by source and cell.
    pub(crate) const fn order(&self) -> (u128, u32) {
        (self.source, self.cell)
    }

    /// The row as a flow.
    pub fn flow(&self) -> Flow {
        let cell = CellId::from_bits(self.cell);
        self.value.flow(Source::V6(self.source), cell)
    }
}

/// Bit of a destination in the 64-bit linear-counting bitmap.
///
/// The multiplier never changes, so that bitmaps merge by OR over intervals, sensors and years.
#[inline]
const fn destination_bit(destination: u64) -> u64 {
    1 << (destination.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
}

impl Value {
    /// Adds one packet, seen `offset_us` microseconds after the interval's start, that bears the
    /// fingerprints of `set`, of which one may have an expression.
    #[inline]
    pub(crate) fn add(
        &mut self,
        packet: &Packet,
        offset_us: u32,
        set: u8,
        expression: u16,
    ) -> Added {
        let mut apart = None;
        if self.packets == 0 {
            *self = Self {
                set,
                expression_min: expression,
                expression_max: expression,
                first_us: offset_us,
                last_us: offset_us,
                ttl_min: packet.ttl,
                ttl_max: packet.ttl,
                ..Self::VACANT
            };
        } else if set == self.set && self.has & MIXED == 0 {
            self.expression_min = self.expression_min.min(expression);
            self.expression_max = self.expression_max.max(expression);
        } else {
            apart = Some(self.mix());
        }
        self.packets += 1;
        self.bytes += u64::from(packet.bytes);
        self.destinations |= destination_bit(packet.destination);
        self.first_us = self.first_us.min(offset_us);
        self.last_us = self.last_us.max(offset_us);
        self.ttl_min = self.ttl_min.min(packet.ttl);
        self.ttl_max = self.ttl_max.max(packet.ttl);
        self.tcp_flags |= packet.tcp_flags;
        if let Some(port) = packet.source_port {
            self.last_source_port = port;
            self.has |= HAS_SOURCE_PORT;
        }
        if let Some(ip_id) = packet.ip_id {
            widen(
                self.has & HAS_IP_ID == 0,
                &mut self.ip_id_min,
                &mut self.ip_id_max,
                ip_id,
            );
            self.has |= HAS_IP_ID;
        }
        if let Some(marks) = &packet.marks {
            let fresh = self.has & HAS_SLOTS == 0;
            for slot in 0..SLOTS {
                let (min, max) = (&mut self.slots_min[slot], &mut self.slots_max[slot]);
                widen(fresh, min, max, marks.slots.get(slot));
            }
            self.has |= HAS_SLOTS;
        }
        Added {
            crowded: self.packets >= ROW_LIMIT,
            apart,
        }
    }

    /// A packet bears other fingerprints than those before it: from here on they are counted in
    /// the fingerprint table. What the row has counted so far goes there first.
    #[cold]
    fn mix(&mut self) -> Option<Borne> {
        let before = self.borne();
        self.has |= MIXED;
        before
    }

    /// The fingerprints that all packets of this row bear; none for a mixed row and for packets
    /// that bear none.
    fn borne(&self) -> Option<Borne> {
        (self.set != 0 && self.has & MIXED == 0).then_some(Borne {
            set: self.set,
            packets: self.packets,
            span: (self.expression_min, self.expression_max),
        })
    }

    fn flow(&self, source: Source, cell: CellId) -> Flow {
        Flow {
            source,
            cell,
            packets: u64::from(self.packets),
            bytes: self.bytes,
            first_us: self.first_us,
            last_us: self.last_us,
            ttl: (self.ttl_min, self.ttl_max),
            tcp_flags: self.tcp_flags,
            ip_id: (self.has & HAS_IP_ID != 0).then_some((self.ip_id_min, self.ip_id_max)),
            slots: (self.has & HAS_SLOTS != 0)
                .then(|| std::array::from_fn(|at| (self.slots_min[at], self.slots_max[at]))),
            last_source_port: (self.has & HAS_SOURCE_PORT != 0).then_some(self.last_source_port),
            destinations: self.destinations,
        }
    }
}

/// What adding a packet to a row came to.
pub(crate) struct Added {
    /// The row is near its end and the epoch should be closed.
    pub crowded: bool,
    /// The packet's fingerprints are to be counted apart, and before it what is in here: the
    /// fingerprints that the row's packets have borne so far.
    pub apart: Option<Option<Borne>>,
}

/// Fingerprints that all packets of a row bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Borne {
    /// Number of the set of fingerprints.
    pub set: u8,
    /// Packets.
    pub packets: u32,
    /// Least and greatest value of the expression that one of them may have.
    pub span: (u16, u16),
}

#[inline]
fn widen<T: Ord + Copy>(fresh: bool, min: &mut T, max: &mut T, value: T) {
    if fresh {
        (*min, *max) = (value, value);
    } else {
        *min = (*min).min(value);
        *max = (*max).max(value);
    }
}

/// One row of the flow table, unpacked: one source's packets to one cell in one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Who sent them.
    pub source: Source,
    /// Where they are counted.
    pub cell: CellId,
    /// Packets.
    pub packets: u64,
    /// Octets of IP datagrams.
    pub bytes: u64,
    /// First seen, in microseconds after the interval's start.
    pub first_us: u32,
    /// Last seen, in microseconds after the interval's start.
    pub last_us: u32,
    /// Smallest and largest time to live.
    pub ttl: (u8, u8),
    /// OR of the TCP flags.
    pub tcp_flags: u8,
    /// Smallest and largest IPv4 identification.
    pub ip_id: Option<(u16, u16)>,
    /// Smallest and largest value of each expression that rules carry in flow rows, over the TCP
    /// probes; none where there was no probe.
    pub slots: Option<[(u16, u16); SLOTS]>,
    /// Source port of the packet that was counted last.
    pub last_source_port: Option<u16>,
    /// Linear-counting bitmap of destinations, merged by OR.
    pub destinations: u64,
}

impl Flow {
    /// Adds another row of the same key: one source may reach several workers.
    ///
    /// The last source port is that of the row seen last; of two seen last in the same
    /// microsecond the larger, so that the order of merging does not matter.
    pub fn merge(&mut self, other: &Self) {
        let last = |flow: &Self| {
            (
                flow.last_source_port.is_some(),
                flow.last_us,
                flow.last_source_port,
            )
        };
        if last(other) > last(self) {
            self.last_source_port = other.last_source_port;
        }
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.first_us = self.first_us.min(other.first_us);
        self.last_us = self.last_us.max(other.last_us);
        self.ttl = (self.ttl.0.min(other.ttl.0), self.ttl.1.max(other.ttl.1));
        self.tcp_flags |= other.tcp_flags;
        self.ip_id = span(self.ip_id, other.ip_id);
        self.slots = match (self.slots, other.slots) {
            (Some(a), Some(b)) => Some(std::array::from_fn(|at| {
                (a[at].0.min(b[at].0), a[at].1.max(b[at].1))
            })),
            (one, None) | (None, one) => one,
        };
        self.destinations |= other.destinations;
    }
}

/// The least and the greatest of two spans.
pub(crate) fn span<T: Ord + Copy>(a: Option<(T, T)>, b: Option<(T, T)>) -> Option<(T, T)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (one, None) | (None, one) => one,
    }
}
