//! Figures day by day, from the baseline's first day to the period's last.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::civil::Date;

use super::baseline::Point;
use super::by_day::ByDay;
use super::chosen::{Chosen, port_of};
use super::completeness::Completeness;
use super::database::Database;
use super::period::{Period, Span};
use super::questions;
use super::rows::{Rows, number_of};
use crate::selectors::Port;

/// Kinds of protocol that a day's packets are split by.
pub const KINDS: [&str; 4] = ["tcp", "udp", "icmp", "other"];

/// Figures of every day.
pub struct Series {
    /// The period that is reported on.
    pub period: Period,
    /// First day of the baseline of the period's first day.
    pub baseline_from: Date,
    /// Accounts of the days.
    pub completeness: Completeness,
    /// Packets by kind of protocol ([`KINDS`]), and `total`.
    pub packets: ByDay,
    /// Distinct TCP sources, as `sources`.
    pub tcp_sources: ByDay,
    /// Ports that events are looked for on.
    pub candidates: Vec<Port>,
    /// Packets by port, of all candidates and of the first ports of the period.
    pub port_packets: ByDay,
    /// Distinct sources by port, of all candidates and of the ports that are shown.
    pub port_sources: ByDay,
    /// Source ports whose answers are shown.
    pub answer_ports: Vec<Port>,
    /// Packets of answers by source port.
    pub answers: ByDay,
    /// Confirmed sources by rule.
    pub confirmed: ConfirmedDays,
}

impl Series {
    /// The days from the baseline's first to the period's last.
    pub const fn span(&self) -> Span {
        Span::new(self.baseline_from, self.period.to)
    }

    /// The points of a series on the days that can be compared, with these days.
    pub fn points(&self, get: impl Fn(Date) -> i64) -> (Vec<Date>, Vec<Point>) {
        let days: Vec<Date> = (self.span().days())
            .filter(|date| self.completeness.is_comparable(*date))
            .collect();
        let point = |date: &Date| Point {
            day: number_of(*date),
            value: get(*date),
        };
        let points = days.iter().map(point).collect();
        (days, points)
    }
}

/// Destination ports with many packets on a day that can be compared, ordered by the packets of
/// their largest day.
///
/// # Errors
/// As [`Database::execute`].
pub fn candidates(
    database: &Database<'_>,
    period: &Period,
    completeness: &Completeness,
) -> Result<Vec<Port>> {
    /// Ports that events are looked for on.
    const CANDIDATES: usize = 60;
    let mut best: BTreeMap<Port, i64> = BTreeMap::new();
    let rows = database.execute_by_days(&questions::BUSY_PORTS, period.span(), &[])?;
    for row in rows.iter() {
        if completeness.is_comparable(row.date("date")?) {
            let packets = best.entry(port_of(row)?).or_default();
            *packets = row.int("packets")?.max(*packets);
        }
    }
    let mut best: Vec<(Port, i64)> = best.into_iter().collect();
    best.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let first = best.into_iter().take(CANDIDATES);
    Ok(first.map(|(port, _)| port).collect())
}

/// Packets of answers from source ports.
///
/// # Errors
/// As [`Database::execute`].
pub fn answers(database: &Database<'_>, span: Span, ports: &[Port]) -> Result<ByDay> {
    let chosen = [Chosen::ports(ports)];
    let rows = database.execute_by_days(&questions::ANSWER_DAYS, span, &chosen)?;
    let mut answers = ByDay::default();
    for row in rows.iter() {
        let port = port_of(row)?.to_string();
        answers.add(row.date("date")?, &port, row.int("packets")?);
    }
    Ok(answers)
}

/// Confirmed sources and their hits, by day and rule.
#[derive(Debug, Default)]
pub struct ConfirmedDays {
    by_rule: BTreeMap<String, BTreeMap<Date, (i64, i64)>>,
}

impl ConfirmedDays {
    /// Adds the rows of a question about confirmed sources by day and rule.
    ///
    /// # Errors
    /// If the answer lacks a column.
    pub fn add(&mut self, rows: &Rows) -> Result<()> {
        for row in rows.iter() {
            let days = self.by_rule.entry(row.text("rule")?.to_owned());
            let counts = (row.int("sources")?, row.int("hits")?);
            days.or_default().insert(row.date("date")?, counts);
        }
        Ok(())
    }

    /// Rules that were confirmed for any source.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.by_rule.keys().map(String::as_str)
    }

    /// Confirmed sources of a rule on a day.
    pub fn sources(&self, date: Date, rule: &str) -> i64 {
        let days = self.by_rule.get(rule);
        days.and_then(|days| days.get(&date))
            .map_or(0, |counts| counts.0)
    }

    /// Day, confirmed sources and hits of a rule, of the days of a span.
    pub fn of_rule(&self, rule: &str, span: Span) -> Vec<(Date, i64, i64)> {
        let days = self.by_rule.get(rule).into_iter().flatten();
        days.filter(|(date, _)| span.has(**date))
            .map(|(date, (sources, hits))| (*date, *sources, *hits))
            .collect()
    }

    /// The first day of a rule.
    pub fn first_day(&self, rule: &str) -> Option<Date> {
        let (date, _) = self.by_rule.get(rule)?.first_key_value()?;
        Some(*date)
    }
}

/// The rules whose values flow rows carry on some day of a span.
pub fn carried_rules(completeness: &Completeness, span: Span) -> BTreeSet<String> {
    let accounts = span.days().flat_map(|date| completeness.of_day(date));
    let names =
        accounts.flat_map(|account| account.constants.iter().flat_map(|names| names.split(',')));
    let rules = names.map(|name| name.rsplit_once('/').map_or(name, |(rule, _)| rule));
    rules
        .filter(|rule| !rule.is_empty())
        .map(str::to_owned)
        .collect()
}
