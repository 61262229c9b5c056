//! Tests of the reader with captures made in memory.

use std::io::Cursor;
use std::path::Path;

use noctule_packet::link::LinkType;
use noctule_synth::PcapWriter;
use proptest::prelude::*;

use super::samples::{Packed, PacketKind, PcapKind, Sample, Variant, make, pack};
use super::{CaptureError, CaptureReader, Merged, digest};

fn open(bytes: Vec<u8>) -> Result<CaptureReader, CaptureError> {
    CaptureReader::from_reader("sample", Box::new(Cursor::new(bytes)))
}

/// All records that can be read, and the error at the end.
pub(super) fn drain(
    reader: &mut CaptureReader,
    look_ahead: bool,
) -> (Vec<Sample>, Option<CaptureError>) {
    let mut samples = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(record)) => samples.push(Sample {
                time_us: record.time_us,
                bytes: record.bytes.to_vec(),
                wire_bytes: record.wire_bytes,
            }),
            Ok(None) => return (samples, None),
            Err(problem) => {
                assert!(matches!(reader.next(), Ok(None)), "an error is told once");
                return (samples, Some(problem));
            }
        }
        if look_ahead {
            reader.peek_time();
            let last = samples.last().map(|sample| &sample.bytes[..]);
            assert_eq!(reader.current().map(|record| record.bytes), last);
        }
    }
}

pub(super) fn read(bytes: Vec<u8>) -> (Vec<Sample>, Option<CaptureError>) {
    match open(bytes) {
        Ok(mut reader) => drain(&mut reader, false),
        Err(problem) => (Vec::new(), Some(problem)),
    }
}

fn any_sample() -> impl Strategy<Value = Sample> {
    (
        7_200_000_000..4_000_000_000_000_000i64,
        proptest::collection::vec(any::<u8>(), 0..100),
        0..2000u32,
    )
        .prop_map(|(time_us, bytes, more)| Sample {
            time_us,
            wire_bytes: bytes.len() as u32 + more,
            bytes,
        })
}

fn any_variant() -> impl Strategy<Value = Variant> {
    let kinds = prop_oneof![
        Just(PcapKind::Microseconds),
        Just(PcapKind::Nanoseconds),
        Just(PcapKind::Kuznetzov)
    ];
    let packets = prop_oneof![Just(PacketKind::Enhanced), Just(PacketKind::Obsolete)];
    // Resolutions fine enough for a microsecond and coarse enough for the times in 64 bits.
    let resolutions = prop_oneof![
        Just(None),
        Just(Some(6)),
        Just(Some(9)),
        Just(Some(0x80 | 20)),
        Just(Some(0x80 | 30))
    ];
    prop_oneof![
        (any::<bool>(), kinds).prop_map(|(big_endian, kind)| Variant::Pcap { big_endian, kind }),
        (any::<bool>(), packets, resolutions).prop_map(|(big_endian, packet, resolution)| {
            Variant::Pcapng {
                big_endian,
                packet,
                resolution,
            }
        }),
    ]
}

fn any_packing() -> impl Strategy<Value = Packed> {
    prop_oneof![Just(Packed::Plain), Just(Packed::Gzip), Just(Packed::Zstd)]
}

proptest! {
    #[test]
    fn every_variant_reads_back_equal(
        variant in any_variant(),
        packed in any_packing(),
        look_ahead in any::<bool>(),
        samples in proptest::collection::vec(any_sample(), 0..20),
    ) {
        let (file, _) = make(variant, 1, &samples);
        let mut reader = open(pack(packed, &file)).unwrap();
        let (found, problem) = drain(&mut reader, look_ahead);
        // 2^-20 seconds is coarser than a microsecond in places.
        let slack = i64::from(matches!(variant, Variant::Pcapng { resolution: Some(0x94), .. }));
        prop_assert!(problem.is_none(), "{:?}", problem);
        prop_assert_eq!(found.len(), samples.len());
        for (found, sample) in found.iter().zip(&samples) {
            prop_assert!((found.time_us - sample.time_us).abs() <= slack);
            prop_assert_eq!(&found.bytes, &sample.bytes);
            prop_assert_eq!(found.wire_bytes, sample.wire_bytes);
        }
    }

    #[test]
    fn a_cut_anywhere_leaves_the_whole_records(
        variant in any_variant(),
        samples in proptest::collection::vec(any_sample(), 1..6),
    ) {
        let (file, ends) = make(variant, 1, &samples);
        for cut in 0..file.len() {
            let (found, problem) = read(file[..cut].to_vec());
            let whole = ends.iter().filter(|&&end| end <= cut).count();
            prop_assert_eq!(found.len(), whole, "cut at {}", cut);
            match problem {
                None => {}
                Some(CaptureError::Empty { .. }) => prop_assert_eq!(cut, 0),
                Some(CaptureError::Foreign { .. }) => prop_assert!(cut < 4),
                Some(CaptureError::Cut { records, offset, .. }) => {
                    prop_assert_eq!(records, whole as u64);
                    prop_assert!(offset < cut as u64 || cut < 24);
                }
                Some(other) => prop_assert!(false, "cut at {}: {}", cut, other),
            }
        }
    }

    #[test]
    fn a_cut_compressed_file_is_cut_and_not_damaged(
        packed in prop_oneof![Just(Packed::Gzip), Just(Packed::Zstd)],
        samples in proptest::collection::vec(any_sample(), 1..6),
        part in 0.0..1.0f64,
    ) {
        let (file, _) = make(
            Variant::Pcap { big_endian: false, kind: PcapKind::Microseconds }, 1, &samples);
        let file = pack(packed, &file);
        let cut = 4 + ((file.len() - 4) as f64 * part) as usize;
        let (found, problem) = read(file[..cut].to_vec());
        prop_assert_eq!(&found[..], &samples[..found.len()]);
        // A cut between two gzip members can be the end of a record as well.
        if found.len() < samples.len() && packed == Packed::Zstd {
            prop_assert!(problem.as_ref().is_some_and(CaptureError::is_cut), "{:?}", problem);
        }
        prop_assert!(problem.as_ref().is_none_or(CaptureError::is_cut), "{:?}", problem);
    }

    #[test]
    fn flipped_bytes_never_panic_and_always_end(
        variant in any_variant(),
        packed in any_packing(),
        samples in proptest::collection::vec(any_sample(), 1..6),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..8),
    ) {
        let (file, _) = make(variant, 1, &samples);
        let mut file = pack(packed, &file);
        for (index, flip) in flips {
            let at = index.index(file.len());
            file[at] ^= flip;
        }
        if let Ok(mut reader) = open(file) {
            let (_, problem) = drain(&mut reader, true);
            if let Some(problem) = problem {
                prop_assert!(!problem.to_string().contains('\n'));
            }
        }
    }

    #[test]
    fn merging_is_a_stable_sort_by_running_time(
        mut files in proptest::collection::vec(
            proptest::collection::vec(any_sample(), 0..12), 1..5),
    ) {
        // Within two minutes, so that no time departs from its neighbours.
        for sample in files.iter_mut().flatten() {
            sample.time_us = 1_700_000_000_000_000 + sample.time_us % 120_000_000;
        }
        let variant = Variant::Pcap { big_endian: true, kind: PcapKind::Microseconds };
        let readers = files
            .iter()
            .map(|samples| open(make(variant, 1, samples).0).unwrap());
        let mut merged = Merged::new(readers);
        // The plain model: take the oldest head, the first of equals.
        let mut positions = vec![0; files.len()];
        let head = |positions: &[usize]| {
            (0..files.len())
                .filter_map(|file| Some((files[file].get(positions[file])?.time_us, file)))
                .min()
        };
        while let Some((time_us, file)) = head(&positions) {
            let expected = &files[file][positions[file]];
            positions[file] += 1;
            let found = merged.next().unwrap();
            prop_assert_eq!((found.file, found.record.time_us), (file, time_us));
            prop_assert_eq!(found.record.bytes, &expected.bytes[..]);
            prop_assert_eq!(found.placed.time_us, time_us);
        }
        prop_assert!(merged.next().is_none());
        prop_assert!(merged.problems().is_empty());
    }

    #[test]
    fn what_the_writer_writes_reads_back(
        samples in proptest::collection::vec(any_sample(), 0..20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("written.pcap");
        let mut writer = PcapWriter::create(&path, LinkType::LinuxSll2).unwrap();
        for sample in &samples {
            writer.write(sample.time_us, &sample.bytes).unwrap();
        }
        writer.finish().unwrap();
        let mut reader = CaptureReader::open(&path).unwrap();
        prop_assert_eq!(reader.total_bytes(), Some(std::fs::metadata(&path).unwrap().len()));
        prop_assert_eq!(reader.digest(), digest(&path).unwrap());
        for sample in &samples {
            let record = reader.next().unwrap().unwrap();
            prop_assert_eq!(record.link, Some(LinkType::LinuxSll2));
            prop_assert_eq!(record.time_us, sample.time_us);
            prop_assert_eq!(record.bytes, &sample.bytes[..]);
            prop_assert_eq!(record.wire_bytes, sample.bytes.len() as u32);
        }
        prop_assert!(reader.next().unwrap().is_none());
        prop_assert_eq!(Some(reader.consumed_bytes()), reader.total_bytes());
    }
}

pub(super) fn sample(time_us: i64, length: usize) -> Sample {
    Sample {
        time_us,
        bytes: vec![length as u8; length],
        wire_bytes: length as u32,
    }
}

pub(super) const PLAIN: Variant = Variant::Pcap {
    big_endian: false,
    kind: PcapKind::Microseconds,
};

#[test]
fn simple_packets_take_the_time_before_them() {
    let samples = [sample(0, 10), sample(0, 11), sample(0, 12)];
    let variant = Variant::Pcapng {
        big_endian: true,
        packet: PacketKind::Simple,
        resolution: None,
    };
    let (found, problem) = read(make(variant, 101, &samples).0);
    assert_eq!(found, samples);
    assert!(problem.is_none());
}

#[test]
fn frame_check_bits_are_no_part_of_the_link_type() {
    let mut reader = open(make(PLAIN, 147, &[sample(1, 1)]).0).unwrap();
    let record = reader.next().unwrap().unwrap();
    assert_eq!((record.link, record.link_number), (None, 147));
}

#[test]
fn lengths_that_cannot_be_are_damage() {
    let (mut file, ends) = make(PLAIN, 1, &[sample(1, 40), sample(2, 40)]);
    file[ends[0] + 8..ends[0] + 12].copy_from_slice(&(17u32 << 20).to_le_bytes());
    let (found, problem) = read(file);
    assert_eq!(found.len(), 1);
    let problem = problem.unwrap();
    assert!(matches!(
        problem,
        CaptureError::Damaged {
            offset: 80,
            records: 1,
            ..
        }
    ));
    assert!(problem.to_string().starts_with(
        "capture sample is damaged at offset 80: a record claims 17825792 captured bytes"
    ));

    let variant = Variant::Pcapng {
        big_endian: false,
        packet: PacketKind::Enhanced,
        resolution: None,
    };
    let (mut file, ends) = make(variant, 1, &[sample(1, 40), sample(2, 40)]);
    file[ends[0] - 4] ^= 4;
    let (found, problem) = read(file);
    assert!(found.is_empty());
    assert!(matches!(
        problem,
        Some(CaptureError::Damaged { records: 0, .. })
    ));
}

#[test]
fn a_large_record_and_a_large_unknown_block_are_passed_through() {
    let samples = [sample(1, 3 << 20), sample(2, 1)];
    let mut reader = open(make(PLAIN, 1, &samples).0).unwrap();
    assert_eq!(drain(&mut reader, true).0, samples);

    let variant = Variant::Pcapng {
        big_endian: false,
        packet: PacketKind::Enhanced,
        resolution: None,
    };
    let samples = [sample(1, 50), sample(2, 60)];
    let (mut file, ends) = make(variant, 1, &samples);
    // Between the two, one of 20 MiB; looking ahead must keep the first record in place.
    let length = 20u32 << 20;
    let mut block = vec![0; length as usize];
    block[..4].copy_from_slice(&77u32.to_le_bytes());
    block[4..8].copy_from_slice(&length.to_le_bytes());
    block[length as usize - 4..].copy_from_slice(&length.to_le_bytes());
    file.splice(ends[0]..ends[0], block);
    let mut reader = open(file).unwrap();
    assert_eq!(drain(&mut reader, true).0, samples);
}

#[test]
fn offsets_of_compressed_files_are_said_to_be_of_the_decompressed_data() {
    let (file, _) = make(PLAIN, 1, &[sample(1, 40), sample(2, 40)]);
    for packed in [Packed::Gzip, Packed::Zstd] {
        let (found, problem) = read(pack(packed, &file[..file.len() - 1]));
        assert_eq!(found.len(), 1);
        assert!(
            problem
                .unwrap()
                .to_string()
                .starts_with("capture sample is cut at offset 80 of the decompressed data: ")
        );
    }
}

#[test]
fn what_is_no_capture_is_named() {
    assert!(matches!(open(Vec::new()), Err(CaptureError::Empty { .. })));
    for packed in [Packed::Gzip, Packed::Zstd] {
        assert!(matches!(
            open(pack(packed, b"")),
            Err(CaptureError::Empty {
                compressed: true,
                ..
            })
        ));
    }
    let problem = open(b"BZh91AY".to_vec()).unwrap_err().to_string();
    assert!(problem.contains("compressed with bzip2"), "{problem}");
    let missing = CaptureReader::open(Path::new("no/such.pcap")).unwrap_err();
    assert!(matches!(missing, CaptureError::Open { .. }));
}

#[test]
fn a_cut_file_does_not_stop_the_others_of_a_merge() {
    let (mut cut, _) = make(PLAIN, 1, &[sample(1_000_000, 5), sample(3_000_000, 5)]);
    cut.pop();
    let (whole, _) = make(PLAIN, 1, &[sample(2_000_000, 6), sample(4_000_000, 6)]);
    let mut merged = Merged::new(vec![open(cut).unwrap(), open(whole).unwrap()]);
    let mut order = Vec::new();
    while let Some(found) = merged.next() {
        order.push((found.file, found.record.time_us));
    }
    assert_eq!(order, [(0, 1_000_000), (1, 2_000_000), (1, 4_000_000)]);
    assert_eq!(merged.problems().len(), 1);
    assert!(merged.problems()[0].is_cut());
}
