//! Installs what building, the demo and the tests need, and names what it installs.

use std::env;
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{dependencies, ebpf, shell};

/// Debian packages that a plain `cargo build` needs besides Rust: a linker, and a C compiler for zstd
/// and ring.
pub const BUILD: &[&str] = &["gcc", "libc6-dev"];
/// Debian packages that the demo needs besides.
pub const DEMO: &[&str] = &["iproute2", "iputils-ping", "procps", "tcpreplay"];
/// Debian packages that the tests need besides.
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
/// Debian packages that the replay bench needs besides: other programs that read captures, and
/// vmtouch, which pins captures in memory.
pub const PEERS: &[&str] = &[
    "libtrace-tools",
    "nfdump",
    "pmacct",
    "tcpdump",
    "util-linux",
    "vmtouch",
];
/// Debian packages that the live bench needs besides.
pub const BENCH: &[&str] = &["iproute2", "ethtool"];
/// Python packages that the tests use, with their versions.
const REQUIREMENTS: &str = "tests/requirements.txt";

/// Installs everything.
///
/// # Errors
/// An installation fails or is declined.
pub fn everything(yes: bool) -> Result<()> {
    packages(&[BUILD, DEMO, TEST].concat(), yes)?;
    readers()?;
    pages()?;
    dependencies::cargo_deny()?;
    ebpf::build(true, true)
}

/// Installs those of Debian's packages that are missing. It asks first, unless `yes` is true or
/// standard input is no terminal.
///
/// # Errors
/// The system has no apt-get, the user is not root, an installation fails, or the user declines.
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

/// A Python environment with the packages of `tests/requirements.txt`; returns its interpreter.
///
/// # Errors
/// The environment cannot be made, or a package cannot be installed.
pub fn readers() -> Result<PathBuf> {
    let folder = shell::target().join("python");
    let python = folder.join("bin/python3");
    let requirements = shell::root().join(REQUIREMENTS);
    let wanted = fs::read_to_string(&requirements)?;
    let pip = || {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "--disable-pip-version-check"]);
        pip
    };
    if let Ok(installed) = shell::output(pip().arg("freeze"))
        && has_all(&installed, &wanted)
    {
        return Ok(python);
    }
    println!("making a Python environment with the packages of {REQUIREMENTS}");
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
    shell::output(
        pip()
            .args(["install", "--quiet", "--requirement"])
            .arg(requirements),
    )?;
    Ok(python)
}

/// True if `pip freeze` printed each wanted package with its version. An extra, such as
/// `moto[server]`, is not printed.
fn has_all(installed: &str, wanted: &str) -> bool {
    let packages = (wanted.lines()).filter(|line| !line.is_empty() && !line.starts_with('#'));
    packages.into_iter().all(|line| {
        let (name, version) = line.split_once("==").unwrap_or((line, ""));
        let name = name.split('[').next().unwrap_or_default();
        (installed.lines()).any(|have| have == format!("{name}=={version}"))
    })
}

/// The folder of the program that opens reports in a browser, with its npm packages installed.
///
/// # Errors
/// The folder cannot be made, or npm fails.
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
        println!("installing the npm packages of tests/report/pages");
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--silent"]);
        shell::output(npm.current_dir(&folder))?;
        fs::write(installed, lock)?;
    }
    Ok(folder)
}

/// The folder of captures and databases that tests compare with: `NOCTULE_DATA`, or `shared/data`
/// beside the repository.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_environment_is_used_only_with_the_wanted_versions() {
        let wanted = "# why\nduckdb==2.0.1\nmoto[server]==5.2.5\n";
        assert!(has_all("duckdb==2.0.1\nmoto==5.2.5\nsix==1.17.0\n", wanted));
        assert!(!has_all("duckdb==2.0.0\nmoto==5.2.5\n", wanted));
        assert!(!has_all("duckdb==2.0.1\n", wanted));
    }
}
