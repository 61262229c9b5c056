//! N2: packets by day.

use anyhow::Result;
use noctule_page::model::{Form, Kind, Section};

use crate::report::cells::BOTH;
use crate::report::context::Context;
use crate::report::series::KINDS;
use crate::report::table_builder::{TableBuilder, section as new_section};

/// Makes the section.
#[expect(clippy::unnecessary_wraps, reason = "all sections have this signature")]
pub fn section(context: &Context<'_>) -> Result<Section> {
    let columns = [&KINDS[..], &["total"]].concat();
    let mut section = new_section();
    for population in BOTH {
        let rows = (context.series.packets).rows(&context.days, population, &columns);
        let table = TableBuilder::new("n2-days", population)
            .columns(&[("date", Kind::Date)])
            .columns(&KINDS.map(|kind| (kind, Kind::Count)))
            .columns(&[("total", Kind::Count)])
            .plot(Form::Stacked, "date", &KINDS)
            .rows(rows);
        section.tables.push(table.build());
    }
    Ok(section)
}
