//! A spool: files on this machine that wait to be sent to an object store.
//!
//! A spool is a folder with the layout of the store. A file is removed from it after it was written to
//! the store, so that after a crash at any moment every file is in one of the two, and sending a file
//! twice changes nothing. An interval's ledger file is sent after its other files.

use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::files::Files;
use crate::layout::{self, interval_and_run};
use crate::location::Location;
use crate::table::Table;

/// A spool, for the program that sends its files.
pub struct Spool {
    folder: PathBuf,
    files: Files,
    sensor: String,
    change: Option<String>,
}

/// A file that waits in a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpooledFile {
    /// Path in the spool, and in the store.
    pub path: String,
    /// Length, octets.
    pub bytes: u64,
    /// Start of its interval, microseconds since 1970.
    pub start_us: i64,
    /// Name of the run.
    pub run: String,
    /// The file belongs to the table `ledger`.
    pub is_ledger: bool,
}

impl Spool {
    /// The sensor's files in a folder, and those that are staged for a change of this name.
    ///
    /// # Errors
    /// As [`Files::open`].
    pub fn open(folder: &Path, sensor: &str, change: Option<&str>) -> Result<Self, StoreError> {
        Ok(Self {
            folder: folder.to_owned(),
            files: Files::open(&Location::Folder(folder.to_owned()))?,
            sensor: sensor.to_owned(),
            change: change.map(str::to_owned),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files that wait, in the order in which they are sent: by interval, the ledger last.
    ///
    /// # Errors
    /// [`StoreError::Read`] if a folder cannot be listed.
    pub fn waiting(&self) -> Result<Vec<SpooledFile>, StoreError> {
        let mut waiting = Vec::new();
        let staging = self.change.as_deref().map(layout::staging);
        let staging = staging.map(|folder| format!("{folder}/"));
        for root in std::iter::once(String::new()).chain(staging) {
            // The ledger is listed first and written last: if an interval's ledger file is found, its
            // other files are found, too.
            for table in Table::ALL.into_iter().rev() {
                self.list(&format!("{root}{table}"), table, &mut waiting)?;
            }
        }
        waiting.sort_by_cached_key(|w: &SpooledFile| {
            (w.start_us, w.run.clone(), w.is_ledger, w.path.clone())
        });
        Ok(waiting)
    }

    fn list(
        &self,
        folder: &str,
        table: Table,
        waiting: &mut Vec<SpooledFile>,
    ) -> Result<(), StoreError> {
        for entry in self.files.list(folder)? {
            let Some((start_us, run)) = interval_and_run(&entry.path) else {
                continue;
            };
            if layout::is_of_sensor(&entry.path, &self.sensor) {
                waiting.push(SpooledFile {
                    start_us,
                    run: run.to_owned(),
                    is_ledger: table == Table::Ledger,
                    bytes: entry.bytes,
                    path: entry.path,
                });
            }
        }
        Ok(())
    }

    /// Sends a file and removes it from the spool. Returns its octets; none if the spool no longer has
    /// it, as after another program has sent it.
    ///
    /// # Errors
    /// [`StoreError::Contradicted`] if the store has a file of this path with other content;
    /// [`StoreError::Remote`] if the file could not be sent; [`StoreError::Read`] and
    /// [`StoreError::Write`] if it cannot be read in the spool, or removed from it.
    pub fn send(
        &self,
        waiting: &SpooledFile,
        store: &Files,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(octets) = self.files.read(&waiting.path)? else {
            return Ok(None);
        };
        match store.put(&waiting.path, &octets) {
            Ok(_) => {}
            Err(StoreError::Conflict { path }) => {
                return Err(StoreError::Contradicted {
                    path: self.folder.join(&waiting.path),
                    there: path.display().to_string(),
                });
            }
            Err(error) => return Err(error),
        }
        self.files.remove(&waiting.path)?;
        Ok(Some(octets))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::layout::IntervalFiles;
    use crate::store::Store;

    struct Fixture {
        folder: tempfile::TempDir,
        store: Store,
        spool: Spool,
        far: Files,
    }

    fn files(minute: i64, run: &str) -> IntervalFiles {
        IntervalFiles {
            interval_start_us: (1_474_372_800 + 60 * minute) * 1_000_000,
            run: run.to_owned(),
        }
    }

    impl Fixture {
        fn new(change: Option<&str>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let [here, there] = ["spool", "store"].map(|name| folder.path().join(name));
            Self {
                store: Store::open(&here, "s").unwrap(),
                spool: Spool::open(&here, "s", change).unwrap(),
                far: Files::open(&Location::Folder(there)).unwrap(),
                folder,
            }
        }

        fn send_all(&self) {
            for waiting in self.spool.waiting().unwrap() {
                self.spool.send(&waiting, &self.far).unwrap();
            }
        }

        fn there(&self) -> Vec<String> {
            let there = self.far.list("").unwrap();
            there.into_iter().map(|entry| entry.path).collect()
        }
    }

    #[test]
    fn files_go_by_interval_and_the_ledger_last() {
        let it = Fixture::new(None);
        for minute in [1, 0] {
            for table in [Table::Ledger, Table::Ports, Table::Flows] {
                it.store.put(table, &files(minute, "r"), b"rows").unwrap();
            }
        }
        let waiting = it.spool.waiting().unwrap();
        let order: Vec<_> = (waiting.iter())
            .map(|w| (w.start_us / 60_000_000 % 60, &w.path[..4]))
            .collect();
        let minute = |m| [(m, "flow"), (m, "port"), (m, "ledg")];
        assert_eq!(order, [minute(0), minute(1)].concat());
        it.send_all();
        assert_eq!(it.spool.waiting().unwrap(), []);
        assert_eq!(it.there().len(), 6);
        // Nothing is left here, not even folders.
        let left = fs::read_dir(it.folder.path().join("spool")).unwrap();
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn a_file_that_was_sent_before_its_sender_died_is_delivered() {
        let it = Fixture::new(None);
        it.store.put(Table::Ports, &files(0, "r"), b"rows").unwrap();
        let waiting = it.spool.waiting().unwrap();
        it.far.put(&waiting[0].path, b"rows").unwrap();
        let sent = it.spool.send(&waiting[0], &it.far).unwrap();
        assert_eq!(sent.as_deref(), Some(&b"rows"[..]));
        // Another program was faster.
        assert_eq!(it.spool.send(&waiting[0], &it.far).unwrap(), None);
        assert_eq!(it.there().len(), 1);
    }

    #[test]
    fn other_content_is_refused_and_both_are_named() {
        let it = Fixture::new(None);
        it.store.put(Table::Ports, &files(0, "r"), b"rows").unwrap();
        let waiting = it.spool.waiting().unwrap();
        it.far.put(&waiting[0].path, b"else").unwrap();
        let error = it.spool.send(&waiting[0], &it.far).unwrap_err();
        assert!(matches!(error, StoreError::Contradicted { .. }), "{error}");
        let said = error.to_string();
        for place in ["spool/ports/", "store/ports/"] {
            assert!(said.contains(place), "{said}");
        }
        assert_eq!(it.spool.waiting().unwrap(), waiting, "it stays");
    }

    #[test]
    fn only_this_sensors_files_and_its_own_change_are_sent() {
        let it = Fixture::new(Some("c-1"));
        it.store.put(Table::Ports, &files(0, "r"), b"rows").unwrap();
        for change in ["c-1", "c-2"] {
            let staging = it.store.staging(change);
            staging.put(Table::Ports, &files(1, "r"), b"rows").unwrap();
        }
        let other = Store::open(it.spool.folder(), "s-2").unwrap();
        other.put(Table::Ports, &files(0, "r"), b"rows").unwrap();
        it.send_all();
        let there = it.there();
        assert_eq!(there.len(), 2, "{there:?}");
        assert!(there[0].starts_with("_staging/c-1/ports/"), "{there:?}");
        assert!(there[1].ends_with("sensor=s/20160920T120000Z-r.parquet"));
        assert_eq!(it.spool.files.list("").unwrap().len(), 2);
    }

    #[test]
    fn writing_goes_on_while_folders_are_tidied_away() {
        let it = Fixture::new(None);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for minute in 0..200 {
                    it.store
                        .put(Table::Ports, &files(minute, "r"), b"rows")
                        .unwrap();
                }
            });
            while !writer.is_finished() {
                it.send_all();
            }
            writer.join().unwrap();
        });
        it.send_all();
        assert_eq!(it.there().len(), 200);
    }
}
