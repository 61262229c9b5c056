//! Tables and notes of a report's page.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use noctule_page::model::{
    Cell, Column, Form, Kind, Note, Plot, Population, Section, Table, Value,
};

use super::by_day::ByDay;
use super::cells::{int, text};

/// An empty section; `sections` sets its id.
pub const fn section() -> Section {
    Section {
        id: String::new(),
        tables: Vec::new(),
        notes: Vec::new(),
    }
}

/// A note that explains.
pub fn remark(id: &str) -> Note {
    Note {
        id: id.to_owned(),
        warning: false,
        args: BTreeMap::new(),
    }
}

/// A note that warns; `args` are the values in its text.
pub fn warning<const N: usize>(id: &str, args: [(&str, Kind, Cell); N]) -> Note {
    let args = args.map(|(name, kind, value)| (name.to_owned(), Value { kind, value }));
    Note {
        id: id.to_owned(),
        warning: true,
        args: BTreeMap::from(args),
    }
}

/// A table that is being put together.
#[derive(Debug)]
pub struct TableBuilder {
    table: Table,
}

impl TableBuilder {
    /// A table without columns and rows. `kind` selects the title.
    pub fn new(kind: &str, population: Population) -> Self {
        Self {
            table: Table {
                id: kind.to_owned(),
                kind: kind.to_owned(),
                args: BTreeMap::new(),
                population,
                columns: Vec::new(),
                rows: Vec::new(),
                plots: Vec::new(),
                notes: Vec::new(),
            },
        }
    }

    /// Appends to the table's id, so that it differs from other tables of its kind.
    pub fn suffix(mut self, suffix: &str) -> Self {
        self.table.id = format!("{}-{suffix}", self.table.id);
        self
    }

    /// Sets a value in the title.
    pub fn arg(mut self, name: &str, kind: Kind, value: Cell) -> Self {
        let value = Value { kind, value };
        self.table.args.insert(name.to_owned(), value);
        self
    }

    /// Adds columns whose headings are words.
    pub fn columns(mut self, columns: &[(&str, Kind)]) -> Self {
        let columns = columns.iter().map(|(id, kind)| Column {
            id: (*id).to_owned(),
            kind: *kind,
            name: None,
        });
        self.table.columns.extend(columns);
        self
    }

    /// Adds a column of days and a column of counts for each name, and a row for each day. `kind` is
    /// what the names are, such as ports.
    pub fn by_day(mut self, kind: Kind, names: &[String], days: &[Date], counts: &ByDay) -> Self {
        self = self.columns(&[("date", Kind::Date)]);
        self.table.rows = counts.rows(days, self.table.population, names);
        let columns = names.iter().map(|name| Column {
            id: name.clone(),
            kind: Kind::Count,
            name: Some(Value {
                kind,
                value: text(name),
            }),
        });
        self.table.columns.extend(columns);
        self
    }

    /// Draws the columns `y` over the column `x`.
    pub fn plot(mut self, form: Form, x: &str, y: &[impl AsRef<str>]) -> Self {
        self.table.plots.push(Plot {
            form,
            x: x.to_owned(),
            y: y.iter().map(|id| id.as_ref().to_owned()).collect(),
            incomplete: Vec::new(),
            logarithmic: false,
        });
        self
    }

    /// Gives the plots a logarithmic scale.
    pub fn logarithmic(mut self) -> Self {
        for plot in &mut self.table.plots {
            plot.logarithmic = true;
        }
        self
    }

    /// Adds rows.
    pub fn rows(mut self, rows: impl IntoIterator<Item = Vec<Cell>>) -> Self {
        self.table.rows.extend(rows);
        self
    }

    /// Adds a row.
    pub fn row(&mut self, row: Vec<Cell>) {
        self.table.rows.push(row);
    }

    /// The table.
    pub fn build(mut self) -> Table {
        if self.table.population == Population::WithoutResearch {
            self.table.id.push_str("-without-research");
        }
        self.table
    }
}

/// Marks the days of the period whose figures are incomplete. Tables of days have them shaded in
/// their plots; other tables get a note, and a table of one day only if that day is incomplete.
pub fn mark_incomplete(section: &mut Section, incomplete: &BTreeSet<Date>) {
    for table in &mut section.tables {
        let has_days =
            (table.columns.iter()).any(|column| column.id == "date" && column.kind == Kind::Date);
        if has_days {
            for plot in &mut table.plots {
                plot.incomplete = incomplete.iter().map(Date::to_string).collect();
            }
            continue;
        }
        let days = match table.args.get("date").map(|date| &date.value) {
            Some(Cell::Text(date)) => (incomplete.iter())
                .filter(|day| day.to_string() == *date)
                .count(),
            _ => incomplete.len(),
        };
        if days > 0 {
            let days = ("days", Kind::Count, int(days as i64));
            table.notes.push(warning("incomplete-days", [days]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_days_are_shaded_or_noted() {
        let mut section = section();
        section.tables = vec![
            TableBuilder::new("n2-days", Population::All)
                .columns(&[("date", Kind::Date), ("tcp", Kind::Count)])
                .plot(Form::Lines, "date", &["tcp"])
                .build(),
            TableBuilder::new("n4-ports", Population::WithoutResearch)
                .suffix("a")
                .build(),
        ];
        let days = BTreeSet::from(["2016-09-20".parse().unwrap()]);
        mark_incomplete(&mut section, &days);
        assert_eq!(section.tables[0].plots[0].incomplete, ["2016-09-20"]);
        assert!(section.tables[0].notes.is_empty());
        assert_eq!(section.tables[1].notes[0].id, "incomplete-days");
        assert_eq!(section.tables[1].id, "n4-ports-a-without-research");
    }
}
