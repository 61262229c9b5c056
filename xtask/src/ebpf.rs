//! `build-ebpf`: makes the XDP program's object, which is committed, and checks the committed one.
//!
//! The object holds no path of the machine and is the same from every clone, so that anybody
//! with the same compiler and linker can hold it against its source byte for byte. With others,
//! map definitions and verdicts over many frames are compared instead.

mod toolchain;

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use toolchain::{Toolchain, cargo_home, run};

use crate::shell;

const OBJECT: &str = "ebpf/noctule-xdp.bpf.o";
const RECORD: &str = "ebpf/noctule-xdp.bpf.toml";
const TARGET: &str = "bpfel-unknown-none";
/// What the object is made from.
const SOURCES: [&str; 10] = [
    "ebpf/Cargo.toml",
    "ebpf/Cargo.lock",
    "ebpf/src/dark.rs",
    "ebpf/src/frame.rs",
    "ebpf/src/ledger.rs",
    "ebpf/src/main.rs",
    "ebpf/src/tunnel.rs",
    "ebpf/abi/src/ledger.rs",
    "ebpf/abi/src/lib.rs",
    "ebpf/abi/src/tunnel.rs",
];

/// Builds the object and its record into `ebpf/`, or with `check` compares a fresh build with
/// the committed one. With `install`, what is missing for it is installed first.
///
/// # Errors
/// What is missing and how to get it, a build that fails, or a committed object that is not
/// what its source makes.
pub fn build(install: bool, check: bool) -> Result<()> {
    let root = shell::root();
    let committed = Record::read(&root.join(RECORD)).ok();
    if install {
        toolchain::install()?;
    }
    let toolchain = Toolchain::find(committed.as_ref().map(|record| record.rustc.as_str()))?;
    println!(
        "building with {} and {}",
        toolchain.rustc_version, toolchain.linker_version
    );
    let built = compile(&root, &toolchain)?;
    let object = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    let record = Record {
        rustc: toolchain.rustc_version.clone(),
        linker: toolchain.linker_version.clone(),
        sha256: digest(&object),
        sources: sources_digest(&root)?,
    };
    if check {
        let committed = committed.with_context(|| {
            format!("cannot read {RECORD}: run `cargo xtask build-ebpf` and commit what it writes")
        })?;
        return compare(&root, &built, &record, &committed);
    }
    no_machine_path(&object, &root, &toolchain)?;
    write(&root.join(OBJECT), &object)?;
    write(&root.join(RECORD), record.text().as_bytes())?;
    println!("{OBJECT}: {} bytes, sha256 {}", object.len(), record.sha256);
    Ok(())
}

/// Compiles and links; returns where the object is.
fn compile(root: &Path, toolchain: &Toolchain) -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |folder| root.join(folder))
        .join("ebpf");
    run(toolchain
        .cargo()
        .current_dir(root.join("ebpf"))
        .args(["build", "--release", "--locked", "--target", TARGET])
        .args(["-Z", "build-std=core"])
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_ENCODED_RUSTFLAGS", remap(root, toolchain)))?;
    Ok(target.join(TARGET).join("release/noctule-xdp"))
}

/// Compiler flags that put fixed names in the place of this machine's folders.
fn remap(root: &Path, toolchain: &Toolchain) -> OsString {
    let library = toolchain.sysroot.join("lib/rustlib/src/rust");
    let folders = [
        (Some(library), "/rustc"),
        (cargo_home(), "/cargo"),
        (Some(root.to_owned()), "/noctule"),
    ];
    let mut flags = OsString::new();
    for (folder, name) in folders {
        let Some(folder) = folder else { continue };
        if !flags.is_empty() {
            flags.push("\x1f");
        }
        flags.push("--remap-path-prefix=");
        flags.push(folder);
        flags.push("=");
        flags.push(name);
    }
    flags
}

fn no_machine_path(object: &[u8], root: &Path, toolchain: &Toolchain) -> Result<()> {
    let library = toolchain.sysroot.join("lib/rustlib");
    for folder in [Some(root.to_owned()), cargo_home(), Some(library)] {
        let Some(folder) = folder else { continue };
        let name = folder.as_os_str().as_encoded_bytes();
        ensure!(
            !object.windows(name.len()).any(|octets| octets == name),
            "the object names the folder {}: it would differ on every machine",
            folder.display()
        );
    }
    Ok(())
}

/// The same tools must give the same octets; other tools, the same behaviour.
fn compare(root: &Path, built: &Path, fresh: &Record, committed: &Record) -> Result<()> {
    let object = root.join(OBJECT);
    let octets = fs::read(&object).with_context(|| format!("cannot read {OBJECT}"))?;
    ensure!(
        digest(&octets) == committed.sha256,
        "{OBJECT} is not the object that {RECORD} describes: run `cargo xtask build-ebpf` and \
         commit both"
    );
    if (&fresh.rustc, &fresh.linker) == (&committed.rustc, &committed.linker) {
        ensure!(
            fresh.sha256 == committed.sha256,
            "{OBJECT} is not what its source makes (sha256 {} instead of {}): run `cargo xtask \
             build-ebpf` and commit it",
            committed.sha256,
            fresh.sha256
        );
        println!("{OBJECT} is what its source makes, byte for byte");
        return Ok(());
    }
    println!(
        "the committed object is from {} and {}: comparing maps and verdicts instead of bytes",
        committed.rustc, committed.linker
    );
    run(Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .current_dir(root)
        .args(["test", "--quiet", "-p", "noctule-capture", "--lib", "--"])
        .args(["--exact", "xdp::verdict_tests::two_objects_agree"])
        .args(["--nocapture"])
        .env("NOCTULE_XDP_OBJECT", &object)
        .env("NOCTULE_XDP_OTHER_OBJECT", built))
    .context("the committed object does not behave like a fresh one, or could not be run (root?)")
}

/// What is written beside the object.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    rustc: String,
    linker: String,
    sha256: String,
    /// Digest of the files the object was made from.
    sources: String,
}

impl Record {
    fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let value = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once(" = "))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.trim_matches('"').to_owned())
                .with_context(|| format!("{RECORD} says nothing about {name}"))
        };
        Ok(Self {
            rustc: value("rustc")?,
            linker: value("linker")?,
            sha256: value("sha256")?,
            sources: value("sources")?,
        })
    }

    fn text(&self) -> String {
        format!(
            "# What noctule-xdp.bpf.o was built with and from; `cargo xtask build-ebpf` writes it.\n\
             rustc = \"{}\"\nlinker = \"{}\"\nsha256 = \"{}\"\nsources = \"{}\"\n",
            self.rustc, self.linker, self.sha256, self.sources
        )
    }
}

fn sources_digest(root: &Path) -> Result<String> {
    let mut all = Vec::new();
    for source in SOURCES {
        let octets =
            fs::read(root.join(source)).with_context(|| format!("cannot read {source}"))?;
        all.extend(format!("{source} {}\n", digest(&octets)).into_bytes());
    }
    Ok(digest(&all))
}

fn digest(octets: &[u8]) -> String {
    Sha256::digest(octets)
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

fn write(path: &Path, octets: &[u8]) -> Result<()> {
    fs::write(path, octets).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = Record {
            rustc: "rustc 1.0.0 (abc 2026-01-01) (built from a source tarball)".into(),
            linker: "bpf-linker 0.1".into(),
            sha256: "00ff".into(),
            sources: "11".into(),
        };
        assert_eq!(Record::parse(&record.text()).unwrap(), record);
        assert!(Record::parse("rustc = \"1\"").is_err());
    }

    /// Without any compiler for it: whoever changes the program must build it again.
    #[test]
    fn the_committed_object_was_built_from_the_sources_that_are_here() {
        let root = shell::root();
        let record = Record::read(&root.join(RECORD)).unwrap();
        let object = fs::read(root.join(OBJECT)).unwrap();
        let advice = "run `cargo xtask build-ebpf`";
        assert_eq!(digest(&object), record.sha256, "{advice}");
        assert_eq!(sources_digest(&root).unwrap(), record.sources, "{advice}");
    }
}
