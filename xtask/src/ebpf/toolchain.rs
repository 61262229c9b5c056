//! Finds the compiler and linker that can build the XDP program, and installs them.
//!
//! The BPF target has no compiled standard library, so the compiler must bring the library's source,
//! and the LLVM of `bpf-linker` must be at least as new as the compiler's.

use std::{
    env,
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

/// The nightly that is used where rustup can fetch it; its LLVM is the linker's.
const NIGHTLY: &str = "nightly-2026-05-20";
/// Version of bpf-linker, and the LLVM it is built with.
const LINKER_VERSION: &str = "0.13.0";
const LLVM: &str = "22";
/// Debian's compiler, which brings its library source (packages rustc-web, rust-web-src).
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// A compiler with library source, and a linker.
#[derive(Debug)]
pub struct Toolchain {
    rustc: PathBuf,
    cargo: PathBuf,
    /// Folder of the compiler's own files.
    pub sysroot: PathBuf,
    linker: PathBuf,
    /// `rustc --version`.
    pub rustc_version: String,
    /// `bpf-linker --version`, and which LLVM it uses.
    pub linker_version: String,
}

impl Toolchain {
    /// Finds a usable toolchain; of two, the one that made the committed object.
    ///
    /// # Errors
    /// The message lists what is missing and how to get it.
    pub fn find(recorded_rustc: Option<&str>) -> Result<Self> {
        let linker = find_linker();
        let mut compilers = [nightly(), debian()];
        compilers.sort_by_key(|compiler| match compiler {
            Ok(found) => Some(found.version.as_str()) != recorded_rustc,
            Err(_) => true,
        });
        let [first, second] = compilers;
        match (
            first.or_else(|one| second.map_err(|other| [one, other])),
            linker,
        ) {
            (Ok(compiler), Ok((linker, linker_version))) => Ok(Self {
                rustc: compiler.rustc,
                cargo: compiler.cargo,
                sysroot: compiler.sysroot,
                linker,
                rustc_version: compiler.version,
                linker_version,
            }),
            (compiler, linker) => {
                let mut missing = Missing::default();
                if let Err(reasons) = compiler {
                    missing.compiler = reasons.iter().map(|e| format!("{e:#}")).collect();
                }
                if let Err(reason) = linker {
                    missing.linker = Some(format!("{reason:#}"));
                }
                bail!("{missing}")
            }
        }
    }

    /// A cargo command with this compiler and linker, free of what the calling cargo set.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        for (name, _) in env::vars_os() {
            let name_text = name.to_string_lossy();
            let kept = [
                "CARGO_HOME",
                "CARGO_TARGET_DIR",
                "CARGO_NET_OFFLINE",
                "RUSTUP_HOME",
            ];
            if (name_text.starts_with("CARGO") || name_text.starts_with("RUST"))
                && !kept.contains(&&*name_text)
            {
                command.env_remove(&name);
            }
        }
        let mut path = OsString::from(self.linker.parent().unwrap_or(Path::new("/")));
        if let Some(rest) = env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        // Building the library from source is unstable; RUSTC_BOOTSTRAP lets Debian's stable
        // compiler do it too.
        command
            .env("PATH", path)
            .env("RUSTC", &self.rustc)
            .env("RUSTC_BOOTSTRAP", "1");
        command
    }
}

/// Installs Debian's compiler and builds the linker.
///
/// # Errors
/// A command failed; the message names it.
pub fn install() -> Result<()> {
    ensure!(
        Path::new("/usr/bin/apt-get").exists(),
        "--install knows Debian and Ubuntu only: apt-get is not there\n{}",
        Missing::advice()
    );
    if debian().is_err() && nightly().is_err() {
        run(Command::new("apt-get").arg("update"))?;
        run(Command::new("apt-get")
            .args(["install", "-y"])
            .args(packages()))?;
    }
    if find_linker().is_err() {
        let llvm = llvm_prefix();
        if !llvm.join("bin/llvm-config").exists() {
            run(Command::new("apt-get").arg("update"))?;
            run(Command::new("apt-get").args(["install", "-y", &format!("llvm-{LLVM}-dev")]))?;
        }
        let features = format!("llvm-{LLVM}");
        run(Command::new("cargo")
            .args(["install", "bpf-linker", "--version", LINKER_VERSION])
            .args(["--no-default-features", "--features", &features, "--locked"])
            // Without it the linker's build looks for LLVM in the compiler's default folders.
            .env("LLVM_PREFIX", llvm)
            .env_remove("CARGO_TARGET_DIR"))?;
    }
    Ok(())
}

struct Compiler {
    rustc: PathBuf,
    cargo: PathBuf,
    sysroot: PathBuf,
    version: String,
}

/// Everything that is missing to build the program here.
#[derive(Default)]
struct Missing {
    compiler: Vec<String>,
    linker: Option<String>,
}

impl Missing {
    fn advice() -> String {
        let packages = packages().join(" ");
        let prefix = llvm_prefix();
        format!(
            "either\n  rustup toolchain install {NIGHTLY} --profile minimal --component rust-src\n\
             or, on Debian,\n  apt-get install {packages}\n\
             and in both cases, with LLVM's files from llvm-{LLVM}-dev,\n  LLVM_PREFIX={} cargo install bpf-linker --version \
             {LINKER_VERSION} --no-default-features --features llvm-{LLVM} --locked\n\
             `cargo xtask build-ebpf --install` does the Debian way by itself",
            prefix.display()
        )
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the XDP program cannot be built here:")?;
        for reason in self.compiler.iter().chain(&self.linker) {
            writeln!(f, "  - {reason}")?;
        }
        write!(f, "install {}", Self::advice())
    }
}

fn packages() -> [String; 5] {
    [
        // LLVM's library is linked with zlib.
        "zlib1g-dev".into(),
        "rustc-web".into(),
        "rust-web-src".into(),
        "cargo-web".into(),
        format!("llvm-{LLVM}-dev"),
    ]
}

fn llvm_prefix() -> PathBuf {
    PathBuf::from(format!("/usr/lib/llvm-{LLVM}"))
}

fn nightly() -> Result<Compiler> {
    let of_rustup = |tool: &str| -> Result<PathBuf> {
        let mut rustup = Command::new("rustup");
        rustup.args(["which", "--toolchain", NIGHTLY, tool]);
        // Asking must not download anything.
        rustup.env("RUSTUP_AUTO_INSTALL", "0");
        let path = output_of(&mut rustup).with_context(|| format!("rustup has no {NIGHTLY}"))?;
        Ok(path.into())
    };
    compiler(of_rustup("rustc")?, of_rustup("cargo")?)
}

fn debian() -> Result<Compiler> {
    compiler(DEBIAN_RUSTC.into(), DEBIAN_CARGO.into())
}

fn compiler(rustc: PathBuf, cargo: PathBuf) -> Result<Compiler> {
    for tool in [&rustc, &cargo] {
        ensure!(tool.exists(), "{} is not there", tool.display());
    }
    let sysroot = PathBuf::from(output_of(
        Command::new(&rustc).args(["--print", "sysroot"]),
    )?);
    let source = sysroot.join("lib/rustlib/src/rust/library/core");
    ensure!(
        source.exists(),
        "{} has no library source ({})",
        rustc.display(),
        source.display()
    );
    let verbose = output_of(Command::new(&rustc).arg("-vV"))?;
    let llvm = (verbose.lines())
        .find_map(|line| line.strip_prefix("LLVM version: "))
        .and_then(|version| version.split('.').next())
        .and_then(|major| major.parse::<u32>().ok());
    let newest: u32 = LLVM.parse()?;
    ensure!(
        llvm.is_some_and(|major| major <= newest),
        "{} uses LLVM {}, newer than the linker's {LLVM}",
        rustc.display(),
        llvm.map_or("of an unknown version".into(), |major| major.to_string())
    );
    Ok(Compiler {
        version: output_of(Command::new(&rustc).arg("--version"))?,
        rustc,
        cargo,
        sysroot,
    })
}

fn find_linker() -> Result<(PathBuf, String)> {
    let installed = cargo_home().map(|home| home.join("bin"));
    let folders = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let linker = folders
        .into_iter()
        .chain(installed)
        .map(|folder| folder.join("bpf-linker"))
        .find(|path| fs::metadata(path).is_ok_and(|found| found.is_file()))
        .context("bpf-linker is neither on PATH nor in cargo's bin folder")?;
    let version = output_of(Command::new(&linker).arg("--version"))?;
    // The code generator is LLVM, whose patch level the linker does not print.
    let llvm = output_of(Command::new(llvm_prefix().join("bin/llvm-config")).arg("--version"))
        .unwrap_or_else(|_| "of its own".into());
    Ok((linker, format!("{version}, LLVM {llvm}")))
}

/// Cargo's home: the folder of dependencies' sources, and of programs that `cargo install` builds.
pub fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
}

/// A command's standard output, trimmed.
fn output_of(command: &mut Command) -> Result<String> {
    let output = (command.output()).with_context(|| format!("cannot start {command:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        error.lines().next().unwrap_or_default()
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Runs a command with its output shown.
///
/// # Errors
/// A command failed; the message names it.
pub fn run(command: &mut Command) -> Result<()> {
    let status = (command.status()).with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_the_commands_that_bring_it() {
        let missing = Missing {
            compiler: vec!["no compiler".into()],
            linker: Some("no linker".into()),
        };
        let text = missing.to_string();
        for part in [
            "no compiler",
            "no linker",
            "rust-src",
            "apt-get install zlib1g-dev rustc-web rust-web-src cargo-web llvm-22-dev",
            "cargo install bpf-linker --version 0.13.0 --no-default-features --features llvm-22",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }

    #[test]
    fn a_compiler_that_is_not_there_is_refused() {
        assert!(compiler("/nowhere/rustc".into(), "/nowhere/cargo".into()).is_err());
    }
}
