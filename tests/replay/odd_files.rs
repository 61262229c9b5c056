//! Capture files as people have them: padded, with trailers, with large windows, many of them, and some
//! that cannot be read.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use noctule_testkit::frames::{DARK_PREFIX, write_syns};
use noctule_testkit::program::{Ended, LIMIT, Running, binary, replay};
use noctule_testkit::store;
use tempfile::TempDir;

const START: i64 = 1_700_000_000;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A folder, and the octets of a capture of three records.
fn good() -> (TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("good.pcap");
    write_syns(&path, &[START, START + 1, START + 2]);
    let octets = fs::read(&path).expect("the capture");
    (folder, octets)
}

fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(octets).expect("memory");
    packer.finish().expect("memory")
}

/// Writes a file and replays it.
fn count(folder: &TempDir, name: &str, octets: &[u8], more: &[&str]) -> Ended {
    let path = folder.path().join(name);
    fs::write(&path, octets).expect("room for a file");
    replay([&["--prefix", DARK_PREFIX], more, &[text(&path)]].concat())
}

/// Asserts that there are three records and one warning with these parts.
fn warned(ended: Ended, parts: &[&str]) {
    let ended = ended.success();
    assert_eq!(ended.summary().records, 3);
    let warnings = ended.lines("noctule: warning: ");
    let [line] = warnings[..] else {
        panic!("{}", ended.stderr)
    };
    for part in parts {
        assert!(line.contains(part), "\"{part}\" is missing in: {line}");
    }
}

#[test]
fn zeros_at_the_end_of_a_capture() {
    let (folder, octets) = good();
    let padded = [&octets[..], &[0; 65_536]].concat();
    let end = format!("zeros from offset {}", octets.len());
    warned(
        count(&folder, "zeros.pcap", &padded, &[]),
        &["zeros.pcap", &end, "65536 bytes"],
    );
    // Empty records within a capture are records.
    let first = 24 + 16 + 54;
    let within = [&octets[..first], &[0; 160], &octets[first..]].concat();
    let ended = count(&folder, "within.pcap", &within, &[]).success();
    assert_eq!(
        (ended.summary().records, ended.summary().dark_packets),
        (13, 3)
    );
    assert!(
        ended.lines("noctule: warning: ").is_empty(),
        "{}",
        ended.stderr
    );
}

#[test]
fn trailers_of_compressed_captures() {
    let (folder, octets) = good();
    let store = folder.path().join("store");
    let store = ["--store", text(&store)];
    let zst = zstd::encode_all(&octets[..], 1).expect("zstd packs");
    for (name, packed) in [("one.pcap.gz", gzip(&octets)), ("two.pcap.zst", zst)] {
        for trailer in [vec![0; 512], b"a signature".to_vec()] {
            let padded = [&packed[..], &trailer].concat();
            let end = format!("from offset {} of the compressed file", packed.len());
            let bytes = format!("{} bytes", trailer.len());
            warned(count(&folder, name, &padded, &[]), &[name, &end, &bytes]);
            let ended = count(
                &folder,
                name,
                &padded,
                &[&store[..], &["--replace"]].concat(),
            );
            assert!(ended.stderr.contains("replaced in"), "{}", ended.stderr);
            warned(ended, &[name]);
        }
        // Much that is not compressed data may be a damaged member.
        let ended = count(&folder, name, &[&packed[..], &[7; 100_000]].concat(), &[]);
        let error = ended.error();
        assert!(
            error.contains("damaged") && error.contains("100000 bytes"),
            "{error}"
        );
    }
}

#[test]
fn large_windows_of_zstd() {
    let (folder, octets) = good();
    for log in [27, 28, 31] {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
        frame.extend(&((octets.len() as u32) << 3 | 1).to_le_bytes()[..3]);
        frame.extend(&octets);
        let ended = count(&folder, "window.pcap.zst", &frame, &[]).success();
        assert_eq!(ended.summary().records, 3);
        assert!(
            ended.lines("noctule: warning: ").is_empty(),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn every_capture_that_cannot_be_read_is_named() {
    let (folder, _) = good();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("empty.pcap"), "").expect("room for a file");
    fs::write(path("notes.txt"), "no capture").expect("room for a file");
    let names = ["good.pcap", "missing.pcap", "empty.pcap", "notes.txt"];
    let files = names.map(path);
    let ended = replay(
        [
            &["--prefix", DARK_PREFIX],
            &files.each_ref().map(|file| text(file))[..],
        ]
        .concat(),
    );
    let error = ended.error();
    assert!(
        error.contains("3 of the 4 captures cannot be read"),
        "{error}"
    );
    for name in &names[1..] {
        let told = ended
            .lines("noctule: warning: ")
            .into_iter()
            .filter(|line| line.contains(name));
        assert_eq!(told.count(), 1, "{}", ended.stderr);
    }
    assert!(ended.stdout.is_empty(), "nothing was counted");
}

/// Largest resident memory of a replay, in KiB, with few open files.
fn memory(files: &[PathBuf], store: &Path) -> u64 {
    let script = "ulimit -n 256 && exec \"$@\"";
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        script,
        "sh",
        "/usr/bin/env",
        "time",
        "-f",
        "memory %M",
    ]);
    command
        .arg(binary())
        .args(["replay", "--summary", "json", "--max-flows", "1000"]);
    command
        .args(["--prefix", DARK_PREFIX, "--store", text(store)])
        .args(files);
    let ended = Running::start(&mut command).wait(LIMIT).success();
    assert_eq!(ended.summary().records, files.len() as u64);
    let line = ended.lines("memory ");
    let kib = line.first().and_then(|line| line.strip_prefix("memory "));
    kib.and_then(|kib| kib.parse().ok())
        .expect("the peak of memory")
}

#[test]
fn many_captures_are_opened_one_after_the_other() {
    if !Path::new("/usr/bin/time").exists() {
        noctule_testkit::skipped(
            "many_captures_are_opened_one_after_the_other",
            "needs time(1)",
        );
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for packed in [false, true] {
        let files: Vec<PathBuf> = (0..600)
            .map(|number| {
                let path = folder.path().join(format!("{number}-{packed}.pcap"));
                write_syns(&path, &[START + 60 * number]);
                if packed {
                    let octets = fs::read(&path).expect("the capture");
                    fs::write(&path, gzip(&octets)).expect("room for a file");
                }
                path
            })
            .collect();
        let stores = [1, 2].map(|number| folder.path().join(format!("{number}-{packed}")));
        let one = memory(&files[..1], &stores[0]);
        let all = memory(&files, &stores[1]);
        assert!(
            all < one + (64 << 10),
            "{all} KiB beside {one} KiB of one capture"
        );
        assert_eq!(store::ledger(&stores[1]).len(), files.len());
    }
}
