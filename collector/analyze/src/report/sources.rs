//! N3, N5, N6 and N7: distinct sources, by day, port and country.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::civil::Date;
use noctule_page::model::{Cell, Form, Kind, Population, Section};

use super::Frame;
use super::context::{Context, Values};
use super::questions;
use super::ranks::{Ranked, first, port_of};
use super::regions::port_columns;
use super::table_builder::{self, BOTH, Build as _, Days, int, note, of, share, text, value};
use crate::selectors::{CountryPort, Peak, Port};

/// Ports that are shown where none was asked for.
const RISING: usize = 5;
/// Countries in a table.
const COUNTRIES: usize = 10;

/// Distinct TCP sources by day; columns as in SQL.
///
/// # Errors
/// A store that cannot be reached, memory that does not suffice.
pub fn tcp_by_day(context: &mut Context<'_>, from: Date, to: Date) -> Result<Days> {
    let mut days = Days::default();
    for row in context
        .execute_by_days(&questions::TCP_SOURCES, from, to)?
        .iter()
    {
        for population in BOTH {
            let column = of(population, "sources");
            days.put(row.date("date")?, &column, row.int(&column)?);
        }
    }
    Ok(days)
}

/// N3: TCP sources by day.
pub fn tcp(frame: &Frame<'_>) -> Section {
    let mut section = table_builder::section("n3");
    for population in BOTH {
        let mut table = table_builder::table("n3-days", "", population)
            .columns(&[("date", Kind::Date), ("sources", Kind::Count)])
            .plot(Form::Lines, "date", vec!["sources".to_owned()], false);
        table.rows = frame
            .tcp_sources
            .rows(&frame.days, &[of(population, "sources")]);
        section.tables.push(table);
    }
    section
}

/// Ports whose packets rose most, of the first 30.
pub fn rising(frame: &Frame<'_>, ranked: &[Ranked<Port>], days: &Days) -> Vec<Port> {
    let ranked = first(ranked, Population::All, 30);
    let mut rises: Vec<(f64, &&Ranked<Port>)> = (ranked.iter())
        .map(|ranked| {
            let name = ranked.item.to_string();
            let packets = frame.days.iter().map(|day| days.get(*day, &name) as f64);
            (rise(&packets.collect::<Vec<_>>()), ranked)
        })
        .collect();
    rises.sort_by(|a, b| {
        let place = |ranked: &Ranked<Port>| ranked.place(Population::All);
        b.0.total_cmp(&a.0).then(place(a.1).cmp(&place(b.1)))
    });
    let first = rises.into_iter().take(RISING);
    first.map(|(_, ranked)| ranked.item.clone()).collect()
}

/// How far the best week of a series lies above its usual day.
fn rise(values: &[f64]) -> f64 {
    const WEEK: usize = 7;
    let week = WEEK.min(values.len()).max(1);
    let means = values
        .windows(week)
        .map(|days| days.iter().sum::<f64>() / week as f64);
    let peak = means.fold(0.0, f64::max);
    peak / super::baseline::median(&mut values.to_vec()).max(1.0)
}

/// N5: sources by day of chosen ports.
pub fn ports(frame: &Frame<'_>, ports: &[Port], sources: &Days) -> Section {
    let mut section = table_builder::section("n5");
    let names: Vec<String> = ports.iter().map(Port::to_string).collect();
    for population in BOTH {
        let table = table_builder::table("n5-sources", "", population);
        let table = table.by_day(Kind::Port, names.clone(), &frame.days, sources);
        let table = table.plot(Form::Lines, "date", names.clone(), true);
        section.tables.push(table);
    }
    section
}

/// Makes peaks known as `chosen_peaks`.
fn choose_peaks(context: &Context<'_>, peaks: &[Peak]) -> Result<()> {
    let rows: Vec<(i64, Date, &Port)> = (1..)
        .zip(peaks)
        .flat_map(|(number, peak)| peak.ports.iter().map(move |port| (number, peak.date, port)))
        .collect();
    let mut columns = port_columns(rows.iter().map(|row| row.2));
    columns.extend([
        ("peak", Values::Ints(rows.iter().map(|row| row.0).collect())),
        (
            "date",
            Values::Dates(rows.iter().map(|row| row.1).collect()),
        ),
    ]);
    context.choose_table("chosen_peaks", columns)
}

/// N6: sources by country on peak days; also the first country of each, for N7.
///
/// # Errors
/// As [`tcp_by_day`].
pub fn peaks(context: &mut Context<'_>, peaks: &[Peak]) -> Result<(Section, Vec<CountryPort>)> {
    let mut section = table_builder::section("n6");
    if peaks.is_empty() {
        section
            .notes
            .push(note("peaks-not-found", false, Vec::new()));
    }
    choose_peaks(context, peaks)?;
    let mut pairs: Vec<CountryPort> = Vec::new();
    let mut attributed = peaks.is_empty();
    for (number, peak) in (1..).zip(peaks) {
        let rows = context.execute(&questions::PEAK_COUNTRIES, peak.date, peak.date)?;
        for population in BOTH {
            let mut countries: Vec<(&str, i64)> = Vec::new();
            for row in rows.iter() {
                // Days of two peaks may be the same.
                let sources = row.int(&of(population, "sources"))?;
                if row.int("peak")? == number && sources > 0 {
                    countries.push((row.text("country")?, sources));
                }
            }
            countries.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            let known = countries.iter().find(|(country, _)| *country != "??");
            attributed |= known.is_some();
            if let (Some((country, _)), Some(port)) = (known, peak.ports.first())
                && population == Population::All
            {
                let pair = CountryPort {
                    country: (*country).to_owned(),
                    port: port.clone(),
                };
                if !pairs.contains(&pair) {
                    pairs.push(pair);
                }
            }
            let all: i64 = countries.iter().map(|(_, sources)| sources).sum();
            let mut table = table_builder::table("n6-countries", &number.to_string(), population)
                .arg("date", value(Kind::Date, table_builder::date(peak.date)))
                .arg("ports", value(Kind::Text, text(peak.names())))
                .columns(&[
                    ("rank", Kind::Rank),
                    ("country", Kind::Country),
                    ("sources", Kind::Count),
                    ("share", Kind::Share),
                ])
                .plot(Form::Bars, "country", vec!["share".to_owned()], false);
            for (rank, (country, sources)) in (1..).zip(countries.iter().take(COUNTRIES)) {
                let row = vec![
                    int(rank),
                    text(*country),
                    int(*sources),
                    share(*sources, all),
                ];
                table.rows.push(row);
            }
            let rest: i64 = countries
                .iter()
                .skip(COUNTRIES)
                .map(|(_, sources)| sources)
                .sum();
            for (name, sources) in [("rest", rest), ("all", all)] {
                let row = vec![Cell::Missing, text(name), int(sources), share(sources, all)];
                table.rows.push(row);
            }
            section.tables.push(table);
        }
    }
    if !attributed {
        section.notes.push(note("no-countries", true, Vec::new()));
    }
    Ok((section, pairs))
}

/// N7: sources by day from one country on one port.
///
/// # Errors
/// As [`tcp_by_day`].
pub fn country_ports(
    context: &mut Context<'_>,
    frame: &Frame<'_>,
    pairs: &[CountryPort],
) -> Result<Section> {
    let mut section = table_builder::section("n7");
    if pairs.is_empty() {
        section
            .notes
            .push(note("peaks-not-found", false, Vec::new()));
        return Ok(section);
    }
    let mut columns = port_columns(pairs.iter().map(|pair| &pair.port));
    let countries = pairs.iter().map(|pair| pair.country.clone()).collect();
    columns.push(("country", Values::Texts(countries)));
    context.choose_table("chosen_country_ports", columns)?;
    let mut days: BTreeMap<(String, Port), Days> = BTreeMap::new();
    let (from, to) = (frame.period.from, frame.period.to);
    for row in context
        .execute_by_days(&questions::COUNTRY_PORT_SOURCES, from, to)?
        .iter()
    {
        let key = (row.text("country")?.to_owned(), port_of(row)?);
        let days = days.entry(key).or_default();
        for population in BOTH {
            let column = of(population, "sources");
            days.put(row.date("date")?, &column, row.int(&column)?);
        }
    }
    for CountryPort { country, port } in pairs {
        let mine = days.entry((country.clone(), port.clone())).or_default();
        for population in BOTH {
            let of_country = match country.as_str() {
                "??" => "unknown".to_owned(),
                code => code.to_ascii_lowercase(),
            };
            let subject = format!("{of_country}-{}", port.slug());
            let mut table = table_builder::table("n7-days", &subject, population)
                .arg("country", value(Kind::Country, text(country)))
                .arg("port", value(Kind::Port, table_builder::port(port)))
                .columns(&[("date", Kind::Date), ("sources", Kind::Count)])
                .plot(Form::Lines, "date", vec!["sources".to_owned()], false);
            table.rows = mine.rows(&frame.days, &[of(population, "sources")]);
            section.tables.push(table);
        }
    }
    Ok(section)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_is_the_best_week_over_the_usual_day() {
        assert_eq!(rise(&[]), 0.0);
        assert_eq!(rise(&[5.0]), 1.0);
        assert_eq!(rise(&[0.0, 0.0, 0.0]), 0.0);
        let mut month = vec![10.0; 30];
        assert_eq!(rise(&month), 1.0);
        month[20..27].fill(110.0);
        assert_eq!(rise(&month), 11.0);
        // A port that was not there before is compared with one packet a day.
        let mut new = vec![0.0; 30];
        new[23..].fill(70.0);
        assert_eq!(rise(&new), 70.0);
    }
}
