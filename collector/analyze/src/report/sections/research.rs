//! N9: research scanners, and the figures without them.

use anyhow::Result;
use noctule_page::model::{Kind, Population, Section, Table};

use crate::report::cells::{BOTH, int, maybe_int, maybe_text, number, of, share, text};
use crate::report::context::Context;
use crate::report::questions;
use crate::report::table_builder::{TableBuilder, remark, section as new_section};

/// Makes the section.
pub fn section(context: &Context<'_>) -> Result<Section> {
    let question = &questions::RESEARCH_SOURCES;
    let rows = (context.database).execute(question, context.span(), &[])?;
    let mut section = new_section();
    if rows.is_empty() {
        section.notes.push(remark("no-research"));
    }
    let mut table = TableBuilder::new("n9-sources", Population::All).columns(&[
        ("source", Kind::Text),
        ("country", Kind::Country),
        ("asn", Kind::Asn),
        ("days", Kind::Count),
        ("packets", Kind::Count),
        ("ports", Kind::Count),
        ("listed", Kind::Word),
        ("name", Kind::Text),
    ]);
    for row in rows.iter() {
        let Some(source) = row.source()? else {
            continue;
        };
        table.row(vec![
            text(source.to_string()),
            text(row.maybe_text("country")?.unwrap_or("??")),
            maybe_int(row.maybe_int("asn")?),
            int(row.int("days")?),
            int(row.int("packets")?),
            int(row.int("ports")?),
            text(if row.int("listed")? > 0 { "yes" } else { "no" }),
            maybe_text(row.maybe_text("name")?),
        ]);
    }
    section.tables = vec![table.build(), names(context)?, summary(context)];
    Ok(section)
}

/// Packets and sources by the names in the operator's lists.
fn names(context: &Context<'_>) -> Result<Table> {
    let question = &questions::RESEARCH_NAMES;
    let rows = (context.database).execute(question, context.span(), &[])?;
    let all = context.series.packets.sum(&context.days, "total");
    let mut table = TableBuilder::new("n9-names", Population::All).columns(&[
        ("name", Kind::Text),
        ("listed", Kind::Word),
        ("days", Kind::Count),
        ("sources", Kind::Count),
        ("packets", Kind::Count),
        ("share", Kind::Share),
    ]);
    for row in rows.iter() {
        let packets = row.int("packets")?;
        table.row(vec![
            maybe_text(row.maybe_text("name")?),
            text(if row.int("listed")? > 0 { "yes" } else { "no" }),
            int(row.int("days")?),
            int(row.int("sources")?),
            int(packets),
            share(packets, all),
        ]);
    }
    Ok(table.build())
}

/// Packets and TCP sources with and without research scanners.
fn summary(context: &Context<'_>) -> Table {
    let (series, days) = (&context.series, &context.days);
    let observed = days.iter().filter(|date| series.completeness.has(**date));
    let observed = observed.count();
    let packets = BOTH.map(|population| {
        let column = of(population, "total");
        Some(series.packets.sum(days, &column) as f64)
    });
    let sources = BOTH.map(|population| {
        let column = of(population, "sources");
        let sources = series.tcp_sources.sum(days, &column) as f64;
        (observed > 0).then(|| sources / observed as f64)
    });
    let mut table = TableBuilder::new("n9-summary", Population::All).columns(&[
        ("measure", Kind::Word),
        ("all", Kind::Number),
        ("without", Kind::Number),
        ("research", Kind::Number),
        ("share", Kind::Share),
    ]);
    for (measure, [all, without]) in [("packets", packets), ("tcp_sources", sources)] {
        let research = all.zip(without).map(|(all, without)| all - without);
        let share = research.zip(all).filter(|(_, all)| *all > 0.0);
        table.row(vec![
            text(measure),
            number(all),
            number(without),
            number(research),
            number(share.map(|(research, all)| 100.0 * research / all)),
        ]);
    }
    table.build()
}
