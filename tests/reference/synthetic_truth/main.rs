//! The decoder and the tables of a worker count what the generator's truth says, for every component.

mod plain;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;

use noctule_counters::RandomState;
use noctule_counters::confirm::Confirmations;
use noctule_counters::epoch::{Capacity, Epoch, Timing};
use noctule_counters::merge;
use noctule_counters::summary::Summary;
use noctule_counters::victims::VictimCount;
use noctule_packet::darknet::{Darknet, Destination};
use noctule_packet::decode::{Packet, decode};
use noctule_packet::link::LinkType;
use noctule_packet::quote;
use noctule_packet::rules::Rules;
use noctule_synth::{Component, Distribution, Mix, SynthConfig, TrueSummary, generate};

use plain::{Plain, printed};

/// The truth as the collector's own type. Both types write the same JSON, field by field.
fn collectors(truth: &TrueSummary) -> Summary {
    let json = serde_json::to_value(truth).unwrap();
    let summary: Summary = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&summary).unwrap(), json);
    summary
}

/// Hands every dark packet to `count` with its time; returns the truth and the number of frames
/// that were passed.
fn read(config: &SynthConfig, mut count: impl FnMut(&Packet, i64)) -> (Summary, u64) {
    let rules = Rules::shipped();
    let darknet = Darknet::new(&config.prefixes, &[]).unwrap();
    let mut passed = 0;
    let truth = generate(config, |time_us, frame| {
        match darknet.destination(LinkType::Ethernet, frame) {
            Destination::Dark(network) => {
                count(
                    &decode(&rules, network, frame, frame.len()).unwrap(),
                    time_us,
                );
            }
            _ => passed += 1,
        }
        Ok::<(), Infallible>(())
    })
    .unwrap();
    (collectors(&truth.summary), passed)
}

/// Asserts that decoding and adding up gives the truth.
fn assert_true(config: &SynthConfig, what: &str) -> Summary {
    let mut plain = Plain::new();
    let (truth, passed) = read(config, |packet, time_us| plain.add(packet, time_us));
    let mut found = plain.finish();
    found.passed_packets = passed;
    found.records = passed + found.dark_packets;
    let mut expected = truth.clone();
    // Time and place are not the decoder's.
    expected.intervals = 0;
    expected.sources_by_country = None;
    expected.timezone.clear();
    assert_eq!(found, expected, "{what}");
    truth
}

fn config(prefixes: &[&str]) -> SynthConfig {
    SynthConfig {
        packets: 5_000,
        sources: 5_000,
        ..SynthConfig::new(prefixes.iter().map(|p| p.parse().unwrap()).collect())
    }
}

const BOTH: [&str; 2] = ["198.18.0.0/15", "2001:db8::/32"];
const FOUR: [&str; 1] = ["198.51.100.0/24"];
const SIX: [&str; 1] = ["2001:db8::/32"];

#[test]
fn the_decoder_arrives_at_the_truth() {
    for (seed, prefixes) in [(1, &BOTH[..]), (77, &FOUR), (20_160_920, &BOTH)] {
        let config = SynthConfig {
            packets: 120_000,
            seed,
            ..config(prefixes)
        };
        let truth = assert_true(&config, &format!("seed {seed}"));
        let quotes = &truth.quotes;
        assert!(quotes.counted > 0 && quotes.foreign > 0 && quotes.unreadable > 0);
        assert!(truth.bogon_packets > truth.bogon_sources && truth.bogon_sources > Some(0));
        let names: Vec<&str> = truth.fingerprints.keys().map(String::as_str).collect();
        let confirmed: Vec<&str> = truth.confirmed_sources.keys().map(String::as_str).collect();
        let rules = Rules::shipped();
        let mut shipped: Vec<&str> = (rules.fingerprints().iter())
            .map(|rule| rule.name.as_str())
            .collect();
        shipped.sort_unstable();
        assert_eq!(
            (names, confirmed),
            (shipped.clone(), shipped),
            "seed {seed}"
        );
        let answers = (truth.cells.iter())
            .filter(|cell| cell.protocol == "udp" && cell.class == "backscatter")
            .filter_map(|cell| cell.port)
            .collect::<BTreeSet<u16>>();
        let ports = rules.reflections().iter().map(|rule| rule.port);
        assert_eq!(answers, ports.collect(), "seed {seed}");
    }
}

#[test]
fn each_component_alone_is_true() {
    for component in Component::ALL {
        let name = component.name();
        for prefixes in [&BOTH[..], &FOUR, &SIX] {
            let config = SynthConfig {
                mix: Some(Mix::parse(name).unwrap()),
                ..config(prefixes)
            };
            let held = match component.family() {
                Some("IPv6") => prefixes != FOUR,
                Some(_) => prefixes != SIX,
                None => true,
            };
            if held {
                assert_true(&config, &format!("{name} to {prefixes:?}"));
            }
        }
    }
}

#[test]
fn few_sources_that_do_everything_are_true() {
    for sources in [1, 2, 7, 40, 200] {
        for (seed, prefixes) in [
            (1, &BOTH[..]),
            (2, &FOUR),
            (3, &["192.0.2.77/32"]),
            (4, &SIX),
        ] {
            let config = SynthConfig {
                sources,
                seed,
                packets: 400 * sources.min(20),
                distribution: Distribution::Uniform,
                ..config(prefixes)
            };
            assert_true(&config, &format!("{sources} sources, seed {seed}"));
        }
    }
}

/// Half an hour over midnight, and three days.
#[test]
fn sources_are_confirmed_day_by_day() {
    // 2025-01-01 23:45 UTC.
    let start_us = 1_735_775_100_000_000;
    let mixes = [
        None,
        Some("mirai-constant-id=3,unicornscan=2,nmap=2,zmap-4.1,masscan-2023,mirai,bogon"),
    ];
    for mix in mixes {
        for (duration_seconds, sources) in [(1800, 3_000), (3 * 86_400, 6_000)] {
            let long = SynthConfig {
                start_us,
                duration_seconds,
                sources,
                packets: 20_000,
                distribution: Distribution::Uniform,
                mix: mix.map(|text| Mix::parse(text).unwrap()),
                ..config(&BOTH)
            };
            let over = assert_true(&long, &format!("{mix:?} for {duration_seconds} s"));
            // The same frames within one day confirm more sources.
            let within = SynthConfig {
                start_us: start_us - 43_200_000_000,
                duration_seconds: 1800,
                ..long
            };
            let (within, _) = read(&within, |_, _| {});
            let all =
                |summary: &Summary| -> u64 { summary.confirmed_sources.values().flatten().sum() };
            assert!(all(&over) < all(&within), "{mix:?}");
        }
    }
}

/// The counts in the tables that a worker fills and a flusher reads.
#[test]
fn the_collectors_tables_arrive_at_the_truth() {
    for (sources, seed) in [(5_000, 1), (60, 2), (9, 3)] {
        assert_tables_are_true(&SynthConfig {
            packets: 80_000,
            sources,
            seed,
            start_us: 1_735_775_100_000_000,
            duration_seconds: 1800,
            ..config(&BOTH)
        });
    }
    // A few packets of each source, whole and cut, in one interval.
    assert_tables_are_true(&SynthConfig {
        packets: 30_000,
        distribution: Distribution::Uniform,
        duration_seconds: 50,
        mix: Some(Mix::parse("malformed").unwrap()),
        ..config(&FOUR)
    });
}

fn assert_tables_are_true(config: &SynthConfig) {
    let rules = Rules::shipped();
    let capacity = Capacity::share(2_000_000, 8);
    let hasher = RandomState::with_seeds(1, 2, 3, 4);
    let mut epoch = Epoch::new(&capacity, 1, &hasher);
    let mut confirmations = Confirmations::new(1_000_000);
    let mut matches = vec![0; rules.fingerprints().len()];
    let mut victims: HashMap<quote::Victim, u64> = HashMap::new();
    let mut quotes = (0, 0, 0, 0, 0);
    let mut minute = config.start_us / 60_000_000;
    let mut flush = |epoch: &mut Epoch, minute: i64| {
        confirmations.interval((minute / 1440) as i32, &rules);
        merge::flows(&[&*epoch], |flow| confirmations.flow(&flow));
        for hits in merge::fingerprints(&[&*epoch]) {
            confirmations.hits(&hits);
        }
        for count in merge::victims(&merge::victim_senders(&[&*epoch])) {
            *victims.entry(count.victim).or_default() += count.packets;
        }
        let tally = epoch.tallies().next().unwrap();
        assert_eq!((tally.overflow, tally.fingerprint_overflow), (0, 0));
        for (sum, packets) in matches.iter_mut().zip(tally.fingerprints) {
            *sum += packets;
        }
        let found = &tally.quotes;
        quotes.0 += found.errors;
        quotes.1 += found.counted();
        quotes.2 += found.foreign;
        quotes.3 += found.unreadable;
        quotes.4 += found.overflow;
        epoch.clear();
    };
    let (truth, _) = read(config, |packet, time_us| {
        let now = time_us / 60_000_000;
        if now != minute {
            flush(&mut epoch, minute);
            minute = now;
        }
        let offset = (time_us - now * 60_000_000) as u32;
        epoch.count(packet, offset, Timing::OnTime, 0);
    });
    flush(&mut epoch, minute);
    let outcomes = confirmations.finish();
    let sources = (outcomes.iter())
        .filter(|(_, outcome)| outcome.sources != Some(0))
        .map(|(rule, outcome)| (rule.clone(), outcome.sources))
        .collect::<BTreeMap<_, _>>();
    assert_eq!(sources, truth.confirmed_sources);
    for (rule, matched) in rules.fingerprints().iter().zip(matches) {
        let packets = if rule.confirmed_only {
            (outcomes.get(&rule.name)).and_then(|outcome| outcome.packets)
        } else {
            let superseded = outcomes
                .get(&rule.name)
                .map_or(Some(0), |of| of.superseded_packets);
            let packets = superseded.map(|packets| matched - packets);
            packets.filter(|&packets| packets > 0)
        };
        assert_eq!(
            packets,
            truth.fingerprints.get(&rule.name).copied(),
            "{}",
            rule.name
        );
    }
    let expected = &truth.quotes;
    let expected = (
        expected.errors,
        expected.counted,
        expected.foreign,
        expected.unreadable,
        expected.overflow,
    );
    assert_eq!(quotes, expected);
    let mut expected: HashMap<(String, String, Option<u16>), u64> = HashMap::new();
    for victim in truth.victims.unwrap() {
        expected.insert(
            (victim.address, victim.protocol, victim.port),
            victim.packets,
        );
    }
    let found = (victims.into_iter())
        .map(|(victim, packets)| {
            let senders = 0;
            let row = printed(&VictimCount {
                victim,
                packets,
                senders,
            });
            ((row.address, row.protocol, row.port), packets)
        })
        .collect::<HashMap<_, _>>();
    assert_eq!(found, expected);
}
