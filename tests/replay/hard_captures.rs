//! Captures that break readers: each is read to its end or refused with a reason, and no record
//! that can be read is lost.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use noctule_counters::summary::Summary;
use noctule_testkit::program::{Ended, Running, noctule};
use noctule_testkit::{compare, data};

/// A count of records that shares nothing with the program's reader: whole records only.
fn count(octets: &[u8]) -> u64 {
    let word = |at: usize, big: bool| -> Option<usize> {
        let octets: [u8; 4] = octets.get(at..at + 4)?.try_into().ok()?;
        let word = if big {
            u32::from_be_bytes(octets)
        } else {
            u32::from_le_bytes(octets)
        };
        Some(word as usize)
    };
    let mut records = 0;
    if word(0, true) == Some(0x0a0d_0d0a) {
        let (mut at, mut big) = (0, false);
        while let Some(kind) = word(at, big) {
            // A section's type reads the same either way; its order comes behind the length.
            if kind == 0x0a0d_0d0a {
                big = word(at + 8, true) == Some(0x1a2b_3c4d);
            }
            let Some(length) = word(at + 4, big) else {
                break;
            };
            if length < 12 || at + length > octets.len() {
                break;
            }
            // Enhanced, simple and obsolete packet blocks.
            records += u64::from([6, 3, 2].contains(&kind));
            at += length;
        }
        return records;
    }
    let (big, head) = match word(0, true) {
        Some(0xa1b2_c3d4 | 0xa1b2_3c4d) => (true, 16),
        Some(0xa1b2_cd34) => (true, 24),
        _ if word(0, false) == Some(0xa1b2_cd34) => (false, 24),
        _ => (false, 16),
    };
    let mut at = 24;
    while let Some(captured) = word(at + 8, big) {
        // Zeros from a record's place to the end are no records.
        let zeros = octets[at..].iter().all(|&octet| octet == 0);
        if zeros || at + head + captured > octets.len() {
            break;
        }
        records += 1;
        at += head + captured;
    }
    records
}

/// None of them may take longer, however broken.
const LIMIT: Duration = Duration::from_secs(60);

fn replay<'a>(arguments: impl IntoIterator<Item = &'a &'a str>) -> Ended {
    let mut command = noctule(["replay", "--summary", "json"]);
    Running::start(command.args(arguments)).wait(LIMIT)
}

fn captures(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("pcaps/hard")).expect("pcaps/hard");
    let mut captures: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    captures.sort();
    captures
}

/// The summary of a run that ended as it should, and how it ended.
fn judged(capture: &Path, ended: &Ended) -> Option<Summary> {
    let name = capture.display().to_string();
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    match ended.code() {
        0 => {
            let errors = ended.lines("noctule: error: ");
            assert!(errors.is_empty(), "{name}: {errors:?}");
            Some(ended.summary())
        }
        1 => {
            let error = ended.error();
            let (_, place) = error
                .split_once("at offset ")
                .unwrap_or_else(|| panic!("no offset in: {error}"));
            assert!(error.contains(&name), "no name in: {error}");
            assert!(place.starts_with(|c: char| c.is_ascii_digit()), "{error}");
            let reason = place.split_once(": ").map_or("", |(_, reason)| reason);
            assert!(!reason.is_empty(), "no reason in: {error}");
            (!ended.stdout.is_empty()).then(|| ended.summary())
        }
        code => panic!("{name}: exit status {code}\n{}", ended.stderr),
    }
}

#[test]
fn every_hard_capture_is_read_to_its_end() {
    let Some(folder) = data::folder("every_hard_capture_is_read_to_its_end") else {
        return;
    };
    let captures = captures(&folder);
    assert!(captures.len() >= 20, "{} captures", captures.len());
    let mut report = String::new();
    let mut dark = 0;
    for capture in &captures {
        let octets = fs::read(capture).expect("a capture");
        let prefixes = ["--prefix", "0.0.0.0/0", "--prefix", "::/0"];
        let name = capture.to_str().expect("a path in UTF-8");
        let all = replay(prefixes.iter().chain(&[name]));
        let none = replay(&["--prefix", "198.51.100.77/32", name]);
        let found = judged(capture, &all);
        let records = found.as_ref().map_or(0, |summary| summary.records);
        assert_eq!(records, count(&octets), "records of {name}\n{}", all.stderr);
        if let Some(summary) = &found {
            compare::assert_adds_up(name, summary);
            dark += summary.dark_packets;
            let outside = judged(capture, &none).expect("a summary");
            assert_eq!(outside.records, records, "{name}");
            compare::assert_adds_up(name, &outside);
        }
        let dark = found.map_or(0, |summary| summary.dark_packets);
        report += &format!(
            "{:50} exit {} records {records:5} dark {dark:5}\n",
            capture.file_name().unwrap_or_default().to_string_lossy(),
            all.code()
        );
    }
    // Past the harness, which keeps what a passing test prints.
    let _ = std::io::stderr().write_all(report.as_bytes());
    assert!(dark > 500, "nearly nothing was dark:\n{report}");
}

#[test]
fn the_independent_count_counts() {
    let Some(folder) = data::folder("the_independent_count_counts") else {
        return;
    };
    for one in data::telescope(&folder) {
        let octets = fs::read(&one.capture).expect("a capture");
        assert_eq!(Some(count(&octets)), one.expected["records"].as_u64());
    }
}
