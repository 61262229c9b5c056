//! Table `flows`: the fact table, one row per interval and flow key.

use std::sync::LazyLock;

use noctule_packet::rules::SLOTS;
use noctule_packet::{CellId, Class, Source};

use super::{source4, source6};
use crate::encode::{Column, Encoder, Layout, ROWS_PER_BATCH, Read, SortedBy};
use crate::{Country, StoreError, Table, protocol};

/// What one source sent to (or, for backscatter, from) one port in one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRow {
    /// Start of the interval, microseconds since 1970.
    pub interval_start_us: i64,
    /// Source address.
    pub source: Source,
    /// Protocol, class and port.
    pub cell: CellId,
    /// Packets.
    pub packets: u64,
    /// Octets of IP datagrams.
    pub bytes: u64,
    /// When the first packet came, milliseconds after the interval's start.
    pub first_ms: u32,
    /// From the first packet to the last, milliseconds.
    pub duration_ms: u32,
    /// Least time to live (hop limit).
    pub ttl_min: u8,
    /// Greatest time to live (hop limit).
    pub ttl_max: u8,
    /// TCP flags of all packets, joined by OR; 0 for other protocols.
    pub tcp_flags: u8,
    /// Least IP ID; none for IPv6.
    pub ip_id_min: Option<u16>,
    /// Greatest IP ID; none for IPv6.
    pub ip_id_max: Option<u16>,
    /// Least and greatest value, in 16 bits, of each expression that fingerprints carry in this
    /// table (`ledger.constants` names them); none without a probe. Stored are the value where it is
    /// one over all of the source's rows of the interval, else that the source is refuted.
    pub constants: Option<[(u16, u16); SLOTS]>,
    /// Source port of the last packet; none where packets have none.
    pub last_source_port: Option<u16>,
    /// Linear-counting bitmap of destinations, 64 bits; rows merge by OR.
    pub destinations: u64,
    /// Country of the source: [`Country::UNKNOWN`] where the country file has none, none without
    /// such a file.
    pub country: Option<Country>,
    /// AS number of the source; none where it is not known.
    pub asn: Option<u32>,
    /// Nobody can have the source's address: it is forged.
    pub bogon: bool,
}

impl FlowRow {
    /// The order of the table's rows: source (IPv4 first), then that of the cell's columns.
    fn key(&self) -> (Source, u32) {
        (self.source, rank(self.cell))
    }
}

/// Cells in the order of their columns: texts order as texts, a missing port comes first.
fn rank(cell: CellId) -> u32 {
    static PROTOCOLS: LazyLock<[u8; 256]> = LazyLock::new(|| {
        let mut order: [u8; 256] = std::array::from_fn(|number| number as u8);
        order.sort_unstable_by_key(|&number| protocol::name(number));
        let mut ranks = [0; 256];
        for (rank, number) in (0..=u8::MAX).zip(order) {
            ranks[usize::from(number)] = rank;
        }
        ranks
    });
    let class = match cell.class() {
        Class::Backscatter => 0,
        Class::Other => 1,
        Class::Scan => 2,
    };
    let port = cell.port().map_or(0, |port| u32::from(port) + 1);
    u32::from(PROTOCOLS[usize::from(cell.protocol())]) << 19 | class << 17 | port
}

/// Puts flows into the table's order: source (IPv4 first), protocol, class, port.
pub fn sort_flows(rows: &mut [FlowRow]) {
    rows.sort_unstable_by_key(FlowRow::key);
}

/// Encodes flows as one Parquet file.
///
/// # Errors
/// [`StoreError::Order`] unless rows stand in the order of [`sort_flows`], each key once.
pub fn encode_flows(rows: &[FlowRow]) -> Result<Vec<u8>, StoreError> {
    let table = Table::Flows;
    if let Some(at) = rows.windows(2).position(|two| two[0].key() >= two[1].key()) {
        return Err(StoreError::Order { table, row: at + 1 });
    }
    let mut encoder = FlowEncoder::new()?;
    rows.iter().try_for_each(|row| encoder.push(row.clone()))?;
    encoder.finish()
}

fn sorted_by() -> [SortedBy; 5] {
    [
        ("source4", false),
        ("source6", false),
        ("protocol", true),
        ("class", true),
        ("port", true),
    ]
    .map(|(name, nulls_first)| SortedBy { name, nulls_first })
}

/// Encodes flows source by source, so that never more of them stand in memory than a batch and
/// one source's. The bytes are those of [`encode_flows`].
pub struct FlowEncoder {
    encoder: Encoder<FlowRow>,
    /// Rows that are not encoded yet.
    rows: Vec<FlowRow>,
    /// Where among them the last source's begin.
    group: usize,
    /// Rows before them.
    encoded: usize,
    /// The last key of the source before.
    last: Option<Source>,
}

impl FlowEncoder {
    /// A file without rows.
    ///
    /// # Errors
    /// Only what the Parquet writer refuses.
    pub fn new() -> Result<Self, StoreError> {
        Ok(Self {
            encoder: Encoder::new(Table::Flows, columns(), &sorted_by())?,
            rows: Vec::with_capacity(2 * ROWS_PER_BATCH),
            group: 0,
            encoded: 0,
            last: None,
        })
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.encoded + self.rows.len()
    }

    /// There is no row yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a row. Sources must ascend, IPv4 first; the rows of one may come in any order.
    ///
    /// # Errors
    /// [`StoreError::Order`] where a source does not come after the one before it or a key stands
    /// twice, and what the Parquet writer refuses.
    #[inline]
    pub fn push(&mut self, row: FlowRow) -> Result<(), StoreError> {
        if self
            .rows
            .last()
            .is_some_and(|last| last.source != row.source)
        {
            self.end_source()?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// The rows of the last source are complete.
    fn end_source(&mut self) -> Result<(), StoreError> {
        let rows = &mut self.rows[self.group..];
        if rows.len() > 1 {
            rows.sort_unstable_by_key(|row| rank(row.cell));
        }
        let twice = |two: &[FlowRow]| two[0].cell == two[1].cell;
        let source = rows.first().map(|row| row.source);
        let wrong = if self.last.is_some() && self.last >= source {
            Some(0)
        } else {
            rows.windows(2).position(twice).map(|at| at + 1)
        };
        if let Some(at) = wrong {
            return Err(StoreError::Order {
                table: Table::Flows,
                row: self.encoded + self.group + at,
            });
        }
        settle(&mut self.rows[self.group..]);
        self.last = source.or(self.last);
        self.group = self.rows.len();
        if self.group >= ROWS_PER_BATCH {
            self.encode_batches()?;
        }
        Ok(())
    }

    fn encode_batches(&mut self) -> Result<(), StoreError> {
        let whole = self.rows.chunks_exact(ROWS_PER_BATCH);
        let left = whole.remainder().len();
        for batch in whole {
            self.encoder.write(batch)?;
        }
        let done = self.rows.len() - left;
        self.rows.drain(..done);
        self.encoded += done;
        self.group -= done;
        Ok(())
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// As [`FlowEncoder::push`].
    pub fn finish(mut self) -> Result<Vec<u8>, StoreError> {
        self.end_source()?;
        if !self.rows.is_empty() {
            self.encoder.write(&self.rows)?;
        }
        self.encoder.finish()
    }
}

/// Decides, for all rows of one source, which expressions its probes contradict: a rule that is
/// nothing but an expression is about all probes of a source, and one that this interval refutes is
/// refuted for the day. No row need carry its values any more.
fn settle(rows: &mut [FlowRow]) {
    for slot in 0..SLOTS {
        let spans = rows
            .iter()
            .filter_map(|row| row.constants.map(|spans| spans[slot]));
        let Some(all) = spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
            continue;
        };
        if all.0 != all.1 {
            for spans in rows.iter_mut().filter_map(|row| row.constants.as_mut()) {
                spans[slot] = all;
            }
        }
    }
}

/// The value that an expression has over all probes of the source; none where they differ.
fn constant(row: &FlowRow, slot: usize) -> Option<i32> {
    let (least, greatest) = row.constants?[slot];
    (least == greatest).then_some(least.into())
}

/// Expressions that the source's probes contradict: bit 0 stands for the first.
fn refuted(row: &FlowRow) -> i16 {
    let spans = row.constants.iter().flatten().enumerate();
    spans.fold(0, |bits, (slot, (least, greatest))| {
        bits | i16::from(least != greatest) << slot
    })
}

/// The IP ID that several packets share; none where they differ, or there is only one.
fn shared_ip_id(row: &FlowRow) -> Option<i32> {
    let id = row
        .ip_id_min
        .filter(|_| row.packets > 1 && row.ip_id_min == row.ip_id_max);
    id.map(i32::from)
}

type Col = Column<FlowRow>;

pub(super) fn columns() -> Vec<Column<FlowRow>> {
    // A dictionary of values that fill 16 bits costs many times their packing and saves nothing.
    use Layout::{Delta, Plain, Split};
    use Read::{
        Count, Flag, Int16, Int32, Int64, MaybeInt32, MaybeInt32At, MaybeInt64, MaybeOctets16,
        MaybeText, MaybeUInt32, Text, Time,
    };
    let mut columns = vec![
        Col::new("interval_start", "UTC", Time(|r| r.interval_start_us)).layout(Delta),
        Col::new(
            "source4",
            "IPv4 address",
            MaybeUInt32(|r| source4(r.source)),
        )
        .layout(Delta)
        .page_statistics(),
        Col::new(
            "source6",
            "IPv6 address",
            MaybeOctets16(|r| source6(r.source)),
        )
        .page_statistics(),
        Col::new(
            "protocol",
            "name or number",
            Text(|r| protocol::name(r.cell.protocol())),
        ),
        Col::new("class", "name", Text(|r| r.cell.class().name())),
        Col::new(
            "port",
            "port or ICMP type*256+code",
            MaybeInt32(|r| r.cell.port().map(i32::from)),
        )
        .layout(Split)
        .page_statistics(),
        Col::new("packets", "packets", Count(|r| r.packets)),
        Col::new("bytes", "octets of IP datagrams", Count(|r| r.bytes)),
        Col::new(
            "first_ms",
            "milliseconds after interval_start",
            Int32(|r| milliseconds(r.first_ms)),
        )
        .layout(Split),
        Col::new(
            "duration_ms",
            "milliseconds",
            Int32(|r| milliseconds(r.duration_ms)),
        )
        .layout(Plain),
        Col::new("ttl_min", "hops", Int16(|r| r.ttl_min.into())).layout(Split),
        Col::new(
            "ttl_span",
            "hops above ttl_min",
            Int16(|r| r.ttl_max.saturating_sub(r.ttl_min).into()),
        ),
        Col::new("tcp_flags", "bit set", Int16(|r| r.tcp_flags.into())),
        Col::new("ip_id", "IP ID of all packets", MaybeInt32(shared_ip_id)),
        Col::new(
            "last_source_port",
            "port",
            MaybeInt32(|r| r.last_source_port.map(i32::from)),
        )
        .layout(Split),
        Col::new(
            "destinations",
            "linear-counting bitmap",
            Int64(|r| r.destinations.cast_signed()),
        ),
        Col::new(
            "country",
            "ISO 3166-1 alpha-2",
            MaybeText(|r| r.country.as_ref().map(Country::as_str)),
        ),
        Col::new("asn", "AS number", MaybeInt64(|r| r.asn.map(i64::from))),
        Col::new("bogon", "flag", Flag(|r| r.bogon)),
    ];
    for at in 0..SLOTS {
        let name = format!("constant{}", at + 1);
        let value = MaybeInt32At(constant, at);
        columns.push(Col::new(name, "expression, 16 bits", value).layout(Split));
    }
    columns.push(Col::new("refuted", "bit set", Int16(refuted)));
    columns
}

/// An interval is at most an hour, so that nothing real is ever clamped.
fn milliseconds(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
