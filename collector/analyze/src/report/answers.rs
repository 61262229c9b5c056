//! T6: answers from source ports, and who answers.

use anyhow::Result;
use noctule_page::model::{Cell, Form, Kind, Population, Section};

use super::Frame;
use super::context::Context;
use super::questions;
use super::ranks::port_of;
use super::regions::choose_ports;
use super::table_builder::{self, Build as _, Days, int, note, share, text, value};
use crate::selectors::{Port, unique};

/// Countries in a table.
const COUNTRIES: usize = 10;

/// Source ports whose answers are shown.
pub fn ports(frame: &Frame<'_>) -> Vec<Port> {
    match frame.args.answer_port.is_empty() {
        true => vec![Port::new("udp", 53)],
        false => unique(&frame.args.answer_port),
    }
}

/// Answers by day of these ports, from the baseline's first day on.
///
/// # Errors
/// A store that cannot be reached.
pub fn by_day(context: &mut Context<'_>, frame: &Frame<'_>, ports: &[Port]) -> Result<Days> {
    choose_ports(context, ports)?;
    let rows = context.execute_by_days(
        &questions::ANSWER_DAYS,
        frame.baseline_from,
        frame.period.to,
    )?;
    let mut days = Days::default();
    for row in rows.iter() {
        let port = port_of(row)?.to_string();
        days.put(row.date("date")?, &port, row.int("packets")?);
    }
    Ok(days)
}

/// The section.
///
/// # Errors
/// A store that cannot be reached, memory that does not suffice.
pub fn section(
    context: &mut Context<'_>,
    frame: &Frame<'_>,
    ports: &[Port],
    days: &Days,
) -> Result<Section> {
    choose_ports(context, ports)?;
    let (from, to) = (frame.period.from, frame.period.to);
    let rows = context.execute(&questions::ANSWER_COUNTRIES, from, to)?;
    let mut section = table_builder::section("t6");
    let mut attributed = rows.is_empty();
    for port in ports {
        let name = port.to_string();
        let mut table = table_builder::table("t6-days", &port.slug(), Population::All)
            .arg("port", value(Kind::Port, text(&name)))
            .columns(&[("date", Kind::Date), ("packets", Kind::Count)])
            .plot(Form::Lines, "date", vec!["packets".to_owned()], false);
        table.rows = days.rows(&frame.days, &[name]);
        section.tables.push(table);

        let mut countries: Vec<(&str, i64, i64)> = Vec::new();
        for row in rows.iter() {
            if port_of(row)? == *port {
                let country = row.text("country")?;
                attributed |= country != "??";
                countries.push((country, row.int("resolvers")?, row.int("packets")?));
            }
        }
        let sum = |countries: &[(&str, i64, i64)]| {
            let add = |sum: (i64, i64), row: &(&str, i64, i64)| (sum.0 + row.1, sum.1 + row.2);
            countries.iter().fold((0, 0), add)
        };
        let (shown, rest) = countries.split_at(countries.len().min(COUNTRIES));
        let (all, rest) = (sum(&countries), sum(rest));
        let mut table = table_builder::table("t6-countries", &port.slug(), Population::All)
            .arg("port", value(Kind::Port, table_builder::port(port)))
            .columns(&[
                ("rank", Kind::Rank),
                ("country", Kind::Country),
                ("resolvers", Kind::Count),
                ("packets", Kind::Count),
                ("share", Kind::Share),
            ])
            .plot(Form::Bars, "country", vec!["share".to_owned()], false);
        let ranked = (1..)
            .zip(shown)
            .map(|(rank, row)| (int(rank), row.0, row.1, row.2));
        let sums = [("rest", rest), ("all", all)];
        let sums = sums.map(|(name, sum)| (Cell::Missing, name, sum.0, sum.1));
        for (rank, country, resolvers, packets) in ranked.chain(sums) {
            let share = share(packets, all.1);
            table.rows.push(vec![
                rank,
                text(country),
                int(resolvers),
                int(packets),
                share,
            ]);
        }
        section.tables.push(table);
    }
    if !attributed {
        section.notes.push(note("no-countries", true, Vec::new()));
    }
    Ok(section)
}
