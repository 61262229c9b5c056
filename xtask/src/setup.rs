//! Installs what building, the demo and the tests need, and says what it installs.

use std::env;
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{ebpf, shell};

/// What a plain `cargo build` needs besides Rust: libxdp is built in C.
pub const BUILD: &[&str] = &[
    "clang",
    "llvm",
    "libclang-dev",
    "libelf-dev",
    "zlib1g-dev",
    "libpcap-dev",
    "m4",
    "make",
    "pkg-config",
    "gcc-multilib",
];
/// What the demo needs besides.
pub const DEMO: &[&str] = &["iproute2", "iputils-ping", "procps", "tcpreplay"];
/// What the tests need besides.
pub const TEST: &[&str] = &[
    "python3",
    "python3-venv",
    "util-linux",
    "tcpdump",
    "tshark",
    "masscan",
    "zmap",
    "nmap",
    "hping3",
    "g++",
    "openjdk-17-jre-headless",
    "chromium",
    "fonts-noto-cjk",
    "nodejs",
    "npm",
];
/// What the replay bench needs besides: others who read captures, and what pins them in memory.
pub const PEERS: &[&str] = &[
    "libtrace-tools",
    "nfdump",
    "pmacct",
    "tcpdump",
    "util-linux",
    "vmtouch",
];
/// What the live bench needs besides.
pub const BENCH: &[&str] = &["iproute2", "ethtool"];
/// Python packages that read the store, FlowTuples and captures in the tests, or serve the store (S3),
/// and what each is imported as.
const READERS: &[(&str, &str)] = &[
    ("pyarrow", "pyarrow"),
    ("duckdb", "duckdb"),
    ("chdb", "chdb"),
    ("pyspark", "pyspark"),
    ("fastavro", "fastavro"),
    ("jsonschema[format]", "jsonschema, rfc3339_validator"),
    ("moto[server]", "moto.server"),
    ("numpy", "numpy"),
];

/// Everything.
///
/// # Errors
/// An installation fails or is declined.
pub fn everything(yes: bool) -> Result<()> {
    packages(&[BUILD, DEMO, TEST].concat(), yes)?;
    readers()?;
    pages()?;
    ebpf::build(true, true)
}

/// Installs those of Debian's packages that are missing; asks first, unless `yes` or nobody is
/// there to be asked.
///
/// # Errors
/// No apt-get here, an installation that fails, or an answer that is no.
pub fn packages(wanted: &[&str], yes: bool) -> Result<()> {
    let missing: Vec<&str> = (wanted.iter().copied())
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if shell::output(Command::new("apt-get").arg("--version")).is_err() {
        bail!(
            "these are missing, under their Debian names: {list}; install what your system calls them"
        );
    }
    if !shell::is_root() {
        bail!("these Debian packages are missing: {list}; run `sudo apt-get install {list}`");
    }
    println!("to be installed by apt-get: {list}");
    if !yes && !agreed()? {
        bail!("nothing was installed; run `apt-get install {list}` yourself");
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
            .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
            .args(arguments);
        shell::output(&mut command)
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], &missing[..]].concat())?;
    println!("installed: {list}");
    Ok(())
}

fn is_installed(package: &str) -> bool {
    let status = shell::output(Command::new("dpkg-query").args([
        "-W",
        "-f",
        "${db:Status-Status}",
        package,
    ]));
    let is_packaged = matches!(status, Ok(text) if text == "installed");
    // Node.js from elsewhere brings its own npm, and Debian's conflicts with it.
    is_packaged || (package == "npm" && shell::output(Command::new("npm").arg("--version")).is_ok())
}

fn agreed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    print!("install them now? [Y/n] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "" | "y" | "Y" | "yes"))
}

/// A Python that reads Parquet with libraries that are not ours, made on first use.
///
/// # Errors
/// The environment cannot be made, or a package cannot be had.
pub fn readers() -> Result<PathBuf> {
    let folder = shell::target().join("python");
    let python = folder.join("bin/python3");
    let imports = READERS
        .iter()
        .map(|(_, module)| format!("import {module}\n"))
        .collect::<String>();
    if shell::output(Command::new(&python).args(["-c", &imports])).is_ok() {
        return Ok(python);
    }
    let names: Vec<&str> = READERS.iter().map(|(name, _)| *name).collect();
    println!("making a Python environment with {}", names.join(", "));
    // Debian's own, whose venv module was installed; another on PATH may lack it.
    let system = PathBuf::from("/usr/bin/python3");
    let base = if system.exists() {
        system
    } else {
        "python3".into()
    };
    shell::output(
        Command::new(base)
            .args(["-m", "venv", "--clear"])
            .arg(&folder),
    )?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    shell::output(pip.args(names))?;
    Ok(python)
}

/// The folder with what looks at reports in a browser, and its packages.
///
/// # Errors
/// It cannot be made, or a package cannot be had.
pub fn pages() -> Result<PathBuf> {
    let (from, folder) = (
        shell::root().join("tests/report/pages"),
        shell::target().join("pages"),
    );
    fs::create_dir_all(&folder)?;
    let lock = fs::read(from.join("package-lock.json"))?;
    let installed = folder.join("node_modules/.noctule");
    let is_fresh = fs::read(&installed).is_ok_and(|of| of == lock);
    for name in ["page.mjs", "package.json", "package-lock.json"] {
        fs::copy(from.join(name), folder.join(name))?;
    }
    if !is_fresh {
        println!("installing what looks at pages in a browser");
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--silent"]);
        shell::output(npm.current_dir(&folder))?;
        fs::write(installed, lock)?;
    }
    Ok(folder)
}

/// The real captures and databases that tests compare with, if they are there.
pub fn data() -> Option<PathBuf> {
    let beside = || {
        shell::root()
            .parent()
            .map(|above| above.join("shared/data"))
    };
    (env::var_os("NOCTULE_DATA").map(PathBuf::from))
        .or_else(beside)
        .filter(|folder| folder.is_dir())
}
