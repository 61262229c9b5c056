//! Commands that ask the store questions are another program's, so that a sensor never carries a
//! query engine: `noctule query` becomes `noctule-analyze query`.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, anyhow};

/// The other program, found beside this one or on the search path.
pub const NAME: &str = "noctule-analyze";

/// Becomes the other program; returns only if that fails.
///
/// # Errors
/// The program is not there.
pub fn become_it(command: &str, args: &[OsString]) -> Result<()> {
    let error = Command::new(place()).arg(command).args(args).exec();
    Err(match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "`noctule {command}` needs the program {NAME}, which is not beside noctule and not on the PATH: \
             build it with `cargo build --release --package {NAME}`"
        ),
        _ => anyhow!("cannot start {NAME}: {error}"),
    })
}

/// Where it is: beside this program, or wherever the PATH finds it.
pub fn place() -> PathBuf {
    let beside = std::env::current_exe().map(|this| this.with_file_name(NAME));
    match beside {
        Ok(path) if path.exists() => path,
        _ => PathBuf::from(NAME),
    }
}

/// Can it be found?
pub fn is_there() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let place = place();
    place.is_absolute() || std::env::split_paths(&path).any(|folder| folder.join(&place).exists())
}
