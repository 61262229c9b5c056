//! Tests with captures as people have them: padded files, odd times, many of them.

use super::samples::{Packed, PacketKind, Variant, make, pack};
use super::tests::{PLAIN, drain, read, sample};
use super::{Capture, CaptureError, CaptureReader, Merged, TimeResolution};

#[test]
fn zeros_to_the_end_are_no_records() {
    let simple = Variant::Pcapng {
        big_endian: false,
        packet: PacketKind::Enhanced,
        resolution: None,
    };
    for variant in [PLAIN, simple] {
        let (file, ends) = make(variant, 1, &[sample(1, 40), sample(2, 40)]);
        for zeros in [16, 17, 65_536, 3 * 262_144 + 5] {
            for packed in [Packed::Plain, Packed::Gzip] {
                let padded = [&file[..], &vec![0; zeros]].concat();
                let (found, problem) = read(pack(packed, &padded));
                assert_eq!(found.len(), 2);
                let problem = problem.expect("a warning");
                assert!(problem.is_tail(), "{problem}");
                let said = problem.to_string();
                assert!(
                    said.contains(&format!("zeros from offset {}", ends[1])),
                    "{said}"
                );
                assert!(said.contains(&format!("({zeros} bytes)")), "{said}");
            }
        }
    }
}

#[test]
fn empty_records_within_a_capture_are_records() {
    let (file, ends) = make(PLAIN, 1, &[sample(1, 40), sample(2, 40)]);
    let mut longer = file[..ends[0]].to_vec();
    longer.extend([0; 48]);
    longer.extend(&file[ends[0]..]);
    let (found, problem) = read(longer.clone());
    let lengths: Vec<_> = found
        .iter()
        .map(|found| (found.time_us, found.bytes.len()))
        .collect();
    assert_eq!(lengths, [(1, 40), (0, 0), (0, 0), (0, 0), (2, 40)]);
    assert!(problem.is_none());
    // Cut within a header that is not all zeros.
    longer.truncate(ends[0] + 48 + 6);
    longer[ends[0] + 48] = 1;
    let (found, problem) = read(longer);
    assert_eq!(found.len(), 4);
    assert!(problem.is_some_and(|problem| problem.is_cut()));
}

#[test]
fn what_follows_the_last_member_is_left_out() {
    let (file, _) = make(PLAIN, 1, &[sample(1, 40), sample(2, 40)]);
    for packed in [Packed::Gzip, Packed::Zstd] {
        let whole = pack(packed, &file);
        for (more, tail) in [
            (vec![0; 512], true),
            (vec![0; 200_000], true),
            (b"signature".to_vec(), true),
            ([&[0; 100][..], b"signature"].concat(), true),
            (vec![7; 65_537], false),
        ] {
            let (found, problem) = read([&whole[..], &more].concat());
            assert_eq!(found.len(), 2, "{packed:?}");
            let problem = problem.expect("something to say");
            assert_eq!(problem.is_tail(), tail, "{problem}");
            let said = problem.to_string();
            assert!(said.contains(&format!("offset {}", whole.len())), "{said}");
        }
        // Padding between two members.
        let (first, second) = file.split_at(60);
        let padded = [pack(packed, first), vec![0; 300], pack(packed, second)].concat();
        let (found, problem) = read(padded);
        assert_eq!((found.len(), problem.is_none()), (2, true), "{packed:?}");
    }
}

#[test]
fn windows_of_zstd_may_be_large() {
    let (file, _) = make(PLAIN, 1, &[sample(1, 40), sample(2, 40)]);
    for log in [27, 28, 31] {
        // A frame of one raw block.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
        frame.extend(&((file.len() as u32) << 3 | 1).to_le_bytes()[..3]);
        frame.extend(&file);
        let (found, problem) = read(frame);
        assert_eq!(
            (found.len(), problem.is_none()),
            (2, true),
            "window of 2^{log}"
        );
    }
}

#[test]
fn a_resolution_that_is_given_decides() {
    let here = tempfile::tempdir().unwrap();
    let path = here.path().join("capture");
    let time = 1_700_000_000_500_000i64;
    let read_as = |resolution| {
        let mut reader = CaptureReader::open_as(&path, resolution).unwrap();
        let (samples, _) = drain(&mut reader, false);
        (samples[0].time_us, reader.long_fractions())
    };
    let (file, _) = make(PLAIN, 1, &[sample(time, 40)]);
    let mut nano = file.clone();
    nano[28..32].copy_from_slice(&500_000_123u32.to_le_bytes());
    std::fs::write(&path, nano).unwrap();
    assert_eq!(read_as(None), (1_700_000_000_999_999, 1));
    assert_eq!(read_as(Some(TimeResolution::Nanoseconds)), (time, 0));
    let unsaid = Variant::Pcapng {
        big_endian: false,
        packet: PacketKind::Enhanced,
        resolution: None,
    };
    std::fs::write(&path, make(unsaid, 1, &[sample(time * 1000, 40)]).0).unwrap();
    assert_eq!(read_as(None).0, time * 1000);
    assert_eq!(read_as(Some(TimeResolution::Nanoseconds)).0, time);
}

#[test]
fn files_are_opened_when_their_time_comes() {
    let here = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..5)
        .map(|number| {
            let path = here.path().join(format!("{number}.pcap"));
            let start = 1_700_000_000_000_000 + i64::from(4 - number) * 60_000_000;
            let samples = [
                sample(start, number as usize),
                sample(start + 59_000_000, 9),
            ];
            std::fs::write(&path, make(PLAIN, 1, &samples).0).unwrap();
            path
        })
        .collect();
    let captures: Vec<_> = (paths.iter())
        .map(|path| Capture::look(path, None).unwrap())
        .collect();
    let mut merged = Merged::new(captures);
    let mut order = Vec::new();
    while let Some(found) = merged.next() {
        order.push(found.file);
        // The next one is not open yet: its file may go.
        if order.len() == 3 {
            std::fs::remove_file(&paths[1]).unwrap();
        }
    }
    assert_eq!(order, [4, 4, 3, 3, 2, 2, 0, 0]);
    assert!(matches!(merged.problems(), [CaptureError::Open { .. }]));
    assert_eq!(merged.consumed_bytes(), 4 * 24 + 8 * 16 + 4 * 9 + 9);
}
