//! The pipeline's load on one and on two workers, each with its own CPU and epoch.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use core_affinity::CoreId;
use noctule_counters::RandomState;
use noctule_counters::batch::Batch;
use noctule_counters::epoch::{Capacity, Epoch};
use noctule_packet::darknet::Darknet;
use noctule_synth::Truth;

use crate::figure::{Figure, Goal, Rounds};
use crate::frames::{Frames, PREFIX, located};
use crate::pipeline::{MAX_FLOWS, load};
use crate::threads::cpu_seconds;

/// Many short rounds, since other work on the machine disturbs some of them.
const ROUNDS: usize = 41;
/// Least ratio of two workers to one.
const TARGET: f64 = 1.9;

/// Measures, and checks the sums of the counts.
pub fn run() -> Result<Vec<Figure>> {
    let cores = core_affinity::get_core_ids().context("cannot learn which CPUs there are")?;
    let &[first, second, ..] = cores.as_slice() else {
        bail!("there is one CPU: two workers need two");
    };
    let darknet = Darknet::parse(&[PREFIX], &[])?;
    let (frames, truth) = Frames::generate(&load(PREFIX)?, &darknet)?;
    println!(
        "{} frames, each worker its share, median of {ROUNDS} rounds",
        frames.len()
    );
    let hasher = RandomState::new();
    let epochs = |workers: usize| -> Vec<Epoch> {
        let capacity = Capacity::share(MAX_FLOWS, workers);
        let epochs = (0..workers).map(|_| Epoch::new(&capacity, 1, &hasher));
        let epochs: Vec<_> = epochs.collect();
        epochs.iter().for_each(Epoch::fault_in);
        epochs
    };
    let (mut one, mut two) = (epochs(1), epochs(2));
    let (mut alone, mut both) = (Rates::default(), Rates::default());
    for round in 0..ROUNDS {
        // One worker's CPU changes from round to round, so that neither is favoured.
        let single = [if round % 2 == 0 { first } else { second }];
        for (cores, epochs, rates) in [
            (&single[..], &mut one, &mut alone),
            (&[first, second], &mut two, &mut both),
        ] {
            epochs.iter_mut().for_each(Epoch::clear);
            rates.add(frames.len(), measure(&frames, &darknet, cores, epochs)?);
            check(epochs, &truth)?;
        }
    }
    let figure = |name, figures: &[f64], references: &[f64], goals: &[Goal]| {
        let rounds = Rounds {
            figures,
            references,
        };
        Figure::new(name, "Mpps", &rounds, Some("one worker"), goals)
    };
    Ok(vec![
        figure(
            "scale/two-workers",
            &both.wall,
            &alone.wall,
            &[Goal::RatioAtLeast(TARGET)],
        ),
        // The slower worker's CPU time, which excludes time that other programs used the CPUs.
        figure("scale/cpu-time", &both.cpu, &alone.cpu, &[]),
    ])
}

/// Million packets per second, round by round.
#[derive(Default)]
struct Rates {
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Rates {
    fn add(&mut self, packets: usize, time: Time) {
        let rate = |seconds: f64| packets as f64 / seconds / 1e6;
        self.wall.push(rate(time.wall));
        self.cpu.push(rate(time.cpu));
    }
}

/// Times of a round, in seconds.
#[derive(Clone, Copy)]
struct Time {
    /// From the first worker's start to the last worker's end.
    wall: f64,
    /// CPU time of the slower worker.
    cpu: f64,
}

/// Starts a worker on each of these CPUs, which counts its part of the frames.
fn measure(
    frames: &Frames,
    darknet: &Darknet,
    cores: &[CoreId],
    epochs: &mut [Epoch],
) -> Result<Time> {
    let workers = cores.len();
    let ready = Barrier::new(workers);
    let spans = thread::scope(|scope| {
        let workers: Vec<_> = (cores.iter().zip(epochs).enumerate())
            .map(|(number, (&core, epoch))| {
                let part = frames.len() * number / workers..frames.len() * (number + 1) / workers;
                let ready = &ready;
                scope.spawn(move || {
                    let pinned = core_affinity::set_for_current(core);
                    let mut batch = Batch::default();
                    let octets = frames.iter().skip(part.start).take(part.len());
                    let located = located(darknet, octets);
                    ready.wait();
                    let (began, cpu_began) = (Instant::now(), cpu_seconds()?);
                    batch.count(epoch, located);
                    batch.finish(epoch);
                    let ended = Instant::now();
                    let cpu = cpu_seconds()? - cpu_began;
                    ensure!(pinned, "cannot pin a worker to its CPU");
                    Ok((began, ended, cpu))
                })
            })
            .collect();
        // All are joined, even if one failed.
        let ended: Vec<_> = workers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        ended
    });
    let spans = spans
        .into_iter()
        .map(|span| span.unwrap_or_else(|_| bail!("a worker panicked")));
    let spans: Vec<_> = spans.collect::<Result<_>>()?;
    let began = spans.iter().map(|span| span.0).min();
    let ended = spans.iter().map(|span| span.1).max();
    let (began, ended) = began.zip(ended).context("no worker")?;
    Ok(Time {
        wall: ended.duration_since(began).as_secs_f64(),
        cpu: spans.iter().map(|span| span.2).fold(0.0, f64::max),
    })
}

/// Checks that the workers counted every packet.
fn check(epochs: &[Epoch], truth: &Truth) -> Result<()> {
    let (mut packets, mut bytes, mut by_port) = (0, 0, 0);
    for epoch in epochs {
        let tally = epoch.tallies().next().context("one lane")?;
        packets += tally.packets;
        bytes += tally.bytes;
        by_port += epoch
            .ports
            .iter()
            .map(|(_, count)| count.packets)
            .sum::<u64>();
    }
    let summary = &truth.summary;
    ensure!(
        (packets, by_port, bytes)
            == (
                summary.dark_packets,
                summary.dark_packets,
                summary.dark_bytes
            ),
        "{packets} packets of {bytes} bytes were counted, {by_port} by port; the truth is {} of {}",
        summary.dark_packets,
        summary.dark_bytes
    );
    Ok(())
}
