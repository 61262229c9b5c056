//! Darknet events from a store: of the right form, and what the packets say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use noctule_testkit::program::{LIMIT, Running, noctule, replay};
use noctule_testkit::{data, python, tshark};
use serde::Deserialize;
use tempfile::TempDir;

/// The silence that ends an event.
const SILENCE_US: i64 = 624_000_000;

/// A line, as far as it is held against packets.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    #[serde(rename = "SourceIP")]
    source: String,
    port: u16,
    traffic: u8,
    first: String,
    packets: u64,
    bytes: u64,
    unique_dests: u64,
    unique_dests_saturated: bool,
}

/// What the packets themselves say of an event.
struct Truth {
    first_us: i64,
    last_us: i64,
    packets: u64,
    bytes: u64,
    destinations: BTreeSet<String>,
}

/// A dark TCP packet.
struct Packet {
    time_us: i64,
    source: String,
    port: u16,
    bytes: u64,
    destination: String,
}

impl Packet {
    /// The row of `flows` that it counts in.
    fn row(&self) -> (String, u16, i64) {
        let minute = self.time_us.div_euclid(60_000_000);
        (self.source.clone(), self.port, minute)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Replays a capture and exports its events to `events.ndjson` in a folder of its own.
fn export(prefix: &str, capture: &Path) -> TempDir {
    let here = tempfile::tempdir().expect("a temporary folder");
    let store = here.path().join("store");
    replay([
        "--prefix",
        prefix,
        "--store",
        text(&store),
        "--interval",
        "60",
        text(capture),
    ])
    .success();
    let events = here.path().join("events.ndjson");
    let mut command = noctule(["export", "--store", text(&store), "--out", text(&events)]);
    Running::start(&mut command).wait(LIMIT).success();
    here
}

fn lines(folder: &TempDir) -> Vec<Line> {
    let text = fs::read_to_string(folder.path().join("events.ndjson")).expect("events");
    let lines = text.lines().map(serde_json::from_str::<Line>);
    lines.collect::<Result<_, _>>().expect("JSON")
}

/// Holds the events in a folder against the schema, and says how many there are.
fn valid(python: &str, folder: &TempDir) -> usize {
    let schema = python::script("../collector/analyze/event.schema.json");
    let mut command = Command::new(python);
    command.arg(python::script("report/check_events.py"));
    command.arg(schema).arg(folder.path().join("events.ndjson"));
    let ended = Running::start(&mut command).wait(LIMIT);
    (ended.success().stdout.trim().parse()).expect("how many events there are")
}

#[test]
fn events_of_every_kind_of_traffic_have_the_schemas_form() {
    let test = "events_of_every_kind_of_traffic_have_the_schemas_form";
    let Some(python) = python::with(test, "jsonschema") else {
        return;
    };
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("dark.pcap");
    let mut synth = noctule([
        "synth",
        "--prefix",
        "198.18.0.0/20",
        "--prefix",
        "2001:db8::/48",
        "--packets",
        "200000",
        "--sources",
        "1000",
        "--duration",
        "3600",
        "--out",
        text(&capture),
    ]);
    Running::start(&mut synth).wait(LIMIT).success();
    let store = here.path().join("store");
    let ended = replay([
        "--prefix",
        "198.18.0.0/20",
        "--prefix",
        "2001:db8::/48",
        "--store",
        text(&store),
        "--country-db",
        &format!("{}.country.csv", text(&capture)),
        "--asn-db",
        &format!("{}.asn.csv", text(&capture)),
        text(&capture),
    ]);
    ended.success();
    let events = here.path().join("events.ndjson");
    let mut command = noctule(["export", "--store", text(&store), "--out", text(&events)]);
    Running::start(&mut command).wait(LIMIT).success();
    let found = lines(&here);
    assert_eq!(valid(&python, &here), found.len());
    let kinds: BTreeSet<u8> = found.iter().map(|line| line.traffic).collect();
    for wanted in [0, 2, 11, 12, 14, 16, 17] {
        assert!(
            kinds.contains(&wanted),
            "no event of kind {wanted}: {kinds:?}"
        );
    }
    let marked = fs::read_to_string(&events).expect("events");
    for mark in ["\"Zmap\":true", "\"Masscan\":true", "\"Mirai\":true"] {
        assert!(marked.contains(mark), "no event has {mark}");
    }
    assert!(found.iter().any(|line| line.source.contains(':')));
}

#[test]
fn events_are_what_the_packets_say() {
    let test = "events_are_what_the_packets_say";
    let (Some(shared), Some(_)) = (data::folder(test), tshark::version(test)) else {
        return;
    };
    let one = data::capture(&shared, "backscatter");
    let folder = export(&one.prefix, &one.capture);
    let prefix: ipnet::Ipv4Net = one.prefix.parse().expect("a prefix");
    let mut packets = Vec::new();
    // Answers of both kinds to one victim's port within an interval share one row, which is
    // neither.
    let mut flags: BTreeMap<(String, u16, i64), u64> = BTreeMap::new();
    for frame in tshark::read(&one.capture).0 {
        let destination = frame.first("ip.dst").unwrap_or_default().to_owned();
        let address = destination.parse::<std::net::Ipv4Addr>();
        if !address.is_ok_and(|address| prefix.contains(&address)) {
            continue;
        }
        let number = |name| frame.number(name).expect("a header field");
        let time = frame.first("frame.time_epoch").expect("a time");
        let packet = Packet {
            time_us: (time.parse::<f64>().expect("seconds") * 1e6).round() as i64,
            source: frame.first("ip.src").expect("a source").to_owned(),
            port: u16::try_from(number("tcp.srcport")).expect("a port"),
            bytes: number("ip.len"),
            destination,
        };
        *flags.entry(packet.row()).or_default() |= number("tcp.flags");
        packets.push(packet);
    }
    let mut truth: BTreeMap<(String, u16, u8), Vec<Truth>> = BTreeMap::new();
    for packet in packets {
        let kind = match flags[&packet.row()] & 0x06 {
            0x02 => 12,
            0x04 => 14,
            _ => 15,
        };
        let time_us = packet.time_us;
        let events = truth.entry((packet.source, packet.port, kind)).or_default();
        let last = events.last();
        if last.is_none_or(|event| time_us - event.last_us > SILENCE_US) {
            events.push(Truth {
                first_us: time_us,
                last_us: time_us,
                packets: 0,
                bytes: 0,
                destinations: BTreeSet::new(),
            });
        }
        let event = events.last_mut().expect("one was begun");
        event.last_us = time_us;
        event.packets += 1;
        event.bytes += packet.bytes;
        event.destinations.insert(packet.destination);
    }
    let found = lines(&folder);
    assert!(found.len() > 1, "the capture has several events: {found:?}");
    let mut seen = 0;
    for line in &found {
        let key = (line.source.clone(), line.port, line.traffic);
        let event = (truth[&key].iter())
            .find(|event| (event.packets, event.bytes) == (line.packets, line.bytes));
        let event = event.unwrap_or_else(|| panic!("no such event: {line:?}"));
        let seconds = line.first.parse::<jiff::Timestamp>().expect("RFC 3339");
        assert_eq!(seconds.as_millisecond(), event.first_us.div_euclid(1000));
        let destinations = event.destinations.len() as u64;
        // A bitmap of 64 bits estimates so many with an error of up to a quarter.
        if line.unique_dests_saturated {
            assert!(destinations > 150, "{destinations}: {line:?}");
        } else {
            assert!(
                line.unique_dests.abs_diff(destinations) * 4 <= destinations,
                "{line:?}"
            );
        }
        seen += 1;
    }
    // What was left out has few destinations, and nothing else was.
    let all: usize = truth.values().map(Vec::len).sum();
    let few = truth
        .values()
        .flatten()
        .filter(|event| event.destinations.len() < 8);
    assert!(
        seen >= all - few.count() - 1 && seen <= all,
        "{seen} of {all}"
    );
}
