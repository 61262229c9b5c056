//! `check`: the part of `test` for while one works. It needs no root, no JVM and no browser.

use std::time::Instant;

use anyhow::Result;

use crate::tally::Tally;
use crate::{fuzz, shell};

/// Runs formatting, lints, unit and property tests.
///
/// # Errors
/// Something failed.
pub fn run() -> Result<()> {
    let began = Instant::now();
    let mut tally = Tally::default();
    formatting(&mut tally);
    lints(&mut tally);
    // The whole workspace, so that every dependency has the features that it has in `test`, and is
    // not built twice. Whole-program tests are neither in a library nor in a binary.
    let mut command = shell::cargo();
    command.args(["test", "--workspace", "--lib", "--bins", "--no-fail-fast"]);
    tally.cargo_test(&mut command)?;
    tally.close(began)
}

/// Formatting of all Rust code.
pub fn formatting(tally: &mut Tally) {
    tally.step("formatting", || {
        shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
        let fuzz = ["--manifest-path", fuzz::MANIFEST];
        shell::run(shell::cargo().args(["fmt", "--check"]).args(fuzz))
    });
}

/// Clippy over every target; a warning fails.
pub fn lints(tally: &mut Tally) {
    tally.step("lints", || {
        let mut clippy = shell::cargo();
        clippy.args(["clippy", "--quiet", "--workspace", "--all-targets"]);
        shell::run(clippy.args(["--", "-D", "warnings"]))
    });
}
