//! Rows of interval tables to Parquet bytes: one description of a table's columns gives its schema,
//! its encodings and its arrays.

use std::net::IpAddr;
use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Int16Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

use crate::checksum;
use crate::error::StoreError;
use crate::format::{ColumnFormat, FileFormat, Layout, SortedBy};
use crate::table::Table;

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
    /// The number of an IPv4 address; NULL for IPv6.
    Ipv4(fn(&R) -> IpAddr),
    /// The octets of an IPv6 address in network order; NULL for IPv4.
    Ipv6(fn(&R) -> IpAddr),
    Octets(for<'r> fn(&'r R) -> &'r [u8]),
    Flag(fn(&R) -> bool),
    Text(for<'r> fn(&'r R) -> &'r str),
    MaybeText(for<'r> fn(&'r R) -> Option<&'r str>),
}

/// One column of a table whose rows are `R`.
pub(crate) struct Column<R> {
    format: ColumnFormat,
    read: Read<R>,
}

impl<R> Column<R> {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, read: Read<R>) -> Self {
        let format = ColumnFormat {
            name: name.into(),
            data_type: read.data_type(),
            nullable: read.nullable(),
            unit,
            layout: Layout::Dictionary,
            page_statistics: false,
        };
        Self { format, read }
    }

    pub(crate) fn layout(mut self, layout: Layout) -> Self {
        self.format.layout = layout;
        self
    }

    pub(crate) fn page_statistics(mut self) -> Self {
        self.format.page_statistics = true;
        self
    }

    /// The two columns of an address, of which exactly one is set: the number of an IPv4 address,
    /// and the octets of an IPv6 address.
    pub(crate) fn address(names: [&str; 2], read: fn(&R) -> IpAddr) -> [Self; 2] {
        [
            Self::new(names[0], "IPv4 address", Read::Ipv4(read))
                .layout(Layout::Delta)
                .page_statistics(),
            Self::new(names[1], "IPv6 address", Read::Ipv6(read)).page_statistics(),
        ]
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
            Read::Ipv4(read) => Arc::new(UInt32Array::from_iter(rows.map(|r| match read(r) {
                IpAddr::V4(address) => Some(address.to_bits()),
                IpAddr::V6(_) => None,
            }))),
            Read::Ipv6(read) => {
                let mut octets = FixedSizeBinaryBuilder::with_capacity(rows.len(), 16);
                for row in rows {
                    match read(row) {
                        IpAddr::V6(address) => octets.append_value(address.octets())?,
                        IpAddr::V4(_) => octets.append_null(),
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
}

impl<R> Read<R> {
    fn data_type(&self) -> DataType {
        match self {
            Self::Time(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Count(_)
            | Self::CountAt(..)
            | Self::MaybeCount(_)
            | Self::Int64(_)
            | Self::MaybeInt64(_) => DataType::Int64,
            Self::Int32(_) | Self::MaybeInt32(_) | Self::MaybeInt32At(..) => DataType::Int32,
            Self::Int16(_) => DataType::Int16,
            Self::Ipv4(_) => DataType::UInt32,
            Self::Ipv6(_) => DataType::FixedSizeBinary(16),
            Self::Octets(_) => DataType::Binary,
            Self::Flag(_) => DataType::Boolean,
            Self::Text(_) | Self::MaybeText(_) => DataType::Utf8,
        }
    }

    fn nullable(&self) -> bool {
        matches!(
            self,
            Self::MaybeCount(_)
                | Self::MaybeInt64(_)
                | Self::MaybeInt32(_)
                | Self::MaybeInt32At(..)
                | Self::Ipv4(_)
                | Self::Ipv6(_)
                | Self::MaybeText(_)
        )
    }
}

/// A count as the Int64 that tables hold.
fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// How the files of an interval table are written.
fn format<R>(table: Table, columns: &[Column<R>], sorted_by: Vec<SortedBy>) -> FileFormat {
    FileFormat {
        table: table.name(),
        columns: columns.iter().map(|column| column.format.clone()).collect(),
        sorted_by,
        zstd_level: ZSTD_LEVEL,
        rows_per_group: ROWS_PER_GROUP,
        rows_per_page: None,
        about: None,
    }
}

/// The Arrow schema of an interval table with these columns.
pub(crate) fn schema<R>(table: Table, columns: &[Column<R>]) -> SchemaRef {
    format(table, columns, Vec::new()).schema()
}

/// Encodes rows as one Parquet file.
pub(crate) fn encode<R>(
    table: Table,
    columns: Vec<Column<R>>,
    rows: &[R],
) -> Result<Vec<u8>, StoreError> {
    let mut encoder = Encoder::new(table, columns, Vec::new())?;
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
        sorted_by: Vec<SortedBy>,
    ) -> Result<Self, StoreError> {
        let format = format(table, &columns, sorted_by);
        let writer = format.writer(Vec::new());
        Ok(Self {
            table,
            columns,
            schema: format.schema(),
            writer: writer.map_err(|source| StoreError::Encode {
                table: table.name(),
                source,
            })?,
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
                table: self.table.name(),
                source,
            })
    }

    /// The file's bytes.
    pub(crate) fn finish(self) -> Result<Vec<u8>, StoreError> {
        let table = self.table.name();
        let mut bytes =
            (self.writer.into_inner()).map_err(|source| StoreError::Encode { table, source })?;
        checksum::seal(&mut bytes);
        Ok(bytes)
    }
}
