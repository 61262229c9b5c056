//! Writes a report into a folder.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::model::Report;
use crate::printer::Printer;
use crate::{Language, files, page};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The page.
    pub index: PathBuf,
    /// Every file, the page last.
    pub files: Vec<PathBuf>,
    /// Octets of all of them.
    pub octets: u64,
}

/// Why a report was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A table or section whose name would be no good file name or anchor.
    #[error(
        "\"{id}\" cannot name a table or section: use small letters, digits and hyphens, at most 200"
    )]
    BadName {
        /// The name.
        id: String,
    },
    /// Two tables or sections of one name.
    #[error("\"{id}\" names two tables or sections of the report: give each a name of its own")]
    NameTwice {
        /// The name.
        id: String,
    },
    /// A file or folder that could not be written.
    #[error(
        "cannot write {path}: {cause}; choose a folder that can be written to, with room in it"
    )]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A table that could not be made a CSV file.
    #[error("cannot make a CSV file of table {table}: {cause}")]
    Csv {
        /// Its name.
        table: String,
        /// Why.
        cause: csv::Error,
    },
    /// A part of the report that could not be made JSON.
    #[error("cannot make JSON of {part}: {cause}")]
    Json {
        /// A table's name, or `report`.
        part: String,
        /// Why.
        cause: serde_json::Error,
    },
    /// The page's template failed.
    #[error("cannot make the page: {0}")]
    Page(#[from] minijinja::Error),
}

/// Writes `index.html`, `data/TABLE.csv`, `data/TABLE.json`, `data/README.txt` and `report.json` into
/// a folder, which is made where it is missing. Files of these names are replaced, others stay. The
/// page comes last, so that it never names a file that is not there.
///
/// # Errors
/// Names that are no names of files or there twice, and what the file system refuses.
pub fn write(report: &Report, language: Language, out: &Path) -> Result<Written, Error> {
    check(report)?;
    let printer = Printer::of(report, language);
    let data = out.join("data");
    fs::create_dir_all(&data).map_err(|cause| Error::Write {
        path: data.clone(),
        cause,
    })?;
    let mut writer = Writer {
        files: Vec::new(),
        octets: 0,
    };
    for table in report.sections.iter().flat_map(|section| &section.tables) {
        let csv = files::csv(table);
        let csv = csv.map_err(|cause| Error::Csv {
            table: table.id.clone(),
            cause,
        })?;
        writer.write(data.join(format!("{}.csv", table.id)), &csv)?;
        let json = files::json(table, report);
        let json = json.map_err(|cause| Error::Json {
            part: table.id.clone(),
            cause,
        })?;
        writer.write(data.join(format!("{}.json", table.id)), &json)?;
    }
    writer.write(
        data.join("README.txt"),
        files::index(report, &printer).as_bytes(),
    )?;
    let json = serde_json::to_vec(report);
    let json = json.map_err(|cause| Error::Json {
        part: "report".to_owned(),
        cause,
    })?;
    writer.write(out.join("report.json"), &json)?;
    let index = out.join("index.html");
    writer.write(index.clone(), page::html(report, &printer)?.as_bytes())?;
    Ok(Written {
        index,
        files: writer.files,
        octets: writer.octets,
    })
}

struct Writer {
    files: Vec<PathBuf>,
    octets: u64,
}

impl Writer {
    fn write(&mut self, path: PathBuf, octets: &[u8]) -> Result<(), Error> {
        if let Err(cause) = fs::write(&path, octets) {
            return Err(Error::Write { path, cause });
        }
        self.files.push(path);
        self.octets += octets.len() as u64;
        Ok(())
    }
}

/// Names become names of files and anchors, so they are looked at before anything is written.
fn check(report: &Report) -> Result<(), Error> {
    let mut seen = HashSet::new();
    let sections = report.sections.iter().map(|section| &section.id);
    let tables = report.sections.iter().flat_map(|section| &section.tables);
    for id in sections.chain(tables.map(|table| &table.id)) {
        let is_plain = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if id.is_empty() || id.len() > 200 || !id.bytes().all(is_plain) {
            return Err(Error::BadName { id: id.clone() });
        }
        if !seen.insert(id) {
            return Err(Error::NameTwice { id: id.clone() });
        }
    }
    Ok(())
}
