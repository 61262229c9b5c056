//! Checks dependencies with cargo-deny: licences, banned crates, sources and advisories.
//! What is allowed is in `deny.toml`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::tally::Tally;
use crate::{fuzz, shell};

/// Version of cargo-deny that is installed if it is missing.
const CARGO_DENY: &str = "0.20.2";
/// Environment variable with which the advisory database is fetched.
const FETCH: &str = "NOCTULE_ADVISORIES";
/// Every workspace of the repository.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "ebpf/Cargo.toml", fuzz::MANIFEST];

/// Installs cargo-deny if it is missing; returns its path.
///
/// # Errors
/// It cannot be installed.
pub fn cargo_deny() -> Result<PathBuf> {
    shell::tool("cargo-deny", CARGO_DENY)
}

/// Checks the dependencies of the collector, of the XDP program and of the fuzz targets.
///
/// Advisories need the RustSec database, which cargo-deny clones from GitHub. It is fetched only if
/// [`FETCH`] is set, so that a test run reaches no host but the package registries.
pub fn check(tally: &mut Tally) {
    let deny = match cargo_deny() {
        Ok(deny) => deny,
        Err(error) => return tally.step("dependencies", || Err(error)),
    };
    tally.step("licences, bans and sources of dependencies", || {
        for manifest in MANIFESTS {
            // Its warnings are worth reading only beside an error.
            shell::output(command(&deny, manifest).args(["licenses", "bans", "sources"]))?;
        }
        Ok(())
    });
    let name = "advisories on dependencies";
    if env::var_os(FETCH).is_none() {
        return tally.skip(name, &format!("{FETCH}=1 fetches the RustSec database"));
    }
    let mut fetch = Command::new(&deny);
    fetch.current_dir(shell::root()).args(["fetch", "db"]);
    if let Err(error) = shell::output(&mut fetch) {
        let error = format!("{error:#}");
        let reason = error.rsplit("; ").next().unwrap_or_default();
        return tally.skip(name, &format!("no advisory database: {reason}"));
    }
    tally.step(name, || {
        for manifest in MANIFESTS {
            let mut advisories = command(&deny, manifest);
            shell::output(advisories.args(["advisories", "--disable-fetch"]))?;
        }
        Ok(())
    });
}

fn command(deny: &Path, manifest: &str) -> Command {
    let mut command = Command::new(deny);
    command.current_dir(shell::root());
    command.args(["--manifest-path", manifest, "--locked", "check"]);
    command
}
