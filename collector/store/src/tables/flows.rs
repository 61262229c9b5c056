//! Table `flows`: the fact table, one row per interval and flow key.

use std::net::IpAddr;
use std::sync::LazyLock;

use crate::cell::{Cell, Class};
use crate::country::Country;
use crate::encode::{Column, Encoder, ROWS_PER_BATCH, Read};
use crate::error::StoreError;
use crate::format::{Layout, SortedBy};
use crate::protocol;
use crate::table::Table;

/// Expressions of fingerprints that a flow row has columns for.
pub const CONSTANTS: usize = 3;

/// The packets of one source to (for backscatter, from) one port in one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRow {
    /// Start of the interval, microseconds since 1970.
    pub interval_start_us: i64,
    /// Source address.
    pub source: IpAddr,
    /// Protocol, class and port.
    pub cell: Cell,
    /// Packets.
    pub packets: u64,
    /// Octets of IP datagrams.
    pub bytes: u64,
    /// Time of the first packet, milliseconds after the interval's start.
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
    /// Least and greatest value, in 16 bits, of each expression that fingerprints have in this table
    /// (`ledger.constants` names them); none without a probe. The column has the value if all rows of
    /// the source in the interval agree in it; otherwise `refuted` has the expression's bit.
    pub constants: Option<[(u16, u16); CONSTANTS]>,
    /// Source port of the last packet; none for packets without ports.
    pub last_source_port: Option<u16>,
    /// Linear-counting bitmap of destinations, 64 bits; rows merge by OR.
    pub destinations: u64,
    /// Country of the source: [`Country::UNKNOWN`] if the country file has none for it, none without a
    /// country file.
    pub country: Option<Country>,
    /// AS number of the source; none if it is not known.
    pub asn: Option<u32>,
    /// The source's address is not routed on the Internet, so it is forged.
    pub bogon: bool,
}

impl FlowRow {
    /// The order of the table's rows: source (IPv4 first), protocol, class, port.
    fn key(&self) -> (IpAddr, u32) {
        (self.source, rank(self.cell))
    }
}

/// The order of cells by their columns: names are ordered as text, and no port comes first.
fn rank(cell: Cell) -> u32 {
    static PROTOCOLS: LazyLock<[u8; 256]> = LazyLock::new(|| {
        let mut order: [u8; 256] = std::array::from_fn(|number| number as u8);
        order.sort_unstable_by_key(|&number| protocol::name(number));
        let mut ranks = [0; 256];
        for (rank, number) in (0..=u8::MAX).zip(order) {
            ranks[usize::from(number)] = rank;
        }
        ranks
    });
    let class = match cell.class {
        Class::Backscatter => 0,
        Class::Other => 1,
        Class::Scan => 2,
    };
    let port = cell.port.map_or(0, |port| u32::from(port) + 1);
    u32::from(PROTOCOLS[usize::from(cell.protocol)]) << 19 | class << 17 | port
}

/// Puts flows into the table's order: source (IPv4 first), protocol, class, port.
pub fn sort_flows(rows: &mut [FlowRow]) {
    rows.sort_unstable_by_key(FlowRow::key);
}

/// Encodes flows as one Parquet file.
///
/// # Errors
/// [`StoreError::Order`] unless rows are in the order of [`sort_flows`], each key once;
/// [`StoreError::Encode`] if the Parquet writer fails.
pub fn encode_flows(rows: &[FlowRow]) -> Result<Vec<u8>, StoreError> {
    let table = Table::Flows;
    if let Some(at) = rows.windows(2).position(|two| two[0].key() >= two[1].key()) {
        return Err(StoreError::Order { table, row: at + 1 });
    }
    let mut encoder = FlowEncoder::new()?;
    rows.iter().try_for_each(|row| encoder.push(row.clone()))?;
    encoder.finish()
}

fn sorted_by() -> Vec<SortedBy> {
    let columns = [
        ("source4", false),
        ("source6", false),
        ("protocol", true),
        ("class", true),
        ("port", true),
    ];
    columns
        .map(|(name, nulls_first)| SortedBy { name, nulls_first })
        .into()
}

/// Encodes flows source by source, so that at most a batch of rows and those of one source are in
/// memory. The bytes are those of [`encode_flows`].
pub struct FlowEncoder {
    encoder: Encoder<FlowRow>,
    /// Rows that are not yet encoded.
    rows: Vec<FlowRow>,
    /// Index of the first of them that belongs to the last source.
    group: usize,
    /// Number of rows that are encoded.
    encoded: usize,
    /// The source before the last.
    last: Option<IpAddr>,
}

impl FlowEncoder {
    /// A file without rows.
    ///
    /// # Errors
    /// [`StoreError::Encode`] if the Parquet writer fails.
    pub fn new() -> Result<Self, StoreError> {
        Ok(Self {
            encoder: Encoder::new(Table::Flows, columns(), sorted_by())?,
            rows: Vec::with_capacity(2 * ROWS_PER_BATCH),
            group: 0,
            encoded: 0,
            last: None,
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.encoded + self.rows.len()
    }

    /// True without a row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a row. Sources must ascend, IPv4 first; the rows of one source may come in any order.
    ///
    /// # Errors
    /// [`StoreError::Order`] if a source does not come after the source before it, or has two rows of
    /// the same key; [`StoreError::Encode`] if the Parquet writer fails.
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

    /// Finishes the rows of the last source.
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

/// Gives all rows of one source the same span for each expression that its probes contradict. A rule
/// without a condition is about all probes of a source: if an interval refutes it, it is refuted for
/// the day, and no row needs its values any more.
fn settle(rows: &mut [FlowRow]) {
    for slot in 0..CONSTANTS {
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

/// The value that an expression has for all probes of the source; none if the values differ.
fn constant(row: &FlowRow, slot: usize) -> Option<i32> {
    let (least, greatest) = row.constants?[slot];
    (least == greatest).then_some(least.into())
}

/// Bit set of the expressions that the source's probes contradict; bit 0 is the first.
fn refuted(row: &FlowRow) -> i16 {
    let spans = row.constants.iter().flatten().enumerate();
    spans.fold(0, |bits, (slot, (least, greatest))| {
        bits | i16::from(least != greatest) << slot
    })
}

/// The IP ID that several packets have in common; none if they differ, or for a single packet.
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
        Count, Flag, Int16, Int32, Int64, MaybeInt32, MaybeInt32At, MaybeInt64, MaybeText, Text,
        Time,
    };
    let mut columns =
        vec![Col::new("interval_start", "UTC", Time(|r| r.interval_start_us)).layout(Delta)];
    columns.extend(Col::address(["source4", "source6"], |r| r.source));
    columns.extend([
        Col::new(
            "protocol",
            "name or number",
            Text(|r| protocol::name(r.cell.protocol)),
        ),
        Col::new("class", "name", Text(|r| r.cell.class.name())),
        Col::new(
            "port",
            "port or ICMP type*256+code",
            MaybeInt32(|r| r.cell.port.map(i32::from)),
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
    ]);
    for at in 0..CONSTANTS {
        let name = format!("constant{}", at + 1);
        let value = MaybeInt32At(constant, at);
        columns.push(Col::new(name, "expression, 16 bits", value).layout(Split));
    }
    columns.push(Col::new("refuted", "bit set", Int16(refuted)));
    columns
}

/// An interval is at most an hour, so that no real value is clamped.
fn milliseconds(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
