//! Runs other programs, reads their output, and ends them.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// The repository's folder, taken from the run's environment: clones may share a target folder and
/// with it this program.
pub fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or(manifest.clone(), PathBuf::from)
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The cargo that runs this.
pub fn cargo() -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// A program that starts in the repository's folder, without cargo's variables about this program:
/// build scripts that read them would run again, and with them everything that depends on theirs.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    let is_ours =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_ours) {
            command.env_remove(name);
        }
    }
    command
}

/// True if the process is root. `id` answers, since `geteuid` would be an unsafe call.
pub fn is_root() -> bool {
    matches!(output(Command::new("id").arg("-u")), Ok(text) if text.trim() == "0")
}

/// The command as one would type it.
pub fn spelled(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Runs a command to its end; it writes to this program's standard output and error.
///
/// # Errors
/// The command cannot be started, or its exit status is not 0.
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

/// Runs a command to its end and returns its standard output.
///
/// # Errors
/// The command cannot be started, or its exit status is not 0; the message has its standard error.
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

/// A program that `cargo install` builds: from the PATH or from the target folder if its version is
/// there, else installed into the target folder. Returns its path.
///
/// # Errors
/// It cannot be installed.
pub fn tool(name: &str, version: &str) -> Result<PathBuf> {
    let folder = target().join("tools");
    let ours = folder.join("bin").join(name);
    let has_version = |program: &PathBuf| {
        let text = output(Command::new(program).arg("--version"));
        text.is_ok_and(|text| text.split_whitespace().last() == Some(version))
    };
    if let Some(found) = [PathBuf::from(name), ours.clone()]
        .into_iter()
        .find(has_version)
    {
        return Ok(found);
    }
    println!("installing {name} {version} (some minutes)");
    let mut install = cargo();
    install
        .args(["install", "--quiet", "--locked", name, "--version", version])
        .arg("--root")
        .arg(&folder)
        .env_remove("CARGO_TARGET_DIR");
    output(&mut install).with_context(|| {
        format!("cannot install {name}: run `cargo install {name} --locked --version {version}`")
    })?;
    Ok(ours)
}

/// A process that is ended when this is dropped.
pub struct Running(pub Child);

impl Running {
    /// Sends SIGTERM and waits for the process to end.
    ///
    /// # Errors
    /// The signal cannot be sent, or the exit status is not 0.
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
        // Both fail if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
