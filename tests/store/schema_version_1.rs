//! Files of version 1 of the schema, written here as its collector wrote them, are read beside files of
//! today's.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use arrow_schema::{DataType, Field, Schema};
use noctule_packet::DecodeError;
use noctule_testkit::frames::{DARK_PREFIX, write_syns};
use noctule_testkit::program::{LIMIT, Running, noctule, replay};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde_json::Value;

/// 2023-11-14 22:00 UTC.
const HOUR: i64 = 1_699_999_200;
/// Packets in the files of version 1.
const PACKETS: i64 = 7;

/// A column of a file: its name and values.
type Column = (&'static str, ArrayRef);

fn time(seconds: i64, rows: usize) -> ArrayRef {
    let values = vec![seconds * 1_000_000; rows];
    Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn int64(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn int32(values: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

fn int16(values: &[i16]) -> ArrayRef {
    Arc::new(Int16Array::from(values.to_vec()))
}

fn flags(values: &[bool]) -> ArrayRef {
    Arc::new(BooleanArray::from(values.to_vec()))
}

/// Writes a table's file of the hour's first interval.
fn write(store: &Path, table: &str, columns: Vec<Column>) {
    let folder = store.join(table).join("date=2023-11-14/sensor=s");
    fs::create_dir_all(&folder).expect("room for a folder");
    let fields: Vec<Field> = (columns.iter())
        .map(|(name, values)| {
            Field::new(*name, values.data_type().clone(), values.null_count() > 0)
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let values = columns.into_iter().map(|(_, values)| values).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), values).expect("columns of one length");
    let pair = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(vec![
            pair("noctule.schema", "1"),
            pair("noctule.table", table),
        ]))
        .build();
    let mut octets = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut octets, schema, Some(properties)).expect("a schema");
    writer.write(&batch).expect("a batch");
    writer.close().expect("a file");
    fs::write(
        folder.join("20231114T220000Z-1699999200000000.parquet"),
        octets,
    )
    .expect("room");
}

fn version1(store: &Path) {
    let six = || new_null_array(&DataType::FixedSizeBinary(16), 2);
    let mut flows = vec![
        ("interval_start", time(HOUR, 2)),
        (
            "source4",
            Arc::new(UInt32Array::from(vec![10, 20])) as ArrayRef,
        ),
        ("source6", six()),
        ("protocol", texts(&["tcp", "udp"])),
        ("class", texts(&["scan", "scan"])),
        ("port", int32(&[23, 53])),
        ("packets", int64(&[4, 3])),
        ("bytes", int64(&[160, 180])),
        ("first_ms", int32(&[5, 6])),
        ("duration_ms", int32(&[7, 8])),
        ("ttl_min", int16(&[50, 60])),
        ("ttl_max", int16(&[52, 60])),
        ("tcp_flags", int16(&[2, 0])),
        ("ip_id_min", int32(&[1, 2])),
        ("ip_id_max", int32(&[3, 4])),
        ("last_source_port", int32(&[4000, 5000])),
        ("destinations", int64(&[3, 5])),
        ("country", texts(&["JP", "??"])),
        ("asn", int64(&[2497, 64500])),
        ("bogon", flags(&[false, true])),
    ];
    for name in [
        "constant1_min",
        "constant1_max",
        "constant2_min",
        "constant2_max",
        "constant3_min",
        "constant3_max",
    ] {
        flows.push((name, int32(&[9, 9])));
    }
    write(store, "flows", flows);
    write(
        store,
        "ports",
        vec![
            ("interval_start", time(HOUR, 2)),
            ("protocol", texts(&["tcp", "udp"])),
            ("class", texts(&["scan", "scan"])),
            ("port", int32(&[23, 53])),
            ("packets", int64(&[4, 3])),
            ("bytes", int64(&[160, 180])),
            ("sources", int64(&[1, 1])),
        ],
    );
    let mut ledger = vec![
        ("interval_start", time(HOUR, 1)),
        ("interval_seconds", int32(&[60])),
        ("observed_ms", int64(&[60_000])),
        ("queue", int32(&[0])),
        ("mode", texts(&["copy"])),
    ];
    for (name, value) in [
        ("records", 9),
        ("matched_packets", PACKETS),
        ("matched_bytes", 400),
        ("passed_packets", 2),
        ("passed_bytes", 200),
        ("not_parsed_packets", 0),
        ("in_flight_before", 0),
        ("counted_packets", PACKETS),
        ("counted_bytes", 340),
        ("lost_unserved", 0),
        ("lost_rx_dropped", 0),
        ("lost_rx_ring_full", 0),
        ("lost_unexplained", 0),
        ("in_flight_after", 0),
        ("late_packets", 0),
        ("time_jump_packets", 0),
        ("overflow_packets", 0),
        ("fingerprint_overflow_hits", 0),
        ("icmp_error_packets", 0),
        ("quotes_counted_packets", 0),
        ("quotes_foreign_packets", 0),
        ("quotes_unreadable_packets", 0),
        ("quotes_overflow_packets", 0),
    ] {
        ledger.push((name, int64(&[value])));
    }
    // Decode errors as version 1 knew them.
    for (layer, reason) in DecodeError::ALL.map(DecodeError::layer_and_reason) {
        let name: &'static str = Box::leak(format!("error_{layer}_{reason}").into_boxed_str());
        ledger.push((name, int64(&[1])));
    }
    for (name, value) in [
        ("prefixes_version", "p"),
        ("software_version", "0.1.0"),
        ("rules_version", "r"),
        ("constants", ""),
    ] {
        ledger.push((name, texts(&[value])));
    }
    ledger.push(("prefixes_changed_us", new_null_array(&DataType::Int64, 1)));
    ledger.push(("observed_addresses", int64(&[256])));
    ledger.push(("observed_slash64s", int64(&[0])));
    for (name, value) in [("complete", true), ("degraded", false), ("partial", false)] {
        ledger.push((name, flags(&[value])));
    }
    write(store, "ledger", ledger);
}

fn ask(store: &str, sql: &str) -> Vec<Value> {
    let arguments = [
        "query", "--strict", "--store", store, "--format", "json", sql,
    ];
    let ended = Running::start(&mut noctule(arguments))
        .wait(LIMIT)
        .success();
    serde_json::from_str(&ended.stdout).expect("JSON")
}

#[test]
fn a_store_of_version_1_is_read_beside_todays_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().join("store");
    version1(&place);
    let store = place.to_str().expect("a path in UTF-8");
    // Two packets of today's collector, half an hour later.
    let capture = folder.path().join("capture.pcap");
    write_syns(&capture, &[HOUR + 1801, HOUR + 1802]);
    let capture = capture.to_str().expect("a path in UTF-8");
    replay([
        "--prefix",
        DARK_PREFIX,
        "--sensor",
        "s",
        "--store",
        store,
        capture,
    ])
    .success();
    let both = serde_json::json!([{ "packets": PACKETS + 2 }]);
    for table in ["flows", "ports"] {
        let sql = format!("SELECT SUM(packets) AS packets FROM {table}");
        assert_eq!(Value::Array(ask(store, &sql)), both, "{table}");
    }
    let sql = "SELECT SUM(counted_packets) AS packets FROM ledger";
    assert_eq!(Value::Array(ask(store, sql)), both);

    Running::start(&mut noctule(["rollup", "--strict", "--store", store]))
        .wait(LIMIT)
        .success();
    let sql = "SELECT SUM(packets) AS packets FROM ports_daily";
    assert_eq!(Value::Array(ask(store, sql)), both);
    let sql = "SELECT ip(source4) AS source, ttl_min, country, refuted FROM flows_daily \
               WHERE protocol = 'udp'";
    let expected = serde_json::json!([{ "source": "0.0.0.20", "ttl_min": 60, "country": "??" }]);
    assert_eq!(Value::Array(ask(store, sql)), expected);
    let sql = "SELECT intervals, counted_packets AS packets, error_tcp_header_cut AS cut \
               FROM ledger_daily";
    let expected = serde_json::json!([{ "intervals": 2, "packets": PACKETS + 2, "cut": 1 }]);
    assert_eq!(Value::Array(ask(store, sql)), expected);
}
