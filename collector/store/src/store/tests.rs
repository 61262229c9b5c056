//! The promises of the writer: whole or not at all, never changed, nothing left behind.

use std::fs::File;
use std::process;
use std::time::Duration;

use super::*;
use crate::read::table_files;

const MINUTE: Duration = Duration::from_secs(60);

fn files(run: &str) -> IntervalFiles {
    IntervalFiles {
        interval_start_us: 1_474_372_800_000_000,
        run: run.to_owned(),
    }
}

/// Every file under a folder, dotted ones too.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_file_appears_under_its_name_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("a/b"), "sensor-1").unwrap();
    let put = store.put(Table::Flows, &files("1474372799000000"), b"rows");
    assert_eq!(put.unwrap(), Put::Written);
    let expected = folder.path().join(
        "a/b/flows/date=2016-09-20/sensor=sensor-1/20160920T120000Z-1474372799000000.parquet",
    );
    assert_eq!(fs::read(&expected).unwrap(), b"rows");
    assert_eq!(everything(folder.path()), [expected]);
}

#[test]
fn sending_twice_changes_nothing_and_other_content_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), "s").unwrap();
    let put = |bytes: &[u8]| store.put(Table::Ports, &files("r"), bytes);
    assert_eq!(put(b"one").unwrap(), Put::Written);
    assert_eq!(put(b"one").unwrap(), Put::AlreadyThere);
    for other in [&b"two"[..], b"on", b""] {
        let error = put(other).unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
        assert!(
            error.to_string().contains("20160920T120000Z-r.parquet"),
            "{error}"
        );
    }
    assert_eq!(put(b"one").unwrap(), Put::AlreadyThere);
    assert_eq!(everything(folder.path()).len(), 1);
}

#[test]
fn of_many_that_send_at_once_exactly_one_writes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), "s").unwrap();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8u8)
            .map(|n| {
                let store = &store;
                scope.spawn(move || store.put(Table::Flows, &files("r"), &[n % 2; 100_000]))
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let count = |wanted: fn(&Result<Put, StoreError>) -> bool| {
        outcomes.iter().filter(|outcome| wanted(outcome)).count()
    };
    assert_eq!(count(|o| matches!(o, Ok(Put::Written))), 1);
    assert_eq!(count(|o| matches!(o, Ok(Put::AlreadyThere))), 3);
    assert_eq!(count(|o| matches!(o, Err(StoreError::Conflict { .. }))), 4);
    assert_eq!(everything(folder.path()).len(), 1);
}

#[test]
fn leftovers_of_a_crash_do_not_disturb() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), "s").unwrap();
    let path = store.path(Table::Flows, &files("r")).unwrap();
    let name = path.file_name().unwrap().to_string_lossy();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let leftovers: Vec<_> = (0..300)
        .map(|n| path.with_file_name(format!(".{name}.{}-{n}.tmp", process::id())))
        .collect();
    for leftover in &leftovers {
        fs::write(leftover, b"half a fi").unwrap();
    }
    assert!(table_files(folder.path(), Table::Flows).unwrap().is_empty());
    let put = store.put(Table::Flows, &files("r"), b"rows").unwrap();
    assert_eq!(put, Put::Written);
    assert_eq!(table_files(folder.path(), Table::Flows).unwrap(), [path]);
    assert!(leftovers.iter().all(|leftover| leftover.exists()));
}

#[test]
fn a_folder_that_takes_no_files_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("occupied");
    fs::write(&occupied, b"").unwrap();
    // Neither a file nor the kernel's own file systems take folders, not even from root.
    for place in [
        occupied.clone(),
        occupied.join("below"),
        "/proc/noctule".into(),
    ] {
        let error = Store::open(&place, "s").unwrap_err();
        assert!(matches!(error, StoreError::Folder { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(place.to_str().unwrap()) && text.contains("choose"),
            "{text}"
        );
    }
}

#[test]
fn a_failed_write_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), "s").unwrap();
    fs::write(folder.path().join("flows"), b"").unwrap();
    let error = store.put(Table::Flows, &files("r"), b"rows").unwrap_err();
    assert!(matches!(error, StoreError::Write { .. }), "{error}");

    // A folder sits where the file should be: nothing can be linked there.
    let taken = store.path(Table::Ports, &files("r")).unwrap();
    fs::create_dir_all(&taken).unwrap();
    let error = store.put(Table::Ports, &files("r"), b"rows").unwrap_err();
    assert!(matches!(error, StoreError::Write { .. }), "{error}");
    assert_eq!(everything(folder.path()), [folder.path().join("flows")]);
}

#[test]
fn names_that_could_leave_the_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for sensor in [
        "", "1a", "-a", "A", "a/b", "a.b", "a_b", "a\u{e9}", "..", "a=",
    ] {
        let error = Store::open(folder.path(), sensor).unwrap_err();
        assert!(
            matches!(error, StoreError::SensorName(_)),
            "{sensor}: {error}"
        );
    }
    let store = Store::open(folder.path(), "a1-").unwrap();
    for run in ["", "..", "a/b", "a.b", "a b"] {
        let error = store.path(Table::Flows, &files(run)).unwrap_err();
        assert!(matches!(error, StoreError::RunName(_)), "{run}: {error}");
    }
}

/// Writes a file that was last written at a time; says where.
fn file(folder: &Path, name: &str, modified: SystemTime) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    let file = File::create(&path).unwrap();
    file.set_modified(modified).unwrap();
    path
}

#[test]
fn this_sensors_old_temporaries_go_where_a_run_writes_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let [store, other] = ["s", "s-2"].map(|name| Store::open(root.path(), name).unwrap());
    let now = SystemTime::now();
    let (old, young) = (now - 61 * MINUTE, now - 50 * MINUTE);
    let temporary = ".20160920T120000Z-r.parquet.77-3.tmp";
    let folder = |store: &Store, table| {
        store
            .tables
            .join(layout::interval_folder(table, "2016-09-20", &store.sensor))
    };

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
            &(store.tables).join(layout::interval_folder(Table::Flows, "2016-09-19", "s")),
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
    put_all(&store);
    put_all(&store.staging("c-1"));
    for path in &gone {
        assert!(!path.exists(), "{} was swept", path.display());
    }
    for path in kept.iter().chain([&link]) {
        assert!(path.exists(), "{} is there", path.display());
    }
    // A folder is looked into once.
    let late = file(&day, temporary, old);
    put_all(&store);
    assert!(late.exists());
}

fn put_all(store: &Store) {
    let files = files("new");
    for table in Table::ALL {
        store.put(table, &files, b"rows").unwrap();
    }
}
