//! N4: packets by destination port.

use anyhow::Result;
use noctule_page::model::{Cell, Form, Section};

use super::port_table::{port_row, port_table};
use crate::report::cells::{BOTH, int, share, text};
use crate::report::context::Context;
use crate::report::ranks;
use crate::report::table_builder::section as new_section;

/// Ports in a table.
const FIRST: i64 = 10;

/// Makes the section.
#[expect(clippy::unnecessary_wraps, reason = "all sections have this signature")]
pub fn section(context: &Context<'_>) -> Result<Section> {
    let parts = &context.ranks.parts;
    let mut section = new_section();
    for population in BOTH {
        let mut table =
            port_table("n4-ports", population, &[]).plot(Form::Bars, "port", &["share"]);
        let whole = parts.whole(population);
        let first = ranks::first(&context.ranks.ports, population, FIRST);
        for ranked in &first {
            table.row(port_row(ranked, population, whole));
        }
        let shown: i64 = first.iter().map(|ranked| ranked.packets(population)).sum();
        for (name, packets) in [
            ("rest", parts.ports(population) - shown),
            ("backscatter", parts.backscatter(population)),
            ("no-port", parts.no_port(population)),
        ] {
            let share = share(packets, whole);
            table.row(vec![Cell::Missing, text(name), int(packets), share]);
        }
        section.tables.push(table.build());
    }
    Ok(section)
}
