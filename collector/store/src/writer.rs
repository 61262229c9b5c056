//! Files into their places, whole or not at all.
//!
//! A file is written under a name with a leading dot, flushed to the disk, and then linked to its
//! real name, which fails if that name is taken. So **a name once visible never changes**, and
//! a crash at any moment leaves at most a dotted file that nobody reads; [`Store::open`] removes
//! such files once they are old.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::files::Files;
use crate::{Location, StoreError, Table, change, time};

mod sweep;
pub mod whole;

/// What became of a file that was put into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    Written,
    /// It was there before, with the same content.
    AlreadyThere,
}

/// Which files one flush writes: one a table, under a common name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntervalFiles {
    /// Start of the interval, microseconds since 1970, a whole second.
    pub interval_start_us: i64,
    /// The run: its start in microseconds (live), or a digest of inputs, prefixes and rules
    /// (replay). Letters, digits, hyphens and underscores.
    pub run: String,
}

/// A folder of Parquet files, seen from one sensor.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    /// Where the tables begin: the folder, or one below it in which files wait for a change.
    tables: PathBuf,
    sensor: String,
    /// Folders that were swept already.
    swept: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Store {
    /// Opens a store, creating its folder if need be.
    ///
    /// Writes, links and removes a probe file, so that a folder that does not take files is
    /// refused now and not at the first flush. Carries out changes whose makers died, and removes
    /// temporary files of an hour and more that crashed runs of this sensor left in the store's
    /// root; from the folder of a day they are removed before the first file is put there.
    ///
    /// # Errors
    /// [`StoreError::SensorName`] unless the name matches `[a-z][a-z0-9-]*` and has at most 200
    /// characters;
    /// [`StoreError::Folder`] if the folder cannot be created, written to, or linked in; those of
    /// [`change::finish`].
    pub fn open(folder: impl Into<PathBuf>, sensor: &str) -> Result<Self, StoreError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        // 200 octets and the rest of a path component stay below every file system's 255.
        if !sensor.starts_with(|c: char| c.is_ascii_lowercase())
            || !sensor.chars().all(plain)
            || sensor.len() > 200
        {
            return Err(StoreError::SensorName(sensor.to_owned()));
        }
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
        sweep::sweep_root(&store, now);
        Ok(store)
    }

    /// The same store, whose files wait for a change of this name instead of being seen at once.
    #[must_use]
    pub fn staging(&self, change: &str) -> Self {
        Self {
            tables: self.folder.join(change::staging(change)),
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

    /// Where a file stands:
    /// `<store>/<table>/date=YYYY-MM-DD/sensor=<name>/<interval start>-<run>.parquet`.
    ///
    /// # Errors
    /// [`StoreError::IntervalStart`] and [`StoreError::RunName`] for what cannot stand in a path.
    pub fn path(&self, table: Table, files: &IntervalFiles) -> Result<PathBuf, StoreError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if files.run.is_empty() || files.run.len() > 128 || !files.run.chars().all(plain) {
            return Err(StoreError::RunName(files.run.clone()));
        }
        let start = files.interval_start_us;
        Ok(self.sensor_folder(table, &time::date(start)?).join(format!(
            "{}-{}.parquet",
            time::stamp(start)?,
            files.run
        )))
    }

    fn sensor_folder(&self, table: Table, date: &str) -> PathBuf {
        (self.tables.join(table.name()))
            .join(format!("date={date}"))
            .join(format!("sensor={}", self.sensor))
    }

    /// Puts one file into its place. When this returns, the file has reached the disk.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if a file of that name holds something else;
    /// [`StoreError::Write`] if it could not be written, and then nothing of it is visible; names
    /// as in [`Store::path`].
    pub fn put(
        &self,
        table: Table,
        files: &IntervalFiles,
        bytes: &[u8],
    ) -> Result<Put, StoreError> {
        let path = self.path(table, files)?;
        self.sweep_before(&path);
        let published = publish(&self.folder, &path, bytes);
        match published.map_err(|(attempt, source)| StoreError::Write {
            path: path.clone(),
            attempt,
            source,
        })? {
            Published::Written => Ok(Put::Written),
            Published::Same => Ok(Put::AlreadyThere),
            Published::Other => Err(StoreError::Conflict { path }),
        }
    }

    /// Sweeps the folder of a file, unless that has been done.
    fn sweep_before(&self, path: &Path) {
        let Some(folder) = path.parent() else {
            return;
        };
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if !swept.contains(folder) {
            sweep::sweep_tables(folder, SystemTime::now());
            swept.insert(folder.to_owned());
        }
    }

    fn probe(&self) -> Result<(), Failure> {
        fs::create_dir_all(&self.folder).map_err(|e| ("creating the folder", e))?;
        probe_folder(&self.folder, &probe_name(&self.sensor))
    }
}

/// Writes, links and removes a file of this name.
fn probe_folder(folder: &Path, name: &str) -> Result<(), Failure> {
    let first = Temporary::create(folder, name)?;
    first.fill(b"noctule")?;
    let second = Temporary {
        file: None,
        path: first.path.with_extension("link"),
    };
    fs::hard_link(&first.path, &second.path).map_err(|e| ("linking a file", e))?;
    first.remove()?;
    second.remove()
}

/// The probe file's name bears the sensor's: several sensors may share a store.
fn probe_name(sensor: &str) -> String {
    format!("probe-{sensor}")
}

/// What was tried, and what the system answered.
pub type Failure = (&'static str, io::Error);

/// What became of a file that was to have a name.
pub enum Published {
    /// It has it now.
    Written,
    /// A file with the same content had it before.
    Same,
    /// A file with other content has it.
    Other,
}

/// Puts a file where none is; when this returns, it has reached the disk.
pub(crate) fn publish(store: &Path, path: &Path, bytes: &[u8]) -> Result<Published, Failure> {
    let folder = path.parent().unwrap_or(store);
    if let Some(found) = compare(path, bytes)? {
        // Whoever linked it may have died before its name reached the disk.
        sync_folder(folder)?;
        return Ok(found);
    }
    let temporary = temporary_for(store, path)?;
    temporary.fill(bytes)?;
    let outcome = match fs::hard_link(&temporary.path, path) {
        Ok(()) => Published::Written,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            compare(path, bytes)?.ok_or(("linking the file to its name", error))?
        }
        Err(error) => return Err(("linking the file to its name", error)),
    };
    temporary.remove()?;
    match sync_folder(folder) {
        // Who takes files away, as an uploader does, has taken this one, and the folder with it.
        Err((_, error)) if error.kind() == ErrorKind::NotFound => Ok(outcome),
        synced => synced.map(|()| outcome),
    }
}

/// A temporary file beside `path`, whose folders are made if need be. Whoever tidies up may remove
/// a folder just before something comes into it; then it is made again.
fn temporary_for(store: &Path, path: &Path) -> Result<Temporary, Failure> {
    const TRIES: usize = 100;
    let folder = path.parent().unwrap_or(store);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut tries = 0;
    loop {
        tries += 1;
        let made = create_folders(store, folder).and_then(|()| Temporary::create(folder, &name));
        match made {
            Err((_, error)) if error.kind() == ErrorKind::NotFound && tries < TRIES => {}
            made => return made,
        }
    }
}

/// Puts a copy of a file in a place, over what is there; when this returns, it has reached the disk.
pub(crate) fn replace(store: &Path, path: &Path, from: &Path) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(store);
    let mut temporary = temporary_for(store, path)?;
    let mut source = File::open(from).map_err(|e| ("opening the file to copy", e))?;
    if let Some(file) = &mut temporary.file {
        io::copy(&mut source, file).map_err(|e| ("writing the file", e))?;
        file.sync_all()
            .map_err(|e| ("flushing the file to the disk", e))?;
    }
    fs::rename(&temporary.path, path).map_err(|e| ("renaming the file", e))?;
    sync_folder(folder)
}

/// Gives a file another name in the store; a file that has it already is no fault.
pub(crate) fn rename(store: &Path, from: &Path, to: &Path) -> Result<(), Failure> {
    let folder = to.parent().unwrap_or(store);
    create_folders(store, folder)?;
    match fs::rename(from, to) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound && to.exists() => {}
        Err(error) => return Err(("renaming the file", error)),
    }
    sync_folder(folder)?;
    forget_empty(store, from)
}

/// Removes a file, if it is there, and the folders that it leaves empty.
pub(crate) fn remove(store: &Path, path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(("removing the file", error)),
    }
    forget_empty(store, path)
}

/// Removes the folders above a file that went, as long as they are empty, and flushes the first
/// that stays.
fn forget_empty(store: &Path, gone: &Path) -> Result<(), Failure> {
    let above = gone
        .ancestors()
        .skip(1)
        .take_while(|folder| *folder != store);
    for folder in above {
        // A folder that is not empty says so; one that another program just removed is gone.
        match fs::remove_dir(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => return sync_folder(folder),
        }
    }
    sync_folder(store)
}

/// Compares a file with what it should hold; none if there is no such file.
fn compare(path: &Path, bytes: &[u8]) -> Result<Option<Published>, Failure> {
    match fs::read(path) {
        Ok(found) if found == bytes => Ok(Some(Published::Same)),
        Ok(_) => Ok(Some(Published::Other)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(("reading the file that is there", error)),
    }
}

/// Creates the folders from the store's down to `folder`; a new one's name reaches the disk too.
fn create_folders(store: &Path, folder: &Path) -> Result<(), Failure> {
    if folder.is_dir() {
        return Ok(());
    }
    if folder == store {
        return fs::create_dir_all(store).map_err(|e| ("creating the store's folder", e));
    }
    let above = folder.parent().unwrap_or(store);
    create_folders(store, above)?;
    match fs::create_dir(folder) {
        Ok(()) => sync_folder(above),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(("creating the folder", error)),
    }
}

fn sync_folder(folder: &Path) -> Result<(), Failure> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| ("flushing the folder to the disk", e))
}

/// A file with a leading dot, removed when dropped.
struct Temporary {
    file: Option<File>,
    path: PathBuf,
}

impl Temporary {
    /// Creates one that nobody else has: leftovers of a crashed run may bear our process number.
    fn create(folder: &Path, name: &str) -> Result<Self, Failure> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!(".{name}.{}-{number}.tmp", process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let file = Some(file);
                    return Ok(Self { file, path });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(("creating a temporary file", error)),
            }
        }
    }

    fn fill(&self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(mut file) = self.file.as_ref() else {
            return Ok(());
        };
        file.write_all(bytes).map_err(|e| ("writing the file", e))?;
        file.sync_all()
            .map_err(|e| ("flushing the file to the disk", e))
    }

    fn remove(self) -> Result<(), Failure> {
        fs::remove_file(&self.path).map_err(|e| ("removing a temporary file", e))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After `remove` there is nothing left, which is no fault; on the way out of an error,
        // that error matters more than this one.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests;
