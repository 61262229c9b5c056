//! The epoch against a plain model: maps that never fill up.

use std::collections::{BTreeMap, BTreeSet};

use ahash::RandomState;
use noctule_packet::decode::{Packet, Source};
use noctule_packet::error::{DecodeError, DecodeErrors};
use noctule_packet::quote::{Quoted, Victim};
use noctule_packet::rules::{Carried, MOST_FINGERPRINTS, RuleMatches, Values};
use noctule_packet::{CellId, Class, Rules};
use proptest::prelude::*;

use crate::budget::Budget;
use crate::epoch::{Capacity, Epoch, Tally, Timing};
use crate::flow::Flow;
use crate::merge;
use crate::sketches::Scope;

fn hasher() -> RandomState {
    RandomState::with_seeds(1, 2, 3, 4)
}

const ROOM: Capacity = Capacity {
    flows4: 1000,
    flows6: 1000,
    fingerprints: 1000,
    victims: 1000,
};

/// The tally of an epoch's first RX queue.
fn first(epoch: &Epoch) -> Tally {
    epoch.tallies().next().unwrap()
}

/// A SYN of 40 octets.
pub(crate) fn packet(source: Source, cell: CellId) -> Packet {
    Packet {
        source,
        destination: 7,
        cell,
        bytes: 40,
        ledger_slot: None,
        ttl: 64,
        tcp_flags: 2,
        ip_id: 0,
        source_port: Some(1),
        rule_matches: None,
        quoted: None,
        errors: DecodeErrors::default(),
    }
}

fn any_packet() -> impl Strategy<Value = Packet> {
    (
        (any::<bool>(), 0u32..6, 0u16..4, 0usize..3),
        (any::<u32>(), any::<u8>(), any::<u8>(), any::<u16>()),
        proptest::option::of((0u32..1 << 10, any::<[u16; 2]>(), any::<[u16; 3]>())),
        (any::<u64>(), proptest::option::of((0u32..3, any::<bool>()))),
    )
        .prop_map(
            |(
                (six, source, port, class),
                (bytes, ttl, flags, ip_id),
                matches,
                (destination, quoted),
            )| {
                let source = if six {
                    Source::V6(source.into())
                } else {
                    Source::V4(source)
                };
                let matches = matches
                    .filter(|_| !six)
                    .map(|(bits, values, slots)| RuleMatches {
                        bits,
                        constants: Values::new(&values),
                        slots: Values::new(&slots),
                    });
                let quoted = quoted.map(|(victim, six)| {
                    Quoted::Victim(Victim {
                        address: if six {
                            Source::V6(victim.into())
                        } else {
                            Source::V4(victim)
                        },
                        protocol: 17,
                        port: (victim > 0).then_some(53),
                    })
                });
                Packet {
                    destination,
                    bytes,
                    ttl,
                    tcp_flags: flags,
                    ip_id,
                    rule_matches: matches,
                    quoted,
                    ..packet(source, CellId::new(6, Class::ALL[class], Some(port)))
                }
            },
        )
}

/// The flow of one packet: merging these is the model of a row.
fn single(packet: &Packet, offset_us: u32) -> Flow {
    Flow {
        source: packet.source,
        cell: packet.cell,
        packets: 1,
        bytes: packet.bytes.into(),
        first_us: offset_us,
        last_us: offset_us,
        ttl: (packet.ttl, packet.ttl),
        tcp_flags: packet.tcp_flags,
        ip_id: matches!(packet.source, Source::V4(_)).then_some((packet.ip_id, packet.ip_id)),
        slots: (packet.rule_matches).map(|matches| {
            std::array::from_fn(|at| (matches.slots.get(at), matches.slots.get(at)))
        }),
        last_source_port: packet.source_port,
        destinations: 1 << (packet.destination.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58),
    }
}

proptest! {
    /// Any spreading of packets over workers gives the rows of one map.
    #[test]
    fn workers_merge_to_what_one_map_holds(packets in proptest::collection::vec((any_packet(), 0usize..3), 0..200)) {
        let mut workers = [0; 3].map(|_| Epoch::new(&ROOM, 1, &hasher()));
        let mut model: BTreeMap<(Source, CellId), Flow> = BTreeMap::new();
        let rules = Rules::shipped();
        let mut hits: BTreeMap<_, (u64, Option<(u16, u16)>)> = BTreeMap::new();
        let mut victims: BTreeMap<Victim, (u64, BTreeSet<Source>)> = BTreeMap::new();
        for (time, (packet, worker)) in packets.iter().enumerate() {
            let time = time as u32;
            workers[*worker].count(packet, time, Timing::OnTime, 0);
            let one = single(packet, time);
            model.entry((packet.source, packet.cell)).and_modify(|flow| flow.merge(&one)).or_insert(one);
            for place in packet.rule_matches.iter().flat_map(|matches| matches.places()) {
                let Source::V4(source) = packet.source else { continue };
                let value = match rules.fingerprints()[place].carried {
                    Carried::WithHits(number) => packet.rule_matches.map(|matches| matches.constants.get(number)),
                    _ => None,
                };
                let key = (source, packet.cell.port().unwrap_or_default(), place);
                let (count, span) = hits.entry(key).or_default();
                *count += 1;
                *span = match (*span, value) {
                    (Some((least, most)), Some(value)) => Some((least.min(value), most.max(value))),
                    (_, value) => value.map(|value| (value, value)),
                };
            }
            if let Some(Quoted::Victim(victim)) = packet.quoted {
                let (count, senders) = victims.entry(victim).or_default();
                *count += 1;
                senders.insert(packet.source);
            }
        }
        let epochs: Vec<&Epoch> = workers.iter().collect();
        let mut rows = Vec::new();
        merge::flows(&epochs, |flow| rows.push(flow));
        prop_assert_eq!(&rows, &model.into_values().collect::<Vec<_>>());
        for (cell, count) in merge::ports(&epochs) {
            let of_cell = || rows.iter().filter(|flow| flow.cell == cell);
            prop_assert_eq!(count.packets, of_cell().map(|flow| flow.packets).sum::<u64>());
            prop_assert_eq!(count.bytes, of_cell().map(|flow| flow.bytes).sum::<u64>());
        }
        let merged: BTreeMap<_, _> = (merge::fingerprints(&epochs).iter())
            .map(|hit| ((hit.source, hit.port, hit.rule), (hit.hits, hit.span)))
            .collect();
        let mut packets = [0; MOST_FINGERPRINTS];
        for worker in &workers {
            for (sum, more) in packets.iter_mut().zip(first(worker).fingerprints) {
                *sum += more;
            }
        }
        for ((_, _, rule), (count, _)) in &hits {
            packets[*rule] -= count;
        }
        prop_assert_eq!(packets, [0; MOST_FINGERPRINTS], "packets by rule are the sum of the rows");
        prop_assert_eq!(merged, hits);
        let quoted: u64 = workers.iter().map(|worker| first(worker).quotes.counted()).sum();
        prop_assert_eq!(quoted, victims.values().map(|(count, _)| count).sum::<u64>());
        let epochs: Vec<&Epoch> = workers.iter().collect();
        let counted: Vec<_> = (merge::victims(&merge::victim_senders(&epochs)).iter())
            .map(|count| (count.victim, count.packets, count.senders))
            .collect();
        let expected: Vec<_> = (victims.iter())
            .map(|(victim, (count, senders))| (*victim, *count, senders.len() as u64))
            .collect();
        prop_assert_eq!(counted, expected);
        for worker in &mut workers {
            worker.clear();
            prop_assert!(worker.is_empty() && worker.flows4.is_empty() && worker.flows6.is_empty());
            prop_assert_eq!(worker.flows4.iter().count() + worker.flows6.iter().count(), 0);
        }
    }

    /// A full table keeps the rows it has, and what does not fit is counted and sketched.
    #[test]
    fn overflow_is_declared_and_ports_stay_exact(sources in proptest::collection::vec(0u32..60, 1..300)) {
        let capacity = Capacity { flows4: 20, flows6: 16, fingerprints: 16, victims: 16 };
        let mut epoch = Epoch::new(&capacity, 1, &hasher());
        let cell = CellId::new(6, Class::Scan, Some(23));
        let budget = Budget::divided(capacity.flows4);
        let share = budget.by_class[Class::Scan as usize];
        let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
        let mut first_ones = Vec::new();
        for &source in &sources {
            epoch.count(&packet(Source::V4(source), cell), 0, Timing::OnTime, 0);
            *counts.entry(source).or_default() += 1;
            if counts.len() <= share && counts[&source] == 1 {
                first_ones.push(source);
            }
        }
        // Who came first has a row with every packet; later ones get one when they return.
        let rows: BTreeMap<Source, u64> = (epoch.flows4.iter())
            .map(|row| (row.flow().source, row.flow().packets))
            .collect();
        for source in first_ones {
            prop_assert_eq!(rows.get(&Source::V4(source)), Some(&counts[&source]));
        }
        prop_assert!(rows.len() >= share.min(counts.len()) && rows.len() <= budget.returning);
        let overflow = first(&epoch).overflow;
        prop_assert_eq!(rows.values().sum::<u64>() + overflow, sources.len() as u64);
        prop_assert_eq!(overflow > 0, counts.len() > share);
        let ports = merge::ports(&[&epoch]);
        prop_assert_eq!(ports[&cell].packets, sources.len() as u64);
        let mut sketches = merge::SketchSet::of(&[&epoch]);
        prop_assert_eq!(sketches.is_empty(), overflow == 0);
        merge::flows(&[&epoch], |flow| sketches.add(flow.source, flow.cell));
        let distinct = sources.iter().collect::<BTreeSet<_>>().len();
        for (scope, registers) in sketches.iter() {
            prop_assert!(scope.holds(cell), "{:?}", scope);
            let set = registers.values().iter().filter(|&&value| value > 0).count();
            prop_assert!(set <= distinct && set + 3 >= distinct, "{} of {}", set, distinct);
        }
        if overflow > 0 {
            prop_assert!(sketches.iter().any(|(scope, _)| scope == Scope::Cell(cell)));
        }
    }
}

#[test]
fn queues_timing_and_errors_are_tallied_separately() {
    let mut epoch = Epoch::new(&ROOM, 2, &hasher());
    let mut bad = packet(Source::V4(1), CellId::new(6, Class::Other, None));
    bad.errors.insert(DecodeError::TcpCutBeforePorts);
    epoch.count(&bad, 0, Timing::Late, 1);
    epoch.count(&bad, 0, Timing::Jump, 1);
    epoch.count(&bad, 0, Timing::OnTime, 0);
    let [first, second] = &epoch.tallies().collect::<Vec<_>>()[..] else {
        panic!("two queues")
    };
    assert_eq!((first.packets, first.late, first.time_jump), (1, 0, 0));
    assert_eq!((second.packets, second.late, second.time_jump), (2, 1, 1));
    assert_eq!(second.errors[DecodeError::TcpCutBeforePorts as usize], 2);
    assert_eq!(second.bytes, 80);
}

#[test]
fn quotes_without_a_victim_and_a_full_table_are_tallied() {
    let capacity = Capacity { victims: 4, ..ROOM };
    let mut epoch = Epoch::new(&capacity, 1, &hasher());
    let mut error = packet(
        Source::V4(1),
        CellId::new(1, Class::Backscatter, Some(0x0303)),
    );
    for quoted in [Quoted::Foreign, Quoted::Unreadable, Quoted::Unreadable] {
        error.quoted = Some(quoted);
        epoch.count(&error, 0, Timing::OnTime, 0);
    }
    for address in (0..7).chain(0..2) {
        error.quoted = Some(Quoted::Victim(Victim {
            address: Source::V4(address),
            protocol: 6,
            port: Some(80),
        }));
        epoch.count(&error, 0, Timing::OnTime, 0);
    }
    let quotes = first(&epoch).quotes;
    assert_eq!(
        (quotes.errors, quotes.foreign, quotes.unreadable),
        (12, 1, 2)
    );
    assert_eq!((quotes.overflow, quotes.counted()), (3, 6));
    let counted: u64 = merge::victim_senders(&[&epoch])
        .iter()
        .map(|(_, packets)| packets)
        .sum();
    assert_eq!(counted, quotes.counted());
    epoch.clear();
    assert!(merge::victim_senders(&[&epoch]).is_empty());
}

#[test]
fn capacity_is_shared_out_and_has_a_size() {
    let capacity = Capacity::share(1_000_000, 2);
    assert_eq!(capacity.flows(), 500_000);
    assert!(capacity.bytes() > 500_000 * 64);
    assert!(capacity.bytes() < 500_000 * 100 + (32 << 20));
}
