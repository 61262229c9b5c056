//! Rows to Parquet bytes: one description of a table's columns gives its schema, its encodings
//! and its arrays.
//!
//! **Invariant**: equal rows give equal bytes, on every machine and in every version that writes
//! the same [`SCHEMA_VERSION`]: a file that is sent again must not look like another one. So
//! nothing that changes from run to run (a date, a hash map's order) gets into a file.

use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Int16Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::{StoreError, Table, checksum};

/// Version of the tables' columns, under the key `noctule.schema` in every file.
pub const SCHEMA_VERSION: &str = "2";

/// Who wrote a file, in its footer.
///
/// The words `version` and a number are needed: readers that cannot take the text apart (Java's
/// parquet library) ignore the statistics of text and binary columns.
pub const CREATED_BY: &str = "noctule version 1";

/// Rows turned into arrays at a time: few enough that they stay in a core's cache meanwhile.
pub(crate) const ROWS_PER_BATCH: usize = 1 << 13;

/// Rows in a row group.
const ROWS_PER_GROUP: usize = 1 << 20;

/// ZSTD level; above it files hardly shrink and time grows: dictionaries and packing come first.
const ZSTD_LEVEL: i32 = 1;

/// How a column's values come out of a row, which also fixes its type. `Maybe` columns hold
/// NULLs.
pub(crate) enum Read<R> {
    /// A time in microseconds since 1970, UTC.
    Time(fn(&R) -> i64),
    /// A count; what does not fit into 63 bits is stored as the greatest that does.
    Count(fn(&R) -> u64),
    /// One of a row's counts, by its index.
    CountAt(fn(&R, usize) -> u64, usize),
    MaybeCount(fn(&R) -> Option<u64>),
    Int64(fn(&R) -> i64),
    MaybeInt64(fn(&R) -> Option<i64>),
    Int32(fn(&R) -> i32),
    MaybeInt32(fn(&R) -> Option<i32>),
    /// One of a row's numbers, by its index.
    MaybeInt32At(fn(&R, usize) -> Option<i32>, usize),
    Int16(fn(&R) -> i16),
    MaybeUInt32(fn(&R) -> Option<u32>),
    MaybeOctets16(fn(&R) -> Option<[u8; 16]>),
    Octets(for<'r> fn(&'r R) -> &'r [u8]),
    Flag(fn(&R) -> bool),
    Text(for<'r> fn(&'r R) -> &'r str),
    MaybeText(for<'r> fn(&'r R) -> Option<&'r str>),
}

/// How a column's values are laid down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A dictionary, for values that repeat; integers that turn out not to are packed as
    /// differences.
    Dictionary,
    /// Differences, bit-packed: sorted or high-entropy integers.
    Delta,
    /// As they are: values that are large and never repeat.
    Plain,
    /// All first octets, then all second ones and so on: integers whose low octets are noise and whose
    /// high octets are zero. Smaller than differences, which need a bit more than the noise has.
    Split,
}

/// One column of a table whose rows are `R`.
pub(crate) struct Column<R> {
    pub(crate) name: String,
    /// What one unit of the value is, for the file's `noctule.units`.
    unit: &'static str,
    read: Read<R>,
    layout: Layout,
    /// Keep minimum and maximum of every page, so that readers skip pages.
    page_statistics: bool,
}

impl<R> Column<R> {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, read: Read<R>) -> Self {
        Self {
            name: name.into(),
            unit,
            read,
            layout: Layout::Dictionary,
            page_statistics: false,
        }
    }

    pub(crate) fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    pub(crate) fn page_statistics(mut self) -> Self {
        self.page_statistics = true;
        self
    }

    fn data_type(&self) -> DataType {
        match self.read {
            Read::Time(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Read::Count(_)
            | Read::CountAt(..)
            | Read::MaybeCount(_)
            | Read::Int64(_)
            | Read::MaybeInt64(_) => DataType::Int64,
            Read::Int32(_) | Read::MaybeInt32(_) | Read::MaybeInt32At(..) => DataType::Int32,
            Read::Int16(_) => DataType::Int16,
            Read::MaybeUInt32(_) => DataType::UInt32,
            Read::MaybeOctets16(_) => DataType::FixedSizeBinary(16),
            Read::Octets(_) => DataType::Binary,
            Read::Flag(_) => DataType::Boolean,
            Read::Text(_) | Read::MaybeText(_) => DataType::Utf8,
        }
    }

    fn nullable(&self) -> bool {
        matches!(
            self.read,
            Read::MaybeCount(_)
                | Read::MaybeInt64(_)
                | Read::MaybeInt32(_)
                | Read::MaybeInt32At(..)
                | Read::MaybeUInt32(_)
                | Read::MaybeOctets16(_)
                | Read::MaybeText(_)
        )
    }

    fn array(&self, rows: &[R]) -> Result<ArrayRef, ParquetError> {
        let rows = rows.iter();
        Ok(match self.read {
            Read::Time(read) => Arc::new(
                TimestampMicrosecondArray::from_iter_values(rows.map(read)).with_timezone("UTC"),
            ),
            Read::Count(read) => {
                Arc::new(Int64Array::from_iter_values(rows.map(|r| count(read(r)))))
            }
            Read::CountAt(read, at) => Arc::new(Int64Array::from_iter_values(
                rows.map(|r| count(read(r, at))),
            )),
            Read::MaybeCount(read) => {
                Arc::new(Int64Array::from_iter(rows.map(|r| read(r).map(count))))
            }
            Read::Int64(read) => Arc::new(Int64Array::from_iter_values(rows.map(read))),
            Read::MaybeInt64(read) => Arc::new(Int64Array::from_iter(rows.map(read))),
            Read::Int32(read) => Arc::new(Int32Array::from_iter_values(rows.map(read))),
            Read::MaybeInt32(read) => Arc::new(Int32Array::from_iter(rows.map(read))),
            Read::MaybeInt32At(read, at) => {
                Arc::new(Int32Array::from_iter(rows.map(|r| read(r, at))))
            }
            Read::Int16(read) => Arc::new(Int16Array::from_iter_values(rows.map(read))),
            Read::MaybeUInt32(read) => Arc::new(UInt32Array::from_iter(rows.map(read))),
            Read::MaybeOctets16(read) => {
                let mut octets = FixedSizeBinaryBuilder::with_capacity(rows.len(), 16);
                for row in rows {
                    match read(row) {
                        Some(value) => octets.append_value(value)?,
                        None => octets.append_null(),
                    }
                }
                Arc::new(octets.finish())
            }
            Read::Octets(read) => Arc::new(BinaryArray::from_iter_values(rows.map(read))),
            Read::Flag(read) => Arc::new(BooleanArray::from_iter(rows.map(|r| Some(read(r))))),
            Read::Text(read) => Arc::new(StringArray::from_iter_values(rows.map(read))),
            Read::MaybeText(read) => Arc::new(StringArray::from_iter(rows.map(read))),
        })
    }

    fn properties(&self, properties: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
        let path = || ColumnPath::from(self.name.as_str());
        let integers = matches!(
            self.data_type(),
            DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::UInt32
                | DataType::Timestamp(..)
        );
        let mut properties =
            properties.set_column_dictionary_enabled(path(), self.layout == Layout::Dictionary);
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

/// A count as the Int64 that tables hold.
fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The Arrow schema of these columns.
pub(crate) fn schema<R>(columns: &[Column<R>]) -> SchemaRef {
    Arc::new(Schema::new(
        columns
            .iter()
            .map(|column| Field::new(&column.name, column.data_type(), column.nullable()))
            .collect::<Vec<_>>(),
    ))
}

/// One column of a declared sort order.
pub(crate) struct SortedBy {
    pub(crate) name: &'static str,
    pub(crate) nulls_first: bool,
}

/// Encodes rows as one Parquet file.
pub(crate) fn encode<R>(
    table: Table,
    columns: Vec<Column<R>>,
    sorted_by: &[SortedBy],
    rows: &[R],
) -> Result<Vec<u8>, StoreError> {
    let mut encoder = Encoder::new(table, columns, sorted_by)?;
    for some in rows.chunks(ROWS_PER_BATCH) {
        encoder.write(some)?;
    }
    encoder.finish()
}

/// A Parquet file to which rows are added.
pub(crate) struct Encoder<R> {
    table: Table,
    columns: Vec<Column<R>>,
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
}

impl<R> Encoder<R> {
    /// A file without rows.
    pub(crate) fn new(
        table: Table,
        columns: Vec<Column<R>>,
        sorted_by: &[SortedBy],
    ) -> Result<Self, StoreError> {
        let schema = schema(&columns);
        let writer = properties(table, &columns, sorted_by).and_then(|properties| {
            // The Arrow schema is left out: plain Parquet types say all, and every engine reads
            // those.
            let options = ArrowWriterOptions::new()
                .with_properties(properties)
                .with_skip_arrow_metadata(true);
            ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options)
        });
        Ok(Self {
            table,
            columns,
            schema,
            writer: writer.map_err(|source| StoreError::Encode { table, source })?,
        })
    }

    /// Adds rows, [`ROWS_PER_BATCH`] of them unless they are the last: bytes depend on it.
    pub(crate) fn write(&mut self, rows: &[R]) -> Result<(), StoreError> {
        let arrays: Result<Vec<_>, _> = (self.columns.iter())
            .map(|column| column.array(rows))
            .collect();
        arrays
            .and_then(|arrays| Ok(RecordBatch::try_new(self.schema.clone(), arrays)?))
            .and_then(|batch| self.writer.write(&batch))
            .map_err(|source| StoreError::Encode {
                table: self.table,
                source,
            })
    }

    /// The file's bytes.
    pub(crate) fn finish(self) -> Result<Vec<u8>, StoreError> {
        let table = self.table;
        let mut bytes =
            (self.writer.into_inner()).map_err(|source| StoreError::Encode { table, source })?;
        checksum::seal(&mut bytes);
        Ok(bytes)
    }
}

fn properties<R>(
    table: Table,
    columns: &[Column<R>],
    sorted_by: &[SortedBy],
) -> Result<WriterProperties, ParquetError> {
    let mut order = Vec::with_capacity(sorted_by.len());
    for by in sorted_by {
        let at = columns.iter().position(|column| column.name == by.name);
        let at = at.and_then(|at| i32::try_from(at).ok()).ok_or_else(|| {
            ParquetError::General(format!("there is no column {} to sort by", by.name))
        })?;
        order.push(SortingColumn {
            column_idx: at,
            descending: false,
            nulls_first: by.nulls_first,
        });
    }
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_key_value_metadata(Some(vec![
            KeyValue::new("noctule.schema".to_owned(), SCHEMA_VERSION.to_owned()),
            KeyValue::new("noctule.table".to_owned(), table.name().to_owned()),
            KeyValue::new("noctule.units".to_owned(), units(columns)),
            checksum::entry(),
        ]));
    if !order.is_empty() {
        properties = properties.set_sorting_columns(Some(order));
    }
    for column in columns {
        properties = column.properties(properties);
    }
    Ok(properties.build())
}

/// The columns' units as one JSON object, in the columns' order.
///
/// Names and units need no escapes: both are letters, digits and plain punctuation.
fn units<R>(columns: &[Column<R>]) -> String {
    let pairs: Vec<_> = columns
        .iter()
        .map(|column| format!("\"{}\":\"{}\"", column.name, column.unit))
        .collect();
    format!("{{{}}}", pairs.join(","))
}
