//! Benchmarks: each figure has a reference that is measured in the same run.
//!
//! `noctule-benches FOLDER NAME...` runs these benches one after another and writes
//! `FOLDER/NAME.json`; `noctule-benches FOLDER` prints these files as one table.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use figure::Figure;

mod collide;
mod figure;
mod flood;
mod flush;
mod frames;
mod live;
mod memory;
mod pipeline;
mod probes;
mod program;
mod replay;
mod report;
mod rules;
mod scale;
mod store;
mod threads;
mod xdp;

/// A bench: measures, and fails if its counts differ from the true ones.
type Bench = fn() -> Result<Vec<Figure>>;

/// All benches, in the order of the table; `xtask/src/bench.rs` has the same names.
const BENCHES: &[(&str, Bench)] = &[
    ("pipeline", pipeline::run),
    ("flood", flood::run),
    ("collide", collide::run),
    ("scale", scale::run),
    ("memory", memory::run),
    ("rules", rules::run),
    ("xdp", xdp::run),
    ("live", live::run),
    ("flush", flush::run),
    ("replay", replay::run),
    ("store", store::run),
    ("report", report::run),
];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("where should the figures go?")?;
    let folder = Path::new(&folder);
    let names: Vec<_> = arguments.collect();
    for name in &names {
        let Some((_, bench)) = BENCHES.iter().find(|(own, _)| own == name) else {
            bail!("there is no bench \"{name}\"");
        };
        println!("{name}:");
        let figures = bench().with_context(|| format!("bench {name}"))?;
        let out = folder.join(format!("{name}.json"));
        fs::write(&out, serde_json::to_string_pretty(&figures)? + "\n")
            .with_context(|| format!("cannot write {}", out.display()))?;
        figure::print(&figures);
        println!();
    }
    if names.is_empty() {
        let mut all: Vec<Figure> = Vec::new();
        for (name, _) in BENCHES {
            let from = folder.join(format!("{name}.json"));
            if let Ok(text) = fs::read_to_string(&from) {
                let figures: Vec<Figure> = serde_json::from_str(&text)
                    .with_context(|| format!("{} is not of this version", from.display()))?;
                all.extend(figures);
            }
        }
        figure::print(&all);
        println!("on {}", figure::machine());
    }
    Ok(())
}
