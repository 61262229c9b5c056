//! How the files of a table are laid out: columns, encodings, footer.
//!
//! **Invariant**: equal rows give equal bytes, on every machine and in every version that writes
//! the same [`SCHEMA_VERSION`]: a file that is sent again must equal the file that is there. So
//! nothing that changes from run to run (a date, the order of a hash map) gets into a file.

use std::io::Write;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::checksum;

/// Version of the tables' columns, under the key `noctule.schema` in every file.
pub const SCHEMA_VERSION: &str = "2";

/// The writer's name in every footer.
///
/// The words `version` and a number are needed: readers that cannot parse the text (Java's
/// parquet library) ignore the statistics of text and binary columns.
pub const CREATED_BY: &str = "noctule version 1";

/// How the values of a column are encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A dictionary, for values that repeat; where the dictionary grows too large, integers are
    /// packed as differences.
    Dictionary,
    /// A dictionary, for values that repeat; where the dictionary grows too large, values are
    /// written as they are.
    DictionaryOrPlain,
    /// Differences, bit-packed: sorted or high-entropy integers.
    Delta,
    /// As they are: values that are large and never repeat.
    Plain,
    /// All first octets, then all second ones and so on: integers whose low octets are noise and
    /// whose high octets are zero. Smaller than differences, which need one bit more than the noise
    /// has.
    Split,
}

/// One column of a table.
#[derive(Clone)]
pub(crate) struct ColumnFormat {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
    /// The unit of the values, for the key `noctule.units`.
    pub(crate) unit: &'static str,
    pub(crate) layout: Layout,
    /// Keep minimum and maximum of every page, so that readers skip pages.
    pub(crate) page_statistics: bool,
}

impl ColumnFormat {
    fn properties(&self, properties: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
        let path = || ColumnPath::from(self.name.as_str());
        let integers = matches!(
            self.data_type,
            DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::UInt32
                | DataType::Timestamp(..)
        );
        let dictionary = matches!(self.layout, Layout::Dictionary | Layout::DictionaryOrPlain);
        let mut properties = properties.set_column_dictionary_enabled(path(), dictionary);
        let encoding = match self.layout {
            Layout::Dictionary | Layout::Delta if integers => Some(Encoding::DELTA_BINARY_PACKED),
            Layout::Split => Some(Encoding::BYTE_STREAM_SPLIT),
            _ => None,
        };
        if let Some(encoding) = encoding {
            properties = properties.set_column_encoding(path(), encoding);
        }
        if self.page_statistics {
            properties = properties.set_column_statistics_enabled(path(), EnabledStatistics::Page);
        }
        properties
    }
}

/// One column of a declared sort order.
pub(crate) struct SortedBy {
    pub(crate) name: &'static str,
    pub(crate) nulls_first: bool,
}

/// How the files of a table are written.
pub(crate) struct FileFormat {
    /// Name of the table.
    pub(crate) table: &'static str,
    pub(crate) columns: Vec<ColumnFormat>,
    /// The declared order of rows; empty: none is declared.
    pub(crate) sorted_by: Vec<SortedBy>,
    pub(crate) zstd_level: i32,
    /// Rows in a row group. A writer holds one row group in memory, encoded.
    pub(crate) rows_per_group: usize,
    /// Most rows in a page; none: the library's limit.
    pub(crate) rows_per_page: Option<usize>,
    /// A further key and its value in the footer.
    pub(crate) about: Option<(&'static str, String)>,
}

impl FileFormat {
    /// The Arrow schema of the columns.
    pub(crate) fn schema(&self) -> SchemaRef {
        let fields = (self.columns.iter())
            .map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// A Parquet file without rows.
    pub(crate) fn writer<W: Write + Send>(&self, out: W) -> Result<ArrowWriter<W>, ParquetError> {
        // The Arrow schema is left out: plain Parquet types say all, and every engine reads those.
        let options = ArrowWriterOptions::new()
            .with_properties(self.properties()?)
            .with_skip_arrow_metadata(true);
        ArrowWriter::try_new_with_options(out, self.schema(), options)
    }

    fn properties(&self) -> Result<WriterProperties, ParquetError> {
        let mut order = Vec::with_capacity(self.sorted_by.len());
        for by in &self.sorted_by {
            let at = (self.columns.iter()).position(|column| column.name == by.name);
            let at = at.and_then(|at| i32::try_from(at).ok()).ok_or_else(|| {
                ParquetError::General(format!("there is no column {} to sort by", by.name))
            })?;
            order.push(SortingColumn {
                column_idx: at,
                descending: false,
                nulls_first: by.nulls_first,
            });
        }
        let mut footer = vec![
            KeyValue::new("noctule.schema".to_owned(), SCHEMA_VERSION.to_owned()),
            KeyValue::new("noctule.table".to_owned(), self.table.to_owned()),
            KeyValue::new("noctule.units".to_owned(), self.units()),
        ];
        let about = self.about.as_ref();
        footer.extend(about.map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone())));
        footer.push(checksum::entry());
        let mut properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(self.zstd_level)?))
            .set_max_row_group_row_count(Some(self.rows_per_group))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_key_value_metadata(Some(footer));
        if let Some(rows) = self.rows_per_page {
            properties = properties.set_data_page_row_count_limit(rows);
        }
        if !order.is_empty() {
            properties = properties.set_sorting_columns(Some(order));
        }
        for column in &self.columns {
            properties = column.properties(properties);
        }
        Ok(properties.build())
    }

    /// The columns' units as one JSON object, in the columns' order.
    ///
    /// Names and units need no escapes: both are letters, digits and plain punctuation.
    fn units(&self) -> String {
        let pairs: Vec<_> = (self.columns.iter())
            .map(|column| format!("\"{}\":\"{}\"", column.name, column.unit))
            .collect();
        format!("{{{}}}", pairs.join(","))
    }
}
