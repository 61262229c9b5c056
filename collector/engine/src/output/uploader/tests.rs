//! Which files are sent, which stay, and what is reported. The store is a folder here.

use std::fs;
use std::path::Path;

use noctule_store::{IntervalFiles, Location, Store, Table};

use super::*;

struct Fixture {
    folder: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("spool"), "s").unwrap();
        Self { folder, store }
    }

    fn far(&self) -> PathBuf {
        self.folder.path().join("far")
    }

    fn put(&self, minutes: std::ops::Range<i64>) {
        for minute in minutes {
            let files = IntervalFiles {
                interval_start_us: (1_474_372_800 + 60 * minute) * 1_000_000,
                run: "r".to_owned(),
            };
            for table in [Table::Ports, Table::Ledger] {
                self.store.put(table, &files, b"rows").unwrap();
            }
        }
    }

    fn start(&self) -> Uploader {
        let open = || Spool::open(self.store.folder(), "s", None).unwrap();
        let setup = UploaderSetup {
            spool: open(),
            store: Files::open(&Location::Folder(self.far())).unwrap(),
            monitor: None,
        };
        Uploader::start(setup, open()).unwrap()
    }

    fn there(&self) -> usize {
        count(&self.far())
    }
}

fn count(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| if path.is_dir() { count(&path) } else { 1 })
        .sum()
}

fn finish(uploader: &Uploader) -> Option<Undelivered> {
    uploader.finish(&AtomicBool::new(false)).unwrap()
}

#[test]
fn what_earlier_runs_left_and_what_comes_is_sent() {
    let it = Fixture::new();
    it.put(0..3);
    let uploader = it.start();
    let wake = uploader.waker();
    it.put(3..5);
    wake();
    assert!(finish(&uploader).is_none());
    assert_eq!(it.there(), 10);
    assert_eq!(count(it.store.folder()), 0);
}

#[test]
fn files_stay_while_the_store_does_not_answer() {
    let it = Fixture::new();
    fs::write(it.far(), "no folder").unwrap();
    it.put(0..2);
    let left = finish(&it.start()).unwrap();
    assert_eq!((left.files, &*left.folder), (4, it.store.folder()));
    assert!(left.cause.is_some());
    // The next run finds it there.
    fs::remove_file(it.far()).unwrap();
    assert!(finish(&it.start()).is_none());
    assert_eq!(it.there(), 4);
}

#[test]
fn a_store_that_comes_back_gets_everything() {
    let it = Fixture::new();
    fs::write(it.far(), "no folder").unwrap();
    let uploader = it.start();
    it.put(0..2);
    let failing = |state: &State| state.last_error.is_some();
    assert!(failing(
        &uploader.shared.wait(Duration::from_secs(20), failing)
    ));
    fs::remove_file(it.far()).unwrap();
    it.put(2..4);
    let all = |state: &State| state.sent == 8;
    assert!(all(&uploader.shared.wait(Duration::from_secs(20), all)));
    assert!(finish(&uploader).is_none());
    assert_eq!(it.there(), 8);
}

#[test]
fn an_interval_that_contradicts_stays_and_the_others_go() {
    let it = Fixture::new();
    it.put(0..3);
    let spool = Spool::open(it.store.folder(), "s", None).unwrap();
    let path = spool.waiting().unwrap()[2].path.clone();
    let far = Files::open(&Location::Folder(it.far())).unwrap();
    far.put(&path, b"something else").unwrap();
    let uploader = it.start();
    let left = finish(&uploader).unwrap();
    assert_eq!(left.files, 2, "its ledger stays, too");
    let error = uploader.contradictions().unwrap_err().to_string();
    assert!(error.contains(&path), "{error}");
    assert_eq!(it.there(), 5);
}
