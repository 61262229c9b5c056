//! `fuzz`: feeds random octets to the readers of frames, captures and rules, and reports how many.
//!
//! cargo-fuzz builds the targets of `tests/fuzz`, which are then run as programs. Inputs that a run
//! adds to a corpus, and inputs that broke a target, are written below the target folder.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::shell;

/// Folder of the targets, from the repository's folder.
const HOME: &str = "tests/fuzz";
/// Their manifest: a workspace of its own.
pub const MANIFEST: &str = "tests/fuzz/Cargo.toml";
/// Version of cargo-fuzz that is installed if it is missing.
const CARGO_FUZZ: &str = "0.13.2";
/// Oldest compiler that builds the collector: its second number.
const OLDEST_RUST: u32 = 95;
/// Longest time for one input, seconds: a hang fails.
const TIMEOUT_SECONDS: u32 = 10;
/// Memory of the process, MiB. The sanitizer's own is in it.
const RSS_LIMIT_MIB: u32 = 2048;
/// One allocation, MiB. zstd may ask for a window of 128.
const ALLOCATION_LIMIT_MIB: u32 = 256;

/// A fuzz target.
#[derive(Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Longest input, octets.
    longest: u32,
}

/// Every fuzz target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "decode",
        longest: 512,
    },
    Target {
        name: "capture",
        longest: 2048,
    },
    Target {
        name: "rules",
        longest: 512,
    },
];

/// Ends a target's run: whichever is reached first.
#[derive(Clone, Copy, Debug)]
pub struct Enough {
    /// Seconds.
    pub seconds: Option<u64>,
    /// Inputs.
    pub runs: Option<u64>,
    /// Begin with the committed seeds and a fixed seed of the generator, instead of going on from
    /// the inputs of earlier runs.
    pub afresh: bool,
}

/// Runs the targets for their share of the time, or for so many inputs each.
///
/// # Errors
/// A tool is missing and cannot be installed, the targets do not build, or an input broke one.
pub fn run(
    minutes: Option<f64>,
    target: Option<&str>,
    runs: Option<u64>,
    afresh: bool,
) -> Result<()> {
    let chosen: Vec<&Target> = (TARGETS.iter())
        .filter(|one| target.is_none_or(|name| name == one.name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        bail!("there is no such target: take one of {}", names.join(", "));
    }
    let minutes = minutes.or_else(|| runs.is_none().then_some(2.0));
    let share = |minutes: f64| (minutes * 60.0 / chosen.len() as f64).ceil() as u64;
    let enough = Enough {
        seconds: minutes.map(share),
        runs,
        afresh,
    };
    let fuzzer = Fuzzer::find()?;
    fuzzer.build()?;
    let mut broken = Vec::new();
    for target in chosen {
        if let Err(error) = fuzzer.fuzz(target, enough) {
            println!("{error:#}");
            broken.push(target.name);
        }
    }
    ensure!(broken.is_empty(), "broken: {}", broken.join(", "));
    Ok(())
}

/// A compiler that can instrument, and cargo-fuzz.
#[derive(Debug)]
pub struct Fuzzer {
    /// cargo-fuzz.
    program: PathBuf,
    /// rustup's name of a nightly. Without one, the compiler that builds this program is used, with
    /// `RUSTC_BOOTSTRAP` set to allow nightly features.
    nightly: Option<String>,
}

impl Fuzzer {
    /// Finds the tools; installs cargo-fuzz where it is missing.
    ///
    /// # Errors
    /// The message names what is missing and how to get it.
    pub fn find() -> Result<Self> {
        let program = shell::tool("cargo-fuzz", CARGO_FUZZ)?;
        shell::output(Command::new("c++").arg("--version"))
            .context("libFuzzer is C++: install Debian's package g++")?;
        let fuzzer = Self {
            program,
            nightly: nightly(),
        };
        let runtime = fuzzer.library()?;
        let has_sanitizer = fs::read_dir(&runtime).is_ok_and(|entries| {
            let mut names = entries.flatten().map(|entry| entry.file_name());
            names.any(|name| name.to_string_lossy().ends_with("rt.asan.a"))
        });
        ensure!(
            has_sanitizer,
            "no compiler here brings the address sanitizer ({} has none): run `rustup toolchain \
             install nightly`",
            runtime.display()
        );
        Ok(fuzzer)
    }

    /// A command that sees the chosen compiler, free of what the calling cargo set.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(shell::root());
        for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "CARGO_TARGET_DIR"] {
            command.env_remove(name);
        }
        match &self.nightly {
            Some(nightly) => command.env("RUSTUP_TOOLCHAIN", nightly),
            None => command.env("RUSTC_BOOTSTRAP", "1"),
        };
        command
    }

    fn library(&self) -> Result<PathBuf> {
        let mut rustc = self.command("rustc");
        let text = shell::output(rustc.args(["--print", "target-libdir"]))?;
        Ok(PathBuf::from(text.trim()))
    }

    /// Builds every target.
    ///
    /// # Errors
    /// A target does not build.
    pub fn build(&self) -> Result<()> {
        let mut build = self.command(&self.program);
        build
            .args(["fuzz", "build", "--fuzz-dir", HOME, "--target-dir"])
            .arg(folder());
        // Its output names every crate; it is shown only if the build fails.
        shell::output(&mut build).map(drop)
    }

    /// Path of the built target.
    fn program(&self, target: &Target) -> Result<PathBuf> {
        let text = shell::output(self.command("rustc").arg("-vV"))?;
        let host = (text.lines().find_map(|line| line.strip_prefix("host: ")))
            .context("rustc does not name its host")?;
        Ok(folder().join(host).join("release").join(target.name))
    }

    /// Runs a built target and prints a line about it.
    ///
    /// # Errors
    /// An input broke the target; the message names the input and how to run it again.
    pub fn fuzz(&self, target: &Target, enough: Enough) -> Result<()> {
        let name = target.name;
        let home = shell::root().join(HOME);
        let grown = folder()
            .join(if enough.afresh { "short" } else { "grown" })
            .join(name);
        let broken = folder().join("artifacts").join(name);
        if enough.afresh && grown.exists() {
            fs::remove_dir_all(&grown)
                .with_context(|| format!("cannot empty {}", grown.display()))?;
        }
        for folder in [&grown, &broken] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make folder {}", folder.display()))?;
        }
        let program = self.program(target)?;
        let mut command = Command::new(&program);
        // New inputs go to the first folder.
        command.args([&grown, &home.join("corpus").join(name)]);
        command.args([
            format!("-artifact_prefix={}/", broken.display()),
            format!("-max_len={}", target.longest),
            format!("-timeout={TIMEOUT_SECONDS}"),
            format!("-rss_limit_mb={RSS_LIMIT_MIB}"),
            format!("-malloc_limit_mb={ALLOCATION_LIMIT_MIB}"),
            "-print_final_stats=1".to_owned(),
        ]);
        let words = home.join(format!("{name}.dict"));
        if words.is_file() {
            command.arg(format!("-dict={}", words.display()));
        }
        if let Some(seconds) = enough.seconds {
            command.arg(format!("-max_total_time={seconds}"));
        }
        if let Some(runs) = enough.runs {
            command.arg(format!("-runs={runs}"));
        }
        if enough.afresh {
            command.arg("-seed=1");
        }
        let outcome = follow(&mut command)?;
        println!("{name}: {}", outcome.stats);
        if let Some(artifact) = outcome.artifact {
            bail!(
                "{name} was broken by {artifact} ({}); see it again with `{} {artifact}`",
                outcome.reason,
                program.display()
            );
        }
        ensure!(
            outcome.succeeded,
            "{name} ended badly ({}); run `{}`",
            outcome.reason,
            shell::spelled(&command)
        );
        ensure!(outcome.stats.inputs > 0, "{name} ran no input");
        Ok(())
    }
}

/// The newest nightly that rustup has and that is new enough.
fn nightly() -> Option<String> {
    let listed = shell::output(Command::new("rustup").args(["toolchain", "list"])).ok()?;
    let names = (listed.lines())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with("nightly"));
    let versions = names.filter_map(|name| {
        let mut rustc = Command::new("rustup");
        let version = shell::output(rustc.args(["run", name, "rustc", "--version"])).ok()?;
        Some((minor(&version)?, name.to_owned()))
    });
    let (version, name) = versions.max()?;
    (version >= OLDEST_RUST).then_some(name)
}

/// 97 of `rustc 1.97.0-nightly (...)`.
fn minor(version: &str) -> Option<u32> {
    version
        .strip_prefix("rustc 1.")?
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// Folder of everything that fuzzing writes.
fn folder() -> PathBuf {
    shell::target().join("fuzz")
}

/// What libFuzzer reported of a run.
#[derive(Debug, Default)]
struct Outcome {
    stats: Stats,
    /// The input that broke the target.
    artifact: Option<String>,
    /// The first line in which libFuzzer or a panic gives the reason.
    reason: String,
    succeeded: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Stats {
    inputs: u64,
    per_second: u64,
    peak_mib: u64,
    edges: u64,
    features: u64,
    kept: u64,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} inputs, {} per second, peak {} MiB, coverage {} edges and {} features, \
             {} inputs kept",
            self.inputs, self.per_second, self.peak_mib, self.edges, self.features, self.kept
        )
    }
}

/// Runs libFuzzer to its end and reads its report.
fn follow(command: &mut Command) -> Result<Outcome> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", shell::spelled(command)))?;
    let output = child.stderr.take().context("no output to read")?;
    let mut outcome = Outcome::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        // Printed whenever the number of inputs has doubled.
        if line.contains("\tpulse ") {
            println!("   {}", line.replace('\t', " "));
        }
        outcome.read(&line);
    }
    outcome.succeeded = child.wait()?.success();
    Ok(outcome)
}

impl Outcome {
    fn read(&mut self, line: &str) {
        let stats = &mut self.stats;
        if let Some((name, value)) = (line.strip_prefix("stat::")).and_then(|l| l.split_once(':')) {
            let value = value.trim().parse().unwrap_or_default();
            match name {
                "number_of_executed_units" => stats.inputs = value,
                "average_exec_per_sec" => stats.per_second = value,
                "peak_rss_mb" => stats.peak_mib = value,
                _ => {}
            }
        } else if line.starts_with('#') {
            let mut words = line.split_whitespace();
            while let Some(word) = words.next() {
                let number = |text: Option<&str>| {
                    let text = text.and_then(|text| text.split('/').next());
                    text.and_then(|text| text.parse().ok())
                };
                match word {
                    "cov:" => stats.edges = number(words.next()).unwrap_or(stats.edges),
                    "ft:" => stats.features = number(words.next()).unwrap_or(stats.features),
                    "corp:" => stats.kept = number(words.next()).unwrap_or(stats.kept),
                    _ => {}
                }
            }
        } else if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.artifact = Some(path.trim().to_owned());
        } else if self.reason.is_empty()
            && (line.contains("panicked at") || line.contains("ERROR: "))
        {
            self.reason = line.trim().to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_libfuzzer_is_read() {
        let mut outcome = Outcome::default();
        for line in [
            "INFO: Seed: 1",
            "#2\tINITED cov: 11 ft: 12 corp: 1/1b exec/s: 0 rss: 44Mb",
            "#4096\tNEW    cov: 310 ft: 1200 corp: 77/4018b lim: 512 exec/s: 900 rss: 60Mb L: 9/9",
            "thread '<unnamed>' (7) panicked at targets/decode.rs:9:5:",
            "==7== ERROR: libFuzzer: deadly signal",
            "artifact_prefix='a/'; Test unit written to a/crash-0123",
            "stat::number_of_executed_units: 4097",
            "stat::average_exec_per_sec:     2048",
            "stat::peak_rss_mb:              61",
        ] {
            outcome.read(line);
        }
        let expected = Stats {
            inputs: 4097,
            per_second: 2048,
            peak_mib: 61,
            edges: 310,
            features: 1200,
            kept: 77,
        };
        assert_eq!(outcome.stats, expected);
        assert_eq!(outcome.artifact.as_deref(), Some("a/crash-0123"));
        assert!(outcome.reason.contains("decode.rs:9"), "{}", outcome.reason);
    }

    #[test]
    fn versions_of_compilers_are_read() {
        assert_eq!(
            minor("rustc 1.97.0-nightly (e50aa6fba 2026-05-19)"),
            Some(97)
        );
        assert_eq!(minor("rustc 2.0.0"), None);
    }

    #[test]
    fn every_target_has_a_source_and_seeds() {
        let home = shell::root().join(HOME);
        for target in TARGETS {
            let source = home.join("targets").join(format!("{}.rs", target.name));
            assert!(source.is_file(), "{}", source.display());
            let seeds = fs::read_dir(home.join("corpus").join(target.name));
            assert!(
                seeds.is_ok_and(|seeds| seeds.count() > 5),
                "{}",
                target.name
            );
        }
    }
}
