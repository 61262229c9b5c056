//! Rows of the flow table: one source's packets to one cell.
//!
//! Key and value of a row share one cache line.

use noctule_packet::CellId;
use noctule_packet::decode::{Packet, Source};
use noctule_packet::rules::SLOTS;
use wide::{bytemuck, i16x8, u64x2};
use zerocopy::FromZeros;

use crate::table::Row;

/// Packets of a row from which its epoch is closed early, so that the row's 32-bit counter never
/// wraps. The margin of 65,536 packets is more than any batch.
pub const ROW_LIMIT: u32 = u32::MAX - 65_536;

const HAS_SOURCE_PORT: u8 = 1;
/// In place of a set's number: the row's packets match different sets of fingerprints, so all their
/// hits are in the fingerprint table.
const MIXED: u8 = u8::MAX;

/// The value of a row, without the key: 40 octets.
///
/// Every minimum and maximum starts with its neutral value, so that the first packet is added like
/// any other.
#[derive(Clone, Copy, Debug, FromZeros)]
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
    /// Number of the set of fingerprints that all packets match, or [`MIXED`].
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

/// Least and greatest values of a row's expressions: first those over all probes, then that of the
/// fingerprints that its packets match. The greatest values are inverted, so that one minimum over
/// all lanes updates both; all are biased, because every x86-64 CPU has that minimum for signed
/// numbers.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C, align(16))]
struct Spans([i16; 2 * LANES]);

/// XOR with it converts between the order of unsigned and of signed numbers.
const BIAS: u16 = 0x8000;

const _: () = assert!(LANES == 4, "a packet's values are one word");

impl Spans {
    /// No value yet: each least is above each greatest.
    const NONE: Self = Self([i16::MAX; 2 * LANES]);

    /// Adds the values of a probe, one in each lane.
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

/// The fields of a packet that a row needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketFields {
    /// The values of a probe's expressions, 16 bits each.
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
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C, align(64))]
pub struct Row4 {
    key: u64,
    value: Value,
    spans: Spans,
}

/// An IPv6 row: one cache line. Fingerprints look at IPv4 only.
#[derive(Clone, Copy, Debug, FromZeros)]
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

    /// The row of a key whose first packet matches the fingerprints of `set`.
    #[inline]
    pub(crate) const fn start(key: u64, set: u8) -> Self {
        Self {
            key,
            value: Value::start(set),
            spans: Spans::NONE,
        }
    }

    /// Adds one packet that matches the fingerprints of `set`.
    #[inline]
    pub(crate) fn add(&mut self, packet: &PacketFields, set: u8) -> Added {
        let spill = if set == self.value.set {
            Spill::Nothing
        } else {
            self.mix()
        };
        if let Some(values) = packet.expressions {
            self.spans.add(values);
        }
        Added {
            crowded: self.value.add(packet),
            spill,
        }
    }

    /// Marks the row as mixed, because a packet matches other fingerprints than those before it:
    /// from now on hits spill to the fingerprint table, first those that the row has counted so far.
    #[cold]
    fn mix(&mut self) -> Spill {
        let before = self.row_hits();
        self.value.set = MIXED;
        before.map_or(Spill::Packet, Spill::RowAndPacket)
    }

    /// The hits that this row counts; none for a mixed row and for packets without matches.
    fn row_hits(&self) -> Option<RowHits> {
        let Value { set, packets, .. } = self.value;
        (set != 0 && set != MIXED).then(|| RowHits {
            set,
            packets,
            span: self.spans.get(SLOTS),
        })
    }

    /// Least and greatest values of the expressions over all probes; none if no packet was a probe.
    fn slots(&self) -> Option<[(u16, u16); SLOTS]> {
        let spans: [_; SLOTS] = std::array::from_fn(|at| self.spans.get(at));
        (spans[0].0 <= spans[0].1).then_some(spans)
    }

    /// Sort key: source, then cell.
    pub(crate) const fn order(&self) -> u64 {
        self.key
    }

    /// Source, port and the hits that this row counts.
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
            spill: Spill::Nothing,
        }
    }

    /// Sort key: source, then cell.
    pub(crate) const fn order(&self) -> (u128, u32) {
        (self.source, self.cell)
    }

    /// The row as a flow.
    pub fn flow(&self) -> Flow {
        let cell = CellId::from_bits(self.cell);
        self.value.flow(Source::V6(self.source), cell)
    }
}

/// A destination's bit in the 64-bit linear-counting bitmap.
///
/// The multiplier must never change: bitmaps are merged by OR over intervals, sensors and years.
#[inline]
const fn destination_bit(destination: u64) -> u64 {
    1 << (destination.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
}

impl Value {
    /// Adds one packet. True if the row's packet counter is near its limit.
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

    /// The flow, without what only IPv4 rows hold.
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

/// Result of adding a packet to a row.
pub(crate) struct Added {
    /// The row's packet counter is near its limit, so the epoch must be closed.
    pub crowded: bool,
    /// The hits that spill.
    pub spill: Spill,
}

/// Fingerprint hits that go to the fingerprint table because a flow row cannot count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spill {
    /// None: the row counts the packet's hits.
    Nothing,
    /// The packet's hits.
    Packet,
    /// The packet's hits, and those that the row has counted so far.
    RowAndPacket(RowHits),
}

/// Fingerprint hits that a flow row counts: all its packets match the same set of fingerprints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowHits {
    /// Number of the set.
    pub set: u8,
    /// Packets.
    pub packets: u32,
    /// Least and greatest value of the expression of the fingerprint in the set that has one.
    pub span: (u16, u16),
}

/// A row of the flow table, unpacked: one source's packets to one cell in one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Source address.
    pub source: Source,
    /// Protocol, class and port.
    pub cell: CellId,
    /// Packets.
    pub packets: u64,
    /// Octets of IP datagrams.
    pub bytes: u64,
    /// Arrival of the first packet, in microseconds after the interval's start.
    pub first_us: u32,
    /// Arrival of the last packet, in microseconds after the interval's start.
    pub last_us: u32,
    /// Smallest and largest time to live.
    pub ttl: (u8, u8),
    /// OR of the TCP flags.
    pub tcp_flags: u8,
    /// Smallest and largest IPv4 identification; none for IPv6.
    pub ip_id: Option<(u16, u16)>,
    /// Smallest and largest value of each expression that flow rows carry, over the TCP probes;
    /// none if no packet was a probe.
    pub slots: Option<[(u16, u16); SLOTS]>,
    /// Source port of the packet that was counted last.
    pub last_source_port: Option<u16>,
    /// Linear-counting bitmap of destinations, merged by OR.
    pub destinations: u64,
}

impl Flow {
    /// Adds another row of the same key: packets of one source may reach several workers.
    ///
    /// The last source port is that of the row with the later last packet; if both arrived in the
    /// same microsecond, the larger port, so that the order of merging does not matter.
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

/// The least and the greatest value of both spans, of which either may be absent.
pub(crate) fn span<T: Ord + Copy>(a: Option<(T, T)>, b: Option<(T, T)>) -> Option<(T, T)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (one, None) | (None, one) => one,
    }
}
