//! Reports of a store with gaps: every figure is compared with sums that DuckDB computes from the
//! interval tables, and reports of missing days and sensors are complete pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use noctule_testkit::program::Running;
use noctule_testkit::python;
use serde_json::Value;

mod fixture;

use fixture::{Fixture, LIMIT, Made, run, text};

/// Arguments of every report.
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

/// Rows of DuckDB's answer, with 0 for counts that are NULL.
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

/// Sums that DuckDB computes.
fn recount(python: &str, store: &Path, from: &str, to: &str) -> BTreeMap<String, Vec<Vec<Value>>> {
    let mut command = std::process::Command::new(python);
    command
        .arg(python::script("report/sum_report.py"))
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

/// What reports say is missing, compared with the ledger.
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

    // The same key gives the same pseudonyms, and no address is shown.
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

    // One day without countries, and ports that the store has no packets of.
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

    // One sensor, which has earlier days only.
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
        (["--period", "2016-Q5"], "is not a period"),
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
