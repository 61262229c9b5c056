//! Table `unparsed`: what frames are whose destination address was not found.

use crate::encode::{Column, Read, encode};
use crate::error::StoreError;
use crate::table::Table;

/// Frames of one kind that one queue passed in one interval. The packets of an interval and queue add
/// up to `ledger.not_parsed_packets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnparsedRow {
    /// Start of the interval, microseconds since 1970.
    pub interval_start_us: i64,
    /// Name of the interface; none for a replay.
    pub interface: Option<String>,
    /// Receive queue; 0 for a replay.
    pub queue: u32,
    /// `ethertype`, `llc`, `ip_version`, `mpls_payload`, `tunnel`, `ppp`, `family`, `nflog`,
    /// `link_type`, `cut` or `other`.
    pub kind: &'static str,
    /// The number that the kind has: an EtherType, for example; none for `cut` and `other`.
    pub number: Option<u32>,
    /// Frames.
    pub packets: u64,
    /// Octets of these frames, link layer included.
    pub bytes: u64,
}

/// Encodes rows as one Parquet file, in the order given.
///
/// # Errors
/// [`StoreError::Encode`] if the Parquet writer fails.
pub fn encode_unparsed(rows: &[UnparsedRow]) -> Result<Vec<u8>, StoreError> {
    encode(Table::Unparsed, columns(), rows)
}

type Col = Column<UnparsedRow>;

pub(super) fn columns() -> Vec<Column<UnparsedRow>> {
    vec![
        Col::new("interval_start", "UTC", Read::Time(|r| r.interval_start_us)),
        Col::new(
            "interface",
            "name",
            Read::MaybeText(|r| r.interface.as_deref()),
        ),
        Col::new(
            "queue",
            "queue index",
            Read::Int32(|r| i32::try_from(r.queue).unwrap_or(i32::MAX)),
        ),
        Col::new("kind", "name", Read::Text(|r| r.kind)),
        Col::new(
            "number",
            "number of the kind",
            Read::MaybeInt64(|r| r.number.map(i64::from)),
        ),
        Col::new("packets", "packets", Read::Count(|r| r.packets)),
        Col::new("bytes", "octets of frames", Read::Count(|r| r.bytes)),
    ]
}
