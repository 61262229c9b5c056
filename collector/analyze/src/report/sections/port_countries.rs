//! T5: packets by day on some ports, by country.

use std::collections::BTreeMap;

use anyhow::Result;
use noctule_page::model::{Form, Kind, Population, Section};

use crate::report::by_day::ByDay;
use crate::report::cells::{BOTH, of, text};
use crate::report::chosen::{Chosen, Values, port_columns, port_of};
use crate::report::context::Context;
use crate::report::questions;
use crate::report::ranks::{self, FIRST, Ranked};
use crate::report::rows::Rows;
use crate::report::table_builder::{TableBuilder, section as new_section, warning};
use crate::selectors::{Port, unique};

/// Makes the section.
pub fn section(context: &Context<'_>) -> Result<Section> {
    let ports: Vec<Port> = match context.args.region_port.is_empty() {
        true => (ranks::first(&context.ranks.ports, Population::All, 1).iter())
            .map(|ranked| ranked.item.clone())
            .collect(),
        false => unique(&context.args.region_port),
    };
    let ranked = ranked(context, &ports)?;
    let mut section = new_section();
    if ranked.is_empty() {
        section.notes.push(warning("no-countries", []));
    }
    let rows = packets(context, &ports, &ranked)?;
    for port in &ports {
        for population in BOTH {
            let ranked = ranked.get(port).map_or(&[][..], Vec::as_slice);
            let mut names: Vec<String> = (ranks::first(ranked, population, FIRST).iter())
                .map(|ranked| ranked.item.clone())
                .collect();
            let packets = by_country(&rows, port, population, &names)?;
            names.push("rest".to_owned());
            let table = TableBuilder::new("t5-days", population)
                .suffix(&port.slug())
                .arg("port", Kind::Port, text(port.to_string()))
                .by_day(Kind::Country, &names, &context.days, &packets)
                .plot(Form::Stacked, "date", &names);
            section.tables.push(table.build());
        }
    }
    Ok(section)
}

/// Countries of ports by packets.
fn ranked(context: &Context<'_>, ports: &[Port]) -> Result<BTreeMap<Port, Vec<Ranked<String>>>> {
    let question = &questions::PORT_COUNTRIES;
    let chosen = [Chosen::ports(ports)];
    let rows = (context.database).execute(question, context.span(), &chosen)?;
    let mut ranked: BTreeMap<Port, Vec<Ranked<String>>> = BTreeMap::new();
    for row in rows.iter() {
        let country = row.text("country")?.to_owned();
        let of_port = ranked.entry(port_of(row)?).or_default();
        of_port.push(Ranked::of(row, country)?);
    }
    Ok(ranked)
}

/// Packets by day of these ports and countries, and of all countries together.
fn packets(
    context: &Context<'_>,
    ports: &[Port],
    ranked: &BTreeMap<Port, Vec<Ranked<String>>>,
) -> Result<Rows> {
    let pairs = ranked.iter().flat_map(|(port, ranked)| {
        let countries = ranked.iter().map(|ranked| ranked.item.clone());
        countries.map(move |country| (port, country))
    });
    let mut columns = port_columns(pairs.clone().map(|(port, _)| port));
    let countries = pairs.map(|(_, country)| country).collect();
    columns.push(("country", Values::Texts(countries)));
    let countries = Chosen::new("chosen_port_countries", columns);
    let chosen = [Chosen::ports(ports), countries];
    let question = &questions::PORT_COUNTRY_DAYS;
    (context.database).execute_by_days(question, context.span(), &chosen)
}

/// Packets of a port from these countries, and `rest` from all others.
fn by_country(
    rows: &Rows,
    port: &Port,
    population: Population,
    countries: &[String],
) -> Result<ByDay> {
    let rest = of(population, "rest");
    let mut by_day = ByDay::default();
    for row in rows.iter() {
        if port_of(row)? != *port {
            continue;
        }
        let date = row.date("date")?;
        let packets = row.int(&of(population, "packets"))?;
        match row.maybe_text("country")? {
            None => by_day.add(date, &rest, packets),
            Some(country) if countries.iter().any(|name| name == country) => {
                by_day.add(date, &of(population, country), packets);
                by_day.add(date, &rest, -packets);
            }
            Some(_) => {}
        }
    }
    Ok(by_day)
}
