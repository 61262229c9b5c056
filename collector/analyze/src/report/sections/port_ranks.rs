//! T1: the first ports, with their places in the period that it is compared with.

use anyhow::Result;
use noctule_page::model::{Form, Kind, Section};

use super::port_table::{port_row, port_table};
use crate::report::cells::{BOTH, maybe_int};
use crate::report::context::Context;
use crate::report::ranks::{self, FIRST, RANKED_BEFORE};
use crate::report::table_builder::section as new_section;

/// Makes the section.
#[expect(clippy::unnecessary_wraps, reason = "all sections have this signature")]
pub fn section(context: &Context<'_>) -> Result<Section> {
    let ranks = &context.ranks;
    let mut section = new_section();
    for population in BOTH {
        let mut table = port_table("t1-ports", population, &[("previous", Kind::Rank)]).plot(
            Form::Bars,
            "port",
            &["share"],
        );
        for ranked in ranks::first(&ranks.ports, population, FIRST) {
            let mut row = port_row(ranked, population, ranks.parts.whole(population));
            let before = &ranks.ports_before;
            let before = ranks::place(before, &ranked.item, population, RANKED_BEFORE);
            row.push(maybe_int(before));
            table.row(row);
        }
        section.tables.push(table.build());
    }
    Ok(section)
}
