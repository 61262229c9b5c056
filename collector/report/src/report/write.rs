//! A report as `report.json` and a CSV file for each table.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use noctule_page::model::{Cell, Report, Table};

/// Writes a report into a folder, which is made.
///
/// # Errors
/// A folder that cannot be made or written to.
pub fn write(report: &Report, out: &Path) -> Result<()> {
    let data = out.join("data");
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    put(&out.join("report.json"), &json)?;
    for table in report.sections.iter().flat_map(|section| &section.tables) {
        put(&data.join(format!("{}.csv", table.id)), &csv(table)?)?;
    }
    Ok(())
}

fn put(path: &Path, octets: &[u8]) -> Result<()> {
    fs::write(path, octets).with_context(|| format!("cannot write {}", path.display()))
}

/// A table with its headings, as RFC 4180 has it.
fn csv(table: &Table) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let headings = table.columns.iter().map(|column| quoted(&column.id));
    writeln!(out, "{}\r", headings.collect::<Vec<_>>().join(","))?;
    for row in &table.rows {
        let cells = row.iter().map(|cell| match cell {
            Cell::Missing => String::new(),
            Cell::Int(value) => value.to_string(),
            Cell::Float(value) => value.to_string(),
            Cell::Text(value) => quoted(value),
        });
        writeln!(out, "{}\r", cells.collect::<Vec<_>>().join(","))?;
    }
    Ok(out)
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
