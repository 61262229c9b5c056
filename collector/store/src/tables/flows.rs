//! Table `flows`: the fact table, one row per interval and flow key.

use noctule_packet::rules::SLOTS;
use noctule_packet::{CellId, Source};

use super::{source4, source6};
use crate::encode::{Column, Layout, Read, SortedBy, encode};
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
    /// table (`ledger.constants` names them); none without a probe.
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
    /// The order of the table's rows. Texts order as texts, a missing port comes first.
    fn key(&self) -> (Source, &'static str, &'static str, Option<u16>) {
        let cell = self.cell;
        let (protocol, class) = (protocol::name(cell.protocol()), cell.class().name());
        (self.source, protocol, class, cell.port())
    }
}

/// Puts flows into the table's order: source (IPv4 first), protocol, class, port.
pub fn sort_flows(rows: &mut [FlowRow]) {
    rows.sort_unstable_by(|a, b| {
        // Most rows differ in their source, and a name is dearer than a number.
        (a.source.cmp(&b.source)).then_with(|| a.key().cmp(&b.key()))
    });
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
    let sorted_by = [
        ("source4", false),
        ("source6", false),
        ("protocol", true),
        ("class", true),
        ("port", true),
    ]
    .map(|(name, nulls_first)| SortedBy { name, nulls_first });
    encode(table, &columns(), &sorted_by, rows)
}

type Col = Column<FlowRow>;

pub(super) fn columns() -> Vec<Column<FlowRow>> {
    use Layout::Delta;
    use Read::{
        Count, Flag, Int16, Int32, Int64, MaybeInt32, MaybeInt32At, MaybeInt64, MaybeOctets16,
        MaybeText, MaybeUInt32, Text, Time,
    };
    let mut columns = vec![
        Col::new("interval_start", "UTC", Time(|r| r.interval_start_us)),
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
        .page_statistics(),
        Col::new("packets", "packets", Count(|r| r.packets)),
        Col::new("bytes", "octets of IP datagrams", Count(|r| r.bytes)),
        Col::new(
            "first_ms",
            "milliseconds after interval_start",
            Int32(|r| milliseconds(r.first_ms)),
        )
        .layout(Delta),
        Col::new(
            "duration_ms",
            "milliseconds",
            Int32(|r| milliseconds(r.duration_ms)),
        ),
        Col::new("ttl_min", "hops", Int16(|r| r.ttl_min.into())),
        Col::new("ttl_max", "hops", Int16(|r| r.ttl_max.into())),
        Col::new("tcp_flags", "bit set", Int16(|r| r.tcp_flags.into())),
        Col::new(
            "ip_id_min",
            "IP ID",
            MaybeInt32(|r| r.ip_id_min.map(i32::from)),
        ),
        Col::new(
            "ip_id_max",
            "IP ID",
            MaybeInt32(|r| r.ip_id_max.map(i32::from)),
        ),
        Col::new(
            "last_source_port",
            "port",
            MaybeInt32(|r| r.last_source_port.map(i32::from)),
        ),
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
        let number = at + 1;
        columns.push(Col::new(
            format!("constant{number}_min"),
            "expression, 16 bits",
            MaybeInt32At(|r, at| r.constants.map(|spans| spans[at].0.into()), at),
        ));
        columns.push(Col::new(
            format!("constant{number}_max"),
            "expression, 16 bits",
            MaybeInt32At(|r, at| r.constants.map(|spans| spans[at].1.into()), at),
        ));
    }
    columns
}

/// An interval is at most an hour, so that nothing real is ever clamped.
fn milliseconds(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
