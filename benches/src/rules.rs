//! Cost of fingerprints: the pipeline bench's load with all rules, compared with no rules.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use noctule_counters::RandomState;
use noctule_counters::epoch::{Capacity, Epoch};
use noctule_packet::Rules;
use noctule_packet::darknet::Darknet;
use noctule_packet::rules::RuleFile;

use crate::figure::{Figure, Goal, Rounds, median};
use crate::frames::{Frames, PREFIX};
use crate::pipeline::{MAX_FLOWS, count_all, load, rate};

const ROUNDS: usize = 15;
/// Fingerprints may reduce the packets per second by 15 %.
const TARGET: f64 = 0.85;

/// Measures both in turn, round by round, and checks the hits.
pub fn run() -> Result<Vec<Figure>> {
    let darknet = Darknet::parse(&[PREFIX], &[])?;
    let (frames, truth) = Frames::generate(&load(PREFIX)?, &darknet)?;
    let all = Rules::shipped();
    let names: Vec<_> = all.fingerprints().iter().map(|rule| &rule.name).collect();
    let none = Arc::new(Rules::load(Some(RuleFile {
        name: "none",
        text: &format!("version = 1\ndisable = {names:?}\n"),
    }))?);
    ensure!(none.fingerprints().is_empty(), "some fingerprint is left");
    println!(
        "{} frames, {} fingerprints against none, median of {ROUNDS} rounds in turn",
        frames.len(),
        all.fingerprints().len()
    );
    let mut epoch = Epoch::new(&Capacity::share(MAX_FLOWS, 1), 1, &RandomState::new());
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (rules, rates) in [(&all, &mut with), (&none, &mut without)] {
            epoch.clear();
            epoch.begin(rules, 0);
            rates.push(rate(frames.len(), || {
                count_all(&frames, &darknet, &mut epoch);
                Ok(())
            })?);
            let tally = epoch.tallies().next().context("one lane")?;
            ensure!(
                tally.packets == truth.summary.dark_packets,
                "{} packets were counted; the truth is {}",
                tally.packets,
                truth.summary.dark_packets
            );
            for (rule, hits) in rules.fingerprints().iter().zip(tally.fingerprints) {
                let expected = truth.summary.fingerprints.get(&rule.name).copied();
                ensure!(
                    rule.confirmed_only || hits == expected.unwrap_or_default(),
                    "{} packets bear {}; the truth is {expected:?}",
                    hits,
                    rule.name
                );
            }
        }
    }
    let nanoseconds: Vec<_> = (with.iter().zip(&without))
        .map(|(with, without)| 1e3 / with - 1e3 / without)
        .collect();
    println!("fingerprints cost {:.0} ns a packet", median(&nanoseconds));
    let rounds = Rounds {
        figures: &with,
        references: &without,
    };
    let goals = [Goal::RatioAtLeast(TARGET)];
    Ok(vec![Figure::new(
        "rules",
        "Mpps",
        &rounds,
        Some("no fingerprints"),
        &goals,
    )])
}
