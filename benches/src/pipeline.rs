//! Decode, classify, fingerprint and count on one core, compared with a loop that only reads each
//! frame's header.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use noctule_counters::RandomState;
use noctule_counters::batch::Batch;
use noctule_counters::epoch::{Capacity, Epoch};
use noctule_packet::cell::protocol::TCP;
use noctule_packet::darknet::Darknet;
use noctule_packet::{CellId, Class};
use noctule_synth::SynthConfig;

use crate::figure::{Figure, Goal, Rounds};
use crate::frames::{Frames, PREFIX, located};
use crate::probes::Probes;

/// The benches' IPv6 darknet.
const PREFIX6: &str = "2001:db8::/32";
const PACKETS: u64 = 2_000_000;
const SOURCES: u64 = 1_000_000;
/// Rows of the flow table.
pub const MAX_FLOWS: usize = 4_000_000;
const ROUNDS: usize = 9;
const REFERENCE: Option<&str> = Some("touching each header");

/// Measures, and checks the counts.
pub fn run() -> Result<Vec<Figure>> {
    Ok(vec![
        // Line rate on one core: 25 Mpps on a machine that reads 120 million headers per second.
        synthetic("pipeline/mix", &load(PREFIX)?, &[Goal::RatioAtLeast(0.20)])?,
        flood()?,
        all_ports()?,
        synthetic("pipeline/ipv6", &load(PREFIX6)?, &[Goal::AtLeast(12.0)])?,
    ])
}

/// Synthetic traffic of all components to this prefix.
pub fn load(prefix: &str) -> Result<SynthConfig> {
    Ok(SynthConfig {
        packets: PACKETS,
        sources: SOURCES,
        ..SynthConfig::new(vec![prefix.parse()?])
    })
}

fn synthetic(name: &str, load: &SynthConfig, goals: &[Goal]) -> Result<Figure> {
    let prefixes: Vec<_> = load.prefixes.iter().map(ToString::to_string).collect();
    let darknet = Darknet::parse(&prefixes, &[])?;
    let (frames, truth) = Frames::generate(load, &darknet)?;
    println!(
        "{name}: {} frames from {} sources, {} MiB, median of {ROUNDS} rounds",
        frames.len(),
        truth.summary.sources,
        frames.bytes() >> 20
    );
    let mut epoch = Epoch::new(&Capacity::share(MAX_FLOWS, 1), 1, &RandomState::new());
    epoch.fault_in();
    let (mut touch, mut count) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        touch.push(rate(frames.len(), || {
            touch_headers(frames.iter());
            Ok(())
        })?);
        epoch.clear();
        count.push(rate(frames.len(), || {
            count_all(&frames, &darknet, &mut epoch);
            Ok(())
        })?);
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
    Ok(Figure::new(name, "Mpps", &rounds, REFERENCE, goals))
}

/// Each packet from a different source, into a full table.
fn flood() -> Result<Figure> {
    let mut probes = Probes::new()?;
    let mut epoch = Epoch::new(&Capacity::share(MAX_FLOWS, 1), 1, &RandomState::new());
    epoch.fault_in();
    let mut batch = Batch::default();
    // A multiplication by an odd number visits every address once.
    let spoofed = |packet: u64| ((packet as u32).wrapping_mul(0x9e37_79b1), 23);
    let mut sent = 0;
    let (mut touch, mut count) = (Vec::new(), Vec::new());
    let part = probes.len() as u64;
    for round in 0..4 * ROUNDS as u64 {
        touch.push(rate(probes.len(), || {
            touch_headers(probes.iter());
            Ok(())
        })?);
        probes.write(sent..sent + part, spoofed);
        count.push(rate(probes.len(), || {
            probes.count(probes.len(), &mut batch, &mut epoch)
        })?);
        sent += part;
        if round * part < MAX_FLOWS as u64 {
            // The table is not full yet.
            touch.clear();
            count.clear();
        }
    }
    batch.finish(&mut epoch);
    let in_rows: u64 = epoch.flows4.iter().map(|row| row.flow().packets).sum();
    let overflow = epoch.tallies().next().context("one lane")?.overflow;
    let port = CellId::new(TCP, Class::Scan, Some(23));
    let counted = epoch.ports.iter().find(|(cell, _)| *cell == port);
    let counted = counted.map_or(0, |(_, count)| count.packets);
    ensure!(
        (counted, in_rows + overflow) == (sent, sent) && overflow > sent / 2,
        "{counted} packets were counted, {in_rows} in rows and {overflow} without; the truth is {sent}"
    );
    println!(
        "pipeline/flood: {sent} sources, {} rows of {MAX_FLOWS}",
        epoch.flows4.len()
    );
    let rounds = Rounds {
        figures: &count,
        references: &touch,
    };
    let goals = [Goal::AtLeast(15.0), Goal::RatioAtLeast(0.12)];
    Ok(Figure::new(
        "pipeline/flood",
        "Mpps",
        &rounds,
        REFERENCE,
        &goals,
    ))
}

/// A few sources that send to every port: 20 million flows, each with a row.
fn all_ports() -> Result<Figure> {
    const SOURCES: u64 = 306;
    const FLOWS: u64 = SOURCES * 65_536;
    const PASSES: u64 = 3;
    let mut probes = Probes::new()?;
    let capacity = Capacity::share(FLOWS as usize * 3 / 2, 1);
    let mut epoch = Epoch::new(&capacity, 1, &RandomState::new());
    epoch.fault_in();
    let mut batch = Batch::default();
    // A step that is coprime to the number of flows visits each flow once in a pass.
    let key = |packet: u64| {
        let flow = packet * 7_368_787 % FLOWS;
        (0x0909_0000 + (flow >> 16) as u32, flow as u16)
    };
    let mut sent = 0;
    let (mut touch, mut count) = (Vec::new(), Vec::new());
    while sent < PASSES * FLOWS {
        let part = (probes.len() as u64).min(PASSES * FLOWS - sent);
        touch.push(rate(probes.len(), || {
            touch_headers(probes.iter());
            Ok(())
        })?);
        probes.write(sent..sent + part, key);
        count.push(rate(part as usize, || {
            probes.count(part as usize, &mut batch, &mut epoch)
        })?);
        sent += part;
    }
    batch.finish(&mut epoch);
    let exact = epoch
        .flows4
        .iter()
        .filter(|row| row.flow().packets == PASSES);
    let (exact, rows) = (exact.count() as u64, epoch.flows4.len() as u64);
    let ports = epoch
        .ports
        .iter()
        .filter(|(_, count)| count.packets == SOURCES * PASSES);
    let ports = ports.count();
    ensure!(
        (exact, rows, ports) == (FLOWS, FLOWS, 65_536),
        "{rows} rows, {exact} of them and {ports} ports with the true count; the truth is {FLOWS} flows \
         of {PASSES} packets"
    );
    println!("pipeline/all-ports: {FLOWS} flows, {PASSES} passes");
    let rounds = Rounds {
        figures: &count,
        references: &touch,
    };
    let goals = [Goal::AtLeast(15.0), Goal::RatioAtLeast(0.12)];
    Ok(Figure::new(
        "pipeline/all-ports",
        "Mpps",
        &rounds,
        REFERENCE,
        &goals,
    ))
}

/// Reads one header field of each frame: the least that any program does.
fn touch_headers<'f>(frames: impl Iterator<Item = &'f [u8]>) {
    let mut sum = 0u64;
    for frame in frames {
        sum = sum.wrapping_add(frame.get(30).copied().unwrap_or_default().into());
    }
    black_box(sum);
}

/// Counts every frame as a live worker does.
pub fn count_all(frames: &Frames, darknet: &Darknet, epoch: &mut Epoch) {
    let mut batch = Batch::default();
    let located = located(darknet, frames.iter());
    batch.count(epoch, located);
    batch.finish(epoch);
}

/// Million frames per second.
pub fn rate(frames: usize, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(frames as f64 / began.elapsed().as_secs_f64() / 1e6)
}
