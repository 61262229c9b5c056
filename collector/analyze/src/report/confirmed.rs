//! Confirmed sources of a span of days, in files that the report keeps while it works.
//!
//! Which sources of a day are confirmed is computed once, from its flows and fingerprints. Questions
//! read the files: the confirmed sources of a quarter are few beside its flows.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::prelude::{DataFrame, ParquetReadOptions, SessionContext, col, lit};
use jiff::civil::Date;
use noctule_store::TableFile;
use url::Url;

use super::period::Span;
use super::rows::number_of;

/// Files of confirmed sources, each of a run of days.
#[derive(Debug, Default)]
pub struct ConfirmedFiles(Vec<(Span, PathBuf)>);

impl ConfirmedFiles {
    /// Creates the file of a run of days, in a folder that no other program uses.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(folder: &Path, days: Span, schema: &SchemaRef) -> Result<ConfirmedWriter> {
        let path = folder.join(format!("{}.parquet", days.from));
        Ok(ConfirmedWriter {
            file: TableFile::private("confirmed", &path, schema)?,
            days,
            path,
        })
    }

    /// Finishes a file and adds it.
    ///
    /// # Errors
    /// If the file cannot be written to its end.
    pub fn add(&mut self, file: ConfirmedWriter) -> Result<()> {
        let ConfirmedWriter { file, days, path } = file;
        file.finish()?;
        self.0.push((days, path));
        Ok(())
    }

    /// Rows of the days of a span; `None` if no file has any of them.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub async fn read(&self, session: &SessionContext, span: Span) -> Result<Option<DataFrame>> {
        let overlap = |days: &Span| days.from <= span.to && span.from <= days.to;
        let paths: Result<Vec<String>> = (self.0.iter())
            .filter(|(days, _)| overlap(days))
            .map(|(_, path)| {
                // DataFusion searches plain paths for patterns, but not URLs.
                let url = Url::from_file_path(path);
                let url = url.map_err(|()| anyhow!("{} is not absolute", path.display()))?;
                Ok(url.to_string())
            })
            .collect();
        let paths = paths?;
        if paths.is_empty() {
            return Ok(None);
        }
        let options = ParquetReadOptions::default();
        let frame = session.read_parquet(paths, options).await?;
        let day = |date: Date| lit(ScalarValue::Date32(Some(number_of(date))));
        let within = col("date").between(day(span.from), day(span.to));
        Ok(Some(frame.filter(within)?))
    }
}

/// A file of confirmed sources that is being written.
pub struct ConfirmedWriter {
    file: TableFile,
    days: Span,
    path: PathBuf,
}

impl ConfirmedWriter {
    /// The Parquet writer of the file.
    pub const fn rows(&mut self) -> &mut TableFile {
        &mut self.file
    }
}
