//! Rows of the flow table: who sent what to which cell.
//!
//! Key and value of a row share one cache line.

use noctule_packet::CellId;
use noctule_packet::decode::{Packet, Source};
use noctule_packet::rules::SLOTS;
use wide::{bytemuck, i16x8, u64x2};

use crate::table::Row;

/// Packets at which a row asks for its epoch to be closed early, so that its 32-bit counter never
/// wraps: a margin of 65,536 packets, more than any batch.
pub const ROW_LIMIT: u32 = u32::MAX - 65_536;

const HAS_SOURCE_PORT: u8 = 1;
/// Stands for the number of a set where a row's packets bear different sets of fingerprints, which
/// are then counted in the fingerprint table.
const MIXED: u8 = u8::MAX;

/// What every row carries beside its key: 40 octets.
///
/// A row starts with the neutral value of every minimum and maximum, so that the first packet is
/// added like any other.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Value {
    bytes: u64,
    destinations: u64,
    packets: u32,
    first_us: u32,
    last_us: u32,
    ip_id_min: u16,
    ip_id_max: u16,
    last_source_port: u16,
    ttl_min: u8,
    ttl_max: u8,
    tcp_flags: u8,
    /// Number of the set of fingerprints that all packets bear, or [`MIXED`].
    set: u8,
    has: u8,
}

impl Value {
    const fn start(set: u8) -> Self {
        Self {
            bytes: 0,
            destinations: 0,
            packets: 0,
            first_us: u32::MAX,
            last_us: 0,
            ip_id_min: u16::MAX,
            ip_id_max: 0,
            last_source_port: 0,
            ttl_min: u8::MAX,
            ttl_max: 0,
            tcp_flags: 0,
            set,
            has: 0,
        }
    }
}

/// Lanes of a [`Spans`].
const LANES: usize = SLOTS + 1;

/// Least and greatest values of the expressions that a row carries: those over all probes, then that
/// of the fingerprints that its packets bear. The greatest stand inverted, so that one minimum over
/// all lanes does both, and all are biased, since every x86-64 has that minimum for signed numbers.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
struct Spans([i16; 2 * LANES]);

/// Turns the order of unsigned numbers into that of signed ones, and back.
const BIAS: u16 = 0x8000;

const _: () = assert!(LANES == 4, "a packet's values are one word");

impl Spans {
    /// No value seen: each least is above each greatest.
    const NONE: Self = Self([i16::MAX; 2 * LANES]);

    /// Adds the values of a probe, a lane each.
    #[inline]
    fn add(&mut self, values: u64) {
        let values = values ^ (u64::MAX / 0xffff * u64::from(BIAS));
        let both: i16x8 = bytemuck::cast(u64x2::new([values, !values]));
        self.0 = i16x8::new(self.0).min(both).to_array();
    }

    const fn get(&self, lane: usize) -> (u16, u16) {
        let (least, greatest) = (self.0[lane], !self.0[LANES + lane]);
        (least as u16 ^ BIAS, greatest as u16 ^ BIAS)
    }
}

/// What a row takes of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketFields {
    /// The values of a probe's expressions, a lane of 16 bits each.
    pub expressions: Option<u64>,
    /// The destination's bit of the bitmap.
    pub destination: u64,
    pub bytes: u32,
    /// Microseconds after the interval's start.
    pub offset_us: u32,
    pub source_port: Option<u16>,
    pub ip_id: u16,
    pub ttl: u8,
    pub tcp_flags: u8,
}

impl PacketFields {
    /// No packet.
    pub const NOTHING: Self = Self {
        expressions: None,
        destination: 0,
        bytes: 0,
        offset_us: 0,
        source_port: None,
        ip_id: 0,
        ttl: 0,
        tcp_flags: 0,
    };

    #[inline]
    pub fn new(packet: &Packet, offset_us: u32) -> Self {
        Self {
            expressions: None,
            destination: destination_bit(packet.destination),
            bytes: packet.bytes,
            offset_us,
            source_port: packet.source_port,
            ip_id: packet.ip_id,
            ttl: packet.ttl,
            tcp_flags: packet.tcp_flags,
        }
    }
}

/// An IPv4 row: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Row4 {
    key: u64,
    value: Value,
    spans: Spans,
}

/// An IPv6 row: one cache line. Fingerprints look at IPv4 only.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Row6 {
    source: u128,
    cell: u32,
    value: Value,
}

const _: () = assert!(size_of::<Row4>() == 64 && size_of::<Row6>() == 64);

impl Row for Row4 {
    type Key = u64;
    #[inline]
    fn key(&self) -> u64 {
        self.key
    }
}

impl Row for Row6 {
    type Key = (u128, u32);
    #[inline]
    fn key(&self) -> (u128, u32) {
        (self.source, self.cell)
    }
}

impl Row4 {
    #[inline]
    pub(crate) const fn key_of(source: u32, cell: CellId) -> u64 {
        (source as u64) << 32 | cell.to_bits() as u64
    }

    /// The row of a key whose first packet bears the fingerprints of `set`.
    #[inline]
    pub(crate) const fn start(key: u64, set: u8) -> Self {
        Self {
            key,
            value: Value::start(set),
            spans: Spans::NONE,
        }
    }

    /// Adds one packet that bears the fingerprints of `set`.
    #[inline]
    pub(crate) fn add(&mut self, packet: &PacketFields, set: u8) -> Added {
        let spills = (set != self.value.set).then(|| self.mix());
        if let Some(values) = packet.expressions {
            self.spans.add(values);
        }
        Added {
            crowded: self.value.add(packet),
            spills,
        }
    }

    /// A packet bears other fingerprints than those before it: from here on they are counted in
    /// the fingerprint table. What the row has counted so far goes there first.
    #[cold]
    fn mix(&mut self) -> Option<RowHits> {
        let before = self.row_hits();
        self.value.set = MIXED;
        before
    }

    /// The fingerprints that all packets of this row bear; none for a mixed row and for packets
    /// that bear none.
    fn row_hits(&self) -> Option<RowHits> {
        let Value { set, packets, .. } = self.value;
        (set != 0 && set != MIXED).then(|| RowHits {
            set,
            packets,
            span: self.spans.get(SLOTS),
        })
    }

    /// Spans of the expressions over all probes; none where there was no probe.
    fn slots(&self) -> Option<[(u16, u16); SLOTS]> {
        let spans: [_; SLOTS] = std::array::from_fn(|at| self.spans.get(at));
        (spans[0].0 <= spans[0].1).then_some(spans)
    }

    /// Sorts rows by source and cell.
    pub(crate) const fn order(&self) -> u64 {
        self.key
    }

    /// Source, port and the fingerprints that all of the row's packets bear.
    pub(crate) fn hits(&self) -> Option<(u32, u16, RowHits)> {
        let hits = self.row_hits()?;
        let port = CellId::from_bits(self.key as u32).port()?;
        Some(((self.key >> 32) as u32, port, hits))
    }

    /// The row as a flow.
    pub fn flow(&self) -> Flow {
        let cell = CellId::from_bits(self.key as u32);
        Flow {
            ip_id: Some((self.value.ip_id_min, self.value.ip_id_max)),
            slots: self.slots(),
            ..self.value.flow(Source::V4((self.key >> 32) as u32), cell)
        }
    }
}

impl Row6 {
    #[inline]
    pub(crate) const fn start((source, cell): (u128, u32)) -> Self {
        Self {
            source,
            cell,
            value: Value::start(0),
        }
    }

    /// Adds one packet.
    #[inline]
    pub(crate) fn add(&mut self, packet: &PacketFields) -> Added {
        Added {
            crowded: self.value.add(packet),
            spills: None,
        }
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
    /// Adds one packet; is the row near its end?
    #[inline]
    fn add(&mut self, packet: &PacketFields) -> bool {
        self.packets += 1;
        self.bytes += u64::from(packet.bytes);
        self.destinations |= packet.destination;
        self.first_us = self.first_us.min(packet.offset_us);
        self.last_us = self.last_us.max(packet.offset_us);
        self.ttl_min = self.ttl_min.min(packet.ttl);
        self.ttl_max = self.ttl_max.max(packet.ttl);
        self.tcp_flags |= packet.tcp_flags;
        if let Some(port) = packet.source_port {
            self.last_source_port = port;
            self.has |= HAS_SOURCE_PORT;
        }
        self.ip_id_min = self.ip_id_min.min(packet.ip_id);
        self.ip_id_max = self.ip_id_max.max(packet.ip_id);
        self.packets >= ROW_LIMIT
    }

    /// What rows of either family have in common.
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
            ip_id: None,
            slots: None,
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
    pub spills: Option<Option<RowHits>>,
}

/// Fingerprints that all packets of a row bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowHits {
    /// Number of the set of fingerprints.
    pub set: u8,
    /// Packets.
    pub packets: u32,
    /// Least and greatest value of the expression that one of them may have.
    pub span: (u16, u16),
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
