//! Benchmarks: figures beside a reference that was measured in the same run.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

mod frames;
mod pipeline;
mod rules;

/// What a bench writes.
#[derive(Debug, Serialize)]
struct Figure {
    /// Name of the bench.
    name: &'static str,
    /// What was measured.
    figure: f64,
    /// Its unit.
    unit: &'static str,
    /// The reference's figure, in the same unit, from the same run.
    reference: f64,
    /// Figure divided by reference.
    ratio: f64,
    /// The ratio to be reached.
    target: f64,
    /// Was it?
    met: bool,
    /// What it was measured on.
    machine: String,
}

impl Figure {
    /// A figure and its reference, each the median of its rounds; the ratio is the median of the
    /// rounds' own ratios, since the two of a round have had the same neighbours on the machine.
    fn new(
        name: &'static str,
        figures: &[f64],
        unit: &'static str,
        references: &[f64],
        target: f64,
    ) -> Self {
        let ratios: Vec<_> = (figures.iter().zip(references))
            .map(|(figure, reference)| figure / reference)
            .collect();
        let ratio = median(&ratios);
        Self {
            name,
            figure: median(figures),
            unit,
            reference: median(references),
            ratio,
            target,
            met: ratio >= target,
            machine: machine(),
        }
    }
}

/// The figure in the middle.
fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments
        .next()
        .context("which bench? see `cargo xtask bench`")?;
    let out = PathBuf::from(arguments.next().context("where should the figures go?")?);
    let figure = match name.as_str() {
        "pipeline" => pipeline::run()?,
        "rules" => rules::run()?,
        other => bail!("there is no bench \"{other}\""),
    };
    println!(
        "{}: {:.1} {} beside {:.1} {}: ratio {:.3}, target {:.2}: {}\non {}",
        figure.name,
        figure.figure,
        figure.unit,
        figure.reference,
        figure.unit,
        figure.ratio,
        figure.target,
        if figure.met { "met" } else { "missed" },
        figure.machine
    );
    fs::write(&out, serde_json::to_string_pretty(&figure)? + "\n")
        .with_context(|| format!("cannot write {}", out.display()))
}

/// CPU model and number of CPUs.
fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = (text.lines())
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown CPU", |(_, model)| model);
    let cpus = text
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    format!("{model}, {cpus} CPUs")
}
