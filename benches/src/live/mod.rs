//! Collecting from a wire: the kernel sends on one core, each packet from another source, and a
//! worker counts on the other.

use anyhow::Result;

use crate::figure::Figure;

mod busy;
mod collector;
mod cpu;
mod idle;
mod rate;
mod rings;
mod swaps;
mod wire;

/// Measures, and checks that every frame sent was counted or lost.
pub fn run() -> Result<Vec<Figure>> {
    let wire = wire::Wire::new()?;
    let mut figures = busy::run(&wire)?;
    figures.extend(rings::run(&wire)?);
    figures.extend(idle::run(&wire)?);
    figures.extend(rate::run(&wire)?);
    figures.extend(swaps::run(&wire)?);
    Ok(figures)
}
