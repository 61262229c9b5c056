//! Removes what crashed runs left half-written.
//!
//! A temporary file lives for moments, so that one of an hour belongs to nobody. Only the root and
//! the folders that a run writes to are looked into, each once: opening a store takes the same time
//! however many days it holds.

use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{Store, probe_name};

const LEAST_AGE: Duration = Duration::from_secs(3600);

/// Removes this sensor's temporaries of an hour and more from the store's root. What cannot be
/// removed is logged and left: nobody reads it.
pub(super) fn sweep_root(store: &Store, now: SystemTime) {
    let probe = probe_name(&store.sensor);
    sweep_folder(&store.folder, now, |name| name == probe);
}

/// The same for a folder of a sensor's files of one day.
pub(super) fn sweep_tables(folder: &Path, now: SystemTime) {
    sweep_folder(folder, now, |name| name.ends_with(".parquet"));
}

/// Removes temporaries of an hour and more that were made for files with `ours` names from a folder.
pub(super) fn sweep_folder(folder: &Path, now: SystemTime, ours: impl Fn(&str) -> bool) {
    let warn = |path: &Path, error: &io::Error| {
        if error.kind() != ErrorKind::NotFound {
            let path = path.display();
            log::warn!("cannot clear {path} of what a crashed run left: {error}; do it by hand");
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
    // A time yet to come has no age.
    let age = now.duration_since(metadata.modified()?).unwrap_or_default();
    let old = metadata.is_file() && age >= LEAST_AGE;
    if old {
        fs::remove_file(entry.path())?;
    }
    Ok(old)
}

/// The name that a temporary file was made for: `<name>` of `.<name>.<process>-<number>.tmp`, or
/// `.link`, which a probe is linked to; none for other files.
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
    use super::super::{IntervalFiles, Temporary};
    use super::*;
    use crate::Table;
    use std::fs::File;
    use std::path::PathBuf;

    const MINUTE: Duration = Duration::from_secs(60);
    /// 2016-09-20, 12:00.
    const START_US: i64 = 1_474_372_800_000_000;

    /// Writes a file that was last written at a time; says where.
    fn file(folder: &Path, name: &str, modified: SystemTime) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let path = folder.join(name);
        let file = File::create(&path).unwrap();
        file.set_modified(modified).unwrap();
        path
    }

    fn put(store: &Store) {
        let files = IntervalFiles {
            interval_start_us: START_US,
            run: "new".into(),
        };
        for table in Table::ALL {
            store.put(table, &files, b"rows").unwrap();
        }
    }

    #[test]
    fn this_sensors_old_temporaries_go_where_a_run_writes_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let [store, other] = ["s", "s-2"].map(|name| Store::open(root.path(), name).unwrap());
        let now = SystemTime::now();
        let (old, young) = (now - 61 * MINUTE, now - 50 * MINUTE);
        let temporary = ".20160920T120000Z-r.parquet.77-3.tmp";
        let folder = |store: &Store, table| store.sensor_folder(table, "2016-09-20");

        let mut gone = Table::ALL
            .map(|table| file(&folder(&store, table), temporary, old))
            .to_vec();
        gone.push(file(root.path(), ".probe-s.1-0.tmp", old));
        gone.push(file(root.path(), ".probe-s.1-0.link", old));
        let staging = store.staging("c-1");
        gone.push(file(&folder(&staging, Table::Ports), temporary, old));

        let day = folder(&store, Table::Flows);
        let kept = [
            file(&day, ".20160920T120000Z-r.parquet.77-4.tmp", young),
            file(
                &day,
                ".20160920T120000Z-r.parquet.77-5.tmp",
                now + 120 * MINUTE,
            ),
            file(&day, "20160920T120000Z-r.parquet", old),
            file(&day, ".notes.77-3.tmp", old),
            file(&day, ".20160920T120000Z-r.parquet.77.tmp", old),
            file(&day, ".20160920T120000Z-r.parquet.swp", old),
            file(&day.join("below"), temporary, old),
            file(
                &store.sensor_folder(Table::Flows, "2016-09-19"),
                temporary,
                old,
            ),
            file(&folder(&other, Table::Flows), temporary, old),
            file(root.path(), ".probe-s-2.1-0.tmp", old),
            file(root.path(), temporary, old),
        ];
        let link = day.join(".link.parquet.77-6.tmp");
        std::os::unix::fs::symlink(&kept[2], &link).unwrap();

        let store = Store::open(root.path(), "s").unwrap();
        put(&store);
        put(&store.staging("c-1"));
        for path in &gone {
            assert!(!path.exists(), "{} was swept", path.display());
        }
        for path in kept.iter().chain([&link]) {
            assert!(path.exists(), "{} is there", path.display());
        }
        // A folder is looked into once.
        let late = file(&day, temporary, old);
        put(&store);
        assert!(late.exists());
    }

    #[test]
    fn a_file_outlives_its_second_name() {
        let root = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let first = file(root.path(), ".a.parquet.1-1.tmp", now - 2 * LEAST_AGE);
        let second = root.path().join("a.parquet");
        fs::hard_link(&first, &second).unwrap();
        sweep_tables(root.path(), now);
        assert!(!first.exists() && second.exists());
    }

    #[test]
    fn names_are_those_that_the_writer_gives() {
        let root = tempfile::tempdir().unwrap();
        for made_for in ["20160920T120000Z-r.parquet", &probe_name("s-1")] {
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
