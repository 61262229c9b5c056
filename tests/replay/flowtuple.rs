//! `noctule replay --flowtuple`: files that another Avro library reads, with every packet in them
//! and every field as another program reads it in the capture.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use noctule_capture::file::CaptureReader;
use noctule_testkit::data::{self, Telescope};
use noctule_testkit::flowtuple::{Key, Record, of_frame, packets, read};
use noctule_testkit::frames::{DARK_PREFIX, write_syns};
use noctule_testkit::program::{Ended, LIMIT, Running, noctule, replay};
use noctule_testkit::python;
use noctule_testkit::store;
use noctule_testkit::tshark;
use serde_json::Value;

/// A whole minute, seconds since 1970.
const MINUTE: i64 = 1_700_000_040;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Replays into FlowTuples.
fn record(one: &Telescope, folder: &Path, more: &[&str]) -> Ended {
    let prefix = ["--prefix", &one.prefix];
    let into = ["--flowtuple", text(folder), text(&one.capture)];
    replay([&prefix, more, &into].concat())
}

/// The one line that says what was written.
fn said(ended: &Ended) -> &str {
    match ended.lines("noctule: FlowTuples: ")[..] {
        [line] => line,
        _ => panic!("not exactly one line of FlowTuples:\n{}", ended.stderr),
    }
}

#[test]
fn every_field_is_what_tshark_reads() {
    let test = "every_field_is_what_tshark_reads";
    let (Some(python), Some(folder)) = (python::with(test, "fastavro"), data::folder(test)) else {
        return;
    };
    if tshark::version(test).is_none() {
        return;
    }
    let mut all = BTreeMap::new();
    for one in data::telescope(&folder) {
        let here = tempfile::tempdir().expect("a temporary folder");
        let ended = record(&one, here.path(), &[]).success();
        let files = read(&python, here.path());
        let dark = one.expected["dark_packets"].as_u64().expect("a count");
        assert_eq!(packets(&files), dark, "{}", one.capture.display());
        let line = said(&ended);
        assert!(line.contains("all of them"), "{line}");

        let (prefix, bits) = one.prefix.split_once('/').expect("a prefix");
        let (prefix, bits): (Ipv4Addr, u32) = (
            prefix.parse().expect("IPv4"),
            bits.parse().expect("a length"),
        );
        let rest = 32 - bits;
        let is_dark = |address: Ipv4Addr| {
            (u64::from(address.to_bits()) >> rest) == (u64::from(prefix.to_bits()) >> rest)
        };
        let (frames, _) = tshark::read(&one.capture);
        let mut expected: BTreeMap<Key, u64> = BTreeMap::new();
        for key in frames.iter().filter_map(|frame| of_frame(frame, is_dark)) {
            *expected.entry(key).or_default() += 1;
        }
        let mut found = BTreeMap::new();
        for (_, records) in &files {
            for record in records {
                let before = found.insert(record.key(), record.number("packet_cnt"));
                assert_eq!(before, None, "a FlowTuple stands twice");
            }
        }
        assert!(!expected.is_empty());
        for (key, count) in &expected {
            let context = || format!("{}: {key:?}", one.capture.display());
            assert_eq!(found.get(key), Some(count), "{}", context());
        }
        assert_eq!(found.len(), expected.len(), "{}", one.capture.display());
        all.extend(found);
    }
    // A field that is always 0 would be no proof: source port to is_spoofed vary in these captures.
    for place in [3, 4, 5, 6, 7, 8, 9, 10, 11] {
        let values = all
            .keys()
            .map(|key| key[place])
            .collect::<std::collections::BTreeSet<_>>();
        assert!(values.len() > 1, "field {place}: {values:?}");
    }
}

#[test]
fn the_files_depend_on_the_packets_alone() {
    let test = "the_files_depend_on_the_packets_alone";
    let Some(folder) = data::folder(test) else {
        return;
    };
    let one = data::capture(&folder, "sensor-spoofed-storm");
    let here = tempfile::tempdir().expect("a temporary folder");
    let files = |name: &str, more: &[&str]| {
        let folder = here.path().join(name);
        record(&one, &folder, more).success();
        let files = store::files(&folder);
        assert!(!files.is_empty());
        for name in files.keys() {
            assert!(text(name).ends_with(".avro"), "{name:?}");
        }
        files
    };
    let first = files("first", &[]);
    assert_eq!(first.len(), 2, "two minutes: {:?}", first.keys());
    assert_eq!(first, files("again", &[]));
    assert_eq!(first, files("two", &["--workers", "2"]));
    // The store's intervals are another matter.
    assert_eq!(first, files("ten", &["--interval", "10", "--workers", "3"]));
    let tight = files("tight", &["--max-flows", "500"]);
    assert_ne!(first, tight);
    assert_eq!(
        tight,
        files("tight-two", &["--max-flows", "500", "--workers", "2"])
    );
    let short = files("short", &["--flowtuple-interval", "10"]);
    assert!(short.len() > 2, "{:?}", short.keys());
    // The same once more into the same folder changes nothing.
    assert_eq!(first, files("first", &[]));
}

#[test]
fn a_full_table_splits_flowtuples_and_loses_nothing() {
    let test = "a_full_table_splits_flowtuples_and_loses_nothing";
    let (Some(python), Some(folder)) = (python::with(test, "fastavro"), data::folder(test)) else {
        return;
    };
    let one = data::capture(&folder, "sensor-spoofed-storm");
    let here = tempfile::tempdir().expect("a temporary folder");
    let [wide, tight] = ["wide", "tight"].map(|name| here.path().join(name));
    let line = |ended: &Ended| said(ended).to_owned();
    assert!(!line(&record(&one, &wide, &[]).success()).contains("full"));
    // With fewer slots than repetitions, FlowTuples are written twice.
    let ended = record(&one, &tight, &["--max-flows", "16"]).success();
    let words = "the table was full ";
    assert!(line(&ended).contains(words), "{}", line(&ended));
    let [wide, tight] = [wide, tight].map(|folder| read(&python, &folder));
    let sums = |files: &[(String, Vec<Record>)]| {
        let mut sums: BTreeMap<Key, u64> = BTreeMap::new();
        for record in files.iter().flat_map(|(_, records)| records) {
            *sums.entry(record.key()).or_default() += record.number("packet_cnt");
        }
        sums
    };
    assert_eq!(sums(&wide), sums(&tight));
    let rows = |files: &[(String, Vec<Record>)]| -> usize {
        files.iter().map(|(_, records)| records.len()).sum()
    };
    assert!(rows(&tight) > rows(&wide), "some stand twice");
}

/// Ranges of a CSV file: first and last address, value.
fn ranges(path: &Path) -> Vec<(Ipv4Addr, Ipv4Addr, String)> {
    let text = fs::read_to_string(path).expect("a CSV file");
    let line = |line: &str| {
        let mut parts = line.split(',');
        let mut address = || parts.next()?.trim().parse().ok();
        let (first, last) = (address()?, address()?);
        Some((first, last, parts.next()?.trim().to_owned()))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn sources_have_country_continent_and_as_and_ipv6_is_told() {
    let test = "sources_have_country_continent_and_as_and_ipv6_is_told";
    let Some(python) = python::with(test, "fastavro") else {
        return;
    };
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("synth.pcap");
    let prefixes = ["--prefix", "198.18.0.0/16", "--prefix", "2001:db8::/32"];
    let sizes = [
        "synth",
        "--packets",
        "30000",
        "--sources",
        "900",
        "--seed",
        "5",
    ];
    let out = ["--out", text(&capture)];
    let made = noctule([&sizes[..], &prefixes, &out].concat());
    Running::start(&mut { made }).wait(LIMIT).success();
    let [countries, asns] = ["country", "asn"].map(|what| {
        let mut name = capture.clone().into_os_string();
        name.push(format!(".{what}.csv"));
        PathBuf::from(name)
    });
    let folder = here.path().join("out");
    let files = ["--country-db", text(&countries), "--asn-db", text(&asns)];
    let into = ["--flowtuple", text(&folder), text(&capture)];
    let ended = replay([&prefixes, &files[..], &into].concat()).success();
    let summary = ended.summary();

    let ipv6 = count_ipv6(&capture);
    assert!(ipv6 > 0);
    let read = read(&python, &folder);
    assert_eq!(packets(&read) + ipv6, summary.dark_packets);
    let number = ipv6.to_string();
    let number = match number.len() {
        0..=3 => number,
        long => format!("{},{}", &number[..long - 3], &number[long - 3..]),
    };
    let line = said(&ended);
    assert!(
        line.contains(&format!("without {number} dark IPv6 packet")),
        "{line}"
    );

    let (countries, asns) = (ranges(&countries), ranges(&asns));
    assert!(!countries.is_empty() && !asns.is_empty());
    let of = |ranges: &[(Ipv4Addr, Ipv4Addr, String)], source: Ipv4Addr| {
        let holds =
            |&&(first, last, _): &&(Ipv4Addr, Ipv4Addr, String)| (first..=last).contains(&source);
        ranges.iter().find(holds).map(|(_, _, value)| value.clone())
    };
    let (mut known, mut masscan) = (0, 0);
    for record in read.iter().flat_map(|(_, records)| records) {
        let source = Ipv4Addr::from(record.number("src_ip") as u32);
        let country = of(&countries, source);
        assert_eq!(
            record.text("maxmind_country"),
            country.as_deref().unwrap_or("??")
        );
        let continent = match record.text("maxmind_country") {
            "US" => Some("NA"),
            "DE" | "NL" | "FR" | "GB" | "RU" => Some("EU"),
            "JP" | "CN" | "IN" | "KR" => Some("AS"),
            "BR" => Some("SA"),
            "??" => Some("??"),
            _ => None,
        };
        if let Some(continent) = continent {
            assert_eq!(record.text("maxmind_continent"), continent);
            known += u64::from(continent != "??");
        }
        let asn = of(&asns, source).map_or(0, |text| {
            let digits = text.trim_start_matches("AS");
            digits.parse().expect("an AS number")
        });
        assert_eq!(record.number("prefix2asn"), asn);
        assert_eq!(record.text("netacq_country"), "??");
        assert_eq!(record.text("netacq_continent"), "??");
        masscan += record.number("is_masscan") * record.number("packet_cnt");
    }
    assert!(
        known > 0,
        "no record has a country whose continent is tested"
    );
    assert!(masscan > 0);
    let counted = &summary.fingerprints["masscan"];
    assert_eq!(
        masscan, *counted,
        "as many packets of masscan as are counted"
    );
}

fn count_ipv6(capture: &Path) -> u64 {
    let darknet = noctule_packet::darknet::Darknet::parse::<&str>(&["2001:db8::/32"], &[]);
    let darknet = darknet.expect("a prefix");
    let mut reader = CaptureReader::open(capture).unwrap_or_else(|error| panic!("{error}"));
    let mut count = 0;
    while let Some(record) = reader.next().unwrap_or_else(|error| panic!("{error}")) {
        let link = record.link.expect("a link type that is read");
        let destination = darknet.destination(link, record.bytes);
        let is_dark = matches!(destination, noctule_packet::darknet::Destination::Dark(_));
        count += u64::from(is_dark);
    }
    count
}

#[test]
fn broken_captures_lose_no_packet() {
    let test = "broken_captures_lose_no_packet";
    let (Some(python), Some(folder)) = (python::with(test, "fastavro"), data::folder(test)) else {
        return;
    };
    let mut captures = 0;
    for entry in fs::read_dir(folder.join("pcaps/hard")).expect("hard captures") {
        let capture = entry.expect("an entry").path();
        let here = tempfile::tempdir().expect("a temporary folder");
        let one = Telescope {
            capture,
            prefix: "0.0.0.0/0".to_owned(),
            expected: Value::Null,
        };
        let ended = record(&one, here.path(), &[]);
        if !ended.status.success() && ended.stdout.is_empty() {
            // Nothing of it can be read.
            continue;
        }
        let dark = ended.summary().dark_packets;
        assert_eq!(packets(&read(&python, here.path())), dark, "{ended:?}");
        captures += 1;
    }
    assert!(captures > 10, "{captures} captures");
}

#[test]
fn what_comes_late_stands_in_the_oldest_open_interval() {
    let test = "what_comes_late_stands_in_the_oldest_open_interval";
    let Some(python) = python::with(test, "fastavro") else {
        return;
    };
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("capture.pcap");
    let folder = here.path().join("out");
    write_syns(
        &capture,
        &[5, 70, 6, 130, 7, 131, 8].map(|second| MINUTE + second),
    );
    let into = ["--flowtuple", text(&folder), text(&capture)];
    let ended = replay([&["--prefix", DARK_PREFIX], &into[..]].concat()).success();
    let files = read(&python, &folder);
    let held: Vec<_> = (files.iter())
        .map(|(name, records)| {
            let start = records[0].number("time") as i64 - MINUTE;
            (&name[..16], start, records.len())
        })
        .collect();
    let expected = [
        ("20231114T221400Z", 0, 2),
        ("20231114T221500Z", 60, 3),
        ("20231114T221600Z", 120, 2),
    ];
    assert_eq!(held, expected);
    assert!(
        said(&ended).contains("2 packets in another interval"),
        "{}",
        said(&ended)
    );
}

#[test]
fn a_file_that_differs_is_an_error_and_stays() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("capture.pcap");
    let folder = here.path().join("out");
    write_syns(&capture, &[5, 65, 125].map(|second| MINUTE + second));
    let run = |more: &[&str]| {
        let into = ["--flowtuple", text(&folder), text(&capture)];
        replay([&["--prefix", DARK_PREFIX], more, &into].concat())
    };
    run(&[]).success();
    let before = store::files(&folder);
    assert_eq!(before.len(), 3);
    let countries = here.path().join("country.csv");
    fs::write(&countries, "11.0.0.0,11.255.255.255,JP\n").expect("room for a file");
    let ended = run(&["--country-db", text(&countries)]);
    let error = ended.error();
    let says = [
        "FlowTuples",
        "20231114T221400Z",
        "other content is already there",
    ];
    assert!(says.iter().all(|part| error.contains(part)), "{error}");
    assert_eq!(store::files(&folder), before);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("capture.pcap");
    write_syns(&capture, &[MINUTE]);
    let run =
        |more: &[&str]| replay([&["--prefix", DARK_PREFIX], more, &[text(&capture)]].concat());
    let folder = here.path().join("out");
    let ended = run(&["--flowtuple", text(&folder), "--flowtuple-interval", "7"]);
    assert!(
        ended.error().contains("must divide 3600"),
        "{}",
        ended.error()
    );
    assert!(!folder.exists(), "nothing was begun");
    let ended = run(&["--flowtuple-interval", "60"]);
    assert_eq!(ended.code(), 2, "{}", ended.stderr);
    let ended = run(&["--flowtuple", text(&capture)]);
    assert!(
        ended.error().contains("cannot write FlowTuples"),
        "{}",
        ended.error()
    );
    // Whoever does not ask for FlowTuples hears nothing of them.
    let ended = run(&[]).success();
    assert!(!ended.stderr.contains("FlowTuple"), "{}", ended.stderr);
}
