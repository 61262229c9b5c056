//! What a plot shows, taken from a table's cells: places along the axis, and values or gaps.

use jiff::civil::Date;

use super::style::SERIES;
use crate::dates::ordinal;
use crate::model::{Cell, Form, Kind, Plot, Table, is_all};
use crate::printer::Printer;

/// A line, an area or a set of bars.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: String,
    /// One a place; none is a gap.
    pub(super) values: Vec<Option<f64>>,
}

/// Places along the horizontal axis.
#[derive(Debug, PartialEq)]
pub(super) enum Places {
    /// Days since 1970.
    Days(Vec<i64>),
    /// One beside the other, with names.
    Names(Vec<String>),
}

/// Everything that is drawn.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) form: Form,
    pub(super) logarithmic: bool,
    /// Whether values are percent.
    pub(super) is_share: bool,
    pub(super) places: Places,
    pub(super) series: Vec<Series>,
    /// Which places are incomplete.
    pub(super) incomplete: Vec<usize>,
    /// Series that there is no colour for.
    pub(super) left_out: usize,
    /// Name of the horizontal axis.
    x_name: String,
    /// Names of the first and the last place.
    ends: [String; 2],
}

impl Data {
    pub(super) fn new(plot: &Plot, table: &Table, printer: &Printer) -> Option<Self> {
        let at = |id: &str| table.columns.iter().position(|column| column.id == id);
        let x = at(&plot.x)?;
        let wanted = if plot.form == Form::Bars { 1 } else { SERIES };
        let columns: Vec<usize> = plot.y.iter().filter_map(|id| at(id)).collect();
        let is_share = (columns.first()).is_some_and(|&y| table.columns[y].kind == Kind::Share);
        // A bar of all would make the others small.
        let is_drawn = |row: &&Vec<Cell>| {
            let of_all = |cell| is_all(table.columns[x].kind, cell);
            plot.form != Form::Bars || !row.get(x).is_some_and(of_all)
        };
        let rows: Vec<&Vec<Cell>> = table.rows.iter().filter(is_drawn).collect();
        let series: Vec<Series> = (columns.iter().take(wanted))
            .map(|&y| Series {
                name: printer.heading(&table.columns[y]),
                values: (rows.iter())
                    .map(|row| row.get(y).and_then(value))
                    .collect(),
            })
            .collect();
        if !series
            .iter()
            .any(|series| series.values.iter().any(Option::is_some))
        {
            return None;
        }
        let xs: Vec<&Cell> = (rows.iter())
            .map(|row| row.get(x).unwrap_or(&Cell::Missing))
            .collect();
        let column = &table.columns[x];
        let names: Vec<String> = xs.iter().map(|cell| printer.cell(cell, column)).collect();
        let incomplete = (xs.iter().enumerate())
            .filter(|(_, cell)| match cell {
                Cell::Text(text) => plot.incomplete.contains(text),
                Cell::Int(number) => plot.incomplete.contains(&number.to_string()),
                _ => false,
            })
            .map(|(place, _)| place)
            .collect();
        let ends = [names.first()?.clone(), names.last()?.clone()];
        let is_day = column.kind == Kind::Date && plot.form != Form::Bars;
        let days = if is_day { days(&xs) } else { None };
        Some(Self {
            form: plot.form,
            logarithmic: plot.logarithmic && plot.form == Form::Lines,
            is_share,
            places: days.map_or(Places::Names(names), Places::Days),
            left_out: columns.len().saturating_sub(wanted),
            series,
            incomplete,
            x_name: printer.heading(column),
            ends,
        })
    }

    /// Place of a row along the axis, in units of one place, from the first.
    pub(super) fn x(&self, row: usize) -> f64 {
        match &self.places {
            Places::Days(days) => days
                .get(row)
                .zip(days.first())
                .map_or(0.0, |(day, first)| (day - first) as f64),
            Places::Names(_) => row as f64,
        }
    }

    /// Rows, each of which is a place.
    pub(super) fn rows(&self) -> usize {
        match &self.places {
            Places::Days(days) => days.len(),
            Places::Names(names) => names.len(),
        }
    }

    /// What is drawn, for those who cannot see it.
    pub(super) fn describe(&self, printer: &Printer) -> String {
        let names: Vec<&str> = self
            .series
            .iter()
            .map(|series| series.name.as_str())
            .collect();
        let names = names.join(", ");
        let rows = self.rows().to_string();
        let [first, last] = &self.ends;
        match self.form {
            Form::Bars => {
                let args = [
                    ("series", names.as_str()),
                    ("x", &self.x_name),
                    ("rows", &rows),
                ];
                printer.messages.say("ui-bars-of", &args)
            }
            form => {
                let lines = form == Form::Lines;
                let id = if lines {
                    "ui-lines-of"
                } else {
                    "ui-stacked-of"
                };
                let args = [
                    ("series", names.as_str()),
                    ("x", &self.x_name),
                    ("first", first),
                    ("last", last),
                ];
                printer.messages.say(id, &args)
            }
        }
    }
}

fn value(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Int(number) => Some(*number as f64),
        Cell::Float(number) if number.is_finite() => Some(*number),
        _ => None,
    }
}

/// Days since 1970; none unless all are days that rise.
fn days(cells: &[&Cell]) -> Option<Vec<i64>> {
    let days: Option<Vec<i64>> = (cells.iter())
        .map(|cell| match cell {
            Cell::Text(text) => Some(ordinal(text.parse::<Date>().ok()?)),
            _ => None,
        })
        .collect();
    days.filter(|days| days.is_sorted_by(|earlier, later| earlier < later))
}
