//! The files of a store by their paths, in a folder or a bucket: list, read, write, rename, remove.
//!
//! Paths are relative to the store and use `/`. In a folder every change is flushed to the disk
//! before the call returns.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::TryStreamExt as _;
use object_store::buffered::BufWriter;
use object_store::path::Path as ObjectPath;
use object_store::{
    Error as ObjectError, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
};
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::{Builder, Runtime};

use crate::disk::atomic::{self, Failure, Published};
use crate::error::StoreError;
use crate::location::{self, Location};

/// Octets of a part of a large object.
const PART_BYTES: usize = 8 << 20;
/// Octets of a file that are read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Result of writing a file to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The file was written.
    Written,
    /// The store had the file already, with the same content.
    AlreadyThere,
}

/// A file of a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Path in the store.
    pub path: String,
    /// Length, octets.
    pub bytes: u64,
    /// Time of the last change.
    pub modified: SystemTime,
}

/// The files of a store.
pub struct Files {
    location: Location,
    place: Place,
}

enum Place {
    Folder(PathBuf),
    Bucket {
        objects: Arc<dyn ObjectStore>,
        prefix: ObjectPath,
        runtime: Runtime,
    },
}

impl Files {
    /// The files at a location. No request is made yet.
    ///
    /// # Errors
    /// As [`location::bucket`]; [`StoreError::Runtime`] if the runtime for requests cannot be started.
    pub fn open(location: &Location) -> Result<Self, StoreError> {
        let place = match location {
            Location::Folder(folder) => Place::Folder(folder.clone()),
            Location::Bucket(url) => {
                let (objects, prefix) = location::bucket(url)?;
                let runtime = Builder::new_current_thread().enable_all().build();
                Place::Bucket {
                    objects,
                    prefix,
                    runtime: runtime.map_err(|source| StoreError::Runtime { source })?,
                }
            }
        };
        Ok(Self {
            location: location.clone(),
            place,
        })
    }

    /// The store's location.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Every file below a folder of the store, sorted by path; none if the folder does not exist.
    /// Unfinished files, whose names begin with a dot, are left out.
    ///
    /// # Errors
    /// [`StoreError::Read`] if a folder cannot be listed, [`StoreError::Remote`] if a bucket cannot.
    pub fn list(&self, under: &str) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        match &self.place {
            Place::Folder(folder) => list_folder(folder, under, &mut entries)?,
            Place::Bucket {
                objects,
                prefix,
                runtime,
            } => {
                let under = join(prefix, under);
                let listed = runtime.block_on(objects.list(Some(&under)).try_collect::<Vec<_>>());
                for object in self.remote(under.as_ref(), "listing it", listed)? {
                    let Some(parts) = object.location.prefix_match(prefix) else {
                        continue;
                    };
                    let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
                    if parts.last().is_some_and(|name| !name.starts_with('.')) {
                        entries.push(Entry {
                            path: parts.join("/"),
                            bytes: object.size,
                            modified: object.last_modified.into(),
                        });
                    }
                }
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }

    /// The content of a file; none if it does not exist.
    ///
    /// # Errors
    /// [`StoreError::Read`] in a folder and [`StoreError::Remote`] in a bucket if it cannot be read.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match &self.place {
            Place::Folder(folder) => match fs::read(folder.join(path)) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
                {
                    Ok(None)
                }
                Err(source) => Err(StoreError::Read {
                    path: folder.join(path),
                    source,
                }),
            },
            Place::Bucket {
                objects,
                prefix,
                runtime,
            } => {
                let object = join(prefix, path);
                let read = runtime.block_on(async { objects.get(&object).await?.bytes().await });
                match read {
                    Ok(bytes) => Ok(Some(bytes.into())),
                    Err(ObjectError::NotFound { .. }) => Ok(None),
                    Err(source) => self.remote(path, "reading it", Err(source)),
                }
            }
        }
    }

    /// Passes a file's octets to `take`, piece by piece. False if the file does not exist.
    ///
    /// # Errors
    /// [`StoreError::Read`] in a folder and [`StoreError::Remote`] in a bucket if it cannot be read.
    pub fn pieces(&self, path: &str, mut take: impl FnMut(&[u8])) -> Result<bool, StoreError> {
        match &self.place {
            Place::Folder(folder) => {
                let full = folder.join(path);
                let failed = |source| StoreError::Read {
                    path: full.clone(),
                    source,
                };
                let mut file = match File::open(&full) {
                    Ok(file) => file,
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                    Err(error) => return Err(failed(error)),
                };
                let mut piece = vec![0; PIECE_BYTES];
                loop {
                    match file.read(&mut piece).map_err(failed)? {
                        0 => return Ok(true),
                        count => take(&piece[..count]),
                    }
                }
            }
            Place::Bucket {
                objects,
                prefix,
                runtime,
            } => {
                let object = join(prefix, path);
                let read = runtime.block_on(async {
                    let mut pieces = objects.get(&object).await?.into_stream();
                    while let Some(piece) = pieces.try_next().await? {
                        take(&piece);
                    }
                    Ok(())
                });
                match read {
                    Err(ObjectError::NotFound { .. }) => Ok(false),
                    read => self.remote(path, "reading it", read).map(|()| true),
                }
            }
        }
    }

    /// Writes a file to a path that no file has. Writing the same content twice changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the store has a file of this path with other content;
    /// [`StoreError::Write`] in a folder and [`StoreError::Remote`] in a bucket if it cannot be written.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        match &self.place {
            Place::Folder(folder) => put_in_folder(folder, folder.join(path), bytes),
            Place::Bucket {
                objects,
                prefix,
                runtime,
            } => {
                let object = join(prefix, path);
                let payload = PutPayload::from(bytes.to_vec());
                let create = PutOptions::from(PutMode::Create);
                match runtime.block_on(objects.put_opts(&object, payload, create)) {
                    Ok(_) => Ok(Put::Written),
                    // An earlier try may have written it, whose answer was lost.
                    Err(ObjectError::AlreadyExists { .. }) => match self.read(path)? {
                        Some(found) if found == bytes => Ok(Put::AlreadyThere),
                        _ => Err(StoreError::Conflict {
                            path: PathBuf::from(format!("{}/{path}", self.location)),
                        }),
                    },
                    Err(source) => self.remote(path, "writing it", Err(source)),
                }
            }
        }
    }

    /// Copies a file of this machine to a path, in place of any file that has it: for folders that
    /// only one program writes to.
    ///
    /// # Errors
    /// [`StoreError::Read`] if the file cannot be opened; [`StoreError::Write`] if the copy cannot be
    /// written to a folder, or sent to a bucket.
    pub fn put_over(&self, path: &str, from: &Path) -> Result<(), StoreError> {
        let unreadable = |source| StoreError::Read {
            path: from.to_owned(),
            source,
        };
        match &self.place {
            Place::Folder(folder) => {
                let full = folder.join(path);
                atomic::replace(folder, &full, from).map_err(|failure| write_error(full, failure))
            }
            Place::Bucket {
                objects,
                prefix,
                runtime,
            } => {
                let mut file = File::open(from).map_err(unreadable)?;
                let object = join(prefix, path);
                let sent = runtime.block_on(async {
                    let objects = Arc::clone(objects);
                    let mut writer = BufWriter::with_capacity(objects, object, PART_BYTES);
                    let mut part = vec![0; PART_BYTES];
                    loop {
                        let count = file.read(&mut part)?;
                        if count == 0 {
                            return writer.shutdown().await;
                        }
                        writer.write_all(&part[..count]).await?;
                    }
                });
                sent.map_err(|source| StoreError::Write {
                    path: PathBuf::from(format!("{}/{path}", self.location)),
                    attempt: "sending it",
                    source,
                })
            }
        }
    }

    /// Gives a file another path, in place of any file that has it. Succeeds also if it was done
    /// before, and the file has its new path.
    ///
    /// # Errors
    /// [`StoreError::Write`] in a folder and [`StoreError::Remote`] in a bucket if it fails.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        match &self.place {
            Place::Folder(folder) => {
                let (old, new) = (folder.join(from), folder.join(to));
                atomic::rename(folder, &old, &new).map_err(|failure| write_error(new, failure))
            }
            Place::Bucket {
                objects,
                prefix,
                runtime,
            } => {
                let (old, new) = (join(prefix, from), join(prefix, to));
                let renamed = runtime.block_on(async {
                    match objects.copy(&old, &new).await {
                        Ok(()) => {}
                        Err(error @ ObjectError::NotFound { .. }) => {
                            return objects.head(&new).await.map(|_| ()).map_err(|_| error);
                        }
                        Err(error) => return Err(error),
                    }
                    objects.delete(&old).await
                });
                self.remote(to, "renaming it", renamed)
            }
        }
    }

    /// Removes a file, if it exists.
    ///
    /// # Errors
    /// [`StoreError::Write`] in a folder and [`StoreError::Remote`] in a bucket if it fails.
    pub fn remove(&self, path: &str) -> Result<(), StoreError> {
        match &self.place {
            Place::Folder(folder) => {
                let full = folder.join(path);
                atomic::remove(folder, &full).map_err(|failure| write_error(full, failure))
            }
            Place::Bucket {
                objects,
                prefix,
                runtime,
            } => match runtime.block_on(objects.delete(&join(prefix, path))) {
                Ok(()) | Err(ObjectError::NotFound { .. }) => Ok(()),
                Err(source) => self.remote(path, "removing it", Err(source)),
            },
        }
    }

    fn remote<T>(
        &self,
        path: &str,
        attempt: &'static str,
        outcome: Result<T, ObjectError>,
    ) -> Result<T, StoreError> {
        outcome.map_err(|source| StoreError::Remote {
            path: format!("{}/{path}", self.location),
            attempt,
            source: Box::new(source),
        })
    }
}

/// Writes a file to a path that no file has, in a store that is a folder. When this returns, the file
/// has reached the disk.
///
/// # Errors
/// As [`Files::put`].
pub(crate) fn put_in_folder(store: &Path, path: PathBuf, bytes: &[u8]) -> Result<Put, StoreError> {
    match atomic::publish(store, &path, bytes) {
        Ok(Published::Written) => Ok(Put::Written),
        Ok(Published::Same) => Ok(Put::AlreadyThere),
        Ok(Published::Other) => Err(StoreError::Conflict { path }),
        Err(failure) => Err(write_error(path, failure)),
    }
}

fn write_error(path: PathBuf, (attempt, source): Failure) -> StoreError {
    StoreError::Write {
        path,
        attempt,
        source,
    }
}

fn join(prefix: &ObjectPath, path: &str) -> ObjectPath {
    let parts = path.split('/').filter(|part| !part.is_empty());
    prefix.parts().chain(parts.map(Into::into)).collect()
}

fn list_folder(store: &Path, under: &str, entries: &mut Vec<Entry>) -> Result<(), StoreError> {
    let mut folders = vec![under.trim_matches('/').to_owned()];
    while let Some(folder) = folders.pop() {
        let full = store.join(&folder);
        let failed = |source| StoreError::Read {
            path: full.clone(),
            source,
        };
        let listing = match fs::read_dir(&full) {
            Ok(listing) => listing,
            // Another program may remove an empty folder meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        for entry in listing {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let path = if folder.is_empty() {
                name
            } else {
                format!("{folder}/{name}")
            };
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            if metadata.is_dir() {
                folders.push(path);
            } else {
                entries.push(Entry {
                    path,
                    bytes: metadata.len(),
                    modified: metadata.modified().map_err(failed)?,
                });
            }
        }
    }
    Ok(())
}
