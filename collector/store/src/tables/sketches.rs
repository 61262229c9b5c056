//! Table `sketches`: distinct sources of degraded intervals.

use crate::cell::Class;
use crate::encode::{Column, Read, encode};
use crate::error::StoreError;
use crate::format::Layout;
use crate::protocol;
use crate::table::Table;

/// A sketch of the sources of one protocol, or of a class or a cell of it, in one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SketchRow {
    /// Start of the interval, microseconds since 1970.
    pub interval_start_us: i64,
    /// IP protocol number.
    pub protocol: u8,
    /// Class; none: all of them.
    pub class: Option<Class>,
    /// Port, as in `flows`; none: all of them.
    pub port: Option<u16>,
    /// Binary logarithm of the number of registers.
    pub lg_k: u8,
    /// Apache DataSketches HLL image.
    pub sketch: Vec<u8>,
}

/// Encodes sketches as one Parquet file, in the order given.
///
/// # Errors
/// [`StoreError::Encode`] if the Parquet writer fails.
pub fn encode_sketches(rows: &[SketchRow]) -> Result<Vec<u8>, StoreError> {
    encode(Table::Sketches, columns(), rows)
}

type Col = Column<SketchRow>;

pub(super) fn columns() -> Vec<Column<SketchRow>> {
    vec![
        Col::new("interval_start", "UTC", Read::Time(|r| r.interval_start_us)),
        Col::new(
            "protocol",
            "name or number",
            Read::Text(|r| protocol::name(r.protocol)),
        ),
        Col::new(
            "class",
            "name",
            Read::MaybeText(|r| r.class.map(Class::name)),
        ),
        Col::new(
            "port",
            "port or ICMP type*256+code",
            Read::MaybeInt32(|r| r.port.map(i32::from)),
        ),
        Col::new("lg_k", "log2 of registers", Read::Int16(|r| r.lg_k.into())),
        Col::new(
            "sketch",
            "Apache DataSketches HLL image",
            Read::Octets(|r| &r.sketch),
        )
        .layout(Layout::Plain),
    ]
}
