//! Programs as child processes: their output, time and memory.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

/// `noctule` and `noctule-analyze` in the folder of this program, and a work folder that is removed
/// when the bench ends.
pub fn programs(bench: &str) -> Result<([PathBuf; 2], TempDir)> {
    let folder = std::env::current_exe()?;
    let folder = folder.parent().context("a program is in a folder")?;
    let work = tempfile::Builder::new()
        .prefix(&format!("noctule-bench-{bench}-"))
        .tempdir_in(folder.join("../bench"))?;
    let programs = ["noctule", "noctule-analyze"].map(|name| folder.join(name));
    Ok((programs, work))
}

/// Time and memory of a program.
pub struct Taken {
    pub seconds: f64,
    /// Its peak resident memory.
    pub peak_mib: f64,
}

/// Runs a program, which must succeed, and measures it.
pub fn measured(command: &mut Command) -> Result<Taken> {
    let began = Instant::now();
    let mut child = command.spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0u64;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.split_whitespace().next()?.parse().ok());
        peak_kib = peak.unwrap_or(0).max(peak_kib);
        thread::sleep(Duration::from_millis(50));
    };
    ensure!(ended.success(), "{command:?}: {ended}");
    Ok(Taken {
        seconds: began.elapsed().as_secs_f64(),
        peak_mib: peak_kib as f64 / 1024.0,
    })
}

/// The answer to a question as CSV, and the query's explanation.
pub fn ask(report: &Path, store: &Path, sql: &str) -> Result<(String, String)> {
    let mut command = Command::new(report);
    command
        .args(["query", "--explain", "--format", "csv", "--store"])
        .arg(store)
        .arg(sql);
    let output = command.output()?;
    let explained = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        bail!("{explained}");
    }
    Ok((String::from_utf8(output.stdout)?, explained))
}

/// The answer to a question that has one count.
pub fn number(report: &Path, store: &Path, sql: &str) -> Result<u64> {
    let (answer, _) = ask(report, store, sql)?;
    let line = answer.lines().nth(1).context("no row")?;
    line.parse().with_context(|| format!("{line} is no count"))
}

/// Runs a program, which must succeed, and returns its standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command.stderr(Stdio::inherit()).output();
    let output =
        output.with_context(|| format!("cannot start {}", Path::new(&program).display()))?;
    if !output.status.success() {
        let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        bail!(
            "{} {}: {}",
            Path::new(&program).display(),
            arguments.join(" "),
            output.status
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}
