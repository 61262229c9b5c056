//! The fuzz targets' committed corpora are what `noctule_testkit::seeds` makes.
//!
//! `NOCTULE_WRITE_SEEDS=1 cargo test -p noctule-tests --test seeds` writes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use noctule_capture::file::{CaptureError, CaptureReader};
use noctule_testkit::seeds;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

#[test]
fn committed_seeds_are_those_that_are_made() {
    let mut made: BTreeMap<&str, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for seed in seeds::all() {
        let before = (made.entry(seed.target).or_default()).insert(seed.name.clone(), seed.octets);
        assert!(before.is_none(), "two seeds are called {}", seed.name);
    }
    for (target, seeds) in made {
        let folder = corpus().join(target);
        if std::env::var_os("NOCTULE_WRITE_SEEDS").is_some() {
            fs::create_dir_all(&folder).expect("a folder");
            for (name, octets) in &seeds {
                fs::write(folder.join(name), octets).expect("room for a file");
            }
        }
        let mut there = BTreeMap::new();
        for entry in fs::read_dir(&folder).expect("a corpus") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            there.insert(name.into_owned(), fs::read(&path).expect("a seed"));
        }
        let names: Vec<_> = there.keys().collect();
        assert_eq!(names, seeds.keys().collect::<Vec<_>>(), "{target}");
        for (name, octets) in &seeds {
            assert!(
                there[name] == *octets,
                "{target}/{name} is not what is made"
            );
        }
    }
}

/// What a seed's name says holds of it.
#[test]
fn captures_among_the_seeds_read_as_their_names_say() {
    let mut ends = BTreeMap::new();
    for seed in seeds::all()
        .into_iter()
        .filter(|seed| seed.target == "capture")
    {
        let source = Box::new(std::io::Cursor::new(seed.octets));
        let end = CaptureReader::from_reader("seed", source).and_then(|mut reader| {
            let mut records = 0;
            while reader.next()?.is_some() {
                records += 1;
            }
            Ok(records)
        });
        let said = match end {
            Ok(records) => records.to_string(),
            Err(CaptureError::Cut { records, .. }) => format!("cut after {records}"),
            Err(CaptureError::Tail { records, .. }) => format!("tail after {records}"),
            Err(CaptureError::Damaged { records, .. }) => format!("damaged after {records}"),
            Err(CaptureError::Empty { .. }) => "empty".to_owned(),
            Err(CaptureError::Foreign { .. }) => "foreign".to_owned(),
            Err(other) => panic!("{}: {other}", seed.name),
        };
        ends.insert(seed.name, said);
    }
    let expected = [
        ("empty", "empty"),
        ("gzip", "2"),
        ("gzip-cut", "cut after 0"),
        ("gzip-pcapng", "2"),
        ("gzip-two-members", "2"),
        ("neither", "foreign"),
        ("pcap-big-endian", "2"),
        ("pcap-cut-in-header", "cut after 0"),
        ("pcap-cut-in-record", "cut after 1"),
        ("pcap-foreign-link-type", "0"),
        ("pcap-header-only", "0"),
        ("pcap-kuznetzov", "2"),
        ("pcap-little-endian", "2"),
        ("pcap-nanoseconds", "2"),
        ("pcap-record-of-2-gib", "damaged after 0"),
        ("pcap-time-steps-back", "3"),
        ("pcapng-big-endian", "2"),
        ("pcapng-interface-not-described", "damaged after 0"),
        ("pcapng-lengths-disagree", "damaged after 1"),
        ("pcapng-little-endian", "2"),
        ("pcapng-resolutions-and-offset", "3"),
        ("pcapng-two-sections", "4"),
        ("zstd", "5"),
        ("zstd-cut", "cut after 2"),
        // A block of 128 KiB of zeros: not 8,192 records with nothing in them, but a tail.
        ("zstd-of-empty-records", "tail after 0"),
    ];
    let expected = expected.map(|(name, end)| (name.to_owned(), end.to_owned()));
    assert_eq!(ends, BTreeMap::from(expected));
}
