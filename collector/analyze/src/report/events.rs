//! C2: days and ports that left their usual band, new ports and new fingerprints.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use anyhow::Result;
use jiff::civil::Date;
use noctule_page::model::{Kind, Population, Section};

use super::Frame;
use super::baseline::{self, Direction, Event, Point, judge};
use super::context::Context;
use super::fingerprints::Confirmed;
use super::questions;
use super::ranks::port_of;
use super::rows::number_of;
use super::table_builder::{self, Build as _, Days, int, note, number, of, text, value};
use crate::selectors::{Peak, Port};

/// Ports that are judged.
const CANDIDATES: usize = 60;
/// A port was seen on a day if it had more packets than these.
const SEEN: i64 = 10;
/// A port that was seen on fewer of the usual days is new.
const SEEN_DAYS: usize = 7;
/// Confirmed sources that make a fingerprint new.
const NEW_RULE: i64 = 5;
/// Peaks that are shown where none was asked for.
const PEAKS: usize = 2;
/// Whose packets and sources are judged by port: a research scanner on a hundred ports is one scanner,
/// not a hundred events.
const JUDGED: Population = Population::WithoutResearch;
/// Name of the series of all packets, or of all TCP sources.
const ALL: &str = "all";

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Measure {
    Packets,
    Sources,
    /// Packets from a source port.
    Answers,
}

/// A row of the list.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    from: Date,
    to: Date,
    /// Missing for a fingerprint.
    port: Option<String>,
    measure: Measure,
    kind: &'static str,
    peak: Date,
    value: i64,
    usual: f64,
    band: f64,
    rule: Option<String>,
}

impl Found {
    fn ratio(&self) -> f64 {
        self.value as f64 / self.usual.max(1.0)
    }

    fn falls(&self) -> bool {
        self.kind == "fall"
    }

    /// Is it the one whose figures are printed?
    fn outdoes(&self, other: &Self) -> bool {
        let order = match self.falls() {
            false => self.ratio().total_cmp(&other.ratio()),
            true => other.ratio().total_cmp(&self.ratio()),
        };
        order == Ordering::Greater || order == Ordering::Equal && self.measure < other.measure
    }
}

/// Destination ports that stand out on any day that can be compared, by the packets of their best.
///
/// # Errors
/// A store that cannot be reached.
pub fn candidates(context: &mut Context<'_>, frame: &Frame<'_>) -> Result<Vec<Port>> {
    let mut best: BTreeMap<Port, i64> = BTreeMap::new();
    let (from, to) = (frame.period.from, frame.period.to);
    for row in context
        .execute_by_days(&questions::BUSY_PORTS, from, to)?
        .iter()
    {
        if frame.completeness.is_comparable(row.date("date")?) {
            let packets = best.entry(port_of(row)?).or_default();
            *packets = row.int("packets")?.max(*packets);
        }
    }
    let mut best: Vec<(Port, i64)> = best.into_iter().collect();
    best.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let first = best.into_iter().take(CANDIDATES);
    Ok(first.map(|(port, _)| port).collect())
}

/// The series that are judged.
pub struct Series<'a> {
    /// Ports.
    pub ports: &'a [Port],
    /// Packets of all ports that are shown or judged.
    pub packets: &'a Days,
    /// Distinct sources of these.
    pub sources: &'a Days,
    /// Source ports of answers.
    pub answer_ports: &'a [Port],
    /// Their packets.
    pub answers: &'a Days,
    /// Confirmed sources of rules.
    pub confirmed: &'a Confirmed,
}

/// What was found.
pub struct Events {
    found: Vec<Found>,
    unjudged: usize,
}

/// Points of a series on days that can be compared.
pub fn points(frame: &Frame<'_>, get: impl Fn(Date) -> i64) -> (Vec<Date>, Vec<Point>) {
    let days: Vec<Date> = super::period::days(frame.baseline_from, frame.period.to)
        .into_iter()
        .filter(|date| frame.completeness.is_comparable(*date))
        .collect();
    let point = |date: &Date| Point {
        day: number_of(*date),
        value: get(*date),
    };
    let points = days.iter().map(point).collect();
    (days, points)
}

impl Events {
    /// Judges every series.
    pub fn find(frame: &Frame<'_>, series: &Series<'_>) -> Self {
        let mut found = Vec::new();
        let whole = |date| frame.packets.get(date, "total");
        found.extend(of_series(frame, ALL, Measure::Packets, whole, None));
        let sources = |date| frame.tcp_sources.get(date, "sources");
        found.extend(of_series(frame, ALL, Measure::Sources, sources, None));
        for port in series.ports {
            let name = port.to_string();
            let column = of(JUDGED, &name);
            let packets = |date| series.packets.get(date, &column);
            let sources = |date| series.sources.get(date, &column);
            let by: Option<&dyn Fn(Date) -> i64> = Some(&packets);
            found.extend(of_series(frame, &name, Measure::Packets, packets, by));
            found.extend(of_series(frame, &name, Measure::Sources, sources, by));
        }
        let mut found = joined(found);
        for port in series.answer_ports {
            let name = port.to_string();
            let answers = |date| series.answers.get(date, &name);
            found.extend(of_series(frame, &name, Measure::Answers, answers, None));
        }
        for rule in series.confirmed.rules() {
            found.extend(new_rule(frame, rule, series.confirmed));
        }
        found.sort_by(|a, b| {
            let key = |found: &Found| {
                let port = found.port.clone().unwrap_or_else(|| "~".to_owned());
                (
                    found.from,
                    port != ALL,
                    port,
                    found.measure == Measure::Answers,
                    found.kind,
                    found.rule.clone(),
                )
            };
            key(a).cmp(&key(b))
        });
        let (days, points) = points(frame, whole);
        let unjudged = judge(&points).unjudged;
        let unjudged = unjudged
            .into_iter()
            .filter(|at| frame.period.has(days[*at]))
            .count();
        Self { found, unjudged }
    }

    /// The days on which the ports of the largest events had most sources.
    pub fn peaks(&self, frame: &Frame<'_>, series: &Series<'_>) -> Vec<Peak> {
        let mut peaks = Vec::new();
        for found in &self.found {
            let name = found.port.as_deref().unwrap_or(ALL);
            let port = series.ports.iter().find(|port| port.to_string() == name);
            let is_no_peak = found.falls() || found.measure == Measure::Answers;
            let (Some(port), false) = (port, is_no_peak) else {
                continue;
            };
            let sources_of = of(JUDGED, name);
            let sources = |date: &Date| series.sources.get(*date, &sources_of);
            let within = |date: &&Date| (found.from..=found.to).contains(*date);
            let days = frame.days.iter().filter(within);
            // The first of equal days.
            let best = days.max_by_key(|date| (sources(date), std::cmp::Reverse(**date)));
            if let Some(date) = best {
                peaks.push((std::cmp::Reverse(sources(date)), found.from, port, *date));
            }
        }
        peaks.sort();
        peaks.dedup_by(|a, b| (a.2, a.3) == (b.2, b.3));
        let first = peaks.into_iter().take(PEAKS);
        let peak = |(_, _, port, date): (_, _, &Port, Date)| Peak {
            date,
            ports: vec![port.clone()],
        };
        first.map(peak).collect()
    }

    /// The section.
    pub fn section(&self) -> Section {
        let mut section = table_builder::section("c2");
        if self.unjudged > 0 {
            let days = value(Kind::Count, int(self.unjudged as i64));
            section
                .notes
                .push(note("no-baseline", true, vec![("days", days)]));
        }
        let mut table = table_builder::table("c2-events", "", Population::All).columns(&[
            ("from", Kind::Date),
            ("to", Kind::Date),
            ("port", Kind::Port),
            ("measure", Kind::Word),
            ("kind", Kind::Word),
            ("peak", Kind::Date),
            ("value", Kind::Count),
            ("usual", Kind::Number),
            ("band", Kind::Number),
            ("ratio", Kind::Number),
            ("rule", Kind::Text),
        ]);
        let missing =
            |value: &Option<String>| value.as_ref().map_or(table_builder::maybe_int(None), text);
        for found in &self.found {
            let measure = match found.measure {
                Measure::Packets => "packets",
                Measure::Sources => "sources",
                Measure::Answers => "answers",
            };
            table.rows.push(vec![
                table_builder::date(found.from),
                table_builder::date(found.to),
                missing(&found.port),
                text(measure),
                text(found.kind),
                table_builder::date(found.peak),
                int(found.value),
                number(Some(found.usual)),
                number(Some(found.band)),
                number(Some(found.ratio())),
                missing(&found.rule),
            ]);
        }
        section.tables.push(table);
        section
    }
}

/// Events of one series that reach into the period; `packets` tells whether a port is new.
fn of_series(
    frame: &Frame<'_>,
    name: &str,
    measure: Measure,
    get: impl Fn(Date) -> i64,
    packets: Option<&dyn Fn(Date) -> i64>,
) -> Vec<Found> {
    let (days, points) = points(frame, get);
    let in_period = |event: &&Event| event.days.iter().any(|at| frame.period.has(days[*at]));
    let judged = judge(&points);
    (judged.events.iter().filter(in_period))
        .map(|event| {
            let is_new = packets.is_some_and(|packets| {
                let seen = event
                    .baseline
                    .iter()
                    .filter(|at| packets(days[**at]) > SEEN);
                seen.count() < SEEN_DAYS
            });
            Found {
                from: days[event.days[0]],
                to: days[event.days[event.days.len() - 1]],
                port: Some(name.to_owned()),
                measure,
                kind: match event.direction {
                    Direction::Fall => "fall",
                    Direction::Rise if is_new => "new-port",
                    Direction::Rise => "rise",
                },
                peak: days[event.peak],
                value: points[event.peak].value,
                usual: event.usual,
                band: event.limit,
                rule: None,
            }
        })
        .collect()
}

/// Events of one port and direction whose days overlap become one.
fn joined(mut all: Vec<Found>) -> Vec<Found> {
    all.sort_by(|a, b| {
        let key = |found: &Found| (found.port.clone(), found.falls(), found.from, found.measure);
        key(a).cmp(&key(b))
    });
    let mut list: Vec<Found> = Vec::new();
    for found in all {
        match list.last_mut() {
            Some(last)
                if last.port == found.port
                    && last.falls() == found.falls()
                    && found.from <= last.to =>
            {
                let (from, to) = (last.from.min(found.from), last.to.max(found.to));
                let is_new = [last.kind, found.kind].contains(&"new-port");
                if found.outdoes(last) {
                    *last = found;
                }
                (last.from, last.to) = (from, to);
                if is_new {
                    last.kind = "new-port";
                }
            }
            _ => list.push(found),
        }
    }
    list
}

/// The first day of a rule that had no sources in the weeks before.
fn new_rule(frame: &Frame<'_>, rule: &str, confirmed: &Confirmed) -> Option<Found> {
    let (days, points) = points(frame, |date| confirmed.sources(date, rule));
    let (at, usual) = baseline::first_above(&points, number_of(frame.period.from), NEW_RULE)?;
    Some(Found {
        from: days[at],
        to: days[at],
        port: None,
        measure: Measure::Sources,
        kind: "new-fingerprint",
        peak: days[at],
        value: points[at].value,
        usual,
        band: NEW_RULE as f64,
        rule: Some(rule.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(port: &str, measure: Measure, kind: &'static str, days: [i8; 2], value: i64) -> Found {
        let day = |day: i8| jiff::civil::date(2016, 9, day);
        Found {
            from: day(days[0]),
            to: day(days[1]),
            port: Some(port.to_owned()),
            measure,
            kind,
            peak: day(days[0]),
            value,
            usual: 100.0,
            band: 200.0,
            rule: None,
        }
    }

    #[test]
    fn what_overlaps_is_one_event_with_the_greater_figures() {
        use Measure::{Packets, Sources};
        let list = joined(vec![
            found("23/tcp", Packets, "rise", [3, 9], 500),
            found("23/tcp", Sources, "new-port", [1, 4], 900),
            found("23/tcp", Packets, "fall", [4, 5], 10),
            found("23/tcp", Sources, "rise", [20, 21], 300),
            found("22/tcp", Packets, "rise", [3, 9], 500),
            found("22/tcp", Sources, "rise", [9, 12], 500),
        ]);
        let told: Vec<_> = (list.iter())
            .map(|row| {
                let port = row.port.clone().unwrap_or_default();
                (
                    port,
                    row.kind,
                    row.measure,
                    row.from.day(),
                    row.to.day(),
                    row.value,
                )
            })
            .collect();
        let row = |port: &str, kind, measure, from, to, value| {
            (port.to_owned(), kind, measure, from, to, value)
        };
        assert_eq!(
            told,
            [
                row("22/tcp", "rise", Packets, 3, 12, 500),
                row("23/tcp", "new-port", Sources, 1, 9, 900),
                row("23/tcp", "rise", Sources, 20, 21, 300),
                row("23/tcp", "fall", Packets, 4, 5, 10),
            ]
        );
    }

    #[test]
    fn of_two_falls_the_deeper_is_told() {
        use Measure::{Packets, Sources};
        let list = joined(vec![
            found("all", Packets, "fall", [3, 9], 50),
            found("all", Sources, "fall", [3, 9], 20),
        ]);
        assert_eq!((list.len(), list[0].value), (1, 20));
    }
}
