//! CPU time at a fixed rate: the worker, which sleeps when there is nothing to do, beside a
//! receiver over an AF_PACKET ring (TPACKET_V3) that counts the same way.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use noctule_capture::xdp::Interface;
use noctule_counters::RandomState;
use noctule_counters::batch::{Batch, DarkFrame};
use noctule_counters::epoch::{Capacity, Epoch, Timing};
use noctule_packet::link::LinkType;
use noctule_testkit::generate::Sink;
use noctule_testkit::tpacket::PacketRing;

use super::collector::{Collector, Plan};
use super::cpu::Usage;
use super::wire::{self, SENSOR, Sent, Wire};
use crate::figure::{Figure, Goal, Rounds};

const ROUNDS: usize = 3;
/// Packets/s, and seconds of them.
const RATE: f64 = 1e6;
const SECONDS: f64 = 5.0;
/// Rows of the flow table, enough for most of the packets.
const MAX_FLOWS: usize = 4_000_000;
/// The reference's ring: 64 MiB, as much as the worker's packet memory.
const BLOCKS: (u32, u32) = (64, 1 << 20);
/// Goal: the part of the reference's CPU time that may be used.
const MOST: f64 = 0.5;

/// Measures, and checks that every frame sent was counted or lost.
pub fn run(wire: &Wire) -> Result<Vec<Figure>> {
    let [mut own, mut others, mut net, mut net_others] = [const { Vec::new() }; 4];
    let mut lost = [0, 0];
    for _ in 0..ROUNDS {
        let base = sink(wire)?;
        let (used, missing) = noctule(wire)?;
        lost[0] += missing;
        let (reference, missing) = packet_ring(wire)?;
        lost[1] += missing;
        own.push(used);
        others.push(reference);
        net.push(used - base);
        net_others.push(reference - base);
        println!(
            "CPU seconds at {:.1} Mpps for {SECONDS} s: {used:.2} (noctule), {reference:.2} (AF_PACKET), {base:.2} (generator alone)",
            RATE / 1e6
        );
    }
    println!("lost: {} (noctule), {} (AF_PACKET)", lost[0], lost[1]);
    let figure = |name, figures: &[f64], references: &[f64], goals: &[Goal]| {
        let rounds = Rounds {
            figures,
            references,
        };
        Figure::new(name, "CPU s", &rounds, Some("AF_PACKET ring"), goals)
    };
    Ok(vec![
        figure("live/cpu", &own, &others, &[]),
        figure(
            "live/cpu-net",
            &net,
            &net_others,
            &[Goal::RatioAtMost(MOST)],
        ),
    ])
}

/// Sends for [`SECONDS`], and measures until all frames were received.
fn measure(wire: &Wire, is_settled: impl Fn(u64) -> bool) -> Result<(Sent, f64)> {
    let before = Usage::now()?;
    let packets = (RATE * SECONDS) as u64;
    let sent =
        thread::scope(|scope| wire::join(scope.spawn(|| wire.send(packets, Some(RATE), || true))))?;
    wire::wait_until(Duration::from_secs(2), || is_settled(sent.frames));
    Ok((sent, Usage::now()?.since(&before).busy))
}

/// The generator alone: XDP drops every frame.
fn sink(wire: &Wire) -> Result<f64> {
    let sink = {
        let _inside = wire.enter()?;
        Sink::attach(&Interface::find(SENSOR)?)?
    };
    let (_, used) = measure(wire, |_| true)?;
    drop(sink);
    Ok(used)
}

fn noctule(wire: &Wire) -> Result<(f64, i64)> {
    let plan = Plan {
        max_flows: MAX_FLOWS,
        interval_seconds: 3600,
        store: None,
    };
    let collector = Collector::start(wire, plan)?;
    let (sent, used) = measure(wire, |sent| collector.is_settled(sent))?;
    let collected = collector.finish(&sent)?;
    Ok((used, collected.total.lost.total()))
}

/// AF_PACKET gets frames from the stack: a veth without an XDP program takes the generator's only
/// with GRO on.
fn packet_ring(wire: &Wire) -> Result<(f64, i64)> {
    wire.command("ethtool", &["-K", SENSOR, "gro", "on"])
        .context("ethtool is needed for the reference")?;
    let (ring, darknet) = {
        let _inside = wire.enter()?;
        let interface = Interface::find(SENSOR)?;
        (
            PacketRing::open(&interface, BLOCKS.0, BLOCKS.1)?,
            wire::darknet()?,
        )
    };
    let (counted, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut epoch = Epoch::new(&Capacity::share(MAX_FLOWS, 1), 1, &RandomState::new());
    let (sent, used, lost) = thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            core_affinity::set_for_current(wire.counting);
            let (mut ring, mut batch) = (ring, Batch::default());
            loop {
                let over = done.load(Ordering::Relaxed);
                let Some(block) = ring.block() else {
                    batch.finish(&mut epoch);
                    if over {
                        return Ok(ring.lost()?);
                    }
                    ring.wait(50)?;
                    continue;
                };
                let dark = block.frames().filter_map(|octets| {
                    Some(DarkFrame {
                        network: darknet.locate(LinkType::Ethernet, octets)?,
                        octets,
                        wire_bytes: octets.len(),
                        offset_us: 0,
                        timing: Timing::OnTime,
                        queue: 0,
                    })
                });
                let packets = batch.count(&mut epoch, dark);
                counted.fetch_add(packets, Ordering::Relaxed);
            }
        });
        let measured = measure(wire, |sent| counted.load(Ordering::Relaxed) >= sent);
        done.store(true, Ordering::Relaxed);
        let lost = wire::join(receiver)?;
        measured.map(|(sent, used)| (sent, used, lost))
    })?;
    wire.command("ethtool", &["-K", SENSOR, "gro", "off"])?;
    let counted = counted.load(Ordering::Relaxed);
    ensure!(
        sent.frames == counted + lost,
        "{} packets were sent to the reference, which counted {counted} and lost {lost}",
        sent.frames
    );
    Ok((used, lost as i64))
}
