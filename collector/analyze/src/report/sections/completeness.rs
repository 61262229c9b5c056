//! C1: what was observed, and what is missing of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::civil::Date;
use noctule_page::model::{Cell, Form, Kind, Population, Section, Table};

use crate::report::cells::{date as date_cell, int, maybe_int, number, share, text};
use crate::report::completeness::{Account, COUNTS, Completeness};
use crate::report::context::Context;
use crate::report::outages;
use crate::report::period::Period;
use crate::report::table_builder::{TableBuilder, section as new_section, warning};

/// Outages that are listed.
const OUTAGES: usize = 20;

/// Makes the section.
pub fn section(context: &Context<'_>) -> Result<Section> {
    let (completeness, period) = (&context.series.completeness, context.period());
    let mut section = new_section();
    section.tables = vec![days(completeness, period), by_sensor(completeness, period)];
    if !context.days.iter().any(|date| completeness.has(*date)) {
        section.notes.push(warning("no-ledger", []));
    }
    for sensor in &context.missing_sensors {
        let args = [
            ("sensor", Kind::Text, text(sensor)),
            ("days", Kind::Count, int(context.days.len() as i64)),
        ];
        section.notes.push(warning("sensor-missing", args));
    }
    let degraded: i64 = (context.days.iter())
        .flat_map(|date| completeness.of_day(*date))
        .map(|account| account.count("degraded"))
        .sum();
    if degraded > 0 {
        let intervals = ("intervals", Kind::Count, int(degraded));
        section.notes.push(warning("degraded", [intervals]));
    }
    let outages = outages::find(&context.database, completeness, period)?;
    for outage in outages.iter().take(OUTAGES) {
        let args = [
            ("from", Kind::Time, text(outage.from.to_string())),
            ("to", Kind::Time, text(outage.to.to_string())),
            ("sensor", Kind::Text, text(&outage.sensor)),
        ];
        section.notes.push(warning("outage", args));
    }
    Ok(section)
}

/// Every sensor's account of every day.
fn days(completeness: &Completeness, period: &Period) -> Table {
    let mut table = TableBuilder::new("c1-days", Population::All).columns(&[
        ("date", Kind::Date),
        ("sensor", Kind::Text),
        ("observed", Kind::Share),
        ("intervals", Kind::Count),
        ("missing", Kind::Count),
    ]);
    table = table.columns(
        &COUNTS[..11]
            .iter()
            .map(|id| (*id, Kind::Count))
            .collect::<Vec<_>>(),
    );
    table = table.columns(&[("addresses", Kind::Number), ("address_hours", Kind::Number)]);
    let intervals: BTreeMap<&String, Option<i64>> = (completeness.sensors().iter())
        .map(|sensor| (sensor, completeness.interval_seconds(period, sensor)))
        .collect();
    for date in period.days() {
        let length = completeness.length_ms(date);
        for (sensor, interval) in &intervals {
            let empty = Account::empty(interval.unwrap_or(0));
            let account = completeness.account(date, sensor).unwrap_or(&empty);
            let missing = (account.interval_seconds > 0).then(|| account.missing_intervals(length));
            let mut row = vec![
                date_cell(date),
                text(*sensor),
                share(account.observed_ms, length),
                int(account.count("intervals")),
                maybe_int(missing),
            ];
            row.extend(COUNTS[..11].iter().map(|name| int(account.count(name))));
            row.push(number(account.addresses));
            row.push(Cell::Float(account.address_hours.unwrap_or(0.0)));
            table.row(row);
        }
    }
    table.build()
}

/// Every sensor's account of the period.
fn by_sensor(completeness: &Completeness, period: &Period) -> Table {
    let mut table = TableBuilder::new("c1-sensors", Population::All)
        .columns(&[
            ("sensor", Kind::Text),
            ("observed", Kind::Share),
            ("observed_hours", Kind::Number),
            ("missing_hours", Kind::Number),
            ("days_incomplete", Kind::Count),
            ("days_degraded", Kind::Count),
            ("dark", Kind::Count),
            ("counted", Kind::Count),
            ("lost", Kind::Count),
            ("addresses", Kind::Number),
            ("address_hours", Kind::Number),
            ("prefix_lists", Kind::Count),
        ])
        .plot(Form::Bars, "sensor", &["observed"]);
    let days = period.days();
    let length: i64 = days.iter().map(|date| completeness.length_ms(*date)).sum();
    for sensor in completeness.sensors() {
        let accounts: Vec<(Date, &Account)> = (days.iter())
            .filter_map(|date| Some((*date, completeness.account(*date, sensor)?)))
            .collect();
        let sum = |count: fn(&Account) -> i64| -> i64 {
            accounts.iter().map(|(_, account)| count(account)).sum()
        };
        let observed = sum(|account| account.observed_ms);
        let address_ms = sum(|account| account.address_ms);
        let whole =
            |(date, account): &&(Date, &Account)| account.is_whole(completeness.length_ms(*date));
        let prefixes: BTreeSet<&String> = (accounts.iter())
            .flat_map(|(_, account)| &account.prefixes)
            .collect();
        let hours = |ms: i64| Cell::Float(ms as f64 / 3_600_000.0);
        table.row(vec![
            text(sensor),
            share(observed, length),
            hours(observed),
            hours((length - observed).max(0)),
            int((days.len() - accounts.iter().filter(whole).count()) as i64),
            int(sum(|account| i64::from(account.count("degraded") > 0))),
            int(sum(|account| account.count("dark"))),
            int(sum(|account| account.count("counted"))),
            int(sum(Account::lost)),
            number((observed > 0).then(|| address_ms as f64 / observed as f64)),
            hours(address_ms),
            int(prefixes.len() as i64),
        ]);
    }
    table.build()
}
