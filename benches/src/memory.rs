//! Memory of a flow: the resident memory of one worker's full tables, of both epochs and of the known
//! sources, divided by the rows of the configured capacity.

use std::fs;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use noctule_counters::RandomState;
use noctule_counters::epoch::{Capacity, Epoch, Timing};
use noctule_counters::known_sources::KnownSources;
use noctule_packet::cell::protocol::TCP;
use noctule_packet::decode::{Packet, Source};
use noctule_packet::error::DecodeErrors;
use noctule_packet::{CellId, Class, Rules};

use crate::figure::{Figure, Goal, Rounds};

/// Rows that the sensor is configured for.
const MAX_FLOWS: usize = 4_000_000;
/// Epochs of a worker: one that fills, one that is written.
const EPOCHS: usize = 2;
/// Octets of a row, key and value: the least that a flow can take.
const ROW: f64 = 64.0;
/// Most octets for a row of the capacity, both epochs together.
const TARGET: f64 = 160.0;
/// How far the resident memory may exceed the size that the start-up summary states.
const CEILING: f64 = 1.01;

/// Measures, and checks that all rows are used.
pub fn run() -> Result<Vec<Figure>> {
    let capacity = Capacity::share(MAX_FLOWS, 1);
    let before = resident()?;
    let hasher = RandomState::new();
    let known_sources = KnownSources::new(MAX_FLOWS, &hasher);
    let mut epochs = Vec::new();
    for _ in 0..EPOCHS {
        let epoch = Epoch::with_known_sources(Arc::clone(&known_sources), &capacity, 1, &hasher);
        epoch.fault_in();
        epochs.push(epoch);
    }
    for (interval, epoch) in epochs.iter_mut().enumerate() {
        epoch.begin(&Rules::shipped(), interval as i64);
        let sent = fill(epoch, &capacity, interval as u32);
        epoch.learn_sources(&known_sources);
        let rows = epoch.flows4.len() + epoch.flows6.len();
        let in_rows = epoch
            .flows4
            .iter()
            .map(|row| row.flow().packets)
            .sum::<u64>()
            + epoch
                .flows6
                .iter()
                .map(|row| row.flow().packets)
                .sum::<u64>();
        let tally = epoch.tallies().next().context("one lane")?;
        ensure!(
            (tally.packets, in_rows + tally.overflow) == (sent, sent) && tally.overflow > 0,
            "{} packets were counted, {in_rows} in rows and {} without; the truth is {sent}",
            tally.packets,
            tally.overflow
        );
        println!("epoch {interval}: {rows} rows of {MAX_FLOWS}, {sent} packets");
        // Without known sources, fifteen sixteenths of the rows are used. From the second interval on
        // there are known sources, first of IPv4, and they get the rest.
        let fifteen = |rows: usize| rows / 16 * 15;
        let least = match interval {
            0 => fifteen(capacity.flows4) + fifteen(capacity.flows6),
            _ => capacity.flows4 + fifteen(capacity.flows6),
        };
        ensure!(rows >= least, "{rows} rows are not full: {least} could be");
    }
    let octets = resident()?.saturating_sub(before) as f64;
    let declared = (EPOCHS * capacity.bytes() + KnownSources::bytes(MAX_FLOWS)) as f64;
    ensure!(
        octets <= declared * CEILING,
        "{octets} octets are resident; the capacity says at most {declared}"
    );
    drop(epochs);
    let figure = |name, reference: f64, reference_name, goals: &[Goal]| {
        let rounds = Rounds {
            figures: &[octets / MAX_FLOWS as f64],
            references: &[reference],
        };
        Figure::new(name, "octets/flow", &rounds, Some(reference_name), goals)
    };
    Ok(vec![
        figure("memory/flow", ROW, "a row", &[Goal::AtMost(TARGET)]),
        figure(
            "memory/declared",
            declared / MAX_FLOWS as f64,
            "what the start says",
            &[],
        ),
    ])
}

/// Counts packets of forged sources in every class and family until no row is left, two packets of
/// each source, so that it returns; then packets of the first interval's sources. Returns their
/// number.
fn fill(epoch: &mut Epoch, capacity: &Capacity, interval: u32) -> u64 {
    let mut sent = 0;
    let mut send = |source: Source, cell: CellId| {
        let packet = Packet {
            source,
            destination: 7,
            cell,
            bytes: 40,
            ledger_slot: None,
            ttl: 61,
            tcp_flags: 2,
            ip_id: 1,
            source_port: Some(40_000),
            rule_matches: None,
            quoted: None,
            errors: DecodeErrors::default(),
        };
        for _ in 0..2 {
            epoch.count(&packet, 0, Timing::OnTime, 0);
            sent += 1;
        }
    };
    for interval in (0..=interval).rev() {
        for class in Class::ALL {
            // One class alone cannot use all open rows.
            let part = if class == Class::Scan { 1 } else { 4 };
            for number in 0..(capacity.flows4 / part) as u32 {
                // Every protocol has a sketch.
                let (protocol, port) = match class {
                    Class::Other => (number as u8, None),
                    _ => (TCP, Some(number as u16)),
                };
                let cell = CellId::new(protocol, class, port);
                // Sources are distinct within an interval and between both.
                let forged = (interval * 3 + class as u32) << 22 | number;
                send(Source::V4(forged.wrapping_mul(0x9e37_79b1)), cell);
                if (number as usize) < capacity.flows6 / part {
                    send(Source::V6(0x2001 << 112 | u128::from(forged)), cell);
                }
            }
        }
    }
    sent
}

/// Resident memory of this process in octets.
fn resident() -> Result<u64> {
    let file = "/proc/self/smaps_rollup";
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: u64 = kibibytes
        .and_then(|number| number.trim().parse().ok())
        .with_context(|| format!("{file} does not say how much memory is resident"))?;
    Ok(kibibytes * 1024)
}
