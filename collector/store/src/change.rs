//! Changes of several files as one step.
//!
//! New files are first **staged** under `_staging/<change>/`, at the paths that they will have.
//! Then one record, `_changes/<change>.json`, says which files come and which go: from the moment
//! it is there the change has happened, whatever becomes of its maker. Carrying it out moves the
//! staged files to their places, removes the others and last of all the record; doing any of that
//! twice is harmless, and [`finish`] does it for a maker that died.
//!
//! So a store is always in its old or its new state. Files under `_staging` and `_changes` belong
//! to no table: engines that read the tables' folders never see them.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::files::Files;
use crate::{Put, StoreError};

/// Where files wait for their change.
const STAGING: &str = "_staging";
/// Where records of changes stand.
const RECORDS: &str = "_changes";
/// Version of the records.
const VERSION: u32 = 1;
/// Staged files of this age belong to nobody that is still at work.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    /// Paths that staged files get.
    come: Vec<String>,
    /// Paths that go.
    go: Vec<String>,
}

/// A change that is being prepared; dropped before [`Change::commit`], it has not happened.
pub struct Change<'files> {
    files: &'files Files,
    name: String,
    come: Vec<String>,
}

impl<'files> Change<'files> {
    /// Begins a change. Its name says what it does: beginning the same one again, after a crash,
    /// overwrites what the first had staged. Letters, digits, hyphens and underscores.
    pub fn begin(files: &'files Files, name: impl Into<String>) -> Self {
        Self {
            files,
            name: name.into(),
            come: Vec::new(),
        }
    }

    /// A change of files that were staged under its name before, by [`stage`] or by a
    /// [`Store`](crate::Store) that stages. Committing it again after a failure is no fault.
    pub fn of(files: &'files Files, name: impl Into<String>, come: Vec<String>) -> Self {
        Self {
            files,
            name: name.into(),
            come,
        }
    }

    /// Where a file stands until the change happens.
    pub fn staged(&self, path: &str) -> String {
        format!("{STAGING}/{}/{path}", self.name)
    }

    /// Adds a copy of a file of this machine, to stand at `path`.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Write`] and [`StoreError::Remote`].
    pub fn add(&mut self, path: &str, from: &Path) -> Result<(), StoreError> {
        self.files.put_over(&self.staged(path), from)?;
        self.come.push(path.to_owned());
        Ok(())
    }

    /// Makes it happen, together with the removal of `go`. Afterwards every file is in its place.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if another change of this name was recorded and not carried out;
    /// [`StoreError::Write`] and [`StoreError::Remote`]: if the record was written before, the
    /// change happens with the next [`finish`].
    pub fn commit(self, mut go: Vec<String>) -> Result<(), StoreError> {
        go.retain(|path| !self.come.contains(path));
        let record = Record {
            version: VERSION,
            come: self.come,
            go,
        };
        let path = format!("{RECORDS}/{}.json", self.name);
        let text = serde_json::to_vec_pretty(&record).map_err(|error| StoreError::Record {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        self.files.put(&path, &text)?;
        carry_out(self.files, &self.name, &record)
    }
}

/// Carries out changes that were recorded and whose makers died, and removes what was staged for
/// changes that never happened and is a day old. Returns how many changes were carried out.
///
/// # Errors
/// [`StoreError::Record`] for a record that cannot be understood, and as the store's files.
pub fn finish(files: &Files, now: SystemTime) -> Result<usize, StoreError> {
    let records = files.list(RECORDS)?;
    for entry in &records {
        // Another program may be carrying it out, too.
        let Some(text) = files.read(&entry.path)? else {
            continue;
        };
        let wrong = |reason: String| StoreError::Record {
            path: format!("{}/{}", files.location(), entry.path),
            reason,
        };
        let record: Record = serde_json::from_slice(&text).map_err(|error| {
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
        let name = entry.path.rsplit('/').next().unwrap_or_default();
        carry_out(files, name.trim_end_matches(".json"), &record)?;
    }
    for entry in files.list(STAGING)? {
        if now.duration_since(entry.modified).unwrap_or_default() >= ABANDONED {
            files.remove(&entry.path)?;
        }
    }
    Ok(records.len())
}

/// The folder of a store in which the files of a change wait.
pub fn staging(change: &str) -> String {
    format!("{STAGING}/{change}")
}

/// What waits for a change: the paths that the files will have, in their order.
///
/// # Errors
/// [`StoreError::Read`] and [`StoreError::Remote`].
pub fn staged(files: &Files, change: &str) -> Result<Vec<String>, StoreError> {
    let folder = staging(change);
    let entries = files.list(&folder)?;
    Ok((entries.iter())
        .filter_map(|entry| entry.path.strip_prefix(&folder)?.strip_prefix('/'))
        .map(str::to_owned)
        .collect())
}

/// Removes what waits for a change that shall not happen; one that was recorded happens first.
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

fn carry_out(files: &Files, name: &str, record: &Record) -> Result<(), StoreError> {
    for path in &record.come {
        files.rename(&format!("{STAGING}/{name}/{path}"), path)?;
    }
    for path in &record.go {
        files.remove(path)?;
    }
    files.remove(&format!("{RECORDS}/{name}.json"))
}

/// Puts a file through [`Files::put`] into the staging folder of a change, where only its maker
/// writes.
///
/// # Errors
/// As [`Files::put`].
pub fn stage(files: &Files, change: &str, path: &str, bytes: &[u8]) -> Result<Put, StoreError> {
    files.put(&format!("{STAGING}/{change}/{path}"), bytes)
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
        // A day later nobody will come for it.
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
    fn a_recorded_change_is_carried_out_wherever_its_maker_died() {
        // Steps that are done before the maker dies, of all: two renames, two removals.
        for done in 0..=4 {
            let it = Fixture::new();
            let mut change = Change::begin(&it.files, "c-1");
            change.add("t/c.parquet", &it.source("new c")).unwrap();
            change.add("t/d.parquet", &it.source("new d")).unwrap();
            let record = Record {
                version: VERSION,
                come: change.come.clone(),
                go: vec!["t/a.parquet".into(), "t/b.parquet".into()],
            };
            let text = serde_json::to_vec(&record).unwrap();
            it.files.put("_changes/c-1.json", &text).unwrap();
            for (step, path) in record.come.iter().chain(&record.go).enumerate().take(done) {
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
