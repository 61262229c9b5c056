//! Lists of research scanners: prefixes of any width, names, and days on which a list is in force;
//! in the daily tables, in answers, in a report, and worked out again by other code.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Command;

use noctule_packet::link::LinkType;
use noctule_testkit::frames::{DARK, Frame, checksum, syn, with_ethernet, write};
use noctule_testkit::program::{Ended, LIMIT, Running, noctule};
use noctule_testkit::python;
use serde_json::{Value, json};

/// Noon of 1 and 2 March 2026.
const NOONS: [i64; 2] = [1_772_366_400, 1_772_452_800];

const SETTINGS: &str = "\
[research]
list = \"research.txt\"

[[research.lists]]
file = \"censys.csv\"
name = \"Censys\"
from = \"2026-03-02\"

[[research.lists]]
file = \"old.txt\"
until = 2026-03-01
";

/// As operators write them: any width, with and without names.
const LISTS: [(&str, &str); 3] = [
    (
        "research.txt",
        "# known scanners\n2602:80d:1000:b0cc:e::/80\n203.0.113.0/24\n2001:db8::/30\n",
    ),
    (
        "censys.csv",
        "prefix,name\n203.0.113.0/28\n203.0.113.8/32,\"Censys, 2nd\"\n2602:80d::/32,Censys IPv6\n",
    ),
    (
        "old.txt",
        "192.0.2.0/24 Old Survey\n0.0.0.0/1 Half of all\n",
    ),
];

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn run(arguments: &[&str]) -> Ended {
    Running::start(&mut noctule(arguments)).wait(LIMIT)
}

fn from4(source: [u8; 4], number: u32) -> Vec<u8> {
    let mut frame = syn(number, DARK, 23);
    frame[26..30].copy_from_slice(&Ipv4Addr::from(source).octets());
    frame[24..26].fill(0);
    let sum = checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn from6(source: &str) -> Vec<u8> {
    let source: Ipv6Addr = source.parse().expect("an address");
    let target: Ipv6Addr = "2001:2::5".parse().expect("an address");
    let mut datagram = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
    datagram.extend(source.octets());
    datagram.extend(target.octets());
    datagram.extend(&syn(1, DARK, 23)[34..54]);
    with_ethernet(&datagram)
}

/// A capture of two days, and a store with the lists into which it is replayed.
fn replayed(folder: &Path) {
    let mut frames = Vec::new();
    for noon in NOONS {
        let packets = [
            from4([203, 0, 113, 9], 1),
            from4([203, 0, 113, 9], 2),
            from4([203, 0, 113, 8], 3),
            from4([203, 0, 113, 200], 4),
            from4([192, 0, 2, 7], 5),
            from4([198, 51, 100, 7], 6),
            from6("2602:80d:1000:b0cc:e::7"),
            from6("2602:80d:1000:b0cc:f::7"),
            from6("2001:dbb:ffff::1"),
            from6("2001:dbc::1"),
        ];
        for (octets, after) in packets.into_iter().zip(0..) {
            frames.push(Frame {
                time_us: (noon + after) * 1_000_000,
                link: LinkType::Ethernet,
                octets,
            });
        }
    }
    write(&folder.join("two-days.pcap"), &frames);
    let store = folder.join("store");
    fs::create_dir(&store).expect("a new folder");
    fs::write(store.join("noctule.toml"), SETTINGS).expect("room for a file");
    for (name, list) in LISTS {
        fs::write(store.join(name), list).expect("room for a file");
    }
    let capture = folder.join("two-days.pcap");
    let prefixes = ["--prefix", "198.18.0.0/15", "--prefix", "2001:2::/48"];
    let more = [
        "--interval",
        "3600",
        "--sensor",
        "one",
        "--store",
        text(&store),
    ];
    run(&[&["replay"], &prefixes[..], &more, &[text(&capture)]].concat()).success();
}

#[test]
fn scanners_are_named_by_the_lists_of_their_day() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    replayed(folder.path());
    let store = folder.path().join("store");
    run(&["rollup", "--store", text(&store)]).success();
    let ask = |sql: &str| -> Value {
        let ended = run(&["query", "--store", text(&store), "--format", "json", sql]).success();
        serde_json::from_str(&ended.stdout).expect("rows")
    };
    let by_name = ask(
        "SELECT date, name, COUNT(*) AS sources, SUM(packets) AS packets FROM research_daily \
         WHERE listed GROUP BY date, name ORDER BY date, name NULLS FIRST",
    );
    let row = |date: &str, name: Option<&str>, sources: i64, packets: i64| {
        let mut row = json!({"date": date, "sources": sources, "packets": packets});
        if let Some(name) = name {
            row["name"] = json!(name);
        }
        row
    };
    // Rows leave out what is NULL.
    let strip = |rows: &Value| -> Vec<Value> {
        let rows = rows.as_array().expect("rows").iter().cloned();
        rows.map(|mut row| {
            row.as_object_mut()
                .expect("a row")
                .retain(|_, value| !value.is_null());
            row
        })
        .collect()
    };
    assert_eq!(
        strip(&by_name),
        [
            row("2026-03-01", None, 5, 6),
            row("2026-03-01", Some("Old Survey"), 1, 1),
            row("2026-03-02", None, 2, 2),
            row("2026-03-02", Some("Censys"), 1, 2),
            row("2026-03-02", Some("Censys IPv6"), 2, 2),
            row("2026-03-02", Some("Censys, 2nd"), 1, 1),
        ]
    );
    let research = ask("SELECT SUM(research_packets) AS packets FROM ports_daily");
    assert_eq!(research[0]["packets"], json!(14));

    for language in ["en", "ja"] {
        let out = folder.path().join(language);
        let asked = ["--period", "2026-03", "--lang", language];
        let places = ["report", "--store", text(&store), "--out", text(&out)];
        run(&[&places[..], &asked].concat()).success();
        let page = fs::read_to_string(out.join("index.html")).expect("a page");
        assert!(page.contains("Censys IPv6"), "{language}");
    }
    let report = folder.path().join("en/report.json");
    let json: Value = serde_json::from_slice(&fs::read(&report).expect("a report")).expect("JSON");
    let tables = json["sections"].as_array().expect("sections").iter();
    let mut tables = tables.flat_map(|section| section["tables"].as_array().expect("tables"));
    let names = tables
        .find(|table| table["id"] == "n9-names")
        .expect("a table of names");
    assert_eq!(
        names["rows"],
        json!([
            [null, "yes", 2, 5, 8, 40.0],
            ["Censys", "yes", 1, 1, 2, 10.0],
            ["Censys IPv6", "yes", 1, 2, 2, 10.0],
            ["Censys, 2nd", "yes", 1, 1, 1, 5.0],
            ["Old Survey", "yes", 1, 1, 1, 5.0]
        ])
    );

    let test = "scanners_are_named_by_the_lists_of_their_day";
    let Some(python) = python::with(test, "numpy") else {
        return;
    };
    let mut command = Command::new(python);
    command.arg(python::script("reference/recount_report.py"));
    command.args(["--report", text(&report), "--interval", "3600"]);
    command.args([
        "--prefix",
        "one=198.18.0.0/15",
        "--prefix",
        "one=2001:2::/48",
    ]);
    command.args(["--settings", text(&store.join("noctule.toml")), "--capture"]);
    command.arg(format!(
        "one={}",
        text(&folder.path().join("two-days.pcap"))
    ));
    let ended = Running::start(&mut command).wait(LIMIT).success();
    assert!(ended.stdout.contains(" 0 differences"), "{ended:?}");
}

#[test]
fn a_line_that_is_no_prefix_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    replayed(folder.path());
    let store = folder.path().join("store");
    let refused = |file: &str, content: &str, parts: &[&str]| {
        let kept = fs::read(store.join(file)).expect("a file");
        fs::write(store.join(file), content).expect("room for a file");
        let ended = run(&["rollup", "--store", text(&store)]);
        let error = ended.error();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        fs::write(store.join(file), kept).expect("room for a file");
    };
    refused(
        "old.txt",
        "192.0.2.0/24\n192.0.2.0/33 X\n",
        &["old.txt, line 2", "ADDRESS/LENGTH"],
    );
    let dates = SETTINGS.replace("2026-03-01", "2026-02-30x");
    refused("noctule.toml", &dates, &["noctule.toml"]);
    let ends = SETTINGS.replace("until = 2026", "from = 2026-03-02\nuntil = 2026");
    refused("noctule.toml", &ends, &["old.txt ends before it begins"]);
}
