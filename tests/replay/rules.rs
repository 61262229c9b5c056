//! Rules as an operator meets them: listed, checked, tried on captures, and reloaded while a
//! collector runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use noctule_store::Table;
use noctule_testkit::collector::Collector;
use noctule_testkit::frames::{DARK, DARK_PREFIX, syn};
use noctule_testkit::program::{Ended, LIMIT, Running, noctule, replay};
use noctule_testkit::wire::{Wire, one_at_a_time};
use noctule_testkit::{data, store, wait_until};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn rules<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Ended {
    let mut command = noctule(["rules"]);
    Running::start(command.args(arguments)).wait(LIMIT)
}

/// A file with one rule that matches [`syn`]'s packets and nothing that is shipped.
const OURS: &str = "version = 1

[[fingerprint]]
name = \"test-syn\"
version = 1
when = \"tcp.window == 65535 and ip.df == 1 and tcp.options == []\"
chance_bits = 17
source = \"this test\"
";

#[test]
fn the_rules_in_force_are_listed() {
    let listed = rules(["list"]).success().stdout;
    for part in [
        "mirai (version 1, shipped rules)",
        "when      tcp.seq == ip.destination",
        "constant  (tcp.seq >> 16) ^ (tcp.seq & 0xffff) over a source's matching packets",
        "by accident 1 in 2^16",
        "USENIX Security 2017",
        "11211/udp",
        "10.0.0.0/8",
    ] {
        assert!(listed.contains(part), "\"{part}\" is missing in:\n{listed}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ours.toml");
    fs::write(&file, OURS).expect("room for a file");
    let more = rules(["list", "--rules", text(&file)]).success().stdout;
    assert!(more.contains("test-syn (version 1, "), "{more}");
    let first = |text: &str| text.lines().next().map(str::to_owned);
    assert_ne!(
        first(&listed),
        first(&more),
        "another set has another version"
    );
}

/// Ten broken files: what is in them, where the mistake is, and what is said of it.
fn broken() -> Vec<(&'static str, String, &'static str, &'static str)> {
    let with = |from: &str, to: &str| OURS.replacen(from, to, 1);
    let again = OURS.split_once("\n\n").map_or("", |(_, rule)| rule);
    let twice = format!("{OURS}\n{again}");
    vec![
        (
            "no TOML",
            with("name = \"test-syn\"", "name = test-syn"),
            "4:8",
            "",
        ),
        (
            "unknown key",
            with("when", "where"),
            "6:1",
            "unknown field `where`",
        ),
        (
            "missing key",
            with("chance_bits = 17\n", ""),
            "3:1",
            "missing field `chance_bits`",
        ),
        (
            "unknown field",
            with("tcp.window", "tcp.windows"),
            "6:9",
            "\"tcp.windows\" is not known",
        ),
        (
            "no condition",
            with("tcp.window == 65535 and ", "tcp.window and "),
            "6:9",
            "needs a condition",
        ),
        (
            "number too large",
            with("65535", "99999999999"),
            "6:23",
            "no number of 32 bits",
        ),
        ("bad octets", with("[]", "[0x02]"), "6:64", "no octet"),
        (
            "single =",
            with("ip.df == 1", "ip.df = 1"),
            "6:39",
            "compare with ==",
        ),
        (
            "name taken",
            with("test-syn", "masscan"),
            "4:8",
            "stands in shipped rules already",
        ),
        ("name twice", twice, "11:8", "already: take another name"),
    ]
}

#[test]
fn a_broken_file_is_refused_at_its_mistake() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("broken.toml");
    let capture = folder.path().join("one.pcap");
    noctule_testkit::frames::write_syns(&capture, &[1_700_000_000]);
    for (what, content, place, part) in broken() {
        fs::write(&file, content).expect("room for a file");
        let begins = format!("{}:{place}", text(&file));
        for ended in [
            rules(["check", text(&file)]),
            replay([
                "--prefix",
                DARK_PREFIX,
                "--rules",
                text(&file),
                text(&capture),
            ]),
        ] {
            let error = ended.error();
            assert_eq!(ended.code(), 1, "{what}: {error}");
            assert!(
                error.contains(&begins),
                "{what}: {begins} is missing in: {error}"
            );
            assert!(error.contains(part), "{what}: {error}");
            assert!(ended.stdout.is_empty(), "{what}: {}", ended.stdout);
        }
    }
    fs::write(&file, [b'#', 0xff]).expect("room for a file");
    assert!(rules(["check", text(&file)]).error().contains("not UTF-8"));
    let missing = folder.path().join("missing.toml");
    assert!(
        rules(["check", text(&missing)])
            .error()
            .contains("cannot read rule file")
    );
}

#[test]
fn a_valid_file_is_called_valid() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ours.toml");
    fs::write(&file, OURS).expect("room for a file");
    let said = rules(["check", text(&file)]).success().stdout;
    assert!(said.contains("valid, 1 fingerprint here"), "{said}");
    let costly = OURS.replace("== 65535 and ip.df == 1 and tcp.options == []", "> 3");
    fs::write(&file, costly).expect("room for a file");
    let said = rules(["check", text(&file)]).success().stdout;
    assert!(said.contains("costly"), "{said}");
}

#[test]
fn a_rule_shows_which_packets_match_and_why() {
    let test = "a_rule_shows_which_packets_match_and_why";
    let Some(folder) = data::folder(test) else {
        return;
    };
    let mirai = data::capture(&folder, "mirai-two-syns");
    let said = rules(["test", "mirai", text(&mirai.capture)])
        .success()
        .stdout;
    let matches: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("record "))
        .collect();
    assert_eq!(matches.len(), 2, "{said}");
    for line in matches {
        let value = |name: &str| {
            let after = line.split(&format!("{name} = ")).nth(1);
            after
                .and_then(|rest| rest.split_whitespace().next())
                .map(str::to_owned)
        };
        assert!(value("tcp.seq").is_some(), "{line}");
        assert_eq!(value("tcp.seq"), value("ip.destination"), "{line}");
    }
    assert!(
        said.contains("2 records, 2 TCP probes over IPv4, 2 match"),
        "{said}"
    );
    let none = rules(["test", "zmap", text(&mirai.capture)])
        .success()
        .stdout;
    assert!(none.contains("0 match"), "{none}");
    let error = rules(["test", "zmop", text(&mirai.capture)]);
    assert!(
        error.error().contains("no fingerprint is called \"zmop\""),
        "{}",
        error.error()
    );
}

/// Two real Mirai packets whose data offset is wrong: the fingerprint, and the error beside it.
#[test]
fn mirai_with_a_wrong_data_offset_is_mirai_all_the_same() {
    let test = "mirai_with_a_wrong_data_offset_is_mirai_all_the_same";
    let Some(folder) = data::folder(test) else {
        return;
    };
    let one = data::capture(&folder, "mirai-two-syns");
    let summary = replay(["--prefix", &one.prefix, text(&one.capture)])
        .success()
        .summary();
    assert_eq!(summary.fingerprints, BTreeMap::from([("mirai".into(), 2)]));
    assert!(
        summary.confirmed_sources.is_empty(),
        "two matches confirm nobody"
    );
    let errors: Vec<_> = (summary.decode_errors.iter())
        .map(|error| (error.layer.as_str(), error.reason.as_str(), error.packets))
        .collect();
    assert_eq!(errors, [("tcp", "data_offset_beyond_end", 2)]);
}

/// What the store says of each interval: its rules' version, and packets by rule.
#[derive(Debug, Default)]
struct Interval {
    versions: BTreeSet<String>,
    counted: i64,
    hits: BTreeMap<String, i64>,
}

fn intervals(folder: &Path) -> BTreeMap<i64, Interval> {
    let mut all: BTreeMap<i64, Interval> = BTreeMap::new();
    for batch in store::table(folder, Table::Ledger) {
        let starts = batch["interval_start"].as_primitive::<TimestampMicrosecondType>();
        let versions = batch["rules_version"].as_string::<i32>();
        let counted = batch["counted_packets"].as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let interval = all.entry(starts.value(row) / 1_000_000).or_default();
            interval.versions.insert(versions.value(row).to_owned());
            interval.counted += counted.value(row);
        }
    }
    for batch in store::table(folder, Table::Fingerprints) {
        let starts = batch["interval_start"].as_primitive::<TimestampMicrosecondType>();
        let names = batch["rule"].as_string::<i32>();
        let hits = batch["hits"].as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let interval = all.entry(starts.value(row) / 1_000_000).or_default();
            *interval
                .hits
                .entry(names.value(row).to_owned())
                .or_default() += hits.value(row);
        }
    }
    all
}

/// Waits for a line that the collector had not said before.
fn next_line(collector: &Collector, start: &str, before: usize) -> String {
    let lines = || -> Vec<String> {
        let said = collector.stderr();
        said.lines()
            .filter(|line| line.contains(start))
            .map(str::to_owned)
            .collect()
    };
    wait_until(start, LIMIT, || lines().len() > before);
    lines().swap_remove(before)
}

#[test]
fn a_rule_added_to_the_file_counts_from_the_next_interval_on() {
    let test = "a_rule_added_to_the_file_counts_from_the_next_interval_on";
    let Some(wire) = Wire::new(test, 2) else {
        return;
    };
    let _alone = one_at_a_time();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ours.toml");
    fs::write(&file, "version = 1\n").expect("room for a file");
    let countries = folder.path().join("countries.csv");
    fs::write(&countries, "11.0.0.0,11.255.255.255,JP\n").expect("room for a file");
    let arguments = [
        "--prefix",
        DARK_PREFIX,
        "--interval",
        "1",
        "--rules",
        text(&file),
    ];
    let more = ["--country-db", text(&countries)];
    let mut collector = Collector::start(&wire, 2, [&arguments[..], &more].concat());
    let mut sent = 0;
    let mut send = |seconds: u64| {
        for number in 0..seconds * 20 {
            sent += wire.send([syn(number as u32, DARK, 23)], 1_000_000);
            thread::sleep(Duration::from_millis(50));
        }
    };
    send(2);
    fs::write(&file, OURS).expect("room for a file");
    fs::write(&countries, "11.0.0.0,11.255.255.255,NL\n").expect("room for a file");
    collector.signal("HUP");
    let line = next_line(&collector, "reloaded: rules ", 0);
    send(3);

    // Broken files change nothing, and each is reported once, with its place.
    for (number, (what, content, place, part)) in broken().into_iter().enumerate() {
        fs::write(&file, content).expect("room for a file");
        collector.signal("HUP");
        let line = next_line(&collector, "reload refused", number);
        let place = format!("{}:{place}", text(&file));
        assert!(
            line.contains(&place) && line.contains(part),
            "{what}: {line}"
        );
        assert!(line.contains("stay"), "{what}: {line}");
    }
    send(2);
    collector.wait_for(sent);
    let (ended, kept) = collector.stop();
    let summary = ended.success().summary();
    assert_eq!(summary.dark_packets, sent);

    let all = intervals(&kept.path());
    let versions: BTreeSet<_> = all.values().flat_map(|i| i.versions.iter()).collect();
    assert_eq!(versions.len(), 2, "{all:?}");
    let (mut before, mut after) = (0, 0);
    for (start, interval) in &all {
        assert_eq!(
            interval.versions.len(),
            1,
            "queues disagree in {start}: {interval:?}"
        );
        let hits = interval.hits.get("test-syn").copied().unwrap_or_default();
        let version = interval.versions.first().expect("a version");
        if line.contains(version.as_str()) {
            after += interval.counted;
            assert_eq!(hits, interval.counted, "{start}: {interval:?}");
        } else {
            before += interval.counted;
            assert_eq!(hits, 0, "{start}: {interval:?}");
        }
    }
    assert!(
        before > 0 && after > 20,
        "{before} before, {after} after: {all:?}"
    );
    assert_eq!(before + after, sent as i64);
    assert_eq!(
        summary.fingerprints.get("test-syn").copied(),
        Some(after as u64)
    );

    // The geo file changed with the same interval.
    let new: BTreeSet<i64> = (all.iter())
        .filter(|(_, interval)| interval.versions.iter().all(|v| line.contains(v.as_str())))
        .map(|(start, _)| *start)
        .collect();
    for batch in store::table(&kept.path(), Table::Flows) {
        let starts = batch["interval_start"].as_primitive::<TimestampMicrosecondType>();
        let countries = batch["country"].as_string::<i32>();
        for row in 0..batch.num_rows() {
            let start = starts.value(row) / 1_000_000;
            let expected = if new.contains(&start) { "NL" } else { "JP" };
            assert_eq!(countries.value(row), expected, "{start}");
        }
    }
}
