//! The daily tables: their columns, and the writer of their files.

use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef, TimeUnit};

use super::flows::CONSTANTS;
use super::ledger::error_columns;
use crate::error::StoreError;
use crate::format::{ColumnFormat, FileFormat, Layout};
use crate::table::DailyTable;
use crate::table_file::TableFile;

/// Rows in a row group.
const ROWS_PER_GROUP: usize = 1 << 19;
/// Rows in a page: a question for one port reads whole pages.
const ROWS_PER_PAGE: usize = 1 << 14;
/// ZSTD level: daily files are written once and read for years.
const ZSTD_LEVEL: i32 = 3;

/// The columns of a daily table's files.
pub fn daily_schema(table: DailyTable) -> SchemaRef {
    format(table, None).schema()
}

/// A daily table's file that is being written on this machine.
pub struct DailyFile(TableFile);

impl DailyFile {
    /// A file without rows; `about` says what it is made of, as JSON, for the key `noctule.rollup` of
    /// its footer.
    ///
    /// # Errors
    /// [`StoreError::Write`] if the folder does not take files.
    pub fn create(table: DailyTable, path: &Path, about: &str) -> Result<Self, StoreError> {
        let about = Some(("noctule.rollup", about.to_owned()));
        TableFile::create(&format(table, about), path).map(Self)
    }

    /// Adds rows. Their columns are those of [`daily_schema`].
    ///
    /// # Errors
    /// [`StoreError::Encode`] if the columns are others, or the disk is full.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), StoreError> {
        self.0.write(rows)
    }

    /// Ends the file, which then appears at its path; returns how many rows it has.
    ///
    /// # Errors
    /// As [`TableFile::finish`].
    pub fn finish(self) -> Result<u64, StoreError> {
        self.0.finish()
    }
}

/// How the files of a daily table are written.
fn format(table: DailyTable, about: Option<(&'static str, String)>) -> FileFormat {
    FileFormat {
        table: table.name(),
        columns: match table {
            DailyTable::Flows => flows(),
            DailyTable::Research => research(),
            DailyTable::Ports => ports(),
            DailyTable::Ledger => ledger(),
        },
        sorted_by: Vec::new(),
        zstd_level: ZSTD_LEVEL,
        rows_per_group: ROWS_PER_GROUP,
        rows_per_page: Some(ROWS_PER_PAGE),
        about,
    }
}

fn of(name: &str, data_type: DataType, nullable: bool, unit: &'static str) -> ColumnFormat {
    ColumnFormat {
        name: name.to_owned(),
        data_type,
        nullable,
        unit,
        layout: Layout::DictionaryOrPlain,
        page_statistics: false,
    }
}

fn count(name: &str, unit: &'static str) -> ColumnFormat {
    of(name, DataType::Int64, false, unit)
}

fn text(name: &str, unit: &'static str) -> ColumnFormat {
    of(name, DataType::Utf8, false, unit)
}

fn packed(column: ColumnFormat) -> ColumnFormat {
    ColumnFormat {
        layout: Layout::Delta,
        ..column
    }
}

fn searched(column: ColumnFormat) -> ColumnFormat {
    ColumnFormat {
        page_statistics: true,
        ..column
    }
}

fn source() -> [ColumnFormat; 2] {
    let octets = DataType::FixedSizeBinary(16);
    [
        searched(packed(of(
            "source4",
            DataType::UInt32,
            true,
            "IPv4 address",
        ))),
        of("source6", octets, true, "IPv6 address"),
    ]
}

fn cell() -> [ColumnFormat; 3] {
    [
        text("protocol", "name or number"),
        text("class", "name"),
        of("port", DataType::Int32, true, "port or ICMP type*256+code"),
    ]
    .map(searched)
}

fn country() -> ColumnFormat {
    of("country", DataType::Utf8, true, "ISO 3166-1 alpha-2")
}

fn flows() -> Vec<ColumnFormat> {
    let time = |name| {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        packed(of(name, utc, false, "UTC, whole milliseconds"))
    };
    let mut columns = source().to_vec();
    columns.extend(cell());
    columns.extend([
        count("packets", "packets"),
        count("bytes", "octets of IP datagrams"),
        time("first_seen"),
        time("last_seen"),
        of("ttl_min", DataType::Int16, false, "hops"),
        of("ttl_max", DataType::Int16, true, "hops"),
        of("tcp_flags", DataType::Int16, false, "bit set"),
        packed(of("last_source_port", DataType::Int32, true, "port")),
        of(
            "destinations",
            DataType::Int64,
            false,
            "linear-counting bitmap",
        ),
        country(),
        of("asn", DataType::Int64, true, "AS number"),
        of("bogon", DataType::Boolean, false, "flag"),
    ]);
    for number in 1..=CONSTANTS {
        let name = format!("constant{number}");
        let column = of(&name, DataType::Int32, true, "expression, 16 bits");
        columns.push(packed(column));
    }
    columns.push(of("refuted", DataType::Int16, true, "bit set"));
    columns
}

fn research() -> Vec<ColumnFormat> {
    let mut columns = source().to_vec();
    columns.extend([
        country(),
        of("asn", DataType::Int64, true, "AS number"),
        count("packets", "packets"),
        count("ports", "TCP and UDP ports probed"),
        of("listed", DataType::Boolean, false, "flag"),
        of("name", DataType::Utf8, true, "name in the operator's lists"),
    ]);
    columns
}

fn ports() -> Vec<ColumnFormat> {
    let mut columns = cell().to_vec();
    columns.extend([
        country(),
        count("packets", "packets"),
        count("bytes", "octets of IP datagrams"),
        of("sources", DataType::Int64, true, "addresses"),
        of("research_packets", DataType::Int64, true, "packets"),
        of(
            "research_bytes",
            DataType::Int64,
            true,
            "octets of IP datagrams",
        ),
        of("research_sources", DataType::Int64, true, "addresses"),
    ]);
    columns
}

fn ledger() -> Vec<ColumnFormat> {
    let mut columns = vec![
        count("intervals", "intervals"),
        count("complete_intervals", "intervals"),
        count("degraded_intervals", "intervals"),
        count("partial_intervals", "intervals"),
        of("interval_seconds", DataType::Int32, false, "seconds"),
        count("observed_ms", "milliseconds"),
        count("address_ms", "IPv4 addresses x milliseconds"),
        count("slash64_ms", "IPv6 /64s x milliseconds"),
        of(
            "observed_addresses",
            DataType::Float64,
            true,
            "IPv4 addresses, mean over time",
        ),
        of(
            "observed_slash64s",
            DataType::Float64,
            true,
            "IPv6 /64s, mean over time",
        ),
        count("records", "packets"),
        count("matched_packets", "packets"),
        count("matched_bytes", "octets of frames"),
        count("passed_packets", "packets"),
        count("passed_bytes", "octets of frames"),
        count("not_parsed_packets", "packets"),
        count("counted_packets", "packets"),
        count("counted_bytes", "octets of IP datagrams"),
        count("lost_unserved", "packets"),
        count("lost_rx_dropped", "packets"),
        count("lost_rx_ring_full", "packets"),
        count("lost_unexplained", "packets"),
        count("late_packets", "packets"),
        count("time_jump_packets", "packets"),
        count("overflow_packets", "packets"),
        count("fingerprint_overflow_hits", "hits"),
        count("icmp_error_packets", "packets"),
        count("quotes_counted_packets", "packets"),
        count("quotes_foreign_packets", "packets"),
        count("quotes_unreadable_packets", "packets"),
        count("quotes_overflow_packets", "packets"),
    ];
    // A collector of another version may not have the column.
    columns.extend(error_columns().map(|name| of(&name, DataType::Int64, true, "packets")));
    for (what, unit) in [
        ("prefixes", "version"),
        ("rules", "version"),
        ("constants", "name/version"),
        ("software", "version"),
    ] {
        columns.push(text(&format!("{what}_first"), unit));
        columns.push(text(&format!("{what}_last"), unit));
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;
    use crate::tables::schema;

    #[test]
    fn every_count_of_the_ledger_has_a_daily_column() {
        // A count of the interval table without a daily column would be lost silently.
        let daily = daily_schema(DailyTable::Ledger);
        let left_out = [
            "interval_start",
            "interface",
            "queue",
            "mode",
            "clock_step_ms",
            "repeats_sampled_packets",
            "repeats_packets",
            "in_flight_before",
            "in_flight_after",
        ];
        let other_name = [
            "prefixes_version",
            "prefixes_changed_us",
            "software_version",
            "rules_version",
            "constants",
            "complete",
            "degraded",
            "partial",
            "observed_from",
            "observed_to",
        ];
        for field in schema(Table::Ledger).fields() {
            let name = field.name().as_str();
            if !left_out.contains(&name) && !other_name.contains(&name) {
                assert!(daily.field_with_name(name).is_ok(), "{name}");
            }
        }
    }
}
