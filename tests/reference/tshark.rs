//! tshark reads the headers, the counting rules are applied to what it read, and the counts are
//! those of `noctule replay`.
//!
//! Nothing of the program's own decoder is used here: the rules (1 to 5 of ARCHITECTURE.md) are
//! written down a second time, over tshark's fields. Where tshark gives a header up that can
//! be read in part, the frame is listed in [`DIFFERENCES`] with the rule that says how it counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use noctule_counters::summary::Summary;
use noctule_testkit::data;
use noctule_testkit::program::{LIMIT, Running, noctule, replay};
use noctule_testkit::reference::answers::{Payload, is_answer};
use noctule_testkit::tshark::{self, Frame};

/// Protocol, class, port.
type Cell = (String, &'static str, Option<u16>);
/// The same, written down here.
type NamedCell = (&'static str, &'static str, Option<u16>);

/// A frame that tshark does not read as far as the counting rules do.
struct Difference {
    capture: &'static str,
    frame: u64,
    /// Where tshark's fields would put it; none when it reads no address, as if this were not IP.
    tshark: Option<NamedCell>,
    /// Where it counts.
    cell: NamedCell,
    /// By which rule, and what tshark does with it.
    because: &'static str,
}

/// All of them.
const DIFFERENCES: [Difference; 3] = [
    Difference {
        capture: "tcpdump-ipv4_invalid_hdr_length.pcap",
        frame: 1,
        tshark: None,
        cell: ("udp", "other", None),
        because: "rules 4 and 5: an IHL of 4 is other, without port; tshark gives the header up",
    },
    Difference {
        capture: "tcpdump-ipv4_invalid_total_length_2.pcap",
        frame: 1,
        tshark: None,
        cell: ("udp", "scan", Some(53)),
        because: "rule 3: a length of 19 is below the header's 20; tshark gives the header up",
    },
    Difference {
        capture: "zeek-ipv4-truncated-broken-header.pcap",
        frame: 1,
        tshark: None,
        cell: ("tcp", "other", None),
        because: "rule 1: 20 of 60 octets of header hold the address; tshark gives the header up",
    },
];

/// A UDP service that answers forged questions, and how tshark shows its answers.
struct Reflector {
    source_port: u64,
    is_answer: fn(&Frame) -> bool,
}

const DNS: Reflector = Reflector {
    source_port: 53,
    // Flags cut in the middle are no field of tshark's; a packet cut before the bit is an answer.
    is_answer: |frame| match (frame.number("udp.length"), third_payload_octet(frame)) {
        (Some(..11), _) => false,
        (_, third) => match frame.number("dns.flags.response") {
            Some(bit) => bit == 1,
            None => third.is_none_or(|octet| octet & 0x80 != 0),
        },
    },
};

const REFLECTORS: [Reflector; 1] = [DNS];

fn third_payload_octet(frame: &Frame) -> Option<u8> {
    let digits = frame.first("udp.payload")?.get(4..6)?;
    u8::from_str_radix(digits, 16).ok()
}

/// The outermost network header, `ip` or `ipv6`; none when the frame is not IP, or deeper below
/// tags and labels than the program promises to look.
fn outer(frame: &Frame) -> Option<&str> {
    let mut tags = 0;
    for layer in frame.first("frame.protocols")?.split(':') {
        match layer {
            "vlan" | "ieee8021ad" => tags += 1,
            "ip" | "ipv6" if tags <= 4 && frame.all("mpls.label").len() <= 8 => {
                return Some(layer);
            }
            "ip" | "ipv6" => return None,
            _ => {}
        }
    }
    None
}

/// The cell of a frame; none when it is passed (rules 1 and 2).
fn cell(frame: &Frame) -> Option<Cell> {
    let (number, reached) = match outer(frame)? {
        "ip" => ipv4(frame)?,
        _ => ipv6(frame)?,
    };
    let (class, port) = match number {
        _ if !reached => ("other", None),
        6 => tcp(frame),
        17 => udp(frame),
        1 => icmp(frame, ["icmp.type", "icmp.code"], |kind| match kind {
            0 | 3 | 4 | 5 | 11 | 12 | 14 | 16 | 18 => "backscatter",
            8 | 13 | 15 | 17 => "scan",
            _ => "other",
        }),
        58 => icmp(frame, ["icmpv6.type", "icmpv6.code"], |kind| match kind {
            1..=4 | 129 => "backscatter",
            128 => "scan",
            _ => "other",
        }),
        _ => ("other", None),
    };
    let name = match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        other => other.to_string(),
    };
    Some((name, class, port))
}

/// The protocol, and whether its header is there to be read.
fn ipv4(frame: &Frame) -> Option<(u64, bool)> {
    frame.first("ip.dst")?;
    let whole = frame.number("ip.hdr_len")? >= 20;
    let first = frame.number("ip.frag_offset")? == 0;
    Some((frame.number("ip.proto")?, whole && first))
}

/// The same at the end of the chain of extension headers.
fn ipv6(frame: &Frame) -> Option<(u64, bool)> {
    frame.first("ipv6.dst")?;
    let mut number = frame.number("ipv6.nxt")?;
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    loop {
        let field = match number {
            0 => "ipv6.hopopts.nxt",
            43 => "ipv6.routing.nxt",
            44 => "ipv6.fraghdr.nxt",
            51 => "ah.next_header",
            60 => "ipv6.dstopts.nxt",
            _ => return Some((number, true)),
        };
        let place = met.entry(field).or_default();
        let Some(next) = frame.nth(field, *place) else {
            return Some((number, false));
        };
        let later = number == 44 && frame.nth("ipv6.fraghdr.offset", *place) != Some(0);
        *place += 1;
        number = next;
        if later {
            return Some((number, false));
        }
    }
}

fn port(frame: &Frame, field: &str) -> Option<u16> {
    frame
        .number(field)
        .and_then(|port| u16::try_from(port).ok())
}

fn tcp(frame: &Frame) -> (&'static str, Option<u16>) {
    let destination = port(frame, "tcp.dstport");
    let flag = |name| frame.number(name).map(|bit| bit == 1);
    let flags = [
        "tcp.flags.syn",
        "tcp.flags.ack",
        "tcp.flags.reset",
        "tcp.flags.fin",
    ]
    .map(flag);
    let [Some(syn), Some(ack), Some(reset), Some(fin)] = flags else {
        return ("other", destination);
    };
    if reset || (syn && ack) {
        ("backscatter", port(frame, "tcp.srcport"))
    } else if syn && !fin {
        ("scan", destination)
    } else {
        ("other", destination)
    }
}

fn udp(frame: &Frame) -> (&'static str, Option<u16>) {
    let source = frame.number("udp.srcport");
    let known = (REFLECTORS.iter()).find(|one| Some(one.source_port) == source);
    let answers = match known {
        Some(one) => (one.is_answer)(frame),
        None => answers_by_payload(frame).unwrap_or(false),
    };
    if answers {
        ("backscatter", port(frame, "udp.srcport"))
    } else {
        ("scan", port(frame, "udp.dstport"))
    }
}

/// The other reflection ports, by the payload's octets as tshark prints them. It prints none of a
/// first fragment's, as if they had been cut.
fn answers_by_payload(frame: &Frame) -> Option<bool> {
    let source = u16::try_from(frame.number("udp.srcport")?).ok()?;
    let claimed = usize::try_from(frame.number("udp.length")?.saturating_sub(8)).ok()?;
    let digits = frame.first("udp.payload").unwrap_or_default();
    let octets: Vec<u8> = (0..digits.len() / 2)
        .map_while(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok())
        .collect();
    let payload = Payload {
        octets: &octets[..octets.len().min(claimed)],
        claimed,
    };
    // What was cut before the octet that decides is an answer.
    let cut = octets.len() < claimed;
    is_answer(source, &payload).or(cut.then_some(true))
}

fn icmp(
    frame: &Frame,
    [kind, code]: [&str; 2],
    class: fn(u64) -> &'static str,
) -> (&'static str, Option<u16>) {
    let Some(kind) = frame.number(kind) else {
        return ("other", None);
    };
    let port = frame.number(code).map(|code| kind * 256 + code);
    (class(kind), port.and_then(|port| u16::try_from(port).ok()))
}

/// Packets of a cell, and its sources where they are known.
type Counts = BTreeMap<Cell, (u64, Option<u64>)>;

/// tshark's counts, with the listed differences put in; how many of these there were.
fn expected(name: &str, frames: &[Frame]) -> (Counts, usize) {
    let mut counts: BTreeMap<Cell, (u64, Option<BTreeSet<&str>>)> = BTreeMap::new();
    let mut listed: Vec<_> = DIFFERENCES.iter().filter(|d| d.capture == name).collect();
    let differences = listed.len();
    for frame in frames {
        let number = frame.number("frame.number");
        let seen = cell(frame);
        let place = listed.iter().position(|d| Some(d.frame) == number);
        let Some(difference) = place.map(|place| listed.swap_remove(place)) else {
            let Some(cell) = seen else { continue };
            let source = frame.first(match outer(frame) {
                Some("ipv6") => "ipv6.src",
                _ => "ip.src",
            });
            let (packets, sources) = counts.entry(cell).or_insert((0, Some(BTreeSet::new())));
            *packets += 1;
            if let Some(sources) = sources {
                sources.extend(source);
            }
            continue;
        };
        let owned = |(protocol, class, port): NamedCell| (protocol.to_owned(), class, port);
        assert_eq!(
            seen,
            difference.tshark.map(owned),
            "{name}: how tshark reads frame {number:?}, which is listed as different"
        );
        let count = counts.entry(owned(difference.cell));
        let (packets, sources) = count.or_default();
        *packets += 1;
        *sources = None;
    }
    let missing: Vec<_> = listed.iter().map(|d| (d.frame, d.because)).collect();
    assert!(missing.is_empty(), "{name} has no such frames: {missing:?}");
    let counts = counts.into_iter().map(|(cell, (packets, sources))| {
        let sources = sources.map(|sources| sources.len() as u64);
        (cell, (packets, sources))
    });
    (counts.collect(), differences)
}

/// The program's counts; sources only where the other side has them.
fn found(summary: &Summary, expected: &Counts) -> Counts {
    let cells = summary.cells.iter().map(|one| {
        let class = ["scan", "backscatter", "other"].into_iter();
        let class = class.clone().find(|&name| name == one.class);
        let class = class.unwrap_or_else(|| panic!("class {}", one.class));
        let cell = (one.protocol.clone(), class, one.port);
        let without = matches!(expected.get(&cell), Some((_, None)));
        let sources = one.sources.filter(|_| !without);
        (cell, (one.packets, sources))
    });
    cells.collect()
}

fn captures(data: &Path) -> Vec<PathBuf> {
    let mut captures = Vec::new();
    for folder in ["pcaps/telescope", "pcaps/hard"] {
        let entries = fs::read_dir(data.join(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
        captures.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    captures.sort();
    captures
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// What `noctule replay` counts when everything is dark.
fn replayed(capture: &Path) -> Summary {
    let everything = ["--prefix", "0.0.0.0/0", "--prefix", "::/0", text(capture)];
    replay(everything).success().summary()
}

#[test]
fn tshark_counts_what_noctule_counts() {
    let test = "tshark_counts_what_noctule_counts";
    let (Some(version), Some(data)) = (tshark::version(test), data::folder(test)) else {
        return;
    };
    let mut report = format!("{version}\n");
    let mut wrong = Vec::new();
    let (mut compared, mut cells, mut differences) = (0, 0, 0);
    for capture in captures(&data) {
        let name = capture.file_name().unwrap_or_default().to_string_lossy();
        let (frames, cut) = tshark::read(&capture);
        let (expected, listed) = expected(&name, &frames);
        let found = found(&replayed(&capture), &expected);
        let all: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
        for cell in all {
            let (tshark, noctule) = (expected.get(cell), found.get(cell));
            if tshark != noctule {
                wrong.push(format!(
                    "{name}: {cell:?}: tshark {tshark:?}, noctule {noctule:?}"
                ));
            }
        }
        let packets: u64 = expected.values().map(|(packets, _)| packets).sum();
        report += &format!(
            "{name:43} frames {:5} dark {packets:5} cells {:3} listed {listed}{}\n",
            frames.len(),
            expected.len(),
            if cut { ", cut" } else { "" },
        );
        compared += 1;
        cells += expected.len();
        differences += listed;
    }
    // Past the harness, which keeps what a passing test prints.
    let _ = std::io::stderr().write_all(report.as_bytes());
    assert!(wrong.is_empty(), "{}\n{report}", wrong.join("\n"));
    assert!(
        compared >= 30 && cells >= 250,
        "too little was compared:\n{report}"
    );
    assert_eq!(
        differences,
        DIFFERENCES.len(),
        "a listed capture is missing"
    );
}

/// Does a length in a header stop tshark before it has read what the rules look at?
fn is_unread(frame: &Frame) -> bool {
    if outer(frame) != Some("ip") || frame.first("ip.hdr_len").is_none() {
        return false;
    }
    let Some((protocol, ..)) = cell(frame) else {
        return true;
    };
    let [header, length] = ["ip.hdr_len", "ip.len"].map(|name| frame.number(name));
    let part = length
        .zip(header)
        .and_then(|(whole, head)| whole.checked_sub(head));
    // It reads flags and window at once, so that it needs 16 octets for what the 14th says; and
    // it shows no flags behind a data offset below 5.
    let is_cut = matches!(part, Some(14 | 15));
    let is_bogus = frame
        .number("tcp.hdr_len")
        .is_some_and(|octets| octets < 20);
    protocol == "tcp" && frame.first("tcp.flags.syn").is_none() && (is_cut || is_bogus)
}

/// Far more of what is rare than the captures hold: fragments, broken lengths, odd protocols.
#[test]
fn tshark_counts_synthetic_traffic_alike() {
    let Some(_) = tshark::version("tshark_counts_synthetic_traffic_alike") else {
        return;
    };
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("synthetic.pcap");
    let mut make = noctule(["synth", "--seed", "11", "--packets", "30000"]);
    make.args(["--sources", "2000", "--prefix", "198.18.0.0/16"]);
    make.args(["--prefix", "2001:db8:77::/48", "--out"]);
    Running::start(make.arg(&capture)).wait(LIMIT).success();

    let (frames, _) = tshark::read(&capture);
    let records = frames.len();
    let (unread, read): (Vec<_>, Vec<_>) = frames.into_iter().partition(is_unread);
    let (expected, _) = expected("synthetic.pcap", &read);
    let summary = replayed(&capture);
    assert_eq!(summary.records, records as u64);
    let found = found(&summary, &expected);
    let all: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let packets = |counts: &Counts, cell| counts.get(cell).map_or(0, |&(packets, _)| packets);
    let mut surplus = 0;
    for cell in &all {
        let (tshark, noctule) = (packets(&expected, cell), packets(&found, cell));
        // Only what tshark leaves unread may be missing there, and all of that is TCP.
        let explained = noctule > tshark && cell.0 == "tcp" && cell.1 != "backscatter";
        assert!(
            noctule == tshark || explained,
            "{cell:?}: tshark {tshark}, noctule {noctule}"
        );
        surplus += noctule - tshark;
    }
    let report = format!(
        "synthetic: {records} frames, {} cells, {} frames that tshark leaves unread\n",
        all.len(),
        unread.len()
    );
    let _ = std::io::stderr().write_all(report.as_bytes());
    assert_eq!(surplus, unread.len() as u64, "{report}");
    assert!(unread.len() > 10 && all.len() > 1000, "{report}");
}
