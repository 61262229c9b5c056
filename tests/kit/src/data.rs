//! The captures and databases that others made, and what an independent reading found in them.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

/// The folder of shared data; without it says that `test` is skipped.
pub fn folder(test: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = env::var_os("NOCTULE_DATA").map_or_else(beside, PathBuf::from);
    if folder.join("expected.json").is_file() {
        return Some(folder);
    }
    let why = format!(
        "no data in {}: set NOCTULE_DATA to the folder that holds expected.json",
        folder.display()
    );
    crate::skipped(test, &why);
    None
}

/// A telescope capture and what is expected of it.
#[derive(Clone, Debug)]
pub struct Telescope {
    /// The capture.
    pub capture: PathBuf,
    /// The darknet's prefix.
    pub prefix: String,
    /// Fields of the summary.
    pub expected: Value,
}

/// All telescope captures.
///
/// # Panics
/// `expected.json` is not what it should be, or names a capture that is missing.
pub fn telescope(folder: &Path) -> Vec<Telescope> {
    let text = fs::read_to_string(folder.join("expected.json")).expect("expected.json");
    let all: Vec<Value> = serde_json::from_str(&text).expect("expected.json is a list");
    assert!(!all.is_empty(), "expected.json is empty");
    all.into_iter()
        .map(|mut expected| {
            let fields = expected.as_object_mut().expect("a list of objects");
            let mut take = |name| match fields.remove(name) {
                Some(Value::String(text)) => text,
                other => panic!("{name} of expected.json is {other:?}"),
            };
            let capture = folder.join("pcaps/telescope").join(take("file"));
            assert!(capture.is_file(), "{} is missing", capture.display());
            let prefix = take("prefixes");
            if capture.ends_with(SNMP_CAPTURE) {
                move_snmp(&mut expected);
            }
            Telescope {
                capture,
                prefix,
                expected,
            }
        })
        .collect()
}

/// `expected.json` was read with DNS as the only reflection port. Fourteen packets of this capture
/// come from port 161 and are SNMP responses (their PDU is 0xa2): counting rule 4 and the table of
/// reflection ports make them backscatter of that port.
const SNMP_CAPTURE: &str = "synack-reflection-2021.pcap";

fn move_snmp(expected: &mut Value) {
    let of = |cell: &Value, name: &str| cell[name].as_u64().expect("a number of a cell");
    let is = |cell: &Value, port: u64| {
        cell["protocol"] == "udp" && cell["class"] == "scan" && cell["port"] == port
    };
    let cells = expected["cells"].as_array_mut().expect("cells");
    let (answers, rest): (Vec<_>, Vec<_>) = std::mem::take(cells)
        .into_iter()
        .partition(|cell| is(cell, 17_979) || is(cell, 51_767));
    let sum = |name: &str| answers.iter().map(|cell| of(cell, name)).sum::<u64>();
    // No source is in both cells.
    let [packets, bytes, sources] = ["packets", "bytes", "sources"].map(sum);
    assert_eq!(
        (packets, sources),
        (14, 14),
        "the SNMP responses of {SNMP_CAPTURE}"
    );
    *cells = rest;
    cells.push(serde_json::json!({
        "protocol": "udp",
        "class": "backscatter",
        "port": 161,
        "packets": packets,
        "bytes": bytes,
        "sources": sources,
    }));
    for (class, change) in [("scan", -14), ("backscatter", 14)] {
        let count = &mut expected["by_class"][class];
        *count = (count.as_i64().expect("packets of a class") + change).into();
    }
}

/// The telescope capture whose name begins like this.
///
/// # Panics
/// No capture has such a name.
pub fn capture(folder: &Path, name: &str) -> Telescope {
    let begins = |one: &Telescope| {
        let file = one.capture.file_name().unwrap_or_default();
        file.to_string_lossy().starts_with(name)
    };
    let mut all = telescope(folder).into_iter();
    all.find(begins).unwrap_or_else(|| panic!("no {name}*"))
}

/// The country database of real assignments.
pub fn countries(folder: &Path) -> PathBuf {
    folder.join("geo/country.mmdb")
}
