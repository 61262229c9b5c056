//! How the daily tables are made: their SQL, and its answers as the tables' columns.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use noctule_store::tables::{DailyFile, daily_schema};
use noctule_store::{DailyTable, Table};
use sha2::{Digest as _, Sha256};

/// Interval tables that daily tables are made of.
pub const MADE_OF: [Table; 3] = [Table::Flows, Table::Ports, Table::Ledger];

/// The SQL that makes a daily table of a day's interval tables.
pub const fn rollup_sql(table: DailyTable) -> &'static str {
    match table {
        DailyTable::Flows => include_str!("../sql/rollup/flows_daily.sql"),
        DailyTable::Research => include_str!("../sql/rollup/research_daily.sql"),
        DailyTable::Ports => include_str!("../sql/rollup/ports_daily.sql"),
        DailyTable::Ledger => include_str!("../sql/rollup/ledger_daily.sql"),
    }
}

/// Digest of the SQL of all daily tables, 16 hexadecimal digits.
pub fn sql_digest() -> String {
    let mut hash = Sha256::new();
    for table in DailyTable::ALL {
        hash.update(rollup_sql(table));
    }
    format!("{:.16x}", hash.finalize())
}

/// A daily file that is being written on this machine.
pub struct DailyWriter {
    table: DailyTable,
    schema: SchemaRef,
    file: DailyFile,
}

impl DailyWriter {
    /// A file without rows; `about` says what it is made of, for its metadata.
    ///
    /// # Errors
    /// As [`DailyFile::create`].
    pub fn create(table: DailyTable, path: &Path, about: &str) -> Result<Self> {
        Ok(Self {
            table,
            schema: daily_schema(table),
            file: DailyFile::create(table, path, about)?,
        })
    }

    /// The table's columns of a batch, cast to their types.
    ///
    /// # Errors
    /// If a column is missing, or has a value that its type does not have.
    pub fn columns(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let strict = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let columns: Result<Vec<ArrayRef>> = (self.schema.fields().iter())
            .map(|field| {
                let place = || format!("column {} of {}", field.name(), self.table);
                let column = (batch.column_by_name(field.name()))
                    .with_context(|| format!("the rollup has no {}", place()))?;
                // Arrow casts views of octets to a fixed size only by way of `Binary`.
                let column = match field.data_type() {
                    DataType::FixedSizeBinary(_) => &cast(column, &DataType::Binary)?,
                    _ => column,
                };
                cast_with_options(column, field.data_type(), &strict).with_context(place)
            })
            .collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns?)?)
    }

    /// Adds rows, with the columns that [`DailyWriter::columns`] returns.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.file.write(batch)?)
    }

    /// Completes the file; returns its number of rows.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(self) -> Result<u64> {
        Ok(self.file.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use noctule_store::tables::{error_columns, schema};

    use super::*;

    #[test]
    fn every_count_of_the_ledger_is_rolled_up() {
        // A count of the interval table that no daily column takes up would be lost silently.
        let daily = daily_schema(DailyTable::Ledger);
        for field in schema(Table::Ledger).fields() {
            let name = field.name().as_str();
            if daily.field_with_name(name).is_ok() {
                assert!(rollup_sql(DailyTable::Ledger).contains(name), "{name}");
            }
        }
        for name in error_columns() {
            let sum = format!("SUM({name})");
            assert!(rollup_sql(DailyTable::Ledger).contains(&sum), "{sum}");
        }
    }
}
