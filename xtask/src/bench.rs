//! `bench`: runs the benches, which are a package of their own.

use anyhow::{Result, bail};

use crate::{setup, shell};

/// Every bench.
const BENCHES: [&str; 12] = [
    "pipeline", "flood", "collide", "scale", "memory", "rules", "xdp", "live", "flush", "replay",
    "store", "report",
];
/// Benches that take so long that they run only when they are named.
const ONLY_NAMED: [&str; 2] = ["store", "report"];

/// Runs one bench, or all and prints one table. Each writes `target/bench/<name>.json`.
///
/// # Errors
/// There is no bench of that name, or a bench fails.
pub fn run(name: Option<&str>) -> Result<()> {
    if let Some(name) = name
        && !BENCHES.contains(&name)
    {
        bail!(
            "there is no bench \"{name}\"; choose one of {}",
            BENCHES.join(", ")
        );
    }
    setup::packages(&[setup::BUILD, setup::BENCH].concat(), false)?;
    let folder = shell::target().join("bench");
    std::fs::create_dir_all(&folder)?;
    let benches = |names: &[&str]| {
        let mut command = shell::cargo();
        command.args(["run", "--quiet", "--release"]);
        command.args(["--package", "noctule-benches", "--"]);
        shell::run(command.arg(&folder).args(names))
    };
    // Each bench has a process of its own, so that it starts with a fresh heap.
    let wanted = |bench: &str| name.map_or(!ONLY_NAMED.contains(&bench), |name| name == bench);
    for bench in BENCHES.iter().filter(|bench| wanted(bench)) {
        // These run whole programs.
        let programs: &[&str] = match *bench {
            "replay" => &["noctule"],
            "store" | "report" => &["noctule", "noctule-analyze"],
            _ => &[],
        };
        if *bench == "replay" {
            setup::packages(setup::PEERS, false)?;
        }
        for program in programs {
            let mut build = shell::cargo();
            build.args(["build", "--quiet", "--release", "--package", program]);
            shell::run(&mut build)?;
        }
        benches(&[bench])?;
    }
    match name {
        Some(_) => Ok(()),
        None => benches(&[]),
    }
}
