//! What plans read of a store.

use std::collections::BTreeMap;

use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;

use crate::open::STORE;

/// Files that were read, and how much of them.
#[derive(Debug, Default)]
pub struct Reading {
    files: BTreeMap<String, u64>,
    /// Octets that were read, again where a file was read again.
    pub scanned: u64,
}

impl Reading {
    /// Adds what a plan read that was carried out.
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

    /// How many files.
    pub fn files(&self) -> u64 {
        self.files.len() as u64
    }

    /// Octets that the files hold.
    pub fn octets(&self) -> u64 {
        self.files.values().sum()
    }
}
