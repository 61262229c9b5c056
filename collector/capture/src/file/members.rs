//! Unpacking gzip and zstd files: one member (zstd: frame) after another, and what follows the last.
//!
//! Archives and tapes pad files with zeros, and some programs append a signature. What follows the last
//! member is left out and named, if it is zeros or short; otherwise a member may be damaged.

use std::io::{self, BufRead, Read};
use std::sync::{Arc, OnceLock};

use flate2::bufread::GzDecoder;
use zstd::stream::read::Decoder;

/// Most octets after the last member that are left out, unless they are zeros.
const MOST_FOREIGN: u64 = 64 << 10;
/// The largest window of a zstd frame, as a power of two: the format's own limit, 2 GiB. As much memory
/// is used as the frame's data fill of its window.
pub(super) const LONG_WINDOW: u32 = 31;
/// The largest window of readers with little memory: 128 MiB, as `zstd` has without `--long`.
pub(super) const SHORT_WINDOW: u32 = 27;

/// How the file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// By the first octets of a file; `None`: it is not compressed in a way that is read here.
    pub fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // The second is a skippable frame, with which parallel compressors begin.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Whether a member may begin with this octet.
    const fn begins(self, octet: u8) -> bool {
        match self {
            Self::Gzip => octet == 0x1f,
            Self::Zstd => matches!(octet, 0x28 | 0x50..=0x5f),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// What follows a file's last member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// Where it begins, in octets of the compressed file.
    pub offset: u64,
    /// Its length in octets.
    pub bytes: u64,
    /// It is all zeros.
    pub zeros: bool,
}

/// Counts the octets that are taken from a buffer.
struct Taken<R> {
    source: R,
    bytes: u64,
}

impl<R: BufRead> Read for Taken<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let count = there.len().min(into.len());
        into[..count].copy_from_slice(&there[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Taken<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.bytes += count as u64;
        self.source.consume(count);
    }
}

enum Member<R: BufRead> {
    Gzip(Box<GzDecoder<Taken<R>>>),
    Zstd(Decoder<'static, Taken<R>>),
    /// Before the first member, or after one.
    Between(Taken<R>),
    Ended,
}

/// The unpacked octets of a compressed file.
pub(super) struct Members<R: BufRead> {
    compression: Compression,
    zstd_window_log: u32,
    member: Member<R>,
    tail: Arc<OnceLock<Tail>>,
}

impl<R: BufRead> Members<R> {
    /// Unpacks `source`. What follows the last member is put into `tail`. A zstd frame may have a window
    /// of 2 to the power of `zstd_window_log` octets.
    pub fn new(
        compression: Compression,
        zstd_window_log: u32,
        source: R,
        tail: Arc<OnceLock<Tail>>,
    ) -> Self {
        Self {
            compression,
            zstd_window_log,
            member: Member::Between(Taken { source, bytes: 0 }),
            tail,
        }
    }

    /// Goes to the next member or to the end.
    fn next_member(&mut self, mut source: Taken<R>) -> io::Result<()> {
        let begin = source.bytes;
        let zeros = skip(&mut source, |octet| octet == 0)?;
        let Some(&octet) = source.fill_buf()?.first() else {
            self.end(begin, zeros, true);
            return Ok(());
        };
        if self.compression.begins(octet) {
            self.member = match self.compression {
                Compression::Gzip => Member::Gzip(Box::new(GzDecoder::new(source))),
                Compression::Zstd => {
                    let mut decoder = Decoder::with_buffer(source)?.single_frame();
                    decoder.window_log_max(self.zstd_window_log)?;
                    Member::Zstd(decoder)
                }
            };
            return Ok(());
        }
        let foreign = skip(&mut source, |_| true)?;
        if foreign > MOST_FOREIGN {
            return Err(io::Error::other(format!(
                "{foreign} bytes from offset {} of the file on are no {}",
                begin + zeros,
                self.compression.name()
            )));
        }
        self.end(begin, zeros + foreign, false);
        Ok(())
    }

    fn end(&mut self, offset: u64, bytes: u64, zeros: bool) {
        if bytes > 0 {
            let _ = self.tail.set(Tail {
                offset,
                bytes,
                zeros,
            });
        }
    }
}

/// Skips the octets that `which` accepts; returns their number.
fn skip(source: &mut impl BufRead, which: impl Fn(u8) -> bool) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let there = match source.fill_buf() {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let count = there.iter().take_while(|&&octet| which(octet)).count();
        let all = count == there.len();
        source.consume(count);
        skipped += count as u64;
        if count == 0 || !all {
            return Ok(skipped);
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let count = match &mut self.member {
                Member::Gzip(decoder) => decoder.read(into)?,
                Member::Zstd(decoder) => decoder.read(into)?,
                Member::Between(_) => 0,
                Member::Ended => return Ok(0),
            };
            if count > 0 {
                return Ok(count);
            }
            let source = match std::mem::replace(&mut self.member, Member::Ended) {
                Member::Gzip(decoder) => decoder.into_inner(),
                Member::Zstd(decoder) => decoder.finish(),
                Member::Between(source) => source,
                Member::Ended => return Ok(0),
            };
            self.next_member(source)?;
        }
    }
}
