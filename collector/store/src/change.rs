//! Changes of several files as one step.
//!
//! New files are first **staged** under `_staging/<change>/`, at the paths that they will have.
//! Then one record, `_changes/<change>.json`, lists which files are added and which are removed: once
//! the record is written, the change has happened. Carrying it out moves the staged files to their
//! paths, removes the others and last of all the record. Each of these steps may be done twice, and
//! [`finish`] does them if the program that began the change has ended.
//!
//! So a store is always in its old or its new state. Files under `_staging` and `_changes` belong
//! to no table: engines that read the tables' folders never see them.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::files::{Files, Put};
use crate::layout::{self, CHANGES, DailyFiles, STAGING, staging};
use crate::table::DailyTable;

/// Version of the change records.
const VERSION: u32 = 1;
/// No program that is still running has staged files of this age.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// The content of a change record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeRecord {
    version: u32,
    /// The paths that the staged files get.
    #[serde(rename = "come")]
    added: Vec<String>,
    /// The paths of files that are removed.
    #[serde(rename = "go")]
    removed: Vec<String>,
}

/// A change that is being prepared. If it is dropped before [`Change::commit`], the store stays as
/// it is.
pub struct Change<'files> {
    files: &'files Files,
    name: String,
    added: Vec<String>,
}

impl<'files> Change<'files> {
    /// Begins a change. A change of the same name that was begun before, by a program that crashed,
    /// is overwritten. A name has letters, digits, hyphens and underscores.
    pub fn begin(files: &'files Files, name: impl Into<String>) -> Self {
        Self {
            files,
            name: name.into(),
            added: Vec::new(),
        }
    }

    /// A change of files that were staged under its name before, by [`stage`] or by a
    /// [`Store`](crate::Store) that stages. It may be committed again after a failure.
    pub fn of(files: &'files Files, name: impl Into<String>, added: Vec<String>) -> Self {
        Self {
            files,
            name: name.into(),
            added,
        }
    }

    /// The path of a staged file until the change is carried out.
    pub fn staged(&self, path: &str) -> String {
        layout::staged(&self.name, path)
    }

    /// Stages a copy of a file of this machine, which gets `path`.
    ///
    /// # Errors
    /// [`StoreError::Read`] if the file cannot be read; [`StoreError::Write`] if the copy cannot be
    /// written to a folder, or sent to a bucket.
    pub fn add(&mut self, path: &str, from: &Path) -> Result<(), StoreError> {
        self.files.put_over(&self.staged(path), from)?;
        self.added.push(path.to_owned());
        Ok(())
    }

    /// Records the change and carries it out: every staged file gets its path, and the files
    /// `removed` are removed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if another change of this name was recorded and not carried out;
    /// [`StoreError::Write`] in a folder and [`StoreError::Remote`] in a bucket if a step fails. If
    /// the record was written, the next [`finish`] carries the change out.
    pub fn commit(self, mut removed: Vec<String>) -> Result<(), StoreError> {
        removed.retain(|path| !self.added.contains(path));
        let record = ChangeRecord {
            version: VERSION,
            added: self.added,
            removed,
        };
        let path = layout::change_record(&self.name);
        let text = serde_json::to_vec_pretty(&record).map_err(|error| StoreError::Record {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        self.files.put(&path, &text)?;
        carry_out(self.files, &self.name, &record)
    }
}

/// Carries out the changes that are recorded, and removes staged files that are a day old: their
/// changes were never recorded. Returns how many changes were carried out.
///
/// # Errors
/// [`StoreError::Record`] if a record is not valid; [`StoreError::Read`] and [`StoreError::Write`] in
/// a folder and [`StoreError::Remote`] in a bucket if a step fails.
pub fn finish(files: &Files, now: SystemTime) -> Result<usize, StoreError> {
    let records = files.list(CHANGES)?;
    for entry in &records {
        // Another program may have carried it out meanwhile.
        let Some(text) = files.read(&entry.path)? else {
            continue;
        };
        let wrong = |reason: String| StoreError::Record {
            path: format!("{}/{}", files.location(), entry.path),
            reason,
        };
        let record: ChangeRecord = serde_json::from_slice(&text).map_err(|error| {
            wrong(format!(
                "{error}; restore the record, or remove it if the store was copied"
            ))
        })?;
        if record.version != VERSION {
            let version = record.version;
            return Err(wrong(format!(
                "it has version {version} where {VERSION} is known; use the version of noctule that wrote it"
            )));
        }
        carry_out(files, layout::change_of_record(&entry.path), &record)?;
    }
    for entry in files.list(STAGING)? {
        if now.duration_since(entry.modified).unwrap_or_default() >= ABANDONED {
            files.remove(&entry.path)?;
        }
    }
    Ok(records.len())
}

/// The files that are staged for a change: the paths that they will have, sorted.
///
/// # Errors
/// [`StoreError::Read`] if a folder cannot be listed, [`StoreError::Remote`] if a bucket cannot.
pub fn staged(files: &Files, change: &str) -> Result<Vec<String>, StoreError> {
    let folder = staging(change);
    let entries = files.list(&folder)?;
    Ok((entries.iter())
        .filter_map(|entry| entry.path.strip_prefix(&folder)?.strip_prefix('/'))
        .map(str::to_owned)
        .collect())
}

/// Removes the files that are staged for a change. Changes that are recorded are carried out before,
/// also the one of this name.
///
/// # Errors
/// As [`finish`].
pub fn abandon(files: &Files, change: &str) -> Result<(), StoreError> {
    finish(files, SystemTime::now())?;
    for entry in files.list(&staging(change))? {
        files.remove(&entry.path)?;
    }
    Ok(())
}

fn carry_out(files: &Files, name: &str, record: &ChangeRecord) -> Result<(), StoreError> {
    for path in &record.added {
        files.rename(&layout::staged(name, path), path)?;
    }
    for path in &record.removed {
        files.remove(path)?;
    }
    files.remove(&layout::change_record(name))
}

/// Stages a file for a change by [`Files::put`].
///
/// # Errors
/// As [`Files::put`].
pub fn stage(files: &Files, change: &str, path: &str, bytes: &[u8]) -> Result<Put, StoreError> {
    files.put(&layout::staged(change, path), bytes)
}

/// Publishes the daily tables of one sensor's day as one change: `made` are files of this machine,
/// one for each table. Files of the same day that the store has under other names are removed.
///
/// # Errors
/// As [`Files::list`], [`Change::add`] and [`Change::commit`].
pub fn publish_day(
    files: &Files,
    day: &DailyFiles,
    made: &[(DailyTable, &Path)],
) -> Result<(), StoreError> {
    let mut removed = Vec::new();
    for table in DailyTable::ALL {
        let entries = files.list(&day.folder(table))?;
        removed.extend(entries.into_iter().map(|entry| entry.path));
    }
    let mut change = Change::begin(files, day.change());
    for &(table, from) in made {
        change.add(&day.path(table), from)?;
    }
    change.commit(removed)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Location;

    struct Fixture {
        folder: tempfile::TempDir,
        files: Files,
    }

    impl Fixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let files = Files::open(&Location::Folder(folder.path().join("store"))).unwrap();
            files.put("t/a.parquet", b"old a").unwrap();
            files.put("t/b.parquet", b"old b").unwrap();
            Self { folder, files }
        }

        fn source(&self, content: &str) -> std::path::PathBuf {
            let path = self.folder.path().join("source");
            fs::write(&path, content).unwrap();
            path
        }

        fn state(&self) -> Vec<(String, String)> {
            let entries = self.files.list("").unwrap();
            let read = |path: &str| self.files.read(path).unwrap().unwrap();
            (entries.into_iter())
                .map(|e| (String::from_utf8(read(&e.path)).unwrap(), e.path))
                .map(|(content, path)| (path, content))
                .collect()
        }
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter()
            .map(|&(p, c)| (p.to_owned(), c.to_owned()))
            .collect()
    }

    #[test]
    fn a_change_comes_as_a_whole_and_leaves_nothing_behind() {
        let it = Fixture::new();
        let mut change = Change::begin(&it.files, "c-1");
        change.add("t/c.parquet", &it.source("new c")).unwrap();
        change.add("t/b.parquet", &it.source("new b")).unwrap();
        let before = ["t/a.parquet", "t/b.parquet"];
        change.commit(before.map(str::to_owned).to_vec()).unwrap();
        let expected = [("t/b.parquet", "new b"), ("t/c.parquet", "new c")];
        assert_eq!(it.state(), pairs(&expected));
        assert!(!it.folder.path().join("store/_staging").exists());
    }

    #[test]
    fn what_was_staged_and_not_committed_never_happened() {
        let it = Fixture::new();
        let before = it.files.list("t").unwrap();
        let mut change = Change::begin(&it.files, "c-1");
        change.add("t/c.parquet", &it.source("new c")).unwrap();
        drop(change);
        assert_eq!(finish(&it.files, SystemTime::now()).unwrap(), 0);
        assert_eq!(it.files.list("t").unwrap(), before);
        assert_eq!(it.files.list("_staging").unwrap().len(), 1);
        // A day later it is removed.
        let later = SystemTime::now() + ABANDONED + Duration::from_secs(60);
        finish(&it.files, later).unwrap();
        assert_eq!(it.files.list("_staging").unwrap(), []);
    }

    #[test]
    fn a_change_of_staged_files_may_be_committed_again() {
        let it = Fixture::new();
        for (path, content) in [("t/c.parquet", "new c"), ("t/d.parquet", "new d")] {
            stage(&it.files, "c-1", path, content.as_bytes()).unwrap();
        }
        let come = staged(&it.files, "c-1").unwrap();
        assert_eq!(come, ["t/c.parquet", "t/d.parquet"]);
        let go = vec!["t/a.parquet".to_owned(), "t/b.parquet".to_owned()];
        for _ in 0..2 {
            let change = Change::of(&it.files, "c-1", come.clone());
            change.commit(go.clone()).unwrap();
            let expected = [("t/c.parquet", "new c"), ("t/d.parquet", "new d")];
            assert_eq!(it.state(), pairs(&expected));
        }
    }

    #[test]
    fn what_is_abandoned_is_gone_and_nothing_else() {
        let it = Fixture::new();
        for change in ["c-1", "c-10"] {
            stage(&it.files, change, "t/c.parquet", b"new c").unwrap();
        }
        abandon(&it.files, "c-1").unwrap();
        assert_eq!(staged(&it.files, "c-1").unwrap(), [""; 0]);
        assert_eq!(staged(&it.files, "c-10").unwrap(), ["t/c.parquet"]);
        assert_eq!(it.files.list("t").unwrap().len(), 2);
    }

    #[test]
    fn a_day_is_published_in_place_of_the_same_day() {
        let it = Fixture::new();
        let day = |sensor: &str, name: &str| DailyFiles {
            zone: "Asia/Tokyo".to_owned(),
            date: jiff::civil::date(2016, 9, 20),
            sensor: sensor.to_owned(),
            name: name.to_owned(),
        };
        let daily = || {
            let mut state = it.state();
            state.retain(|(path, _)| path.contains("_daily/"));
            state
        };
        for (sensor, name) in [("s", "1-1"), ("s-2", "1-1"), ("s", "2-1"), ("s", "2-1")] {
            let source = it.source(name);
            let made = DailyTable::ALL.map(|table| (table, source.as_path()));
            publish_day(&it.files, &day(sensor, name), &made).unwrap();
        }
        let mut expected = Vec::new();
        for table in DailyTable::ALL {
            for (sensor, name) in [("s", "2-1"), ("s-2", "1-1")] {
                expected.push((day(sensor, name).path(table), name.to_owned()));
            }
        }
        expected.sort();
        assert_eq!(daily(), expected);
        assert_eq!(it.files.list(STAGING).unwrap(), []);
    }

    #[test]
    fn a_recorded_change_is_carried_out_wherever_its_maker_died() {
        // Steps that are done before the maker dies, of all: two renames, two removals.
        for done in 0..=4 {
            let it = Fixture::new();
            let mut change = Change::begin(&it.files, "c-1");
            change.add("t/c.parquet", &it.source("new c")).unwrap();
            change.add("t/d.parquet", &it.source("new d")).unwrap();
            let record = ChangeRecord {
                version: VERSION,
                added: change.added.clone(),
                removed: vec!["t/a.parquet".into(), "t/b.parquet".into()],
            };
            let text = serde_json::to_vec(&record).unwrap();
            it.files.put("_changes/c-1.json", &text).unwrap();
            for (step, path) in record
                .added
                .iter()
                .chain(&record.removed)
                .enumerate()
                .take(done)
            {
                if step < 2 {
                    it.files.rename(&change.staged(path), path).unwrap();
                } else {
                    it.files.remove(path).unwrap();
                }
            }
            assert_eq!(finish(&it.files, SystemTime::now()).unwrap(), 1);
            let expected = [("t/c.parquet", "new c"), ("t/d.parquet", "new d")];
            assert_eq!(it.state(), pairs(&expected), "died after step {done}");
            assert_eq!(finish(&it.files, SystemTime::now()).unwrap(), 0);
        }
    }

    #[test]
    fn a_record_that_makes_no_sense_is_named() {
        let it = Fixture::new();
        it.files
            .put("_changes/x.json", b"{\"version\":7,\"come\":[],\"go\":[]}")
            .unwrap();
        let error = finish(&it.files, SystemTime::now())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("_changes/x.json") && error.contains("version 7"),
            "{error}"
        );
    }
}
