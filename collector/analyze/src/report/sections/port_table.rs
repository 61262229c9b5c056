//! Tables of ports by packets.

use noctule_page::model::{Cell, Kind, Population};

use crate::report::cells::{int, share, text};
use crate::report::ranks::Ranked;
use crate::report::table_builder::TableBuilder;
use crate::selectors::Port;

/// A table of ports by packets, with further columns.
pub fn port_table(kind: &str, population: Population, more: &[(&str, Kind)]) -> TableBuilder {
    TableBuilder::new(kind, population)
        .columns(&[
            ("rank", Kind::Rank),
            ("port", Kind::Port),
            ("packets", Kind::Count),
            ("share", Kind::Share),
        ])
        .columns(more)
}

/// A row of such a table; `whole` is the number of packets that shares are of.
pub fn port_row(ranked: &Ranked<Port>, population: Population, whole: i64) -> Vec<Cell> {
    let packets = ranked.packets(population);
    vec![
        int(ranked.place(population)),
        text(ranked.item.to_string()),
        int(packets),
        share(packets, whole),
    ]
}
