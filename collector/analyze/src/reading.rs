//! Files and octets that plans read of a store.

use std::collections::BTreeMap;

use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;

use crate::open::STORE;

/// Files that plans read, with their sizes.
#[derive(Debug, Default)]
pub struct Reading {
    files: BTreeMap<String, u64>,
    /// Octets read; those of a file that was read twice count twice.
    pub scanned: u64,
}

impl Reading {
    /// Adds the files and octets that an executed plan read.
    pub fn add(&mut self, plan: &dyn ExecutionPlan) {
        if let Some(scan) = plan.downcast_ref::<DataSourceExec>()
            && let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>()
            && config.object_store_url.as_str().starts_with(STORE)
        {
            for file in config.file_groups.iter().flat_map(FileGroup::iter) {
                let meta = &file.object_meta;
                self.files.insert(meta.location.to_string(), meta.size);
            }
            let scanned = scan
                .metrics()
                .and_then(|all| all.sum_by_name("bytes_scanned"));
            self.scanned += scanned.map_or(0, |value| value.as_usize() as u64);
        }
        for child in plan.children() {
            self.add(&**child);
        }
    }

    /// Number of files.
    pub fn files(&self) -> u64 {
        self.files.len() as u64
    }

    /// Sum of the files' sizes in octets.
    pub fn octets(&self) -> u64 {
        self.files.values().sum()
    }
}
