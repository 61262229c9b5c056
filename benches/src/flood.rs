//! A minute of packets with distinct forged sources, together with scanners that send in every
//! interval: checks that memory does not grow, that port counts are exact and that the scanners keep
//! their rows, and measures the error of the sketches.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use noctule_counters::RandomState;
use noctule_counters::batch::Batch;
use noctule_counters::epoch::{Capacity, Epoch};
use noctule_counters::known_sources::KnownSources;
use noctule_counters::merge::{self, SketchSet};
use noctule_counters::sketches::Scope;
use noctule_packet::cell::protocol::TCP;
use noctule_packet::decode::Source;
use noctule_packet::{CellId, Class, Rules};
use noctule_store::sketch;

use crate::figure::{Figure, Goal, Rounds};
use crate::probes::Probes;

/// The collector's default.
const MAX_FLOWS: usize = 2_000_000;
const SCANNERS: u64 = 10_000;
const PORT: u16 = 23;
const LASTS: Duration = Duration::from_secs(60);
/// Packets between two packets of scanners.
const FORGED_BETWEEN: u64 = 99;
/// Runs of the sketch, each with different sources.
const SEEDS: u64 = 20;
const SKETCHED: u64 = 1_000_000;

const REGULAR: u32 = 0x0100_0000;
const NEWCOMER: u32 = 0x0200_0000;
/// Forged sources have the highest bit set; scanners do not.
const FORGED: u32 = 1 << 31;

/// Measures, and checks all counts.
pub fn run() -> Result<Vec<Figure>> {
    let mut probes = Probes::new()?;
    let hasher = RandomState::new();
    let known_sources = KnownSources::new(MAX_FLOWS, &hasher);
    let capacity = Capacity::share(MAX_FLOWS, 1);
    let tables = || Epoch::with_known_sources(known_sources.clone(), &capacity, 1, &hasher);
    let (mut calm, mut epoch) = (tables(), tables());
    calm.fault_in();
    epoch.fault_in();
    let mut batch = Batch::default();

    // The interval before the flood: one packet of each scanner, and other traffic.
    calm.begin(&Rules::shipped(), 0);
    probes.send(&mut batch, &mut calm, 0..4 * SCANNERS, |packet| {
        (REGULAR + (packet % (2 * SCANNERS)) as u32, PORT)
    })?;
    batch.finish(&mut calm);
    calm.learn_sources(&known_sources);

    epoch.begin(&Rules::shipped(), 1);
    let sent = Sent::default();
    let outcome = endure(&mut probes, &mut batch, &mut epoch, sent)?;
    let flooded = rows(&epoch, &outcome)?;
    let mut figures = vec![
        alone("flood/packets", "Mpps", outcome.rate, &[]),
        alone(
            "flood/memory growth",
            "MiB",
            outcome.grown_bytes as f64 / f64::from(1 << 20),
            &[Goal::AtMost(1.0)],
        ),
        alone(
            "flood/known scanners with exact rows",
            "%",
            flooded.known_sources,
            &[Goal::AtLeast(100.0)],
        ),
        alone(
            "flood/scanners new in the flood with rows",
            "%",
            flooded.newcomers,
            &[],
        ),
    ];
    figures.extend(sketches(&mut probes, &mut batch, &mut epoch)?);
    Ok(figures)
}

fn alone(name: &str, unit: &str, figure: f64, goals: &[Goal]) -> Figure {
    several(name, unit, &[figure], goals)
}

fn several(name: &str, unit: &str, figures: &[f64], goals: &[Goal]) -> Figure {
    let rounds = Rounds {
        figures,
        references: &[],
    };
    Figure::new(name, unit, &rounds, None, goals)
}

/// Packets that were sent, by kind of sender.
#[derive(Clone, Copy, Default)]
struct Sent {
    forged: u64,
    known: u64,
    newcomer: u64,
}

struct Outcome {
    sent: Sent,
    /// Millions a second.
    rate: f64,
    /// Growth of resident memory from the first second to the end.
    grown_bytes: u64,
}

/// Floods for [`LASTS`]. Of every hundred packets one is from a known scanner and, from the middle
/// on, another one from a new scanner.
fn endure(
    probes: &mut Probes,
    batch: &mut Batch,
    epoch: &mut Epoch,
    mut sent: Sent,
) -> Result<Outcome> {
    let began = Instant::now();
    let mut counting = Duration::ZERO;
    let mut after_a_second = None;
    while began.elapsed() < LASTS {
        let newcomers = began.elapsed() > LASTS / 2;
        let frames = probes.len() as u64;
        probes.write(0..frames, |number| {
            let (source, count) = match number % (FORGED_BETWEEN + 1) {
                0 => {
                    let scanner = sent_of(&mut sent.known) % SCANNERS;
                    return (REGULAR + scanner as u32, PORT);
                }
                50 if newcomers => (NEWCOMER, &mut sent.newcomer),
                _ => (FORGED, &mut sent.forged),
            };
            let number = sent_of(count);
            if source == FORGED {
                // A multiplication by an odd number visits every address once.
                (
                    FORGED | (number as u32).wrapping_mul(0x9e37_79b1) >> 1,
                    PORT,
                )
            } else {
                (source + (number % SCANNERS) as u32, PORT)
            }
        });
        let now = Instant::now();
        probes.count(frames as usize, batch, epoch)?;
        counting += now.elapsed();
        if after_a_second.is_none() && began.elapsed() > Duration::from_secs(1) {
            after_a_second = Some(resident()?);
        }
    }
    batch.finish(epoch);
    let packets = sent.forged + sent.known + sent.newcomer;
    Ok(Outcome {
        sent,
        rate: packets as f64 / counting.as_secs_f64() / 1e6,
        grown_bytes: resident()?.saturating_sub(after_a_second.unwrap_or_default()),
    })
}

/// The number of the next packet.
fn sent_of(count: &mut u64) -> u64 {
    *count += 1;
    *count - 1
}

struct Flooded {
    known_sources: f64,
    newcomers: f64,
}

/// Checks that port totals and overflow are exact; returns the shares of scanners that have rows.
fn rows(epoch: &Epoch, outcome: &Outcome) -> Result<Flooded> {
    let Sent {
        forged,
        known,
        newcomer,
    } = outcome.sent;
    let sent = forged + known + newcomer;
    let port = CellId::new(TCP, Class::Scan, Some(PORT));
    let counted = epoch.ports.get(port).packets;
    let overflow = epoch.tallies().next().context("one lane")?.overflow;
    let (mut in_rows, mut exact, mut newcomers) = (0, 0, 0);
    for row in epoch.flows4.iter() {
        let flow = row.flow();
        in_rows += flow.packets;
        let Source::V4(source) = flow.source else {
            continue;
        };
        if source & FORGED != 0 {
            continue;
        }
        if source >= NEWCOMER {
            newcomers += 1;
        } else {
            let scanner = u64::from(source - REGULAR);
            let expected = known / SCANNERS + u64::from(scanner < known % SCANNERS);
            exact += u64::from(flow.packets == expected);
        }
    }
    ensure!(
        counted == sent && in_rows + overflow == sent && overflow > 0,
        "{counted} packets were counted on the port, {in_rows} in rows and {overflow} without; the \
         truth is {sent}"
    );
    println!(
        "flood: {sent} packets of {} forged sources in {} s, {overflow} of them without a row, so the \
         interval is degraded; port totals are exact",
        forged.min(1 << 31),
        LASTS.as_secs()
    );
    let percent = |count: u64| count as f64 / SCANNERS as f64 * 100.0;
    Ok(Flooded {
        known_sources: percent(exact),
        newcomers: percent(newcomers),
    })
}

/// Errors of the sketches' distinct counts, over several sets of sources.
fn sketches(probes: &mut Probes, batch: &mut Batch, epoch: &mut Epoch) -> Result<Vec<Figure>> {
    let mut errors = Vec::new();
    for seed in 0..SEEDS {
        epoch.clear();
        // Enough to overflow the table.
        let sources = MAX_FLOWS as u64 + SKETCHED;
        probes.send(batch, epoch, 0..sources, |packet| {
            let number = (packet as u32).wrapping_add((seed as u32) << 27);
            (number.wrapping_mul(0x9e37_79b1), PORT)
        })?;
        batch.finish(epoch);
        let mut set = SketchSet::of(&[epoch]);
        merge::flows(&[epoch], |flow| set.add(flow.source, flow.cell));
        let of_tcp = set.iter().find(|(scope, _)| *scope == Scope::Protocol(TCP));
        let (_, registers) = of_tcp.context("the interval has a sketch")?;
        let estimate = sketch::estimate(&sketch::image(registers.lg_k(), registers.values())?)?;
        errors.push((estimate / sources as f64 - 1.0) * 100.0);
    }
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    let worst = errors.iter().map(|error| error.abs()).fold(0.0, f64::max);
    Ok(vec![
        alone(
            "flood/sketch, mean error of 20",
            "%",
            mean.abs(),
            &[Goal::AtMost(0.3)],
        ),
        alone(
            "flood/sketch, greatest error of 20",
            "%",
            worst,
            &[Goal::AtMost(2.5)],
        ),
    ])
}

/// Octets of resident memory.
fn resident() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = (text.split(' ').nth(1))
        .context("/proc/self/statm has a second column")?
        .parse()?;
    Ok(pages * 4096)
}
