//! N1, N2 and N4: packets by year, day and destination port.

use anyhow::Result;
use jiff::civil::Date;
use noctule_page::model::{Cell, Form, Kind, Population, Section, Table};

use super::Frame;
use super::context::{Context, Values};
use super::period::{self, Period};
use super::questions;
use super::ranks::{self, Parts, Ranked};
use super::table_builder::{self, BOTH, Build as _, Days, int, number, of, share, text};
use crate::selectors::Port;

/// Kinds of protocol that a day's packets are told apart by.
const KINDS: [&str; 4] = ["tcp", "udp", "icmp", "other"];

/// Packets of every day from the baseline's first on, by kind of protocol; columns as in SQL.
///
/// # Errors
/// A store that cannot be reached.
pub fn by_day(context: &mut Context<'_>, from: Date, to: Date) -> Result<Days> {
    let mut days = Days::default();
    for row in context.execute_by_days(&questions::DAYS, from, to)?.iter() {
        let date = row.date("date")?;
        for population in BOTH {
            for kind in KINDS.into_iter().chain(["total"]) {
                let column = of(population, kind);
                days.put(date, &column, row.int(&column)?);
            }
        }
    }
    Ok(days)
}

/// N1: packets of years, or of the period and the one that it is compared with.
///
/// # Errors
/// A store that cannot be reached.
pub fn years(context: &mut Context<'_>, frame: &Frame<'_>) -> Result<Section> {
    let Frame {
        period, compare, ..
    } = frame;
    let mut periods = Vec::new();
    if period.is_year() {
        let first = context.first_day().map_or(period.from.year(), Date::year);
        for year in first.min(period.from.year())..period.from.year() {
            periods.push(Period::parse(&format!("{year:04}"))?);
        }
    } else {
        periods.push(compare.clone());
    }
    periods.push(period.clone());
    let mut tables = BOTH.map(|population| {
        table_builder::table("n1-years", "", population)
            .columns(&[
                ("period", Kind::Text),
                ("packets", Kind::Count),
                ("addresses", Kind::Number),
                ("packets_per_address", Kind::Number),
                ("address_hours", Kind::Number),
                ("observed_hours", Kind::Number),
                ("complete", Kind::Share),
            ])
            .plot(
                Form::Bars,
                "period",
                vec!["packets_per_address".to_owned()],
                false,
            )
    });
    for period in &periods {
        context.choose_table(
            "chosen_periods",
            vec![
                ("period", Values::Texts(vec![period.name.clone()])),
                ("period_from", Values::Dates(vec![period.from])),
                ("period_to", Values::Dates(vec![period.to])),
            ],
        )?;
        let mut length = 0;
        for date in period.days() {
            length += period::length_ms(&context.zone, date)?;
        }
        for row in context
            .execute(&questions::PERIODS, period.from, period.to)?
            .iter()
        {
            for (table, population) in tables.iter_mut().zip(BOTH) {
                table.rows.push(vec![
                    text(&period.name),
                    int(row.int(&of(population, "packets"))?),
                    number(row.float("addresses")?),
                    number(row.float(&of(population, "packets_per_address"))?),
                    Cell::Float(row.float("address_hours")?.unwrap_or(0.0)),
                    Cell::Float(row.float("observed_hours")?.unwrap_or(0.0)),
                    share(
                        row.int("observed_ms")?,
                        row.int("sensors")?.saturating_mul(length),
                    ),
                ]);
            }
        }
    }
    let mut section = table_builder::section("n1");
    section.tables.extend(tables);
    Ok(section)
}

/// N2: packets by day.
pub fn days(frame: &Frame<'_>) -> Section {
    let mut section = table_builder::section("n2");
    for population in BOTH {
        let plotted = KINDS.map(str::to_owned).to_vec();
        let mut table = table_builder::table("n2-days", "", population)
            .columns(&[("date", Kind::Date)])
            .columns(&KINDS.map(|kind| (kind, Kind::Count)))
            .columns(&[("total", Kind::Count)])
            .plot(Form::Stacked, "date", plotted, false);
        let columns = KINDS
            .iter()
            .chain(&["total"])
            .map(|kind| of(population, kind));
        table.rows = frame
            .packets
            .rows(&frame.days, &columns.collect::<Vec<_>>());
        section.tables.push(table);
    }
    section
}

/// N4: packets by destination port.
pub fn ports(ranked: &[Ranked<Port>], parts: &Parts) -> Section {
    let mut section = table_builder::section("n4");
    for population in BOTH {
        let mut table = port_table("n4-ports", "", population, &[]).plot(
            Form::Bars,
            "port",
            vec!["share".to_owned()],
            false,
        );
        let whole = parts.whole(population);
        let first = ranks::first(ranked, population, 10);
        for ranked in &first {
            table.rows.push(port_row(ranked, population, whole));
        }
        let shown: i64 = first.iter().map(|ranked| ranked.packets(population)).sum();
        for (name, packets) in [
            ("rest", parts.ports(population) - shown),
            ("backscatter", parts.backscatter(population)),
            ("no-port", parts.no_port(population)),
        ] {
            let row = vec![
                Cell::Missing,
                text(name),
                int(packets),
                share(packets, whole),
            ];
            table.rows.push(row);
        }
        section.tables.push(table);
    }
    section
}

/// A table of ports by packets.
pub fn port_table(
    kind: &str,
    subject: &str,
    population: Population,
    more: &[(&str, Kind)],
) -> Table {
    table_builder::table(kind, subject, population)
        .columns(&[
            ("rank", Kind::Rank),
            ("port", Kind::Port),
            ("packets", Kind::Count),
            ("share", Kind::Share),
        ])
        .columns(more)
}

/// A row of such a table.
pub fn port_row(ranked: &Ranked<Port>, population: Population, whole: i64) -> Vec<Cell> {
    let packets = ranked.packets(population);
    vec![
        int(ranked.place(population)),
        table_builder::port(&ranked.item),
        int(packets),
        share(packets, whole),
    ]
}
