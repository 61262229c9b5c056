//! Opens a store, and registers its tables in DataFusion sessions.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use noctule_store::files::{Entry, Files};
use noctule_store::tables::{daily_schema, schema};
use noctule_store::{DailyTable, Location, Table, change, layout, location};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use tokio::runtime::{Builder, Runtime};
use url::Url;

use crate::args::CommonArgs;
use crate::functions::{self, Geo};
use crate::outcome::Outcome;
use crate::table::{Objects, Skipped, StoreFile, StoreTable};

/// URL of the store's files in a session.
pub(crate) const STORE: &str = "noctule://store";
/// URL of the folder that a rollup writes to, in a session.
const WORK: &str = "noctule://work";
/// Number of consumers that the error names when memory runs out.
const TOP_CONSUMERS: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(4);

/// Columns that older files lack.
const LATER: [&str; 7] = [
    "ttl_span",
    "refuted",
    "observed_from",
    "observed_to",
    "clock_step_ms",
    "repeats_sampled_packets",
    "repeats_packets",
];

/// Reason for which a file with a foreign path is left out.
pub(crate) const FOREIGN: &str = "its path is not that of a file of this table: it is foreign";

/// Resources that a session may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Memory of queries in octets.
    pub memory: usize,
    /// Threads.
    pub threads: usize,
    /// Folder that queries spill to.
    pub spill: PathBuf,
}

impl Limits {
    /// The limits that a command line sets.
    ///
    /// # Errors
    /// If it allows less memory than any command needs.
    pub fn of(args: &CommonArgs) -> Result<Self> {
        const LEAST_MIB: usize = 64;
        if args.memory < LEAST_MIB {
            bail!(
                "--memory {} is too little: give {LEAST_MIB} MiB or more",
                args.memory
            );
        }
        let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            memory: args.memory << 20,
            threads: args.threads.unwrap_or(all).max(1),
            spill: args.spill.clone().unwrap_or_else(std::env::temp_dir),
        })
    }
}

/// Starts the threads that queries run on.
///
/// # Errors
/// If threads cannot be started.
pub fn runtime(threads: usize) -> Result<Runtime> {
    Ok(Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?)
}

/// A session without tables, with the functions, that shares memory, disk and caches with another.
pub fn sibling(session: &SessionContext) -> SessionContext {
    let sibling =
        SessionContext::new_with_config_rt(session.copied_config(), session.runtime_env());
    functions::register(&sibling, &Arc::default());
    sibling
}

/// A store that is open for questions.
pub struct OpenStore {
    /// The store's files.
    pub files: Files,
    /// Files that were left out.
    pub skipped: Skipped,
    objects: Objects,
}

impl OpenStore {
    /// Opens a store. Changes that a killed program left half done are completed first.
    ///
    /// # Errors
    /// If the folder does not exist, or the bucket cannot be reached.
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
            log::info!("completed {finished} changes that a killed program had begun");
        }
        Ok(Self {
            files,
            skipped: Skipped::default(),
            objects,
        })
    }

    /// Warns of files that were left out, and says how the command ends.
    pub fn outcome(&self, strict: bool) -> Outcome {
        let skipped = self.skipped.all();
        for (path, reason) in &skipped {
            log::warn!("left out {}/{path}: {reason}", self.files.location());
        }
        if strict && !skipped.is_empty() {
            return Outcome::Incomplete;
        }
        Outcome::Whole
    }

    /// A session without tables, with the functions and access to the store's files.
    ///
    /// # Errors
    /// If the folder for what spills cannot be used.
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

    /// Registers a table over these files. Files with a foreign path are left out and named.
    ///
    /// # Errors
    /// If the session cannot register the table.
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

    /// Registers a table over files whose folder columns have the values given with them.
    ///
    /// # Errors
    /// As [`OpenStore::register`].
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

    /// Registers a file of this machine as a table without folder columns.
    ///
    /// # Errors
    /// If the file does not exist.
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
            &daily_schema(table),
            &[],
            ObjectStoreUrl::parse(WORK)?,
            vec![StoreFile::new(&entry, Vec::new())],
            self.skipped.clone(),
        );
        context.register_table(table.name(), Arc::new(provider))?;
        Ok(())
    }
}

/// A table of the store: an interval table or a daily table.
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

    /// The table's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interval(table) => table.name(),
            Self::Daily(table) => table.name(),
        }
    }

    /// Columns whose values are in the path.
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
            let later = LATER.contains(&field.name().as_str())
                // Collectors of other versions know other kinds of decode errors.
                || field.name().starts_with("error_");
            let nullable = field.is_nullable() || later;
            Field::clone(field).with_nullable(nullable)
        });
        Schema::new(fields.collect::<Vec<_>>())
    }

    fn newest_columns(self) -> SchemaRef {
        match self {
            Self::Interval(table) => schema(table),
            Self::Daily(table) => daily_schema(table),
        }
    }

    /// Values of the folder columns in a path; `None` if it is foreign to the table.
    fn folders_of(self, path: &str) -> Option<Vec<ScalarValue>> {
        let values = layout::folders(self.name(), path)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_columns_have_the_values_of_the_path() {
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
