//! Removes temporary files that crashed runs left.
//!
//! A temporary file lives for moments, so no running program has one that is an hour old. Only the
//! root and the folders that a run writes to are swept, each once: opening a store takes the same time
//! however many days it holds.

use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Temporary files of this age are removed.
const LEAST_AGE: Duration = Duration::from_secs(3600);

/// Removes old temporary files that were made for a probe file of this name. A file that cannot be
/// removed is logged and left: no reader looks at it.
pub(crate) fn sweep_probes(folder: &Path, probe: &str, now: SystemTime) {
    sweep_folder(folder, now, |name| name == probe);
}

/// Removes old temporary files that were made for Parquet files.
pub(crate) fn sweep_parquet(folder: &Path, now: SystemTime) {
    sweep_folder(folder, now, |name| name.ends_with(".parquet"));
}

/// Removes the old temporary files from a folder that were made for files whose names are `ours`.
pub(crate) fn sweep_folder(folder: &Path, now: SystemTime, ours: impl Fn(&str) -> bool) {
    let warn = |path: &Path, error: &io::Error| {
        if error.kind() != ErrorKind::NotFound {
            let path = path.display();
            log::warn!(
                "cannot remove {path}, which a crashed run left: {error}; remove it by hand"
            );
        }
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return warn(folder, &error),
    };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        if !name.to_str().and_then(original).is_some_and(&ours) {
            continue;
        }
        let path = entry.path();
        match remove_if_old(&entry, now) {
            Ok(true) => log::info!("removed {}, left by a crashed run", path.display()),
            Ok(false) => {}
            Err(error) => warn(&path, &error),
        }
    }
}

fn remove_if_old(entry: &DirEntry, now: SystemTime) -> io::Result<bool> {
    let metadata = entry.metadata()?;
    // A file from the future has age 0.
    let age = now.duration_since(metadata.modified()?).unwrap_or_default();
    let old = metadata.is_file() && age >= LEAST_AGE;
    if old {
        fs::remove_file(entry.path())?;
    }
    Ok(old)
}

/// The name that a temporary file was made for: `<name>` of `.<name>.<process>-<number>.tmp`, and of
/// `.link`, a probe's second name; none for other files.
fn original(name: &str) -> Option<&str> {
    let name = name.strip_prefix('.')?;
    let name = (name.strip_suffix(".tmp")).or_else(|| name.strip_suffix(".link"))?;
    let (original, numbers) = name.rsplit_once('.')?;
    let (process, number) = numbers.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    (digits(process) && digits(number)).then_some(original)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::atomic::Temporary;
    use std::fs::File;
    use std::path::PathBuf;

    /// Writes a file that was last written at a time; says where.
    fn file(folder: &Path, name: &str, modified: SystemTime) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let path = folder.join(name);
        let file = File::create(&path).unwrap();
        file.set_modified(modified).unwrap();
        path
    }

    #[test]
    fn a_file_outlives_its_second_name() {
        let root = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let first = file(root.path(), ".a.parquet.1-1.tmp", now - 2 * LEAST_AGE);
        let second = root.path().join("a.parquet");
        fs::hard_link(&first, &second).unwrap();
        sweep_parquet(root.path(), now);
        assert!(!first.exists() && second.exists());
    }

    #[test]
    fn names_are_those_that_the_writer_gives() {
        let root = tempfile::tempdir().unwrap();
        for made_for in ["20160920T120000Z-r.parquet", "probe-s-1"] {
            let temporary = Temporary::create(root.path(), made_for).unwrap();
            let name = temporary.path.file_name().unwrap().to_str().unwrap();
            assert_eq!(original(name), Some(made_for));
        }
        for name in [
            "",
            ".",
            ".tmp",
            "..1-1.tmp",
            ".a.tmp",
            ".a.1-.tmp",
            "a.1-1.tmp",
        ] {
            assert!(original(name).is_none_or(str::is_empty), "{name}");
        }
    }
}
