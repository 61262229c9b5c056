//! T1 to T5 and T8: ports and regions beside the period before, as a network of sensors reports them.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::civil::Date;
use noctule_page::model::{Form, Kind, Population, Section};

use super::Frame;
use super::context::{Context, Question, Values};
use super::packets::{port_row, port_table};
use super::questions;
use super::ranks::{self, Parts, Ranked, port_of};
use super::table_builder::{
    self, BOTH, Build as _, Days, int, maybe_int, note, number, of, share, text, value,
};
use crate::selectors::{Port, slug, unique};

/// Ports and regions in a table.
const FIRST: i64 = 5;
/// Ranks of the period before that are told.
const TOLD: i64 = 10;

/// Orders of the period and of the one that it is compared with.
pub struct Ranks {
    /// Ports of the period.
    pub ports: Vec<Ranked<Port>>,
    /// Countries of the period.
    pub countries: Vec<Ranked<String>>,
    /// The period's packets.
    pub parts: Parts,
    ports_before: Vec<Ranked<Port>>,
    countries_before: Vec<Ranked<String>>,
}

impl Ranks {
    /// Asks for all of it.
    ///
    /// # Errors
    /// A store that cannot be reached.
    pub fn read(context: &mut Context<'_>, frame: &Frame<'_>) -> Result<Self> {
        Ok(Self {
            ports: ranks::ports(context, &frame.period)?,
            countries: ranks::countries(context, &frame.period)?,
            parts: Parts::read(context, &frame.period)?,
            ports_before: ranks::ports(context, &frame.compare)?,
            countries_before: ranks::countries(context, &frame.compare)?,
        })
    }
}

/// T1: the first ports.
pub fn ports(ranks: &Ranks) -> Section {
    let mut section = table_builder::section("t1");
    for population in BOTH {
        let mut table = port_table("t1-ports", "", population, &[("previous", Kind::Rank)]).plot(
            Form::Bars,
            "port",
            vec!["share".to_owned()],
            false,
        );
        for ranked in ranks::first(&ranks.ports, population, FIRST) {
            let mut row = port_row(ranked, population, ranks.parts.whole(population));
            let before = ranks::place(&ranks.ports_before, &ranked.item, population, TOLD);
            row.push(maybe_int(before));
            table.rows.push(row);
        }
        section.tables.push(table);
    }
    section
}

/// T2: the first countries.
pub fn countries(ranks: &Ranks) -> Section {
    let mut section = table_builder::section("t2");
    if ranks.countries.is_empty() {
        section.notes.push(note("no-countries", true, Vec::new()));
    }
    for population in BOTH {
        let mut table = table_builder::table("t2-regions", "", population)
            .columns(&[
                ("rank", Kind::Rank),
                ("country", Kind::Country),
                ("packets", Kind::Count),
                ("share", Kind::Share),
                ("previous", Kind::Rank),
            ])
            .plot(Form::Bars, "country", vec!["share".to_owned()], false);
        for ranked in ranks::first(&ranks.countries, population, FIRST) {
            let packets = ranked.packets(population);
            let before = ranks::place(&ranks.countries_before, &ranked.item, population, TOLD);
            table.rows.push(vec![
                int(ranked.place(population)),
                text(&ranked.item),
                int(packets),
                share(packets, ranks.parts.whole(population)),
                maybe_int(before),
            ]);
        }
        section.tables.push(table);
    }
    section
}

/// Makes ports known as `chosen_ports`.
///
/// # Errors
/// None.
pub fn choose_ports(context: &Context<'_>, ports: &[Port]) -> Result<()> {
    context.choose_table("chosen_ports", port_columns(ports.iter()))
}

/// Ports as columns of such a table.
pub fn port_columns<'p>(
    ports: impl Iterator<Item = &'p Port> + Clone,
) -> Vec<(&'static str, Values)> {
    let protocols = ports.clone().map(|port| port.protocol.clone()).collect();
    let numbers = ports.map(|port| port.number).collect();
    vec![
        ("protocol", Values::Texts(protocols)),
        ("port", Values::Ints(numbers)),
    ]
}

/// Asks for a figure of ports by day: a column for each port and population.
///
/// # Errors
/// A store that cannot be reached, memory that does not suffice.
pub fn by_port(
    context: &mut Context<'_>,
    question: &Question,
    figure: &str,
    ports: &[Port],
    (from, to): (Date, Date),
) -> Result<Days> {
    choose_ports(context, ports)?;
    let mut days = Days::default();
    for row in context.execute_by_days(question, from, to)?.iter() {
        let port = port_of(row)?.to_string();
        for population in BOTH {
            let number = row.int(&of(population, figure))?;
            days.put(row.date("date")?, &of(population, &port), number);
        }
    }
    Ok(days)
}

/// T3: packets by day of the first ports.
pub fn port_days(frame: &Frame<'_>, ranks: &Ranks, packets: &Days) -> Section {
    let mut section = table_builder::section("t3");
    for population in BOTH {
        let first = ranks::first(&ranks.ports, population, FIRST);
        let names: Vec<String> = first.iter().map(|ranked| ranked.item.to_string()).collect();
        let table = table_builder::table("t3-days", "", population);
        let table = table.by_day(Kind::Port, names.clone(), &frame.days, packets);
        section
            .tables
            .push(table.plot(Form::Lines, "date", names, true));
    }
    section
}

/// T4: packets by day from the first countries.
///
/// # Errors
/// A store that cannot be reached.
pub fn country_days(
    context: &mut Context<'_>,
    frame: &Frame<'_>,
    ranks: &Ranks,
) -> Result<Section> {
    let of_either = |population| ranks::first(&ranks.countries, population, FIRST);
    let chosen: Vec<String> = BOTH
        .into_iter()
        .flat_map(of_either)
        .map(|ranked| ranked.item.clone())
        .collect();
    let chosen = Values::Texts(unique(&chosen));
    context.choose_table("chosen_countries", vec![("country", chosen)])?;
    let (from, to) = (frame.period.from, frame.period.to);
    let rows = context.execute_by_days(&questions::COUNTRY_DAYS, from, to)?;
    let mut section = table_builder::section("t4");
    if ranks.countries.is_empty() {
        section.notes.push(note("no-countries", true, Vec::new()));
    }
    let mut days = Days::default();
    for row in rows.iter() {
        for population in BOTH {
            let packets = row.int(&of(population, "packets"))?;
            let column = of(population, row.text("country")?);
            days.put(row.date("date")?, &column, packets);
        }
    }
    for population in BOTH {
        let first = ranks::first(&ranks.countries, population, FIRST);
        let names: Vec<String> = first.iter().map(|ranked| ranked.item.clone()).collect();
        let table = table_builder::table("t4-days", "", population);
        let table = table.by_day(Kind::Country, names.clone(), &frame.days, &days);
        section
            .tables
            .push(table.plot(Form::Lines, "date", names, false));
    }
    Ok(section)
}

/// T5: packets by day on chosen ports, by country.
///
/// # Errors
/// A store that cannot be reached.
pub fn port_regions(
    context: &mut Context<'_>,
    frame: &Frame<'_>,
    ranks: &Ranks,
) -> Result<Section> {
    let mut section = table_builder::section("t5");
    let asked = &frame.args.region_port;
    let first = ranks::first(&ranks.ports, Population::All, 1);
    let ports: Vec<Port> = match asked.is_empty() {
        true => first.iter().map(|ranked| ranked.item.clone()).collect(),
        false => unique(asked),
    };
    choose_ports(context, &ports)?;
    let (from, to) = (frame.period.from, frame.period.to);
    let mut first: BTreeMap<Port, Vec<Ranked<String>>> = BTreeMap::new();
    for row in context
        .execute(&questions::PORT_COUNTRIES, from, to)?
        .iter()
    {
        let country = row.text("country")?.to_owned();
        first
            .entry(port_of(row)?)
            .or_default()
            .push(Ranked::of(row, country)?);
    }
    if first.is_empty() {
        section.notes.push(note("no-countries", true, Vec::new()));
    }
    let pairs: Vec<(Port, String)> = (first.iter())
        .flat_map(|(port, ranked)| {
            ranked
                .iter()
                .map(|ranked| (port.clone(), ranked.item.clone()))
        })
        .collect();
    let mut columns = port_columns(pairs.iter().map(|pair| &pair.0));
    let countries = pairs.iter().map(|pair| pair.1.clone()).collect();
    columns.push(("country", Values::Texts(countries)));
    context.choose_table("chosen_port_countries", columns)?;
    let rows = context.execute_by_days(&questions::PORT_COUNTRY_DAYS, from, to)?;
    for port in &ports {
        for population in BOTH {
            let ranked = first.get(port).map_or(&[][..], Vec::as_slice);
            let mut names: Vec<String> = (ranks::first(ranked, population, FIRST).iter())
                .map(|ranked| ranked.item.clone())
                .collect();
            let mut days = Days::default();
            for row in rows.iter() {
                if port_of(row)? != *port {
                    continue;
                }
                let date = row.date("date")?;
                let packets = row.int(&of(population, "packets"))?;
                let rest = of(population, "rest");
                match row.maybe_text("country")? {
                    None => days.put(date, &rest, packets),
                    Some(country) if names.iter().any(|name| name == country) => {
                        days.put(date, &of(population, country), packets);
                        days.put(date, &rest, -packets);
                    }
                    Some(_) => {}
                }
            }
            names.push("rest".to_owned());
            let table = table_builder::table("t5-days", &port.slug(), population)
                .arg("port", value(Kind::Port, table_builder::port(port)))
                .by_day(Kind::Country, names.clone(), &frame.days, &days);
            section
                .tables
                .push(table.plot(Form::Stacked, "date", names, false));
        }
    }
    Ok(section)
}

/// T8: packets by sensor and day, month by month, and the first ports of every sensor.
///
/// # Errors
/// A store that cannot be reached.
pub fn sensors(context: &mut Context<'_>, frame: &Frame<'_>) -> Result<Section> {
    let months = frame
        .days
        .iter()
        .map(|date| date.strftime("%Y-%m").to_string())
        .collect();
    context.choose_table(
        "chosen_days",
        vec![
            ("date", Values::Dates(frame.days.clone())),
            ("month", Values::Texts(months)),
        ],
    )?;
    let (from, to) = (frame.period.from, frame.period.to);
    let rows = context.execute(&questions::MONTHS, from, to)?;
    let mut section = table_builder::section("t8");
    for population in BOTH {
        let mean = "packets_per_sensor_day";
        let mut table = table_builder::table("t8-months", "", population)
            .columns(&[
                ("month", Kind::Month),
                (mean, Kind::Number),
                ("days", Kind::Count),
                ("packets", Kind::Count),
            ])
            .plot(Form::Bars, "month", vec![mean.to_owned()], false);
        for row in rows.iter() {
            table.rows.push(vec![
                text(row.text("month")?),
                number(row.float(&of(population, mean))?),
                int(row.int("days")?),
                int(row.int(&of(population, "packets"))?),
            ]);
        }
        section.tables.push(table);
    }
    let rows = context.execute(&questions::SENSOR_PORTS, from, to)?;
    for sensor in context.sensors() {
        for population in BOTH {
            let mut ranked = Vec::new();
            let mut whole = 0;
            for row in rows.iter() {
                if row.text("sensor")? == sensor {
                    ranked.push(Ranked::of(row, port_of(row)?)?);
                    whole = row.int(&of(population, "whole"))?;
                }
            }
            let mut table = port_table("t8-sensor", &slug(sensor), population, &[])
                .arg("sensor", value(Kind::Text, text(sensor)));
            for ranked in ranks::first(&ranked, population, TOLD) {
                table.rows.push(port_row(ranked, population, whole));
            }
            section.tables.push(table);
        }
    }
    Ok(section)
}
