//! Table `fingerprints`: how many packets of a source each rule matched.

use std::net::IpAddr;

use crate::encode::{Column, Encoder, ROWS_PER_BATCH, Read};
use crate::error::StoreError;
use crate::protocol;
use crate::table::Table;

/// The packets of one source to one port that a rule matched in one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FingerprintRow<'rules> {
    /// Start of the interval, microseconds since 1970.
    pub interval_start_us: i64,
    /// Source address.
    pub source: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Port, as in `flows`.
    pub port: Option<u16>,
    /// Name of the rule.
    pub rule: &'rules str,
    /// Version of the rule.
    pub rule_version: u16,
    /// Packets that matched.
    pub hits: u64,
    /// Least and greatest value of the rule's expression over these packets, 16 bits; none for rules
    /// without an expression.
    pub constant: Option<(u16, u16)>,
}

/// Encodes fingerprint hits as one Parquet file, in the order given.
///
/// # Errors
/// [`StoreError::Encode`] if the Parquet writer fails.
pub fn encode_fingerprints<'rules>(
    rows: impl IntoIterator<Item = FingerprintRow<'rules>>,
) -> Result<Vec<u8>, StoreError> {
    let mut encoder = Encoder::new(Table::Fingerprints, columns(), Vec::new())?;
    let mut rows = rows.into_iter();
    loop {
        let batch: Vec<_> = rows.by_ref().take(ROWS_PER_BATCH).collect();
        if batch.is_empty() {
            return encoder.finish();
        }
        encoder.write(&batch)?;
    }
}

type Col<'rules> = Column<FingerprintRow<'rules>>;

pub(super) fn columns<'rules>() -> Vec<Column<FingerprintRow<'rules>>> {
    let mut columns = vec![Col::new(
        "interval_start",
        "UTC",
        Read::Time(|r| r.interval_start_us),
    )];
    columns.extend(Col::address(["source4", "source6"], |r| r.source));
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
        Col::new("rule", "name", Read::Text(|r| r.rule)),
        Col::new(
            "rule_version",
            "version",
            Read::Int32(|r| r.rule_version.into()),
        ),
        Col::new("hits", "packets", Read::Count(|r| r.hits)),
        Col::new(
            "constant_min",
            "expression, 16 bits",
            Read::MaybeInt32(|r| r.constant.map(|span| span.0.into())),
        ),
        Col::new(
            "constant_max",
            "expression, 16 bits",
            Read::MaybeInt32(|r| r.constant.map(|span| span.1.into())),
        ),
    ]);
    columns
}
