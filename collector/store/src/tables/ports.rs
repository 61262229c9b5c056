//! Table `ports`: exact packets and bytes of every counting cell.

use crate::cell::Cell;
use crate::encode::{Column, Read, encode};
use crate::error::StoreError;
use crate::protocol;
use crate::table::Table;

/// The packets of one cell in one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRow {
    /// Start of the interval, microseconds since 1970.
    pub interval_start_us: i64,
    /// Protocol, class and port.
    pub cell: Cell,
    /// Packets.
    pub packets: u64,
    /// Octets of IP datagrams.
    pub bytes: u64,
    /// Distinct source addresses; none if they could not be counted exactly.
    pub sources: Option<u64>,
}

/// Encodes cells as one Parquet file, in the order given.
///
/// # Errors
/// [`StoreError::Encode`] if the Parquet writer fails.
pub fn encode_ports(rows: &[PortRow]) -> Result<Vec<u8>, StoreError> {
    encode(Table::Ports, columns(), rows)
}

type Col = Column<PortRow>;

pub(super) fn columns() -> Vec<Column<PortRow>> {
    vec![
        Col::new("interval_start", "UTC", Read::Time(|r| r.interval_start_us)),
        Col::new(
            "protocol",
            "name or number",
            Read::Text(|r| protocol::name(r.cell.protocol)),
        ),
        Col::new("class", "name", Read::Text(|r| r.cell.class.name())),
        Col::new(
            "port",
            "port or ICMP type*256+code",
            Read::MaybeInt32(|r| r.cell.port.map(i32::from)),
        )
        .page_statistics(),
        Col::new("packets", "packets", Read::Count(|r| r.packets)),
        Col::new("bytes", "octets of IP datagrams", Read::Count(|r| r.bytes)),
        Col::new("sources", "addresses", Read::MaybeCount(|r| r.sources)),
    ]
}
