//! Holds every dependency to the permissive licences that THIRD-PARTY.md names.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{fuzz, shell};

/// Licences that need no more than to be named.
const PERMISSIVE: [&str; 11] = [
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "0BSD",
];

/// Looks at the dependencies of the collector, of the XDP program and of the fuzz targets.
///
/// # Errors
/// A package without a licence, or under one that is not permissive.
pub fn check() -> Result<()> {
    for manifest in ["Cargo.toml", "ebpf/Cargo.toml", fuzz::MANIFEST] {
        let mut metadata = shell::cargo();
        metadata.args(["metadata", "--format-version", "1", "--locked", "--quiet"]);
        let text = shell::output(metadata.args(["--manifest-path", manifest]))?;
        let metadata: Value = serde_json::from_str(&text)?;
        let packages = metadata["packages"].as_array().context("no packages")?;
        for package in packages {
            let name = package["name"].as_str().unwrap_or_default();
            let licence = package["license"]
                .as_str()
                .with_context(|| format!("{name} states no licence"))?;
            ensure!(
                is_permissive(licence),
                "{name} is licensed under {licence}: choose another library, or add the licence \
                 to THIRD-PARTY.md and to the list in xtask/src/licences.rs"
            );
        }
        println!("   {manifest}: {} packages, all permissive", packages.len());
    }
    Ok(())
}

/// An SPDX expression in which, of every choice, one licence is permissive.
///
/// Expressions of crates have no nested choices worth more: AND binds parts, each of which is a
/// list of alternatives; an exception (`WITH`) only ever permits more.
fn is_permissive(expression: &str) -> bool {
    (expression.split(" AND ")).all(|part| {
        part.split(" OR ")
            .flat_map(|choice| choice.split('/'))
            .map(|name| name.trim_matches(['(', ')', ' ']))
            .map(|name| name.split(" WITH ").next().unwrap_or(name))
            .any(|name| PERMISSIVE.contains(&name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_permissive_choice_suffices_and_every_part_counts() {
        assert!(is_permissive("MIT OR Apache-2.0"));
        assert!(is_permissive("MIT/Apache-2.0"));
        assert!(is_permissive("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(is_permissive("Apache-2.0 WITH LLVM-exception"));
        assert!(is_permissive("MIT OR GPL-2.0"));
        assert!(!is_permissive("GPL-3.0-only"));
        assert!(!is_permissive("MIT AND LGPL-2.1"));
    }
}
