//! Reports over a quarter of a large darknet: time, memory and octets read, by days and by rows.
//!
//! Two days of synthetic traffic go through the whole program and are rolled up; the quarter's days are
//! copies of them in turn, as separate files that do not share the page cache. Reports are made of a
//! day, a month and the quarter, and of days with a quarter of the rows and with fifteen times as many,
//! as a /16 has. It takes half an hour and some 14 GB of disk, so it runs only when it is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::figure::{Figure, Goal};
use crate::program::{measured, number, output, programs};
use crate::store::{Day, one};

/// Packets of a day of the quarter; four packets make three rows with intervals of an hour.
const PACKETS: u64 = 10_000_000;
/// Sources of a day.
const SOURCES: u64 = 1_000_000;
/// Sensors of the day with many rows, each with [`TIMES`] as many packets and sources.
const SENSORS: [&str; 4] = ["east", "north", "south", "west"];
/// Factor between the packets of that day and of a day of the quarter.
const TIMES: f64 = 3.75;
/// Days that are generated; the others are copies of them.
const MADE: [&str; 2] = ["2025-01-01", "2025-01-02"];
/// Lengths of the quarter's months.
const MONTHS: [u32; 3] = [31, 28, 31];
/// Most memory of a report.
const REPORT_MIB: f64 = 4096.0;
/// Tables that a report reads: daily tables, and interval tables without a daily table.
const READ: [&str; 6] = [
    "flows_daily",
    "ports_daily",
    "research_daily",
    "ledger_daily",
    "fingerprints",
    "ledger",
];

/// Fills a store with a quarter and makes reports of parts of it.
pub fn run() -> Result<Vec<Figure>> {
    let ([noctule, report], work) = programs("report")?;
    let made = work.path().join("made");
    let small = work.path().join("small");
    let large = work.path().join("large");
    let fill = |day: Day<'_>, store: &Path| day.fill(&noctule, work.path(), store);
    let mut packets = Vec::new();
    for (seed, date) in (1..).zip(MADE) {
        packets.push(fill(day("gateway", date, seed, 1.0), &made)?);
    }
    let few = fill(day("gateway", "2025-03-31", 3, 0.25), &small)?;
    let mut many = 0;
    for (seed, sensor) in (4..).zip(SENSORS) {
        many += fill(day(sensor, "2025-03-31", seed, TIMES), &large)?;
    }
    for store in [&made, &small, &large] {
        output(Command::new(&report).args(["rollup", "--store"]).arg(store))?;
    }
    let store = work.path().join("quarter");
    let days = copy(&made, &store)?;
    let rows = |store: &Path| number(&report, store, "SELECT COUNT(*) FROM flows_daily");
    let of_made = rows(&made)?;
    println!(
        "{} days, {:.1} M rows of flows_daily each, {:.1} GB in all",
        days.len(),
        of_made as f64 / 2e6,
        size(&store)? as f64 / 1e9
    );

    let mut figures = Vec::new();
    let truth = |from: usize| -> u64 { (from..days.len()).map(|at| packets[at % 2]).sum() };
    for (name, store, period, wanted) in [
        ("day of few rows", &small, "2025-03-31", few),
        ("day of many rows", &large, "2025-03-31", many),
        ("day", &store, "2025-03-31", truth(days.len() - 1)),
        ("month", &store, "2025-03", truth(days.len() - 31)),
        ("quarter", &store, "2025-Q1", truth(0)),
    ] {
        let out = work.path().join("out");
        let mut command = Command::new(&report);
        command.args(["report", "--period", period, "--store"]);
        let taken = measured(command.arg(store).arg("--out").arg(&out))?;
        let told = fs::read(out.join("report.json"))?;
        let told: Value = serde_json::from_slice(&told)?;
        let counted = packets_of(&told)?;
        ensure!(
            counted == wanted,
            "{period}: {wanted} packets were replayed, the report says {counted}"
        );
        let octets = told["about"]["octets"].as_u64().unwrap_or(0) as f64;
        println!(
            "{name}: {:.1} s, {:.0} MiB at most, {} files, {:.1} MB",
            taken.seconds,
            taken.peak_mib,
            told["about"]["files"],
            octets / 1e6
        );
        let name = |what: &str| format!("report/{name}{what}");
        let most = [Goal::AtMost(REPORT_MIB)];
        figures.push(one(&name(""), "s", taken.seconds, &[]));
        figures.push(one(&name(" memory"), "MiB", taken.peak_mib, &most));
        figures.push(one(&name(" read"), "MB", octets / 1e6, &[]));
    }
    for (name, rows) in [
        ("rows of a day", of_made as f64 / 2.0),
        ("few rows", rows(&small)? as f64),
        ("many rows", rows(&large)? as f64),
    ] {
        figures.push(one(&format!("report/{name}"), "M", rows / 1e6, &[]));
    }
    Ok(figures)
}

/// A sensor's day, with so many times the packets and sources of a day of the quarter.
fn day<'a>(sensor: &'a str, date: &'a str, seed: u64, times: f64) -> Day<'a> {
    Day {
        sensor,
        seed,
        date,
        interval: 3600,
        packets: (PACKETS as f64 * times) as u64,
        sources: (SOURCES as f64 * times) as u64,
    }
}

/// Makes a quarter of two days; the days' dates.
fn copy(made: &Path, store: &Path) -> Result<Vec<String>> {
    let months = (1..).zip(MONTHS);
    let days: Vec<String> = months
        .flat_map(|(month, days)| (1..=days).map(move |day| format!("2025-{month:02}-{day:02}")))
        .collect();
    fs::create_dir_all(store)?;
    // Its interval files are removed, as if expired, so that nothing is rolled up again.
    fs::write(store.join("noctule.toml"), "[keep_days]\nflows = 1\n")?;
    for (at, to) in days.iter().enumerate() {
        let from = MADE[at % MADE.len()];
        for table in READ {
            let folder = match table.ends_with("_daily") {
                true => PathBuf::from(table).join("zone=UTC"),
                false => PathBuf::from(table),
            };
            let below = |date: &str| folder.join(format!("date={date}")).join("sensor=gateway");
            let Ok(files) = fs::read_dir(made.join(below(from))) else {
                continue;
            };
            let target = store.join(below(to));
            fs::create_dir_all(&target)?;
            for file in files {
                let file = file?;
                // Names of interval files contain the interval's start.
                let name = file.file_name().to_string_lossy().into_owned();
                let name = name.replace(&from.replace('-', ""), &to.replace('-', ""));
                fs::copy(file.path(), target.join(name))?;
            }
        }
    }
    Ok(days)
}

/// Octets of all files below a folder.
fn size(folder: &Path) -> Result<u64> {
    let mut octets = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        octets += if meta.is_dir() {
            size(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(octets)
}

/// All packets of a report's period: the sum of N2's days.
fn packets_of(report: &Value) -> Result<u64> {
    let sections = report["sections"].as_array().into_iter().flatten();
    let mut tables =
        sections.flat_map(|section| section["tables"].as_array().into_iter().flatten());
    let table = tables
        .find(|table| table["id"] == "n2-days")
        .context("the report has no N2")?;
    let mut columns = table["columns"].as_array().into_iter().flatten();
    let total = columns.position(|column| column["id"] == "total");
    let total = total.context("N2 has no column of all packets")?;
    let rows = table["rows"].as_array().into_iter().flatten();
    Ok(rows.filter_map(|row| row[total].as_u64()).sum())
}
