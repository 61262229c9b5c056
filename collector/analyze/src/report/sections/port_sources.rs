//! N5: distinct sources by day of some ports.

use anyhow::Result;
use noctule_page::model::{Form, Kind, Section};

use crate::report::cells::BOTH;
use crate::report::context::Context;
use crate::report::table_builder::{TableBuilder, section as new_section};
use crate::selectors::Port;

/// Makes the section.
#[expect(clippy::unnecessary_wraps, reason = "all sections have this signature")]
pub fn section(context: &Context<'_>) -> Result<Section> {
    let names: Vec<String> = context.shown_ports.iter().map(Port::to_string).collect();
    let sources = &context.series.port_sources;
    let mut section = new_section();
    for population in BOTH {
        let table = TableBuilder::new("n5-sources", population)
            .by_day(Kind::Port, &names, &context.days, sources)
            .plot(Form::Lines, "date", &names)
            .logarithmic();
        section.tables.push(table.build());
    }
    Ok(section)
}
