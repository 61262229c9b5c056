//! The tables: their rows, and the functions that encode them.
//!
//! A file holds the rows of one table, one sensor and one interval; the date and the sensor stand
//! in its path only. Counters are stored as Int64, times as microseconds UTC.

use std::fmt;

use arrow_schema::SchemaRef;
use noctule_packet::Source;

mod fingerprints;
mod flows;
mod ledger;
mod ports;
mod sketches;
mod victims;

pub use fingerprints::{FingerprintRow, encode_fingerprints};
pub use flows::{FlowEncoder, FlowRow, encode_flows, sort_flows};
pub use ledger::{LedgerRow, Mode, encode_ledger, error_column};
pub use ports::{PortRow, encode_ports};
pub use sketches::{SketchRow, encode_sketches};
pub use victims::{VictimRow, encode_victims};

/// A table of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One row per interval and flow key.
    Flows,
    /// One row per interval, protocol, class and port.
    Ports,
    /// One row per interval, source, protocol, port and fingerprint rule.
    Fingerprints,
    /// One row per interval, protocol, and class and port where there is a sketch for them.
    Sketches,
    /// One row per interval, quoted destination, protocol and port.
    Victims,
    /// One row per interval and queue.
    Ledger,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 6] = [
        Self::Flows,
        Self::Ports,
        Self::Fingerprints,
        Self::Sketches,
        Self::Victims,
        Self::Ledger,
    ];

    /// The table's name, which is its folder's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flows => "flows",
            Self::Ports => "ports",
            Self::Fingerprints => "fingerprints",
            Self::Sketches => "sketches",
            Self::Victims => "victims",
            Self::Ledger => "ledger",
        }
    }

    /// The columns of the table's files; the ledger's without its decode error columns, whose
    /// names depend on the sensor's version.
    pub fn schema(self) -> SchemaRef {
        match self {
            Self::Flows => crate::encode::schema(&flows::columns()),
            Self::Ports => crate::encode::schema(&ports::columns()),
            Self::Fingerprints => crate::encode::schema(&fingerprints::columns()),
            Self::Sketches => crate::encode::schema(&sketches::columns()),
            Self::Victims => crate::encode::schema(&victims::columns()),
            Self::Ledger => crate::encode::schema(&ledger::columns(&[])),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What stands in column `source4`.
const fn source4(source: Source) -> Option<u32> {
    match source {
        Source::V4(address) => Some(address),
        Source::V6(_) => None,
    }
}

/// What stands in column `source6`: the octets in network order.
const fn source6(source: Source) -> Option<[u8; 16]> {
    match source {
        Source::V4(_) => None,
        Source::V6(address) => Some(address.to_be_bytes()),
    }
}

#[cfg(test)]
mod tests;
