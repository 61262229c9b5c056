//! Errors between rows and files.

use std::io;
use std::path::PathBuf;

use parquet::errors::ParquetError;

use crate::table::Table;

/// Why something could not be stored or read back.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A sensor's name that cannot be part of a path.
    #[error(
        "sensor name \"{0}\" is refused: use a small letter, then small letters, digits and hyphens, 200 characters at most"
    )]
    SensorName(String),
    /// A run's name that cannot be part of a file name.
    #[error(
        "run name \"{0}\" is refused: use letters, digits, hyphens and underscores, 128 characters at most"
    )]
    RunName(String),
    /// An interval's start that is not a whole second from 1970 to 9999.
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
        /// The step that failed.
        attempt: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A file could not be written; nothing of it is visible.
    #[error(
        "cannot store {path} ({attempt}): {source}; check free space and permissions, then send it again"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// The step that failed.
        attempt: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// Another file of that name exists, with other content.
    #[error(
        "cannot store {path}: a file of that name with other content is already there, and stored files never change; move it away if it is wrong, or give another --store or --sensor"
    )]
    Conflict {
        /// The file that is there.
        path: PathBuf,
    },
    /// A file of a spool cannot be sent: the store has another file of its name.
    #[error(
        "cannot send {path} to {there}: an object of that name with other content is already there, and stored files never change; compare the two and move one of them away"
    )]
    Contradicted {
        /// The file in the spool.
        path: PathBuf,
        /// The file in the store.
        there: String,
    },
    /// A store's location that cannot be used.
    #[error("cannot use a store at {text}...: {reason}")]
    Location {
        /// The part of it that holds no secrets.
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
        /// What the provider's library lacks.
        source: Box<object_store::Error>,
    },
    /// The object store refused a request, or did not answer.
    #[error("cannot reach {path} ({attempt}): {source}; check network, endpoint and credentials")]
    Remote {
        /// The object.
        path: String,
        /// The step that failed.
        attempt: &'static str,
        /// The provider's library's error.
        source: Box<object_store::Error>,
    },
    /// The runtime for requests to object stores could not be started.
    #[error(
        "cannot start the runtime for requests to object stores: {source}; check the limit on open files"
    )]
    Runtime {
        /// The system's error.
        source: io::Error,
    },
    /// A change record that is not valid.
    #[error("cannot read change record {path}: {reason}")]
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
        /// The system's error.
        source: io::Error,
    },
    /// A file that is not valid Parquet.
    #[error("cannot read {path} as Parquet: {source}; restore the file or move it away")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The Parquet reader's error.
        source: ParquetError,
    },
    /// The Parquet writer failed.
    #[error("cannot encode rows of table {table}: {source}; please report this")]
    Encode {
        /// The table.
        table: &'static str,
        /// The Parquet writer's error.
        source: ParquetError,
    },
    /// Rows are out of order, or two rows have the same key.
    #[error(
        "cannot encode rows of table {table}: row {row} does not come after the row before it; merge rows of equal key and sort them first"
    )]
    Order {
        /// The table.
        table: Table,
        /// The first row (from 0) that is not greater than its predecessor.
        row: usize,
    },
}

impl StoreError {
    /// True if the same request may succeed later: the object store did not answer, or failed itself.
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
