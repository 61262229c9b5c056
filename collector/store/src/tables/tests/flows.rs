//! Flows through Parquet and back, and what holds for every file: footer, types, equal bytes.

use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};
use proptest::prelude::*;

use super::*;

fn flow(source: IpAddr) -> FlowRow {
    FlowRow {
        interval_start_us: START,
        source,
        cell: Cell::new(TCP, Class::Scan, Some(65_535)),
        packets: 7,
        bytes: 1 << 40,
        first_ms: 59_999,
        duration_ms: 1,
        ttl_min: 1,
        ttl_max: 255,
        tcp_flags: 0xff,
        ip_id_min: Some(54_321),
        ip_id_max: Some(54_321),
        constants: Some([(1, 65_535), (2, 2), (4, 5)]),
        last_source_port: Some(61_000),
        destinations: 1 << 63 | 1,
        country: Country::from_code("JP"),
        asn: Some(u32::MAX),
        bogon: true,
    }
}

fn bare_flow(source: IpAddr) -> FlowRow {
    FlowRow {
        cell: Cell::new(47, Class::Other, None),
        ip_id_min: None,
        ip_id_max: None,
        constants: None,
        last_source_port: None,
        country: None,
        asn: None,
        bogon: false,
        ..flow(source)
    }
}

#[test]
fn flows_come_back_as_they_went() {
    let six = std::array::from_fn::<u8, 16, _>(|at| 0xf0 | at as u8);
    let rows = [flow(v4(u32::MAX)), bare_flow(v6(u128::from_be_bytes(six)))];
    let batch = decode(&encode_flows(&rows).unwrap());
    assert_eq!(batch.schema(), schema(Table::Flows));
    assert_eq!(time(&batch, "interval_start"), [Some(START); 2]);
    assert_eq!(uint32(&batch, "source4"), [Some(u32::MAX), None]);
    assert_eq!(octets(&batch, "source6"), [None, Some(&six[..])]);
    assert_eq!(text(&batch, "protocol"), [Some("tcp"), Some("47")]);
    assert_eq!(text(&batch, "class"), [Some("scan"), Some("other")]);
    assert_eq!(int32(&batch, "port"), [Some(65_535), None]);
    assert_eq!(int64(&batch, "packets"), [Some(7); 2]);
    assert_eq!(int64(&batch, "bytes"), [Some(1 << 40); 2]);
    assert_eq!(int32(&batch, "first_ms"), [Some(59_999); 2]);
    assert_eq!(int32(&batch, "duration_ms"), [Some(1); 2]);
    assert_eq!(int16(&batch, "ttl_min"), [Some(1); 2]);
    assert_eq!(int16(&batch, "ttl_span"), [Some(254); 2]);
    assert_eq!(int16(&batch, "tcp_flags"), [Some(255); 2]);
    assert_eq!(int32(&batch, "ip_id"), [Some(54_321), None]);
    let constants = ["constant1", "constant2", "constant3"].map(|name| int32(&batch, name));
    assert_eq!(constants, [[None, None], [Some(2), None], [None, None]]);
    assert_eq!(int16(&batch, "refuted"), [Some(0b101), Some(0)]);
    assert_eq!(int32(&batch, "last_source_port"), [Some(61_000), None]);
    assert_eq!(int64(&batch, "destinations"), [Some(i64::MIN + 1); 2]);
    assert_eq!(text(&batch, "country"), [Some("JP"), None]);
    assert_eq!(int64(&batch, "asn"), [Some(0xffff_ffff), None]);
    let bogons: Vec<_> = batch["bogon"].as_boolean().iter().collect();
    assert_eq!(bogons, [Some(true), Some(false)]);
    assert_eq!(batch.num_columns(), 23);
}

#[test]
fn an_expression_is_settled_over_all_rows_of_a_source() {
    let row = |source, port, value| FlowRow {
        cell: Cell::new(TCP, Class::Scan, Some(port)),
        constants: Some([(value, value), (7, 7), (0, 0)]),
        ..flow(v4(source))
    };
    let answer = FlowRow {
        constants: None,
        ..row(1, 3, 0)
    };
    let rows = [
        row(1, 1, 5),
        row(1, 2, 6),
        answer,
        row(2, 1, 5),
        row(2, 2, 5),
    ];
    let batch = decode(&encode_flows(&rows).unwrap());
    assert_eq!(
        int32(&batch, "constant1"),
        [None, None, None, Some(5), Some(5)]
    );
    let second = [Some(7), Some(7), None, Some(7), Some(7)];
    assert_eq!(int32(&batch, "constant2"), second);
    assert_eq!(int16(&batch, "refuted"), [1, 1, 0, 0, 0].map(Some));
}

#[test]
fn an_ip_id_is_told_where_several_packets_share_it() {
    let row = |source, packets, id_max| FlowRow {
        packets,
        ip_id_max: Some(id_max),
        ..flow(v4(source))
    };
    let rows = [row(1, 1, 54_321), row(2, 2, 54_321), row(3, 2, 54_322)];
    let batch = decode(&encode_flows(&rows).unwrap());
    assert_eq!(int32(&batch, "ip_id"), [None, Some(54_321), None]);
}

#[test]
fn an_unknown_country_is_not_a_missing_one() {
    let mut row = flow(v4(1));
    row.country = Some(Country::UNKNOWN);
    let batch = decode(&encode_flows(&[row]).unwrap());
    assert_eq!(text(&batch, "country"), [Some("??")]);
}

#[test]
fn flows_out_of_order_or_twice_are_refused() {
    let rows = [v4(1), v4(2), v4(2)].map(flow);
    let error = encode_flows(&rows).unwrap_err();
    assert!(matches!(error, StoreError::Order { row: 2, .. }), "{error}");
    let rows = [v6(0), v4(2)].map(flow);
    let error = encode_flows(&rows).unwrap_err();
    assert!(matches!(error, StoreError::Order { row: 1, .. }), "{error}");
    for (sources, at) in [([1, 2, 2], 2), ([1, 1, 2], 1), ([2, 3, 1], 2)] {
        let mut encoder = FlowEncoder::new().unwrap();
        let pushed = (sources.iter()).try_for_each(|&source| encoder.push(flow(v4(source))));
        let error = pushed.and_then(|()| encoder.finish()).unwrap_err();
        assert!(
            matches!(error, StoreError::Order { row, .. } if row == at),
            "{error}"
        );
    }
}

#[test]
fn files_say_what_they_are() {
    let rows = [flow(v4(1)), flow(v6(1))];
    let metadata = footer(encode_flows(&rows).unwrap());
    let file = metadata.file_metadata();
    assert_eq!(file.created_by(), Some(crate::CREATED_BY));
    let value = |key: &str| {
        let pairs = file.key_value_metadata().unwrap();
        let pair = pairs.iter().find(|pair| pair.key == key);
        pair.and_then(|pair| pair.value.clone()).unwrap_or_default()
    };
    assert_eq!(value("noctule.schema"), crate::SCHEMA_VERSION);
    assert_eq!(value("noctule.table"), "flows");
    let units = value("noctule.units");
    assert!(
        units.starts_with("{\"interval_start\":\"UTC\",\"source4\":"),
        "{units}"
    );
    for column in file.schema_descr().columns() {
        assert!(
            units.contains(&format!("\"{}\":\"", column.name())),
            "{units}"
        );
    }
    let names: Vec<_> = (metadata.row_group(0).sorting_columns().unwrap().iter())
        .map(|by| {
            file.schema_descr()
                .column(by.column_idx as usize)
                .name()
                .to_owned()
        })
        .collect();
    assert_eq!(names, ["source4", "source6", "protocol", "class", "port"]);
}

#[test]
fn types_are_those_every_engine_reads_alike() {
    let utc: Arc<str> = "UTC".into();
    let expected = [
        (
            "interval_start",
            DataType::Timestamp(TimeUnit::Microsecond, Some(utc)),
            false,
        ),
        ("source4", DataType::UInt32, true),
        ("source6", DataType::FixedSizeBinary(16), true),
        ("port", DataType::Int32, true),
        ("packets", DataType::Int64, false),
        ("destinations", DataType::Int64, false),
        ("country", DataType::Utf8, true),
    ];
    let schema = schema(Table::Flows);
    for (name, data_type, nullable) in expected {
        let field = schema.field_with_name(name).unwrap();
        assert_eq!(
            (field.data_type(), field.is_nullable()),
            (&data_type, nullable),
            "{name}"
        );
    }
}

fn any_flow() -> impl Strategy<Value = FlowRow> {
    let source = prop_oneof![
        any::<u32>().prop_map(v4),
        (0u32..4).prop_map(v4),
        any::<u128>().prop_map(v6),
    ];
    let class = proptest::sample::select(&Class::ALL[..]);
    let cell = (any::<u8>(), class, any::<Option<u16>>())
        .prop_map(|(protocol, class, port)| Cell::new(protocol, class, port));
    let values = (
        any::<u64>(),
        any::<u64>(),
        0..3_600_000u32,
        any::<Option<u32>>(),
    );
    (source, cell, values).prop_map(|(source, cell, (a, b, ms, some))| FlowRow {
        cell,
        packets: a >> 1,
        bytes: b >> 1,
        destinations: a ^ b,
        first_ms: ms,
        asn: some,
        ..bare_flow(source)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Any set of flows survives the way through Parquet, in the table's order, and gives the
    /// same bytes whatever order it was in before.
    #[test]
    fn any_flows_come_back(rows in proptest::collection::vec(any_flow(), 1..300)) {
        let mut sorted = rows.clone();
        sort_flows(&mut sorted);
        sorted.dedup_by_key(|r| (r.source, r.cell));
        let bytes = encode_flows(&sorted).unwrap();

        let mut again = sorted.clone();
        again.reverse();
        sort_flows(&mut again);
        prop_assert_eq!(&encode_flows(&again).unwrap(), &bytes);
        // Source by source, in whatever order each one's rows are.
        let mut encoder = FlowEncoder::new().unwrap();
        for group in sorted.chunk_by(|a, b| a.source == b.source) {
            group.iter().rev().for_each(|row| encoder.push(row.clone()).unwrap());
        }
        prop_assert_eq!(encoder.len(), sorted.len());
        prop_assert_eq!(&encoder.finish().unwrap(), &bytes);

        let batch = decode(&bytes);
        prop_assert_eq!(batch.num_rows(), sorted.len());
        let (source4, source6) = (uint32(&batch, "source4"), octets(&batch, "source6"));
        let (protocol, class) = (text(&batch, "protocol"), text(&batch, "class"));
        let columns = (int32(&batch, "port"), int64(&batch, "packets"), int64(&batch, "asn"));
        let keys: Vec<_> = (0..sorted.len())
            .map(|at| {
                let source = (source4[at].is_none(), source4[at], source6[at]);
                (source, protocol[at], class[at], columns.0[at])
            })
            .collect();
        prop_assert!(keys.is_sorted_by(|a, b| a < b), "the columns themselves ascend");
        let (first, bitmap) = (int32(&batch, "first_ms"), int64(&batch, "destinations"));
        for (at, row) in sorted.iter().enumerate() {
            match row.source {
                IpAddr::V4(four) => prop_assert_eq!(
                    (source4[at], source6[at]),
                    (Some(four.to_bits()), None)
                ),
                IpAddr::V6(six) => prop_assert_eq!(
                    (source4[at], source6[at]),
                    (None, Some(&six.octets()[..]))
                ),
            }
            prop_assert_eq!(protocol[at], Some(protocol::name(row.cell.protocol)));
            prop_assert_eq!(class[at], Some(row.cell.class.name()));
            prop_assert_eq!(columns.0[at], row.cell.port.map(i32::from));
            prop_assert_eq!(columns.1[at], Some(row.packets as i64));
            prop_assert_eq!(columns.2[at], row.asn.map(i64::from));
            prop_assert_eq!(first[at], Some(row.first_ms as i32));
            prop_assert_eq!(bitmap[at], Some(row.destinations as i64));
        }
    }
}

#[test]
fn many_rows_make_several_batches_of_one_group() {
    let rows: Vec<_> = (0..200_000).map(|n| flow(v4(n * 7))).collect();
    let bytes = encode_flows(&rows).unwrap();
    let mut encoder = FlowEncoder::new().unwrap();
    rows.iter()
        .for_each(|row| encoder.push(row.clone()).unwrap());
    assert!(bytes == encoder.finish().unwrap(), "the same bytes");
    let metadata = footer(bytes);
    assert_eq!(metadata.num_row_groups(), 1);
    assert_eq!(metadata.file_metadata().num_rows(), 200_000);
}
