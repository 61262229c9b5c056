//! N6: distinct sources by country on peak days.

use anyhow::Result;
use noctule_page::model::{Cell, Form, Kind, Section};

use crate::report::cells::{BOTH, date, int, share, text};
use crate::report::context::Context;
use crate::report::table_builder::{TableBuilder, remark, section as new_section, warning};

/// Countries in a table.
const COUNTRIES: usize = 10;

/// Makes the section.
#[expect(clippy::unnecessary_wraps, reason = "all sections have this signature")]
pub fn section(context: &Context<'_>) -> Result<Section> {
    let peaks = &context.peaks;
    let mut section = new_section();
    if peaks.is_empty() {
        section.notes.push(remark("peaks-not-found"));
    }
    for (number, peak) in (1..).zip(peaks) {
        for population in BOTH {
            let countries = peak.countries(population);
            let (first, rest) = countries.split_at(countries.len().min(COUNTRIES));
            let sum = |countries: &[(String, i64)]| -> i64 {
                countries.iter().map(|(_, sources)| sources).sum()
            };
            let all = sum(countries);
            let mut table = TableBuilder::new("n6-countries", population)
                .suffix(&i32::to_string(&number))
                .arg("date", Kind::Date, date(peak.peak.date))
                .arg("ports", Kind::Text, text(peak.peak.names()))
                .columns(&[
                    ("rank", Kind::Rank),
                    ("country", Kind::Country),
                    ("sources", Kind::Count),
                    ("share", Kind::Share),
                ])
                .plot(Form::Bars, "country", &["share"]);
            for (rank, (country, sources)) in (1..).zip(first) {
                let share = share(*sources, all);
                table.row(vec![int(rank), text(country), int(*sources), share]);
            }
            for (name, sources) in [("rest", sum(rest)), ("all", all)] {
                let share = share(sources, all);
                table.row(vec![Cell::Missing, text(name), int(sources), share]);
            }
            section.tables.push(table.build());
        }
    }
    let attributed = (peaks.iter())
        .any(|peak| (BOTH.into_iter()).any(|population| peak.first_country(population).is_some()));
    if !attributed && !peaks.is_empty() {
        section.notes.push(warning("no-countries", []));
    }
    Ok(section)
}
