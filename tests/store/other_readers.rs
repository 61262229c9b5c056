//! The store as other engines read it: their sums are the summary's.

use std::collections::BTreeSet;
use std::process::Command;

use noctule_testkit::compare::{self, Key};
use noctule_testkit::program::{LIMIT, Running, replay};
use noctule_testkit::{data, python};
use serde_json::Value;

fn sums_are_the_summarys(test: &str, engine: &str) {
    let (Some(python), Some(folder)) = (python::with(test, engine), data::folder(test)) else {
        return;
    };
    let script = python::script("store/sum_store.py");
    for name in ["synack-reflection", "sensor-spoofed-storm"] {
        let one = data::capture(&folder, name);
        let here = tempfile::tempdir().expect("a temporary folder");
        let store = here.path().join("store");
        // Short intervals, so that sources are met in several files.
        let ended = replay([
            "--prefix".as_ref(),
            one.prefix.as_ref(),
            "--interval".as_ref(),
            "5".as_ref(),
            "--store".as_ref(),
            store.as_os_str(),
            one.capture.as_os_str(),
        ]);
        let summary = ended.success().summary();
        let mut command = Command::new(&python);
        let ended = Running::start(command.arg(&script).arg(engine).arg(&store)).wait(LIMIT);
        let sums: Value = serde_json::from_str(&ended.success().stdout).expect("JSON");

        let rows = sums["cells"].as_array().expect("a list of cells");
        let cells: BTreeSet<Key> = rows.iter().map(cell).collect();
        assert_eq!(cells.len(), rows.len(), "{name}: a cell stands twice");
        assert_eq!(cells, compare::cells(&summary), "{engine}, {name}");
        let ledger = [summary.records, summary.dark_packets, summary.dark_bytes];
        assert_eq!(
            sums["ledger"],
            serde_json::json!(ledger),
            "{engine}, {name}"
        );
    }
}

fn cell(row: &Value) -> Key {
    let (protocol, class, port, packets, bytes, sources) =
        serde_json::from_value(row.clone()).expect("protocol, class, port and three counts");
    (protocol, class, port, packets, bytes, sources)
}

#[test]
fn pyarrow_sums_are_the_summarys() {
    sums_are_the_summarys("pyarrow_sums_are_the_summarys", "pyarrow");
}

#[test]
fn duckdb_sums_are_the_summarys() {
    sums_are_the_summarys("duckdb_sums_are_the_summarys", "duckdb");
}

#[test]
fn clickhouse_sums_are_the_summarys() {
    sums_are_the_summarys("clickhouse_sums_are_the_summarys", "chdb");
}
