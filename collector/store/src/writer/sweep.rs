//! Removes what crashed runs left half-written.
//!
//! A temporary file lives for moments, so that one of an hour belongs to nobody. Only the folders
//! that a live sensor wrote to lately are looked into: opening a store takes the same time
//! however many days it holds.

use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Store, probe_name};
use crate::{Table, time};

const LEAST_AGE: Duration = Duration::from_secs(3600);
const DAY_SECONDS: u64 = 86_400;

/// Removes this sensor's temporaries of an hour and more from the store's root and from the
/// folders of `now`'s UTC date and the one before. What cannot be removed is logged and left:
/// nobody reads it.
pub(super) fn sweep(store: &Store, now: SystemTime) {
    let probe = probe_name(&store.sensor);
    sweep_folder(&store.folder, now, |name| name == probe);
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    for day in [seconds.saturating_sub(DAY_SECONDS), seconds] {
        // A clock that no date can be given to is refused by the first flush.
        let start_us = i64::try_from(day).map_or(i64::MAX, |day| day.saturating_mul(1_000_000));
        let Ok(date) = time::date(start_us) else {
            continue;
        };
        for table in Table::ALL {
            let folder = store.sensor_folder(table, &date);
            sweep_folder(&folder, now, |name| name.ends_with(".parquet"));
        }
    }
}

fn sweep_folder(folder: &Path, now: SystemTime, ours: impl Fn(&str) -> bool) {
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
    use super::super::Temporary;
    use super::*;
    use std::fs::File;
    use std::path::PathBuf;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Writes a file that was last written at a time; says where.
    fn file(folder: &Path, name: &str, modified: SystemTime) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let path = folder.join(name);
        let file = File::create(&path).unwrap();
        file.set_modified(modified).unwrap();
        path
    }

    fn date(now: SystemTime, days_ago: u64) -> String {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap().as_secs() - days_ago * DAY_SECONDS;
        time::date(seconds as i64 * 1_000_000).unwrap()
    }

    #[test]
    fn opening_removes_this_sensors_old_temporaries_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), "s").unwrap();
        let other = Store::open(root.path(), "s-2").unwrap();
        let now = SystemTime::now();
        let old = now - 61 * MINUTE;
        let young = now - 50 * MINUTE;
        let temporary = ".20160920T120000Z-r.parquet.77-3.tmp";
        let folder =
            |store: &Store, table, days_ago| store.sensor_folder(table, &date(now, days_ago));

        let mut gone = Vec::new();
        for table in Table::ALL {
            gone.extend([0, 1].map(|days| file(&folder(&store, table, days), temporary, old)));
        }
        gone.push(file(root.path(), ".probe-s.1-0.tmp", old));
        gone.push(file(root.path(), ".probe-s.1-0.link", old));

        let today = folder(&store, Table::Flows, 0);
        let kept = [
            file(&today, ".20160920T120000Z-r.parquet.77-4.tmp", young),
            file(
                &today,
                ".20160920T120000Z-r.parquet.77-5.tmp",
                now + 120 * MINUTE,
            ),
            file(&today, "20160920T120000Z-r.parquet", old),
            file(&today, ".notes.77-3.tmp", old),
            file(&today, ".20160920T120000Z-r.parquet.77.tmp", old),
            file(&today, ".20160920T120000Z-r.parquet.swp", old),
            file(&today.join("below"), temporary, old),
            file(&folder(&store, Table::Flows, 3), temporary, old),
            file(&folder(&other, Table::Flows, 0), temporary, old),
            file(root.path(), ".probe-s-2.1-0.tmp", old),
            file(root.path(), temporary, old),
        ];
        let link = today.join(".link.parquet.77-6.tmp");
        std::os::unix::fs::symlink(&kept[2], &link).unwrap();

        Store::open(root.path(), "s").unwrap();
        for path in &gone {
            assert!(!path.exists(), "{} was swept", path.display());
        }
        for path in kept.iter().chain([&link]) {
            assert!(path.exists(), "{} is there", path.display());
        }
    }

    #[test]
    fn a_file_outlives_its_second_name() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), "s").unwrap();
        let now = SystemTime::now();
        let folder = store.sensor_folder(Table::Ports, &date(now, 0));
        let first = file(&folder, ".a.parquet.1-1.tmp", now - 2 * LEAST_AGE);
        let second = folder.join("a.parquet");
        fs::hard_link(&first, &second).unwrap();
        sweep(&store, now);
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

    #[test]
    fn no_clock_stops_it() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), "s").unwrap();
        let century = Duration::from_secs(100 * 366 * DAY_SECONDS);
        for now in [UNIX_EPOCH, UNIX_EPOCH - century, UNIX_EPOCH + century * 100] {
            sweep(&store, now);
        }
    }
}
