//! Reads tables file by file, for tests and small tools. Reports use SQL instead.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;

use crate::{StoreError, Table};

/// Every row of a table, over all days and sensors, in the order of the files' paths.
///
/// # Errors
/// As [`table_files`] and [`read_file`].
pub fn read_table(store: &Path, table: Table) -> Result<Vec<RecordBatch>, StoreError> {
    let mut batches = Vec::new();
    for file in table_files(store, table)? {
        batches.extend(read_file(&file)?);
    }
    Ok(batches)
}

/// The files of a table, sorted by path; none if the table has no folder.
///
/// Unfinished files, whose names begin with a dot, are left out.
///
/// # Errors
/// [`StoreError::Read`] if a folder cannot be listed.
pub fn table_files(store: &Path, table: Table) -> Result<Vec<PathBuf>, StoreError> {
    let mut files = Vec::new();
    let mut folders = vec![store.join(table.name())];
    if !folders[0].exists() {
        return Ok(files);
    }
    while let Some(folder) = folders.pop() {
        let failed = |source| StoreError::Read {
            path: folder.clone(),
            source,
        };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "parquet")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Every row of one file.
///
/// # Errors
/// [`StoreError::Read`] if it cannot be opened, [`StoreError::Damaged`] if it is not Parquet.
pub fn read_file(path: &Path) -> Result<Vec<RecordBatch>, StoreError> {
    let file = File::open(path).map_err(|source| StoreError::Read {
        path: path.to_owned(),
        source,
    })?;
    rows(path, file)
}

/// Every row of a file with this content; `path` is for errors.
///
/// # Errors
/// [`StoreError::Damaged`] if it is not Parquet.
pub fn read_octets(path: &Path, octets: Vec<u8>) -> Result<Vec<RecordBatch>, StoreError> {
    rows(path, Bytes::from(octets))
}

fn rows(path: &Path, file: impl ChunkReader + 'static) -> Result<Vec<RecordBatch>, StoreError> {
    let damaged = |source| StoreError::Damaged {
        path: path.to_owned(),
        source,
    };
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(damaged)?;
    reader
        .build()
        .map_err(damaged)?
        .map(|batch| batch.map_err(|error| damaged(error.into())))
        .collect()
}
