//! Tests of FlowTuple files: what is written is read again, and nothing else is in a file.

use std::fs;

use apache_avro::Reader;
use apache_avro::types::Value;
use serde_json::json;

use super::*;

const START: i64 = 1_700_000_040;
const NAME: &str = "20231114T221400Z-0123abcd.avro";

fn row(source: u32, packets: u64) -> FlowTupleRow {
    FlowTupleRow {
        source,
        destination: 0xc612_0005,
        protocol: 6,
        source_port: 65_535,
        destination_port: 23,
        ttl: 244,
        tcp_flags: 2,
        ip_length: 44,
        syn_header_bytes: 24,
        syn_window: 1024,
        is_spoofed: true,
        is_masscan: false,
        packets,
        country: Country::from_code("JP"),
        asn: Some(u32::MAX),
    }
}

/// Every record of a file, as pairs of name and value.
fn read(path: &Path) -> Vec<Vec<(String, Value)>> {
    let reader = Reader::new(fs::File::open(path).unwrap()).unwrap();
    (reader.map(Result::unwrap))
        .map(|value| match value {
            Value::Record(fields) => fields,
            other => panic!("{other:?} is no record"),
        })
        .collect()
}

#[test]
fn a_row_is_read_as_it_was_written() {
    let here = tempfile::tempdir().unwrap();
    let folder = FlowTupleFolder::open(here.path().join("deep/er"), "0123abcd").unwrap();
    let mut file = folder.begin(START).unwrap();
    let nowhere = FlowTupleRow {
        country: None,
        asn: None,
        ..row(0xffff_ffff, 1 << 40)
    };
    file.append([row(0xc000_0201, 3)]).unwrap();
    file.append([nowhere]).unwrap();
    let bytes = file.publish().unwrap();

    let path = folder.path().join(NAME);
    assert_eq!(fs::metadata(&path).unwrap().len(), bytes);
    let records = read(&path);
    assert_eq!(records.len(), 2);
    let (long, int) = (Value::Long, Value::Int);
    let text = |text: &str| Value::String(text.to_owned());
    let expected = [
        ("time", long(START)),
        ("src_ip", long(0xc000_0201)),
        ("dst_ip", long(0xc612_0005)),
        ("src_port", int(65_535)),
        ("dst_port", int(23)),
        ("protocol", int(6)),
        ("ttl", int(244)),
        ("tcp_flags", int(2)),
        ("ip_len", int(44)),
        ("tcp_synlen", int(24)),
        ("tcp_synwinlen", int(1024)),
        ("packet_cnt", long(3)),
        ("is_spoofed", int(1)),
        ("is_masscan", int(0)),
        ("maxmind_continent", text("AS")),
        ("maxmind_country", text("JP")),
        ("netacq_continent", text("??")),
        ("netacq_country", text("??")),
        ("prefix2asn", long(u32::MAX.into())),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(records[0], expected);
    let second: Vec<&Value> = records[1].iter().map(|(_, value)| value).collect();
    assert_eq!(second[1], &long(0xffff_ffff));
    assert_eq!(second[11], &long(1 << 40));
    assert_eq!(second[14..18], [&text("??"); 4]);
    assert_eq!(second[18], &long(0));
}

#[test]
fn the_schema_is_corsaros() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let full = format!("{}.{}", schema["namespace"], schema["name"]).replace('"', "");
    assert_eq!(full, "org.caida.corsaro.flowtuple");
    let fields = schema["fields"].as_array().unwrap();
    assert_eq!(fields.len(), 19);
    let of = |kind: &str| fields.iter().filter(|field| field["type"] == kind).count();
    assert_eq!((of("long"), of("int"), of("string")), (5, 10, 4));
    assert_eq!(fields[11], json!({"name": "packet_cnt", "type": "long"}));
}

#[test]
fn equal_rows_give_equal_octets_however_they_come() {
    let rows: Vec<_> = (0..20_000).map(|number| row(number * 77, 1)).collect();
    let written = |pieces: usize| {
        let here = tempfile::tempdir().unwrap();
        let folder = FlowTupleFolder::open(here.path(), "0123abcd").unwrap();
        let mut file = folder.begin(START).unwrap();
        for piece in rows.chunks(pieces) {
            file.append(piece.iter().copied()).unwrap();
        }
        file.publish().unwrap();
        let path = here.path().join(NAME);
        assert_eq!(read(&path).len(), rows.len());
        fs::read(path).unwrap()
    };
    let whole = written(rows.len());
    assert_eq!(whole, written(777));
    let marker = |at: usize| &whole[at..at + SYNC_MARKER.len()] == SYNC_MARKER.as_slice();
    let blocks = (0..=whole.len() - SYNC_MARKER.len())
        .filter(|&at| marker(at))
        .count()
        - 1;
    // A row has some 50 octets.
    assert!((50..80).contains(&blocks), "{blocks} blocks");
}

#[test]
fn a_file_is_there_whole_or_not_at_all() {
    let here = tempfile::tempdir().unwrap();
    let folder = FlowTupleFolder::open(here.path(), "0123abcd").unwrap();
    let mut file = folder.begin(START).unwrap();
    file.append((0..50_000).map(|number| row(number, 1)))
        .unwrap();
    drop(file);
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 0);

    for _ in 0..2 {
        let mut file = folder.begin(START).unwrap();
        file.append([row(1, 1)]).unwrap();
        file.publish().unwrap();
    }
    let before = fs::read(here.path().join(NAME)).unwrap();
    let mut file = folder.begin(START).unwrap();
    file.append([row(2, 1)]).unwrap();
    let error = file.publish().unwrap_err();
    assert!(matches!(error, FlowTupleError::Conflict { .. }), "{error}");
    assert!(error.to_string().contains(NAME), "{error}");
    assert_eq!(fs::read(here.path().join(NAME)).unwrap(), before);
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_written_to_is_refused_at_once() {
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = FlowTupleFolder::open(&file, "0123abcd")
        .map(|_| ())
        .unwrap_err();
    assert!(refused.to_string().contains("file"), "{refused}");
    let folder = FlowTupleFolder::open(here.path(), "0123abcd").unwrap();
    let refused = folder.begin(-60).map(|_| ()).unwrap_err();
    assert!(matches!(refused, FlowTupleError::Name(_)), "{refused}");
}
