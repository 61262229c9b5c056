//! Files of this machine that appear whole or not at all.
//!
//! A file is written under a name with a leading dot, flushed to the disk, and then linked to its
//! real name, which fails if that name is taken. So **a visible name never changes its content**,
//! and a crash at any moment leaves at most a dotted file, which no reader looks at;
//! [`sweep`](super::sweep) removes such files once they are old.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tries a folder: writes, links and removes a file of this name.
///
/// # Errors
/// The folder does not take files, or its file system has no hard links.
pub(crate) fn probe_folder(folder: &Path, name: &str) -> Result<(), Failure> {
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

/// The step that failed, and the system's error.
pub type Failure = (&'static str, io::Error);

/// Result of giving a file its name.
pub enum Published {
    /// The file has its name.
    Written,
    /// A file with the same content had the name before.
    Same,
    /// A file with other content has the name.
    Other,
}

/// Writes a file to a path that no file has. When this returns, the file has reached the disk.
pub(crate) fn publish(store: &Path, path: &Path, bytes: &[u8]) -> Result<Published, Failure> {
    let folder = path.parent().unwrap_or(store);
    if let Some(found) = compare(path, bytes)? {
        // The program that linked it may have crashed before the name reached the disk.
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
        // An uploader has taken the file meanwhile, and removed the empty folder.
        Err((_, error)) if error.kind() == ErrorKind::NotFound => Ok(outcome),
        synced => synced.map(|()| outcome),
    }
}

/// A temporary file beside `path`, whose folders are made if need be. Another program may remove an
/// empty folder before the file is created in it; then the folder is made again.
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

/// Copies a file to a path, in place of any file that has it. When this returns, the copy has reached
/// the disk.
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

/// Gives a file another path in the store. Succeeds also if the file has it already.
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

/// Removes a file, if it exists, and the folders that it leaves empty.
pub(crate) fn remove(store: &Path, path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(("removing the file", error)),
    }
    forget_empty(store, path)
}

/// Removes the folders above a removed file, as long as they are empty, and flushes the first that
/// stays.
fn forget_empty(store: &Path, gone: &Path) -> Result<(), Failure> {
    let above = gone
        .ancestors()
        .skip(1)
        .take_while(|folder| *folder != store);
    for folder in above {
        // Removing fails for a folder that is not empty; another program may have removed it.
        match fs::remove_dir(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => return sync_folder(folder),
        }
    }
    sync_folder(store)
}

/// Compares a file with these octets; none if the file does not exist.
fn compare(path: &Path, bytes: &[u8]) -> Result<Option<Published>, Failure> {
    match fs::read(path) {
        Ok(found) if found == bytes => Ok(Some(Published::Same)),
        Ok(_) => Ok(Some(Published::Other)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(("reading the file that is there", error)),
    }
}

/// Creates the folders from the store's down to `folder`; the names of new folders reach the disk.
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

pub(super) fn sync_folder(folder: &Path) -> Result<(), Failure> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| ("flushing the folder to the disk", e))
}

/// A file with a leading dot, removed when dropped.
pub(super) struct Temporary {
    pub(super) file: Option<File>,
    pub(super) path: PathBuf,
}

impl Temporary {
    /// Creates a file with a name of its own: a crashed run with the same process number may have left
    /// files.
    pub(super) fn create(folder: &Path, name: &str) -> Result<Self, Failure> {
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

    pub(super) fn remove(self) -> Result<(), Failure> {
        fs::remove_file(&self.path).map_err(|e| ("removing a temporary file", e))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After `remove` the file is gone; after an error, that error matters more than this one.
        let _ = fs::remove_file(&self.path);
    }
}
