//! Confirmed sources of the days that were asked about, in files of the report's own.
//!
//! What is confirmed of a day is worked out once, of its flows. What is asked about it later, over
//! whatever time, reads what was kept: a quarter's confirmed sources are few beside its flows.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::prelude::{DataFrame, ParquetReadOptions, SessionContext, col, lit};
use jiff::civil::Date;
use url::Url;

use super::rows::number_of;

/// Rows in a row group: what a writer holds in memory.
const ROWS_PER_GROUP: usize = 1 << 17;

/// The files.
pub struct Kept {
    folder: PathBuf,
    /// By the first of a file's days: the last of them.
    spans: BTreeMap<Date, Date>,
}

impl Kept {
    /// Without a day yet; its files are written to a folder that others do not use.
    pub const fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            spans: BTreeMap::new(),
        }
    }

    /// Runs of days, of those from one to another, that are not kept.
    pub fn missing(&self, from: Date, to: Date) -> Vec<(Date, Date)> {
        let mut runs = Vec::new();
        let mut next = Some(from);
        for (first, last) in self.spans.range(..=to).filter(|(_, last)| **last >= from) {
            let Some(begin) = next else { break };
            if begin < *first {
                runs.extend(first.yesterday().ok().map(|end| (begin, end)));
            }
            next = last.tomorrow().ok();
        }
        runs.extend(next.filter(|begin| *begin <= to).map(|begin| (begin, to)));
        runs
    }

    fn path(&self, from: Date) -> PathBuf {
        self.folder.join(format!("{from}.parquet"))
    }

    /// A file for the rows of the days from one on.
    ///
    /// # Errors
    /// A folder that does not take files.
    pub fn writer(&self, from: Date, schema: SchemaRef) -> Result<ArrowWriter<File>> {
        let path = self.path(from);
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
            .build();
        Ok(ArrowWriter::try_new(file, schema, Some(properties))?)
    }

    /// Ends a file of the days from one to another.
    ///
    /// # Errors
    /// A full disk.
    pub fn finish(&mut self, writer: ArrowWriter<File>, from: Date, to: Date) -> Result<()> {
        let file = writer.into_inner().context("cannot keep what is confirmed");
        drop(file?);
        self.spans.insert(from, to);
        Ok(())
    }

    /// What was kept of the days from one to another; none where there is no file of them.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub async fn read(
        &self,
        session: &SessionContext,
        from: Date,
        to: Date,
    ) -> Result<Option<DataFrame>> {
        let paths: Result<Vec<String>> = (self.spans.range(..=to))
            .filter(|(_, last)| **last >= from)
            .map(|(first, _)| {
                let path = self.path(*first);
                // An address, since what looks like one is not searched for patterns.
                let url = Url::from_file_path(&path);
                let url = url.map_err(|()| anyhow!("{} is no whole path", path.display()))?;
                Ok(url.to_string())
            })
            .collect();
        let paths = paths?;
        if paths.is_empty() {
            return Ok(None);
        }
        let frame = session
            .read_parquet(paths, ParquetReadOptions::default())
            .await?;
        let day = |date: Date| {
            lit(datafusion::common::ScalarValue::Date32(Some(number_of(
                date,
            ))))
        };
        Ok(Some(frame.filter(col("date").between(day(from), day(to)))?))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn days_that_are_kept_are_not_missing() {
        let mut kept = Kept::new(PathBuf::new());
        let day = |day| date(2016, 9, day);
        assert_eq!(kept.missing(day(1), day(9)), [(day(1), day(9))]);
        kept.spans.insert(day(3), day(4));
        kept.spans.insert(day(5), day(5));
        assert_eq!(
            kept.missing(day(1), day(9)),
            [(day(1), day(2)), (day(6), day(9))]
        );
        assert_eq!(kept.missing(day(4), day(6)), [(day(6), day(6))]);
        assert_eq!(kept.missing(day(2), day(3)), [(day(2), day(2))]);
        assert_eq!(kept.missing(day(3), day(5)), []);
        assert_eq!(kept.missing(day(7), day(8)), [(day(7), day(8))]);
    }
}
