//! A browser that looks at reports as their readers do.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::skipped;

/// `page.mjs`, with its packages beside it and the browser that it drives.
pub struct Browser {
    script: PathBuf,
}

impl Browser {
    /// The one in the folder that `NOCTULE_PAGES` names (`cargo xtask setup` makes it); without it says
    /// that `test` is skipped.
    pub fn find(test: &str) -> Option<Self> {
        let folder = env::var_os("NOCTULE_PAGES").map(PathBuf::from);
        let script = folder.map(|folder| folder.join("page.mjs"));
        let Some(script) = script.filter(|script| script.is_file()) else {
            skipped(
                test,
                "NOCTULE_PAGES names no folder with page.mjs and its packages",
            );
            return None;
        };
        Some(Self { script })
    }

    /// What looks at these reports; it fails if something is wrong with one.
    pub fn look<'r>(&self, reports: impl IntoIterator<Item = &'r Path>) -> Command {
        let mut command = Command::new("node");
        command.arg(&self.script).args(reports);
        command
    }
}
