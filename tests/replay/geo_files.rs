//! Country and AS files in the layouts that their publishers really use: what each gives to the
//! source of a captured packet, and what is said of it.

use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Array as _, RecordBatch};
use noctule_packet::link::LinkType;
use noctule_store::Table;
use noctule_store::geo::{AsnDb, CountryDb};
use noctule_testkit::frames::{DARK, DARK_PREFIX, Frame, checksum, syn, write};
use noctule_testkit::mmdb::mmdb;
use noctule_testkit::program::{Ended, replay};
use noctule_testkit::store;
use serde_json::json;
use tempfile::TempDir;

/// Source of the captured packet.
const SOURCE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const NETWORK: &str = "203.0.113.0/24";
/// Its addresses as decimals, also IPv4-mapped, and those of 2001:db8::/32.
const DECIMAL: (u32, u32) = (3_405_803_776, 3_405_804_031);
const MAPPED: (u128, u128) = (281_474_087_547_136, 281_474_087_547_391);
const IPV6: (u128, u128) = (
    42_540_766_411_282_592_856_903_984_951_653_826_560,
    42_540_766_490_510_755_371_168_322_545_197_776_895,
);

/// A folder with a capture of one packet from [`SOURCE`].
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a temporary folder"));
        let mut frame = syn(1, DARK, 23);
        frame[26..30].copy_from_slice(&SOURCE.octets());
        frame[24..26].fill(0);
        let sum = checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        let capture = place.path("good.pcap");
        let frame = Frame {
            time_us: 1_700_000_000_000_000,
            link: LinkType::Ethernet,
            octets: frame,
        };
        write(&capture, [&frame]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("room for a file");
        path
    }

    fn run(&self, flag: &str, file: &Path, more: &[&str]) -> Ended {
        let (file, capture) = (file.display().to_string(), self.path("good.pcap"));
        let capture = capture.display().to_string();
        let arguments = [&["--prefix", DARK_PREFIX, flag, &file], more, &[&capture]].concat();
        replay(arguments)
    }

    /// Country and AS number of the captured source's row, and what the run said.
    fn row(&self, flag: &str, file: &Path) -> (Option<String>, Option<i64>, String) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let target = folder.path().display().to_string();
        let ended = self.run(flag, file, &["--store", &target]).success();
        let rows = store::table(folder.path(), Table::Flows);
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
        let country = rows[0]["country"].as_string::<i32>();
        let asn = rows[0]["asn"].as_primitive::<Int64Type>();
        (
            country.is_valid(0).then(|| country.value(0).to_owned()),
            asn.is_valid(0).then(|| asn.value(0)),
            ended.stderr,
        )
    }

    fn country(&self, name: &str, content: &[u8]) -> (String, String) {
        let (country, _, said) = self.row("--country-db", &self.file(name, content));
        (country.expect("a country or ??"), said)
    }

    fn asn(&self, name: &str, content: &[u8]) -> (Option<i64>, String) {
        let (_, asn, said) = self.row("--asn-db", &self.file(name, content));
        (asn, said)
    }
}

fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn flat_records() {
    let place = Place::new();
    let lite = json!({"asn": "AS64500", "country": "Japan", "country_code": "JP"});
    let lite = mmdb(&[(NETWORK, lite)]);
    assert_eq!(place.country("lite.mmdb", &lite).0, "JP");
    assert_eq!(place.asn("lite.mmdb", &lite).0, Some(64500));
    let older = mmdb(&[(NETWORK, json!({"country": "JP", "country_name": "Japan"}))]);
    assert_eq!(place.country("older.mmdb", &older).0, "JP");
    assert_eq!(place.country("older.mmdb.gz", &packed(&older)).0, "JP");
    let nested = json!({"country": {"iso_code": "JP", "names": {"en": "Japan"}},
        "traits": {"autonomous_system_number": 64500}});
    let nested = mmdb(&[(NETWORK, nested)]);
    assert_eq!(place.country("nested.mmdb", &nested).0, "JP");
    assert_eq!(place.asn("nested.mmdb", &nested).0, Some(64500));
}

#[test]
fn a_code_that_is_no_country_is_unknown_and_told_once() {
    let place = Place::new();
    let odd = mmdb(&[
        (NETWORK, json!({"country": {"iso_code": "JP"}})),
        ("198.51.100.0/24", json!({"country": {"iso_code": "T1"}})),
    ]);
    let lines = b"203.0.113.0,203.0.113.255,JP\n198.51.100.0,198.51.100.255,A1\n";
    for (name, content, code) in [("odd.mmdb", &odd[..], "T1"), ("odd.csv", lines, "A1")] {
        let (country, said) = place.country(name, content);
        assert_eq!(country, "JP", "{name}");
        let lines: Vec<_> = said.lines().filter(|line| line.contains(name)).collect();
        assert_eq!(lines.len(), 1, "{said}");
        let whole = format!("1 of 2 ranges have no country code, such as \"{code}\"");
        assert!(
            lines[0].contains("warning") && lines[0].contains(&whole),
            "{said}"
        );
    }
    // The source's own range.
    for code in ["T1", "A1", "", "-", "ZZ", "None", "Japan", "JPN", "0"] {
        let text = format!("203.0.113.0,203.0.113.255,{code}\n198.51.100.0,198.51.100.255,US\n");
        assert_eq!(place.country("own.csv", text.as_bytes()).0, "??", "{code}");
        let records = [
            (NETWORK, json!({"country_code": code})),
            ("198.51.100.0/24", json!({"country_code": "US"})),
        ];
        assert_eq!(place.country("own.mmdb", &mmdb(&records)).0, "??", "{code}");
    }
    let (country, _) = place.country("small.csv", b"203.0.113.0,203.0.113.255,jp\n");
    assert_eq!(country, "JP");
    // A file without any country is of another kind.
    let file = place.file("none.csv", b"203.0.113.0,203.0.113.255,A1\n");
    let ended = place.run("--country-db", &file, &[]);
    assert_eq!(ended.code(), 1);
    let error = ended.error();
    assert!(
        error.contains("\"A1\" in line 1") && error.contains("Read are:"),
        "{error}"
    );
}

/// Lines for both families. The first of a pair gives the source's country or AS number.
#[test]
fn texts_of_countries() {
    let place = Place::new();
    let ((first, last), (mapped, mapped_last), (six, six_last)) = (DECIMAL, MAPPED, IPV6);
    let texts = [
        format!("\"{mapped}\",\"{mapped_last}\",\"JP\",\"Japan\"\n\"{six}\",\"{six_last}\",\"KR\",\"Korea, Republic of\"\n"),
        format!("\"0\",\"281470681743359\",\"-\",\"-\"\n\"281470681743360\",\"281470698520575\",\"-\",\"-\"\n\"{mapped}\",\"{mapped_last}\",\"JP\",\"Japan\"\n\"{six}\",\"{six_last}\",\"KR\",\"x\"\n"),
        format!("\"0\",\"16777215\",\"-\",\"-\"\n\"{first}\",\"{last}\",\"JP\",\"Japan\"\n\"{six}\",\"{six_last}\",\"KR\",\"x\"\n"),
        "203.0.113.0\t203.0.113.255\t64500\tJP\tEXAMPLE\n2001:db8::\t2001:db8:ffff:ffff:ffff:ffff:ffff:ffff\t64501\tKR\tAN EXAMPLE, INC\n".to_owned(),
        "203.0.113.0/24,JP\n2001:db8::/32,KR\n".to_owned(),
        "network,country\n203.0.113.0/24,JP\n2001:db8::/32,KR\n".to_owned(),
        "\u{feff}netz;land\r\n203.0.113.0/24;JP\r\n# remark\r\n\r\n2001:db8::/32;KR\r\n".to_owned(),
        "203.0.113.0/24 JP\n2001:db8::/32   KR\n".to_owned(),
        "203.0.113.9 JP\n2001:db8::/32   KR\n".to_owned(),
        "network,country,country_code,continent,asn,as_name\n203.0.113.0/24,Japan,JP,Asia,AS64500,\"Example, Inc.\"\n2001:db8::/32,South Korea,KR,Asia,,\n".to_owned(),
        "start_ip,end_ip,country,country_name\n203.0.113.0,203.0.113.255,JP,Japan\n2001:db8::,2001:db8:1::,KR,x\n".to_owned(),
        "203.0.113.0,203.0.113.255,AS,JP,Tokyo,Tokyo,35.6895,139.6917\n2001:db8::,2001:db8:1::,AS,KR,Seoul,Seoul,37.5,127\n".to_owned(),
        format!("\"203.0.113.0\",\"203.0.113.255\",\"{first}\",\"{last}\",\"JP\",\"Japan\"\n\"2001:db8::\",\"2001:db8::1\",\"{six}\",\"{}\",\"KR\",\"x\"\n", six + 1),
    ];
    for text in texts {
        assert_eq!(place.country("text", text.as_bytes()).0, "JP", "{text}");
        assert_eq!(
            place.country("text.gz", &packed(text.as_bytes())).0,
            "JP",
            "{text}"
        );
        let db = CountryDb::open(place.path("text")).expect("a country file");
        let at = |address: &str| {
            let found = db.lookup(address.parse().expect("an address"));
            found.map_or("??".to_owned(), |country| country.to_string())
        };
        assert_eq!(at("2001:db8::1"), "KR", "{text}");
        assert_eq!(at("::ffff:203.0.113.9"), "JP", "{text}");
        assert_eq!(
            (at("203.0.114.0"), at("203.0.112.255")),
            ("??".into(), "??".into()),
            "{text}"
        );
    }
}

#[test]
fn texts_of_as_numbers() {
    let place = Place::new();
    let (first, last) = DECIMAL;
    let texts = [
        ("203.0.113.0\t203.0.113.255\t64500\tJP\tEXAMPLE\n198.51.100.0\t198.51.100.255\t0\tNone\tNot routed\n".to_owned(), 64500),
        ("203.0.113.0\t24\t64500_64501\n198.51.100.0\t24\t{64502,64503}\n".to_owned(), 64500),
        ("203.0.113.0\t24\t{64502,64503}\n".to_owned(), 64502),
        ("203.0.113.0\t24\t64502,64503_64504\n".to_owned(), 64502),
        ("203.0.0.0\t16\t1\n203.0.113.0\t24\t64500\n203.0.113.128\t25\t2\n".to_owned(), 64500),
        ("203.0.113.0/24,64500\n".to_owned(), 64500),
        ("203.0.113.0,203.0.113.255,64500\n198.51.100.0,198.51.100.255,5.1\n".to_owned(), 64500),
        ("203.0.113.0,203.0.113.255,5.1\n".to_owned(), 327_681),
        ("network,autonomous_system_number,autonomous_system_organization\n203.0.113.0/24,64500,\"A, B\"\n".to_owned(), 64500),
        ("network,country,country_code,asn,as_name\n203.0.113.0/24,Japan,JP,AS64500,x\n".to_owned(), 64500),
        (format!("\"{first}\",\"{last}\",\"203.0.113.0/24\",\"64500\",\"EXAMPLE\"\n"), 64500),
        (format!("{first},{last},\"AS64500 Example, Inc.\"\n"), 64500),
    ];
    for (text, expected) in texts {
        assert_eq!(
            place.asn("text", text.as_bytes()).0,
            Some(expected),
            "{text}"
        );
    }
    let db = place.file(
        "pfx2as",
        b"203.0.113.0\t24\t64500_64501\n2001:db8::\t32\t64502\n",
    );
    let db = AsnDb::open(db).expect("an AS file");
    assert_eq!(
        db.lookup("2001:db8:1::1".parse().expect("an address")),
        Some(64502)
    );
}

/// No line of a file of another kind is taken for what it is not.
#[test]
fn a_file_of_another_kind_is_refused() {
    let place = Place::new();
    let (first, last) = DECIMAL;
    let names = "network,geoname_id,registered_country_geoname_id,is_anycast\n203.0.113.0/24,1861060,1861060,0\n";
    for (flag, text, reason) in [
        ("--country-db", names, "names no column of country code"),
        ("--asn-db", names, "names no column of AS number"),
        (
            "--country-db",
            "203.0.113.0\t24\t64500\n",
            "\"64500\" in line 1",
        ),
        (
            "--asn-db",
            "203.0.113.0,203.0.113.255,JP,Japan\n",
            "\"JP\" in line 1",
        ),
        (
            "--asn-db",
            "203.0.113.0,203.0.113.255,AS,JP,x,y,35.6895,139.69\n",
            "\"AS\" in line 1",
        ),
        (
            "--asn-db",
            &format!("\"203.0.113.0\",\"203.0.113.255\",\"{first}\",\"{last}\",\"JP\"\n"),
            "\"JP\" in line 1",
        ),
        (
            "--country-db",
            "{\"network\":\"203.0.113.0/24\",\"country\":\"JP\"}\n",
            "line 1: ",
        ),
        (
            "--country-db",
            "apnic|JP|ipv4|203.0.113.0|256|20110811|assigned\n",
            "line 1: \"apnic\"",
        ),
        (
            "--country-db",
            "203.0.113.0/24,JP\n203.0.113.0/33,JP\n",
            "line 2: \"203.0.113.0/33\"",
        ),
        (
            "--country-db",
            "203.0.113.0/24,JP\n203.0.113.0/24,US\n",
            "line 2: the range is that of line 1",
        ),
        (
            "--country-db",
            "203.0.113.0,203.0.113.9,JP\n203.0.113.5,203.0.113.20,JP\n",
            "line 2: the range overlaps that of line 1",
        ),
        (
            "--country-db",
            "203.0.113.0,2001:db8::,JP\n",
            "line 1: one end is IPv4",
        ),
        (
            "--country-db",
            "203.0.113.0,203.0.113.256,JP\n",
            "line 1: \"203.0.113.256\"",
        ),
    ] {
        let file = place.file("other", text.as_bytes());
        let ended = place.run(flag, &file, &[]);
        assert_eq!(ended.code(), 1, "{text}");
        let error = ended.error();
        assert!(
            error.contains(reason) && error.contains("Read are:"),
            "{text}: {error}"
        );
    }
}
