//! T2: the first countries, with their places in the period that it is compared with.

use anyhow::Result;
use noctule_page::model::{Form, Kind, Section};

use crate::report::cells::{BOTH, int, maybe_int, share, text};
use crate::report::context::Context;
use crate::report::ranks::{self, FIRST, RANKED_BEFORE};
use crate::report::table_builder::{TableBuilder, section as new_section, warning};

/// Makes the section.
#[expect(clippy::unnecessary_wraps, reason = "all sections have this signature")]
pub fn section(context: &Context<'_>) -> Result<Section> {
    let ranks = &context.ranks;
    let mut section = new_section();
    if ranks.countries.is_empty() {
        section.notes.push(warning("no-countries", []));
    }
    for population in BOTH {
        let mut table = TableBuilder::new("t2-regions", population)
            .columns(&[
                ("rank", Kind::Rank),
                ("country", Kind::Country),
                ("packets", Kind::Count),
                ("share", Kind::Share),
                ("previous", Kind::Rank),
            ])
            .plot(Form::Bars, "country", &["share"]);
        for ranked in ranks::first(&ranks.countries, population, FIRST) {
            let packets = ranked.packets(population);
            let before = &ranks.countries_before;
            let before = ranks::place(before, &ranked.item, population, RANKED_BEFORE);
            table.row(vec![
                int(ranked.place(population)),
                text(&ranked.item),
                int(packets),
                share(packets, ranks.parts.whole(population)),
                maybe_int(before),
            ]);
        }
        section.tables.push(table.build());
    }
    Ok(section)
}
