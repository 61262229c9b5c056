//! Cells of a report's tables, and names of columns by population.

use jiff::civil::Date;
use noctule_page::model::{Cell, Population};

/// Both populations, in the order of the page.
pub const BOTH: [Population; 2] = [Population::All, Population::WithoutResearch];

/// A column of SQL for a population: names of those without research scanners end in `_without`.
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

/// A whole number, or an empty cell.
pub fn maybe_int(value: Option<i64>) -> Cell {
    value.map_or(Cell::Missing, Cell::Int)
}

/// A number, or an empty cell if it is missing or not finite.
pub fn number(value: Option<f64>) -> Cell {
    let finite = value.filter(|value| value.is_finite());
    finite.map_or(Cell::Missing, Cell::Float)
}

/// The percentage of a part in a whole; an empty cell if the whole is 0.
pub fn share(part: i64, whole: i64) -> Cell {
    number((whole != 0).then(|| 100.0 * part as f64 / whole as f64))
}

/// A text.
pub fn text(value: impl Into<String>) -> Cell {
    Cell::Text(value.into())
}

/// A text, or an empty cell.
pub fn maybe_text(value: Option<impl Into<String>>) -> Cell {
    value.map_or(Cell::Missing, text)
}

/// A day.
pub fn date(value: Date) -> Cell {
    text(value.to_string())
}

/// A day, or an empty cell.
pub fn maybe_date(value: Option<Date>) -> Cell {
    value.map_or(Cell::Missing, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_nothing_is_missing() {
        assert_eq!(share(1, 0), Cell::Missing);
        assert_eq!(share(1, 4), Cell::Float(25.0));
        assert_eq!(number(Some(f64::NAN)), Cell::Missing);
        assert_eq!(number(Some(f64::INFINITY)), Cell::Missing);
    }
}
