//! A small MaxMind DB, of the records that a test names.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use serde_json::Value;

/// A MaxMind DB (format 2.0) over IPv4 with 24-bit records. A record may hold text, integers
/// (as uint32) and maps.
///
/// # Panics
/// A prefix has length 0, or a record holds another type.
pub fn mmdb(records: &[(&str, Value)]) -> Vec<u8> {
    let mut nodes: Vec<[Child; 2]> = vec![[Child::Nothing; 2]];
    let mut data = Vec::new();
    for (prefix, record) in records {
        let prefix: Ipv4Net = prefix.parse().expect("an IPv4 prefix");
        let bits = prefix.network().to_bits();
        let mut node = 0;
        for depth in 0..prefix.prefix_len() {
            let side = (bits >> (31 - depth) & 1) as usize;
            if depth + 1 == prefix.prefix_len() {
                nodes[node][side] = Child::Record(data.len());
                break;
            }
            node = match nodes[node][side] {
                Child::Node(next) => next,
                _ => {
                    nodes.push([Child::Nothing; 2]);
                    let next = nodes.len() - 1;
                    nodes[node][side] = Child::Node(next);
                    next
                }
            };
        }
        encode(record, &mut data);
    }
    let count = nodes.len();
    let mut file = Vec::new();
    for child in nodes.iter().flatten() {
        let number = match *child {
            Child::Nothing => count,
            Child::Node(node) => node,
            Child::Record(place) => count + 16 + place,
        };
        file.extend(&(number as u32).to_be_bytes()[1..]);
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    let mut metadata = Vec::new();
    map_header(9, &mut metadata);
    for (key, kind, value) in [
        ("binary_format_major_version", 5, 2),
        ("binary_format_minor_version", 5, 0),
        ("record_size", 5, 24),
        ("ip_version", 5, 4),
        ("node_count", 6, count as u64),
        ("build_epoch", 9, 1_700_000_000),
    ] {
        string(key, &mut metadata);
        unsigned(kind, value, &mut metadata);
    }
    string("database_type", &mut metadata);
    string("test", &mut metadata);
    string("languages", &mut metadata);
    metadata.extend([0, 4]);
    string("description", &mut metadata);
    map_header(1, &mut metadata);
    string("en", &mut metadata);
    string("test", &mut metadata);
    file.extend(metadata);
    file
}

#[derive(Clone, Copy)]
enum Child {
    Nothing,
    Node(usize),
    Record(usize),
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => string(text, out),
        Value::Number(number) => unsigned(6, number.as_u64().expect("an integer"), out),
        Value::Object(entries) => {
            let entries: BTreeMap<_, _> = entries.iter().collect();
            map_header(entries.len(), out);
            for (key, value) in entries {
                string(key, out);
                encode(value, out);
            }
        }
        other => panic!("{other} is of no type that is written"),
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    match u8::try_from(text.len()) {
        Ok(short @ 0..29) => out.push(2 << 5 | short),
        Ok(length @ 29..) => out.extend([2 << 5 | 29, length - 29]),
        Err(_) => panic!("\"{text}\" is too long"),
    }
    out.extend(text.bytes());
}

fn map_header(entries: usize, out: &mut Vec<u8>) {
    assert!(entries < 29, "{entries} entries are too many");
    out.push(7 << 5 | entries as u8);
}

/// A number of type 5 (16 bits), 6 (32 bits) or 9 (64 bits).
fn unsigned(kind: u8, value: u64, out: &mut Vec<u8>) {
    let octets = value.to_be_bytes();
    let octets = &octets[octets.iter().take_while(|&&octet| octet == 0).count()..];
    if kind < 8 {
        out.push(kind << 5 | octets.len() as u8);
    } else {
        out.extend([octets.len() as u8, kind - 7]);
    }
    out.extend(octets);
}
