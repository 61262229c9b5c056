//! Table `victims`: destinations quoted in ICMP errors, which are targets of attacks with forged
//! darknet addresses.

use std::net::IpAddr;

use crate::encode::{Column, Read, encode};
use crate::error::StoreError;
use crate::protocol;
use crate::table::Table;

/// The ICMP errors that quote one victim and port in one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VictimRow {
    /// Start of the interval, microseconds since 1970.
    pub interval_start_us: i64,
    /// Quoted destination address.
    pub victim: IpAddr,
    /// Quoted IP protocol number.
    pub protocol: u8,
    /// Quoted destination port; ICMP: type * 256 + code; none if the quote has no port.
    pub port: Option<u16>,
    /// ICMP errors.
    pub packets: u64,
    /// Distinct addresses that sent them; none if they could not be counted exactly.
    pub senders: Option<u64>,
}

/// Encodes victims as one Parquet file, in the order given.
///
/// # Errors
/// [`StoreError::Encode`] if the Parquet writer fails.
pub fn encode_victims(rows: &[VictimRow]) -> Result<Vec<u8>, StoreError> {
    encode(Table::Victims, columns(), rows)
}

type Col = Column<VictimRow>;

pub(super) fn columns() -> Vec<Column<VictimRow>> {
    let mut columns = vec![Col::new(
        "interval_start",
        "UTC",
        Read::Time(|r| r.interval_start_us),
    )];
    columns.extend(Col::address(["victim4", "victim6"], |r| r.victim));
    columns.extend([
        Col::new(
            "protocol",
            "name or number",
            Read::Text(|r| protocol::name(r.protocol)),
        ),
        Col::new(
            "port",
            "port or ICMP type*256+code",
            Read::MaybeInt32(|r| r.port.map(i32::from)),
        )
        .page_statistics(),
        Col::new("packets", "ICMP errors", Read::Count(|r| r.packets)),
        Col::new("senders", "addresses", Read::MaybeCount(|r| r.senders)),
    ]);
    columns
}
