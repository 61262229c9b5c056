//! N1: packets of years, or of the period and the one that it is compared with.

use anyhow::Result;
use jiff::civil::Date;
use noctule_page::model::{Cell, Form, Kind, Section};

use crate::report::cells::{BOTH, int, number, of, share, text};
use crate::report::chosen::{Chosen, Values};
use crate::report::context::Context;
use crate::report::period::{Period, length_ms};
use crate::report::questions;
use crate::report::table_builder::{TableBuilder, section as new_section};

/// Makes the section.
pub fn section(context: &Context<'_>) -> Result<Section> {
    let mut tables = BOTH.map(|population| {
        TableBuilder::new("n1-years", population)
            .columns(&[
                ("period", Kind::Text),
                ("packets", Kind::Count),
                ("addresses", Kind::Number),
                ("packets_per_address", Kind::Number),
                ("address_hours", Kind::Number),
                ("observed_hours", Kind::Number),
                ("complete", Kind::Share),
            ])
            .plot(Form::Bars, "period", &["packets_per_address"])
    });
    for period in periods(context)? {
        let columns = vec![
            ("period", Values::Texts(vec![period.name.clone()])),
            ("period_from", Values::Dates(vec![period.from])),
            ("period_to", Values::Dates(vec![period.to])),
        ];
        let chosen = [Chosen::new("chosen_periods", columns)];
        let database = &context.database;
        let rows = database.execute(&questions::PERIODS, period.span(), &chosen)?;
        let mut length = 0;
        for date in period.days() {
            length += length_ms(database.zone(), date)?;
        }
        for row in rows.iter() {
            for (table, population) in tables.iter_mut().zip(BOTH) {
                table.row(vec![
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
    let mut section = new_section();
    section.tables.extend(tables.map(TableBuilder::build));
    Ok(section)
}

/// All years of the store up to the period, if it is a year.
fn periods(context: &Context<'_>) -> Result<Vec<Period>> {
    let period = context.period();
    let mut periods = Vec::new();
    if period.is_year() {
        let first = context.database.first_day();
        let first = first.map_or(period.from.year(), Date::year);
        for year in first.min(period.from.year())..period.from.year() {
            periods.push(Period::parse(&format!("{year:04}"))?);
        }
    } else {
        periods.push(context.compare.clone());
    }
    periods.push(period.clone());
    Ok(periods)
}
