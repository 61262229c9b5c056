//! A Parquet file that is written on this machine row group by row group, for tables that are too
//! large for memory: daily tables, and what a report keeps for itself.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::checksum;
use crate::disk::atomic::Failure;
use crate::disk::whole::WholeFile;
use crate::error::StoreError;
use crate::format::FileFormat;

/// Rows in a row group of a private file.
const PRIVATE_ROWS_PER_GROUP: usize = 1 << 17;

/// A file that appears at its path when it is finished, with its checksum. Dropped before, it leaves
/// nothing.
pub struct TableFile {
    table: &'static str,
    writer: ArrowWriter<WholeFile>,
    rows: u64,
}

impl TableFile {
    /// A file without rows, of a table of the store.
    pub(crate) fn create(format: &FileFormat, path: &Path) -> Result<Self, StoreError> {
        Self::begin(format.table, path, |file| format.writer(file))
    }

    /// A file without rows that only the calling program reads: its columns may have any type that
    /// Arrow knows. `name` is for error messages.
    ///
    /// # Errors
    /// [`StoreError::Write`] if the folder does not take files; [`StoreError::Encode`] if Parquet
    /// does not hold one of the types.
    pub fn private(
        name: &'static str,
        path: &Path,
        schema: &SchemaRef,
    ) -> Result<Self, StoreError> {
        Self::begin(name, path, |file| {
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(ZstdLevel::default()))
                .set_max_row_group_row_count(Some(PRIVATE_ROWS_PER_GROUP))
                .set_key_value_metadata(Some(vec![checksum::entry()]))
                .build();
            let options = ArrowWriterOptions::new().with_properties(properties);
            ArrowWriter::try_new_with_options(file, Arc::clone(schema), options)
        })
    }

    fn begin(
        table: &'static str,
        path: &Path,
        writer: impl FnOnce(WholeFile) -> Result<ArrowWriter<WholeFile>, ParquetError>,
    ) -> Result<Self, StoreError> {
        let file = WholeFile::create(path).map_err(|failure| write_error(path, failure))?;
        let writer = writer(file).map_err(|source| StoreError::Encode { table, source })?;
        Ok(Self {
            table,
            writer,
            rows: 0,
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`StoreError::Encode`] if the columns are not those of the file, or the disk is full.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), StoreError> {
        self.rows += rows.num_rows() as u64;
        self.writer
            .write(rows)
            .map_err(|source| StoreError::Encode {
                table: self.table,
                source,
            })
    }

    /// Ends the file: it gets its checksum, reaches the disk, and appears at its path, in place of
    /// any file that was there. Returns how many rows it has.
    ///
    /// # Errors
    /// [`StoreError::Encode`] and [`StoreError::Write`], as when the disk is full.
    pub fn finish(self) -> Result<u64, StoreError> {
        let table = self.table;
        let file =
            (self.writer.into_inner()).map_err(|source| StoreError::Encode { table, source })?;
        let path = file.path().to_owned();
        file.replace(checksum::seal_file)
            .map_err(|failure| write_error(&path, failure))?;
        Ok(self.rows)
    }
}

fn write_error(path: &Path, (attempt, source): Failure) -> StoreError {
    StoreError::Write {
        path: path.to_owned(),
        attempt,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use arrow_array::{ArrayRef, Int64Array};

    use super::*;
    use crate::read::read_file;

    #[test]
    fn a_file_appears_when_it_is_finished_and_is_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
        for count in [1, 2] {
            let mut file = TableFile::private("numbers", &path, &rows.schema()).unwrap();
            for _ in 0..count {
                file.write(&rows).unwrap();
            }
            assert_eq!(path.exists(), count == 2, "the file before stays");
            assert_eq!(file.finish().unwrap(), 2 * count);
            let octets = fs::read(&path).unwrap();
            assert_eq!(checksum::check(&octets), checksum::Checked::Sound);
            let read: usize = read_file(&path)
                .unwrap()
                .iter()
                .map(RecordBatch::num_rows)
                .sum();
            assert_eq!(read as u64, 2 * count);
        }
        drop(TableFile::private("numbers", &path, &rows.schema()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
