//! A report as data: sections of tables, and which plots are drawn of them.
//!
//! It contains no text for readers. Sections, tables, columns and notes have identifiers, to which
//! the message files of each language have titles; what varies within a text is an argument.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of this layout, in `report.json` as `version`.
pub const VERSION: u32 = 1;

/// A whole report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// What it is of, and what it was made from.
    pub about: About,
    /// In the order of the page.
    pub sections: Vec<Section>,
}

/// What a report is of, and what it was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The store, as its reader named it.
    pub store: String,
    /// The days reported on.
    pub period: Period,
    /// The days that ranks are compared with.
    pub compare: Period,
    /// Zone whose days these are, by its IANA name.
    pub timezone: String,
    /// Sensors whose packets are counted.
    pub sensors: Vec<String>,
    /// What the store's settings say of its data, such as that it is synthetic.
    pub notice: Option<String>,
    /// Program and version that made the report.
    pub made_by: String,
    /// Versions of the prefix lists, rules and collectors that counted.
    pub versions: Vec<String>,
    /// Files of the store that were read.
    pub files: u64,
    /// Octets that were read of them.
    pub octets: u64,
    /// Files that could not be used, with the reason; a figure lacks what they held.
    pub left_out: Vec<String>,
}

/// A range of days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// As it is written on the command line: `2016`, `2016-Q3`, `2016-09`, `2016-09-20`.
    pub name: String,
    /// First day, `YYYY-MM-DD`.
    pub from: String,
    /// Last day, included.
    pub to: String,
}

/// A section: one of the figures that observatories publish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// `n1` to `n9`, `t1` to `t8`, `c1`, `c2`; messages `section-ID` (title) and `section-ID-text`
    /// (which packets it counts).
    pub id: String,
    /// Its tables; none: there is nothing to show, and a note says why.
    pub tables: Vec<Table>,
    /// What a reader must know before using it.
    pub notes: Vec<Note>,
}

/// A table, which is a CSV and a JSON file of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Unique within the report; the file's name: small letters, digits and hyphens.
    pub id: String,
    /// Message `table-KIND` is the title.
    pub kind: String,
    /// What the title says besides, such as `port` = `23/tcp`.
    pub args: BTreeMap<String, Value>,
    /// Whose packets it counts.
    pub population: Population,
    /// Left to right.
    pub columns: Vec<Column>,
    /// Each as long as `columns`.
    pub rows: Vec<Vec<Cell>>,
    /// Drawn above the table.
    pub plots: Vec<Plot>,
    /// What a reader must know before using it.
    pub notes: Vec<Note>,
}

/// Whose packets a table counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Population {
    /// All dark packets that the section is about.
    All,
    /// The same without packets of research scanners. It follows the table with them.
    WithoutResearch,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// The heading in CSV, and message `column-ID` if `name` is not given.
    pub id: String,
    /// What its cells hold.
    pub kind: Kind,
    /// Where the heading is a thing rather than a word: a port, a country, a sensor.
    pub name: Option<Value>,
}

/// What a column's cells hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Whole numbers of packets, sources, addresses, hours.
    Count,
    /// Numbers with a fraction, such as packets per address.
    Number,
    /// Percent, 0 to 100.
    Share,
    /// A place in an order, from 1; none is printed `-`.
    Rank,
    /// A day, `YYYY-MM-DD`.
    Date,
    /// A month, `YYYY-MM`.
    Month,
    /// A moment, RFC 3339 in UTC.
    Time,
    /// A country, ISO 3166-1 alpha-2; `??` unknown; `rest` all others.
    Country,
    /// A port and protocol, `23/tcp`, `8/0/icmp`; a protocol alone where there is no port; `rest` all
    /// others; `backscatter` and `no-port` are rows outside the ranking.
    Port,
    /// An AS number.
    Asn,
    /// One of a few words, with message `word-WORD`.
    Word,
    /// Names and addresses, printed as they are.
    Text,
}

/// A cell; what it means is the column's [`Kind`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// Unknown or missing: printed `-`.
    Missing,
    /// [`Kind::Count`], [`Kind::Rank`], [`Kind::Asn`].
    Int(i64),
    /// [`Kind::Number`], [`Kind::Share`].
    Float(f64),
    /// The others.
    Text(String),
}

/// A value in a title, a heading or a note, printed as a cell of its kind is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// The value.
    pub value: Cell,
}

/// A plot of a table's columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// How it is drawn.
    pub form: Form,
    /// Column of the horizontal axis (lines, columns) or of the bars' names.
    pub x: String,
    /// Columns that are drawn, all in one unit.
    pub y: Vec<String>,
    /// Values of `x` whose figures are incomplete; they are shaded.
    pub incomplete: Vec<String>,
    /// Vertical axis by powers of ten.
    pub logarithmic: bool,
}

/// How a plot is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A line for each column of `y`.
    Lines,
    /// Columns of `y` upon each other at each `x`.
    Stacked,
    /// One horizontal bar a row, of the first column of `y`.
    Bars,
}

/// A remark: message `note-ID`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Which one.
    pub id: String,
    /// Whether figures are less than they would be.
    pub warning: bool,
    /// What it says besides.
    pub args: BTreeMap<String, Value>,
}

/// Whether a cell says that its row is about all countries together. An event of all ports is an
/// event like others.
pub(crate) fn is_all(kind: Kind, cell: &Cell) -> bool {
    kind == Kind::Country && matches!(cell, Cell::Text(text) if text == "all")
}
