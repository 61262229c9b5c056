//! Tables as CSV and JSON, and a list of these files.

use std::fmt::Write as _;

use serde::Serialize;

use crate::model::{Cell, Report, Table};
use crate::numbers;
use crate::printer::Printer;

/// A table as CSV (RFC 4180, lines end in LF): the columns' identifiers, then raw values; what is
/// missing is empty.
///
/// # Errors
/// None that memory alone can cause.
pub(crate) fn csv(table: &Table) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(table.columns.iter().map(|column| column.id.as_str()))?;
    for row in &table.rows {
        let cells = (0..table.columns.len()).map(|at| match row.get(at) {
            None | Some(Cell::Missing) => String::new(),
            Some(Cell::Int(number)) => number.to_string(),
            Some(Cell::Float(number)) if !number.is_finite() => String::new(),
            Some(Cell::Float(number)) => number.to_string(),
            Some(Cell::Text(text)) => text.clone(),
        });
        writer.write_record(cells)?;
    }
    (writer.into_inner()).map_err(|error| csv::Error::from(error.into_error()))
}

/// A table as a JSON file: what a reader of it alone must know, and the table as `report.json` has it.
#[derive(Serialize)]
struct TableFile<'a> {
    /// The store's notice, such as that its traffic is synthetic.
    notice: Option<&'a str>,
    timezone: &'a str,
    made_by: &'a str,
    #[serde(flatten)]
    table: &'a Table,
}

/// A table as JSON.
///
/// # Errors
/// None that memory alone can cause.
pub(crate) fn json(table: &Table, report: &Report) -> Result<Vec<u8>, serde_json::Error> {
    let about = &report.about;
    let mut octets = serde_json::to_vec(&TableFile {
        notice: about.notice.as_deref(),
        timezone: &about.timezone,
        made_by: &about.made_by,
        table,
    })?;
    octets.push(b'\n');
    Ok(octets)
}

/// A list of the tables with their titles and columns, with the notice, for which CSV has no place.
pub(crate) fn index(report: &Report, printer: &Printer) -> String {
    let mut text = printer.ui("ui-title");
    let about = &report.about;
    let _ = write!(text, "\n{}, {}\n", about.period.name, about.timezone);
    if let Some(notice) = &about.notice {
        let _ = write!(text, "\n{}: {notice}\n", printer.ui("ui-notice"));
    }
    for section in &report.sections {
        for table in &section.tables {
            let rows = numbers::exact(i64::try_from(table.rows.len()).unwrap_or(i64::MAX));
            let rows = printer.messages.say("ui-rows", &[("rows", &rows)]);
            let title = printer.title(table);
            let mark = section.id.to_uppercase();
            let _ = write!(
                text,
                "\n{0}.csv, {0}.json\n  {mark}: {title}, {rows}\n",
                table.id
            );
            for column in &table.columns {
                let _ = writeln!(text, "    {}: {}", column.id, printer.heading(column));
            }
        }
    }
    text
}
