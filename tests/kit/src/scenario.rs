//! Scenarios that `noctule synth --scenario` writes, and their replay.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Ended, Running, noctule};

/// A scenario's captures with what is true of them, in a folder that goes with it.
#[derive(Debug)]
pub struct Scenario {
    folder: TempDir,
    /// What was planned.
    pub truth: Value,
    limit: Duration,
}

impl Scenario {
    /// Writes a scenario with its numbers divided; no run of it may take longer than `limit`.
    ///
    /// # Panics
    /// It cannot be written, or it does not say that it was made up.
    pub fn synthesise(name: &str, divisor: u32, limit: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = noctule(["synth", "--scenario", name, "--divisor"]);
        command.arg(divisor.to_string());
        command.arg("--out").arg(folder.path());
        let ended = Running::start(&mut command).wait(limit).success();
        assert!(ended.stdout.contains("not an observation"), "{ended:?}");
        let truth = fs::read(folder.path().join("truth.json")).expect("the truth");
        let truth = serde_json::from_slice(&truth).expect("JSON");
        Self {
            folder,
            truth,
            limit,
        }
    }

    /// A file beside the captures.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where a replay may write to.
    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Prefixes of the darknet.
    ///
    /// # Panics
    /// The truth does not name them.
    pub fn prefixes(&self) -> Vec<String> {
        let list = self.truth["prefixes"].as_array().expect("a list").iter();
        list.map(|prefix| prefix.as_str().expect("a text").to_owned())
            .collect()
    }

    /// Captures, in their order in time.
    ///
    /// # Panics
    /// The truth does not name them.
    pub fn captures(&self) -> Vec<PathBuf> {
        let list = self.truth["captures"].as_array().expect("a list").iter();
        list.map(|capture| self.path(capture["file"].as_str().expect("a name")))
            .collect()
    }

    /// Replays captures in hours with the scenario's prefixes, countries and ASs.
    ///
    /// # Panics
    /// The program fails.
    pub fn replay(&self, captures: &[PathBuf], store: Option<&Path>) -> Ended {
        let mut command = noctule(["replay", "--summary", "json", "--interval", "3600"]);
        for prefix in self.prefixes() {
            command.args(["--prefix", &prefix]);
        }
        command.arg("--country-db").arg(self.path("country.csv"));
        command.arg("--asn-db").arg(self.path("asn.csv"));
        if let Some(store) = store {
            command.args(["--sensor", "one", "--store"]).arg(store);
        }
        Running::start(command.args(captures))
            .wait(self.limit)
            .success()
    }
}
