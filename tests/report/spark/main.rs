//! Rollups and questions on a Spark cluster: a master and two workers on this machine.

mod questions;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use noctule_counters::registers::{Registers, coupon};
use noctule_packet::Source;
use noctule_store::tables::{SketchRow, encode_sketches};
use noctule_store::{IntervalFiles, Store, Table, sketch};
use noctule_testkit::program::{LIMIT, Running, noctule, replay};
use noctule_testkit::{data, python, skipped};
use serde_json::Value;

use questions::{differences, questions_of_reports, with_chosen};

/// A cluster starts, works and ends within this time on two busy cores.
const CLUSTER_LIMIT: Duration = Duration::from_secs(1200);
/// The daily tables.
const DAILY: [&str; 4] = [
    "flows_daily",
    "research_daily",
    "ports_daily",
    "ledger_daily",
];
/// Clusters run one at a time.
static CLUSTER: Mutex<()> = Mutex::new(());
/// 2024-01-01.
const START_US: i64 = 1_704_067_200_000_000;
const DAY_US: i64 = 86_400_000_000;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A Python with pyspark, and Java for it.
fn python(test: &str) -> Option<String> {
    let python = python::with(test, "pyspark")?;
    if Command::new("java").arg("-version").output().is_err() {
        skipped(test, "there is no java");
        return None;
    }
    Some(python)
}

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Runs a job and questions on a cluster; returns the rows that answer each question.
fn spark(python: &str, work: &Path, store: &Path, more: &[String]) -> BTreeMap<String, Value> {
    let _alone = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(python);
    command
        .arg(here("report/spark.py"))
        .arg(work)
        .arg(store)
        .args(more);
    let ended = Running::start(&mut command).wait(CLUSTER_LIMIT).success();
    let line = ended.stdout.lines().last().unwrap_or_default();
    let printed: Value = serde_json::from_str(line).expect("JSON");
    serde_json::from_value(printed["answers"].clone()).expect("answers by name")
}

/// Rows that answer a question in DataFusion.
fn ask(store: &Path, arguments: &[&str]) -> Value {
    let mut all = vec!["query", "--store", text(store), "--format", "json"];
    all.extend(arguments);
    let ended = Running::start(&mut noctule(all)).wait(LIMIT).success();
    serde_json::from_str(&ended.stdout).expect("JSON")
}

/// Every row of a daily table as text, sorted.
fn rows(store: &Path, table: &str) -> Vec<String> {
    let answer = ask(store, &[&format!("SELECT * FROM {table}")]);
    let mut rows: Vec<_> = (answer.as_array().expect("rows").iter())
        .map(Value::to_string)
        .collect();
    rows.sort();
    rows
}

fn daily_files(store: &Path) -> Vec<PathBuf> {
    let all = noctule_testkit::store::files(store).into_keys();
    all.filter(|name| name.to_string_lossy().contains("_daily"))
        .collect()
}

#[test]
fn spark_makes_the_same_daily_tables_and_answers_alike() {
    let test = "spark_makes_the_same_daily_tables_and_answers_alike";
    let (Some(shared), Some(python)) = (data::folder(test), python(test)) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ours = folder.path().join("ours");
    let countries = data::countries(&shared);
    for (number, one) in data::telescope(&shared).iter().enumerate() {
        let sensor = format!("sensor-{number}");
        // Tables that are too small make intervals degraded.
        replay([
            "--prefix",
            &one.prefix,
            "--sensor",
            &sensor,
            "--store",
            text(&ours),
            "--interval",
            "3600",
            "--max-flows",
            "2000",
            "--country-db",
            text(&countries),
            text(&one.capture),
        ])
        .success();
    }
    // Several days, and both families of addresses.
    let capture = folder.path().join("synth.pcap");
    let synth = [
        "synth",
        "--prefix",
        "198.18.0.0/24",
        "--prefix",
        "2001:db8::/48",
        "--packets",
        "60000",
        "--start",
        "2024-02-28T20:00:00Z",
        "--duration",
        "100000",
        "--out",
        text(&capture),
    ];
    Running::start(&mut noctule(synth)).wait(LIMIT).success();
    replay([
        "--prefix",
        "198.18.0.0/24",
        "--prefix",
        "2001:db8::/48",
        "--interval",
        "3600",
        "--sensor",
        "synth",
        "--store",
        text(&ours),
        text(&capture),
    ])
    .success();
    let theirs = folder.path().join("theirs");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(&ours)
        .arg(&theirs)
        .status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "a copy of the store"
    );

    let rollup = ["rollup", "--store", text(&ours), "--timezone", "Asia/Tokyo"];
    Running::start(&mut noctule(rollup)).wait(LIMIT).success();
    // Thresholds that some source here is above.
    let research = ["--research-packets=100", "--research-ports=2"];
    let rollup = ["rollup", "--store", text(&ours), research[0], research[1]];
    Running::start(&mut noctule(rollup)).wait(LIMIT).success();
    for table in DAILY {
        let folder = ours.join(table).join("zone=Asia-Tokyo");
        fs::remove_dir_all(folder).expect("days to remove");
    }

    let job = folder.path().join("rollup.py");
    let printed = Running::start(&mut noctule(["store", "spark-job"]))
        .wait(LIMIT)
        .success();
    fs::write(&job, printed.stdout).expect("room for the job");
    let computed = folder.path().join("computed");
    let mut more = vec!["--job".to_owned(), text(&job).to_owned()];
    let places = ["--store", text(&theirs), "--out", text(&computed)];
    for argument in places.into_iter().chain(research) {
        more.push(format!("--argument={argument}"));
    }
    // What Spark computed is published before questions read it.
    let adopt = [
        "rollup",
        "--store",
        text(&theirs),
        "--adopt",
        text(&computed),
    ];
    let published = noctule(adopt.into_iter().chain(research));
    let words = std::iter::once(published.get_program()).chain(published.get_args());
    for word in words {
        more.push(format!(
            "--then={}",
            word.to_str().expect("a word in UTF-8")
        ));
    }
    let questions = here("../collector/analyze/sql/questions");
    let mut names = Vec::new();
    for entry in fs::read_dir(questions).expect("questions").flatten() {
        let path = entry.path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // This engine has `confirmed` as a table, Spark has not.
        let path = match name.as_str() {
            "confirmed_sources" => {
                let file = folder.path().join("confirmed_sources.sql");
                fs::write(&file, with_chosen(&path)).expect("room for a question");
                file
            }
            _ => path,
        };
        more.push(format!("--ask={name}={}", path.display()));
        names.push(name);
    }
    let of_reports = questions_of_reports(folder.path());
    for (name, file) in &of_reports {
        more.push(format!("--ask={name}={}", file.display()));
    }
    let answers = spark(&python, folder.path(), &theirs, &more);

    assert_eq!(
        daily_files(&ours),
        daily_files(&theirs),
        "names of daily files"
    );
    for table in DAILY {
        let (ours, theirs) = (rows(&ours, table), rows(&theirs, table));
        assert!(!ours.is_empty(), "{table} has no rows");
        assert_eq!(ours.len(), theirs.len(), "rows of {table}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{table}");
        }
    }
    adoption_refuses_other_days(&theirs, &computed, &research);
    assert!(names.len() >= 9, "{names:?}");
    let named = names.into_iter().map(|name| (name, None));
    let filed = of_reports
        .into_iter()
        .map(|(name, file)| (name, Some(file)));
    let mut differing = Vec::new();
    for (name, file) in named.chain(filed) {
        let ours = match &file {
            Some(file) => ask(&ours, &["--file", text(file)]),
            None => ask(&ours, &["--question", &name]),
        };
        let theirs = &answers[&name];
        differing.extend(differences(&name, &ours, theirs));
    }
    assert!(differing.is_empty(), "{differing:#?}");
}

/// Days that were published are up to date for a rollup; days of other settings or other files are
/// refused.
fn adoption_refuses_other_days(store: &Path, computed: &Path, research: &[&str]) {
    let rollup = |more: &[&str]| {
        let all = ["rollup", "--store", text(store)].into_iter();
        Running::start(&mut noctule(all.chain(more.iter().copied()))).wait(LIMIT)
    };
    let before = noctule_testkit::store::files(store);
    let again = rollup(research).success();
    assert!(again.stderr.contains("0 days made"), "{}", again.stderr);
    let adopt = ["--adopt", text(computed)];
    let again = rollup(&[&adopt[..], research].concat()).success();
    assert!(
        again.stderr.contains("0 days published"),
        "{}",
        again.stderr
    );
    let refused = |more: &[&str], reason: &str| {
        let ended = rollup(&[&adopt[..], more].concat());
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    };
    refused(&[], "--research-packets");
    let zone = [research, &["--timezone", "Asia/Tokyo"]].concat();
    refused(&zone, "give --timezone UTC");
    assert!(
        noctule_testkit::store::files(store) == before,
        "a refused day changed files"
    );
    // A day whose interval files have changed since Spark read them.
    let ports = before.keys().find(|name| name.starts_with("ports/"));
    let ports = store.join(ports.expect("a file of ports"));
    let octets = fs::read(&ports).expect("a file to read");
    fs::remove_file(&ports).expect("a file to remove");
    refused(research, "run the job again");
    fs::write(&ports, octets).expect("room for a file");
}

#[test]
fn unions_of_sketches_are_sparks() {
    const SEEDS: u64 = 20;
    const SOURCES: u64 = 1_000_000;
    const FILES: u64 = 10;
    let test = "unions_of_sketches_are_sparks";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().join("store");
    for seed in 0..SEEDS {
        let mut parts: Vec<Registers> = (0..FILES).map(|_| Registers::new(14)).collect();
        for number in 0..SOURCES {
            // An odd factor and a mix make every number another address.
            let address = ((number + seed * SOURCES) as u32).wrapping_mul(0x9e37_79b1);
            let coupon = coupon(Source::V4(address ^ address >> 15));
            let part = u64::from(address) % FILES;
            parts[part as usize].update(coupon);
            // Sources are met by several sensors.
            if number % 3 == 0 {
                parts[((part + 1) % FILES) as usize].update(coupon);
            }
        }
        for (number, part) in (0..).zip(&parts) {
            let sensor = ["a", "b", "c"][number as usize % 3];
            let store = Store::open(&place, sensor).expect("a store");
            let start = START_US + seed as i64 * DAY_US + number * 60_000_000;
            let row = SketchRow {
                interval_start_us: start,
                protocol: 6,
                class: None,
                port: None,
                lg_k: 14,
                sketch: sketch::image(part.lg_k(), part.values()).expect("a sketch"),
            };
            let files = IntervalFiles {
                interval_start_us: start,
                run: "r".to_owned(),
            };
            let bytes = encode_sketches(&[row]).expect("a file");
            store.put(Table::Sketches, &files, &bytes).expect("room");
        }
    }
    let sql = |name: &str| {
        format!(
            "SELECT CAST(date AS STRING) AS day, {name}_estimate({}_agg(sketch)) AS sources, \
             COUNT(*) AS sketches FROM sketches GROUP BY date ORDER BY day",
            name.replace("sketch", "union")
        )
    };
    let ours = ask(&place, &[&sql("hll_sketch").replace("STRING", "VARCHAR")]);
    let ours = ours.as_array().expect("rows");
    assert_eq!(ours.len() as u64, SEEDS);
    let errors: Vec<f64> = (ours.iter())
        .map(|row| row["sources"].as_f64().expect("a count") / SOURCES as f64 - 1.0)
        .collect();
    let mean = errors.iter().sum::<f64>() / SEEDS as f64;
    let greatest = errors
        .iter()
        .fold(0.0f64, |most, error| most.max(error.abs()));
    println!(
        "mean error {:.3} %, greatest {:.2} % over {SEEDS} seeds",
        100.0 * mean,
        100.0 * greatest
    );
    assert!(mean.abs() <= 0.003 && greatest <= 0.025, "{errors:?}");

    let Some(python) = python(test) else {
        return;
    };
    let file = folder.path().join("union.sql");
    fs::write(&file, sql("hll_sketch")).expect("room for a question");
    let more = [format!("--ask=union={}", file.display())];
    let theirs = spark(&python, folder.path(), &place, &more);
    assert_eq!(theirs["union"].as_array().expect("rows"), ours);
}
