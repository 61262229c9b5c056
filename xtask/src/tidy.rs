//! What a reader may rely on in every source file and in every package; run as tests.

mod documents;
mod imports;
mod packages;
mod source;
mod words;

use std::path::{Path, PathBuf};

use crate::shell;

/// Longest source file in lines; a longer module is probably two.
const LONGEST: usize = 450;

/// Every file of the repository with one of these endings, below one folder.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_ours = !["target", "node_modules"].contains(&&*name) && !name.starts_with('.');
            let ending = path.extension().unwrap_or_default().to_string_lossy();
            if path.is_dir() && is_ours {
                folders.push(path);
            } else if endings.contains(&&*ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn offenders(is_bad: impl Fn(&Path, &str) -> bool) -> Vec<PathBuf> {
    let sources = files(&shell::root(), &["rs"]);
    assert!(sources.len() > 50, "the walk found the sources");
    let mut bad = sources;
    bad.retain(|path| is_bad(path, &std::fs::read_to_string(path).unwrap()));
    bad
}

#[test]
fn every_file_says_what_it_is_for() {
    let bad = offenders(|_, text| !text.starts_with("//! "));
    assert!(bad.is_empty(), "these do not open with `//! `: {bad:?}");
}

#[test]
fn modules_stay_short() {
    let bad = offenders(|_, text| text.lines().count() > LONGEST);
    assert!(
        bad.is_empty(),
        "these have more than {LONGEST} lines: {bad:?}"
    );
}

/// `unsafe` is allowed in the XDP program, in capture, in test support and, where a measured hot
/// path needs it, in counters.
#[test]
fn unsafe_stays_in_its_packages() {
    let word = ["unsafe", "_code,"].concat();
    let allowed = [
        "ebpf",
        "collector/capture",
        "collector/counters",
        "tests/kit",
    ]
    .map(|folder| shell::root().join(folder));
    let bad = offenders(|path, text| {
        text.contains(&word) && !allowed.iter().any(|folder| path.starts_with(folder))
    });
    assert!(bad.is_empty(), "`unsafe` is expected in these: {bad:?}");
}

/// Packet code is pure, and the memory of the hot path reads no files.
#[test]
fn pure_packages_do_no_input_or_output() {
    let pure = ["collector/packet", "collector/counters"].map(|folder| shell::root().join(folder));
    let calls = [
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "SystemTime",
        "Instant::now",
    ];
    let bad = offenders(|path, text| {
        pure.iter().any(|folder| path.starts_with(folder))
            && calls.iter().any(|call| text.contains(call))
    });
    assert!(bad.is_empty(), "these should be pure: {bad:?}");
}
