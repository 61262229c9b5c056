//! The tables: their columns, their rows, and the functions that encode rows.
//!
//! A file of an interval table holds the rows of one sensor and one interval; date and sensor are part
//! of its path only. Counters are stored as Int64, times as microseconds UTC.

use arrow_schema::SchemaRef;

use crate::encode;
use crate::table::Table;

mod daily;
mod fingerprints;
mod flows;
mod ledger;
mod ports;
mod sketches;
mod unparsed;
mod victims;

pub use daily::{DailyFile, daily_schema};
pub use fingerprints::{FingerprintRow, encode_fingerprints};
pub use flows::{CONSTANTS, FlowEncoder, FlowRow, encode_flows, sort_flows};
pub use ledger::{DECODE_ERRORS, LedgerRow, Mode, encode_ledger, error_columns};
pub use ports::{PortRow, encode_ports};
pub use sketches::{SketchRow, encode_sketches};
pub use unparsed::{UnparsedRow, encode_unparsed};
pub use victims::{VictimRow, encode_victims};

/// The columns of an interval table's files.
pub fn schema(table: Table) -> SchemaRef {
    match table {
        Table::Flows => encode::schema(table, &flows::columns()),
        Table::Ports => encode::schema(table, &ports::columns()),
        Table::Fingerprints => encode::schema(table, &fingerprints::columns()),
        Table::Sketches => encode::schema(table, &sketches::columns()),
        Table::Victims => encode::schema(table, &victims::columns()),
        Table::Unparsed => encode::schema(table, &unparsed::columns()),
        Table::Ledger => encode::schema(table, &ledger::columns()),
    }
}

#[cfg(test)]
mod tests;
