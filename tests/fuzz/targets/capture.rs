//! Any octets as a capture file: pcap and pcapng, plain, gzip or zstd. Readers end, hand out
//! records that lie within their limits, and keep what they promise about looking ahead.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use noctule_capture::file::{CaptureError, CaptureReader, MAX_RECORD_BYTES, Merged};

/// What a reader handed out: times, lengths and the octets' sum.
type Seen = Vec<(i64, u32, u32, usize, u64)>;

/// Records that one input may have. A few octets of zstd can unpack to gigabytes of records;
/// past this a reader is believed, so that inputs stay fast.
const MOST: usize = 64;

/// Octets of a window that every record outgrows, and of one that holds most inputs whole.
const WINDOWS: [usize; 2] = [1, 4096];

fuzz_target!(|input: &[u8]| {
    let narrow = read(input, WINDOWS[0], false);
    let ahead = read(input, WINDOWS[1], true);
    if narrow.packing_broke || ahead.packing_broke {
        // Decompressors throw away what the call that fails has unpacked, so that it depends on
        // the window how many of the last records there are. The records that both have must agree.
        let both = narrow.seen.len().min(ahead.seen.len());
        assert_eq!(narrow.seen[..both], ahead.seen[..both]);
        let is_over = |read: &Read| read.told.is_some() || read.seen.len() >= MOST;
        assert!(is_over(&narrow) && is_over(&ahead));
    } else {
        assert_eq!(
            narrow, ahead,
            "the window or looking ahead changes what is read"
        );
    }
    // Now and then: it says little that is new, and opens the capture twice more.
    if input.len().is_multiple_of(8) {
        merge(input, narrow.seen.len() + ahead.seen.len());
    }
});

/// How a capture read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    seen: Seen,
    /// The error at its end.
    told: Option<String>,
    /// That error is the decompressor's.
    packing_broke: bool,
}

fn open(input: &[u8], window: usize) -> Result<CaptureReader, CaptureError> {
    CaptureReader::with_window("input", Box::new(Cursor::new(input.to_vec())), window)
}

/// Reads to the end; with `ahead` looks at every next record's time first.
fn read(input: &[u8], window: usize, ahead: bool) -> Read {
    let mut read = Read::default();
    let mut reader = match open(input, window) {
        Ok(reader) => reader,
        Err(error) => {
            read.end(&error);
            return read;
        }
    };
    while read.seen.len() < MOST {
        let promised = if ahead { reader.peek_time() } else { None };
        match reader.next() {
            Ok(Some(record)) => {
                assert!(record.bytes.len() <= MAX_RECORD_BYTES);
                assert!(record.bytes.len() <= record.wire_bytes as usize);
                assert!(!ahead || promised == Some(record.time_us));
                let sum = record.bytes.iter().map(|&octet| u64::from(octet)).sum();
                read.seen.push((
                    record.time_us,
                    record.link_number,
                    record.wire_bytes,
                    record.bytes.len(),
                    sum,
                ));
            }
            Ok(None) => {
                assert_eq!(promised, None);
                break;
            }
            Err(error) => {
                read.end(&error);
                // An error ends a capture, once.
                assert!(matches!(reader.next(), Ok(None)));
                assert!(reader.current().is_none());
                break;
            }
        }
    }
    read
}

impl Read {
    fn end(&mut self, error: &CaptureError) {
        let told = error.to_string();
        assert!(!told.contains('\n'), "one line: {told}");
        self.packing_broke = told.contains("the compressed data");
        self.told = Some(told);
    }
}

/// A merge has every record of every file.
fn merge(input: &[u8], records: usize) {
    let readers: Vec<_> = (WINDOWS.iter())
        .flat_map(|&window| open(input, window))
        .collect();
    let mut merged = Merged::new(readers);
    let mut count = 0;
    // Records without a time are left out, and counted once they are passed.
    while count + (merged.time_faults().untimed as usize) < records {
        let Some(one) = merged.next() else {
            break;
        };
        assert!(one.record.bytes.len() <= MAX_RECORD_BYTES);
        count += 1;
    }
    let untimed = merged.time_faults().untimed as usize;
    assert!(count + untimed >= records, "the merge loses records");
}
