//! A day of three sensors in the store: octets of a row, the rollup's time and memory, and the time
//! of a question about two ports.
//!
//! It runs the programs in this program's folder: synthetic captures are replayed into a store of
//! three sensors. It takes a quarter of an hour and some 15 GB of disk, so it runs only when it is
//! named.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use noctule_store::read::table_files;
use noctule_store::{Table, columns};

use crate::figure::{Figure, Goal, Rounds};
use crate::program::{ask, measured, number, output, programs};

/// Sensors of the day.
const SENSORS: [&str; 3] = ["east", "north", "west"];
/// Rows of `flows` that the day should have at least.
const ROWS: u64 = 100_000_000;
/// Packets of one sensor's day: 100 packets of the mix make some 77 rows with intervals of a minute.
const PACKETS: u64 = 45_000_000;
/// Sources of one sensor's day.
const SOURCES: u64 = 2_000_000;
/// The darknet.
const PREFIX: &str = "198.18.0.0/16";
/// Most octets of a row of `flows`.
const ROW_BYTES: f64 = 14.0;
/// Most memory of the rollup.
const ROLLUP_MIB: f64 = 2048.0;
/// Most seconds for the question when its files are in the page cache.
const QUESTION_SECONDS: f64 = 2.0;
/// The question: sources by country over the union of two ports.
const QUESTION: &str = "SELECT country, COUNT(DISTINCT source4) + COUNT(DISTINCT source6) AS sources \
    FROM flows_daily WHERE port IN (23, 2323) AND protocol = 'tcp' AND class = 'scan' \
    GROUP BY country ORDER BY sources DESC";

/// Fills a store, rolls the day up and executes the question.
pub fn run() -> Result<Vec<Figure>> {
    let ([noctule, report], work) = programs("store")?;
    let store = work.path().join("store");
    let mut packets = 0;
    for (seed, sensor) in (1..).zip(SENSORS) {
        let day = Day {
            sensor,
            seed,
            date: "2025-03-01",
            interval: 60,
            packets: PACKETS,
            sources: SOURCES,
        };
        packets += day.fill(&noctule, work.path(), &store)?;
    }
    let mut figures = row_bytes(&store)?;

    let memory = measured(
        Command::new(&report)
            .args(["rollup", "--store"])
            .arg(&store),
    )?;
    let rows = number(&report, &store, "SELECT COUNT(*) FROM flows")? as f64;
    println!(
        "rolled up {rows} rows of flows in {:.1} s: {:.2} M rows/s, {:.0} MiB at most",
        memory.seconds,
        rows / memory.seconds / 1e6,
        memory.peak_mib
    );
    figures.push(one("store/rollup", "s", memory.seconds, &[]));
    figures.push(one(
        "store/rollup rows",
        "M rows/s",
        rows / memory.seconds / 1e6,
        &[],
    ));
    let most = [Goal::AtMost(ROLLUP_MIB)];
    figures.push(one("store/rollup memory", "MiB", memory.peak_mib, &most));

    let counted = number(&report, &store, "SELECT SUM(packets) FROM ports")?;
    let daily = number(&report, &store, "SELECT SUM(packets) FROM ports_daily")?;
    ensure!(
        counted == packets && daily == packets,
        "{packets} packets were replayed, {counted} stand in ports and {daily} in ports_daily"
    );
    let exact = QUESTION.replace("flows_daily", "flows");
    let (from_days, _) = ask(&report, &store, QUESTION)?;
    let (from_intervals, _) = ask(&report, &store, &exact)?;
    ensure!(
        from_days == from_intervals,
        "the day's answer is not that of its intervals"
    );
    let mut seconds = Vec::new();
    for _ in 0..3 {
        let (_, told) = ask(&report, &store, QUESTION)?;
        print!("{}", told.lines().last().unwrap_or_default());
        println!();
        let taken = told
            .lines()
            .last()
            .and_then(|line| line.split(' ').next()?.parse().ok());
        seconds.push(taken.context("the question does not say its time")?);
    }
    let rounds = Rounds {
        figures: &seconds,
        references: &[],
    };
    let most = [Goal::AtMost(QUESTION_SECONDS)];
    figures.push(Figure::new("store/question", "s", &rounds, None, &most));
    Ok(figures)
}

/// A figure that is measured once.
pub fn one(name: &str, unit: &str, value: f64, goals: &[Goal]) -> Figure {
    let rounds = Rounds {
        figures: &[value],
        references: &[],
    };
    Figure::new(name, unit, &rounds, None, goals)
}

/// A sensor's day of synthetic traffic.
pub struct Day<'a> {
    pub sensor: &'a str,
    pub seed: u64,
    /// The day, in UTC.
    pub date: &'a str,
    /// Interval in seconds.
    pub interval: u32,
    pub packets: u64,
    pub sources: u64,
}

impl Day<'_> {
    /// Generates the day and replays it into the store; returns the number of packets.
    pub fn fill(&self, noctule: &Path, work: &Path, store: &Path) -> Result<u64> {
        let capture = work.join("day.pcap");
        let beside = |ending: &str| PathBuf::from(format!("{}.{ending}", capture.display()));
        let (interval, start) = (
            self.interval.to_string(),
            format!("{}T00:00:00Z", self.date),
        );
        let mut synth = Command::new(noctule);
        synth.args([
            "synth",
            "--prefix",
            PREFIX,
            "--start",
            &start,
            "--duration",
            "86400",
        ]);
        synth.args(["--packets", &self.packets.to_string()]);
        synth.args(["--sources", &self.sources.to_string()]);
        synth.args(["--seed", &self.seed.to_string(), "--interval", &interval]);
        output(synth.arg("--out").arg(&capture))?;
        let mut replay = Command::new(noctule);
        replay.args(["replay", "--summary", "json", "--prefix", PREFIX]);
        replay.args(["--interval", &interval, "--sensor", self.sensor]);
        replay.arg("--store").arg(store);
        replay.arg("--country-db").arg(beside("country.csv"));
        replay.arg("--asn-db").arg(beside("asn.csv"));
        let summary = output(replay.arg(&capture))?;
        let summary: serde_json::Value = serde_json::from_str(&summary)?;
        for ending in ["truth.json", "country.csv", "asn.csv"] {
            fs::remove_file(beside(ending))?;
        }
        fs::remove_file(&capture)?;
        summary["dark_packets"]
            .as_u64()
            .context("the replay counted no packets")
    }
}

/// Octets of a row of `flows`, and by column.
fn row_bytes(store: &Path) -> Result<Vec<Figure>> {
    let (mut rows, mut bytes) = (0, 0);
    let mut by_column = BTreeMap::new();
    for file in table_files(store, Table::Flows)? {
        bytes += file.metadata()?.len();
        rows += columns::sizes(&file, &mut by_column)?;
    }
    ensure!(
        rows >= ROWS,
        "the day has {rows} rows where {ROWS} are wanted"
    );
    let mut columns: Vec<_> = by_column.into_iter().collect();
    columns.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    println!(
        "{rows} rows of flows, {:.2} octets each:",
        bytes as f64 / rows as f64
    );
    for (name, bytes) in columns {
        println!("  {name:20} {:6.3}", bytes as f64 / rows as f64);
    }
    let most = [Goal::AtMost(ROW_BYTES)];
    Ok(vec![one(
        "store/row of flows",
        "octets",
        bytes as f64 / rows as f64,
        &most,
    )])
}
