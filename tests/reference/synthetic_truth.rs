//! The decoder and the tables of a worker count what the generator's truth says, for every component.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use noctule_counters::RandomState;
use noctule_counters::confirm::Confirmations;
use noctule_counters::epoch::{Capacity, Epoch, Timing};
use noctule_counters::summary::{Cell, DecodeErrorCount, Summary, Victim};
use noctule_counters::{merge, victims::VictimCount};
use noctule_packet::cell::{CellId, protocol};
use noctule_packet::darknet::{Darknet, Destination};
use noctule_packet::decode::{Packet, Source, decode};
use noctule_packet::error::DecodeError;
use noctule_packet::link::LinkType;
use noctule_packet::quote::{self, Quoted};
use noctule_packet::rules::{CONFIRMING_PACKETS, Carried, Fingerprint, RuleMatches, Rules};
use noctule_synth::{Component, Distribution, Mix, SynthConfig, TrueSummary, generate};

const DAY_US: i64 = 86_400_000_000;

/// Packets, octets and sources of a cell.
type Counts = (u64, u64, HashSet<Source>);

/// A collector in its simplest form: it adds up what the decoder says.
struct Plain {
    rules: Arc<Rules>,
    summary: Summary,
    cells: BTreeMap<u32, Counts>,
    errors: BTreeMap<(&'static str, &'static str), u64>,
    /// By rule, day and source: packets that matched, and the values of the rule's expression.
    matches: BTreeMap<(usize, i64, Source), (u64, BTreeSet<u16>)>,
    victims: BTreeMap<quote::Victim, (u64, BTreeSet<Source>)>,
    bogons: HashSet<Source>,
}

impl Plain {
    fn new() -> Self {
        Self {
            rules: Rules::shipped(),
            summary: Summary::default(),
            cells: BTreeMap::new(),
            errors: BTreeMap::new(),
            matches: BTreeMap::new(),
            victims: BTreeMap::new(),
            bogons: HashSet::new(),
        }
    }

    fn add(&mut self, packet: &Packet, time_us: i64) {
        let summary = &mut self.summary;
        summary.dark_packets += 1;
        summary.dark_bytes += u64::from(packet.bytes);
        let (packets, bytes, sources) = self.cells.entry(packet.cell.to_bits()).or_default();
        *packets += 1;
        *bytes += u64::from(packet.bytes);
        sources.insert(packet.source);
        if self.rules.is_bogon(packet.source) {
            *summary.bogon_packets.get_or_insert_default() += 1;
            self.bogons.insert(packet.source);
        }
        if let Some(matches) = packet.rule_matches {
            self.probe(packet.source, &matches, time_us.div_euclid(DAY_US));
        }
        let quotes = &mut self.summary.quotes;
        quotes.errors += u64::from(packet.quoted.is_some());
        match packet.quoted {
            None => {}
            Some(Quoted::Foreign) => quotes.foreign += 1,
            Some(Quoted::Unreadable) => quotes.unreadable += 1,
            Some(Quoted::Victim(victim)) => {
                quotes.counted += 1;
                let (packets, senders) = self.victims.entry(victim).or_default();
                *packets += 1;
                senders.insert(packet.source);
            }
        }
        for number in packet.errors.numbers() {
            let error = DecodeError::ALL[number].layer_and_reason();
            *self.errors.entry(error).or_default() += 1;
        }
    }

    fn probe(&mut self, source: Source, matches: &RuleMatches, day: i64) {
        for (place, rule) in self.rules.fingerprints().iter().enumerate() {
            let value = match rule.carried {
                Carried::InFlows(slot) => Some(matches.slots.get(slot)),
                _ if matches.bits >> place & 1 == 0 => None,
                Carried::WithHits(number) => Some(matches.constants.get(number)),
                Carried::Nowhere => Some(0),
            };
            if let Some(value) = value {
                let (packets, values) = self.matches.entry((place, day, source)).or_default();
                *packets += 1;
                values.insert(value);
            }
        }
    }

    fn finish(self) -> Summary {
        let mut summary = self.summary;
        summary.by_class = ["scan", "backscatter", "other"]
            .map(|class| (class.to_owned(), 0))
            .into();
        let mut all: HashSet<Source> = HashSet::new();
        for (bits, (packets, bytes, sources)) in self.cells {
            let cell = CellId::from_bits(bits);
            let protocol = cell.protocol_name().into_owned();
            let class = cell.class().name().to_owned();
            *summary.by_protocol.entry(protocol.clone()).or_default() += packets;
            *summary.by_class.entry(class.clone()).or_default() += packets;
            summary.cells.push(Cell {
                protocol,
                class,
                port: cell.port(),
                packets,
                bytes,
                sources: Some(sources.len() as u64),
            });
            all.extend(sources);
        }
        summary.sources = Some(all.len() as u64);
        summary.decode_errors = (self.errors.into_iter())
            .map(|((layer, reason), packets)| DecodeErrorCount {
                layer: layer.to_owned(),
                reason: reason.to_owned(),
                packets,
            })
            .collect();
        summary.bogon_packets.get_or_insert_default();
        summary.bogon_sources = Some(self.bogons.len() as u64);
        let victim = |(of, (packets, senders)): (quote::Victim, (u64, BTreeSet<Source>))| {
            printed(&VictimCount {
                victim: of,
                packets,
                senders: senders.len() as u64,
            })
        };
        summary.victims = Some(self.victims.into_iter().map(victim).collect());
        let mut confirmed: BTreeMap<&str, BTreeSet<Source>> = BTreeMap::new();
        let confirms = |(packets, values): &(u64, BTreeSet<u16>)| {
            *packets >= CONFIRMING_PACKETS && values.len() == 1
        };
        let place_of = |name| self.rules.find(name).unwrap().0;
        let (mirai, precursor) = (place_of("mirai"), place_of("mirai-precursor"));
        for (&(place, day, source), found) in &self.matches {
            let rule: &Fingerprint = &self.rules.fingerprints()[place];
            let bot = self.matches.get(&(precursor, day, source));
            if place == mirai && bot.is_some_and(confirms) {
                continue;
            }
            let (confirms, packets) = (confirms(found), found.0);
            if confirms {
                confirmed.entry(&rule.name).or_default().insert(source);
            }
            if confirms || !rule.confirmed_only {
                *summary.fingerprints.entry(rule.name.clone()).or_default() += packets;
            }
        }
        summary.confirmed_sources = (confirmed.into_iter())
            .map(|(rule, sources)| (rule.to_owned(), Some(sources.len() as u64)))
            .collect();
        summary.sort();
        summary
    }
}

fn printed(count: &VictimCount) -> Victim {
    Victim {
        address: match count.victim.address {
            Source::V4(bits) => Ipv4Addr::from_bits(bits).to_string(),
            Source::V6(bits) => Ipv6Addr::from_bits(bits).to_string(),
        },
        protocol: protocol::name(count.victim.protocol).into_owned(),
        port: count.victim.port,
        packets: count.packets,
        senders: Some(count.senders),
    }
}

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
