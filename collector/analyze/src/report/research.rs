//! N9: research scanners, and what is left without them.

use anyhow::Result;
use jiff::civil::Date;
use noctule_page::model::{Cell, Kind, Population, Section};

use super::Frame;
use super::context::Context;
use super::notify::address;
use super::questions;
use super::table_builder::{self, BOTH, Build as _, int, maybe_int, note, number, of, text};

/// The section.
///
/// # Errors
/// A store that cannot be reached.
pub fn section(context: &mut Context<'_>, frame: &Frame<'_>) -> Result<Section> {
    let (from, to) = (frame.period.from, frame.period.to);
    let rows = context.execute(&questions::RESEARCH_SOURCES, from, to)?;
    let mut section = table_builder::section("n9");
    if rows.is_empty() {
        section.notes.push(note("no-research", false, Vec::new()));
    }
    let mut table = table_builder::table("n9-sources", "", Population::All).columns(&[
        ("source", Kind::Text),
        ("country", Kind::Country),
        ("asn", Kind::Asn),
        ("days", Kind::Count),
        ("packets", Kind::Count),
        ("ports", Kind::Count),
        ("listed", Kind::Word),
    ]);
    for row in rows.iter() {
        let Some(source) = address(row)? else {
            continue;
        };
        table.rows.push(vec![
            text(source.to_string()),
            text(row.maybe_text("country")?.unwrap_or("??")),
            maybe_int(row.maybe_int("asn")?),
            int(row.int("days")?),
            int(row.int("packets")?),
            int(row.int("ports")?),
            text(if row.int("listed")? > 0 { "yes" } else { "no" }),
        ]);
    }
    section.tables.push(table);

    let mut table = table_builder::table("n9-summary", "", Population::All).columns(&[
        ("measure", Kind::Word),
        ("all", Kind::Number),
        ("without", Kind::Number),
        ("research", Kind::Number),
        ("share", Kind::Share),
    ]);
    let sum =
        |get: &dyn Fn(Date) -> i64| frame.days.iter().map(|date| get(*date)).sum::<i64>() as f64;
    let observed = frame
        .days
        .iter()
        .filter(|date| frame.completeness.has(**date))
        .count();
    let packets = BOTH.map(|population| {
        let column = of(population, "total");
        Some(sum(&|date| frame.packets.get(date, &column)))
    });
    let sources = BOTH.map(|population| {
        let column = of(population, "sources");
        let sources = sum(&|date| frame.tcp_sources.get(date, &column));
        (observed > 0).then(|| sources / observed as f64)
    });
    for (measure, [all, without]) in [("packets", packets), ("tcp_sources", sources)] {
        let research = all.zip(without).map(|(all, without)| all - without);
        let share = research.zip(all).filter(|(_, all)| *all > 0.0);
        let row: [Cell; 5] = [
            text(measure),
            number(all),
            number(without),
            number(research),
            number(share.map(|(research, all)| 100.0 * research / all)),
        ];
        table.rows.push(row.to_vec());
    }
    section.tables.push(table);
    Ok(section)
}
