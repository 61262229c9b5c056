//! `noctule run` at the dark end of a [`Wire`].

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::program::{Ended, Running, binary};
use crate::store::{Account, LedgerRow, account, ledger};
use crate::wire::{DARK_END, Wire};

/// Longest time until a collector has started, stopped, or written what it has counted.
const LIMIT: Duration = Duration::from_secs(30);

/// A collector that runs, with a store of its own.
#[derive(Debug)]
pub struct Collector {
    running: Running,
    folder: TempDir,
}

impl Collector {
    /// Starts one in native copy mode and waits until every queue is served.
    ///
    /// # Panics
    /// It does not start.
    pub fn start<A: AsRef<OsStr>>(
        wire: &Wire,
        queues: usize,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self::start_with(wire, queues, "store".as_ref(), arguments, |_| {})
    }

    /// As [`Collector::start`], with a store of this name (below a folder of its own, unless it is a
    /// place elsewhere), and with more said to the program.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_with<A: AsRef<OsStr>>(
        wire: &Wire,
        queues: usize,
        store: &Path,
        arguments: impl IntoIterator<Item = A>,
        say: impl FnOnce(&mut Command),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let elsewhere = store.to_string_lossy().contains("://");
        let store = if elsewhere {
            store.to_owned()
        } else {
            folder.path().join(store)
        };
        let mut command = wire.at_sensor(&binary().display().to_string());
        command
            .args(["run", "--interface", DARK_END, "--mode", "copy"])
            .args(["--summary", "json", "--store"])
            .arg(store)
            .args(arguments);
        say(&mut command);
        Self::run(&mut command, folder, queues)
    }

    /// Starts one whose arguments name everything but form of the summary and store, and waits until
    /// `queues` queues are served, of all its interfaces together.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_on<A: AsRef<OsStr>>(
        wire: &Wire,
        queues: usize,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = wire.at_sensor(&binary().display().to_string());
        command
            .args(["run", "--summary", "json", "--store"])
            .arg(folder.path().join("store"))
            .args(arguments);
        Self::run(&mut command, folder, queues)
    }

    fn run(command: &mut Command, folder: TempDir, queues: usize) -> Self {
        let mut collector = Self {
            running: Running::start(command),
            folder,
        };
        crate::wait_until("the collector serves its queues", LIMIT, || {
            let said = collector.running.stderr();
            assert!(collector.running.is_running(), "it has ended:\n{said}");
            let served = |line: &&str| line.starts_with("noctule: ") && line.contains(" queue ");
            said.lines().filter(served).count() == queues
        });
        collector
    }

    /// Does it still run?
    ///
    /// # Panics
    /// The system does not say.
    pub fn is_running(&mut self) -> bool {
        self.running.is_running()
    }

    /// Its store.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// The ledger as far as it is written.
    pub fn ledger(&self) -> Vec<LedgerRow> {
        ledger(&self.store())
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.running.stderr()
    }

    /// Waits until the ledger accounts for this many dark packets.
    ///
    /// # Panics
    /// It does not in time, or the collector ends.
    pub fn wait_for(&mut self, dark_packets: u64) {
        let what = format!("{dark_packets} packets are in the ledger");
        crate::wait_until(&what, LIMIT, || {
            let Account { counted, lost, .. } = account(&self.ledger());
            assert!(self.running.is_running(), "it has ended: {}", self.stderr());
            counted + lost >= dark_packets as i64
        });
    }

    /// Sends it a signal by its name.
    ///
    /// # Panics
    /// It cannot be sent.
    pub fn signal(&self, signal: &str) {
        self.running.signal(signal);
    }

    /// Stops it for a while, like a machine that is too slow.
    ///
    /// # Panics
    /// It cannot be stopped.
    pub fn freeze(&self, time: Duration) {
        self.running.signal("STOP");
        std::thread::sleep(time);
        self.running.signal("CONT");
    }

    /// Sends SIGTERM, waits for the end, and hands out the store with the outcome.
    ///
    /// # Panics
    /// It does not end in time.
    pub fn stop(self) -> (Ended, Store) {
        self.running.signal("TERM");
        self.end()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not come in time.
    pub fn end(self) -> (Ended, Store) {
        let ended = self.running.wait(LIMIT);
        (ended, Store(self.folder))
    }
}

/// A store that outlives its collector.
#[derive(Debug)]
pub struct Store(TempDir);

impl Store {
    /// The folder.
    pub fn path(&self) -> PathBuf {
        Path::join(self.0.path(), "store")
    }

    /// The ledger.
    pub fn ledger(&self) -> Vec<LedgerRow> {
        ledger(&self.path())
    }
}
