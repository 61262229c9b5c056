//! Other programs: run, read, and end them.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// The repository's folder: that of the run, since clones may share a target folder and with it
/// this program.
pub fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or(manifest.clone(), PathBuf::from)
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The cargo that runs this.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root());
    // What cargo told this program about itself: build scripts that look at it would run again, and
    // with them everything that depends on theirs.
    let told = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(told) {
            command.env_remove(name);
        }
    }
    command
}

/// Is the process root? Asked of `id`, since nothing here may be unsafe.
pub fn is_root() -> bool {
    matches!(output(Command::new("id").arg("-u")), Ok(text) if text.trim() == "0")
}

/// The command as a person would type it.
pub fn spelled(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Runs a command to its end, its output going where ours goes.
///
/// # Errors
/// It cannot be started, or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{}`", spelled(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", spelled(command));
    }
    Ok(())
}

/// Runs a command to its end and gives its standard output.
///
/// # Errors
/// It cannot be started, or fails; its standard error is in the message.
pub fn output(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", spelled(command)))?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr).trim().replace('\n', "; ");
        bail!("`{}` failed: {status}: {said}", spelled(command));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// A process that is ended when this is dropped.
pub struct Running(pub Child);

impl Running {
    /// Asks it to stop with SIGTERM and waits for its end.
    ///
    /// # Errors
    /// It cannot be asked, or fails.
    pub fn terminate(mut self) -> Result<()> {
        output(Command::new("kill").args(["-TERM", &self.0.id().to_string()]))?;
        let status = self.0.wait()?;
        if !status.success() {
            bail!("the collector ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
