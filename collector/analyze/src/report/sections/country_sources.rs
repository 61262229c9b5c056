//! N7: distinct sources by day from one country on one port.

use std::collections::BTreeMap;

use anyhow::Result;
use noctule_page::model::{Form, Kind, Population, Section};

use crate::report::by_day::ByDay;
use crate::report::cells::{BOTH, of, text};
use crate::report::chosen::{Chosen, Values, port_columns, port_of};
use crate::report::context::Context;
use crate::report::questions;
use crate::report::table_builder::{TableBuilder, remark, section as new_section};
use crate::selectors::{CountryPort, Port, unique};

/// Makes the section.
pub fn section(context: &Context<'_>) -> Result<Section> {
    let mut section = new_section();
    let pairs = pairs(context);
    if pairs.is_empty() {
        section.notes.push(remark("peaks-not-found"));
        return Ok(section);
    }
    let mut columns = port_columns(pairs.iter().map(|pair| &pair.port));
    let countries = pairs.iter().map(|pair| pair.country.clone()).collect();
    columns.push(("country", Values::Texts(countries)));
    let chosen = [Chosen::new("chosen_country_ports", columns)];
    let question = &questions::COUNTRY_PORT_SOURCES;
    let rows = (context.database).execute_by_days(question, context.span(), &chosen)?;
    let mut by_pair: BTreeMap<(String, Port), ByDay> = BTreeMap::new();
    for row in rows.iter() {
        let key = (row.text("country")?.to_owned(), port_of(row)?);
        let sources = by_pair.entry(key).or_default();
        for population in BOTH {
            let column = of(population, "sources");
            sources.add(row.date("date")?, &column, row.int(&column)?);
        }
    }
    for CountryPort { country, port } in pairs {
        let code = match country.as_str() {
            "??" => "unknown".to_owned(),
            code => code.to_ascii_lowercase(),
        };
        let suffix = format!("{code}-{}", port.slug());
        let sources = by_pair.entry((country.clone(), port.clone())).or_default();
        for population in BOTH {
            let table = TableBuilder::new("n7-days", population)
                .suffix(&suffix)
                .arg("country", Kind::Country, text(&country))
                .arg("port", Kind::Port, text(port.to_string()))
                .columns(&[("date", Kind::Date), ("sources", Kind::Count)])
                .plot(Form::Lines, "date", &["sources"])
                .rows(sources.rows(&context.days, population, &["sources"]));
            section.tables.push(table.build());
        }
    }
    Ok(section)
}

/// The pairs of the command line, or the first country of every peak with its first port.
fn pairs(context: &Context<'_>) -> Vec<CountryPort> {
    if !context.args.country_port.is_empty() {
        return unique(&context.args.country_port);
    }
    let first = context.peaks.iter().filter_map(|peak| {
        Some(CountryPort {
            country: peak.first_country(Population::All)?.to_owned(),
            port: peak.peak.ports.first()?.clone(),
        })
    });
    unique(&first.collect::<Vec<_>>())
}
