//! N3: distinct TCP sources by day.

use anyhow::Result;
use noctule_page::model::{Form, Kind, Section};

use crate::report::cells::BOTH;
use crate::report::context::Context;
use crate::report::table_builder::{TableBuilder, section as new_section};

/// Makes the section.
#[expect(clippy::unnecessary_wraps, reason = "all sections have this signature")]
pub fn section(context: &Context<'_>) -> Result<Section> {
    let mut section = new_section();
    for population in BOTH {
        let rows = (context.series.tcp_sources).rows(&context.days, population, &["sources"]);
        let table = TableBuilder::new("n3-days", population)
            .columns(&[("date", Kind::Date), ("sources", Kind::Count)])
            .plot(Form::Lines, "date", &["sources"])
            .rows(rows);
        section.tables.push(table.build());
    }
    Ok(section)
}
