//! How the sizes of rings and batches change the worker's time per packet, and losses.

use anyhow::Result;
use noctule_capture::xdp::XskConfig;

use super::busy::Receiver;
use super::wire::Wire;
use crate::figure::{Figure, Rounds};

const ROUNDS: usize = 2;
/// Packets/s of the steady sending, below the rate that one core counts.
const STEADY: f64 = 1.5e6;
/// Frames of packet memory, with the default batch.
const FRAMES: [u32; 5] = [2_048, 8_192, 16_384, 32_768, 65_536];
/// Frames taken at once, with the default packet memory.
const BATCHES: [u32; 4] = [16, 32, 128, 256];

/// Measures every size beside the default one, taking turns.
pub fn run(wire: &Wire) -> Result<Vec<Figure>> {
    let default = XskConfig::default();
    let with_frames = FRAMES.map(|frames| XskConfig { frames, ..default });
    let with_batch = BATCHES.map(|batch| XskConfig { batch, ..default });
    let sizes: Vec<XskConfig> = with_frames.into_iter().chain(with_batch).collect();
    let mut ns = vec![Vec::new(); sizes.len()];
    let mut lost = vec![0; sizes.len()];
    for _ in 0..ROUNDS {
        for (index, socket) in sizes.iter().enumerate() {
            let mut receiver = Receiver::open(wire, socket)?;
            let (busy, _) = receiver.count_all(wire, None)?;
            ns[index].push(busy.ns());
            lost[index] += receiver.count_all(wire, Some(STEADY))?.1;
        }
    }
    let references =
        (sizes.iter().position(|size| *size == default)).map(|index| ns[index].clone());
    let references = references.unwrap_or_default();
    println!(
        "lost at a steady {:.1} Mpps, of {ROUNDS} sendings:",
        STEADY / 1e6
    );
    let figures = sizes.iter().zip(&ns).zip(&lost).map(|((size, ns), lost)| {
        let name = format!("live/{} frames, batches of {}", size.frames, size.batch);
        println!("  {name}: {lost}");
        let rounds = Rounds {
            figures: ns,
            references: &references,
        };
        Figure::new(&name, "ns", &rounds, Some("default sizes"), &[])
    });
    Ok(figures.collect())
}
