//! A store with gaps, and reports of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use std::time::Duration;

use noctule_testkit::program::{Ended, Running, noctule};
use serde_json::Value;
use tempfile::TempDir;

/// The first report of a store rolls up all its days, on a machine that may be busy.
pub const LIMIT: Duration = Duration::from_secs(900);

/// A path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Runs `noctule` with these arguments to its end.
pub fn run(arguments: &[&str]) -> Ended {
    Running::start(&mut noctule(arguments)).wait(LIMIT)
}

/// A store of three sensors: one with an outage and a second list of prefixes, one with degraded
/// intervals, and one that has days half a year before only.
pub struct Fixture {
    pub folder: TempDir,
    pub store: PathBuf,
    /// Dark packets that the captures are known to hold, from September 2016 on.
    pub truth: i64,
}

/// A capture: sensor, start, hours, prefixes, and rows of the flow table.
struct Part {
    sensor: &'static str,
    start: &'static str,
    hours: u64,
    prefixes: &'static [&'static str],
    max_flows: Option<&'static str>,
}

const PARTS: [Part; 5] = [
    Part {
        sensor: "north",
        start: "2016-09-18T15:00:00Z",
        hours: 40,
        prefixes: &["198.18.0.0/24", "2001:db8::/48"],
        max_flows: None,
    },
    // Six hours later, to more addresses.
    Part {
        sensor: "north",
        start: "2016-09-20T13:00:00Z",
        hours: 26,
        prefixes: &["198.18.0.0/24", "198.18.1.0/24", "2001:db8::/48"],
        max_flows: None,
    },
    Part {
        sensor: "south",
        start: "2016-09-18T15:00:00Z",
        hours: 60,
        prefixes: &["198.18.2.0/24"],
        max_flows: None,
    },
    Part {
        sensor: "south",
        start: "2016-09-21T03:00:00Z",
        hours: 12,
        prefixes: &["198.18.2.0/24"],
        max_flows: Some("64"),
    },
    Part {
        sensor: "former",
        start: "2016-03-01T00:00:00Z",
        hours: 2,
        prefixes: &["198.18.3.0/24"],
        max_flows: None,
    },
];

impl Fixture {
    pub fn new(countries: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = folder.path().join("store");
        let mut truth = 0;
        for (seed, part) in (1u64..).zip(&PARTS) {
            let capture = folder.path().join(format!("{seed}.pcap"));
            let (seed, seconds) = (seed.to_string(), (part.hours * 3600).to_string());
            let packets = (part.hours * 250).to_string();
            let mut prefixes = Vec::new();
            for prefix in part.prefixes {
                prefixes.extend(["--prefix", prefix]);
            }
            let mut synth = vec![
                "synth",
                "--sources",
                "1500",
                "--seed",
                &seed,
                "--start",
                part.start,
                "--duration",
                &seconds,
                "--packets",
                &packets,
                "--interval",
                "3600",
                "--out",
                text(&capture),
            ];
            synth.extend(&prefixes);
            run(&synth).success();
            let beside = |what: &str| PathBuf::from(format!("{}.{what}", capture.display()));
            let told = fs::read(beside("truth.json")).expect("the truth");
            let told: Value = serde_json::from_slice(&told).expect("JSON");
            if part.sensor != "former" {
                truth += told["dark_packets"].as_i64().expect("a count");
            }
            // All captures have the sources of the first.
            let world = |what: &str| folder.path().join(format!("1.pcap.{what}"));
            let (country, asn) = (world("country.csv"), world("asn.csv"));
            let mut arguments = vec![
                "replay",
                "--summary",
                "none",
                "--interval",
                "3600",
                "--sensor",
                part.sensor,
                "--store",
                text(&store),
            ];
            arguments.extend(&prefixes);
            if countries {
                let files = ["--country-db", text(&country), "--asn-db", text(&asn)];
                arguments.extend(files);
            }
            arguments.extend(
                part.max_flows
                    .map(|rows| ["--max-flows", rows])
                    .into_iter()
                    .flatten(),
            );
            arguments.push(text(&capture));
            run(&arguments).success();
        }
        let settings = "report_timezone = \"Asia/Tokyo\"\nnotice = \"made for a test\"\n";
        fs::write(store.join("noctule.toml"), settings).expect("room for settings");
        Self {
            folder,
            store,
            truth,
        }
    }

    pub fn report(&self, name: &str, more: &[&str]) -> Made {
        let out = self.folder.path().join(name);
        let mut arguments = vec!["report", "--store", text(&self.store), "--out", text(&out)];
        arguments.extend(more);
        let ended = run(&arguments).success();
        let json = fs::read(out.join("report.json")).expect("a report");
        Made {
            report: serde_json::from_slice(&json).expect("JSON"),
            json,
            stderr: ended.stderr,
            out,
        }
    }
}

/// A report that was written.
pub struct Made {
    pub report: Value,
    pub json: Vec<u8>,
    pub stderr: String,
    pub out: PathBuf,
}

impl Made {
    pub fn sections(&self) -> &Vec<Value> {
        self.report["sections"].as_array().expect("sections")
    }

    pub fn section(&self, id: &str) -> &Value {
        let found = self.sections().iter().find(|section| section["id"] == id);
        found.unwrap_or_else(|| panic!("no section {id}"))
    }

    pub fn notes(&self, id: &str) -> Vec<&str> {
        let notes = self.section(id)["notes"].as_array().expect("notes");
        notes
            .iter()
            .filter_map(|note| note["id"].as_str())
            .collect()
    }

    pub fn table(&self, id: &str) -> &Value {
        let tables = self
            .sections()
            .iter()
            .flat_map(|section| section["tables"].as_array().expect("tables"));
        let mut found = tables.filter(|table| table["id"] == id);
        let table = found.next().unwrap_or_else(|| panic!("no table {id}"));
        assert!(found.next().is_none(), "two tables {id}");
        table
    }

    /// Some columns of a table's rows.
    pub fn columns(&self, id: &str, columns: &[&str]) -> Vec<Vec<Value>> {
        let table = self.table(id);
        let all = table["columns"].as_array().expect("columns");
        let places: Vec<usize> = (columns.iter())
            .map(|wanted| {
                let place = all.iter().position(|column| column["id"] == *wanted);
                place.unwrap_or_else(|| panic!("{id} has no column {wanted}"))
            })
            .collect();
        let rows = table["rows"].as_array().expect("rows").iter();
        rows.map(|row| places.iter().map(|place| row[*place].clone()).collect())
            .collect()
    }

    /// These columns of rows in which not all numbers are 0.
    pub fn days(&self, id: &str, columns: &[&str]) -> Vec<Vec<Value>> {
        let mut rows = self.columns(id, columns);
        rows.retain(|row| row.iter().skip(1).any(|value| value.as_i64() != Some(0)));
        rows
    }

    /// Checks that hold for every report.
    pub fn is_sound(&self) {
        let mut ids = BTreeSet::new();
        for section in self.sections() {
            for table in section["tables"].as_array().expect("tables") {
                let id = table["id"].as_str().expect("an id");
                assert!(ids.insert(id.to_owned()), "{id} stands there twice");
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                assert!(id.chars().all(plain), "{id}");
                assert!(
                    self.out.join(format!("data/{id}.csv")).is_file(),
                    "{id} has no file"
                );
                let columns: Vec<_> = (table["columns"].as_array().expect("columns").iter())
                    .map(|column| column["id"].as_str().expect("an id"))
                    .collect();
                for row in table["rows"].as_array().expect("rows") {
                    assert_eq!(row.as_array().map(Vec::len), Some(columns.len()), "{id}");
                }
                for plot in table["plots"].as_array().expect("plots") {
                    let mut drawn = vec![&plot["x"]];
                    drawn.extend(plot["y"].as_array().expect("columns"));
                    for column in drawn {
                        let column = column.as_str().expect("a column");
                        assert!(columns.contains(&column), "{id} draws {column}");
                    }
                }
            }
        }
    }
}
