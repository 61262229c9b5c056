//! Rows through Parquet and back, column by column; flows have a file of their own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt32Type};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;
use crate::cell::{Cell, Class};
use crate::checksum;
use crate::country::Country;
use crate::error::StoreError;
use crate::protocol::{self, ICMPV6, TCP, UDP};
use crate::read::read_file;

mod flows;

const START: i64 = 1_474_372_800_000_000;

fn v4(bits: u32) -> IpAddr {
    Ipv4Addr::from_bits(bits).into()
}

fn v6(bits: u128) -> IpAddr {
    Ipv6Addr::from_bits(bits).into()
}

/// What a reader finds in these bytes, as one batch.
fn decode(bytes: &[u8]) -> RecordBatch {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.parquet");
    std::fs::write(&path, bytes).unwrap();
    let batches = read_file(&path).unwrap();
    assert_eq!(batches.len(), 1, "few rows come as one batch");
    batches.into_iter().next().unwrap()
}

fn int16(batch: &RecordBatch, name: &str) -> Vec<Option<i16>> {
    batch[name].as_primitive::<Int16Type>().iter().collect()
}

fn int32(batch: &RecordBatch, name: &str) -> Vec<Option<i32>> {
    batch[name].as_primitive::<Int32Type>().iter().collect()
}

fn int64(batch: &RecordBatch, name: &str) -> Vec<Option<i64>> {
    batch[name].as_primitive::<Int64Type>().iter().collect()
}

fn uint32(batch: &RecordBatch, name: &str) -> Vec<Option<u32>> {
    batch[name].as_primitive::<UInt32Type>().iter().collect()
}

fn time(batch: &RecordBatch, name: &str) -> Vec<Option<i64>> {
    let times = batch[name].as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.timezone(), Some("UTC"));
    times.iter().collect()
}

fn text<'b>(batch: &'b RecordBatch, name: &str) -> Vec<Option<&'b str>> {
    batch[name].as_string::<i32>().iter().collect()
}

fn octets<'b>(batch: &'b RecordBatch, name: &str) -> Vec<Option<&'b [u8]>> {
    batch[name].as_fixed_size_binary().iter().collect()
}

#[test]
fn ports_come_back_as_they_went() {
    let cell = PortRow {
        interval_start_us: START,
        cell: Cell::new(ICMPV6, Class::Backscatter, Some(0x8100)),
        packets: u64::MAX,
        bytes: 3,
        sources: Some(2),
    };
    let portless = PortRow {
        cell: Cell::new(ICMPV6, Class::Backscatter, None),
        sources: None,
        ..cell.clone()
    };
    let batch = decode(&encode_ports(&[cell, portless]).unwrap());
    assert_eq!(batch.schema(), schema(Table::Ports));
    assert_eq!(time(&batch, "interval_start"), [Some(START); 2]);
    assert_eq!(text(&batch, "protocol"), [Some("icmpv6"); 2]);
    assert_eq!(text(&batch, "class"), [Some("backscatter"); 2]);
    assert_eq!(int32(&batch, "port"), [Some(0x8100), None]);
    assert_eq!(int64(&batch, "packets"), [Some(i64::MAX); 2]);
    assert_eq!(int64(&batch, "bytes"), [Some(3); 2]);
    assert_eq!(int64(&batch, "sources"), [Some(2), None]);
}

#[test]
fn fingerprints_come_back_as_they_went() {
    let rule = String::from("masscan");
    let hit = FingerprintRow {
        interval_start_us: START,
        source: v4(9),
        protocol: TCP,
        port: Some(23),
        rule: &rule,
        rule_version: 3,
        hits: 5,
        constant: Some((0, u16::MAX)),
    };
    let batch = decode(&encode_fingerprints([hit]).unwrap());
    assert_eq!(batch.schema(), schema(Table::Fingerprints));
    assert_eq!(uint32(&batch, "source4"), [Some(9)]);
    assert_eq!(octets(&batch, "source6"), [None]);
    assert_eq!(text(&batch, "protocol"), [Some("tcp")]);
    assert_eq!(int32(&batch, "port"), [Some(23)]);
    assert_eq!(text(&batch, "rule"), [Some("masscan")]);
    assert_eq!(int32(&batch, "rule_version"), [Some(3)]);
    assert_eq!(int64(&batch, "hits"), [Some(5)]);
    assert_eq!(int32(&batch, "constant_min"), [Some(0)]);
    assert_eq!(int32(&batch, "constant_max"), [Some(0xffff)]);
}

#[test]
fn victims_come_back_as_they_went() {
    let four = VictimRow {
        interval_start_us: START,
        victim: v4(u32::MAX),
        protocol: UDP,
        port: Some(53),
        packets: 7,
        senders: Some(3),
    };
    let six = VictimRow {
        victim: v6(1),
        port: None,
        senders: None,
        ..four.clone()
    };
    let batch = decode(&encode_victims(&[four, six]).unwrap());
    assert_eq!(batch.schema(), schema(Table::Victims));
    assert_eq!(uint32(&batch, "victim4"), [Some(u32::MAX), None]);
    assert_eq!(
        octets(&batch, "victim6"),
        [None, Some(&1u128.to_be_bytes()[..])]
    );
    assert_eq!(text(&batch, "protocol"), [Some("udp"); 2]);
    assert_eq!(int32(&batch, "port"), [Some(53), None]);
    assert_eq!(int64(&batch, "packets"), [Some(7); 2]);
    assert_eq!(int64(&batch, "senders"), [Some(3), None]);
}

#[test]
fn sketches_come_back_as_they_went() {
    let one = SketchRow {
        interval_start_us: START,
        protocol: UDP,
        class: Some(Class::Scan),
        port: Some(53),
        lg_k: 12,
        sketch: vec![1, 2, 3],
    };
    let all = SketchRow {
        class: None,
        port: None,
        ..one.clone()
    };
    let batch = decode(&encode_sketches(&[one, all]).unwrap());
    assert_eq!(batch.schema(), schema(Table::Sketches));
    assert_eq!(text(&batch, "class"), [Some("scan"), None]);
    assert_eq!(int32(&batch, "port"), [Some(53), None]);
    assert_eq!(int16(&batch, "lg_k"), [Some(12); 2]);
    let sketches = batch["sketch"].as_binary::<i32>();
    assert_eq!(
        sketches.iter().collect::<Vec<_>>(),
        [Some(&[1, 2, 3][..]); 2]
    );
}

fn ledger() -> LedgerRow {
    LedgerRow {
        interval_start_us: START,
        interval_seconds: 60,
        observed_ms: 59_999,
        observed_us: (START + 1, START + 59_999_001),
        interface: Some("eth1".into()),
        queue: 1,
        mode: Mode::ZeroCopy,
        clock_step_ms: -6_000,
        records: 101,
        matched_packets: 102,
        matched_bytes: 103,
        passed_packets: 104,
        passed_bytes: 105,
        not_parsed_packets: 106,
        in_flight_before: 107,
        counted_packets: 108,
        counted_bytes: 109,
        lost_unserved: 110,
        lost_rx_dropped: 111,
        lost_rx_ring_full: 112,
        lost_unexplained: -113,
        in_flight_after: 114,
        late_packets: 115,
        time_jump_packets: 116,
        repeats_sampled: 131,
        repeats: 132,
        overflow_packets: 117,
        fingerprint_overflow_hits: 118,
        icmp_errors: 119,
        quotes_counted: 120,
        quotes_foreign: 121,
        quotes_unreadable: 122,
        quotes_overflow: 123,
        decode_errors: std::array::from_fn(|at| at as u64 + 1),
        prefixes_version: "p".into(),
        prefixes_changed_us: Some(250),
        observed_addresses: 1 << 32,
        observed_slash64s: 124,
        software_version: "s".into(),
        rules_version: "r".into(),
        constants: "u/1".into(),
        complete: true,
        degraded: false,
        partial: true,
    }
}

#[test]
fn the_ledger_comes_back_as_it_went() {
    let batch = decode(&encode_ledger(&[ledger()]).unwrap());
    let counts: Vec<_> = [
        "records",
        "matched_packets",
        "matched_bytes",
        "passed_packets",
        "passed_bytes",
        "not_parsed_packets",
        "in_flight_before",
        "counted_packets",
        "counted_bytes",
        "lost_unserved",
        "lost_rx_dropped",
        "lost_rx_ring_full",
        "lost_unexplained",
        "in_flight_after",
        "late_packets",
        "time_jump_packets",
        "overflow_packets",
        "fingerprint_overflow_hits",
        "icmp_error_packets",
        "quotes_counted_packets",
        "quotes_foreign_packets",
        "quotes_unreadable_packets",
        "quotes_overflow_packets",
    ]
    .iter()
    .map(|name| int64(&batch, name)[0].unwrap().abs())
    .collect();
    assert_eq!(counts, (101..=123).collect::<Vec<_>>());
    assert_eq!(int64(&batch, "lost_unexplained"), [Some(-113)]);
    assert_eq!(int64(&batch, "repeats_sampled_packets"), [Some(131)]);
    assert_eq!(int64(&batch, "repeats_packets"), [Some(132)]);
    for (expected, name) in (1..).zip(error_columns()) {
        assert_eq!(int64(&batch, &name), [Some(expected)], "{name}");
    }
    assert_eq!(int64(&batch, "error_ipv4_ihl_below_5"), [Some(1)]);
    assert_eq!(int64(&batch, "error_icmpv6_cut"), [Some(17)]);
    assert_eq!(int32(&batch, "interval_seconds"), [Some(60)]);
    assert_eq!(int64(&batch, "observed_ms"), [Some(59_999)]);
    let times = ["observed_from", "observed_to"].map(|name| {
        batch[name]
            .as_primitive::<TimestampMicrosecondType>()
            .value(0)
    });
    assert_eq!(times, [START + 1, START + 59_999_001]);
    assert_eq!(text(&batch, "interface"), [Some("eth1")]);
    assert_eq!(int32(&batch, "queue"), [Some(1)]);
    assert_eq!(text(&batch, "mode"), [Some("zero-copy")]);
    assert_eq!(int64(&batch, "clock_step_ms"), [Some(-6_000)]);
    assert_eq!(text(&batch, "prefixes_version"), [Some("p")]);
    assert_eq!(int64(&batch, "prefixes_changed_us"), [Some(250)]);
    assert_eq!(text(&batch, "software_version"), [Some("s")]);
    assert_eq!(text(&batch, "rules_version"), [Some("r")]);
    assert_eq!(text(&batch, "constants"), [Some("u/1")]);
    assert_eq!(int64(&batch, "observed_addresses"), [Some(1 << 32)]);
    assert_eq!(int64(&batch, "observed_slash64s"), [Some(124)]);
    let flags = ["complete", "degraded", "partial"].map(|name| batch[name].as_boolean().value(0));
    assert_eq!(flags, [true, false, true]);
    assert_eq!(batch.schema(), schema(Table::Ledger));
}

fn footer(bytes: Vec<u8>) -> parquet::file::metadata::ParquetMetaData {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.parquet");
    std::fs::write(&path, bytes).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    SerializedFileReader::new(file).unwrap().metadata().clone()
}

#[test]
fn an_interval_without_rows_is_a_file_too() {
    for (table, bytes) in [
        (Table::Flows, encode_flows(&[])),
        (Table::Ports, encode_ports(&[])),
        (Table::Fingerprints, encode_fingerprints([])),
        (Table::Sketches, encode_sketches(&[])),
        (Table::Victims, encode_victims(&[])),
        (Table::Unparsed, encode_unparsed(&[])),
        (Table::Ledger, encode_ledger(&[])),
    ] {
        let metadata = footer(bytes.unwrap());
        assert_eq!(metadata.file_metadata().num_rows(), 0, "{table}");
        assert_eq!(
            metadata.file_metadata().schema_descr().num_columns(),
            schema(table).fields().len(),
            "{table}"
        );
    }
}

#[test]
fn a_damaged_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.parquet");
    let bytes = encode_ledger(&[ledger()]).unwrap();
    for cut in [0, 3, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let error = read_file(&path).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
    let missing = read_file(Path::new("missing.parquet")).unwrap_err();
    assert!(matches!(missing, StoreError::Read { .. }), "{missing}");
}

#[test]
fn equal_rows_give_the_bytes_that_they_always_gave() {
    // A file that is sent again must equal the file that is there, whatever version wrote it.
    let flows: Vec<_> = (0..20_000u32)
        .map(|n| FlowRow {
            interval_start_us: START,
            source: if n < 15_000 {
                v4(n / 3 * 7919)
            } else {
                v6(u128::from(n) << 64)
            },
            cell: Cell::new(TCP, Class::ALL[n as usize % 3], Some(n as u16)),
            packets: u64::from(n % 9 + 1),
            bytes: u64::from(n) * 40,
            first_ms: n * 3,
            duration_ms: n % 5,
            ttl_min: n as u8,
            ttl_max: 255,
            tcp_flags: 2,
            ip_id_min: Some(n as u16),
            ip_id_max: Some(n as u16),
            constants: (n % 2 == 0).then_some([(1, 1), (2, n as u16), (3, 3)]),
            last_source_port: Some(!n as u16),
            destinations: u64::from(n) << 20,
            country: Country::from_code(["JP", "DE"][n as usize % 2]),
            asn: Some(n),
            bogon: n % 7 == 0,
        })
        .collect();
    let mut encoder = FlowEncoder::new().unwrap();
    for row in flows {
        encoder.push(row).unwrap();
    }
    let files = [encoder.finish(), encode_ledger(&[ledger()])];
    let found = files.map(|bytes| checksum::written(&bytes.unwrap()));
    let expected = [
        "db3633362a375e52d72bb9d3d531923831401b8dcd1890733f998d4df0489b68",
        "dac220c512259ce0b206caf1ebded807fd22b9cced91a8bc8f002ed5ae562f06",
    ];
    assert_eq!(found, expected);
}
