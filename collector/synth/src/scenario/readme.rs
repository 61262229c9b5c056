//! Text of a scenario's README.txt.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::list::Scenario;
use super::plan::ScenarioPlan;
use super::totals::PlanTotals;

/// The text: what it is, what happens when, and how to replay it.
pub(super) fn text(
    scenario: Scenario,
    plan: &ScenarioPlan,
    totals: &PlanTotals,
    captures: &[String],
) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, scenario, plan, totals, captures);
    text
}

fn write(
    text: &mut String,
    scenario: Scenario,
    plan: &ScenarioPlan,
    totals: &PlanTotals,
    captures: &[String],
) -> std::fmt::Result {
    let packets: u64 = totals.days.values().sum();
    writeln!(text, "SYNTHETIC TRAFFIC: NOT AN OBSERVATION\n")?;
    writeln!(
        text,
        "Every packet here was invented by `noctule synth --scenario {}`. No host sent any of it;\naddresses, countries, AS numbers and the darknet are made up, and no conclusion about a real\nnetwork may be drawn from it.\n",
        scenario.name()
    )?;
    writeln!(text, "What it shows: {}.\n", plan.about)?;
    writeln!(
        text,
        "{packets} packets. Days are days in {}: the first is {}, the last {}.",
        plan.report_timezone, plan.first, plan.last
    )?;
    if plan.divisor() > 1 {
        writeln!(
            text,
            "Packets and sources are a {}th of the scenario's: ranks hold, numbers do not.",
            plan.divisor()
        )?;
    }
    writeln!(
        text,
        "\nWhat happens (packets and sources on the day of most packets):\n"
    )?;
    for (row, total) in plan.rows.iter().zip(&totals.rows) {
        let Some(event) = &row.event else { continue };
        let (from, to) = row.span();
        writeln!(
            text,
            "  {from} to {to}  {event}\n      {}; {} packets from {} sources on {}",
            row.about,
            total.peak_packets,
            total.peak_sources,
            row.peak()
        )?;
    }
    for outage in &plan.outages {
        writeln!(
            text,
            "  {} to {}  an outage: {}; no packets, and no row of the ledger",
            moment(outage.from_us),
            moment(outage.to_us),
            outage.about
        )?;
    }
    for ranks in &plan.ranks {
        writeln!(
            text,
            "\n{}, with the rank of the quarter before:",
            ranks.source
        )?;
        for (name, rank, before) in &ranks.rows {
            writeln!(text, "  {rank}  {name} ({before})")?;
        }
    }
    for table in &plan.tables {
        let ports: Vec<_> = table.ports.iter().map(u16::to_string).collect();
        let ports = ports.join(" or ");
        let (day, source) = (table.day, &table.source);
        writeln!(
            text,
            "\nSources on {day}, {ports}/TCP ({source}): see truth.json."
        )?;
    }
    let prefixes: Vec<_> = (plan.prefixes.iter())
        .map(|prefix| format!("--prefix {prefix}"))
        .collect();
    writeln!(
        text,
        "\nFrom this folder:\n\n  mkdir -p store && cp noctule.toml research.txt store/\n  noctule replay --store store --sensor {} --interval {} \\\n    {} --country-db country.csv --asn-db asn.csv \\\n    {}\n  noctule report --store store --period 2016 --out report",
        plan.sensor,
        plan.interval_seconds,
        prefixes.join(" "),
        captures.join(" ")
    )?;
    writeln!(
        text,
        "\nFiles: the captures, one for each month in {}; country.csv and asn.csv (start,end,value);\nresearch.txt (scanners that are to be told apart); truth.json (what was planned); noctule.toml\n(the store's settings, with the notice that reports bear).",
        plan.report_timezone
    )
}

/// A moment in UTC, as people write it.
fn moment(time_us: i64) -> String {
    Timestamp::from_microsecond(time_us).map_or_else(|_| time_us.to_string(), |t| t.to_string())
}
