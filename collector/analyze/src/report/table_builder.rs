//! Tables of a report, put together.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use noctule_page::model::{
    Cell, Column, Form, Kind, Note, Plot, Population, Section, Table, Value,
};

use crate::selectors::Port;

/// Both populations, in the order of the page.
pub const BOTH: [Population; 2] = [Population::All, Population::WithoutResearch];

/// A column of SQL for a population: those of the one without research scanners end in `_without`.
pub fn of(population: Population, column: &str) -> String {
    match population {
        Population::All => column.to_owned(),
        Population::WithoutResearch => format!("{column}_without"),
    }
}

/// A whole number.
pub const fn int(value: i64) -> Cell {
    Cell::Int(value)
}

/// A whole number, if there is one.
pub fn maybe_int(value: Option<i64>) -> Cell {
    value.map_or(Cell::Missing, Cell::Int)
}

/// A number, if there is one.
pub fn number(value: Option<f64>) -> Cell {
    let finite = value.filter(|value| value.is_finite());
    finite.map_or(Cell::Missing, Cell::Float)
}

/// Percent that a part is of a whole; missing where the whole is nothing.
pub fn share(part: i64, whole: i64) -> Cell {
    number((whole != 0).then(|| 100.0 * part as f64 / whole as f64))
}

/// A text.
pub fn text(value: impl Into<String>) -> Cell {
    Cell::Text(value.into())
}

/// A day.
pub fn date(value: Date) -> Cell {
    Cell::Text(value.to_string())
}

/// A port.
pub fn port(value: &Port) -> Cell {
    Cell::Text(value.to_string())
}

/// A value with its kind.
pub const fn value(kind: Kind, value: Cell) -> Value {
    Value { kind, value }
}

/// A section without anything.
pub fn section(id: &str) -> Section {
    Section {
        id: id.to_owned(),
        tables: Vec::new(),
        notes: Vec::new(),
    }
}

/// A remark.
pub fn note(id: &str, warning: bool, args: Vec<(&str, Value)>) -> Note {
    let args = args
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    Note {
        id: id.to_owned(),
        warning,
        args: args.collect(),
    }
}

/// A table without columns and rows. `subject` is what tells it from others of its kind.
pub fn table(kind: &str, subject: &str, population: Population) -> Table {
    let mut id = kind.to_owned();
    if !subject.is_empty() {
        id.push('-');
        id.push_str(subject);
    }
    if population == Population::WithoutResearch {
        id.push_str("-without-research");
    }
    Table {
        id,
        kind: kind.to_owned(),
        args: BTreeMap::new(),
        population,
        columns: Vec::new(),
        rows: Vec::new(),
        plots: Vec::new(),
        notes: Vec::new(),
    }
}

/// What tables are built with.
pub trait Build {
    /// Adds columns that have a word as heading.
    fn columns(self, columns: &[(&str, Kind)]) -> Self;
    /// Makes it a table of days: a row for each, with a column of counts for each of these things. The
    /// population's numbers are those of [`of`]`(population, name)`.
    fn by_day(self, kind: Kind, names: Vec<String>, days: &[Date], numbers: &Days) -> Self;
    /// Says what varies in the title.
    fn arg(self, name: &str, value: Value) -> Self;
    /// Draws columns.
    fn plot(self, form: Form, x: &str, y: Vec<String>, logarithmic: bool) -> Self;
}

impl Build for Table {
    fn columns(mut self, columns: &[(&str, Kind)]) -> Self {
        let columns = columns.iter().map(|(id, kind)| Column {
            id: (*id).to_owned(),
            kind: *kind,
            name: None,
        });
        self.columns.extend(columns);
        self
    }

    fn by_day(self, kind: Kind, names: Vec<String>, days: &[Date], numbers: &Days) -> Self {
        let mut table = self.columns(&[("date", Kind::Date)]);
        let columns: Vec<String> = (names.iter())
            .map(|name| of(table.population, name))
            .collect();
        table.rows = numbers.rows(days, &columns);
        table.columns.extend(names.into_iter().map(|name| Column {
            kind: Kind::Count,
            name: Some(value(kind, text(&name))),
            id: name,
        }));
        table
    }

    fn arg(mut self, name: &str, value: Value) -> Self {
        self.args.insert(name.to_owned(), value);
        self
    }

    fn plot(mut self, form: Form, x: &str, y: Vec<String>, logarithmic: bool) -> Self {
        self.plots.push(Plot {
            form,
            x: x.to_owned(),
            y,
            incomplete: Vec::new(),
            logarithmic,
        });
        self
    }
}

/// Numbers by day and by a thing that stands in a column of its own.
#[derive(Debug, Default)]
pub struct Days {
    values: BTreeMap<(Date, String), i64>,
}

impl Days {
    /// Takes a number down.
    pub fn put(&mut self, day: Date, column: &str, value: i64) {
        *self.values.entry((day, column.to_owned())).or_default() += value;
    }

    /// A number; 0 where there is none.
    pub fn get(&self, day: Date, column: &str) -> i64 {
        let key = (day, column.to_owned());
        self.values.get(&key).copied().unwrap_or(0)
    }

    /// A row for every day: the date, and a number for each column.
    pub fn rows(&self, days: &[Date], columns: &[String]) -> Vec<Vec<Cell>> {
        let row = |day: &Date| {
            let numbers = columns.iter().map(|column| int(self.get(*day, column)));
            std::iter::once(date(*day)).chain(numbers).collect()
        };
        days.iter().map(row).collect()
    }
}

/// Marks the days of the period whose figures are incomplete: in plots where a table has days, by a
/// note elsewhere, where a table of one day is about that day only.
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
            let days = value(Kind::Count, int(days as i64));
            table
                .notes
                .push(note("incomplete-days", true, vec![("days", days)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_divided_by_nothing() {
        assert_eq!(share(1, 0), Cell::Missing);
        assert_eq!(share(1, 4), Cell::Float(25.0));
        assert_eq!(number(Some(f64::NAN)), Cell::Missing);
        assert_eq!(number(Some(f64::INFINITY)), Cell::Missing);
    }

    #[test]
    fn days_without_a_number_have_zero() {
        let mut days = Days::default();
        let day = |text: &str| text.parse::<Date>().unwrap();
        days.put(day("2016-09-20"), "23/tcp", 3);
        days.put(day("2016-09-20"), "23/tcp", 4);
        let columns = ["23/tcp".to_owned(), "22/tcp".to_owned()];
        let rows = days.rows(&[day("2016-09-19"), day("2016-09-20")], &columns);
        assert_eq!(rows[0], [text("2016-09-19"), int(0), int(0)]);
        assert_eq!(rows[1], [text("2016-09-20"), int(7), int(0)]);
    }

    #[test]
    fn incomplete_days_are_shaded_or_told() {
        let mut section = section("n2");
        section.tables.push(
            table("n2-days", "", Population::All)
                .columns(&[("date", Kind::Date), ("tcp", Kind::Count)])
                .plot(Form::Lines, "date", vec!["tcp".to_owned()], false),
        );
        section
            .tables
            .push(table("n4-ports", "", Population::WithoutResearch));
        let days = BTreeSet::from(["2016-09-20".parse().unwrap()]);
        mark_incomplete(&mut section, &days);
        assert_eq!(section.tables[0].plots[0].incomplete, ["2016-09-20"]);
        assert!(section.tables[0].notes.is_empty());
        assert_eq!(section.tables[1].notes[0].id, "incomplete-days");
        assert_eq!(section.tables[1].id, "n4-ports-without-research");
    }
}
