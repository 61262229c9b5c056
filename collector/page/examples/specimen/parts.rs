//! Pieces that specimens are built of: cells, columns, tables and made-up series.

use noctule_page::model::{
    Cell, Column, Form, Kind, Note, Plot, Population, Section, Table, Value,
};

pub fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

pub fn value(kind: Kind, value: Cell) -> Value {
    Value { kind, value }
}

pub fn column(id: &str, kind: Kind) -> Column {
    Column {
        id: id.to_owned(),
        kind,
        name: None,
    }
}

pub fn columns(list: &[(&str, Kind)]) -> Vec<Column> {
    list.iter().map(|(id, kind)| column(id, *kind)).collect()
}

/// A column of counts whose heading is a port or a country.
pub fn named(kind: Kind, id: &str) -> Column {
    Column {
        id: id.to_owned(),
        kind: Kind::Count,
        name: Some(value(kind, text(id))),
    }
}

pub fn note(id: &str, warning: bool, args: &[(&str, Kind, Cell)]) -> Note {
    let args = args
        .iter()
        .map(|(name, kind, cell)| ((*name).to_owned(), value(*kind, cell.clone())));
    Note {
        id: id.to_owned(),
        warning,
        args: args.collect(),
    }
}

pub fn table(id: &str, kind: &str, columns: Vec<Column>, rows: Vec<Vec<Cell>>) -> Table {
    Table {
        id: id.to_owned(),
        kind: kind.to_owned(),
        args: [].into(),
        population: Population::All,
        columns,
        rows,
        plots: Vec::new(),
        notes: Vec::new(),
    }
}

pub fn section(id: &str, tables: Vec<Table>) -> Section {
    Section {
        id: id.to_owned(),
        tables,
        notes: Vec::new(),
    }
}

/// Adds methods that a table is finished with.
pub trait Finish: Sized {
    fn with(self, name: &str, kind: Kind, cell: Cell) -> Self;
    fn plot(
        self,
        form: Form,
        x: &str,
        y: &[&str],
        logarithmic: bool,
        incomplete: &[String],
    ) -> Self;
    /// The table and its twin without research scanners, with a tenth less of every count.
    fn twins(self) -> Vec<Self>;
}

impl Finish for Table {
    fn with(mut self, name: &str, kind: Kind, cell: Cell) -> Self {
        self.args.insert(name.to_owned(), value(kind, cell));
        self
    }

    fn plot(
        mut self,
        form: Form,
        x: &str,
        y: &[&str],
        logarithmic: bool,
        incomplete: &[String],
    ) -> Self {
        self.plots.push(Plot {
            form,
            x: x.to_owned(),
            y: y.iter().map(|&id| id.to_owned()).collect(),
            incomplete: incomplete.to_vec(),
            logarithmic,
        });
        self
    }

    fn twins(self) -> Vec<Self> {
        let mut twin = self.clone();
        twin.id.push_str("-without-research");
        twin.population = Population::WithoutResearch;
        for row in &mut twin.rows {
            for (cell, column) in row.iter_mut().zip(&twin.columns) {
                if let (Cell::Int(number), Kind::Count) = (cell, column.kind) {
                    *number -= *number / 10;
                }
            }
        }
        vec![self, twin]
    }
}

/// A number that looks measured: near `usual`, with a weekly swing, noise and, from `onset` on, a
/// wave that reaches `height` times the usual and fades.
pub fn made_up(usual: f64, day: usize, seed: usize, onset: Option<usize>, height: f64) -> i64 {
    let mixed = (day * 2_654_435_761 + seed * 40_503 + 12_345) % 65_521;
    let noise = 0.9 + 0.2 * (mixed % 1_000) as f64 / 1_000.0;
    let week = 1.0 + 0.06 * ((day % 7) as f64 - 3.0) / 3.0;
    let wave = match onset {
        Some(onset) if day >= onset => {
            let age = (day - onset) as f64;
            height * (age / 4.0).min(1.0) * (-age / 40.0).exp()
        }
        _ => 0.0,
    };
    (usual * noise * week * (1.0 + wave)).round() as i64
}

/// A number of two digits after the point, which readers of JSON read back as it was.
pub fn number(value: f64) -> Cell {
    Cell::Float((value * 100.0).round() / 100.0)
}
