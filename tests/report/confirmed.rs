//! One definition of a confirmed source: the summary of a replay, the question `confirmed_sources`, a
//! report, the truth of `synth` and a recount in Python agree over random traffic, in a zone whose days
//! are not those of UTC, also where rules change within the day.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use noctule_testkit::program::{Running, noctule};
use noctule_testkit::python;
use serde_json::Value;

/// A report rolls up its days first, on a machine that may be busy.
const LIMIT: Duration = Duration::from_secs(1200);
const DARKNET: &str = "198.18.0.0/22";
/// Its days begin at 18:30 UTC.
const ZONE: &str = "Asia/Kolkata";
/// The day that the figures are of.
const DAY: &str = "2016-09-20";
/// Tools of which rules are known, above all of Mirai's predecessor.
const MIX: &str =
    "mirai-constant-id=6,mirai=2,zmap=3,unicornscan=3,nmap=2,masscan=2,masscan-2023,zmap-4.1";

/// Rules of an operator in the first half of a day ...
const EARLY: &str = r#"version = 1
[[fingerprint]]
name = "even-window"
version = 1
when = "tcp.window & 1 == 0"
chance_bits = 1
source = "test"
supersedes = ["masscan"]

[[fingerprint]]
name = "one-id"
version = 1
constant = "ip.id"
chance_bits = 16
source = "test"
supersedes = ["zmap"]
"#;

/// ... and in the second: a rule is gone, two are other versions, and values of flow rows are in other
/// columns.
const LATE: &str = r#"version = 2
disable = ["unicornscan", "masscan-to-1.3.2"]
[[fingerprint]]
name = "even-window"
version = 2
when = "tcp.window & 3 == 0"
chance_bits = 2
source = "test"
supersedes = ["masscan"]

[[fingerprint]]
name = "one-id"
version = 1
constant = "ip.id"
chance_bits = 16
source = "test"
supersedes = ["zmap"]

[[fingerprint]]
name = "unicornscan"
version = 2
constant = "tcp.seq ^ ip.destination ^ ((tcp.destination_port << 16) + tcp.source_port)"
chance_bits = 16
source = "test"
"#;

/// Sources and packets by rule.
type Figures = BTreeMap<String, (u64, u64)>;

fn run(words: &[&str]) -> String {
    let mut command = noctule(words.iter().copied());
    Running::start(&mut command).wait(LIMIT).success().stdout
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Makes a capture; its truth.
fn synthesise(capture: &Path, seed: u64, start: &str, seconds: u64) -> Value {
    let (seed, seconds) = (seed.to_string(), seconds.to_string());
    run(&[
        "synth",
        "--prefix",
        DARKNET,
        "--packets",
        "9000",
        "--sources",
        "1500",
        "--spread",
        "uniform",
        "--mix",
        MIX,
        "--interval",
        "600",
        "--timezone",
        ZONE,
        "--seed",
        &seed,
        "--start",
        start,
        "--duration",
        &seconds,
        "--out",
        text(capture),
    ]);
    let truth = format!("{}.truth.json", text(capture));
    json(&fs::read_to_string(&truth).unwrap_or_else(|error| panic!("{truth}: {error}")))
}

/// A new store of the zone, with the rules that reports read.
fn store(path: &Path, rules: Option<&str>) -> PathBuf {
    fs::create_dir(path).expect("a new folder");
    let mut settings = format!("report_timezone = \"{ZONE}\"\n");
    if let Some(rules) = rules {
        settings.push_str("rules = \"rules.toml\"\n");
        fs::write(path.join("rules.toml"), rules).expect("room for rules");
    }
    fs::write(path.join("noctule.toml"), settings).expect("room for settings");
    path.to_owned()
}

/// Replays a capture into a store; the summary.
fn replay(store: &Path, capture: &Path, rules: Option<&Path>) -> Value {
    let mut words = vec![
        "replay",
        "--prefix",
        DARKNET,
        "--interval",
        "600",
        "--sensor",
        "one",
        "--summary",
        "json",
        "--store",
        text(store),
    ];
    words.extend(rules.into_iter().flat_map(|rules| ["--rules", text(rules)]));
    words.push(text(capture));
    json(&run(&words))
}

/// The answer to the question of confirmed sources, of the day.
fn question(store: &Path) -> Figures {
    let asked = [
        "query",
        "--store",
        text(store),
        "--format",
        "json",
        "--question",
        "confirmed_sources",
    ];
    let number = |row: &Value, name: &str| row[name].as_u64().expect("a count");
    let rows = json(&run(&asked));
    let rows = rows.as_array().expect("rows").iter();
    rows.filter(|row| row["date"] == DAY)
        .map(|row| {
            let rule = row["rule"].as_str().expect("a rule").to_owned();
            (rule, (number(row, "sources"), number(row, "hits")))
        })
        .collect()
}

/// Figures of the report of the day, which is written to `out`.
fn report(store: &Path, out: &Path) -> Figures {
    run(&[
        "report",
        "--store",
        text(store),
        "--period",
        DAY,
        "--out",
        text(out),
    ]);
    let report = fs::read_to_string(out.join("report.json")).expect("a report");
    let report = json(&report);
    let tables = report["sections"].as_array().expect("sections").iter();
    let tables = tables.flat_map(|section| section["tables"].as_array().expect("tables"));
    let table = tables.into_iter().find(|table| table["id"] == "n8-rules");
    let table = table.expect("a table of rules");
    let place = |id: &str| {
        let columns = table["columns"].as_array().expect("columns").iter();
        columns
            .into_iter()
            .position(|column| column["id"] == id)
            .expect("a column")
    };
    let (rule, sources, hits) = (place("rule"), place("sources"), place("hits"));
    let rows = table["rows"].as_array().expect("rows").iter();
    rows.map(|row| {
        let count = |at: usize| row[at].as_u64().unwrap_or_else(|| panic!("{row}"));
        (
            row[rule].as_str().expect("a rule").to_owned(),
            (count(sources), count(hits)),
        )
    })
    .collect()
}

/// Compares a report with the recount of its captures.
fn recount(test: &str, report: &Path, runs: &[(&str, &Path, Option<&Path>)]) {
    let Some(python) = python::with(test, "numpy") else {
        return;
    };
    let mut command = Command::new(python);
    command.arg(python::script("reference/recount_report.py"));
    command.arg("--report").arg(report.join("report.json"));
    command.args(["--interval", "600"]);
    for (run, capture, rules) in runs {
        command.args(["--prefix", &format!("{run}={DARKNET}")]);
        command.args(["--capture", &format!("{run}={}", text(capture))]);
        if let Some(rules) = rules {
            command.args(["--rules", &format!("{run}={}", text(rules))]);
        }
    }
    let ended = Running::start(&mut command).wait(LIMIT).success();
    assert!(ended.stdout.contains(" 0 differences"), "{ended:?}");
}

/// Sources by rule, as a summary or a truth has them.
fn sources(summary: &Value) -> BTreeMap<String, u64> {
    let counts = summary["confirmed_sources"].as_object().expect("counts");
    let count = |(rule, count): (&String, &Value)| (rule.clone(), count.as_u64().expect("exact"));
    counts.iter().map(count).collect()
}

fn only_sources(figures: &Figures) -> BTreeMap<String, u64> {
    let count = |(rule, counts): (&String, &(u64, u64))| (rule.clone(), counts.0);
    figures.iter().map(count).collect()
}

#[test]
fn a_day_has_the_same_confirmed_sources_wherever_they_are_read() {
    let test = "a_day_has_the_same_confirmed_sources_wherever_they_are_read";
    let folder = tempfile::tempdir().expect("a temporary folder");
    // The first lies within the day, of which UTC has two; the second begins the day before.
    for (seed, start, seconds) in [
        (1, "2016-09-19T18:40:00Z", 80_000),
        (2, "2016-09-19T12:00:00Z", 60_000),
    ] {
        let work = folder.path().join(seed.to_string());
        fs::create_dir(&work).expect("a new folder");
        let capture = work.join("synth.pcap");
        let truth = synthesise(&capture, seed, start, seconds);
        let store = store(&work.join("store"), None);
        let summary = replay(&store, &capture, None);
        for field in ["timezone", "confirmed_sources", "fingerprints"] {
            assert_eq!(summary[field], truth[field], "{field}, seed {seed}");
        }
        assert_eq!(summary["timezone"], ZONE);
        run(&["rollup", "--store", text(&store)]);
        let asked = question(&store);
        let reported = report(&store, &work.join("report"));
        assert_eq!(asked, reported, "seed {seed}");
        recount(test, &work.join("report"), &[("one", &capture, None)]);
        if seed == 1 {
            let summed = sources(&summary);
            assert_eq!(summed, only_sources(&asked));
            side_by_side(&summary, &asked, &reported);
            // Without superseding every bot of the predecessor would be one of Mirai, too.
            assert!(summed["mirai-precursor"] > 10 && summed["mirai"] > 0);
            assert!(summed.contains_key("unicornscan"), "a rule without `when`");
            for (rule, packets) in
                ["mirai-precursor", "unicornscan"].map(|rule| (rule, asked[rule].1))
            {
                assert_eq!(summary["fingerprints"][rule], packets, "{rule}");
            }
        }
    }
}

/// Prints the figures of the day.
fn side_by_side(summary: &Value, asked: &Figures, reported: &Figures) {
    eprintln!(
        "{:22} {:>9} {:>9} {:>9} {:>16} {:>16}",
        "", "summary", "question", "report", "question, hits", "report, hits"
    );
    for (rule, count) in sources(summary) {
        let (asked, reported) = (asked[&rule], reported[&rule]);
        eprintln!(
            "{rule:22} {count:>9} {:>9} {:>9} {:>16} {:>16}",
            asked.0, reported.0, asked.1, reported.1
        );
    }
}

#[test]
fn rules_that_change_within_a_day_count_their_own_packets() {
    let test = "rules_that_change_within_a_day_count_their_own_packets";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let work = folder.path();
    let both = store(&work.join("both"), Some(LATE));
    let mut runs = Vec::new();
    let mut parts: Vec<BTreeSet<String>> = Vec::new();
    for (name, rules, start) in [
        ("early", EARLY, "2016-09-19T18:40:00Z"),
        ("late", LATE, "2016-09-20T06:00:00Z"),
    ] {
        let capture = work.join(format!("{name}.pcap"));
        synthesise(&capture, 3, start, 40_000);
        let file = work.join(format!("{name}.toml"));
        fs::write(&file, rules).expect("room for rules");
        replay(&both, &capture, Some(&file));
        // Each half by itself: what its summary says.
        let half = store(&work.join(name), Some(rules));
        let summary = replay(&half, &capture, Some(&file));
        let asked = question(&half);
        assert_eq!(sources(&summary), only_sources(&asked), "{name}");
        parts.push(asked.into_keys().collect());
        runs.push((format!("one/{name}"), capture, file));
    }
    let unrolled = question(&both);
    let reported = report(&both, &work.join("report"));
    assert_eq!(
        unrolled, reported,
        "before the rollup that the report makes"
    );
    assert_eq!(question(&both), reported, "and after it");
    let runs: Vec<_> = (runs.iter())
        .map(|(name, capture, file)| (&**name, &**capture, Some(&**file)))
        .collect();
    recount(test, &work.join("report"), &runs);
    let rules: BTreeSet<&str> = reported.keys().map(String::as_str).collect();
    for rule in [
        "even-window",
        "one-id",
        "unicornscan",
        "mirai",
        "mirai-precursor",
    ] {
        assert!(
            rules.contains(rule),
            "{rule} was confirmed for no source: {rules:?}"
        );
    }
    eprintln!("{reported:?}");
}
