//! `demo --report`: a synthetic 2016, and the reports that observatories published of it.
//!
//! Captures are made and replayed into a store. Reports as NICTER's of a year and TSUBAME's of a
//! quarter are written in both languages, and their figures are compared with the published ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::setup;
use crate::shell;

/// Ports in TSUBAME's report of July to September 2016, with their ranks in the quarter before.
const PORTS: [(&str, i64); 5] = [
    ("23/tcp", 1),
    ("53413/udp", 2),
    ("22/tcp", 6),
    ("445/tcp", 5),
    ("1433/tcp", 3),
];
/// Source regions in the same report, with their ranks in the quarter before.
const REGIONS: [(&str, i64); 5] = [("CN", 1), ("US", 2), ("BR", 3), ("VN", 7), ("KR", 5)];
/// A day's ports as an argument, the day, and its rows.
type Peak = (&'static str, &'static str, [(&'static str, i64); 11]);
/// NICTER's table 2 of 2016: distinct sources by country; `rest` are all other countries.
const PEAKS: [Peak; 2] = [
    (
        "2016-09-20=23,2323/tcp",
        "2016-09-20",
        [
            ("BR", 456_778),
            ("VN", 283_997),
            ("IN", 225_457),
            ("CN", 190_843),
            ("RU", 129_979),
            ("ID", 98_752),
            ("CO", 82_806),
            ("MX", 49_605),
            ("TR", 44_161),
            ("AR", 43_779),
            ("rest", 593_654),
        ],
    ),
    (
        "2016-11-27=7547,5555/tcp",
        "2016-11-27",
        [
            ("BR", 1_206_589),
            ("IR", 334_510),
            ("GB", 272_590),
            ("TR", 187_296),
            ("CL", 84_755),
            ("IT", 83_816),
            ("IE", 53_869),
            ("TH", 40_418),
            ("AR", 34_861),
            ("IN", 32_123),
            ("rest", 138_675),
        ],
    ),
];

/// Makes the scenario and its reports.
///
/// # Errors
/// A program cannot be built or run, or a report differs from a published figure.
pub fn run(yes: bool) -> Result<()> {
    setup::packages(setup::BUILD, yes)?;
    println!(
        "building the collector and the reports (optimised; the first time, half an hour on two cores)"
    );
    for package in ["noctule", "noctule-analyze"] {
        shell::run(shell::cargo().args(["build", "--quiet", "--release", "--package", package]))?;
    }
    let noctule = shell::target().join("release/noctule");
    let folder = shell::target().join("demo-report");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let began = Instant::now();
    let year = Scenario::make(&noctule, &folder.join("2016"), "2016")?;
    let mut pages = Vec::new();
    let [(first, ..), (second, ..)] = PEAKS;
    for language in ["en", "ja"] {
        for (style, period) in [("nicter", "2016"), ("tsubame", "2016-Q3")] {
            let out = folder.join(format!("{style}-{period}-{language}"));
            let mut more = vec!["--period", period, "--style", style, "--lang", language];
            if style == "nicter" {
                // The days and ports of the published table.
                more.extend(["--peak", first, "--peak", second]);
            }
            year.report(&noctule, &out, &more)?;
            pages.push(out.join("index.html"));
        }
    }
    let quarter = folder.join("tsubame-2016-Q3-en");
    compare(&quarter, "t1-ports", "port", &PORTS)?;
    compare(&quarter, "t2-regions", "country", &REGIONS)?;
    println!(
        "\nreports of 2016 made in {:.0} s; their ranks are the published ones",
        began.elapsed().as_secs_f64()
    );

    let began = Instant::now();
    let table = Scenario::make(&noctule, &folder.join("nicter-table2"), "nicter-table2")?;
    let out = folder.join("nicter-table2-en");
    let more = [
        "--period", "2016", "--style", "nicter", "--peak", first, "--peak", second,
    ];
    table.report(&noctule, &out, &more)?;
    for (at, (_, day, countries)) in (1..).zip(PEAKS) {
        let rows = rows(&out, &format!("n6-countries-{at}"))?;
        for (country, sources) in countries {
            let found = number(&rows, "country", country, "sources")?;
            ensure!(
                found == Some(sources),
                "{day}, {country}: {sources} sources were published, the report has {found:?}"
            );
        }
    }
    println!(
        "\nNICTER's table 2 to the digit, from {} sources, in {:.0} s",
        PEAKS
            .iter()
            .flat_map(|(_, _, countries)| countries)
            .map(|(_, sources)| sources)
            .sum::<i64>(),
        began.elapsed().as_secs_f64()
    );
    pages.push(out.join("index.html"));
    println!("\nAll of it is synthetic. Open in a browser:");
    for page in pages {
        println!("  {}", page.display());
    }
    Ok(())
}

/// The store of a replayed scenario.
struct Scenario {
    store: PathBuf,
}

impl Scenario {
    /// Writes a scenario's captures, replays them into a store, and removes the captures.
    fn make(noctule: &Path, folder: &Path, name: &str) -> Result<Self> {
        let store = folder.join("store");
        measured(
            Command::new(noctule)
                .args(["synth", "--scenario", name, "--out"])
                .arg(folder),
        )?;
        let truth: Value = serde_json::from_slice(&fs::read(folder.join("truth.json"))?)?;
        fs::create_dir_all(&store)?;
        for file in ["noctule.toml", "research.txt"] {
            fs::copy(folder.join(file), store.join(file))?;
        }
        let mut command = Command::new(noctule);
        command.args(["replay", "--store"]).arg(&store);
        let text = |name: &str| {
            let value = &truth[name];
            (value.as_str().map(str::to_owned)).unwrap_or_else(|| value.to_string())
        };
        command.args(["--sensor", &text("sensor")]);
        command.args(["--interval", &text("interval_seconds")]);
        for prefix in truth["prefixes"].as_array().into_iter().flatten() {
            command.args(["--prefix", prefix.as_str().unwrap_or_default()]);
        }
        command.arg("--country-db").arg(folder.join("country.csv"));
        command.arg("--asn-db").arg(folder.join("asn.csv"));
        let mut captures: Vec<PathBuf> = fs::read_dir(folder)?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "pcap"))
            .collect();
        captures.sort();
        measured(command.args(&captures))?;
        for capture in captures {
            fs::remove_file(capture)?;
        }
        Ok(Self { store })
    }

    fn report(&self, noctule: &Path, out: &Path, more: &[&str]) -> Result<()> {
        let mut command = Command::new(noctule);
        command.args(["report", "--store"]).arg(&self.store);
        measured(command.args(more).arg("--out").arg(out))
    }
}

/// Runs a command and prints its time in seconds and its peak resident memory.
fn measured(command: &mut Command) -> Result<()> {
    println!("\n$ {}", shell::spelled(command));
    let began = Instant::now();
    let mut child = shell::Running(command.spawn().context("cannot start it")?);
    let status = format!("/proc/{}/status", child.0.id());
    let mut peak_kib = 0u64;
    let ended = loop {
        if let Some(ended) = child.0.try_wait()? {
            break ended;
        }
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.split_whitespace().next()?.parse().ok());
        peak_kib = peak.unwrap_or(0).max(peak_kib);
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    ensure!(
        ended.success(),
        "`{}` failed: {ended}",
        shell::spelled(command)
    );
    println!(
        "  {:.1} s, {} MiB at most",
        began.elapsed().as_secs_f64(),
        peak_kib / 1024
    );
    Ok(())
}

/// A table of a report: its columns' names and its rows.
struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

fn rows(report: &Path, id: &str) -> Result<Rows> {
    let path = report.join("report.json");
    let octets = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let report: Value = serde_json::from_slice(&octets)?;
    let sections = report["sections"].as_array().into_iter().flatten();
    let mut tables =
        sections.flat_map(|section| section["tables"].as_array().into_iter().flatten());
    let table = tables
        .find(|table| table["id"] == id)
        .with_context(|| format!("the report has no table {id}"))?;
    let columns = table["columns"].as_array().into_iter().flatten();
    Ok(Rows {
        columns: columns
            .map(|column| column["id"].as_str().unwrap_or_default().to_owned())
            .collect(),
        rows: serde_json::from_value(table["rows"].clone())?,
    })
}

/// The number in the row of a name, or `None` if its cell is empty.
fn number(rows: &Rows, key: &str, name: &str, column: &str) -> Result<Option<i64>> {
    let place = |wanted: &str| {
        let at = rows.columns.iter().position(|column| column == wanted);
        at.with_context(|| format!("the table has no column {wanted}"))
    };
    let (key, column) = (place(key)?, place(column)?);
    let row = rows.rows.iter().find(|row| row[key] == name);
    let row = row.with_context(|| format!("the table has no row {name}"))?;
    Ok(row[column].as_i64())
}

/// Compares a table of ranks with the published one.
fn compare(report: &Path, id: &str, key: &str, published: &[(&str, i64)]) -> Result<()> {
    let table = rows(report, id)?;
    for (rank, (name, previous)) in (1..).zip(published) {
        let found = (
            number(&table, key, name, "rank")?,
            number(&table, key, name, "previous")?,
        );
        ensure!(
            found == (Some(rank), Some(*previous)),
            "{id}: {name} was published as {rank} ({previous} before), the report has {found:?}"
        );
    }
    Ok(())
}
