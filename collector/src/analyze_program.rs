//! Subcommands that another program carries out: `noctule query` becomes `noctule-analyze query`, so
//! that a sensor's binary links no query engine.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, anyhow};

/// Name of the other program.
pub const NAME: &str = "noctule-analyze";

/// Replaces this process with `noctule-analyze SUBCOMMAND ARGS...`; returns only on failure.
///
/// # Errors
/// The program is not installed, or the system cannot start it.
pub fn exec_subcommand(subcommand: &str, args: &[OsString]) -> Result<()> {
    let error = Command::new(path()).arg(subcommand).args(args).exec();
    Err(match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "`noctule {subcommand}` needs the program {NAME}, which is not beside noctule and not on the PATH: \
             build it with `cargo build --release --package {NAME}`"
        ),
        _ => anyhow!("cannot start {NAME}: {error}"),
    })
}

/// The program's path if it is beside this program, otherwise its name, for a search on the PATH.
pub fn path() -> PathBuf {
    let beside = std::env::current_exe().map(|this| this.with_file_name(NAME));
    match beside {
        Ok(path) if path.exists() => path,
        _ => PathBuf::from(NAME),
    }
}

/// True if the program is beside this program or on the PATH.
pub fn is_installed() -> bool {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let path = path();
    path.is_absolute() || std::env::split_paths(&search).any(|folder| folder.join(&path).exists())
}
