//! Events: days and ports that left their baseline, new ports and new fingerprints.

use std::cmp::Ordering;

use jiff::civil::Date;
use noctule_page::model::Population;

use super::baseline::{self, Direction, Event, evaluate};
use super::cells::of;
use super::rows::number_of;
use super::series::Series;
use crate::selectors::{Peak, Port};

/// A port was seen on a day if it had more packets than these.
const SEEN: i64 = 10;
/// A port that was seen on fewer days of the baseline is new.
const SEEN_DAYS: usize = 7;
/// Confirmed sources that make a fingerprint new.
const NEW_RULE: i64 = 5;
/// Peaks that are shown if the command line names none.
const PEAKS: usize = 2;
/// Population whose packets and sources are compared by port: a research scanner on a hundred ports
/// is one scanner, not a hundred events.
const COMPARED: Population = Population::WithoutResearch;
/// Name of the series of all packets, or of all TCP sources.
const ALL: &str = "all";

/// The figure of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Packets.
    Packets,
    /// Distinct sources.
    Sources,
    /// Packets from a source port.
    Answers,
}

/// An event of one or more days.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// First day.
    pub from: Date,
    /// Last day.
    pub to: Date,
    /// The port, or `all`; `None` for a fingerprint.
    pub port: Option<String>,
    /// Its figure.
    pub measure: Measure,
    /// `rise`, `fall`, `new-port` or `new-fingerprint`.
    pub kind: &'static str,
    /// The day furthest from the baseline.
    pub peak: Date,
    /// The figure on that day.
    pub value: i64,
    /// The baseline's median before that day.
    pub usual: f64,
    /// The baseline's limit on that day.
    pub limit: f64,
    /// The fingerprint.
    pub rule: Option<String>,
}

impl Finding {
    /// How many times the usual figure it is.
    pub fn ratio(&self) -> f64 {
        self.value as f64 / self.usual.max(1.0)
    }

    fn falls(&self) -> bool {
        self.kind == "fall"
    }

    /// True if its figures are printed rather than those of the other, which it overlaps.
    fn outdoes(&self, other: &Self) -> bool {
        let order = match self.falls() {
            false => self.ratio().total_cmp(&other.ratio()),
            true => other.ratio().total_cmp(&self.ratio()),
        };
        order == Ordering::Greater || order == Ordering::Equal && self.measure < other.measure
    }
}

/// The events of a period.
pub struct Events {
    /// In order of their first day.
    pub found: Vec<Finding>,
    /// Days of the period that have too short a baseline.
    pub without_baseline: usize,
}

impl Events {
    /// Compares every series with its baseline.
    pub fn find(series: &Series) -> Self {
        let mut found = Vec::new();
        let whole = |date| series.packets.get(date, "total");
        found.extend(of_series(series, ALL, Measure::Packets, whole, None));
        let sources = |date| series.tcp_sources.get(date, "sources");
        found.extend(of_series(series, ALL, Measure::Sources, sources, None));
        for port in &series.candidates {
            let name = port.to_string();
            let column = of(COMPARED, &name);
            let packets = |date| series.port_packets.get(date, &column);
            let sources = |date| series.port_sources.get(date, &column);
            let by: Option<&dyn Fn(Date) -> i64> = Some(&packets);
            found.extend(of_series(series, &name, Measure::Packets, packets, by));
            found.extend(of_series(series, &name, Measure::Sources, sources, by));
        }
        let mut found = joined(found);
        for port in &series.answer_ports {
            let name = port.to_string();
            let answers = |date| series.answers.get(date, &name);
            found.extend(of_series(series, &name, Measure::Answers, answers, None));
        }
        for rule in series.confirmed.rules() {
            found.extend(new_rule(series, rule));
        }
        found.sort_by(|a, b| {
            let key = |found: &Finding| {
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
        let (days, points) = series.points(whole);
        let short = evaluate(&points).without_baseline.into_iter();
        let without_baseline = short.filter(|at| series.period.has(days[*at])).count();
        Self {
            found,
            without_baseline,
        }
    }

    /// The days on which the ports of the largest events had most sources.
    pub fn peaks(&self, series: &Series) -> Vec<Peak> {
        let mut peaks = Vec::new();
        for found in &self.found {
            let name = found.port.as_deref().unwrap_or(ALL);
            let port = series
                .candidates
                .iter()
                .find(|port| port.to_string() == name);
            let is_no_peak = found.falls() || found.measure == Measure::Answers;
            let (Some(port), false) = (port, is_no_peak) else {
                continue;
            };
            let sources_of = of(COMPARED, name);
            let sources = |date: &Date| series.port_sources.get(*date, &sources_of);
            let within = |date: &&Date| (found.from..=found.to).contains(*date);
            let days = series.period.days();
            let days = days.iter().filter(within);
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
}

/// Events of one series that reach into the period. `packets` is the series that says whether a port
/// is new.
fn of_series(
    series: &Series,
    name: &str,
    measure: Measure,
    get: impl Fn(Date) -> i64,
    packets: Option<&dyn Fn(Date) -> i64>,
) -> Vec<Finding> {
    let (days, points) = series.points(get);
    let in_period = |event: &&Event| event.days.iter().any(|at| series.period.has(days[*at]));
    let evaluated = evaluate(&points);
    (evaluated.events.iter().filter(in_period))
        .map(|event| {
            let is_new = packets.is_some_and(|packets| {
                let seen = event
                    .baseline
                    .iter()
                    .filter(|at| packets(days[**at]) > SEEN);
                seen.count() < SEEN_DAYS
            });
            Finding {
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
                limit: event.limit,
                rule: None,
            }
        })
        .collect()
}

/// Events of one port and direction whose days overlap become one.
fn joined(mut all: Vec<Finding>) -> Vec<Finding> {
    all.sort_by(|a, b| {
        let key = |found: &Finding| (found.port.clone(), found.falls(), found.from, found.measure);
        key(a).cmp(&key(b))
    });
    let mut list: Vec<Finding> = Vec::new();
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
fn new_rule(series: &Series, rule: &str) -> Option<Finding> {
    let (days, points) = series.points(|date| series.confirmed.sources(date, rule));
    let (at, usual) = baseline::first_above(&points, number_of(series.period.from), NEW_RULE)?;
    Some(Finding {
        from: days[at],
        to: days[at],
        port: None,
        measure: Measure::Sources,
        kind: "new-fingerprint",
        peak: days[at],
        value: points[at].value,
        usual,
        limit: NEW_RULE as f64,
        rule: Some(rule.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(
        port: &str,
        measure: Measure,
        kind: &'static str,
        days: [i8; 2],
        value: i64,
    ) -> Finding {
        let day = |day: i8| jiff::civil::date(2016, 9, day);
        Finding {
            from: day(days[0]),
            to: day(days[1]),
            port: Some(port.to_owned()),
            measure,
            kind,
            peak: day(days[0]),
            value,
            usual: 100.0,
            limit: 200.0,
            rule: None,
        }
    }

    #[test]
    fn overlapping_events_become_one_with_the_greater_figures() {
        use Measure::{Packets, Sources};
        let list = joined(vec![
            found("23/tcp", Packets, "rise", [3, 9], 500),
            found("23/tcp", Sources, "new-port", [1, 4], 900),
            found("23/tcp", Packets, "fall", [4, 5], 10),
            found("23/tcp", Sources, "rise", [20, 21], 300),
            found("22/tcp", Packets, "rise", [3, 9], 500),
            found("22/tcp", Sources, "rise", [9, 12], 500),
        ]);
        let rows: Vec<_> = (list.iter())
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
            rows,
            [
                row("22/tcp", "rise", Packets, 3, 12, 500),
                row("23/tcp", "new-port", Sources, 1, 9, 900),
                row("23/tcp", "rise", Sources, 20, 21, 300),
                row("23/tcp", "fall", Packets, 4, 5, 10),
            ]
        );
    }

    #[test]
    fn of_two_falls_the_deeper_is_kept() {
        use Measure::{Packets, Sources};
        let list = joined(vec![
            found("all", Packets, "fall", [3, 9], 50),
            found("all", Sources, "fall", [3, 9], 20),
        ]);
        assert_eq!((list.len(), list[0].value), (1, 20));
    }
}
