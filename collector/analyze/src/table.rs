//! A table of a store as a DataFusion table.
//!
//! A scan reads only files whose folder columns pass its filters. Of these it leaves out and names
//! ([`Skipped`]) each file whose footer is damaged or of another table, so that the other files still
//! answer the question.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result, ScalarValue, project_schema};
use datafusion::datasource::file_format::FileFormat as _;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures_util::{StreamExt as _, stream};
use noctule_store::files::Entry;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

/// Footers that are read at a time.
const AT_A_TIME: usize = 16;
/// Newest schema version that can be read.
const NEWEST_VERSION: u32 = 2;

/// Files that were left out, with the reasons.
#[derive(Clone, Debug, Default)]
pub struct Skipped(Arc<Mutex<BTreeMap<String, String>>>);

impl Skipped {
    /// Leaves a file out; returns true the first time.
    pub fn add(&self, path: &str, reason: impl fmt::Display) -> bool {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(path.to_owned(), reason.to_string()).is_none()
    }

    /// True if the file is left out.
    pub fn contains(&self, path: &str) -> bool {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.contains_key(path)
    }

    /// All files that were left out, by path, with the reasons.
    pub fn all(&self) -> Vec<(String, String)> {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.clone().into_iter().collect()
    }
}

/// A file with the values of its table's folder columns.
#[derive(Clone, Debug)]
pub struct StoreFile {
    meta: ObjectMeta,
    folders: Vec<ScalarValue>,
}

impl StoreFile {
    /// A file; `folders` are the values of the table's folder columns in their order.
    pub fn new(entry: &Entry, folders: Vec<ScalarValue>) -> Self {
        let meta = ObjectMeta {
            location: Path::from(entry.path.as_str()),
            last_modified: entry.modified.into(),
            size: entry.bytes,
            e_tag: None,
            version: None,
        };
        Self { meta, folders }
    }
}

/// A table: its columns, its folder columns, and its files.
#[derive(Debug)]
pub struct StoreTable {
    name: &'static str,
    schema: TableSchema,
    objects: ObjectStoreUrl,
    files: Vec<StoreFile>,
    skipped: Skipped,
}

impl StoreTable {
    /// A table over these files.
    pub fn new(
        name: &'static str,
        columns: &Schema,
        folders: &[(&str, DataType)],
        objects: ObjectStoreUrl,
        files: Vec<StoreFile>,
        skipped: Skipped,
    ) -> Self {
        let folders = folders.iter().map(|(name, data_type)| -> FieldRef {
            Arc::new(Field::new(*name, data_type.clone(), false))
        });
        Self {
            name,
            schema: TableSchema::builder(as_read(columns))
                .with_table_partition_cols(folders.collect::<Vec<_>>())
                .build(),
            objects,
            files,
            skipped,
        }
    }

    /// Reads the footer of every file, so that damaged and foreign files are left out and named.
    ///
    /// # Errors
    /// If the session has no access to the store.
    pub async fn check(&self, state: &dyn Session) -> Result<()> {
        let files = self.allowed(state, &[])?;
        self.usable(state, files).await.map(|_| ())
    }

    fn folder_names(&self) -> Vec<&str> {
        let fields = self.schema.table_partition_cols().iter();
        fields.map(|field| field.name().as_str()).collect()
    }

    fn is_about_folders(&self, filter: &Expr) -> bool {
        let names = self.folder_names();
        let columns = filter.column_refs();
        !columns.is_empty() && (columns.iter()).all(|column| names.contains(&column.name.as_str()))
    }

    /// The files whose folder columns pass the filters.
    fn allowed(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<StoreFile>> {
        let files: Vec<_> = (self.files.iter())
            .filter(|file| !self.skipped.contains(file.meta.location.as_ref()))
            .cloned()
            .collect();
        let filters: Vec<_> = (filters.iter().filter(|f| self.is_about_folders(f))).collect();
        if filters.is_empty() || files.is_empty() {
            return Ok(files);
        }
        let fields: Vec<_> = self.schema.table_partition_cols().iter().cloned().collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let columns: Result<Vec<ArrayRef>> = (0..schema.fields().len())
            .map(|at| ScalarValue::iter_to_array(files.iter().map(|file| file.folders[at].clone())))
            .collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns?)?;
        let known = DFSchema::try_from(schema)?;
        let mut keep = vec![true; files.len()];
        for filter in filters {
            let filter = state.create_physical_expr(filter.clone(), &known)?;
            let answer = filter.evaluate(&batch)?.into_array(files.len())?;
            let Some(answer) = answer.as_any().downcast_ref::<BooleanArray>() else {
                continue;
            };
            for (keep, allowed) in keep.iter_mut().zip(answer) {
                *keep &= allowed == Some(true);
            }
        }
        let kept = files.into_iter().zip(keep);
        Ok(kept
            .filter_map(|(file, keep)| keep.then_some(file))
            .collect())
    }

    /// Leaves out damaged and foreign files.
    async fn usable(&self, state: &dyn Session, files: Vec<StoreFile>) -> Result<Vec<StoreFile>> {
        let objects = state.runtime_env().object_store(&self.objects)?;
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let checked = stream::iter(files).map(|file| {
            let (objects, cache) = (Arc::clone(&objects), Arc::clone(&cache));
            async move {
                let metadata = DFParquetMetadata::new(&*objects, &file.meta)
                    .with_file_metadata_cache(Some(cache))
                    .with_page_index_policy(Some(PageIndexPolicy::Optional));
                let verdict = match metadata.fetch_metadata().await {
                    Ok(metadata) => self.check_footer(&metadata),
                    Err(error) => Err(format!("its end is not that of a Parquet file ({error})")),
                };
                (file, verdict)
            }
        });
        let mut checked = checked.buffered(AT_A_TIME);
        let mut usable = Vec::new();
        while let Some((file, verdict)) = checked.next().await {
            match verdict {
                Ok(()) => usable.push(file),
                Err(reason) => {
                    self.skipped.add(file.meta.location.as_ref(), reason);
                }
            }
        }
        Ok(usable)
    }

    /// The reason for which a file with this footer is left out.
    fn check_footer(&self, metadata: &ParquetMetaData) -> std::result::Result<(), String> {
        let pairs = metadata.file_metadata().key_value_metadata();
        let value = |key: &str| {
            let pair = pairs?.iter().find(|pair| pair.key == key)?;
            pair.value.as_deref()
        };
        match value("noctule.table") {
            Some(table) if table != self.name => {
                return Err(format!("it belongs to table {table}"));
            }
            Some(_) => {
                let version = value("noctule.schema").and_then(|text| text.parse::<u32>().ok());
                match version {
                    Some(1..=NEWEST_VERSION) => {}
                    Some(newer) => {
                        return Err(format!(
                            "it has version {newer}, and up to {NEWEST_VERSION} is known here: use a newer noctule"
                        ));
                    }
                    None => return Err("it does not say which version it has".to_owned()),
                }
            }
            // Another engine may have written it.
            None => {}
        }
        let found = metadata.file_metadata().schema_descr();
        let has = |name: &str| found.columns().iter().any(|column| column.name() == name);
        let fields = self.schema.file_schema().fields().iter();
        match fields
            .filter(|field| !field.is_nullable())
            .find(|field| !has(field.name()))
        {
            Some(missing) => Err(format!(
                "it has no column {}: it is foreign",
                missing.name()
            )),
            None => Ok(()),
        }
    }
}

/// Columns as they are read: texts and octets as views, which group faster.
fn as_read(columns: &Schema) -> SchemaRef {
    let fields = columns.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            DataType::Utf8 => DataType::Utf8View,
            DataType::Binary | DataType::FixedSizeBinary(_) => DataType::BinaryView,
            other => other.clone(),
        };
        Field::new(field.name(), data_type, field.is_nullable())
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[async_trait]
impl TableProvider for StoreTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.allowed(state, filters)?;
        let files = self.usable(state, files).await?;
        if files.is_empty() {
            let schema = project_schema(&self.schema(), projection)?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        // Large files first, each to the group that has least so far.
        let mut groups = vec![(0, FileGroup::default()); state.config().target_partitions().max(1)];
        let mut files = files;
        files.sort_by_key(|file| std::cmp::Reverse(file.meta.size));
        for file in files {
            let least = groups.iter_mut().min_by_key(|(bytes, _)| *bytes);
            if let Some((bytes, group)) = least {
                *bytes += file.meta.size;
                let mut part = PartitionedFile::new_from_meta(file.meta);
                part.partition_values = file.folders;
                group.push(part);
            }
        }
        let groups = groups.into_iter().map(|(_, group)| group);
        let groups: Vec<_> = groups.filter(|group| !group.is_empty()).collect();
        let source = Arc::new(ParquetSource::new(self.schema.clone()));
        let config = FileScanConfigBuilder::new(self.objects.clone(), source)
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        let format = ParquetFormat::default().with_options(state.table_options().parquet.clone());
        format.create_physical_plan(state, config).await
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = filters.iter().map(|filter| {
            if self.is_about_folders(filter) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Inexact
            }
        });
        Ok(support.collect())
    }
}

/// The store of objects under a folder or a bucket's prefix, for a session.
pub type Objects = Arc<dyn ObjectStore>;
