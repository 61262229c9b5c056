//! Geo files in every layout of text, with random nested ranges, as two implementations read them.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Command;

use noctule_store::geo::{AsnDb, CountryDb};
use noctule_testkit::program::{LIMIT, Running};
use noctule_testkit::python;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

/// Files that are drawn.
const FILES: usize = 24;
const CODES: [&str; 8] = ["JP", "us", "-", "A1", "ZZ", "KR", "", "None"];
const NUMBERS: [&str; 7] = [
    "64500",
    "AS64501",
    "5.1",
    "0",
    "64502_64503",
    "{64504,64505}",
    "-",
];

/// A prefix of `10.0.0.0/24` or of `2001:db8::/120`, and a number that selects its value.
type Drawn = (bool, u8, u8, usize);

/// First and last address of a prefix.
fn ends(&(six, host, length, _): &Drawn) -> (u128, u128) {
    let below = (1u128 << (8 - length)) - 1;
    let base = if six { 0x2001_0db8 << 96 } else { 0x0a00_0000 };
    let start = base | (u128::from(host) & !below);
    (start, start | below)
}

fn address(bits: u128) -> IpAddr {
    match u32::try_from(bits) {
        Ok(bits) => Ipv4Addr::from_bits(bits).into(),
        Err(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

/// The prefixes as a text of layout `number`, and whether it has countries and AS numbers.
fn text(layout: usize, prefixes: &[Drawn]) -> (String, bool, bool) {
    let mut text = String::new();
    if layout == 5 {
        text.push_str("network,country,country_code,asn\n");
    }
    for prefix in prefixes {
        let (start, end) = ends(prefix);
        let (first, last) = (address(start), address(end));
        let length = if prefix.0 { 120 } else { 24 } + prefix.2;
        let (code, number) = (CODES[prefix.3 % 8], NUMBERS[prefix.3 % 7]);
        let quoted = number.replace(',', "_");
        let line = match layout {
            0 => format!("{first},{last},{code},\"A name, of it\""),
            1 => format!("\"{start}\",\"{end}\",\"{code}\""),
            2 => format!("{first}\t{last}\t{}\t{code}\tEXAMPLE", prefix.3),
            3 => format!("{first}/{length};{code}"),
            4 => format!("{first}\t{length}\t{number}"),
            5 => format!("{first}/{length},\"Land, of it\",{code},{quoted}"),
            6 => format!("{first},{last},{quoted}"),
            _ => format!("{first},{last},{first}/{length},{quoted}"),
        };
        writeln!(text, "{line}").expect("memory");
    }
    let countries = [0, 1, 2, 3, 5].contains(&layout);
    (text, countries, layout >= 4)
}

/// What the second implementation says of addresses.
fn second(python: &str, kind: &str, path: &Path, addresses: &[IpAddr]) -> Vec<String> {
    let mut command = Command::new(python);
    command.arg(python::script("reference/recount_places.py"));
    command.arg(kind).arg(path);
    command.args(addresses.iter().map(IpAddr::to_string));
    let ended = Running::start(&mut command).wait(LIMIT).success();
    ended.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn two_implementations_read_the_same() {
    let Some(python) = python::with("two_implementations_read_the_same", "numpy") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let prefix = (any::<bool>(), any::<u8>(), 0u8..=8, 0usize..56);
    let drawn = proptest::collection::vec(prefix, 1..24);
    let mut runner = TestRunner::deterministic();
    let addresses: Vec<IpAddr> = (0..=255u128)
        .flat_map(|host| [0x0a00_0000 | host, 0x2001_0db8 << 96 | host])
        .chain([0x0aff_ffff, 0xffff_0a00_0007])
        .map(address)
        .collect();
    let mut known = 0;
    for number in 0..FILES {
        let mut prefixes = drawn.new_tree(&mut runner).expect("prefixes").current();
        // Of equal prefixes with different values, none decides: such files are refused.
        prefixes.sort_by_key(ends);
        prefixes.dedup_by_key(|prefix| ends(prefix));
        // Some value for both kinds.
        prefixes.push((false, 0, 0, 0));
        prefixes.dedup_by_key(|prefix| ends(prefix));
        let last = prefixes.pop().expect("a prefix");
        prefixes.retain(|prefix| ends(prefix) != ends(&last));
        prefixes.push(last);
        let (text, countries, asns) = text(number % 8, &prefixes);
        let path = folder.path().join("geo.txt");
        fs::write(&path, &text).expect("room for a file");
        let refused = |error: noctule_store::geo::GeoError| -> ! { panic!("{error}:\n{text}") };
        if countries {
            let db = CountryDb::open(&path).unwrap_or_else(|error| refused(error));
            let found = addresses.iter().map(|&address| {
                let country = db.lookup(address);
                country.map_or("??".to_owned(), |country| country.to_string())
            });
            let found: Vec<String> = found.collect();
            known += found.iter().filter(|value| *value != "??").count();
            assert_eq!(
                found,
                second(&python, "country", &path, &addresses),
                "{text}"
            );
        }
        if asns {
            let db = AsnDb::open(&path).unwrap_or_else(|error| refused(error));
            let found = addresses.iter().map(|&address| {
                (db.lookup(address)).map_or("??".to_owned(), |number| number.to_string())
            });
            let found: Vec<String> = found.collect();
            known += found.iter().filter(|value| *value != "??").count();
            assert_eq!(found, second(&python, "asn", &path, &addresses), "{text}");
        }
    }
    assert!(known > 1_000, "{known}");
}
