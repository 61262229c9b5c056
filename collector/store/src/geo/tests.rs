//! Real files of each layout, the same files damaged, and text.

use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use super::*;
use proptest::prelude::*;

/// The folder with real country files; without it writes that `test` is skipped.
fn data(test: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("NOCTULE_DATA").map_or_else(beside, PathBuf::from);
    let geo = data.join("geo");
    if !geo.is_dir() {
        let line = format!("SKIPPED {test}: no folder {}\n", geo.display());
        let _ = io::stderr().write_all(line.as_bytes());
        return None;
    }
    Some(geo)
}

fn source(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn country(code: &str) -> Option<Country> {
    Some(Country::from_code(code).unwrap())
}

/// Opens content as a country file, by way of a file.
fn countries(content: &[u8]) -> Result<CountryDb, GeoError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("country.file");
    fs::write(&path, content).unwrap();
    CountryDb::open(path)
}

fn asns(content: &[u8]) -> Result<AsnDb, GeoError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asn.file");
    fs::write(&path, content).unwrap();
    AsnDb::open(path)
}

#[test]
fn the_flat_layout_is_read() {
    let Some(geo) = data("the_flat_layout_is_read") else {
        return;
    };
    let started = Instant::now();
    let db = CountryDb::open(geo.join("country.mmdb")).unwrap();
    eprintln!("opened in {:?}", started.elapsed());
    assert_eq!(db.lookup(source("8.8.8.8")), country("US"));
    assert_eq!(db.lookup(source("193.0.6.139")), country("NL"));
    assert_eq!(db.lookup(source("240b::1")), country("JP"));
    assert_eq!(db.lookup(source("133.243.0.1")), country("JP"));
    for nowhere in ["10.1.2.3", "127.0.0.1", "224.0.0.1", "fe80::1"] {
        assert_eq!(db.lookup(source(nowhere)), None, "{nowhere}");
    }
}

#[test]
fn maxminds_layout_is_read() {
    let Some(geo) = data("maxminds_layout_is_read") else {
        return;
    };
    let db = CountryDb::open(geo.join("GeoLite2-Country-Test.mmdb")).unwrap();
    assert_eq!(db.lookup(source("81.2.69.142")), country("GB"));
    assert_eq!(db.lookup(source("89.160.20.112")), country("SE"));
    assert_eq!(db.lookup(source("2001:218::1")), country("JP"));
    assert_eq!(db.lookup(source("10.1.2.3")), None);
    let db = AsnDb::open(geo.join("GeoLite2-ASN-Test.mmdb")).unwrap();
    assert_eq!(db.lookup(source("1.128.0.1")), Some(1221));
    assert_eq!(db.lookup(source("89.160.20.112")), Some(29518));
    assert_eq!(db.lookup(source("2600:6000::1")), Some(237));
    assert_eq!(db.lookup(source("10.1.2.3")), None);
}

#[test]
fn a_file_of_the_other_kind_is_refused() {
    let Some(geo) = data("a_file_of_the_other_kind_is_refused") else {
        return;
    };
    let error = CountryDb::open(geo.join("GeoLite2-ASN-Test.mmdb")).unwrap_err();
    assert!(matches!(error, GeoError::Empty { .. }), "{error}");
    let error = AsnDb::open(geo.join("country.mmdb")).unwrap_err();
    assert!(matches!(error, GeoError::Empty { .. }), "{error}");
}

/// Addresses all over the space.
fn probes(count: u32) -> impl Iterator<Item = IpAddr> {
    let four = (0..count).map(|n| IpAddr::V4(n.wrapping_mul(0x9e37_79b1).into()));
    let six = (0..count).map(|n| {
        let high = u128::from(n.wrapping_mul(0x9e37_79b1) >> 4 | 0x2000_0000);
        IpAddr::V6(Ipv6Addr::from_bits(high << 96 | u128::from(n)))
    });
    four.chain(six)
}

#[test]
fn ranges_answer_as_the_tree_does() {
    let Some(geo) = data("ranges_answer_as_the_tree_does") else {
        return;
    };
    for (name, path) in [
        ("country.mmdb", &["country_code"][..]),
        ("GeoLite2-Country-Test.mmdb", &["country", "iso_code"]),
    ] {
        let bytes = fs::read(geo.join(name)).unwrap();
        let tree = maxminddb::Reader::from_source(&bytes[..]).unwrap();
        let db = CountryDb::open(geo.join(name)).unwrap();
        let path: Vec<_> = (path.iter())
            .map(|key| maxminddb::PathElement::Key(key))
            .collect();
        let mut known = 0;
        let networks = tree.networks(maxminddb::WithinOptions::default()).unwrap();
        let first = networks.map(|network| network.unwrap().network().unwrap().ip());
        for address in first.chain(probes(100_000)) {
            // Aliases, which are looked up by other rules here.
            let teredo: [u8; 4] = [0x20, 1, 0, 0];
            if matches!(address, IpAddr::V6(six) if six.octets()[..4] == teredo
                || six.octets()[..2] == [0x20, 2])
            {
                continue;
            }
            let found = tree.lookup(address).unwrap();
            let expected = found.decode_path::<&str>(&path).unwrap();
            let ours = db.lookup(address);
            assert_eq!(
                ours.as_ref().map(Country::as_str),
                expected,
                "{address} in {name}"
            );
            known += u32::from(expected.is_some());
        }
        assert!(known > 100, "{name}: {known}");
    }
}

#[test]
fn a_database_cut_anywhere_is_refused() {
    let Some(geo) = data("a_database_cut_anywhere_is_refused") else {
        return;
    };
    for name in ["GeoLite2-Country-Test.mmdb", "GeoLite2-ASN-Test.mmdb"] {
        let bytes = fs::read(geo.join(name)).unwrap();
        for cut in (0..bytes.len()).step_by(97) {
            assert!(countries(&bytes[..cut]).is_err(), "{name} cut at {cut}");
        }
        // The front lost: mark and metadata are whole, tree and data are not where they say.
        for cut in (1..bytes.len()).step_by(997) {
            assert!(
                countries(&bytes[cut..]).is_err(),
                "{name} without its first {cut}"
            );
        }
    }
}

#[test]
fn flipped_octets_are_refused_or_harmless() {
    let Some(geo) = data("flipped_octets_are_refused_or_harmless") else {
        return;
    };
    let bytes = fs::read(geo.join("GeoLite2-Country-Test.mmdb")).unwrap();
    let sources: Vec<_> = ["81.2.69.142", "2001:218::1", "255.255.255.255", "::"]
        .iter()
        .map(|text| source(text))
        .collect();
    let mut refused = 0;
    let mut tried = 0;
    for at in (0..bytes.len()).step_by(23) {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            tried += 1;
            match countries(&damaged) {
                Err(_) => refused += 1,
                Ok(db) => sources.iter().for_each(|&source| {
                    std::hint::black_box(db.lookup(source));
                }),
            }
        }
    }
    eprintln!("refused {refused} of {tried} damaged files");
    assert!(refused * 2 > tried, "refused {refused} of {tried}");
}

#[test]
fn a_tree_that_doubles_at_every_level_ends() {
    let Some(geo) = data("a_tree_that_doubles_at_every_level_ends") else {
        return;
    };
    let bytes = fs::read(geo.join("GeoLite2-Country-Test.mmdb")).unwrap();
    let reader = maxminddb::Reader::from_source(&bytes[..]).unwrap();
    assert_eq!(
        reader.metadata().record_size,
        28,
        "the test writes 7-octet nodes"
    );
    let mut damaged = bytes.clone();
    for node in 0..120u8 {
        let next = node + 1;
        let at = usize::from(node) * 7;
        damaged[at..at + 7].copy_from_slice(&[0, 0, next, 0, 0, 0, next]);
    }
    assert!(matches!(
        countries(&damaged),
        Err(GeoError::Database { .. })
    ));
    for node in 0..120usize {
        damaged[node * 7..node * 7 + 7].fill(0);
    }
    assert!(matches!(
        countries(&damaged),
        Err(GeoError::Database { .. })
    ));
}

#[test]
fn csv_in_all_its_forms_is_read() {
    let text = "\u{feff}start,end,country\n\
        # a comment\n\
        \n\
        1.0.0.0,1.0.0.255,au\r\n\
        \"1.0.2.0\", \"1.0.2.255\" ,\"CN\",extra,\"fields, too\"\n\
        16777472,16777727,CN\n\
        1.0.3.0,1.0.3.255,ZZ\n\
        2001:db8::,2001:db8:0:ffff:ffff:ffff:ffff:ffff,JP\n";
    let db = countries(text.as_bytes()).unwrap();
    assert_eq!(db.lookup(source("1.0.0.7")), country("AU"));
    assert_eq!(db.lookup(source("1.0.1.0")), country("CN"));
    assert_eq!(db.lookup(source("1.0.1.255")), country("CN"));
    assert_eq!(db.lookup(source("1.0.2.255")), country("CN"));
    assert_eq!(db.lookup(source("1.0.3.0")), None);
    assert_eq!(db.lookup(source("0.255.255.255")), None);
    assert_eq!(db.lookup(source("2001:db8::5")), country("JP"));
    assert_eq!(db.lookup(source("2001:db8:1::")), None);
    let db = asns(b"1.0.0.0,1.0.0.255,AS13335\n1.0.1.0,1.0.1.255,0\n1.0.2.0,1.0.2.0,4294967295")
        .unwrap();
    assert_eq!(db.lookup(source("1.0.0.1")), Some(13335));
    assert_eq!(db.lookup(source("1.0.1.1")), None);
    assert_eq!(db.lookup(source("1.0.2.0")), Some(u32::MAX));
}

#[test]
fn mistakes_in_csv_are_named_with_their_line() {
    let cases = [
        (
            "1.0.0.0,1.0.0.9,JP\n1.0.0.9,1.0.0.10,JP",
            2,
            "overlaps that of line 1, and neither lies within the other",
        ),
        (
            "1.0.0.0,1.0.0.9,JP\n1.0.0.0,1.0.0.9,US",
            2,
            "is that of line 1 and has another country",
        ),
        (
            "2.0.0.0,2.0.0.9,JP\n# c\n1.0.0.0,2.0.0.0,US",
            3,
            "overlaps that of line 1",
        ),
        ("1.0.0.9,1.0.0.0,JP", 1, "ends before it starts"),
        ("1.0.0.0,::1,JP", 1, "one end is IPv4"),
        ("1.0.0.0,1.0.0.9", 1, "fewer than 3"),
        ("1.0.0.0,1.0.0.9,JP\n1.0.0.0,1.0.0.9", 2, "fewer than 3"),
        ("1.0.0.0,1.0.0.256,JP", 1, "\"1.0.0.256\" is not an address"),
        (
            "start,end,c\nstart,end,d\n",
            2,
            "\"start\" is not an address",
        ),
        (
            "start,end,c\nstart,end,JP\n",
            2,
            "\"start\" is not an address",
        ),
        (
            "4294967296,4294967297,JP\n0,1,JP\nx,y,JP",
            3,
            "is not an address",
        ),
        ("5,4294967296,JP\n9,8,JP", 2, "ends before it starts"),
        (
            "1.0.0.0/8,JP\n1.0.0.0/33,JP",
            2,
            "\"1.0.0.0/33\" is not a prefix",
        ),
        ("1.0.0.0/8,JP\n2001:db8::/129,JP", 2, "is not a prefix"),
        ("1.0.0.0/8,JP\n1.0.0.0/+8,JP", 2, "is not a prefix"),
        (
            "network,geoname_id,is_anycast\n1.0.0.0/8,1,0",
            1,
            "names no column of country code",
        ),
    ];
    for (text, expected, part) in cases {
        let error = countries(text.as_bytes()).unwrap_err();
        let message = error.to_string();
        assert!(
            matches!(error, GeoError::Line { line, .. } if line == expected),
            "{text:?}: {message}"
        );
        assert!(
            message.contains(part) && message.contains("country.file"),
            "{message}"
        );
        assert!(!message.contains('\n'), "{message}");
        assert!(message.contains("Read are: a MaxMind DB"), "{message}");
    }
}

#[test]
fn what_is_no_country_file_is_refused() {
    for content in [&b""[..], b"\x1f\x8b\x08", b"\0\0\0", b"\xff\xfe", b"PAR1\0"] {
        let error = countries(content).unwrap_err();
        assert!(
            matches!(error, GeoError::Format { .. }),
            "{content:?}: {error}"
        );
    }
    for content in [
        "hello",
        "# nothing\n\n",
        "1.0.0.0,1.0.0.1,-",
        "1.0.0.0,1.0.0.1,JPN",
    ] {
        let error = countries(content.as_bytes()).unwrap_err();
        assert!(
            matches!(error, GeoError::Empty { .. }),
            "{content}: {error}"
        );
    }
    let error = CountryDb::open("no/such/file").unwrap_err();
    assert!(matches!(error, GeoError::Read { .. }), "{error}");
}

proptest! {
    #[test]
    fn any_octets_are_refused_or_harmless(
        mut octets in proptest::collection::vec(any::<u8>(), 0..300),
        mark in any::<bool>(),
    ) {
        if mark {
            let at = octets.len() / 2;
            octets.splice(at..at, *b"\xab\xcd\xefMaxMind.com");
        }
        if let Ok(db) = countries(&octets) {
            prop_assert!(db.lookup(source("0.0.0.1")).is_none_or(|c| c.as_str().len() == 2));
        }
    }
}
