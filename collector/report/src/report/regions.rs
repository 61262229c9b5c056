//! T1 to T5 and T8: ports and regions beside the period before, as a network of sensors reports them.

use std::collections::BTreeMap;

use anyhow::Result;
use noctule_page::model::{Form, Kind, Population, Section};

use super::Frame;
use super::context::{Context, Values};
use super::packets::{port_row, port_table};
use super::questions;
use super::ranks::{self, Parts, Ranked, port_of};
use super::sheet::{
    self, BOTH, Build as _, Days, int, maybe_int, note, number, of, share, text, value,
};
use super::subjects::{Port, slug, unique};

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
    let mut section = sheet::section("t1");
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
    let mut section = sheet::section("t2");
    if ranks.countries.is_empty() {
        section.notes.push(note("no-countries", true, Vec::new()));
    }
    for population in BOTH {
        let mut table = sheet::table("t2-regions", "", population)
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
    let protocols = ports.iter().map(|port| port.protocol.clone()).collect();
    let numbers = ports.iter().map(|port| port.number).collect();
    context.choose_table(
        "chosen_ports",
        vec![
            ("protocol", Values::Texts(protocols)),
            ("port", Values::Ints(numbers)),
        ],
    )
}

/// The first ports or countries of either population.
fn either<T: Clone + PartialEq>(ranked: &[Ranked<T>]) -> Vec<T> {
    let mut all: Vec<T> = Vec::new();
    for population in BOTH {
        for ranked in ranks::first(ranked, population, FIRST) {
            if !all.contains(&ranked.item) {
                all.push(ranked.item.clone());
            }
        }
    }
    all
}

/// T3: packets by day of the first ports.
///
/// # Errors
/// A store that cannot be reached.
pub fn port_days(context: &mut Context<'_>, frame: &Frame<'_>, ranks: &Ranks) -> Result<Section> {
    choose_ports(context, &either(&ranks.ports))?;
    let (from, to) = (frame.period.from, frame.period.to);
    let rows = context.ask_by_days(&questions::PORT_DAYS, from, to)?;
    let mut section = sheet::section("t3");
    for population in BOTH {
        let mut days = Days::default();
        for row in rows.iter() {
            let packets = row.int(&of(population, "packets"))?;
            days.put(row.date("date")?, &port_of(row)?.to_string(), packets);
        }
        let first = ranks::first(&ranks.ports, population, FIRST);
        let columns: Vec<String> = first.iter().map(|ranked| ranked.item.to_string()).collect();
        let mut table = sheet::table("t3-days", "", population).columns(&[("date", Kind::Date)]);
        for column in &columns {
            table = table.named(column.clone(), Kind::Count, value(Kind::Port, text(column)));
        }
        table.rows = days.rows(&frame.days, &columns);
        section
            .tables
            .push(table.plot(Form::Lines, "date", columns, true));
    }
    Ok(section)
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
    let chosen = Values::Texts(either(&ranks.countries));
    context.choose_table("chosen_countries", vec![("country", chosen)])?;
    let (from, to) = (frame.period.from, frame.period.to);
    let rows = context.ask_by_days(&questions::COUNTRY_DAYS, from, to)?;
    let mut section = sheet::section("t4");
    if ranks.countries.is_empty() {
        section.notes.push(note("no-countries", true, Vec::new()));
    }
    for population in BOTH {
        let mut days = Days::default();
        for row in rows.iter() {
            let packets = row.int(&of(population, "packets"))?;
            days.put(row.date("date")?, row.text("country")?, packets);
        }
        let first = ranks::first(&ranks.countries, population, FIRST);
        let columns: Vec<String> = first.iter().map(|ranked| ranked.item.clone()).collect();
        let mut table = sheet::table("t4-days", "", population).columns(&[("date", Kind::Date)]);
        for column in &columns {
            table = table.named(
                column.clone(),
                Kind::Count,
                value(Kind::Country, text(column)),
            );
        }
        table.rows = days.rows(&frame.days, &columns);
        section
            .tables
            .push(table.plot(Form::Lines, "date", columns, false));
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
    let mut section = sheet::section("t5");
    let asked = &frame.args.region_port;
    let first = ranks::first(&ranks.ports, Population::All, 1);
    let ports: Vec<Port> = match asked.is_empty() {
        true => first.iter().map(|ranked| ranked.item.clone()).collect(),
        false => unique(asked),
    };
    choose_ports(context, &ports)?;
    let (from, to) = (frame.period.from, frame.period.to);
    let mut first: BTreeMap<Port, Vec<Ranked<String>>> = BTreeMap::new();
    for row in context.ask(&questions::PORT_COUNTRIES, from, to)?.iter() {
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
    context.choose_table(
        "chosen_port_countries",
        vec![
            (
                "protocol",
                Values::Texts(pairs.iter().map(|pair| pair.0.protocol.clone()).collect()),
            ),
            (
                "port",
                Values::Ints(pairs.iter().map(|pair| pair.0.number).collect()),
            ),
            (
                "country",
                Values::Texts(pairs.into_iter().map(|pair| pair.1).collect()),
            ),
        ],
    )?;
    let rows = context.ask_by_days(&questions::PORT_COUNTRY_DAYS, from, to)?;
    for port in &ports {
        for population in BOTH {
            let ranked = first.get(port).map_or(&[][..], Vec::as_slice);
            let mut columns: Vec<String> = (ranks::first(ranked, population, FIRST).iter())
                .map(|ranked| ranked.item.clone())
                .collect();
            let mut days = Days::default();
            for row in rows.iter() {
                if port_of(row)? != *port {
                    continue;
                }
                let date = row.date("date")?;
                let packets = row.int(&of(population, "packets"))?;
                match row.maybe_text("country")? {
                    None => days.put(date, "rest", packets),
                    Some(country) if columns.iter().any(|column| column == country) => {
                        days.put(date, country, packets);
                        days.put(date, "rest", -packets);
                    }
                    Some(_) => {}
                }
            }
            columns.push("rest".to_owned());
            let mut table = sheet::table("t5-days", &port.slug(), population)
                .arg("port", value(Kind::Port, sheet::port(port)))
                .columns(&[("date", Kind::Date)]);
            for column in &columns {
                table = table.named(
                    column.clone(),
                    Kind::Count,
                    value(Kind::Country, text(column)),
                );
            }
            table.rows = days.rows(&frame.days, &columns);
            section
                .tables
                .push(table.plot(Form::Stacked, "date", columns, false));
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
    let rows = context.ask(&questions::MONTHS, from, to)?;
    let mut section = sheet::section("t8");
    for population in BOTH {
        let mean = "packets_per_sensor_day";
        let mut table = sheet::table("t8-months", "", population)
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
    let rows = context.ask(&questions::SENSOR_PORTS, from, to)?;
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
