//! A collector in its simplest form.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use noctule_counters::summary::{Cell, DecodeErrorCount, Summary, Victim};
use noctule_counters::victims::VictimCount;
use noctule_packet::cell::{CellId, protocol};
use noctule_packet::decode::{Packet, Source};
use noctule_packet::error::DecodeError;
use noctule_packet::quote::{self, Quoted};
use noctule_packet::rules::{CONFIRMING_PACKETS, Carried, Fingerprint, RuleMatches, Rules};

const DAY_US: i64 = 86_400_000_000;

/// Packets, octets and sources of a cell.
type Counts = (u64, u64, HashSet<Source>);

/// A collector in its simplest form: it adds up what the decoder says.
pub struct Plain {
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
    pub fn new() -> Self {
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

    pub fn add(&mut self, packet: &Packet, time_us: i64) {
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

    pub fn finish(self) -> Summary {
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

pub fn printed(count: &VictimCount) -> Victim {
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
