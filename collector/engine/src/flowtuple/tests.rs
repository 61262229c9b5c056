//! Tests of the recorder: when files are written, and which files a stopped replay leaves.

use std::fs;
use std::path::Path;
use std::thread;

use noctule_capture::file::{CaptureReader, Merged};
use noctule_packet::Rules;
use noctule_packet::darknet::Darknet;
use noctule_packet::link::LinkType;
use noctule_synth::PcapWriter;

use super::*;

/// A whole minute, seconds since 1970.
const MINUTE: i64 = 1_700_000_040;

/// A UDP datagram from 1.0.0.`source`.
fn datagram(source: u8) -> Vec<u8> {
    let mut octets = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 1, 0, 0, source];
    octets.extend([198, 18, 0, 1, 0, 53, 0, 53, 0, 8, 0, 0]);
    octets
}

/// An IPv6 header and nothing more, for 2001:db8::.
fn datagram6() -> Vec<u8> {
    let mut octets = vec![0; 40];
    octets[0] = 0x60;
    octets[6] = 59;
    octets[24..28].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
    octets
}

/// Records frames at these seconds after [`MINUTE`]; `stopped`: before the captures' ends.
fn record(
    folder: &Path,
    frames: &[(i64, Vec<u8>)],
    max_tuples: usize,
    stopped: bool,
) -> Result<FlowTupleCounts> {
    let here = tempfile::tempdir().unwrap();
    let capture = here.path().join("capture.pcap");
    let mut writer = PcapWriter::create(&capture, LinkType::RawIp).unwrap();
    for (second, frame) in frames {
        writer.write((MINUTE + second) * 1_000_000, frame).unwrap();
    }
    writer.finish().unwrap();
    let mut captures = Merged::new(vec![CaptureReader::open(&capture).unwrap()]);
    let darknet = Darknet::parse(&["198.18.0.0/15", "2001:db8::/32"], &["198.19.0.0/16"]).unwrap();
    let folder = FlowTupleFolder::open(folder, "run").unwrap();
    let recorder = Recorder::new(RecorderSetup {
        folder: &folder,
        reader: Reader::new(Rules::shipped()),
        geo: Geo::default(),
        max_tuples,
    });
    let (mut tap, inbox, recycle) = Tap::new(60);
    thread::scope(|scope| {
        let recording = scope.spawn(move || recorder.run(&inbox, &recycle));
        while let Some(merged) = captures.next() {
            let link = merged.record.link.unwrap();
            let destination = darknet.destination(link, merged.record.bytes);
            if tap.record(&merged, destination).is_err() {
                break;
            }
        }
        // If the recorder has ended, it returns the cause itself.
        let _ = tap.finish(stopped);
        drop(tap);
        recording.join().unwrap()
    })
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn each_interval_gets_a_file_and_every_packet_is_accounted_for() {
    let here = tempfile::tempdir().unwrap();
    let mut elsewhere = datagram(1);
    elsewhere[17] = 19;
    let frames = [
        (0, datagram(1)),
        (1, datagram(1)),
        (2, datagram6()),
        (3, elsewhere),
        (70, datagram(2)),
        (5, datagram(3)),
        (130, datagram(1)),
        (6, datagram(1)),
    ];
    let recorded = record(here.path(), &frames, 100, false).unwrap();
    assert_eq!(files(here.path()), 3);
    assert!(recorded.bytes > 0);
    let expected = FlowTupleCounts {
        packets: 6,
        rows: 5,
        files: 3,
        bytes: recorded.bytes,
        ipv6: 1,
        displaced: 1,
        ..FlowTupleCounts::default()
    };
    assert_eq!(recorded, expected);
}

#[test]
fn a_full_table_writes_early_into_the_same_file() {
    let here = tempfile::tempdir().unwrap();
    let frames: Vec<_> = (0..20)
        .map(|number| (0, datagram(number % 5 + 1)))
        .collect();
    let recorded = record(here.path(), &frames, 2, false).unwrap();
    assert_eq!((files(here.path()), recorded.files), (1, 1));
    assert_eq!(
        (recorded.packets, recorded.rows, recorded.splits),
        (20, 20, 9)
    );
    // Two open intervals share the ceiling; the fuller is written, and both files come whole.
    let here = tempfile::tempdir().unwrap();
    let frames: Vec<_> = (0..20)
        .map(|number| (i64::from(number % 2) * 60, datagram(number + 1)))
        .collect();
    let recorded = record(here.path(), &frames, 3, false).unwrap();
    assert_eq!((files(here.path()), recorded.files), (2, 2));
    assert_eq!((recorded.packets, recorded.rows), (20, 20));
}

#[test]
fn a_stopped_replay_leaves_whole_intervals_only() {
    let here = tempfile::tempdir().unwrap();
    let frames: Vec<_> = (0..4).map(|minute| (minute * 60, datagram(1))).collect();
    for max_tuples in [100, 1] {
        let recorded = record(here.path(), &frames, max_tuples, true).unwrap();
        // Two are closed by the newest, two were open.
        assert_eq!((recorded.packets, recorded.files), (2, 2));
        assert_eq!(recorded.unfinished, 2, "{max_tuples}");
        assert_eq!(files(here.path()), 2, "no temporary file is left");
    }
}

#[test]
fn a_folder_that_goes_away_is_an_error_and_no_hang() {
    let here = tempfile::tempdir().unwrap();
    let folder = here.path().join("out");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("20231114T221400Z-run.avro"), "other").unwrap();
    let frames: Vec<_> = (0..4).map(|minute| (minute * 60, datagram(1))).collect();
    let error = record(&folder, &frames, 100, false).unwrap_err();
    assert!(error.to_string().contains("other content"), "{error}");
    assert_eq!(files(&folder), 1);
}
