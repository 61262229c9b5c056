//! The generator against its own promises, and its frames against another decoder.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::net::IpAddr;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use noctule_packet::darknet::{Darknet, Destination};
use noctule_packet::link::LinkType;

use super::pcap::tests::records;
use super::*;

type Frames = Vec<(i64, Vec<u8>)>;

fn run(config: &SynthConfig) -> (Frames, Truth) {
    let mut frames = Vec::new();
    let truth = generate(config, |time_us, frame| {
        frames.push((time_us, frame.to_vec()));
        Ok::<(), Infallible>(())
    })
    .unwrap();
    (frames, truth)
}

fn config(prefixes: &[&str], mix: Option<&str>) -> SynthConfig {
    SynthConfig {
        packets: 20_000,
        sources: 3_000,
        mix: mix.map(|text| Mix::parse(text).unwrap()),
        ..SynthConfig::new(prefixes.iter().map(|p| p.parse().unwrap()).collect())
    }
}

const BOTH: [&str; 3] = ["198.51.100.0/24", "203.0.112.0/23", "2001:db8::/32"];

fn darknet(config: &SynthConfig) -> Darknet {
    Darknet::new(&config.prefixes, &[]).unwrap()
}

/// Is every sum equal to the whole it is a part of?
fn assert_adds_up(truth: &Truth) {
    let summary = &truth.summary;
    let cells = |value: fn(&TrueCell) -> u64| -> u64 { summary.cells.iter().map(value).sum() };
    assert_eq!(
        summary.records,
        summary.dark_packets + summary.passed_packets
    );
    assert_eq!(summary.by_class.values().sum::<u64>(), summary.dark_packets);
    assert_eq!(
        summary.by_protocol.values().sum::<u64>(),
        summary.dark_packets
    );
    assert_eq!(cells(|cell| cell.packets), summary.dark_packets);
    assert_eq!(cells(|cell| cell.bytes), summary.dark_bytes);
    assert_eq!(summary.by_class.len(), 3);
    let components: u64 = truth.packets_by_component.values().sum();
    assert_eq!(components, summary.records);
    let countries = &summary.sources_by_country;
    assert_eq!(countries.values().sum::<u64>(), summary.sources);
    assert!((summary.cells.iter()).all(|cell| 0 < cell.sources && cell.sources <= cell.packets));
}

#[test]
fn the_same_configuration_gives_the_same_frames() {
    let config = config(&BOTH, None);
    let (frames, truth) = run(&config);
    assert_eq!((frames.clone(), truth), run(&config));
    let other = SynthConfig { seed: 2, ..config };
    assert_ne!(frames, run(&other).0);
}

#[test]
fn the_truth_adds_up_and_nothing_is_missing() {
    let config = SynthConfig {
        packets: 100_000,
        ..config(&BOTH, None)
    };
    let (frames, truth) = run(&config);
    assert_adds_up(&truth);
    assert_eq!(frames.len(), 100_000);
    assert_eq!(truth.packets_by_component.len(), Component::ALL.len());
    assert_eq!(truth.summary.fingerprints.len(), probe::Rule::COUNT);
    assert_eq!(truth.summary.intervals, 10);
    assert!(frames.is_sorted_by_key(|frame| frame.0));
    let (first, last) = (frames[0].0, frames[frames.len() - 1].0);
    assert!(config.start_us <= first && last < config.start_us + 600_000_000);
    assert!(frames.iter().all(|frame| frame.1.len() >= 60));
}

#[test]
fn weights_hold() {
    let (_, truth) = run(&config(&BOTH, Some("mirai=6,zmap=3,icmp=0.5,ipv6=0.5")));
    for (name, share) in [
        ("mirai", 0.6),
        ("zmap", 0.3),
        ("icmp", 0.05),
        ("ipv6", 0.05),
    ] {
        let expected = 20_000.0 * share;
        let found = truth.packets_by_component[name] as f64;
        // Five standard deviations.
        assert!(
            (found - expected).abs() < 5.0 * f64::sqrt(expected),
            "{name}: {found}"
        );
    }
    assert_eq!(truth.packets_by_component.len(), 4);
}

#[test]
fn dark_frames_are_dark_and_the_others_are_not() {
    for prefixes in [
        &BOTH[..],
        &["192.0.2.77/32"],
        &["0.0.0.0/0"],
        &["0.0.0.0/1"],
        &["2001:db8::1/128"],
        &["10.0.0.0/8", "10.1.0.0/16"],
    ] {
        let config = config(prefixes, None);
        let (frames, truth) = run(&config);
        assert_adds_up(&truth);
        let darknet = darknet(&config);
        let dark = frames.iter().filter(|(_, frame)| {
            matches!(
                darknet.destination(LinkType::Ethernet, frame),
                Destination::Dark(_)
            )
        });
        assert_eq!(
            dark.count() as u64,
            truth.summary.dark_packets,
            "{prefixes:?}"
        );
        assert!(truth.summary.passed_packets > 0, "{prefixes:?}");
    }
}

/// What another decoder, written apart from this one, makes of a frame without errors.
fn read_again(frame: &[u8]) -> (IpAddr, &'static str, Option<u16>, bool) {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let (source, checked) = match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header().to_header();
            (
                IpAddr::V4(header.source.into()),
                header.header_checksum == header.calc_header_checksum(),
            )
        }
        Some(NetSlice::Ipv6(ip)) => (IpAddr::V6(ip.header().source_addr()), true),
        other => panic!("no IP: {other:?}"),
    };
    let right = |ok: bool| checked && ok;
    match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let header = tcp.to_header();
            let sum = match &packet.net {
                Some(NetSlice::Ipv4(ip)) => {
                    header.calc_checksum_ipv4(&ip.header().to_header(), tcp.payload())
                }
                Some(NetSlice::Ipv6(ip)) => {
                    header.calc_checksum_ipv6(&ip.header().to_header(), tcp.payload())
                }
                _ => unreachable!(),
            };
            let answer = header.rst || (header.syn && header.ack);
            let port = if answer {
                tcp.source_port()
            } else {
                tcp.destination_port()
            };
            (source, "tcp", Some(port), right(sum == Ok(header.checksum)))
        }
        Some(TransportSlice::Udp(udp)) => {
            let header = udp.to_header();
            let sum = match &packet.net {
                Some(NetSlice::Ipv4(ip)) => {
                    header.calc_checksum_ipv4(&ip.header().to_header(), udp.payload())
                }
                Some(NetSlice::Ipv6(ip)) => {
                    header.calc_checksum_ipv6(&ip.header().to_header(), udp.payload())
                }
                _ => unreachable!(),
            };
            let answer = udp.source_port() == 53
                && udp.payload().get(2).is_some_and(|bits| bits & 0x80 != 0);
            let port = if answer { 53 } else { udp.destination_port() };
            (source, "udp", Some(port), right(sum == Ok(header.checksum)))
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            let port = u16::from_be_bytes([icmp.type_u8(), icmp.code_u8()]);
            let header = icmp.header();
            let sum = header.icmp_type.calc_checksum(icmp.payload());
            (source, "icmp", Some(port), right(sum == header.checksum))
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            let port = u16::from_be_bytes([icmp.type_u8(), icmp.code_u8()]);
            let Some(NetSlice::Ipv6(ip)) = &packet.net else {
                panic!("ICMPv6 without IPv6")
            };
            let valid = icmp.is_checksum_valid(ip.header().source(), ip.header().destination());
            (source, "icmpv6", Some(port), right(valid))
        }
        other => panic!("no transport: {other:?}"),
    }
}

/// Protocol and port.
type Key<'a> = (&'a str, Option<u16>);

#[test]
fn another_decoder_reads_the_same_cells() {
    let clean = "mirai,mirai-constant-id,zmap,zmap-4.1,masscan,masscan-2023,nmap,unicornscan,\
                 syn-scan=2,udp-53413,udp-scan=2,dns-answers,synack,rst,icmp=2,icmp-errors=2,\
                 bogon=2,ipv6=2,odd-flags,vlan";
    let config = config(&BOTH, Some(clean));
    let (frames, truth) = run(&config);
    let mut cells: BTreeMap<Key<'_>, (u64, HashSet<IpAddr>)> = BTreeMap::new();
    for (_, frame) in &frames {
        let (source, protocol, port, valid) = read_again(frame);
        assert!(valid, "a checksum of {frame:02x?}");
        let (packets, sources) = cells.entry((protocol, port)).or_default();
        *packets += 1;
        sources.insert(source);
    }
    let mut planned: BTreeMap<Key<'_>, u64> = BTreeMap::new();
    for cell in &truth.summary.cells {
        *planned.entry((&cell.protocol, cell.port)).or_default() += cell.packets;
        // Where only one class has the cell, its sources can be compared as well.
        let (packets, sources) = &cells[&(&cell.protocol[..], cell.port)];
        if *packets == cell.packets {
            assert_eq!(sources.len() as u64, cell.sources, "{cell:?}");
        }
    }
    let found: BTreeMap<_, _> = cells.iter().map(|(&key, cell)| (key, cell.0)).collect();
    assert_eq!(found, planned);
}

#[test]
fn sources_are_in_the_country_and_system_files() {
    let config = config(&BOTH, Some("mirai=5,icmp=2,ipv6=3"));
    let (frames, truth) = run(&config);
    let find = |ranges: &[AddressRange], address: IpAddr| {
        let after = ranges.partition_point(|range| range.start <= address);
        let range = after.checked_sub(1).map(|index| &ranges[index]);
        range
            .filter(|range| address <= range.end)
            .map(|range| range.value.clone())
    };
    let sources: HashSet<IpAddr> = frames
        .iter()
        .map(|(_, frame)| read_again(frame).0)
        .collect();
    let mut countries: BTreeMap<String, u64> = BTreeMap::new();
    for &source in &sources {
        *countries
            .entry(find(&truth.countries, source).unwrap())
            .or_default() += 1;
        assert!(find(&truth.systems, source).unwrap().parse::<u32>().is_ok());
    }
    assert_eq!(countries, truth.summary.sources_by_country);
    assert_eq!(sources.len() as u64, truth.summary.sources);
}

#[test]
fn header_errors_are_those_of_the_vocabulary() {
    let (_, truth) = run(&config(
        &BOTH,
        Some("malformed=10,mirai-bad-offset=1,fragments=1"),
    ));
    let found: HashSet<(&str, &str)> = truth
        .summary
        .decode_errors
        .iter()
        .map(|error| (&error.layer[..], &error.reason[..]))
        .collect();
    let expected = HashSet::from([
        ("ipv4", "ihl_below_5"),
        ("ipv4", "length_below_header"),
        ("ipv4", "length_beyond_frame"),
        ("tcp", "cut_before_ports"),
        ("tcp", "cut_before_flags"),
        ("tcp", "header_cut"),
        ("tcp", "data_offset_below_5"),
        ("tcp", "data_offset_beyond_end"),
        ("udp", "header_cut"),
        ("udp", "length_below_8"),
        ("udp", "length_beyond_end"),
    ]);
    assert_eq!(found, expected);
    let errors: u64 = truth.summary.decode_errors.iter().map(|e| e.packets).sum();
    let broken =
        truth.packets_by_component["malformed"] + truth.packets_by_component["mirai-bad-offset"];
    assert_eq!(errors, broken);
}

#[test]
fn a_constant_id_is_constant_per_source() {
    let (frames, truth) = run(&config(&BOTH, Some("mirai-constant-id")));
    let mut ids: HashMap<[u8; 4], u16> = HashMap::new();
    for (_, frame) in &frames {
        let source = frame[26..30].try_into().unwrap();
        let id = u16::from_be_bytes([frame[18], frame[19]]);
        assert_eq!(*ids.entry(source).or_insert(id), id);
    }
    assert_eq!(truth.summary.sources, ids.len() as u64);
    let summary = &truth.summary;
    let confirmed = summary.fingerprints["mirai-precursor"];
    assert!(0 < confirmed && confirmed < 20_000);
    // What sources of too few packets sent.
    assert_eq!(summary.fingerprints["mirai"], 20_000 - confirmed);
    assert_eq!(summary.fingerprints.len(), 2);
    let rules: Vec<&String> = summary.confirmed_sources.keys().collect();
    assert_eq!(rules, ["mirai-precursor"]);
    assert!(ids.values().collect::<HashSet<_>>().len() > ids.len() / 2);
}

#[test]
fn uniform_sources_all_occur() {
    let config = SynthConfig {
        distribution: Distribution::Uniform,
        sources: 500,
        ..config(&["192.0.2.0/24"], Some("syn-scan=1,rst=1"))
    };
    assert_eq!(run(&config).1.summary.sources, 500);
    let one = SynthConfig {
        sources: 1,
        ..config
    };
    assert_eq!(run(&one).1.summary.sources, 1);
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let base = || config(&["192.0.2.0/24"], None);
    let refused = |config: SynthConfig| {
        generate(&config, |_, _| Ok::<(), Infallible>(()))
            .unwrap_err()
            .to_string()
    };
    let cases = [
        (
            SynthConfig {
                prefixes: Vec::new(),
                ..base()
            },
            "without a darknet",
        ),
        (
            SynthConfig {
                sources: 0,
                ..base()
            },
            "0 sources",
        ),
        (
            SynthConfig {
                sources: u64::MAX,
                ..base()
            },
            "at most 268435456",
        ),
        (
            SynthConfig {
                interval_seconds: 0,
                ..base()
            },
            "0 s",
        ),
        (
            SynthConfig {
                start_us: -1,
                ..base()
            },
            "1970",
        ),
        (
            SynthConfig {
                duration_seconds: u64::MAX,
                ..base()
            },
            "2106",
        ),
        (
            config(&["192.0.2.0/24"], Some("ipv6")),
            "needs an IPv6 prefix",
        ),
        (
            config(&["2001:db8::/32"], Some("zmap")),
            "needs an IPv4 prefix",
        ),
    ];
    for (config, expected) in cases {
        let message = refused(config);
        assert!(message.contains(expected), "{message}");
    }
    let stopped = generate(&base(), |_, _| Err("the sink is full")).unwrap_err();
    assert_eq!(
        stopped.to_string(),
        "cannot hand over synthetic packet 0: the sink is full"
    );
}

#[test]
fn files_hold_what_was_generated() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("night.pcap");
    let config = config(&BOTH, None);
    let (frames, truth) = run(&config);
    let files = write_files(&config, &out).unwrap();
    assert_eq!(files.content, truth);
    assert!(records(&files.capture) == frames);
    let lines = std::fs::read_to_string(&files.countries).unwrap();
    assert_eq!(lines.lines().count(), truth.countries.len());
    assert!(truth.countries.len() < 600 && truth.systems.len() < 600);
    assert!(lines.lines().all(|line| line.split(',').count() == 3));
    assert!(files.truth.ends_with("night.pcap.truth.json") && files.truth.exists());
    assert!(files.systems.ends_with("night.pcap.asn.csv") && files.systems.exists());

    let nowhere = folder.path().join("no/such/folder.pcap");
    let message = write_files(&config, &nowhere).unwrap_err().to_string();
    assert!(message.starts_with("cannot create capture"), "{message}");
}
