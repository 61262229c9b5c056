//! The store of a sensor that writes interval files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::change;
use crate::disk::atomic::{self, Failure};
use crate::disk::sweep;
use crate::error::StoreError;
use crate::files::{self, Files, Put};
use crate::layout::{self, IntervalFiles};
use crate::location::Location;
use crate::table::Table;

/// A folder of Parquet files that one sensor writes to.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    /// The folder of the tables: `folder`, or a staging folder in it.
    tables: PathBuf,
    sensor: String,
    /// Folders that were swept.
    swept: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Store {
    /// Opens a store, creating its folder if need be.
    ///
    /// Writes, links and removes a probe file, so that a folder that does not take files is
    /// refused now and not at the first flush. Carries out changes that crashed programs recorded, and
    /// removes temporary files of an hour and more that crashed runs of this sensor left in the store's
    /// root; in the folder of a day they are removed before the first file is written there.
    ///
    /// # Errors
    /// [`StoreError::SensorName`] unless the name matches `[a-z][a-z0-9-]*` and has at most 200
    /// characters;
    /// [`StoreError::Folder`] if the folder cannot be created, written to, or linked in; those of
    /// [`change::finish`].
    pub fn open(folder: impl Into<PathBuf>, sensor: &str) -> Result<Self, StoreError> {
        layout::check_sensor(sensor)?;
        let folder = folder.into();
        let store = Self {
            tables: folder.clone(),
            folder,
            sensor: sensor.to_owned(),
            swept: Arc::default(),
        };
        store
            .probe()
            .map_err(|(attempt, source)| StoreError::Folder {
                folder: store.folder.clone(),
                attempt,
                source,
            })?;
        let now = SystemTime::now();
        change::finish(&Files::open(&Location::Folder(store.folder.clone()))?, now)?;
        sweep::sweep_probes(&store.folder, &probe_name(sensor), now);
        Ok(store)
    }

    /// The same store, whose files are staged for a change of this name.
    #[must_use]
    pub fn staging(&self, change: &str) -> Self {
        Self {
            tables: self.folder.join(layout::staging(change)),
            ..self.clone()
        }
    }

    /// The store's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The sensor whose files are written.
    pub fn sensor(&self) -> &str {
        &self.sensor
    }

    /// The path of a file.
    ///
    /// # Errors
    /// As [`IntervalFiles::path`].
    pub fn path(&self, table: Table, files: &IntervalFiles) -> Result<PathBuf, StoreError> {
        Ok(self.tables.join(files.path(table, &self.sensor)?))
    }

    /// Writes a file to its path. When this returns, the file has reached the disk.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if a file of that path has other content; [`StoreError::Write`] if the
    /// file could not be written, and then it does not appear; as [`Store::path`].
    pub fn put(
        &self,
        table: Table,
        files: &IntervalFiles,
        bytes: &[u8],
    ) -> Result<Put, StoreError> {
        let path = self.path(table, files)?;
        self.sweep_before(&path);
        files::put_in_folder(&self.folder, path, bytes)
    }

    /// Sweeps the folder of a file, the first time.
    fn sweep_before(&self, path: &Path) {
        let Some(folder) = path.parent() else {
            return;
        };
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if !swept.contains(folder) {
            sweep::sweep_parquet(folder, SystemTime::now());
            swept.insert(folder.to_owned());
        }
    }

    fn probe(&self) -> Result<(), Failure> {
        fs::create_dir_all(&self.folder).map_err(|e| ("creating the folder", e))?;
        atomic::probe_folder(&self.folder, &probe_name(&self.sensor))
    }
}

/// The probe file's name has the sensor's name in it, since several sensors may share a store.
fn probe_name(sensor: &str) -> String {
    format!("probe-{sensor}")
}

#[cfg(test)]
mod tests;
