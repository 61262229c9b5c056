//! Table `fingerprints`: which rule matched packets of which source.

use noctule_packet::Source;

use super::{source4, source6};
use crate::encode::{Column, Encoder, Layout, ROWS_PER_BATCH, Read};
use crate::{StoreError, Table, protocol};

/// How often one rule matched one source's packets to one port in one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FingerprintRow<'rules> {
    /// Start of the interval, microseconds since 1970.
    pub interval_start_us: i64,
    /// Source address.
    pub source: Source,
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
    /// Least and greatest value of the rule's expression over them, in 16
    /// bits; none for rules without one.
    pub constant: Option<(u16, u16)>,
}

/// Encodes fingerprint hits as one Parquet file, in the order given.
///
/// # Errors
/// Only what the Parquet writer refuses.
pub fn encode_fingerprints<'rules>(
    rows: impl IntoIterator<Item = FingerprintRow<'rules>>,
) -> Result<Vec<u8>, StoreError> {
    let mut encoder = Encoder::new(Table::Fingerprints, columns(), &[])?;
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
    vec![
        Col::new("interval_start", "UTC", Read::Time(|r| r.interval_start_us)),
        Col::new(
            "source4",
            "IPv4 address",
            Read::MaybeUInt32(|r| source4(r.source)),
        )
        .layout(Layout::Delta)
        .page_statistics(),
        Col::new(
            "source6",
            "IPv6 address",
            Read::MaybeOctets16(|r| source6(r.source)),
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
    ]
}
