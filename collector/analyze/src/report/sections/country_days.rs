//! T4: packets by day from the first countries.

use anyhow::Result;
use noctule_page::model::{Form, Kind, Population, Section};

use crate::report::by_day::ByDay;
use crate::report::cells::{BOTH, of};
use crate::report::chosen::{Chosen, Values};
use crate::report::context::Context;
use crate::report::questions;
use crate::report::ranks::{self, FIRST};
use crate::report::table_builder::{TableBuilder, section as new_section, warning};
use crate::selectors::unique;

/// Makes the section.
pub fn section(context: &Context<'_>) -> Result<Section> {
    let ranked = &context.ranks.countries;
    let first = |population: Population| -> Vec<String> {
        let first = ranks::first(ranked, population, FIRST);
        first.iter().map(|ranked| ranked.item.clone()).collect()
    };
    let countries = Values::Texts(unique(&BOTH.map(first).concat()));
    let chosen = [Chosen::new(
        "chosen_countries",
        vec![("country", countries)],
    )];
    let question = &questions::COUNTRY_DAYS;
    let rows = (context.database).execute_by_days(question, context.span(), &chosen)?;
    let mut by_day = ByDay::default();
    for row in rows.iter() {
        for population in BOTH {
            let packets = row.int(&of(population, "packets"))?;
            let column = of(population, row.text("country")?);
            by_day.add(row.date("date")?, &column, packets);
        }
    }
    let mut section = new_section();
    if ranked.is_empty() {
        section.notes.push(warning("no-countries", []));
    }
    for population in BOTH {
        let names = first(population);
        let table = TableBuilder::new("t4-days", population)
            .by_day(Kind::Country, &names, &context.days, &by_day)
            .plot(Form::Lines, "date", &names);
        section.tables.push(table.build());
    }
    Ok(section)
}
