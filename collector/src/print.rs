//! Printing: the totals of a run, its progress on a terminal, and tables of text.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::Result;
use noctule_counters::summary::{Cell, Summary};
use noctule_engine::ledger::QueueLedger;
use noctule_engine::outcome::Outcome;
use noctule_engine::totals::{RunSummary, Totals};
use noctule_store::Location;

pub use self::flowtuple::log_flowtuples;
pub use self::progress::{LiveLine, ReplayBar};
pub use self::text::{Column, grouped, several, table};
use self::text::{ROWS, known, line, numbers, port_name, rate, signed};
use crate::args::SummaryForm;

mod findings;
mod flowtuple;
mod progress;
mod text;
mod unparsed;

/// Prints a run's totals on standard output; `store` is where its files went.
///
/// # Errors
/// Standard output cannot be written to.
pub fn totals(form: SummaryForm, outcome: &Outcome, store: Option<&Location>) -> Result<()> {
    let summary = &outcome.summary.summary;
    let mut out = std::io::stdout().lock();
    match form {
        SummaryForm::None => {}
        SummaryForm::Json => {
            serde_json::to_writer(&mut out, summary)?;
            writeln!(out)?;
        }
        SummaryForm::Table => {
            let mut text = String::new();
            counts(&mut text, &outcome.summary);
            unparsed::tables(&mut text, summary);
            ledger(&mut text, &outcome.totals);
            lost_by_port(&mut text, summary);
            time_and_store(&mut text, outcome, store);
            out.write_all(text.as_bytes())?;
        }
    }
    out.flush()?;
    Ok(())
}

fn counts(text: &mut String, run: &RunSummary) {
    let summary = &run.summary;
    let all = summary.dark_packets;
    line(
        text,
        &format!(
            "\n{} dark packets ({} bytes) from {} sources in {}\n",
            grouped(all),
            grouped(summary.dark_bytes),
            known(summary.sources),
            several(summary.intervals, "interval")
        ),
    );
    ports(text, summary);
    if let Some(top) = &run.top_sources {
        let rows: Vec<_> = (top.iter())
            .map(|&(source, packets)| {
                [vec![source.to_string()], numbers(packets, all, None)].concat()
            })
            .collect();
        table(text, &shares("source"), &rows);
    }
    for (title, packets) in [
        ("class", &summary.by_class),
        ("protocol", &summary.by_protocol),
    ] {
        let mut rows = Vec::new();
        for (name, packets) in most_first(packets) {
            rows.push([vec![name.clone()], numbers(packets, all, None)].concat());
        }
        rows.push([vec!["all".to_owned()], numbers(all, all, None)].concat());
        table(text, &shares(title), &rows);
    }
    findings::tables(text, summary);
    countries(text, summary);
    if !summary.decode_errors.is_empty() {
        let rows: Vec<_> = (summary.decode_errors.iter())
            .map(|error| {
                let name = format!("{} {}", error.layer, error.reason.replace('_', " "));
                [vec![name], numbers(error.packets, all, None)].concat()
            })
            .collect();
        table(text, &shares("header error"), &rows);
    }
    if summary.late_packets > 0 {
        line(
            text,
            &format!(
                "{} packets came late and count in the oldest open interval.",
                grouped(summary.late_packets)
            ),
        );
    }
    if let Some(repeats) = summary.repeats
        && let Some(percent) = repeats.suspicious_percent()
    {
        line(
            text,
            &format!(
                "{percent} % of the packets repeat another one within a millisecond ({} of {} that were compared): check whether a mirror port copies both directions, or two taps see one path. Every count includes the repeats.",
                grouped(repeats.repeated),
                grouped(repeats.sampled)
            ),
        );
    }
    if summary.time_jump_packets > 0 {
        line(
            text,
            &format!(
                "{} packets have nonsense times and count in the interval of their neighbours.",
                grouped(summary.time_jump_packets)
            ),
        );
    }
    if summary.untimed_records > 0 {
        line(
            text,
            &format!(
                "{} records have no time that can be stored, nor have their neighbours: they are not counted.",
                grouped(summary.untimed_records)
            ),
        );
    }
    if run.degraded_intervals > 0 {
        line(
            text,
            &format!(
                "{} packets found no row in the flow table; {} intervals are degraded: port counts are exact, distinct sources are estimated in `sketches`. Raise --max-flows.",
                grouped(summary.overflow_packets),
                run.degraded_intervals
            ),
        );
    }
}

/// Columns of a table of packets: a name, the packets, and their share.
fn shares(name: &'static str) -> [Column; 3] {
    [
        Column::left(name),
        Column::right("packets"),
        Column::right("share"),
    ]
}

/// Names and their counts, the largest count first.
fn most_first(counts: &BTreeMap<String, u64>) -> Vec<(&String, u64)> {
    let mut entries: Vec<_> = counts.iter().map(|(name, &count)| (name, count)).collect();
    entries.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
    entries
}

/// The cells with the most packets.
fn ports(text: &mut String, summary: &Summary) {
    let all = summary.dark_packets;
    let row = |name: String, class: &str, packets: u64, sources: String| -> Vec<String> {
        [
            vec![name, class.to_owned()],
            numbers(packets, all, Some(sources)),
        ]
        .concat()
    };
    let (shown, more) = summary.cells.split_at(summary.cells.len().min(ROWS));
    let name = |cell: &Cell| port_name(&cell.protocol, cell.port);
    let mut rows: Vec<_> = (shown.iter())
        .map(|cell| row(name(cell), &cell.class, cell.packets, known(cell.sources)))
        .collect();
    let rest: u64 = more.iter().map(|cell| cell.packets).sum();
    if rest > 0 {
        rows.push(row(format!("{} more", more.len()), "", rest, String::new()));
    }
    rows.push(row("all".to_owned(), "", all, known(summary.sources)));
    let columns = [
        Column::left("port"),
        Column::left("class"),
        Column::right("packets"),
        Column::right("share"),
        Column::right("sources"),
    ];
    table(text, &columns, &rows);
}

/// The countries with the most sources, if a country file was given.
fn countries(text: &mut String, summary: &Summary) {
    let Some(countries) = &summary.sources_by_country else {
        return;
    };
    let sources = summary.sources.unwrap_or_default();
    let row = |name: String, count| [vec![name], numbers(count, sources, None)].concat();
    let entries = most_first(countries);
    let (shown, more) = entries.split_at(entries.len().min(ROWS));
    let mut rows: Vec<_> = (shown.iter())
        .map(|&(name, count)| row(name.clone(), count))
        .collect();
    let rest: u64 = more.iter().map(|&(_, count)| count).sum();
    if rest > 0 {
        rows.push(row(format!("{} more", more.len()), rest));
    }
    rows.push(row("all".to_owned(), sources));
    let columns = [
        Column::left("country"),
        Column::right("sources"),
        Column::right("share"),
    ];
    table(text, &columns, &rows);
}

/// The account of each queue and of the run.
fn ledger(text: &mut String, totals: &Totals) {
    let mut rows: Vec<Vec<String>> = (totals.queues.values())
        .map(|row| {
            let number = row.queue.queue;
            let queue = match &totals.interfaces[..] {
                [] | [_] => number.to_string(),
                names => format!("{} {number}", names[usize::from(row.queue.interface)]),
            };
            account(&queue, row)
        })
        .collect();
    if rows.len() > 1 {
        rows.push(account("all", &totals.ledger));
    }
    table(
        text,
        &[
            Column::left("queue"),
            Column::right("records"),
            Column::right("passed"),
            Column::right("dark"),
            Column::right("counted"),
            Column::right("no socket"),
            Column::right("rx dropped"),
            Column::right("ring full"),
            Column::right("unexplained"),
            Column::right("in flight"),
        ],
        &rows,
    );
    let all = &totals.ledger;
    let lost = all.lost.total();
    let (dark, counted, in_flight) = (all.matched, all.tally.packets, all.in_flight_after);
    let balanced = dark as i64 == counted as i64 + lost + in_flight as i64
        && all.records == dark + all.passed + all.not_parsed;
    line(
        text,
        &format!(
            "ledger: {} records = {} dark + {} passed; {} dark = {} counted + {} lost + {} in flight{}",
            grouped(all.records),
            grouped(dark),
            grouped(all.passed + all.not_parsed),
            grouped(dark),
            grouped(counted),
            signed(lost),
            grouped(in_flight),
            if balanced {
                ""
            } else {
                " -- IT DOES NOT ADD UP: this is a defect, please report it"
            }
        ),
    );
}

/// The destination ports with the most lost packets.
fn lost_by_port(text: &mut String, summary: &Summary) {
    let losses = summary.lost_by_port.as_deref().unwrap_or_default();
    let (shown, rest) = losses.split_at(losses.len().min(ROWS));
    if shown.is_empty() {
        return;
    }
    let mut parts: Vec<_> = (shown.iter())
        .map(|loss| {
            let port = loss
                .port
                .map_or_else(|| "-".to_owned(), |port| port.to_string());
            format!("{}/{port} {}", loss.protocol, signed(loss.packets))
        })
        .collect();
    if !rest.is_empty() {
        let packets = rest.iter().map(|loss| loss.packets).sum();
        parts.push(format!("{} more {}", rest.len(), signed(packets)));
    }
    line(text, &format!("lost by port: {}", parts.join(", ")));
}

fn account(name: &str, row: &QueueLedger) -> Vec<String> {
    vec![
        name.to_owned(),
        grouped(row.records),
        grouped(row.passed + row.not_parsed),
        grouped(row.matched),
        grouped(row.tally.packets),
        grouped(row.lost.unserved),
        grouped(row.lost.rx_dropped),
        grouped(row.lost.rx_ring_full),
        signed(row.lost.unexplained),
        grouped(row.in_flight_after),
    ]
}

fn time_and_store(text: &mut String, outcome: &Outcome, store: Option<&Location>) {
    let seconds = outcome.elapsed.as_secs_f64();
    let records = outcome.summary.summary.records;
    let speed = rate(records as f64 / seconds.max(1e-9));
    line(text, &format!("time: {seconds:.2} s, {speed} records/s"));
    let (files, bytes) = outcome.totals.files;
    match store {
        Some(place) => line(
            text,
            &format!(
                "store: {} files, {} bytes written below {place}",
                grouped(files),
                grouped(bytes),
            ),
        ),
        None => line(
            text,
            "store: none, so nothing was written; --store DIR keeps the counts",
        ),
    }
}
