//! T6: answers from source ports, by day and by country of their sources.

use anyhow::Result;
use noctule_page::model::{Cell, Form, Kind, Population, Section};

use crate::report::cells::{int, share, text};
use crate::report::chosen::{Chosen, port_of};
use crate::report::context::Context;
use crate::report::questions;
use crate::report::table_builder::{TableBuilder, section as new_section, warning};

/// Countries in a table.
const COUNTRIES: usize = 10;

/// Makes the section.
pub fn section(context: &Context<'_>) -> Result<Section> {
    let ports = &context.series.answer_ports;
    let question = &questions::ANSWER_COUNTRIES;
    let chosen = [Chosen::ports(ports)];
    let rows = (context.database).execute(question, context.span(), &chosen)?;
    let mut attributed = rows.is_empty();
    let mut section = new_section();
    for port in ports {
        let name = port.to_string();
        let counts = &context.series.answers;
        let table = TableBuilder::new("t6-days", Population::All)
            .suffix(&port.slug())
            .arg("port", Kind::Port, text(&name))
            .columns(&[("date", Kind::Date), ("packets", Kind::Count)])
            .plot(Form::Lines, "date", &["packets"])
            .rows(counts.rows(&context.days, Population::All, &[&name]));
        section.tables.push(table.build());

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
        let (first, rest) = countries.split_at(countries.len().min(COUNTRIES));
        let (all, rest) = (sum(&countries), sum(rest));
        let mut table = TableBuilder::new("t6-countries", Population::All)
            .suffix(&port.slug())
            .arg("port", Kind::Port, text(&name))
            .columns(&[
                ("rank", Kind::Rank),
                ("country", Kind::Country),
                ("resolvers", Kind::Count),
                ("packets", Kind::Count),
                ("share", Kind::Share),
            ])
            .plot(Form::Bars, "country", &["share"]);
        let ranked = (1..)
            .zip(first)
            .map(|(rank, row)| (int(rank), row.0, (row.1, row.2)));
        let sums = [("rest", rest), ("all", all)];
        let sums = sums.map(|(name, sum)| (Cell::Missing, name, sum));
        for (rank, country, (resolvers, packets)) in ranked.chain(sums) {
            let share = share(packets, all.1);
            table.row(vec![
                rank,
                text(country),
                int(resolvers),
                int(packets),
                share,
            ]);
        }
        section.tables.push(table.build());
    }
    if !attributed {
        section.notes.push(warning("no-countries", []));
    }
    Ok(section)
}
