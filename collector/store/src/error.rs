//! What can go wrong between rows and files.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use parquet::errors::ParquetError;

use crate::Table;

/// Why something could not be stored or read back.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The sensor's name cannot stand in a path.
    #[error(
        "sensor name \"{0}\" is refused: use a small letter, then small letters, digits and hyphens, 200 characters at most"
    )]
    SensorName(String),
    /// The run's name cannot stand in a file name.
    #[error(
        "run name \"{0}\" is refused: use letters, digits, hyphens and underscores, 128 characters at most"
    )]
    RunName(String),
    /// The interval's start is no whole second that a calendar date can be given to.
    #[error(
        "interval start {0} (microseconds) is refused: it must be a whole second from 1970 to 9999; check the clock or the capture's timestamps"
    )]
    IntervalStart(i64),
    /// The store's folder does not take files.
    #[error(
        "cannot use {folder} as a store ({attempt}): {source}; choose a folder on a local disk that this user may write to"
    )]
    Folder {
        /// The store's folder.
        folder: PathBuf,
        /// What was tried there.
        attempt: &'static str,
        /// What the system answered.
        source: io::Error,
    },
    /// A file could not be written; nothing of it is visible.
    #[error(
        "cannot store {path} ({attempt}): {source}; check free space and permissions, then send it again"
    )]
    Write {
        /// The file that was to appear.
        path: PathBuf,
        /// What was tried.
        attempt: &'static str,
        /// What the system answered.
        source: io::Error,
    },
    /// A file of that name is there and holds something else.
    #[error(
        "cannot store {path}: a file of that name with other content is already there, and stored files never change; move it away if it is wrong, or give another --store or --sensor"
    )]
    Conflict {
        /// The file that is there.
        path: PathBuf,
    },
    /// A file of a spool cannot be sent: something else stands under its name.
    #[error(
        "cannot send {path} to {there}: an object of that name with other content is already there, and stored files never change; compare the two and move one of them away"
    )]
    Contradicted {
        /// The file in the spool.
        path: PathBuf,
        /// What is there.
        there: String,
    },
    /// The place of a store is not one that can be used.
    #[error("cannot use a store at {text}...: {reason}")]
    Location {
        /// As far as it can be told without repeating secrets.
        text: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The environment does not describe the bucket.
    #[error(
        "cannot use the store {url}: {source}; set the provider's variables (AWS_..., GOOGLE_..., AZURE_...)"
    )]
    Bucket {
        /// The store.
        url: String,
        /// What is missing.
        source: Box<object_store::Error>,
    },
    /// The object store refused a request, or did not answer.
    #[error("cannot reach {path} ({attempt}): {source}; check network, endpoint and credentials")]
    Remote {
        /// The object.
        path: String,
        /// What was tried.
        attempt: &'static str,
        /// What came of it.
        source: Box<object_store::Error>,
    },
    /// No thread of requests could be started.
    #[error("cannot start what object stores need: {source}; check the limits on open files")]
    Runtime {
        /// What the system answered.
        source: io::Error,
    },
    /// A record of a change, or the store's settings, cannot be understood.
    #[error("cannot understand {path}: {reason}")]
    Record {
        /// The file.
        path: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A file or folder of the store could not be read.
    #[error("cannot read {path}: {source}; check that it exists and may be read")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A file is there and is not a Parquet file that can be read.
    #[error("cannot read {path} as Parquet: {source}; restore the file or move it away")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the Parquet reader found.
        source: ParquetError,
    },
    /// Rows could not be turned into Parquet.
    #[error("cannot encode rows of table {table}: {source}; please report this")]
    Encode {
        /// The table.
        table: Table,
        /// What the Parquet writer found.
        source: ParquetError,
    },
    /// Rows are out of order, or a key stands twice.
    #[error(
        "cannot encode rows of table {table}: row {row} does not come after the row before it; merge rows of equal key and sort them first"
    )]
    Order {
        /// The table.
        table: Table,
        /// The first row (from 0) that is not greater than its predecessor.
        row: usize,
    },
    /// The names of decode errors do not make columns.
    #[error(
        "cannot encode rows of table ledger: decode error column \"{0}\" is repeated or not made of small letters, digits and underscores; rename the layer or the reason"
    )]
    ErrorColumn(String),
    /// A ledger row has more or fewer decode error counts than there are names.
    #[error(
        "cannot encode rows of table ledger: row {row} counts {found} kinds of decode errors where {expected} are named; give every row one count for each name"
    )]
    ErrorCounts {
        /// The row, from 0.
        row: usize,
        /// Counts in that row.
        found: usize,
        /// Names given.
        expected: usize,
    },
}

impl StoreError {
    /// Whether the same may succeed later: the far side did not answer, or not as it should.
    pub fn may_pass(&self) -> bool {
        use object_store::Error;
        match self {
            Self::Remote { source, .. } => !matches!(
                **source,
                Error::NotFound { .. }
                    | Error::InvalidPath { .. }
                    | Error::NotSupported { .. }
                    | Error::NotImplemented { .. }
                    | Error::PermissionDenied { .. }
                    | Error::Unauthenticated { .. }
                    | Error::UnknownConfigurationKey { .. }
            ),
            _ => false,
        }
    }
}

/// An error with its causes, as far as they add something, on one line.
pub fn one_line(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
        next = error.source();
    }
    text.replace('\n', " ")
}
