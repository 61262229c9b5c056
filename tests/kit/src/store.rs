//! A store read back: its files as they are, and the account in its ledger.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array as _, RecordBatch};
use noctule_store::Table;
use noctule_store::read::read_table;

/// Every file below a folder with its content, by path relative to it.
///
/// # Panics
/// Something cannot be read.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder of the store") {
            let path = entry.expect("an entry of the store").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("it is below").to_owned();
                files.insert(name, fs::read(&path).expect("a file of the store"));
            }
        }
    }
    files
}

/// All rows of a table, batch by batch.
///
/// # Panics
/// The store cannot be read.
pub fn table(store: &Path, table: Table) -> Vec<RecordBatch> {
    read_table(store, table).unwrap_or_else(|error| panic!("{error}"))
}

/// The sum of a 64-bit column over a table.
///
/// # Panics
/// The store cannot be read, or has no such column.
pub fn sum(store: &Path, table: Table, column: &str) -> i64 {
    let batches = self::table(store, table);
    batches.iter().flat_map(|batch| int64(batch, column)).sum()
}

fn int64(batch: &RecordBatch, column: &str) -> Vec<i64> {
    let values = batch
        .column_by_name(column)
        .unwrap_or_else(|| panic!("no column {column}"));
    let values = values.as_primitive::<Int64Type>().iter();
    values.map(Option::unwrap_or_default).collect()
}

/// The packets of `unparsed`, by start of the interval in seconds since 1970 and queue.
///
/// # Panics
/// The store cannot be read.
pub fn unparsed(store: &Path) -> BTreeMap<(i64, i32), i64> {
    let mut sums = BTreeMap::new();
    for batch in table(store, Table::Unparsed) {
        let starts = batch["interval_start"].as_primitive::<TimestampMicrosecondType>();
        let queues = batch["queue"].as_primitive::<Int32Type>();
        for (row, packets) in int64(&batch, "packets").into_iter().enumerate() {
            let key = (starts.value(row) / 1_000_000, queues.value(row));
            *sums.entry(key).or_default() += packets;
        }
    }
    sums
}

/// A row of `ledger`: where the packets of a queue went in an interval.
#[derive(Clone, Debug)]
pub struct LedgerRow {
    /// Start of the interval, seconds since 1970.
    pub start: i64,
    /// Name of the interface; empty for a replay.
    pub interface: String,
    /// RX queue.
    pub queue: i32,
    /// Every counter, by the column's name.
    pub counts: BTreeMap<String, i64>,
    /// The flow table was full.
    pub degraded: bool,
}

impl LedgerRow {
    /// A counter.
    ///
    /// # Panics
    /// The ledger has no counter of this name.
    pub fn get(&self, name: &str) -> i64 {
        let count = self.counts.get(name);
        *count.unwrap_or_else(|| panic!("the ledger has no column {name}"))
    }

    /// Packets lost, whatever the cause.
    pub fn lost(&self) -> i64 {
        let causes = self.counts.iter().filter(|(n, _)| n.starts_with("lost_"));
        causes.map(|(_, packets)| packets).sum()
    }
}

/// The ledger, by interface, queue and then time.
///
/// # Panics
/// The store cannot be read.
pub fn ledger(store: &Path) -> Vec<LedgerRow> {
    let mut rows = Vec::new();
    for batch in table(store, Table::Ledger) {
        let starts = batch["interval_start"].as_primitive::<TimestampMicrosecondType>();
        let queues = batch["queue"].as_primitive::<Int32Type>();
        let interfaces = batch["interface"].as_string::<i32>();
        let degraded = batch["degraded"].as_boolean();
        let mut counts = vec![BTreeMap::new(); batch.num_rows()];
        for field in batch.schema().fields() {
            let Some(values) = batch[field.name().as_str()].as_primitive_opt::<Int64Type>() else {
                continue;
            };
            for (row, counts) in counts.iter_mut().enumerate() {
                counts.insert(field.name().clone(), values.value(row));
            }
        }
        for (row, counts) in counts.into_iter().enumerate() {
            rows.push(LedgerRow {
                start: starts.value(row) / 1_000_000,
                interface: if interfaces.is_valid(row) {
                    interfaces.value(row).to_owned()
                } else {
                    String::new()
                },
                queue: queues.value(row),
                counts,
                degraded: degraded.value(row),
            });
        }
    }
    rows.sort_by(|a, b| (&a.interface, a.queue, a.start).cmp(&(&b.interface, b.queue, b.start)));
    rows
}

/// Sums over ledger rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Dark packets that arrived.
    pub matched: i64,
    /// Of these, counted.
    pub counted: i64,
    /// Lost, all causes.
    pub lost: i64,
    /// Packets that were not dark.
    pub passed: i64,
}

/// The sums over some ledger rows.
pub fn account<'r>(rows: impl IntoIterator<Item = &'r LedgerRow>) -> Account {
    let mut sums = Account {
        matched: 0,
        counted: 0,
        lost: 0,
        passed: 0,
    };
    for row in rows {
        sums.matched += row.get("matched_packets");
        sums.counted += row.get("counted_packets");
        sums.lost += row.lost();
        sums.passed += row.get("passed_packets") + row.get("not_parsed_packets");
    }
    sums
}
