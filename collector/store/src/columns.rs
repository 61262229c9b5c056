//! The size of each column in a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader as _, SerializedFileReader};

use crate::StoreError;

/// Adds the compressed octets of each column to `sums`, by name; returns the number of rows.
///
/// # Errors
/// [`StoreError::Read`] if the file cannot be opened, [`StoreError::Damaged`] if it is not Parquet.
pub fn sizes(path: &Path, sums: &mut BTreeMap<String, u64>) -> Result<u64, StoreError> {
    let file = File::open(path).map_err(|source| StoreError::Read {
        path: path.to_owned(),
        source,
    })?;
    let reader = SerializedFileReader::new(file).map_err(|source| StoreError::Damaged {
        path: path.to_owned(),
        source,
    })?;
    let mut rows = 0;
    for group in reader.metadata().row_groups() {
        rows += u64::try_from(group.num_rows()).unwrap_or(0);
        for column in group.columns() {
            let octets = u64::try_from(column.compressed_size()).unwrap_or(0);
            *sums
                .entry(column.column_descr().name().to_owned())
                .or_default() += octets;
        }
    }
    Ok(rows)
}
