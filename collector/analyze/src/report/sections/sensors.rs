//! T8: packets by sensor and day, month by month, and the first ports of every sensor.

use anyhow::Result;
use noctule_page::model::{Form, Kind, Section};

use super::port_table::{port_row, port_table};
use crate::report::cells::{BOTH, int, number, of, text};
use crate::report::chosen::{Chosen, Values, port_of};
use crate::report::context::Context;
use crate::report::questions;
use crate::report::ranks::{self, Ranked};
use crate::report::table_builder::{TableBuilder, section as new_section};
use crate::selectors::slug;

/// Ports in the table of a sensor.
const FIRST: i64 = 10;

/// Makes the section.
pub fn section(context: &Context<'_>) -> Result<Section> {
    let mut section = new_section();
    add_months(context, &mut section)?;
    add_ports(context, &mut section)?;
    Ok(section)
}

/// Adds the packets by sensor and day, month by month.
fn add_months(context: &Context<'_>, section: &mut Section) -> Result<()> {
    const MEAN: &str = "packets_per_sensor_day";
    let months = context.days.iter();
    let months = months.map(|date| date.strftime("%Y-%m").to_string());
    let columns = vec![
        ("date", Values::Dates(context.days.clone())),
        ("month", Values::Texts(months.collect())),
    ];
    let chosen = [Chosen::new("chosen_days", columns)];
    let rows = (context.database).execute(&questions::MONTHS, context.span(), &chosen)?;
    for population in BOTH {
        let mut table = TableBuilder::new("t8-months", population)
            .columns(&[
                ("month", Kind::Month),
                (MEAN, Kind::Number),
                ("days", Kind::Count),
                ("packets", Kind::Count),
            ])
            .plot(Form::Bars, "month", &[MEAN]);
        for row in rows.iter() {
            table.row(vec![
                text(row.text("month")?),
                number(row.float(&of(population, MEAN))?),
                int(row.int("days")?),
                int(row.int(&of(population, "packets"))?),
            ]);
        }
        section.tables.push(table.build());
    }
    Ok(())
}

/// Adds the first ports of every sensor.
fn add_ports(context: &Context<'_>, section: &mut Section) -> Result<()> {
    let rows = (context.database).execute(&questions::SENSOR_PORTS, context.span(), &[])?;
    for sensor in context.database.sensors() {
        for population in BOTH {
            let mut ranked = Vec::new();
            let mut whole = 0;
            for row in rows.iter() {
                if row.text("sensor")? == sensor {
                    ranked.push(Ranked::of(row, port_of(row)?)?);
                    whole = row.int(&of(population, "whole"))?;
                }
            }
            let first = ranks::first(&ranked, population, FIRST);
            let rows = first.into_iter();
            let table = port_table("t8-sensor", population, &[])
                .suffix(&slug(sensor))
                .arg("sensor", Kind::Text, text(sensor))
                .rows(rows.map(|ranked| port_row(ranked, population, whole)));
            section.tables.push(table.build());
        }
    }
    Ok(())
}
