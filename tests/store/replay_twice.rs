//! What a replay leaves in the store: the same again changes nothing, other content is refused,
//! and more sources than the flow table holds are declared and estimated.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use arrow_array::Array as _;
use arrow_array::cast::AsArray;
use datasketches::hll::HllSketch;
use noctule_store::Table;
use noctule_testkit::frames::{DARK_PREFIX, write_syns};
use noctule_testkit::program::{Ended, replay};
use noctule_testkit::{compare, data, store};
use tempfile::TempDir;

/// An hour that every interval length divides, seconds since 1970.
const HOUR: i64 = 1_699_999_200;

/// A capture of three packets in two minutes, and a place for a store.
struct Place {
    folder: TempDir,
    capture: PathBuf,
    store: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let capture = folder.path().join("capture.pcap");
        write_syns(&capture, &[HOUR + 1, HOUR + 2, HOUR + 61]);
        let store = folder.path().join("store");
        Self {
            folder,
            capture,
            store,
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("room for a file");
        path
    }

    /// Replays the capture into the store.
    fn replay(&self, arguments: &[&str]) -> Ended {
        let mut all = vec!["--store", text(&self.store)];
        all.extend(arguments);
        all.push(text(&self.capture));
        replay(all)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn the_same_replay_again_changes_nothing() {
    let place = Place::new();
    let first = place.replay(&["--prefix", DARK_PREFIX]).success().summary();
    let before = store::files(&place.store);
    assert_eq!(
        store::sum(&place.store, Table::Ports, "packets"),
        first.dark_packets as i64
    );
    for workers in ["1", "3"] {
        let again = place.replay(&["--prefix", DARK_PREFIX, "--workers", workers]);
        assert_eq!(again.success().summary(), first);
        assert!(store::files(&place.store) == before, "{workers} workers");
    }
}

#[test]
fn real_captures_twice_into_one_store_change_nothing() {
    let Some(folder) = data::folder("real_captures_twice_into_one_store_change_nothing") else {
        return;
    };
    let here = tempfile::tempdir().expect("a temporary folder");
    let countries = data::countries(&folder);
    for one in data::telescope(&folder) {
        let store = here.path().join(one.capture.file_stem().expect("a name"));
        let replay = |workers| {
            let geo = ["--country-db", text(&countries), "--workers", workers];
            let what = ["--prefix", &one.prefix, "--store", text(&store)];
            let length = ["--interval", "600"];
            let ended = replay([&what[..], &geo, &length, &[text(&one.capture)]].concat());
            ended.success();
            store::files(&store)
        };
        let before = replay("1");
        assert!(!before.is_empty(), "{}", one.capture.display());
        assert!(replay("1") == before, "{} again", one.capture.display());
        assert!(
            replay("3") == before,
            "{}, 3 workers",
            one.capture.display()
        );
    }
}

/// Replays once so and once so: the second must be refused and the store stay as it was.
fn refused(place: &Place, first: &[&str], second: &[&str], because: &str) {
    place.replay(first).success();
    let before = store::files(&place.store);
    let ended = place.replay(second);
    let error = ended.error();
    assert_eq!(ended.code(), 1);
    assert!(
        error.contains(because) && error.contains(text(&place.store)),
        "{error}"
    );
    assert!(
        store::files(&place.store) == before,
        "the store has changed"
    );
}

/// Whether the starts of the intervals coincide or not: no packet is in two of them.
#[test]
fn the_same_captures_in_other_intervals_are_refused() {
    let place = Place::new();
    write_syns(&place.capture, &[HOUR + 11, HOUR + 70]);
    let prefix = ["--prefix", DARK_PREFIX];
    let minute = [&prefix[..], &["--interval", "60"]].concat();
    for other in ["10", "120", "3600"] {
        let other = [&prefix[..], &["--interval", other]].concat();
        refused(&place, &minute, &other, "in intervals of 60 s");
    }
}

#[test]
fn the_same_name_with_another_country_file_is_refused() {
    let place = Place::new();
    let [jp, br] = ["JP", "BR"].map(|country| {
        let lines = format!("11.0.0.0,11.255.255.255,{country}\n");
        place.file(&format!("{country}.csv"), &lines)
    });
    let prefix = ["--prefix", DARK_PREFIX, "--country-db"];
    let first = [&prefix[..], &[text(&jp)]].concat();
    let second = [&prefix[..], &[text(&br)]].concat();
    refused(
        &place,
        &first,
        &second,
        "with other content is already there",
    );
    let same = place.replay(&first).success().summary();
    let countries = same.sources_by_country.expect("countries were asked for");
    assert_eq!(countries.get("JP"), Some(&3), "{countries:?}");
}

#[test]
fn excluded_addresses_are_not_observed() {
    let place = Place::new();
    let knocked = Ipv4Addr::new(198, 18, 0, 1);
    let exclude = format!("{knocked}/32");
    let arguments = ["--prefix", "198.18.0.0/24", "--exclude", &exclude];
    let summary = place.replay(&arguments).success().summary();
    assert_eq!((summary.dark_packets, summary.passed_packets), (0, 3));
    let ledger = store::ledger(&place.store);
    assert!(!ledger.is_empty());
    for row in ledger {
        assert_eq!(row.get("observed_addresses"), 255);
    }
}

/// Estimates of distinct sources from `sketches`: protocol, class, port, estimate.
fn estimates(store: &Path) -> Vec<(String, Option<String>, Option<i32>, f64)> {
    let mut estimates = Vec::new();
    for batch in store::table(store, Table::Sketches) {
        let (protocols, classes) = (batch["protocol"].as_string::<i32>(), &batch["class"]);
        let ports = batch["port"].as_primitive::<arrow_array::types::Int32Type>();
        let images = batch["sketch"].as_binary::<i32>();
        for row in 0..batch.num_rows() {
            let sketch = HllSketch::deserialize(images.value(row)).expect("an HLL image");
            let class = (!classes.is_null(row)).then(|| classes.as_string::<i32>().value(row));
            estimates.push((
                protocols.value(row).to_owned(),
                class.map(str::to_owned),
                ports.is_valid(row).then(|| ports.value(row)),
                sketch.estimate(),
            ));
        }
    }
    estimates
}

#[test]
fn too_many_sources_are_declared_and_estimated() {
    let Some(folder) = data::folder("too_many_sources_are_declared_and_estimated") else {
        return;
    };
    let one = data::capture(&folder, "synflood-spoofed");
    let sources = one.expected["sources"].as_u64().expect("a number");
    assert_eq!(sources, 37_623);
    let here = tempfile::tempdir().expect("a temporary folder");

    let store = here.path().join("full");
    let run = ["--prefix", &one.prefix, "--store", text(&store)];
    let little = [&run[..], &["--max-flows", "16", text(&one.capture)]].concat();
    let summary = replay(little).success().summary();
    compare::assert_adds_up("16 flows", &summary);
    assert!(summary.overflow_packets > 0 && summary.overflow_packets < summary.dark_packets);
    assert_eq!(summary.sources, None);
    for name in [
        "records",
        "dark_packets",
        "dark_bytes",
        "by_class",
        "by_protocol",
        "fingerprints",
    ] {
        let expected = serde_json::json!({ name: one.expected[name] });
        compare::assert_fields("16 flows", &expected, &summary);
    }
    let cells: Vec<_> = (summary.cells.iter())
        .map(|cell| (cell.port, cell.packets, cell.bytes, cell.sources))
        .collect();
    assert_eq!(cells, [(Some(25_565), 37_841, 1_513_640, None)]);
    let ledger = store::ledger(&store);
    assert!(ledger.iter().all(|row| row.degraded), "{ledger:?}");
    let overflow: i64 = ledger.iter().map(|row| row.get("overflow_packets")).sum();
    assert_eq!(overflow, summary.overflow_packets as i64);
    assert_eq!(store::sum(&store, Table::Ports, "packets"), 37_841);

    let estimates = estimates(&store);
    let scopes = [
        (None, None),
        (Some("scan"), None),
        (Some("scan"), Some(25_565)),
    ];
    for (class, port) in scopes {
        let found = estimates.iter().find(|(protocol, c, p, _)| {
            (protocol.as_str(), c.as_deref(), *p) == ("tcp", class, port)
        });
        let (.., estimate) = found.unwrap_or_else(|| panic!("no {class:?} {port:?}"));
        // A cell's own sketch has a quarter of the registers, so twice the error.
        let allowed = if port.is_some() { 0.06 } else { 0.03 };
        let off = (estimate - sources as f64).abs() / sources as f64;
        assert!(off < allowed, "{class:?} {port:?}: {estimate} sources");
    }

    let store = here.path().join("enough");
    let run = ["--prefix", &one.prefix, "--store", text(&store)];
    let enough = [&run[..], &["--max-flows", "100000", text(&one.capture)]].concat();
    let summary = replay(enough).success().summary();
    assert_eq!(
        (summary.sources, summary.overflow_packets),
        (Some(sources), 0)
    );
    let ledger = store::ledger(&store);
    assert!(!ledger.is_empty() && ledger.iter().all(|row| !row.degraded));
    assert!(store::files(&store.join("flows")).len() == 1);
    assert!(!store.join("sketches").exists(), "no sketches are needed");
}
