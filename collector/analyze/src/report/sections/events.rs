//! C2: days and ports that left their baseline, new ports and new fingerprints.

use anyhow::Result;
use noctule_page::model::{Kind, Population, Section};

use crate::report::cells::{date, int, maybe_text, number, text};
use crate::report::context::Context;
use crate::report::events::Measure;
use crate::report::table_builder::{TableBuilder, section as new_section, warning};

/// Makes the section.
#[expect(clippy::unnecessary_wraps, reason = "all sections have this signature")]
pub fn section(context: &Context<'_>) -> Result<Section> {
    let events = &context.events;
    let mut section = new_section();
    if events.without_baseline > 0 {
        let days = ("days", Kind::Count, int(events.without_baseline as i64));
        section.notes.push(warning("no-baseline", [days]));
    }
    let mut table = TableBuilder::new("c2-events", Population::All).columns(&[
        ("from", Kind::Date),
        ("to", Kind::Date),
        ("port", Kind::Port),
        ("measure", Kind::Word),
        ("kind", Kind::Word),
        ("peak", Kind::Date),
        ("value", Kind::Count),
        ("usual", Kind::Number),
        ("band", Kind::Number),
        ("ratio", Kind::Number),
        ("rule", Kind::Text),
    ]);
    for event in &events.found {
        table.row(vec![
            date(event.from),
            date(event.to),
            maybe_text(event.port.as_deref()),
            text(match event.measure {
                Measure::Packets => "packets",
                Measure::Sources => "sources",
                Measure::Answers => "answers",
            }),
            text(event.kind),
            date(event.peak),
            int(event.value),
            number(Some(event.usual)),
            number(Some(event.limit)),
            number(Some(event.ratio())),
            maybe_text(event.rule.as_deref()),
        ]);
    }
    section.tables.push(table.build());
    Ok(section)
}
