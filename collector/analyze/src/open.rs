//! A store's tables in a DataFusion session.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use noctule_packet::DecodeError;
use noctule_store::files::{Entry, Files};
use noctule_store::tables::error_column;
use noctule_store::{Location, Table, change, location};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use url::Url;

use crate::daily::DailyTable;
use crate::functions::{self, Geo};
use crate::table::{Objects, Skipped, StoreFile, StoreTable};

/// Where a session finds the store's files.
pub(crate) const STORE: &str = "noctule://store";
/// Where a session finds files that a rollup is at work on.
const WORK: &str = "noctule://work";
/// Named in the error when memory runs out.
const TOP_CONSUMERS: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(4);

/// Columns that files of version 1 lack.
const LATER: [&str; 4] = ["ttl_span", "refuted", "observed_from", "observed_to"];

/// Why a file is left out that does not stand where files of its table do.
pub(crate) const FOREIGN: &str = "it does not stand where files of this table do: it is foreign";

/// What a session may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Octets of memory for what queries hold.
    pub memory: usize,
    /// Threads.
    pub threads: usize,
    /// Where queries spill to.
    pub spill: PathBuf,
}

/// A store that is open for questions.
pub struct OpenStore {
    /// Its files.
    pub files: Files,
    /// Files that were left out.
    pub skipped: Skipped,
    objects: Objects,
}

impl OpenStore {
    /// Opens a store; changes whose makers died are carried out first.
    ///
    /// # Errors
    /// A place that is no store or cannot be reached.
    pub fn open(text: &str) -> Result<Self> {
        let location = Location::parse(text)?;
        let objects: Objects = match &location {
            Location::Folder(folder) => {
                if !folder.is_dir() {
                    bail!(
                        "there is no store at {}: give the folder that `--store` named when packets were counted",
                        folder.display()
                    );
                }
                let local = LocalFileSystem::new_with_prefix(folder);
                Arc::new(local.with_context(|| format!("cannot open {}", folder.display()))?)
            }
            Location::Bucket(url) => {
                let (objects, prefix) = location::bucket(url)?;
                Arc::new(PrefixStore::new(objects, prefix))
            }
        };
        let files = Files::open(&location)?;
        let finished = change::finish(&files, SystemTime::now())?;
        if finished > 0 {
            log::info!("carried out {finished} changes that a program began before it ended");
        }
        Ok(Self {
            files,
            skipped: Skipped::default(),
            objects,
        })
    }

    /// A session without tables, but with the functions and this store's files.
    ///
    /// # Errors
    /// Limits that cannot be had.
    pub fn session(&self, limits: &Limits, geo: &Arc<Geo>) -> Result<SessionContext> {
        let pool = FairSpillPool::new(limits.memory);
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![limits.spill.clone()]))
            .with_max_temp_directory_size(u64::MAX);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, TOP_CONSUMERS)))
            .with_disk_manager_builder(disk)
            .build_arc()
            .with_context(|| format!("cannot spill to {}", limits.spill.display()))?;
        let mut config = SessionConfig::new()
            .with_target_partitions(limits.threads)
            .with_information_schema(true);
        let options = config.options_mut();
        options.execution.parquet.pushdown_filters = true;
        options.execution.parquet.reorder_filters = true;
        options.execution.time_zone = Some("UTC".to_owned());
        let context = SessionContext::new_with_config_rt(config, runtime);
        context.register_object_store(&Url::parse(STORE)?, Arc::clone(&self.objects));
        functions::register(&context, geo);
        Ok(context)
    }

    /// Makes a table over these files known to a session.
    ///
    /// # Errors
    /// None that a store can bring about.
    pub fn register(
        &self,
        context: &SessionContext,
        table: AnyTable,
        files: &[Entry],
    ) -> Result<Arc<StoreTable>> {
        let mut usable = Vec::with_capacity(files.len());
        for entry in files {
            match table.folders_of(&entry.path) {
                Some(folders) => usable.push(StoreFile::new(entry, folders)),
                None => {
                    self.skipped.add(&entry.path, FOREIGN);
                }
            }
        }
        self.register_files(context, table, usable)
    }

    /// The same where it is known already what the files' folders are to say.
    ///
    /// # Errors
    /// None that a store can bring about.
    pub fn register_files(
        &self,
        context: &SessionContext,
        table: AnyTable,
        files: Vec<StoreFile>,
    ) -> Result<Arc<StoreTable>> {
        let provider = Arc::new(StoreTable::new(
            table.name(),
            &table.columns(),
            table.folders(),
            ObjectStoreUrl::parse(STORE)?,
            files,
            self.skipped.clone(),
        ));
        context.register_table(table.name(), Arc::clone(&provider) as _)?;
        Ok(provider)
    }

    /// Makes a file of this machine known as a table without folder columns.
    ///
    /// # Errors
    /// A file that cannot be found.
    pub fn register_work(
        &self,
        context: &SessionContext,
        table: DailyTable,
        path: &std::path::Path,
    ) -> Result<()> {
        let folder = path.parent().context("a file has a folder")?;
        let local: Objects = Arc::new(LocalFileSystem::new_with_prefix(folder)?);
        context.register_object_store(&Url::parse(WORK)?, local);
        let entry = Entry {
            path: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            bytes: path.metadata()?.len(),
            modified: SystemTime::UNIX_EPOCH,
        };
        let provider = StoreTable::new(
            table.name(),
            &table.columns(),
            &[],
            ObjectStoreUrl::parse(WORK)?,
            vec![StoreFile::new(&entry, Vec::new())],
            self.skipped.clone(),
        );
        context.register_table(table.name(), Arc::new(provider))?;
        Ok(())
    }
}

/// A table of the store, of intervals or of days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyTable {
    /// `<table>/date=/sensor=/...`
    Interval(Table),
    /// `<table>/zone=/date=/sensor=/...`
    Daily(DailyTable),
}

impl AnyTable {
    /// Every table.
    pub fn all() -> impl Iterator<Item = Self> {
        let intervals = Table::ALL.into_iter().map(Self::Interval);
        intervals.chain(DailyTable::ALL.into_iter().map(Self::Daily))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interval(table) => table.name(),
            Self::Daily(table) => table.name(),
        }
    }

    /// Columns that stand in the path.
    fn folders(self) -> &'static [(&'static str, DataType)] {
        const ALL: [(&str, DataType); 3] = [
            ("zone", DataType::Utf8),
            ("date", DataType::Date32),
            ("sensor", DataType::Utf8),
        ];
        match self {
            Self::Interval(_) => &ALL[1..],
            Self::Daily(_) => &ALL,
        }
    }

    fn columns(self) -> Schema {
        let newest = self.newest_columns();
        let fields = newest.fields().iter().map(|field| {
            let later = LATER.contains(&field.name().as_str());
            let nullable = field.is_nullable() || later;
            Field::clone(field).with_nullable(nullable)
        });
        Schema::new(fields.collect::<Vec<_>>())
    }

    fn newest_columns(self) -> Schema {
        match self {
            Self::Interval(Table::Ledger) => {
                let mut fields: Vec<_> = Table::Ledger.schema().fields().iter().cloned().collect();
                for (layer, reason) in DecodeError::ALL.map(DecodeError::layer_and_reason) {
                    let name = error_column(layer, reason);
                    fields.push(Arc::new(Field::new(name, DataType::Int64, true)));
                }
                Schema::new(fields)
            }
            Self::Interval(table) => Schema::clone(&table.schema()),
            Self::Daily(table) => table.columns(),
        }
    }

    /// What a file's folders say; none where it does not stand as files of the table do.
    fn folders_of(self, path: &str) -> Option<Vec<ScalarValue>> {
        let values = hive(self.name(), path)?;
        let folders = self.folders();
        if values.len() != folders.len() {
            return None;
        }
        (folders.iter())
            .map(|(name, data_type)| {
                let value = *values.get(name)?;
                match data_type {
                    DataType::Date32 => {
                        let date: jiff::civil::Date = value.parse().ok()?;
                        let since = date.since(jiff::civil::date(1970, 1, 1)).ok()?;
                        Some(ScalarValue::Date32(Some(since.get_days())))
                    }
                    _ => Some(ScalarValue::Utf8(Some(value.to_owned()))),
                }
            })
            .collect()
    }
}

/// `name=value` folders between a table's folder and a `.parquet` file.
pub(crate) fn hive<'p>(table: &str, path: &'p str) -> Option<BTreeMap<&'p str, &'p str>> {
    let below = path.strip_prefix(table)?.strip_prefix('/')?;
    let (folders, file) = below.rsplit_once('/')?;
    if !file.ends_with(".parquet") {
        return None;
    }
    folders
        .split('/')
        .map(|folder| folder.split_once('='))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_say_what_a_file_is_of() {
        let flows = AnyTable::Interval(Table::Flows);
        let path = "flows/date=2016-09-20/sensor=a/20160920T120000Z-r.parquet";
        let expected = [ScalarValue::Date32(Some(17_064)), ScalarValue::from("a")];
        assert_eq!(flows.folders_of(path).unwrap(), expected);
        for foreign in [
            "flows/date=2016-09-20/sensor=a/notes.txt",
            "flows/date=2016-09-20/x.parquet",
            "flows/date=yesterday/sensor=a/x.parquet",
            "flows/x.parquet",
            "ports/date=2016-09-20/sensor=a/x.parquet",
        ] {
            assert_eq!(flows.folders_of(foreign), None, "{foreign}");
        }
        let daily = AnyTable::Daily(DailyTable::Ports);
        let path = "ports_daily/zone=Asia-Tokyo/date=2016-09-20/sensor=a/x.parquet";
        assert_eq!(daily.folders_of(path).unwrap().len(), 3);
    }
}
