//! Decode, classify, fingerprint and count on one core, beside a loop that only touches each
//! frame's header.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use noctule_capture::synth::SynthConfig;
use noctule_counters::RandomState;
use noctule_counters::batch::{Batch, Frame};
use noctule_counters::epoch::{Capacity, Epoch, Timing};
use noctule_packet::darknet::Darknet;
use noctule_packet::link::LinkType;

use crate::figure::{Figure, Goal, Rounds};
use crate::frames::Frames;

/// The benchmark's darknet.
pub const PREFIX: &str = "198.18.0.0/15";
const PACKETS: u64 = 2_000_000;
const SOURCES: u64 = 1_000_000;
/// Rows of the flow table.
pub const MAX_FLOWS: usize = 4_000_000;
const ROUNDS: usize = 7;
/// What line rate on one core asks for: 25 Mpps where touching a header goes at 120.
const TARGET: f64 = 0.20;

/// Measures, and holds the counts against the truth.
pub fn run() -> Result<Vec<Figure>> {
    let darknet = Darknet::parse(&[PREFIX], &[])?;
    let (frames, truth) = Frames::generate(&load()?, &darknet)?;
    println!(
        "{} frames from {} sources, {} MiB, median of {ROUNDS} rounds",
        frames.len(),
        truth.summary.sources.unwrap_or_default(),
        frames.bytes() >> 20
    );
    let mut epoch = Epoch::new(&Capacity::share(MAX_FLOWS, 1), 1, &RandomState::new());
    let (mut touch, mut count) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        touch.push(rate(&frames, || touch_headers(&frames)));
        epoch.clear();
        count.push(rate(&frames, || count_all(&frames, &darknet, &mut epoch)));
        let counted = epoch.tallies().next().context("one lane")?;
        ensure!(
            (counted.packets, counted.bytes)
                == (truth.summary.dark_packets, truth.summary.dark_bytes),
            "{} packets of {} bytes were counted; the truth is {} and {}",
            counted.packets,
            counted.bytes,
            truth.summary.dark_packets,
            truth.summary.dark_bytes
        );
    }
    let rounds = Rounds {
        figures: &count,
        references: &touch,
    };
    let goals = [Goal::RatioAtLeast(TARGET)];
    let reference = Some("touching each header");
    Ok(vec![Figure::new(
        "pipeline/mix",
        "Mpps",
        &rounds,
        reference,
        &goals,
    )])
}

/// The load of this bench and of those that take a part of it.
pub fn load() -> Result<SynthConfig> {
    Ok(SynthConfig {
        packets: PACKETS,
        sources: SOURCES,
        ..SynthConfig::new(vec![PREFIX.parse()?])
    })
}

/// One read per frame: the cost of having the header at all.
fn touch_headers(frames: &Frames) {
    let mut sum = 0u64;
    for frame in frames.iter() {
        sum = sum.wrapping_add(frame.get(30).copied().unwrap_or_default().into());
    }
    black_box(sum);
}

/// Counts every frame, as a live worker does.
#[inline(never)]
pub fn count_all(frames: &Frames, darknet: &Darknet, epoch: &mut Epoch) {
    let mut batch = Batch::default();
    let located = frames.iter().enumerate().filter_map(|(time, octets)| {
        Some(Frame {
            network: darknet.locate(LinkType::Ethernet, octets)?,
            octets,
            wire_bytes: octets.len(),
            offset_us: time as u32,
            timing: Timing::OnTime,
            lane: 0,
        })
    });
    batch.count(epoch, located);
    batch.finish(epoch);
}

/// Million frames per second.
pub fn rate(frames: &Frames, work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    frames.len() as f64 / began.elapsed().as_secs_f64() / 1e6
}
