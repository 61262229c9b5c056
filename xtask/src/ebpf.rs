//! `build-ebpf`: builds the XDP objects, which are committed, or checks the committed ones.
//!
//! An object contains no path of the machine and is the same from every clone: with the same compiler
//! and linker, a fresh build can be compared with it byte for byte. With others, map definitions and
//! verdicts over many frames are compared instead.

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

const TARGET: &str = "bpfel-unknown-none";
/// Sources of the collector's object.
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
/// Sources of the load generator's object.
const GENERATOR_SOURCES: [&str; 3] = [
    "ebpf/Cargo.toml",
    "ebpf/Cargo.lock",
    "ebpf/src/bin/noctule-generator.rs",
];

/// An object that is committed, with a record of what it was built with and from.
struct Object {
    /// Name of the program in `ebpf/`.
    name: &'static str,
    sources: &'static [&'static str],
    /// Package of the test.
    package: &'static str,
    /// The test that compares the behaviour of the objects in `NOCTULE_XDP_OBJECT` and
    /// `NOCTULE_XDP_OTHER_OBJECT`.
    test: &'static str,
}

const OBJECTS: [Object; 2] = [
    Object {
        name: "noctule-xdp",
        sources: &SOURCES,
        package: "noctule-capture",
        test: "xdp::verdict_tests::two_objects_agree",
    },
    Object {
        name: "noctule-generator",
        sources: &GENERATOR_SOURCES,
        package: "noctule-testkit",
        test: "generate::tests::two_objects_agree",
    },
];

impl Object {
    /// The object, from the repository's folder.
    fn file(&self) -> String {
        format!("ebpf/{}.bpf.o", self.name)
    }

    /// Its record.
    fn record(&self) -> String {
        format!("ebpf/{}.bpf.toml", self.name)
    }
}

/// Builds the objects and their records into `ebpf/`, or with `check` compares a fresh build with
/// the committed ones. With `install`, what is missing for it is installed first.
///
/// # Errors
/// A tool is missing (the message says how to get it), the build fails, or a committed object is not
/// what its source makes.
pub fn build(install: bool, check: bool) -> Result<()> {
    let root = shell::root();
    let committed = OBJECTS.map(|object| Record::read(&root, &object).ok());
    if install {
        toolchain::install()?;
    }
    let wanted = committed[0].as_ref().map(|record| record.rustc.as_str());
    let toolchain = Toolchain::find(wanted)?;
    println!(
        "building with {} and {}",
        toolchain.rustc_version, toolchain.linker_version
    );
    let folder = compile(&root, &toolchain)?;
    for (object, committed) in OBJECTS.iter().zip(committed) {
        let (file, record_file) = (object.file(), object.record());
        let built = folder.join(object.name);
        let octets =
            fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
        let record = Record {
            rustc: toolchain.rustc_version.clone(),
            linker: toolchain.linker_version.clone(),
            sha256: digest(&octets),
            sources: sources_digest(&root, object)?,
        };
        if check {
            let committed = committed.with_context(|| {
                format!(
                    "cannot read {record_file}: run `cargo xtask build-ebpf` and commit what it writes"
                )
            })?;
            compare(&root, object, &built, &record, &committed)?;
            continue;
        }
        no_machine_path(&octets, &root, &toolchain)?;
        write(&root.join(&file), &octets)?;
        write(&root.join(&record_file), record.text(object).as_bytes())?;
        println!("{file}: {} bytes, sha256 {}", octets.len(), record.sha256);
    }
    Ok(())
}

/// Compiles and links; returns the folder in which the objects are.
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
    Ok(target.join(TARGET).join("release"))
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

/// Compares octets if both objects were built with the same tools, else their behaviour.
fn compare(
    root: &Path,
    object: &Object,
    built: &Path,
    fresh: &Record,
    committed: &Record,
) -> Result<()> {
    let file = object.file();
    let octets = fs::read(root.join(&file)).with_context(|| format!("cannot read {file}"))?;
    ensure!(
        digest(&octets) == committed.sha256,
        "{file} is not the object that {} describes: run `cargo xtask build-ebpf` and \
         commit both",
        object.record()
    );
    if (&fresh.rustc, &fresh.linker) == (&committed.rustc, &committed.linker) {
        ensure!(
            fresh.sha256 == committed.sha256,
            "{file} is not what its source makes (sha256 {} instead of {}): run `cargo xtask \
             build-ebpf` and commit it",
            committed.sha256,
            fresh.sha256
        );
        println!("{file} is what its source makes, byte for byte");
        return Ok(());
    }
    println!(
        "{file} is from {} and {}: comparing maps and verdicts instead of bytes",
        committed.rustc, committed.linker
    );
    run(Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .current_dir(root)
        .args(["test", "--quiet", "-p", object.package, "--lib", "--"])
        .args(["--exact", object.test])
        .args(["--nocapture"])
        .env("NOCTULE_XDP_OBJECT", root.join(&file))
        .env("NOCTULE_XDP_OTHER_OBJECT", built))
    .context("the committed object does not behave like a fresh one, or could not be run (root?)")
}

/// The record beside an object: what it was built with and from.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    rustc: String,
    linker: String,
    sha256: String,
    /// Digest of the files the object was made from.
    sources: String,
}

impl Record {
    fn read(root: &Path, object: &Object) -> Result<Self> {
        let name = object.record();
        let text =
            fs::read_to_string(root.join(&name)).with_context(|| format!("cannot read {name}"))?;
        Self::parse(&text).with_context(|| format!("{name} is not whole"))
    }

    fn parse(text: &str) -> Result<Self> {
        let value = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once(" = "))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.trim_matches('"').to_owned())
                .with_context(|| format!("it has no {name}"))
        };
        Ok(Self {
            rustc: value("rustc")?,
            linker: value("linker")?,
            sha256: value("sha256")?,
            sources: value("sources")?,
        })
    }

    fn text(&self, object: &Object) -> String {
        format!(
            "# What {}.bpf.o was built with and from; `cargo xtask build-ebpf` writes it.\n\
             rustc = \"{}\"\nlinker = \"{}\"\nsha256 = \"{}\"\nsources = \"{}\"\n",
            object.name, self.rustc, self.linker, self.sha256, self.sources
        )
    }
}

fn sources_digest(root: &Path, object: &Object) -> Result<String> {
    let mut all = Vec::new();
    for source in object.sources {
        let octets =
            fs::read(root.join(source)).with_context(|| format!("cannot read {source}"))?;
        all.extend(format!("{source} {}\n", digest(&octets)).into_bytes());
    }
    Ok(digest(&all))
}

fn digest(octets: &[u8]) -> String {
    format!("{:x}", Sha256::digest(octets))
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
        assert_eq!(Record::parse(&record.text(&OBJECTS[0])).unwrap(), record);
        assert!(Record::parse("rustc = \"1\"").is_err());
    }

    /// This needs no BPF compiler: a changed source without a fresh object fails.
    #[test]
    fn the_committed_object_was_built_from_the_sources_that_are_here() {
        let root = shell::root();
        let advice = "run `cargo xtask build-ebpf`";
        for object in &OBJECTS {
            let record = Record::read(&root, object).unwrap();
            let octets = fs::read(root.join(object.file())).unwrap();
            assert_eq!(digest(&octets), record.sha256, "{advice}");
            assert_eq!(
                sources_digest(&root, object).unwrap(),
                record.sources,
                "{advice}"
            );
        }
    }
}
