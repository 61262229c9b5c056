//! Table `victims`: whom ICMP errors quote, the targets of attacks under forged darknet addresses.

use noctule_packet::Source;

use super::{source4, source6};
use crate::encode::{Column, Layout, Read, encode};
use crate::{StoreError, Table, protocol};

/// What ICMP errors said of one victim's port in one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VictimRow {
    /// Start of the interval, microseconds since 1970.
    pub interval_start_us: i64,
    /// Quoted destination address.
    pub victim: Source,
    /// Quoted IP protocol number.
    pub protocol: u8,
    /// Quoted destination port; ICMP: type * 256 + code; none where the quote has no port.
    pub port: Option<u16>,
    /// ICMP errors.
    pub packets: u64,
    /// Distinct addresses that sent them; none when they could not be counted exactly.
    pub senders: Option<u64>,
}

/// Encodes victims as one Parquet file, in the order given.
///
/// # Errors
/// Only what the Parquet writer refuses.
pub fn encode_victims(rows: &[VictimRow]) -> Result<Vec<u8>, StoreError> {
    encode(Table::Victims, columns(), &[], rows)
}

type Col = Column<VictimRow>;

pub(super) fn columns() -> Vec<Column<VictimRow>> {
    vec![
        Col::new("interval_start", "UTC", Read::Time(|r| r.interval_start_us)),
        Col::new(
            "victim4",
            "IPv4 address",
            Read::MaybeUInt32(|r| source4(r.victim)),
        )
        .layout(Layout::Delta)
        .page_statistics(),
        Col::new(
            "victim6",
            "IPv6 address",
            Read::MaybeOctets16(|r| source6(r.victim)),
        )
        .page_statistics(),
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
    ]
}
