//! `noctule rollup --adopt`: publishes days that a Spark cluster computed.
//!
//! The job that `noctule store spark-job` prints writes to a folder of its own:
//!
//! | File | Content |
//! |---|---|
//! | `days/date=YYYY-MM-DD/sensor=<name>/<table>/*.parquet` | rows of a daily table |
//! | `days/date=YYYY-MM-DD/sensor=<name>/day.json` | [`Manifest`], written last |
//!
//! A day is published if a rollup would make it of the same files with the same settings, and if its
//! rows have the columns and the order of the daily tables. The published files are those that a
//! rollup would have written.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use noctule_store::change::publish_day;
use noctule_store::files::{Entry, Files};
use noctule_store::tables::daily_schema;
use noctule_store::{DailyTable, Location};
use serde::Deserialize;

use super::days::Day;
use super::plan::{Plan, State};
use crate::args::RollupArgs;
use crate::daily::{DailyWriter, rollup_sql};
use crate::open::{Limits, OpenStore};
use crate::work;

/// Version of the folder's layout.
const VERSION: u32 = 1;
/// The file that completes a day.
const MANIFEST: &str = "day.json";

/// What a day was computed from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u32,
    zone: String,
    date: String,
    sensor: String,
    /// Path and octets of every file that was read, by table and path.
    inputs: Vec<(String, u64)>,
    /// Digest of the SQL.
    sql: String,
    research_packets: i64,
    research_ports: i64,
}

impl Manifest {
    /// Checks that a rollup would compute the day from the same files with the same settings.
    fn check(&self, plan: &Plan, folder: &str) -> Result<()> {
        ensure!(
            self.version == VERSION,
            "its layout has version {}, and {VERSION} is known here: use the noctule that printed the job",
            self.version
        );
        ensure!(
            self.zone == plan.zone,
            "it is a day of {}, and this rollup is of {}: give --timezone {}",
            self.zone,
            plan.zone,
            self.zone
        );
        let place = format!("days/date={}/sensor={}/", self.date, self.sensor);
        ensure!(
            folder == place,
            "it says that it belongs to {place}: leave the folder as the job wrote it"
        );
        (plan.options).check_spark(&self.sql, self.research_packets, self.research_ports)
    }

    /// The day of the store, if it still has the files that were read.
    fn day<'p>(&self, plan: &'p Plan) -> Result<&'p Day> {
        let same = |day: &&Day| day.date.to_string() == self.date && day.sensor == self.sensor;
        let Some(day) = plan.days.days.iter().find(same) else {
            bail!("the store has no such day that has closed and whose files are all kept");
        };
        let inputs = day.inputs.iter();
        let inputs: BTreeSet<_> = inputs
            .map(|(_, entry)| (&entry.path, entry.bytes))
            .collect();
        let read: BTreeSet<_> = (self.inputs.iter())
            .map(|(path, bytes)| (path, *bytes))
            .collect();
        if inputs != read {
            bail!(
                "the store has {} files of it now, and {} of those were read: run the job again",
                inputs.len(),
                inputs.intersection(&read).count()
            );
        }
        Ok(day)
    }
}

/// Publishes the days in a folder or bucket.
///
/// # Errors
/// If a day was computed from other files or settings than a rollup would use now, or has rows with
/// other columns or in another order than its tables; if either place cannot be read, or the store
/// not be written to. Days before the one that failed are published.
pub(super) fn run(store: &OpenStore, args: &RollupArgs, place: &str) -> Result<()> {
    let staged = Files::open(&Location::parse(place)?)?;
    let plan = Plan::read(store, args)?;
    let mut limits = Limits::of(&args.common)?;
    let work = work::folder(&mut limits)?;
    let entries = staged.list("days")?;
    ensure!(
        !entries.is_empty(),
        "there are no days in {}: give the folder that was the job's --out",
        staged.location()
    );
    let (mut published, mut current) = (0, 0);
    for folder in folders(&entries) {
        let about = || format!("cannot adopt {}/{folder}", staged.location());
        let Some(manifest) = staged.read(&format!("{folder}{MANIFEST}"))? else {
            log::warn!(
                "left out {}/{folder}: the job has not completed it",
                staged.location()
            );
            continue;
        };
        let manifest: Manifest = serde_json::from_slice(&manifest).with_context(about)?;
        manifest.check(&plan, folder).with_context(about)?;
        let day = manifest.day(&plan).with_context(about)?;
        if plan.state(day, true) == State::Current {
            current += 1;
            continue;
        }
        published += 1;
        if args.dry_run {
            println!("{} {}: to publish", day.date, day.sensor);
            continue;
        }
        let mut made = Vec::new();
        for table in DailyTable::ALL {
            let path = work.path().join(format!("{table}.parquet"));
            let parts = format!("{folder}{table}/");
            let parts = entries
                .iter()
                .filter(|entry| entry.path.starts_with(&parts) && entry.path.ends_with(".parquet"));
            let mut copy = TableCopy::create(table, &path, &plan.about(day))?;
            for part in parts {
                copy.add(&staged, part, work.path()).with_context(about)?;
            }
            copy.finish().with_context(about)?;
            made.push((table, path));
        }
        let made: Vec<(DailyTable, &Path)> = (made.iter())
            .map(|(table, path)| (*table, path.as_path()))
            .collect();
        publish_day(&store.files, &plan.files(day), &made).with_context(about)?;
        log::info!("{} {}: published", day.date, day.sensor);
    }
    log::info!(
        "{published} days {}, {current} were published before",
        if args.dry_run {
            "to publish"
        } else {
            "published"
        }
    );
    Ok(())
}

/// The folders of days, each with a slash at its end.
fn folders(entries: &[Entry]) -> BTreeSet<&str> {
    let folder = |entry: &'_ Entry| -> Option<usize> {
        let mut slashes = entry.path.match_indices('/');
        slashes.nth(2).map(|(at, _)| at + 1)
    };
    let folders = entries
        .iter()
        .filter_map(|entry| Some(&entry.path[..folder(entry)?]));
    folders.collect()
}

/// A daily file that is copied from what Spark wrote.
struct TableCopy {
    table: DailyTable,
    writer: DailyWriter,
    order: OrderCheck,
}

impl TableCopy {
    fn create(table: DailyTable, path: &Path, about: &str) -> Result<Self> {
        Ok(Self {
            table,
            writer: DailyWriter::create(table, path, about)?,
            order: OrderCheck::new(table)?,
        })
    }

    /// Appends the rows of a file.
    fn add(&mut self, staged: &Files, part: &Entry, work: &Path) -> Result<()> {
        let path: PathBuf = work.join("part.parquet");
        let mut copy = File::create(&path)?;
        let mut written = Ok(());
        staged.pieces(&part.path, |piece| {
            if written.is_ok() {
                written = copy.write_all(piece);
            }
        })?;
        written.with_context(|| format!("cannot write {}", path.display()))?;
        let about = || format!("{} is not a file of {}", part.path, self.table);
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path)?);
        let reader = reader.with_context(about)?;
        let schema = daily_schema(self.table);
        for field in reader.schema().fields() {
            ensure!(
                schema.field_with_name(field.name()).is_ok(),
                "{} has no column {}",
                self.table,
                field.name()
            );
        }
        for batch in reader.build().with_context(about)? {
            let batch = self.writer.columns(&batch.with_context(about)?)?;
            ensure!(
                self.order.accepts(&batch)?,
                "rows of {} are not sorted as the table is",
                self.table
            );
            self.writer.write(&batch)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let rows = self.writer.finish()?;
        if self.table == DailyTable::Ledger && rows != 1 {
            bail!("{} has {rows} rows, and a day has 1", self.table);
        }
        Ok(())
    }
}

/// Checks that rows are in the order in which the table's SQL sorts them.
struct OrderCheck {
    columns: Vec<&'static str>,
    converter: RowConverter,
    last: Option<OwnedRow>,
}

impl OrderCheck {
    fn new(table: DailyTable) -> Result<Self> {
        let schema = daily_schema(table);
        let (mut columns, mut fields) = (Vec::new(), Vec::new());
        for (column, nulls_first) in sorted_by(table) {
            let data_type = schema.field_with_name(column)?.data_type().clone();
            let options = SortOptions::new(false, nulls_first);
            columns.push(column);
            fields.push(SortField::new_with_options(data_type, options));
        }
        Ok(Self {
            columns,
            converter: RowConverter::new(fields)?,
            last: None,
        })
    }

    /// True if the rows are sorted and follow those before.
    fn accepts(&mut self, batch: &RecordBatch) -> Result<bool> {
        if self.columns.is_empty() {
            return Ok(true);
        }
        let columns: Option<Vec<_>> = (self.columns.iter())
            .map(|name| batch.column_by_name(name).cloned())
            .collect();
        let columns = columns.context("a column that the table is sorted by is missing")?;
        let rows = self.converter.convert_columns(&columns)?;
        let mut sorted = true;
        for at in 0..rows.num_rows() {
            let row = rows.row(at);
            sorted &= match at.checked_sub(1) {
                Some(before) => rows.row(before) <= row,
                None => self.last.as_ref().is_none_or(|last| last.row() <= row),
            };
        }
        if let Some(last) = rows.num_rows().checked_sub(1) {
            self.last = Some(rows.row(last).owned());
        }
        Ok(sorted)
    }
}

/// The columns that a table's SQL sorts its rows by; true if NULL comes first.
fn sorted_by(table: DailyTable) -> Vec<(&'static str, bool)> {
    let mut lines = rollup_sql(table).lines().rev();
    let order = lines.find_map(|line| line.strip_prefix("ORDER BY "));
    let columns = order.into_iter().flat_map(|order| order.split(", "));
    columns
        .map(|column| {
            let name = column.split(' ').next().unwrap_or_default();
            (name, column.ends_with("NULLS FIRST"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn tables_are_sorted_by_columns_that_they_have() {
        for table in DailyTable::ALL {
            assert!(OrderCheck::new(table).is_ok(), "{table}");
        }
        let sorted = sorted_by(DailyTable::Ports);
        assert_eq!(sorted[0], ("protocol", false));
        assert_eq!(sorted[2], ("port", true));
        assert_eq!(sorted[3], ("country", false));
        assert_eq!(sorted_by(DailyTable::Ledger), []);
    }

    #[test]
    fn rows_out_of_order_are_found_within_and_between_batches() {
        let batch = |ports: &[Option<i32>]| {
            let texts =
                |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; ports.len()])) };
            let sources: ArrayRef = Arc::new(Int64Array::from(vec![1; ports.len()]));
            let ports: ArrayRef = Arc::new(Int32Array::from(ports.to_vec()));
            RecordBatch::try_from_iter([
                ("protocol", texts("tcp")),
                ("class", texts("scan")),
                ("port", ports),
                ("country", texts("JP")),
                ("sources", sources),
            ])
            .unwrap()
        };
        let check = |batches: &[&[Option<i32>]]| {
            let mut order = OrderCheck::new(DailyTable::Ports).unwrap();
            (batches.iter()).all(|ports| order.accepts(&batch(ports)).unwrap())
        };
        assert!(check(&[
            &[None, Some(1), Some(1)],
            &[],
            &[Some(1), Some(2)]
        ]));
        assert!(!check(&[&[Some(1), None]]), "NULL comes first");
        assert!(!check(&[&[Some(2), Some(1)]]));
        assert!(!check(&[&[Some(2)], &[Some(1)]]), "between batches");
    }

    #[test]
    fn days_have_a_folder_each() {
        let entry = |path: &str| Entry {
            path: path.to_owned(),
            bytes: 1,
            modified: std::time::SystemTime::UNIX_EPOCH,
        };
        let day = "days/date=2016-09-20/sensor=a/";
        let entries = [
            entry(&format!("{day}day.json")),
            entry(&format!("{day}ports_daily/part-0.parquet")),
            entry("days/notes.txt"),
        ];
        assert_eq!(folders(&entries).into_iter().collect::<Vec<_>>(), [day]);
    }
}
