//! Reading one capture file: recognises format and compression, then returns record after record.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::block::Block;
use super::digest::{BLOCK_BYTES, digest_of_block, digest_of_file};
use super::error::{CaptureError, Fault, report};
use super::members::{Compression, LONG_WINDOW, Members, SHORT_WINDOW, Tail};
use super::pcap::Pcap;
use super::pcapng::Pcapng;
use super::record::{CaptureRecord, RecordHead, TimeResolution};
use super::unpack::Unpacked;
use super::window::{Span, WINDOW_BYTES, Window};

/// Octets of a compressed file that are read at once, if the window is not smaller.
const READ_BYTES: usize = 128 << 10;
/// Octets of a block of a reader that reads the first records only.
const GLANCE_BYTES: usize = 16 << 10;

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// What follows the current record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ahead {
    /// Not read yet.
    Unknown,
    /// A record.
    Record,
    /// The end.
    End,
}

/// Reads a capture: pcap (micro- and nanosecond, Kuznetzov's variant, either byte order) or
/// pcapng, plain, gzip or zstd, all recognised by content.
///
/// Memory: blocks of 256 KiB. The reader keeps two, and remembers up to 64 that other threads hold
/// ([`Block`]). A larger record, limited to [`MAX_RECORD_BYTES`](super::MAX_RECORD_BYTES), gets a
/// larger block. A thread of its own unpacks compressed files ahead, up to 1 MiB; zstd needs as much
/// more as a frame's data fill of its window, of at most 2 GiB.
pub struct CaptureReader {
    file: String,
    format: Format,
    window: Window,
    compressed: bool,
    /// What follows the compressed data.
    tail: Arc<OnceLock<Tail>>,
    ahead: Ahead,
    /// What was wrong at the end, until a caller gets it.
    problem: Option<CaptureError>,
    /// The record that the window holds and the record ahead. Neither is copied to the other's
    /// place: a copy of fields that were just written one by one stalls the processor.
    heads: [RecordHead; 2],
    /// Index in `heads` of the record that the window holds.
    turn: usize,
    /// True if the window holds a record.
    holds: bool,
    records: u64,
    consumed: Arc<AtomicU64>,
    total: Option<u64>,
    digest: String,
}

impl std::fmt::Debug for CaptureReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaptureReader")
            .field("file", &self.file)
            .field("compressed", &self.compressed)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

/// Counts the octets that are read from the underlying file.
struct Counted {
    source: Box<dyn Read + Send>,
    consumed: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        self.consumed.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl CaptureReader {
    /// Opens a capture; `-` is standard input.
    ///
    /// # Errors
    /// [`CaptureError::Open`] if the file cannot be opened, [`CaptureError::Read`] if reading it
    /// fails, [`CaptureError::Empty`] if it has no octets, [`CaptureError::Foreign`] if it is
    /// neither pcap nor pcapng, [`CaptureError::Cut`] if it ends inside its header.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        Self::open_as(path, None)
    }

    /// As [`CaptureReader::open`], with times in this resolution: of a pcap capture whatever it says,
    /// of a pcapng capture where it says nothing.
    ///
    /// # Errors
    /// As [`CaptureReader::open`].
    pub fn open_as(path: &Path, resolution: Option<TimeResolution>) -> Result<Self, CaptureError> {
        Self::open_for(path, resolution, true, WINDOW_BYTES)
    }

    /// As [`CaptureReader::open_as`], to read the first records.
    pub(super) fn glance(
        path: &Path,
        resolution: Option<TimeResolution>,
    ) -> Result<Self, CaptureError> {
        Self::open_for(path, resolution, true, GLANCE_BYTES)
    }

    /// As [`CaptureReader::open_as`], without a digest, and up to an offset in the decompressed capture.
    pub(super) fn open_part(
        path: &Path,
        resolution: Option<TimeResolution>,
        end: Option<u64>,
    ) -> Result<Self, CaptureError> {
        let mut reader = Self::open_for(path, resolution, false, WINDOW_BYTES)?;
        if let Some(end) = end {
            reader.window.end_at(end);
        }
        Ok(reader)
    }

    /// Octets of the decompressed capture up to the end of the records that were read.
    pub(super) fn offset(&self) -> u64 {
        self.window.offset()
    }

    fn open_for(
        path: &Path,
        resolution: Option<TimeResolution>,
        digest: bool,
        window_bytes: usize,
    ) -> Result<Self, CaptureError> {
        let whole = window_bytes == WINDOW_BYTES;
        let name = path.display().to_string();
        let failed = |source| CaptureError::Open {
            file: name.clone(),
            source,
        };
        let mut reader = if path == Path::new("-") {
            Self::from_reader("standard input", Box::new(io::stdin()))?
        } else {
            let mut file = File::open(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            if metadata.is_file() {
                let digest = digest
                    .then(|| digest_of_file(&mut file, metadata.len()))
                    .transpose()
                    .map_err(failed)?;
                let mut reader =
                    Self::begin(&name, Box::new(file), window_bytes, whole, LONG_WINDOW)?;
                reader.total = Some(metadata.len());
                reader.digest = digest.unwrap_or(reader.digest);
                reader
            } else {
                Self::from_reader(&name, Box::new(file))?
            }
        };
        if let Some(resolution) = resolution {
            match &mut reader.format {
                Format::Pcap(pcap) => pcap.set_resolution(resolution),
                Format::Pcapng(pcapng) => pcapng.set_resolution(resolution),
            }
        }
        Ok(reader)
    }

    /// Reads a capture from any source; messages call it `name`. Waits until 4 KiB or the end of
    /// the source have been read.
    ///
    /// # Errors
    /// As [`CaptureReader::open`], without [`CaptureError::Open`].
    pub fn from_reader(name: &str, source: Box<dyn Read + Send>) -> Result<Self, CaptureError> {
        Self::begin(name, source, WINDOW_BYTES, true, LONG_WINDOW)
    }

    /// As [`CaptureReader::from_reader`], with blocks of `window_bytes` octets and without a thread
    /// that unpacks, and with zstd windows of at most 128 MiB: it needs less memory. For tests.
    ///
    /// # Errors
    /// As [`CaptureReader::from_reader`].
    pub fn with_window(
        name: &str,
        source: Box<dyn Read + Send>,
        window_bytes: usize,
    ) -> Result<Self, CaptureError> {
        Self::begin(name, source, window_bytes, false, SHORT_WINDOW)
    }

    fn begin(
        name: &str,
        source: Box<dyn Read + Send>,
        window_bytes: usize,
        unpack_ahead: bool,
        zstd_window_log: u32,
    ) -> Result<Self, CaptureError> {
        let consumed = Arc::new(AtomicU64::new(0));
        let mut source = Counted {
            source,
            consumed: Arc::clone(&consumed),
        };
        let read_failed = |source| CaptureError::Read {
            file: name.to_owned(),
            offset: 0,
            compressed: false,
            records: 0,
            source,
        };
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        let mut start = (&mut source).take(BLOCK_BYTES as u64);
        start.read_to_end(&mut block).map_err(read_failed)?;
        let digest = digest_of_block(&block);
        if block.is_empty() {
            return Err(CaptureError::Empty {
                file: name.to_owned(),
                compressed: false,
            });
        }
        let compression = Compression::of(&block);
        let compressed = compression.is_some();
        let mut plain: Box<dyn Read + Send> = Box::new(Cursor::new(block).chain(source));
        let tail = Arc::default();
        if let Some(compression) = compression {
            let buffered = BufReader::with_capacity(window_bytes.clamp(512, READ_BYTES), plain);
            let tail = Arc::clone(&tail);
            plain = Box::new(Members::new(compression, zstd_window_log, buffered, tail));
        }
        if compressed && unpack_ahead {
            plain = Box::new(Unpacked::start(plain).map_err(read_failed)?);
        }
        let mut window = Window::new(plain, window_bytes);
        let format = Self::format(name, &mut window, compressed)?;
        Ok(Self {
            file: name.to_owned(),
            format,
            window,
            compressed,
            tail,
            ahead: Ahead::Unknown,
            problem: None,
            heads: [RecordHead::default(); 2],
            turn: 0,
            holds: false,
            records: 0,
            consumed,
            total: None,
            digest,
        })
    }

    fn format(name: &str, window: &mut Window, compressed: bool) -> Result<Format, CaptureError> {
        let there = window.need(4);
        let found = if there < 4 {
            if let Some(error) = window.failure() {
                return Err(report(Fault::from(error), name, 0, compressed, 0));
            }
            if there == 0 {
                return Err(CaptureError::Empty {
                    file: name.to_owned(),
                    compressed,
                });
            }
            format!("it has {there} bytes")
        } else {
            let start = window.unread(4);
            let magic = [start[0], start[1], start[2], start[3]];
            if Pcapng::recognises(magic) {
                return Ok(Format::Pcapng(Pcapng::new()));
            }
            if Pcap::recognises(magic) {
                return Pcap::begin(window)
                    .map(Format::Pcap)
                    .map_err(|fault| report(*fault, name, 0, compressed, 0));
            }
            describe(magic)
        };
        Err(CaptureError::Foreign {
            file: name.to_owned(),
            found,
        })
    }

    /// The next record; `None` at the end, also after an error.
    ///
    /// # Errors
    /// One error at most, after the last whole record: [`CaptureError::Cut`] if the file ends
    /// inside a record, [`CaptureError::Damaged`] if it claims something impossible,
    /// [`CaptureError::Tail`] if something else follows the last record,
    /// [`CaptureError::Read`] if reading fails.
    #[inline]
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not lend out its own buffer"
    )]
    pub fn next(&mut self) -> Result<Option<CaptureRecord<'_>>, CaptureError> {
        if self.advance()? {
            Ok(self.current())
        } else {
            Ok(None)
        }
    }

    /// As [`CaptureReader::next`], but returns whether there is a record.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<bool, CaptureError> {
        if self.ahead == Ahead::Unknown {
            self.window.hold(Span::default());
            self.look_ahead();
        }
        self.holds = self.ahead == Ahead::Record;
        if self.holds {
            self.ahead = Ahead::Unknown;
            self.turn ^= 1;
            self.window.hold(self.heads[self.turn & 1].span);
            return Ok(true);
        }
        self.problem.take().map_or(Ok(false), Err)
    }

    /// Parses the next record; the record that the window holds stays.
    #[inline]
    fn look_ahead(&mut self) {
        let mut at = self.window.offset();
        let head = &mut self.heads[(self.turn ^ 1) & 1];
        let found = match &mut self.format {
            Format::Pcap(pcap) => pcap.record(&mut self.window, head),
            Format::Pcapng(pcapng) => pcapng.record(&mut self.window, head, &mut at),
        };
        self.ahead = match found {
            Ok(true) => {
                self.records += 1;
                Ahead::Record
            }
            Ok(false) => {
                self.problem = self.tail.get().map(|tail| CaptureError::Tail {
                    file: self.file.clone(),
                    what: if tail.zeros {
                        "zeros after its compressed data,"
                    } else {
                        "something else after its compressed data,"
                    },
                    offset: tail.offset,
                    bytes: tail.bytes,
                    compressed: true,
                    packed: true,
                    records: self.records,
                });
                Ahead::End
            }
            Err(fault) => {
                let problem = report(*fault, &self.file, at, self.compressed, self.records);
                self.problem = Some(problem);
                Ahead::End
            }
        };
    }

    /// The record that [`CaptureReader::next`] returned last.
    #[inline]
    pub fn current(&self) -> Option<CaptureRecord<'_>> {
        let head = &self.heads[self.turn & 1];
        self.holds.then(|| CaptureRecord {
            link: head.link,
            link_number: head.link_number,
            time_us: head.time_us,
            bytes: self.window.held(),
            wire_bytes: head.wire_bytes,
        })
    }

    /// The block that holds the current record, and where the record begins in it.
    #[inline]
    pub(super) fn place(&self) -> (&Block, usize) {
        self.window.held_at()
    }

    /// The time of the record after the current one; `None` at the end. The current record stays.
    /// It reads ahead, so that on a pipe it waits for that record.
    #[inline]
    pub fn peek_time(&mut self) -> Option<i64> {
        if self.ahead == Ahead::Unknown {
            self.look_ahead();
        }
        (self.ahead == Ahead::Record).then(|| self.heads[(self.turn ^ 1) & 1].time_us)
    }

    /// The time of the record that [`CaptureReader::next`] returned last.
    #[inline]
    pub(super) fn time_us(&self) -> i64 {
        self.heads[self.turn & 1].time_us
    }

    /// Records of a capture marked as microseconds whose fraction of a second was a second or more.
    pub(super) fn long_fractions(&self) -> u64 {
        match &self.format {
            Format::Pcap(pcap) => pcap.long_fractions(),
            Format::Pcapng(_) => 0,
        }
    }

    /// The file's name in messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Octets of the underlying, possibly compressed file that were read so far.
    pub fn consumed_bytes(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }

    /// Octets of the underlying file; `None` for a pipe.
    pub fn total_bytes(&self) -> Option<u64> {
        self.total
    }

    /// A name for the content, 16 hexadecimal digits: as [`digest`](super::digest()) for a file;
    /// for a pipe the SHA-256 of its first 4 KiB only.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

fn describe(magic: [u8; 4]) -> String {
    let kind = match magic {
        [0xfd, b'7', b'z', b'X'] => "it is compressed with xz",
        [b'B', b'Z', b'h', _] => "it is compressed with bzip2",
        [0x04, 0x22, 0x4d, 0x18] => "it is compressed with lz4",
        [b'P', b'K', 3, 4] => "it is a zip archive",
        [b's', b'n', b'o', b'o'] => "it is a snoop capture",
        [0x28, 0xb5, 0x2f, 0xfd] | [0x1f, 0x8b, ..] => "it is compressed twice",
        _ => {
            let [a, b, c, d] = magic;
            return format!("it begins with {a:02x} {b:02x} {c:02x} {d:02x}");
        }
    };
    kind.to_owned()
}
