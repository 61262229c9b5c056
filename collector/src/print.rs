//! What people read at the end of a run: tables whose sums can be checked by eye.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use noctule_counters::summary::{Cell, Summary};

use crate::args::SummaryForm;
use crate::config::Common;
use noctule_engine::message::QueueLedger;
use noctule_engine::totals::{Finished, Totals};

mod findings;
mod text;

pub use text::{grouped, rate, several, table};
use text::{known, line, numbers, port_name, signed};

/// Rows of a table before "the rest".
const ROWS: usize = 10;

/// Prints a run's totals on standard output.
///
/// # Errors
/// Standard output cannot be written to.
pub fn totals(
    form: SummaryForm,
    finished: &Finished,
    totals: &Totals,
    common: &Common,
    elapsed: Duration,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match form {
        SummaryForm::None => {}
        SummaryForm::Json => {
            serde_json::to_writer(&mut out, &finished.summary)?;
            writeln!(out)?;
        }
        SummaryForm::Table => {
            let mut text = String::new();
            tables(&mut text, finished);
            ledger(&mut text, totals);
            lost_by_port(&mut text, &finished.summary);
            place(&mut text, totals, common, elapsed, &finished.summary);
            out.write_all(text.as_bytes())?;
        }
    }
    out.flush()?;
    Ok(())
}

fn tables(text: &mut String, finished: &Finished) {
    let summary = &finished.summary;
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
    let port = |cell: &Cell| vec![cell_name(cell), cell.class.clone()];
    let shown = summary.cells.len().min(ROWS);
    let mut rows: Vec<Vec<String>> = (summary.cells[..shown].iter())
        .map(|cell| {
            [
                port(cell),
                numbers(cell.packets, all, Some(known(cell.sources))),
            ]
            .concat()
        })
        .collect();
    let rest: u64 = summary.cells[shown..].iter().map(|cell| cell.packets).sum();
    if rest > 0 {
        let name = format!("{} more", summary.cells.len() - shown);
        rows.push(
            [
                vec![name, String::new()],
                numbers(rest, all, Some(String::new())),
            ]
            .concat(),
        );
    }
    rows.push(
        [
            vec!["all".into(), String::new()],
            numbers(all, all, Some(known(summary.sources))),
        ]
        .concat(),
    );
    table(
        text,
        &["port", "class", "packets", "share", "sources"],
        &rows,
    );

    if let Some(top) = &finished.top_sources {
        let rows: Vec<_> = (top.iter())
            .map(|&(source, packets)| {
                [vec![source.to_string()], numbers(packets, all, None)].concat()
            })
            .collect();
        table(text, &["source", "packets", "share"], &rows);
    }
    let counted = |map: &std::collections::BTreeMap<String, u64>| -> Vec<Vec<String>> {
        let mut entries: Vec<_> = map.iter().collect();
        entries.sort_by_key(|&(name, &packets)| (std::cmp::Reverse(packets), name));
        (entries.into_iter())
            .map(|(name, &packets)| [vec![name.clone()], numbers(packets, all, None)].concat())
            .collect()
    };
    let total = || [vec!["all".to_owned()], numbers(all, all, None)].concat();
    for (title, map) in [
        ("class", &summary.by_class),
        ("protocol", &summary.by_protocol),
    ] {
        let mut rows = counted(map);
        rows.push(total());
        table(text, &[title, "packets", "share"], &rows);
    }
    findings::tables(text, summary);
    if let Some(countries) = &summary.sources_by_country {
        let mut entries: Vec<_> = countries.iter().collect();
        entries.sort_by_key(|&(name, &sources)| (std::cmp::Reverse(sources), name));
        let sources = summary.sources.unwrap_or_default();
        let mut rows: Vec<_> = (entries.iter().take(ROWS))
            .map(|&(name, &count)| [vec![name.clone()], numbers(count, sources, None)].concat())
            .collect();
        let rest: u64 = entries.iter().skip(ROWS).map(|&(_, &count)| count).sum();
        if rest > 0 {
            rows.push(
                [
                    vec![format!("{} more", entries.len() - ROWS)],
                    numbers(rest, sources, None),
                ]
                .concat(),
            );
        }
        rows.push([vec!["all".into()], numbers(sources, sources, None)].concat());
        table(text, &["country", "sources", "share"], &rows);
    }
    if !summary.decode_errors.is_empty() {
        let rows: Vec<_> = (summary.decode_errors.iter())
            .map(|error| {
                let name = format!("{} {}", error.layer, error.reason.replace('_', " "));
                [vec![name], numbers(error.packets, all, None)].concat()
            })
            .collect();
        table(text, &["header error", "packets", "share"], &rows);
    }
    let mut notes = Vec::new();
    if summary.late_packets > 0 {
        notes.push(format!(
            "{} packets came late and count in the oldest open interval.",
            grouped(summary.late_packets)
        ));
    }
    if finished.degraded_intervals > 0 {
        notes.push(format!(
            "{} packets found no row in the flow table; {} intervals are degraded: port counts are exact, distinct sources are estimated in `sketches`. Raise --max-flows.",
            grouped(summary.overflow_packets),
            finished.degraded_intervals
        ));
    }
    for note in notes {
        line(text, &note);
    }
}

/// The account, so that the reader can add it up.
fn ledger(text: &mut String, totals: &Totals) {
    let mut rows: Vec<Vec<String>> = (totals.queues.values())
        .map(|row| account(&row.queue.to_string(), row))
        .collect();
    if rows.len() > 1 {
        rows.push(account("all", &totals.ledger));
    }
    table(
        text,
        &[
            "queue",
            "records",
            "passed",
            "dark",
            "counted",
            "no socket",
            "rx dropped",
            "ring full",
            "unexplained",
            "in flight",
        ],
        &rows,
    );
    let all = &totals.ledger;
    let lost = all.lost.total();
    let (dark, counted, flying) = (all.matched, all.tally.packets, all.in_flight_after);
    let balanced = dark as i64 == counted as i64 + lost + flying as i64
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
            grouped(flying),
            if balanced {
                ""
            } else {
                " -- IT DOES NOT ADD UP: this is a defect, please report it"
            }
        ),
    );
}

/// Where lost packets were going to: the ports that lost most.
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

fn place(
    text: &mut String,
    totals: &Totals,
    common: &Common,
    elapsed: Duration,
    summary: &Summary,
) {
    let seconds = elapsed.as_secs_f64();
    let speed = rate(summary.records as f64 / seconds.max(1e-9));
    line(text, &format!("time: {seconds:.2} s, {speed} records/s"));
    match &common.store {
        Some(place) => line(
            text,
            &format!(
                "store: {} files, {} bytes written below {place}",
                grouped(totals.files.0),
                grouped(totals.files.1),
            ),
        ),
        None => line(
            text,
            "store: none, so nothing was written; --store DIR keeps the counts",
        ),
    }
}

fn cell_name(cell: &Cell) -> String {
    port_name(&cell.protocol, cell.port)
}
