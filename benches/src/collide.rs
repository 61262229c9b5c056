//! Keys that are chosen to collide in the flow table, by an attacker who knows the code but not the
//! seed: they must cost no more than other keys. Each stream is compared with an ordinary stream of
//! as many keys and the same ports, in the same rounds and tables, which have a new seed each round.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use noctule_counters::RandomState;
use noctule_counters::batch::Batch;
use noctule_counters::epoch::{Capacity, Epoch};
use noctule_packet::cell::protocol::TCP;
use noctule_packet::{CellId, Class};

use crate::figure::{Figure, Goal, Rounds};
use crate::probes::Probes;

const PACKETS: u64 = 2_000_000;
/// Packets of the stream that knows the seed; each packet takes long.
const PACKETS_AT_TARGET: u64 = 100_000;
const ROUNDS: usize = 9;
/// Rows of the flow table: room for every stream.
const MAX_FLOWS: usize = 2_000_000;
/// Keys of the streams that need no search.
const KEYS: u32 = 1_000_000;
/// Keys that an attacker tries, and how many of them the attacker keeps.
const TRIED: u32 = 1 << 27;
const KEPT_OF: u64 = 1 << 13;
/// Highest cost of a colliding stream, relative to an ordinary one.
const TARGET: f64 = 1.3;
/// The multiplier of nearly every plain multiply hash: 2^64 by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Source and port of a probe.
type Key = (u32, u16);

/// Measures, and checks the number of rows.
pub fn run() -> Result<Vec<Figure>> {
    let attackers = RandomState::with_seeds(1, 2, 3, 4);
    let streams = [
        ("collide/crafted", searched(|key| attackers.hash_one(key))),
        (
            "collide/multiply",
            searched(|key| key.wrapping_mul(MULTIPLIER)),
        ),
        (
            "collide/sequential",
            (0..KEYS).map(|number| (0x0b00_0000 + number, 23)).collect(),
        ),
        (
            "collide/low-bits",
            (0..KEYS).map(|number| (number << 12 | 0x5a5, 23)).collect(),
        ),
    ];
    let pairs = streams.map(|(name, keys)| (name, ordinary(&keys), keys));
    let mut probes = Probes::new()?;
    let mut costs = pairs.each_ref().map(|_| (Vec::new(), Vec::new()));
    let mut at_target = (Vec::new(), Vec::new());
    let capacity = Capacity::share(MAX_FLOWS, 1);
    for round in 0..ROUNDS {
        let mut epoch = Epoch::new(&capacity, 1, &RandomState::new());
        epoch.fault_in();
        for ((_, ordinary, keys), (colliding, reference)) in pairs.iter().zip(&mut costs) {
            let mut streams = [(keys, colliding), (ordinary, reference)];
            if round % 2 == 1 {
                streams.reverse();
            }
            for (keys, costs) in streams {
                let (cost, overflow) = nanoseconds(&mut probes, &mut epoch, keys, PACKETS)?;
                ensure!(
                    overflow == 0,
                    "{overflow} packets found no row in a table with room"
                );
                costs.push(cost);
            }
        }
        let (_, ordinary, keys) = &pairs[0];
        let mut epoch = Epoch::new(&capacity, 1, &attackers);
        epoch.fault_in();
        let (colliding, reference) = &mut at_target;
        for (keys, costs, collide) in [(keys, colliding, true), (ordinary, reference, false)] {
            let packets = PACKETS_AT_TARGET.max(keys.len() as u64);
            let (cost, overflow) = nanoseconds(&mut probes, &mut epoch, keys, packets)?;
            ensure!(
                (overflow > 0) == collide,
                "{overflow} packets found no row in a table with the seed that keys were crafted for: \
                 only those keys collide, or this bench proves nothing"
            );
            costs.push(cost);
        }
    }
    let mut figures = Vec::new();
    let figure = |name, (colliding, ordinary): &(Vec<f64>, Vec<f64>), goals: &[Goal]| {
        let rounds = Rounds {
            figures: colliding,
            references: ordinary,
        };
        Figure::new(
            name,
            "ns/packet",
            &rounds,
            Some("an ordinary stream"),
            goals,
        )
    };
    for ((name, _, keys), costs) in pairs.iter().zip(&costs) {
        println!("{name}: {} keys, median of {ROUNDS} rounds", keys.len());
        figures.push(figure(*name, costs, &[Goal::RatioAtMost(TARGET)]));
    }
    let known = figure("collide/known-seed", &at_target, &[]);
    figures.push(known);
    Ok(figures)
}

/// Keys that a hash puts into the first slots of any table.
fn searched(hash: impl Fn(u64) -> u64) -> Vec<Key> {
    (0..TRIED)
        .map(|number| (mixed(number), number as u16))
        .filter(|&(source, port)| {
            let cell = CellId::new(TCP, Class::Scan, Some(port)).to_bits();
            hash(u64::from(source) << 32 | u64::from(cell)) < u64::MAX / KEPT_OF
        })
        .collect()
}

/// As many keys with the same ports, from random sources.
fn ordinary(keys: &[Key]) -> Vec<Key> {
    let ports = keys.iter().map(|&(_, port)| port);
    (0..).map(|number: u32| mixed(!number)).zip(ports).collect()
}

/// The number's position in a fixed shuffle of all 32-bit numbers.
const fn mixed(mut number: u32) -> u32 {
    number = (number ^ number >> 16).wrapping_mul(0x7feb_352d);
    number = (number ^ number >> 15).wrapping_mul(0x846c_a68b);
    number ^ number >> 16
}

/// Time to count a packet, and the number of packets without a row; the keys are used in turn.
fn nanoseconds(
    probes: &mut Probes,
    epoch: &mut Epoch,
    keys: &[Key],
    packets: u64,
) -> Result<(f64, u64)> {
    epoch.clear();
    let mut batch = Batch::default();
    let count = keys.len() as u64;
    let began = Instant::now();
    probes.send(&mut batch, epoch, 0..packets, |packet| {
        keys[(packet % count) as usize]
    })?;
    batch.finish(epoch);
    let nanoseconds = began.elapsed().as_secs_f64() * 1e9 / packets as f64;
    let tally = epoch.tallies().next().context("one lane")?;
    let share = packets / count;
    let exact = (epoch.flows4.iter())
        .filter(|row| (share..=share + 1).contains(&row.flow().packets))
        .count();
    let in_rows: u64 = epoch.flows4.iter().map(|row| row.flow().packets).sum();
    ensure!(
        (tally.packets, tally.overflow + in_rows) == (packets, packets)
            && (tally.overflow > 0 || exact == keys.len()),
        "{} packets were counted, {in_rows} of them in rows, {exact} rows with the true count; the \
         truth is {packets} packets of {count} flows",
        tally.packets
    );
    Ok((nanoseconds, tally.overflow))
}
