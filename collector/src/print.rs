//! What people read at the end of a run: tables whose sums can be checked by eye.

use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::Result;
use noctule_counters::summary::{Cell, Summary};
use noctule_packet::decode::Source;

use crate::args::SummaryForm;
use crate::config::Common;
use crate::engine::message::QueueLedger;
use crate::engine::totals::{Finished, Totals};

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
    let known = |count: Option<u64>| count.map_or_else(|| "not exact".to_owned(), grouped);
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
            .map(|&(source, packets)| [vec![address(source)], numbers(packets, all, None)].concat())
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
    let rows = if summary.fingerprints.is_empty() {
        vec![vec!["none".to_owned(), "0".to_owned(), String::new()]]
    } else {
        counted(&summary.fingerprints)
    };
    table(text, &["fingerprint", "packets", "share"], &rows);
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
        Some(folder) => line(
            text,
            &format!(
                "store: {} files, {} bytes written below {}",
                grouped(totals.files.0),
                grouped(totals.files.1),
                folder.display()
            ),
        ),
        None => line(
            text,
            "store: none, so nothing was written; --store DIR keeps the counts",
        ),
    }
}

fn cell_name(cell: &Cell) -> String {
    match cell.port {
        None => cell.protocol.clone(),
        Some(port) if cell.protocol.starts_with("icmp") => {
            format!("{}/{} {}", port >> 8, port & 0xff, cell.protocol)
        }
        Some(port) => format!("{port}/{}", cell.protocol),
    }
}

fn address(source: Source) -> String {
    match source {
        Source::V4(bits) => Ipv4Addr::from_bits(bits).to_string(),
        Source::V6(bits) => Ipv6Addr::from_bits(bits).to_string(),
    }
}

fn numbers(part: u64, all: u64, more: Option<String>) -> Vec<String> {
    let share = if all == 0 {
        0.0
    } else {
        part as f64 * 100.0 / all as f64
    };
    let mut cells = vec![grouped(part), format!("{share:.1} %")];
    cells.extend(more);
    cells
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Columns with headings; those whose heading counts something are right-aligned.
fn table(text: &mut String, headings: &[&str], rows: &[Vec<String>]) {
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            (rows.iter().map(|row| row[column].chars().count()))
                .chain([headings[column].chars().count()])
                .max()
                .unwrap_or_default()
        })
        .collect();
    let named = |heading: &str| {
        matches!(
            heading,
            "port"
                | "class"
                | "source"
                | "protocol"
                | "fingerprint"
                | "country"
                | "header error"
                | "queue"
        )
    };
    let mut put = |cells: &[String]| {
        let mut out = String::from(" ");
        for ((cell, width), heading) in cells.iter().zip(&widths).zip(headings) {
            if named(heading) {
                out.push_str(&format!(" {cell:<width$} "));
            } else {
                out.push_str(&format!(" {cell:>width$} "));
            }
        }
        line(text, out.trim_end());
    };
    put(&headings
        .iter()
        .map(|&heading| heading.to_owned())
        .collect::<Vec<_>>());
    for row in rows {
        put(row);
    }
    text.push('\n');
}

/// A number with thousands apart: 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn several(number: u64, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {what}{ending}", grouped(number))
}

fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

/// A rate with a unit prefix: 5.2 k, 1.31 M.
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 1e6 => format!("{:.2} M", r / 1e6),
        r if r >= 1e3 => format!("{:.1} k", r / 1e3),
        r => format!("{r:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(signed(-1000), "-1,000");
        assert_eq!(
            (rate(5200.0), rate(1.31e6), rate(12.0)),
            ("5.2 k".into(), "1.31 M".into(), "12".into())
        );
    }

    #[test]
    fn columns_line_up() {
        let mut text = String::new();
        table(
            &mut text,
            &["class", "packets"],
            &[
                vec!["scan".into(), "12".into()],
                vec!["backscatter".into(), "1,000".into()],
            ],
        );
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "  class        packets");
        assert_eq!(lines[1], "  scan              12");
        assert_eq!(lines[2], "  backscatter    1,000");
    }
}
