//! T3: packets by day of the first ports.

use anyhow::Result;
use noctule_page::model::{Form, Kind, Section};

use crate::report::cells::BOTH;
use crate::report::context::Context;
use crate::report::ranks::{self, FIRST};
use crate::report::table_builder::{TableBuilder, section as new_section};

/// Makes the section.
#[expect(clippy::unnecessary_wraps, reason = "all sections have this signature")]
pub fn section(context: &Context<'_>) -> Result<Section> {
    let packets = &context.series.port_packets;
    let mut section = new_section();
    for population in BOTH {
        let first = ranks::first(&context.ranks.ports, population, FIRST);
        let names: Vec<String> = first.iter().map(|ranked| ranked.item.to_string()).collect();
        let table = TableBuilder::new("t3-days", population)
            .by_day(Kind::Port, &names, &context.days, packets)
            .plot(Form::Lines, "date", &names)
            .logarithmic();
        section.tables.push(table.build());
    }
    Ok(section)
}
