//! Reading tables back, file by file: for tests and small tools. Reports use SQL instead.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow_array::{Array as _, Int32Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use crate::{Store, StoreError, Table};

/// Every row of a table, over all days and sensors, in the order of the files' paths.
///
/// # Errors
/// Whatever [`table_files`] and [`read_file`] refuse.
pub fn read_table(store: &Path, table: Table) -> Result<Vec<RecordBatch>, StoreError> {
    let mut batches = Vec::new();
    for file in table_files(store, table)? {
        batches.extend(read_file(&file)?);
    }
    Ok(batches)
}

/// The files of a table, sorted by path; none if the table has no folder yet.
///
/// Names that begin with a dot are left out: they are files that were never finished.
///
/// # Errors
/// [`StoreError::Read`] for a folder that cannot be listed.
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

/// Length in seconds of the intervals that a sensor's run has stored; none if the run has stored
/// nothing yet. All intervals of a run have one length, so one ledger file is read.
///
/// # Errors
/// [`StoreError::Read`] and [`StoreError::Damaged`] for folders and files that cannot be read.
pub fn interval_of_run(store: &Store, run: &str) -> Result<Option<u32>, StoreError> {
    let sensor = format!("sensor={}", store.sensor());
    let ending = format!("-{run}.parquet");
    let of_run = |path: &&PathBuf| {
        let below_sensor = path
            .parent()
            .is_some_and(|folder| folder.ends_with(&sensor));
        below_sensor && path.to_string_lossy().ends_with(&ending)
    };
    let files = table_files(store.folder(), Table::Ledger)?;
    let Some(file) = files.iter().find(of_run) else {
        return Ok(None);
    };
    let batches = read_file(file)?;
    let length = (batches.iter())
        .filter_map(|batch| batch.column_by_name("interval_seconds"))
        .filter_map(|column| column.as_any().downcast_ref::<Int32Array>())
        .find_map(|lengths| lengths.iter().flatten().next());
    Ok(length.and_then(|length| u32::try_from(length).ok()))
}

/// Length in seconds of the intervals in a ledger file; 0 if it has no rows.
///
/// # Errors
/// What the Parquet reader refuses.
pub fn interval_seconds(ledger: bytes::Bytes) -> Result<i64, ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(ledger)?.build()?;
    let mut longest = 0;
    for batch in reader {
        let batch = batch?;
        let lengths = (batch.column_by_name("interval_seconds"))
            .and_then(|column| column.as_any().downcast_ref::<Int32Array>());
        let length = lengths.and_then(|lengths| lengths.iter().flatten().max());
        longest = longest.max(length.unwrap_or(0).into());
    }
    Ok(longest)
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
