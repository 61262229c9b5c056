//! Reports of a store with gaps: every figure held against sums that another engine makes of the
//! untouched interval tables, and readable reports of what is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use noctule_tests::program::{Ended, LIMIT, Running, noctule, replay};
use noctule_tests::python;
use serde_json::Value;
use tempfile::TempDir;

/// Asked for in every report.
const ASKED: [&str; 14] = [
    "--port",
    "23/tcp",
    "--port",
    "445/tcp",
    "--peak",
    "2016-09-20=23,2323/tcp",
    "--country-port",
    "CN:23/tcp",
    "--region-port",
    "23/tcp",
    "--notify",
    "23/tcp",
    "--notify",
    "mirai",
];

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn run(arguments: &[&str]) -> Ended {
    Running::start(&mut noctule(arguments)).wait(LIMIT)
}

/// A store of three sensors: one with an outage and a second list of prefixes, one with degraded
/// intervals, and one that was heard of half a year before only.
struct Fixture {
    folder: TempDir,
    store: PathBuf,
    /// Dark packets that the captures are known to hold, from September 2016 on.
    truth: i64,
}

/// A capture: whose, from when, for how many hours, to which prefixes, and the flow table's rows.
struct Part {
    sensor: &'static str,
    start: &'static str,
    hours: u64,
    prefixes: &'static [&'static str],
    max_flows: Option<&'static str>,
}

const PARTS: [Part; 5] = [
    Part {
        sensor: "north",
        start: "2016-09-18T15:00:00Z",
        hours: 40,
        prefixes: &["198.18.0.0/24", "2001:db8::/48"],
        max_flows: None,
    },
    // Six hours later, to more addresses.
    Part {
        sensor: "north",
        start: "2016-09-20T13:00:00Z",
        hours: 26,
        prefixes: &["198.18.0.0/24", "198.18.1.0/24", "2001:db8::/48"],
        max_flows: None,
    },
    Part {
        sensor: "south",
        start: "2016-09-18T15:00:00Z",
        hours: 60,
        prefixes: &["198.18.2.0/24"],
        max_flows: None,
    },
    Part {
        sensor: "south",
        start: "2016-09-21T03:00:00Z",
        hours: 12,
        prefixes: &["198.18.2.0/24"],
        max_flows: Some("64"),
    },
    Part {
        sensor: "former",
        start: "2016-03-01T00:00:00Z",
        hours: 2,
        prefixes: &["198.18.3.0/24"],
        max_flows: None,
    },
];

impl Fixture {
    fn new(countries: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = folder.path().join("store");
        let mut truth = 0;
        for (seed, part) in (1u64..).zip(&PARTS) {
            let capture = folder.path().join(format!("{seed}.pcap"));
            let (seed, seconds) = (seed.to_string(), (part.hours * 3600).to_string());
            let packets = (part.hours * 250).to_string();
            let mut prefixes = Vec::new();
            for prefix in part.prefixes {
                prefixes.extend(["--prefix", prefix]);
            }
            let mut synth = vec![
                "synth",
                "--sources",
                "1500",
                "--seed",
                &seed,
                "--start",
                part.start,
                "--duration",
                &seconds,
                "--packets",
                &packets,
                "--interval",
                "3600",
                "--out",
                text(&capture),
            ];
            synth.extend(&prefixes);
            run(&synth).success();
            let beside = |what: &str| PathBuf::from(format!("{}.{what}", capture.display()));
            let told = fs::read(beside("truth.json")).expect("the truth");
            let told: Value = serde_json::from_slice(&told).expect("JSON");
            if part.sensor != "former" {
                truth += told["dark_packets"].as_i64().expect("a count");
            }
            let (country, asn) = (beside("country.csv"), beside("asn.csv"));
            let mut arguments = vec![
                "--interval",
                "3600",
                "--sensor",
                part.sensor,
                "--store",
                text(&store),
            ];
            arguments.extend(&prefixes);
            if countries {
                let files = ["--country-db", text(&country), "--asn-db", text(&asn)];
                arguments.extend(files);
            }
            arguments.extend(
                part.max_flows
                    .map(|rows| ["--max-flows", rows])
                    .into_iter()
                    .flatten(),
            );
            arguments.push(text(&capture));
            replay(arguments).success();
        }
        let settings = "report_timezone = \"Asia/Tokyo\"\nnotice = \"made for a test\"\n";
        fs::write(store.join("noctule.toml"), settings).expect("room for settings");
        Self {
            folder,
            store,
            truth,
        }
    }

    fn report(&self, name: &str, more: &[&str]) -> Made {
        let out = self.folder.path().join(name);
        let mut arguments = vec!["report", "--store", text(&self.store), "--out", text(&out)];
        arguments.extend(more);
        let ended = run(&arguments).success();
        let json = fs::read(out.join("report.json")).expect("a report");
        Made {
            report: serde_json::from_slice(&json).expect("JSON"),
            json,
            stderr: ended.stderr,
            out,
        }
    }
}

/// A report as it was written.
struct Made {
    report: Value,
    json: Vec<u8>,
    stderr: String,
    out: PathBuf,
}

impl Made {
    fn sections(&self) -> &Vec<Value> {
        self.report["sections"].as_array().expect("sections")
    }

    fn section(&self, id: &str) -> &Value {
        let found = self.sections().iter().find(|section| section["id"] == id);
        found.unwrap_or_else(|| panic!("no section {id}"))
    }

    fn notes(&self, id: &str) -> Vec<&str> {
        let notes = self.section(id)["notes"].as_array().expect("notes");
        notes
            .iter()
            .filter_map(|note| note["id"].as_str())
            .collect()
    }

    fn table(&self, id: &str) -> &Value {
        let tables = self
            .sections()
            .iter()
            .flat_map(|section| section["tables"].as_array().expect("tables"));
        let mut found = tables.filter(|table| table["id"] == id);
        let table = found.next().unwrap_or_else(|| panic!("no table {id}"));
        assert!(found.next().is_none(), "two tables {id}");
        table
    }

    /// Some columns of a table's rows.
    fn columns(&self, id: &str, columns: &[&str]) -> Vec<Vec<Value>> {
        let table = self.table(id);
        let all = table["columns"].as_array().expect("columns");
        let places: Vec<usize> = (columns.iter())
            .map(|wanted| {
                let place = all.iter().position(|column| column["id"] == *wanted);
                place.unwrap_or_else(|| panic!("{id} has no column {wanted}"))
            })
            .collect();
        let rows = table["rows"].as_array().expect("rows").iter();
        rows.map(|row| places.iter().map(|place| row[*place].clone()).collect())
            .collect()
    }

    /// The same of rows in which not all numbers are 0.
    fn days(&self, id: &str, columns: &[&str]) -> Vec<Vec<Value>> {
        let mut rows = self.columns(id, columns);
        rows.retain(|row| row.iter().skip(1).any(|value| value.as_i64() != Some(0)));
        rows
    }

    /// Whatever holds of every report.
    fn is_sound(&self) {
        let mut ids = BTreeSet::new();
        for section in self.sections() {
            for table in section["tables"].as_array().expect("tables") {
                let id = table["id"].as_str().expect("an id");
                assert!(ids.insert(id.to_owned()), "{id} stands there twice");
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                assert!(id.chars().all(plain), "{id}");
                assert!(
                    self.out.join(format!("data/{id}.csv")).is_file(),
                    "{id} has no file"
                );
                let columns: Vec<_> = (table["columns"].as_array().expect("columns").iter())
                    .map(|column| column["id"].as_str().expect("an id"))
                    .collect();
                for row in table["rows"].as_array().expect("rows") {
                    assert_eq!(row.as_array().map(Vec::len), Some(columns.len()), "{id}");
                }
                for plot in table["plots"].as_array().expect("plots") {
                    let mut drawn = vec![&plot["x"]];
                    drawn.extend(plot["y"].as_array().expect("columns"));
                    for column in drawn {
                        let column = column.as_str().expect("a column");
                        assert!(columns.contains(&column), "{id} draws {column}");
                    }
                }
            }
        }
    }
}

/// Rows of the other engine, NULLs of counts as 0.
fn told(answers: &BTreeMap<String, Vec<Vec<Value>>>, name: &str) -> Vec<Vec<Value>> {
    let zero = |value: &Value| {
        if value.is_null() {
            Value::from(0)
        } else {
            value.clone()
        }
    };
    let rows = &answers[name];
    rows.iter()
        .map(|row| row.iter().map(zero).collect())
        .collect()
}

/// What DuckDB adds up.
fn recount(python: &str, store: &Path, from: &str, to: &str) -> BTreeMap<String, Vec<Vec<Value>>> {
    let mut command = std::process::Command::new(python);
    command
        .arg(python::script("sum_report.py"))
        .arg(store)
        .args([
            "9",
            from,
            to,
            "23/tcp,445/tcp",
            "2016-09-20",
            "23/tcp,2323/tcp",
            "CN:23/tcp",
        ]);
    let ended = Running::start(&mut command).wait(LIMIT).success();
    serde_json::from_str(&ended.stdout).expect("JSON")
}

/// (name, number) pairs by day, as columns.
fn pivoted(rows: Vec<Vec<Value>>, columns: &[&str]) -> Vec<Vec<Value>> {
    let mut days: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in rows {
        let day = row[0].as_str().expect("a day").to_owned();
        let values = days
            .entry(day)
            .or_insert_with(|| vec![Value::from(0); columns.len()]);
        let place = columns.iter().position(|column| row[1] == **column);
        values[place.expect("a known column")] = row[2].clone();
    }
    let row = |(day, values): (String, Vec<Value>)| [vec![Value::from(day)], values].concat();
    days.into_iter().map(row).collect()
}

#[test]
fn figures_are_what_another_engine_adds_up() {
    let test = "figures_are_what_another_engine_adds_up";
    let Some(python) = python::with(test, "duckdb") else {
        return;
    };
    let fixture = Fixture::new(true);
    let mut arguments = vec!["--period", "2016-09"];
    arguments.extend(ASKED);
    let made = fixture.report("september", &arguments);
    made.is_sound();
    let sums = recount(&python, &fixture.store, "2016-09-01", "2016-09-30");
    let told = |name: &str| told(&sums, name);

    let parts = &told("parts")[0];
    assert_eq!(
        parts[2].as_i64(),
        Some(fixture.truth),
        "packets of the captures"
    );
    let kinds = ["date", "tcp", "udp", "icmp", "other", "total"];
    assert_eq!(made.days("n2-days", &kinds), told("n2-days"));
    assert_eq!(
        made.columns("n2-days", &kinds).len(),
        30,
        "a row for every day"
    );
    assert_eq!(made.days("n3-days", &["date", "sources"]), told("n3-days"));
    let mut ports = made.columns("n4-ports", &["port", "packets"]);
    let [rest, backscatter, no_port] = ports.split_off(10).try_into().expect("three rows more");
    assert_eq!(ports, told("n4-ports"));
    assert_eq!([&backscatter[1], &no_port[1]], [&parts[0], &parts[1]]);
    let shown: i64 = ports
        .iter()
        .chain([&rest, &backscatter, &no_port])
        .filter_map(|row| row[1].as_i64())
        .sum();
    assert_eq!(Some(shown), parts[2].as_i64());
    let columns = ["date", "23/tcp", "445/tcp"];
    assert_eq!(
        made.days("n5-sources", &columns),
        pivoted(told("n5-sources"), &columns[1..])
    );

    let mut countries = made.columns("n6-countries-1", &["country", "sources"]);
    let sums_of_countries = told("n6-countries");
    assert_eq!(countries[..10], sums_of_countries[..10]);
    let all = countries.pop().expect("all");
    let sources: i64 = sums_of_countries
        .iter()
        .filter_map(|row| row[1].as_i64())
        .sum();
    assert_eq!(all, [Value::from("all"), Value::from(sources)]);
    assert_eq!(
        made.days("n7-days-cn-23-tcp", &["date", "sources"]),
        told("n7-days")
    );
    let rules = [
        "rule",
        "first_seen",
        "peak",
        "peak_sources",
        "peak_packets",
        "sources",
        "hits",
    ];
    assert_eq!(made.columns("n8-rules", &rules), told("n8-rules"));
    let telnet = ["date", "with_mark", "without_mark"];
    assert_eq!(made.days("n8-telnet", &telnet), told("n8-telnet"));

    assert_eq!(made.columns("t1-ports", &["port", "packets"]), ports[..5]);
    assert_eq!(
        made.columns("t2-regions", &["country", "packets"]),
        told("t2-regions")
    );
    let mut columns = vec!["date"];
    let regions = told("t2-regions");
    columns.extend(regions.iter().filter_map(|row| row[0].as_str()));
    assert_eq!(
        made.days("t4-days", &columns),
        pivoted(told("t4-days"), &columns[1..])
    );
    let regions = made.table("t5-days-23-tcp")["rows"]
        .as_array()
        .expect("rows");
    let sums_of_days: Vec<Vec<Value>> = (regions.iter())
        .map(|row| row.as_array().expect("a row"))
        .map(|row| {
            let packets: i64 = row.iter().filter_map(Value::as_i64).sum();
            vec![row[0].clone(), Value::from(packets)]
        })
        .filter(|row| row[1] != 0)
        .collect();
    assert_eq!(sums_of_days, told("t5-days"));
    assert_eq!(
        made.days("t6-days-53-udp", &["date", "packets"]),
        told("t6-days")
    );
    let answers = made.columns("t6-countries-53-udp", &["country", "resolvers", "packets"]);
    let shown = answers.len() - 2;
    assert_eq!(answers[..shown], told("t6-countries")[..shown]);
    let systems = ["asn", "country", "sources", "packets"];
    assert_eq!(
        made.columns("t7-systems-23-tcp", &systems),
        sums["t7-systems"]
    );
    for sensor in ["north", "south"] {
        let of_sensor = told("t8-sensor").into_iter().filter(|row| row[0] == sensor);
        let expected: Vec<_> = of_sensor.map(|row| row[1..].to_vec()).collect();
        let id = format!("t8-sensor-{sensor}");
        assert_eq!(
            made.columns(&id, &["port", "packets"]),
            expected,
            "{sensor}"
        );
    }
    completeness(&made, &told("c1-days"));
}

/// What is missing, beside what the ledger says.
fn completeness(made: &Made, ledger: &[Vec<Value>]) {
    let counts = [
        "date",
        "sensor",
        "intervals",
        "incomplete",
        "degraded",
        "dark",
        "counted",
        "overflow",
    ];
    let mut days = made.columns("c1-days", &counts);
    assert_eq!(days.len(), 60, "every day of both sensors");
    days.retain(|row| row[2] != 0);
    let expected: Vec<_> = ledger.iter().map(|row| row[..8].to_vec()).collect();
    assert_eq!(days, expected);
    let observed = made.columns("c1-days", &["intervals", "observed", "missing"]);
    let observed = observed.into_iter().filter(|row| row[0] != 0);
    for (row, ledger) in observed.zip(ledger) {
        let ms = ledger[8].as_f64().expect("milliseconds");
        let share = row[1].as_f64().expect("a share");
        assert!(
            (share - 100.0 * ms / 86_400_000.0).abs() < 1e-9,
            "{share} of {ledger:?}"
        );
        assert_eq!(
            row[0].as_i64().zip(row[2].as_i64()).map(|(a, b)| a + b),
            Some(24)
        );
    }
    let lists = made.columns(
        "c1-sensors",
        &["sensor", "prefix_lists", "observed_hours", "days_degraded"],
    );
    assert_eq!(lists[0][..2], [Value::from("north"), Value::from(2)]);
    assert_eq!(lists[1][..2], [Value::from("south"), Value::from(1)]);
    assert!(lists[1][3].as_i64() >= Some(1), "{lists:?}");
    let notes = made.notes("c1");
    assert!(
        notes.contains(&"sensor-missing") && notes.contains(&"degraded"),
        "{notes:?}"
    );
    let outages: Vec<&Value> = (made.section("c1")["notes"]
        .as_array()
        .expect("notes")
        .iter())
    .filter(|note| note["id"] == "outage")
    .map(|note| &note["args"])
    .collect();
    let gap = outages.iter().find(|args| {
        args["from"]["value"] == "2016-09-20T07:00:00Z"
            && args["to"]["value"] == "2016-09-20T13:00:00Z"
    });
    assert!(
        gap.is_some_and(|args| args["sensor"]["value"] == "north"),
        "{outages:?}"
    );
}

#[test]
fn a_report_is_the_same_every_time_and_says_what_it_read() {
    let fixture = Fixture::new(true);
    let mut arguments = vec!["--period", "2016-Q3", "--compare", "2016-Q1"];
    arguments.extend(ASKED);
    let first = fixture.report("first", &arguments);
    let second = fixture.report("second", &arguments);
    assert!(first.stderr.contains("days made"), "{}", first.stderr);
    assert!(second.stderr.contains(" 0 days made"), "{}", second.stderr);
    assert!(first.json == second.json, "two reports of one store differ");
    first.is_sound();
    let about = &first.report["about"];
    assert_eq!(about["notice"], "made for a test");
    assert_eq!(about["timezone"], "Asia/Tokyo");
    assert_eq!(about["sensors"], serde_json::json!(["north", "south"]));
    assert!(
        about["files"].as_i64() > Some(6) && about["octets"].as_i64() > Some(1000),
        "{about}"
    );
    assert!(first.stderr.contains(" octets of "), "{}", first.stderr);

    // With the same key the same pseudonyms, and no address.
    let key = fixture.folder.path().join("key");
    fs::write(&key, [7; 32]).expect("room for a key");
    arguments.extend(["--pseudonymise", text(&key)]);
    let hidden = fixture.report("hidden", &arguments);
    let sources = |made: &Made| -> BTreeSet<String> {
        let rows = made.columns("t7-sources-23-tcp", &["source"]);
        rows.iter()
            .filter_map(|row| row[0].as_str().map(str::to_owned))
            .collect()
    };
    let (plain, hidden) = (sources(&first), sources(&hidden));
    assert_eq!(plain.len(), hidden.len());
    assert!(plain.len() > 100 && plain.intersection(&hidden).count() < 3);
}

#[test]
fn what_is_not_there_makes_a_readable_report() {
    let fixture = Fixture::new(false);
    let empty = fixture.report("empty", &["--period", "2010"]);
    empty.is_sound();
    assert!(empty.notes("n4").contains(&"no-data") && empty.notes("c1").contains(&"no-ledger"));
    assert_eq!(empty.sections().len(), 19, "every section is there");

    // One day, countries unknown, one port that nobody asked for, one that is no cell of the store.
    let day = fixture.report(
        "day",
        &[
            "--period",
            "2016-09-20",
            "--port",
            "1/udp",
            "--peak",
            "2016-09-20=9/udp",
            "--region-port",
            "3/tcp",
            "--notify",
            "no-such-rule",
            "--country-port",
            "JP:9/tcp",
        ],
    );
    day.is_sound();
    assert!(day.notes("t2").contains(&"no-countries"));
    assert_eq!(day.columns("n5-sources", &["1/udp"]), [[0]]);
    assert_eq!(
        day.columns("n6-countries-1", &["country", "sources", "share"])
            .len(),
        2
    );
    assert!(day.table("t7-sources-no-such-rule")["rows"] == serde_json::json!([]));
    assert!(day.columns("n2-days", &["total"])[0][0].as_i64() > Some(1000));

    // One sensor, that was heard of before only.
    let former = fixture.report("former", &["--period", "2016-Q3", "--sensor", "former"]);
    former.is_sound();
    assert!(former.notes("c1").contains(&"sensor-missing"));
    assert_eq!(
        former.report["about"]["sensors"],
        serde_json::json!(["former"])
    );
    let total: i64 = former
        .columns("n2-days", &["total"])
        .iter()
        .filter_map(|row| row[0].as_i64())
        .sum();
    assert_eq!(total, 0, "packets of other sensors");

    // Styles have their own sections.
    for (style, count) in [("nicter", 11), ("tsubame", 10)] {
        let made = fixture.report(style, &["--period", "2016-09", "--style", style]);
        made.is_sound();
        assert_eq!(made.sections().len(), count, "{style}");
    }
    let out = fixture.folder.path().join("none");
    for (wrong, words) in [
        (["--period", "2016-Q5"], "no period"),
        (["--period", "2999"], "has closed"),
        (["--sensor", "nobody"], "nobody"),
    ] {
        let mut arguments = vec![
            "report",
            "--store",
            text(&fixture.store),
            "--out",
            text(&out),
        ];
        arguments.extend(wrong);
        if wrong[0] == "--sensor" {
            arguments.extend(["--period", "2016"]);
        }
        let ended = run(&arguments);
        assert!(
            !ended.status.success() && ended.stderr.contains(words),
            "{}",
            ended.stderr
        );
        assert!(!out.exists(), "a report of nothing");
    }
}
