//! Questions with filters on days and sensors, which select whole files, and the documents' examples.

use std::fs;
use std::path::Path;

use noctule_testkit::program::{LIMIT, Running, noctule};
use serde_json::Value;

/// Runs `noctule` to its end, without an error; returns its standard output.
fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    let mut command = noctule(arguments);
    Running::start(&mut command).wait(LIMIT).success().stdout
}

fn ask(store: &str, sql: &str) -> Vec<Value> {
    let answer = run(["query", "--store", store, "--format", "json", sql]);
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// Two sensors over two days of UTC, rolled up.
fn fill(folder: &Path) -> String {
    let store = folder.join("store");
    let store = store.to_str().expect("a path in UTF-8").to_owned();
    for (sensor, start) in [
        ("north", "2026-11-19T22:00:00Z"),
        ("south", "2026-11-19T23:30:00Z"),
    ] {
        let capture = folder.join(format!("{sensor}.pcap"));
        let capture = capture.to_str().expect("a path in UTF-8");
        let synth = ["synth", "--packets", "5000", "--sources", "300", "--start"];
        let darknet = ["--prefix", "198.18.0.0/24"];
        let about = [start, "--duration", "14400", "--out", capture];
        run(synth.into_iter().chain(about).chain(darknet));
        let replay = ["replay", "--sensor", sensor, "--store", &store, capture];
        run(replay.into_iter().chain(darknet));
    }
    run(["rollup", "--store", &store]);
    store
}

#[test]
fn a_day_or_a_sensor_is_asked_about_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = fill(folder.path());
    for table in ["flows", "ledger", "flows_daily", "ports_daily"] {
        let count = |filter: &str| {
            let sql = format!("SELECT COUNT(*) AS rows FROM {table} WHERE {filter}");
            ask(&store, &sql)[0]["rows"].as_i64().expect("a count")
        };
        let mut all = 0;
        for date in ["2026-11-19", "2026-11-20"] {
            let of_day = count(&format!("date = '{date}'"));
            // Sums of columns need the rows, not only the folders.
            let row_by_row = format!("CAST(date AS STRING) || sensor LIKE '{date}%'");
            assert_eq!(of_day, count(&row_by_row), "{table} {date}");
            let mut of_sensors = 0;
            for sensor in ["north", "south"] {
                let rows = count(&format!("date = DATE '{date}' AND sensor = '{sensor}'"));
                assert!(rows > 0, "{table} {date} {sensor}");
                of_sensors += rows;
            }
            assert_eq!(of_day, of_sensors, "{table} {date}");
            all += of_day;
        }
        assert_eq!(all, count("date >= '2026-11-19' AND sensor IS NOT NULL"));
        assert_eq!(all, count("sensor IN ('north', 'south')"));
        assert_eq!(0, count("date = '2026-11-21'"));
        assert_eq!(0, count("sensor = NULL"));
    }
}

#[test]
fn questions_of_the_documents_are_answered() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = fill(folder.path());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for document in ["README.md", "collector/docs/store.md"] {
        let text = fs::read_to_string(root.join(document)).expect("a document");
        let mut asked = 0;
        for command in text.split("noctule query --store ").skip(1) {
            let (_place, rest) = command.split_once(' ').expect("a store");
            let Some((sql, _)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'))
            else {
                continue;
            };
            // The day in the documents is the second day of the store.
            ask(&store, sql);
            asked += 1;
        }
        assert!(asked > 0, "{document}");
    }
}
