//! Summaries held against each other. What differs is listed, not only that something does.

use std::collections::BTreeSet;

use noctule_counters::summary::{Cell, Summary};
use serde_json::Value;

/// A cell in an order that does not depend on who wrote it.
pub type Key = (String, String, Option<u16>, u64, u64, Option<u64>);

/// The cells of a summary: protocol, class, port, packets, bytes, sources.
pub fn cells(summary: &Summary) -> BTreeSet<Key> {
    summary.cells.iter().map(key).collect()
}

fn key(cell: &Cell) -> Key {
    (
        cell.protocol.clone(),
        cell.class.clone(),
        cell.port,
        cell.packets,
        cell.bytes,
        cell.sources,
    )
}

/// Asserts that two summaries have the same cells.
///
/// # Panics
/// With every cell that only one of them has.
pub fn assert_same_cells(what: &str, expected: &Summary, found: &Summary) {
    assert_sets(what, &cells(expected), &cells(found));
}

fn assert_sets(what: &str, expected: &BTreeSet<Key>, found: &BTreeSet<Key>) {
    let missing: Vec<_> = expected.difference(found).take(20).collect();
    let surplus: Vec<_> = found.difference(expected).take(20).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{what}: cells differ\n expected: {missing:?}\n found: {surplus:?}"
    );
}

/// Asserts that two summaries are equal in these fields, and in their cells if `cells` is one.
///
/// # Panics
/// With the first field that differs.
pub fn assert_same_fields(what: &str, fields: &[&str], expected: &Summary, found: &Summary) {
    let expected = serde_json::to_value(expected).expect("a summary is JSON");
    let fields: serde_json::Map<_, _> = (fields.iter())
        .map(|&name| (name.to_owned(), expected[name].clone()))
        .collect();
    assert_fields(what, &Value::Object(fields), found);
}

/// Asserts that a summary holds every field of `expected`.
///
/// # Panics
/// With the first field that is missing or differs.
pub fn assert_fields(what: &str, expected: &Value, found: &Summary) {
    let all = serde_json::to_value(found).expect("a summary is JSON");
    let fields = expected.as_object().expect("fields of a summary");
    assert!(!fields.is_empty(), "{what}: nothing is expected");
    for (name, value) in fields {
        if name == "cells" {
            let cells: Vec<Cell> =
                serde_json::from_value(value.clone()).expect("expected cells are cells");
            let cells: BTreeSet<Key> = cells.iter().map(key).collect();
            assert_eq!(found.cells.len(), cells.len(), "{what}: number of cells");
            assert_sets(what, &cells, &self::cells(found));
        } else {
            assert_eq!(all.get(name), Some(value), "{what}: {name}");
        }
    }
}

/// Asserts that two summaries are equal in everything.
///
/// # Panics
/// With what differs.
pub fn assert_same(what: &str, expected: &Summary, found: &Summary) {
    assert_fields(
        what,
        &serde_json::to_value(expected).expect("a summary is JSON"),
        found,
    );
    assert_eq!(expected, found, "{what}");
}

/// Asserts that a summary adds up: records, classes, protocols and cells.
///
/// # Panics
/// With the sum that does not.
pub fn assert_adds_up(what: &str, summary: &Summary) {
    let dark = summary.dark_packets;
    assert_eq!(
        summary.records,
        dark + summary.passed_packets,
        "{what}: records"
    );
    assert_eq!(
        summary.by_class.values().sum::<u64>(),
        dark,
        "{what}: class"
    );
    assert_eq!(
        summary.by_protocol.values().sum::<u64>(),
        dark,
        "{what}: protocol"
    );
    let packets: u64 = summary.cells.iter().map(|cell| cell.packets).sum();
    let bytes: u64 = summary.cells.iter().map(|cell| cell.bytes).sum();
    assert_eq!(
        (packets, bytes),
        (dark, summary.dark_bytes),
        "{what}: cells"
    );
}
