//! Which packages of the repository may depend on which.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::shell;

/// Every package that ships or that xtask needs, and the packages of the repository that it may depend
/// on, directly or
/// through others. `noctule-abi` holds the types that the XDP program shares with user space.
const ALLOWED: &[(&str, &[&str])] = &[
    ("noctule-abi", &[]),
    ("noctule-packet", &["noctule-abi"]),
    ("noctule-page", &[]),
    ("noctule-store", &[]),
    ("noctule-counters", &["noctule-abi", "noctule-packet"]),
    ("noctule-capture", &["noctule-abi", "noctule-packet"]),
    ("noctule-synth", &["noctule-abi", "noctule-packet"]),
    (
        "noctule-engine",
        &[
            "noctule-abi",
            "noctule-capture",
            "noctule-counters",
            "noctule-packet",
            "noctule-store",
        ],
    ),
    // Rule data of fingerprints is compiled into both programs.
    (
        "noctule-analyze",
        &[
            "noctule-abi",
            "noctule-packet",
            "noctule-page",
            "noctule-store",
        ],
    ),
    // It starts `noctule-analyze` as a program, so that a sensor links no query engine.
    (
        "noctule",
        &[
            "noctule-abi",
            "noctule-capture",
            "noctule-counters",
            "noctule-engine",
            "noctule-packet",
            "noctule-store",
            "noctule-synth",
        ],
    ),
    // Namespaces for tests and for the demo. It needs no C.
    ("noctule-netns", &[]),
    ("xtask", &["noctule-netns"]),
];
/// Packages that never ship: they may depend on any other.
const INTERNAL: &[&str] = &["noctule-benches", "noctule-testkit", "noctule-tests"];

/// The repository's packages, each with the packages of the repository that it names as dependencies
/// (those of tests excepted).
fn packages() -> Vec<(String, BTreeSet<String>)> {
    let mut metadata = shell::cargo();
    metadata.args([
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--offline",
    ]);
    let text = shell::output(&mut metadata).unwrap();
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let ours = dependencies
                .filter(|dependency| dependency["kind"] != "dev" && !dependency["path"].is_null())
                .map(|dependency| text(&dependency["name"]));
            (text(&package["name"]), ours.collect())
        })
        .collect()
}

#[test]
fn packages_depend_only_on_those_allowed() {
    let packages = packages();
    let mut bad = Vec::new();
    for (name, dependencies) in &packages {
        if INTERNAL.contains(&name.as_str()) {
            continue;
        }
        let (_, allowed) = (ALLOWED.iter())
            .find(|(package, _)| package == name)
            .unwrap_or_else(|| panic!("{name} is a new package: add it to {}", file!()));
        for dependency in dependencies {
            if !allowed.contains(&dependency.as_str()) {
                bad.push(format!("{name} -> {dependency}"));
            }
        }
    }
    assert!(
        bad.is_empty(),
        "these dependencies are not allowed: {bad:?}"
    );
    for (package, _) in ALLOWED {
        let is_there = packages.iter().any(|(name, _)| name == package);
        assert!(is_there, "{package} is in {} but no package", file!());
    }
}

/// What a package may depend on may itself depend on no more: the table has no hidden ways.
#[test]
fn the_table_is_closed() {
    for (package, allowed) in ALLOWED {
        for dependency in *allowed {
            let further = ALLOWED.iter().find(|(name, _)| name == dependency);
            let (_, further) = further.unwrap_or_else(|| panic!("{dependency} does not ship"));
            for one in *further {
                assert!(allowed.contains(one), "{package} -> {dependency} -> {one}");
            }
        }
    }
}
