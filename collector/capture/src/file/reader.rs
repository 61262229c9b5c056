//! Reading one capture file: recognises format and compression, then hands out records.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use noctule_packet::link::LinkType;

use super::digest::{BLOCK_BYTES, digest_of_block, digest_of_file};
use super::error::{CaptureError, Fault};
use super::pcap::Pcap;
use super::pcapng::Pcapng;
use super::window::{Span, WINDOW_BYTES, Window};

/// Octets of a compressed file that are read at once, where the window is not smaller.
const READ_BYTES: usize = 128 << 10;

/// One captured frame. `bytes` lies in the reader's own buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// How the frame begins; `None` where the link type is not one that is read here.
    pub link: Option<LinkType>,
    /// The capture's number of the link type.
    pub link_number: u32,
    /// When it was captured, microseconds since 1970 UTC; times that do not fit are clamped.
    pub time_us: i64,
    /// The octets that were captured.
    pub bytes: &'a [u8],
    /// Octets of the frame on the wire; never fewer than were captured.
    pub wire_bytes: u32,
}

/// A record without its octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub link: Option<LinkType>,
    pub link_number: u32,
    pub time_us: i64,
    pub wire_bytes: u32,
    pub span: Span,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// What lies after the current record.
enum Ahead {
    /// Nobody has looked yet.
    Unknown,
    /// This one.
    Record(Head),
    /// The end, and what was wrong there if it has not been told.
    End(Option<CaptureError>),
}

/// Reads a capture: pcap (micro- and nanosecond, Kuznetzov's variant, either byte order) or
/// pcapng, plain, gzip or zstd, all recognised by content.
///
/// Memory: a window of 256 KiB that grows to the largest record, which is limited to
/// [`MAX_RECORD_BYTES`](super::MAX_RECORD_BYTES); what zstd needs comes on top, up to 128 MiB.
pub struct CaptureReader {
    file: String,
    format: Format,
    window: Window,
    compressed: bool,
    ahead: Ahead,
    /// The record that the window holds.
    current: Option<Head>,
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

/// Counts what is read from the underlying file.
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
    /// [`CaptureError::Open`] and [`CaptureError::Read`] from the system,
    /// [`CaptureError::Empty`], [`CaptureError::Foreign`], and
    /// [`CaptureError::Cut`] where the file ends inside its header.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        if path == Path::new("-") {
            return Self::from_reader("standard input", Box::new(io::stdin()));
        }
        let name = path.display().to_string();
        let failed = |source| CaptureError::Open {
            file: name.clone(),
            source,
        };
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Self::from_reader(&name, Box::new(file));
        }
        let digest = digest_of_file(&mut file, metadata.len()).map_err(failed)?;
        let mut reader = Self::from_reader(&name, Box::new(file))?;
        reader.total = Some(metadata.len());
        reader.digest = digest;
        Ok(reader)
    }

    /// Reads a capture from anywhere; `name` stands in messages. Waits until 4 KiB or the end
    /// have come.
    ///
    /// # Errors
    /// As [`CaptureReader::open`], without [`CaptureError::Open`].
    pub fn from_reader(name: &str, source: Box<dyn Read + Send>) -> Result<Self, CaptureError> {
        Self::with_window(name, source, WINDOW_BYTES)
    }

    /// As [`CaptureReader::from_reader`], with a window of this many octets to begin with: little
    /// memory where captures are many, and what tests of the window's growth ask for.
    ///
    /// # Errors
    /// As [`CaptureReader::from_reader`].
    pub fn with_window(
        name: &str,
        source: Box<dyn Read + Send>,
        window_bytes: usize,
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
        (&mut source)
            .take(BLOCK_BYTES as u64)
            .read_to_end(&mut block)
            .map_err(read_failed)?;
        let digest = digest_of_block(&block);
        if block.is_empty() {
            return Err(CaptureError::Empty {
                file: name.to_owned(),
                compressed: false,
            });
        }
        let packing = Packing::of(&block);
        let whole = Cursor::new(block).chain(source);
        let mut window = Window::new(
            packing.unpack(whole, window_bytes).map_err(read_failed)?,
            window_bytes,
        );
        let compressed = packing != Packing::Plain;
        let format = Self::format(name, &mut window, compressed)?;
        Ok(Self {
            file: name.to_owned(),
            format,
            window,
            compressed,
            ahead: Ahead::Unknown,
            current: None,
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
                return Err(report(error.into(), name, 0, compressed, 0));
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
                    .map_err(|fault| report(fault, name, 0, compressed, 0));
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
    /// Once, after the last whole record: [`CaptureError::Cut`], [`CaptureError::Damaged`] or
    /// [`CaptureError::Read`].
    #[inline]
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not lend out its own buffer"
    )]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, CaptureError> {
        match std::mem::replace(&mut self.ahead, Ahead::Unknown) {
            Ahead::Record(head) => self.current = Some(head),
            Ahead::End(problem) => {
                self.ahead = Ahead::End(None);
                self.current = None;
                return problem.map_or(Ok(None), Err);
            }
            Ahead::Unknown => {
                self.window.hold(Span::default());
                match self.scan() {
                    Ok(Some(head)) => self.current = Some(head),
                    end => {
                        self.ahead = Ahead::End(None);
                        self.current = None;
                        return end.map(|_| None);
                    }
                }
            }
        }
        if let Some(head) = self.current {
            self.window.hold(head.span);
        }
        Ok(self.current())
    }

    /// The record that [`CaptureReader::next`] gave last.
    #[inline]
    pub fn current(&self) -> Option<Record<'_>> {
        let head = self.current?;
        Some(Record {
            link: head.link,
            link_number: head.link_number,
            time_us: head.time_us,
            bytes: self.window.held(),
            wire_bytes: head.wire_bytes,
        })
    }

    /// The time of the record after the current one, which stays as it is; `None` where there
    /// is none. Reads ahead, so that on a pipe it waits for that record.
    #[inline]
    pub fn peek_time(&mut self) -> Option<i64> {
        if let Ahead::Unknown = self.ahead {
            self.ahead = match self.scan() {
                Ok(Some(head)) => Ahead::Record(head),
                Ok(None) => Ahead::End(None),
                Err(problem) => Ahead::End(Some(problem)),
            };
        }
        match &self.ahead {
            Ahead::Record(head) => Some(head.time_us),
            _ => None,
        }
    }

    /// What [`CaptureReader::peek_time`] found wrong at the end, if nobody was told yet.
    pub(super) fn take_problem(&mut self) -> Option<CaptureError> {
        match &mut self.ahead {
            Ahead::End(problem) => problem.take(),
            _ => None,
        }
    }

    /// The file's name, as messages give it.
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

    /// Parses the next record; whatever the window holds stays.
    #[inline]
    fn scan(&mut self) -> Result<Option<Head>, CaptureError> {
        let mut at = self.window.offset();
        let found = match &mut self.format {
            Format::Pcap(pcap) => pcap.record(&mut self.window),
            Format::Pcapng(pcapng) => pcapng.record(&mut self.window, &mut at),
        };
        match found {
            Ok(head) => {
                self.records += u64::from(head.is_some());
                Ok(head)
            }
            Err(fault) => Err(report(fault, &self.file, at, self.compressed, self.records)),
        }
    }
}

fn report(fault: Fault, file: &str, offset: u64, compressed: bool, records: u64) -> CaptureError {
    let file = file.to_owned();
    match fault {
        Fault::Cut(reason) => CaptureError::Cut {
            file,
            offset,
            compressed,
            reason,
            records,
        },
        Fault::Damaged(reason) => CaptureError::Damaged {
            file,
            offset,
            compressed,
            reason,
            records,
        },
        Fault::Read(source) => CaptureError::Read {
            file,
            offset,
            compressed,
            records,
            source,
        },
    }
}

/// How the file is compressed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // The second is a skippable frame, with which parallel compressors begin.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    fn unpack(
        self,
        source: impl Read + Send + 'static,
        window_bytes: usize,
    ) -> io::Result<Box<dyn Read + Send>> {
        let read_bytes = window_bytes.clamp(512, READ_BYTES);
        let buffered = |source| BufReader::with_capacity(read_bytes, source);
        Ok(match self {
            Self::Plain => Box::new(source),
            Self::Gzip => Box::new(MultiGzDecoder::new(buffered(source))),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(buffered(source))?),
        })
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
