//! The sections of a report, in the order of the page.

use anyhow::Result;
use noctule_page::model::Section;

use super::context::Context;
use super::table_builder::{mark_incomplete, warning};
use crate::args::Style;

mod answers;
mod completeness;
mod country_days;
mod country_ranks;
mod country_sources;
mod days;
mod events;
mod fingerprints;
mod notify;
mod peaks;
mod port_countries;
mod port_days;
mod port_ranks;
mod port_sources;
mod port_table;
mod ports;
mod research;
mod sensors;
mod tcp_sources;
mod years;

/// Makes a section.
type SectionFn = fn(&Context<'_>) -> Result<Section>;

/// Id and function of every section. `n` is in reports of NICTER's style, `t` in those of TSUBAME's,
/// `c` in all.
const SECTIONS: [(&str, SectionFn); 19] = [
    ("c1", completeness::section),
    ("n1", years::section),
    ("n2", days::section),
    ("n3", tcp_sources::section),
    ("n4", ports::section),
    ("n5", port_sources::section),
    ("n6", peaks::section),
    ("n7", country_sources::section),
    ("n8", fingerprints::section),
    ("n9", research::section),
    ("t1", port_ranks::section),
    ("t2", country_ranks::section),
    ("t3", port_days::section),
    ("t4", country_days::section),
    ("t5", port_countries::section),
    ("t6", answers::section),
    ("t7", notify::section),
    ("t8", sensors::section),
    ("c2", events::section),
];

/// Makes the sections of a report's style.
///
/// # Errors
/// If the store cannot be read, memory runs out, or the key of pseudonyms cannot be used.
pub fn all(context: &Context<'_>) -> Result<Vec<Section>> {
    let left_out = match context.args.style {
        Style::All => None,
        Style::Nicter => Some('t'),
        Style::Tsubame => Some('n'),
    };
    let incomplete = context.series.completeness.incomplete(context.period());
    let is_empty = context.series.packets.sum(&context.days, "total") == 0;
    let mut sections = Vec::new();
    for (id, section) in SECTIONS {
        if left_out.is_some_and(|style| id.starts_with(style)) {
            continue;
        }
        context.database.stage(id);
        let mut section = section(context)?;
        section.id = id.to_owned();
        if is_empty && !id.starts_with('c') {
            section.notes.insert(0, warning("no-data", []));
        }
        if id != "c1" {
            mark_incomplete(&mut section, &incomplete);
        }
        sections.push(section);
    }
    Ok(sections)
}
