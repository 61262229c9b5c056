//! A report as the page's template takes it: every text ready to be shown.

use serde::Serialize;

use crate::model::{Cell, Column, Kind, Note, Population, Report, Section, Table, is_all};
use crate::plot::{self, Drawing};
use crate::printer::Printer;
use crate::{Language, dates, numbers};

/// Rows of a table that the page shows; a year of days of three sensors are 1,098.
const ROWS: usize = 1_200;
/// Rows of a list of sources that it shows.
const SOURCES: usize = 50;
/// Rows above which a table is closed at first.
const OPEN: usize = 31;
/// Kinds of tables that are set side by side on a wide page.
const PAIRS: [&str; 2] = ["n6-countries", "t8-sensor"];

/// Everything that varies on the page.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    pub(crate) lang: &'static str,
    pub(crate) period: String,
    pub(crate) days: String,
    pub(crate) notice: Option<String>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) left_out: Vec<String>,
    pub(crate) chapters: Vec<Chapter>,
}

/// A line of what the report was made from.
#[derive(Debug, Serialize)]
pub(crate) struct Fact {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
}

/// Sections that belong together.
#[derive(Debug, Serialize)]
pub(crate) struct Chapter {
    pub(crate) id: &'static str,
    pub(crate) title: String,
    pub(crate) sections: Vec<SectionView>,
}

/// A section.
#[derive(Debug, Serialize)]
pub(crate) struct SectionView {
    pub(crate) id: String,
    /// `N1`, as the section is called in the documentation.
    pub(crate) mark: String,
    pub(crate) title: String,
    pub(crate) text: Option<String>,
    pub(crate) notes: Vec<NoteView>,
    pub(crate) groups: Vec<Group>,
}

/// Tables one below the other, or beside each other.
#[derive(Debug, Serialize)]
pub(crate) struct Group {
    pub(crate) is_pair: bool,
    pub(crate) blocks: Vec<Block>,
}

/// A table and the one without research scanners.
#[derive(Debug, Serialize)]
pub(crate) struct Block {
    pub(crate) table: Option<TableView>,
    pub(crate) twin: Option<TableView>,
}

/// A remark.
#[derive(Debug, Serialize)]
pub(crate) struct NoteView {
    pub(crate) is_warning: bool,
    pub(crate) text: String,
}

/// A table with its plots.
#[derive(Debug, Serialize)]
pub(crate) struct TableView {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) notes: Vec<NoteView>,
    pub(crate) plots: Vec<Drawing>,
    pub(crate) columns: Vec<ColumnView>,
    pub(crate) rows: Vec<RowView>,
    /// How many rows there are; said where the table is closed at first or not shown whole.
    pub(crate) rows_text: Option<String>,
    pub(crate) is_closed: bool,
    pub(crate) is_wide: bool,
}

/// A heading.
#[derive(Debug, Serialize)]
pub(crate) struct ColumnView {
    pub(crate) name: String,
    /// True if its cells are numbers, which are aligned right.
    pub(crate) is_number: bool,
}

/// A row.
#[derive(Debug, Serialize)]
pub(crate) struct RowView {
    /// True if it stays below the other rows in every order: others, totals.
    pub(crate) is_foot: bool,
    pub(crate) cells: Vec<CellView>,
}

/// A cell.
#[derive(Debug, Serialize)]
pub(crate) struct CellView {
    pub(crate) text: String,
    pub(crate) is_number: bool,
    /// Whether it names its row.
    pub(crate) is_heading: bool,
    /// The same for machines: a day, a month, a moment.
    pub(crate) datetime: Option<String>,
}

/// The page of a report.
pub(crate) fn view(report: &Report, printer: &Printer) -> View {
    let about = &report.about;
    let language = printer.language;
    let days = |period| match dates::period_days(period, language) {
        (from, Some(to)) => printer
            .messages
            .say("ui-from-to", &[("from", &from), ("to", &to)]),
        (day, None) => printer.messages.say("ui-day-of", &[("day", &day)]),
    };
    let compare = dates::period_name(&about.compare.name, language);
    let compare = match dates::period_days(&about.compare, language) {
        (day, None) if day == compare => compare,
        _ if language == Language::Japanese => format!("{compare}（{}）", days(&about.compare)),
        _ => format!("{compare} ({})", days(&about.compare)),
    };
    let mut sensors = about.sensors.clone();
    if sensors.is_empty() {
        sensors.push(printer.ui("ui-no-sensors"));
    }
    let files = i64::try_from(about.files).unwrap_or(i64::MAX);
    let (files, octets) = (numbers::exact(files), numbers::octets(about.octets));
    let read = [("files", files.as_str()), ("octets", &octets)];
    let facts = [
        ("ui-period", vec![days(&about.period)]),
        ("ui-compare", vec![compare]),
        ("ui-timezone", vec![about.timezone.clone()]),
        ("ui-sensors", sensors),
        ("ui-store", vec![about.store.clone()]),
        (
            "ui-read",
            vec![printer.messages.say("ui-read-files", &read)],
        ),
        ("ui-versions", about.versions.clone()),
        ("ui-made-by", vec![about.made_by.clone()]),
    ];
    let facts = facts.into_iter().filter(|(_, values)| !values.is_empty());
    View {
        lang: language.code(),
        period: dates::period_name(&about.period.name, language),
        days: days(&about.period),
        notice: about.notice.clone(),
        facts: facts
            .map(|(id, values)| Fact {
                name: printer.ui(id),
                values,
            })
            .collect(),
        left_out: about.left_out.clone(),
        chapters: chapters(report, printer),
    }
}

/// Chapters in their order, those that have sections.
fn chapters(report: &Report, printer: &Printer) -> Vec<Chapter> {
    let chapters = ["chapter-n", "chapter-t", "chapter-c", "chapter-more"].map(|id| {
        let sections: Vec<SectionView> = (report.sections.iter())
            .filter(|section| chapter(&section.id) == id)
            .map(|section| self::section(section, printer))
            .collect();
        Chapter {
            id,
            title: printer.ui(id),
            sections,
        }
    });
    chapters
        .into_iter()
        .filter(|chapter| !chapter.sections.is_empty())
        .collect()
}

/// Chapter of a section.
pub(crate) fn chapter(section: &str) -> &'static str {
    match section.as_bytes().first() {
        Some(b'n') => "chapter-n",
        Some(b't') => "chapter-t",
        Some(b'c') => "chapter-c",
        _ => "chapter-more",
    }
}

fn section(section: &Section, printer: &Printer) -> SectionView {
    let mut groups: Vec<Group> = Vec::new();
    let mut last_kind = "";
    for table in &section.tables {
        let view = self::table(table, printer);
        let is_pair = PAIRS.contains(&table.kind.as_str());
        let block = groups.last_mut().and_then(|group| group.blocks.last_mut());
        match (table.population, block) {
            (Population::WithoutResearch, Some(block)) if block.twin.is_none() => {
                block.twin = Some(view);
            }
            (population, _) => {
                let block = match population {
                    Population::All => Block {
                        table: Some(view),
                        twin: None,
                    },
                    Population::WithoutResearch => Block {
                        table: None,
                        twin: Some(view),
                    },
                };
                match groups.last_mut() {
                    Some(group) if group.is_pair && is_pair && last_kind == table.kind => {
                        group.blocks.push(block);
                    }
                    _ => groups.push(Group {
                        is_pair,
                        blocks: vec![block],
                    }),
                }
            }
        }
        last_kind = &table.kind;
    }
    let text = format!("section-{}-text", section.id);
    SectionView {
        id: section.id.clone(),
        mark: section.id.to_uppercase(),
        title: printer.ui(&format!("section-{}", section.id)),
        text: printer.messages.has(&text).then(|| printer.ui(&text)),
        notes: notes(&section.notes, printer),
        groups,
    }
}

fn notes(notes: &[Note], printer: &Printer) -> Vec<NoteView> {
    let view = |note: &Note| NoteView {
        is_warning: note.warning,
        text: printer.note(note),
    };
    notes.iter().map(view).collect()
}

fn table(table: &Table, printer: &Printer) -> TableView {
    let title = printer.title(table);
    let limit = if table.kind == "t7-sources" {
        SOURCES
    } else {
        ROWS
    };
    // The first that can say what a row is about.
    let heading = table
        .columns
        .iter()
        .position(|column| !is_number(column.kind));
    let row = |row: &Vec<Cell>| {
        let cells = table.columns.iter().enumerate().map(|(at, column)| {
            let cell = row.get(at).unwrap_or(&Cell::Missing);
            CellView {
                text: printer.cell(cell, column),
                is_number: is_number(column.kind),
                is_heading: heading == Some(at),
                datetime: datetime(cell, column),
            }
        });
        RowView {
            is_foot: is_foot(table, row),
            cells: cells.collect(),
        }
    };
    let draw = |(at, plot): (usize, &crate::model::Plot)| {
        plot::draw(
            plot,
            table,
            &format!("{}_plot{at}", table.id),
            &title,
            printer,
        )
    };
    let count = table.rows.len();
    let is_closed = count > OPEN;
    let rows_text = (is_closed || count > limit).then(|| {
        let said = |number: usize| numbers::exact(i64::try_from(number).unwrap_or(i64::MAX));
        let (rows, shown) = (said(count), said(limit));
        let id = if count > limit {
            "ui-rows-shown"
        } else {
            "ui-rows"
        };
        printer
            .messages
            .say(id, &[("rows", &rows), ("shown", &shown)])
    });
    TableView {
        id: table.id.clone(),
        notes: notes(&table.notes, printer),
        plots: table.plots.iter().enumerate().filter_map(draw).collect(),
        columns: (table.columns.iter())
            .map(|column| ColumnView {
                name: printer.heading(column),
                is_number: is_number(column.kind),
            })
            .collect(),
        rows: table.rows.iter().take(limit).map(row).collect(),
        rows_text,
        is_closed,
        is_wide: table.columns.len() > 10,
        title,
    }
}

/// True if cells are aligned right, digit below digit.
fn is_number(kind: Kind) -> bool {
    matches!(kind, Kind::Count | Kind::Number | Kind::Share | Kind::Rank)
}

/// Whether a row sums up others.
fn is_foot(table: &Table, row: &[Cell]) -> bool {
    let named = table.columns.iter().zip(row);
    let mut named = named.filter(|(column, _)| matches!(column.kind, Kind::Country | Kind::Port));
    named.any(|(column, cell)| {
        let Cell::Text(text) = cell else {
            return false;
        };
        matches!(text.as_str(), "rest" | "backscatter" | "no-port") || is_all(column.kind, cell)
    })
}

/// A day, a month or a moment as HTML's `time` takes it.
fn datetime(cell: &Cell, column: &Column) -> Option<String> {
    let Cell::Text(text) = cell else {
        return None;
    };
    let is_time = match column.kind {
        Kind::Date => text.parse::<jiff::civil::Date>().is_ok(),
        Kind::Month => dates::month_start(text).is_some(),
        Kind::Time => text.parse::<jiff::Timestamp>().is_ok(),
        _ => false,
    };
    is_time.then(|| text.clone())
}
