//! The daily tables: their columns, their files' names, and how rows become files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use datafusion::parquet::file::metadata::KeyValue;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::parquet::schema::types::ColumnPath;
use noctule_packet::DecodeError;
use noctule_store::tables::error_column;
use noctule_store::{CREATED_BY, SCHEMA_VERSION, Table, checksum};

/// Rows in a row group; also what a writer holds in memory, encoded.
const ROWS_PER_GROUP: usize = 1 << 19;
/// Rows in a page: a question for one port reads whole pages.
const ROWS_PER_PAGE: usize = 1 << 14;
/// ZSTD level: daily files are written once and read for years.
const ZSTD_LEVEL: i32 = 3;

/// Interval tables that daily tables are made of.
pub const MADE_OF: [Table; 3] = [Table::Flows, Table::Ports, Table::Ledger];

/// A table with one row per day and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DailyTable {
    /// One row per flow key.
    Flows,
    /// One row per research scanner.
    Research,
    /// One row per protocol, class, port and country.
    Ports,
    /// One row.
    Ledger,
}

impl DailyTable {
    /// Every one, in the order in which a rollup makes them.
    pub const ALL: [Self; 4] = [Self::Flows, Self::Research, Self::Ports, Self::Ledger];

    /// The table's name, which is its folder's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flows => "flows_daily",
            Self::Research => "research_daily",
            Self::Ports => "ports_daily",
            Self::Ledger => "ledger_daily",
        }
    }

    /// The SQL that makes it of a day's interval tables.
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Flows => include_str!("../sql/rollup/flows_daily.sql"),
            Self::Research => include_str!("../sql/rollup/research_daily.sql"),
            Self::Ports => include_str!("../sql/rollup/ports_daily.sql"),
            Self::Ledger => include_str!("../sql/rollup/ledger_daily.sql"),
        }
    }

    /// Its columns and their units.
    pub fn columns_and_units(self) -> Vec<(Field, &'static str)> {
        match self {
            Self::Flows => flows(),
            Self::Research => research(),
            Self::Ports => ports(),
            Self::Ledger => ledger(),
        }
    }

    /// Its columns.
    pub fn columns(self) -> Schema {
        let fields = self.columns_and_units().into_iter().map(|(field, _)| field);
        Schema::new(fields.collect::<Vec<_>>())
    }
}

fn of(
    name: &str,
    data_type: DataType,
    nullable: bool,
    unit: &'static str,
) -> (Field, &'static str) {
    (Field::new(name, data_type, nullable), unit)
}

fn count(name: &str, unit: &'static str) -> (Field, &'static str) {
    of(name, DataType::Int64, false, unit)
}

fn text(name: &str, unit: &'static str) -> (Field, &'static str) {
    of(name, DataType::Utf8, false, unit)
}

fn port() -> (Field, &'static str) {
    of("port", DataType::Int32, true, "port or ICMP type*256+code")
}

fn source() -> [(Field, &'static str); 2] {
    let octets = DataType::FixedSizeBinary(16);
    [
        of("source4", DataType::UInt32, true, "IPv4 address"),
        of("source6", octets, true, "IPv6 address"),
    ]
}

fn country() -> (Field, &'static str) {
    of("country", DataType::Utf8, true, "ISO 3166-1 alpha-2")
}

fn flows() -> Vec<(Field, &'static str)> {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut columns = source().to_vec();
    columns.extend([
        text("protocol", "name or number"),
        text("class", "name"),
        port(),
        count("packets", "packets"),
        count("bytes", "octets of IP datagrams"),
        of("first_seen", time(), false, "UTC, whole milliseconds"),
        of("last_seen", time(), false, "UTC, whole milliseconds"),
        of("ttl_min", DataType::Int16, false, "hops"),
        of("ttl_max", DataType::Int16, true, "hops"),
        of("tcp_flags", DataType::Int16, false, "bit set"),
        of("last_source_port", DataType::Int32, true, "port"),
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
    for number in 1..=3 {
        let name = format!("constant{number}");
        columns.push(of(&name, DataType::Int32, true, "expression, 16 bits"));
    }
    columns.push(of("refuted", DataType::Int16, true, "bit set"));
    columns
}

fn research() -> Vec<(Field, &'static str)> {
    let mut columns = source().to_vec();
    columns.extend([
        country(),
        of("asn", DataType::Int64, true, "AS number"),
        count("packets", "packets"),
        count("ports", "TCP and UDP ports probed"),
        of("listed", DataType::Boolean, false, "flag"),
    ]);
    columns
}

fn ports() -> Vec<(Field, &'static str)> {
    vec![
        text("protocol", "name or number"),
        text("class", "name"),
        port(),
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
    ]
}

fn ledger() -> Vec<(Field, &'static str)> {
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
    for (layer, reason) in DecodeError::ALL.map(DecodeError::layer_and_reason) {
        let name = error_column(layer, reason);
        // A collector of another version may not have known of it.
        columns.push(of(&name, DataType::Int64, true, "packets"));
    }
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

/// A daily file that is being written on this machine.
pub struct DailyWriter {
    table: DailyTable,
    schema: SchemaRef,
    writer: ArrowWriter<File>,
    path: PathBuf,
    rows: u64,
}

impl DailyWriter {
    /// A file without rows; `about` says what it was made of, for its metadata.
    ///
    /// # Errors
    /// A folder that does not take files.
    pub fn create(table: DailyTable, path: &Path, about: &str) -> Result<Self> {
        let columns = table.columns_and_units();
        let pairs: Vec<_> = (columns.iter())
            .map(|(field, unit)| format!("\"{}\":\"{unit}\"", field.name()))
            .collect();
        let mut properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
            .set_data_page_row_count_limit(ROWS_PER_PAGE)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_key_value_metadata(Some(vec![
                KeyValue::new("noctule.schema".to_owned(), SCHEMA_VERSION.to_owned()),
                KeyValue::new("noctule.table".to_owned(), table.name().to_owned()),
                KeyValue::new(
                    "noctule.units".to_owned(),
                    format!("{{{}}}", pairs.join(",")),
                ),
                KeyValue::new("noctule.rollup".to_owned(), about.to_owned()),
                checksum::entry(),
            ]));
        for (field, _) in &columns {
            let column = ColumnPath::from(field.name().as_str());
            if ["source4", "first_seen", "last_seen", "last_source_port"]
                .contains(&field.name().as_str())
                || field.name().starts_with("constant") && *field.data_type() == DataType::Int32
            {
                properties = properties
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_encoding(column.clone(), Encoding::DELTA_BINARY_PACKED);
            }
            if ["protocol", "class", "port", "source4"].contains(&field.name().as_str()) {
                properties =
                    properties.set_column_statistics_enabled(column, EnabledStatistics::Page);
            }
        }
        let schema: SchemaRef = Arc::new(table.columns());
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        // Plain Parquet types say all, and every engine reads those.
        let options = ArrowWriterOptions::new()
            .with_properties(properties.build())
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, Arc::clone(&schema), options)?;
        Ok(Self {
            table,
            schema,
            writer,
            path: path.to_owned(),
            rows: 0,
        })
    }

    /// Adds rows whose columns have the table's names and values that fit its types.
    ///
    /// # Errors
    /// A column that is missing or does not fit, and a full disk.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns: Result<Vec<ArrayRef>> = (self.schema.fields().iter())
            .map(|field| {
                let Some(column) = batch.column_by_name(field.name()) else {
                    bail!(
                        "the rollup of {} has no column {}",
                        self.table.name(),
                        field.name()
                    );
                };
                // Arrow goes from views to octets of one length by way of octets of any.
                let column = match field.data_type() {
                    DataType::FixedSizeBinary(_) => &cast(column, &DataType::Binary)?,
                    _ => column,
                };
                let column = cast(column, field.data_type())
                    .with_context(|| format!("column {} of {}", field.name(), self.table.name()))?;
                Ok(column)
            })
            .collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns?)?;
        self.rows += batch.num_rows() as u64;
        Ok(self.writer.write(&batch)?)
    }

    /// Ends the file, and flushes it to the disk; returns how many rows it has.
    ///
    /// # Errors
    /// A full disk.
    pub fn finish(self) -> Result<u64> {
        drop(self.writer.into_inner()?);
        checksum::seal_file(&self.path)?;
        Ok(self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_of_the_ledger_is_rolled_up() {
        // A count of the interval table that no daily column takes up would be lost silently.
        let daily = DailyTable::Ledger.columns();
        let left_out = [
            "interval_start",
            "queue",
            "mode",
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
        for field in Table::Ledger.schema().fields() {
            let name = field.name().as_str();
            if !left_out.contains(&name) && !other_name.contains(&name) {
                assert!(daily.field_with_name(name).is_ok(), "{name}");
                assert!(DailyTable::Ledger.sql().contains(name), "{name}");
            }
        }
        for (layer, reason) in DecodeError::ALL.map(DecodeError::layer_and_reason) {
            let name = format!("SUM({})", error_column(layer, reason));
            assert!(DailyTable::Ledger.sql().contains(&name), "{name}");
        }
    }
}
