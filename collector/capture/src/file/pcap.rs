//! The classic pcap format: a file header, then records.

use super::error::Fault;
use super::record::{MAX_RECORD_BYTES, RecordHead, TimeResolution};
use super::window::{Span, Window};
use noctule_packet::link::LinkType;

/// Octets of the file header, magic included.
const FILE_HEADER_BYTES: usize = 24;

/// Parser of classic pcap: what the file header says about the records.
pub(super) struct Pcap {
    big_endian: bool,
    nanoseconds: bool,
    record_header_bytes: usize,
    /// When the original length precedes the captured length in a record header.
    swapped: Swapped,
    link_number: u32,
    link: Option<LinkType>,
    /// Empty records of time 0 that were read and not returned yet.
    empty: u64,
    /// Records whose fraction of a second is a second or more.
    long_fractions: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Swapped {
    Never,
    Always,
    WhenLarger,
}

/// The `u32` at `at` in the file's byte order; 0 if the octets end before it.
#[inline]
pub(super) fn u32_at(octets: &[u8], at: usize, big_endian: bool) -> u32 {
    let Some(word) = octets.get(at..at + 4).and_then(|w| w.try_into().ok()) else {
        return 0;
    };
    if big_endian {
        u32::from_be_bytes(word)
    } else {
        u32::from_le_bytes(word)
    }
}

/// The `u16` at `at` in the file's byte order; 0 if the octets end before it.
#[inline]
pub(super) fn u16_at(octets: &[u8], at: usize, big_endian: bool) -> u16 {
    let Some(word) = octets.get(at..at + 2).and_then(|w| w.try_into().ok()) else {
        return 0;
    };
    if big_endian {
        u16::from_be_bytes(word)
    } else {
        u16::from_le_bytes(word)
    }
}

impl Pcap {
    /// True if a file that begins with `magic` holds classic pcap.
    pub fn recognises(magic: [u8; 4]) -> bool {
        Self::variant(magic).is_some()
    }

    /// Byte order, resolution and record header of a magic number.
    fn variant(magic: [u8; 4]) -> Option<(bool, bool, usize)> {
        [
            (true, u32::from_be_bytes(magic)),
            (false, u32::from_le_bytes(magic)),
        ]
        .into_iter()
        .find_map(|(big_endian, number)| match number {
            0xa1b2_c3d4 => Some((big_endian, false, 16)),
            0xa1b2_3c4d => Some((big_endian, true, 16)),
            // Kuznetzov's patched tcpdump: interface, protocol and packet type follow.
            0xa1b2_cd34 => Some((big_endian, false, 24)),
            _ => None,
        })
    }

    /// Reads the file header.
    pub fn begin(window: &mut Window) -> Result<Self, Box<Fault>> {
        let there = window.need(FILE_HEADER_BYTES);
        if there < FILE_HEADER_BYTES {
            return Err(match window.failure() {
                Some(error) => error.into(),
                None => Fault::cut(format!(
                    "the file header has {there} of its {FILE_HEADER_BYTES} bytes"
                )),
            });
        }
        let header = window.unread(FILE_HEADER_BYTES);
        let magic = [header[0], header[1], header[2], header[3]];
        let Some((big_endian, nanoseconds, record_header_bytes)) = Self::variant(magic) else {
            return Err(Fault::damaged("the magic number changed".to_owned()));
        };
        let major = u16_at(header, 4, big_endian);
        let minor = u16_at(header, 6, big_endian);
        // Before version 2.3, and in the 543.0 of DG/UX, the original length came first; 2.3 was
        // written both ways.
        let swapped = match (major, minor) {
            (2, 3) => Swapped::WhenLarger,
            (0 | 1, _) | (2, 0..=2) | (543, 0) => Swapped::Always,
            _ => Swapped::Never,
        };
        // The upper half holds the length of a frame check sequence and reserved bits.
        let link_number = u32_at(header, 20, big_endian) & 0xffff;
        window.take(FILE_HEADER_BYTES);
        Ok(Self {
            big_endian,
            nanoseconds,
            record_header_bytes,
            swapped,
            link_number,
            link: LinkType::from_number(link_number),
            empty: 0,
            long_fractions: 0,
        })
    }

    /// Reads fractions in this resolution, whatever the magic number says.
    pub fn set_resolution(&mut self, resolution: TimeResolution) {
        self.nanoseconds = resolution == TimeResolution::Nanoseconds;
    }

    /// Records whose fraction of a second was a second or more.
    pub const fn long_fractions(&self) -> u64 {
        self.long_fractions
    }

    /// Record headers of zeros: the zeros that follow the last record, or empty records of time 0,
    /// which are returned before the next one.
    #[cold]
    fn zeros(&mut self, window: &mut Window, head: &mut RecordHead) -> Result<bool, Box<Fault>> {
        let header_bytes = self.record_header_bytes;
        loop {
            let there = window.need(header_bytes);
            if window.unread(there).iter().any(|&octet| octet != 0) {
                return Ok(self.empty_record(head));
            }
            if there < header_bytes {
                if let Some(error) = window.failure() {
                    return Err(error.into());
                }
                let zeros = self.empty * header_bytes as u64 + there as u64;
                return Err(Box::new(Fault::Zeros(zeros)));
            }
            window.take(header_bytes);
            self.empty += 1;
        }
    }

    #[cold]
    fn empty_record(&mut self, head: &mut RecordHead) -> bool {
        self.empty -= 1;
        *head = RecordHead {
            link: self.link,
            link_number: self.link_number,
            time_us: 0,
            wire_bytes: 0,
            span: Span::default(),
        };
        true
    }

    /// Reads the next record into `head`; false at the end.
    #[inline]
    pub fn record(
        &mut self,
        window: &mut Window,
        head: &mut RecordHead,
    ) -> Result<bool, Box<Fault>> {
        if self.empty > 0 {
            return Ok(self.empty_record(head));
        }
        let header_bytes = self.record_header_bytes;
        let there = window.need(header_bytes);
        if there < header_bytes {
            return match window.failure() {
                Some(error) => Err(error.into()),
                None if there == 0 => Ok(false),
                None => Err(Fault::cut(format!(
                    "a record header has {there} of its {header_bytes} bytes"
                ))),
            };
        }
        let header = window.unread(header_bytes);
        let word = |index: usize| u32_at(header, index * 4, self.big_endian);
        let (seconds, fraction) = (word(0), word(1));
        let (mut captured, mut wire) = (word(2), word(3));
        if seconds | fraction | captured | wire == 0 && header.iter().all(|&octet| octet == 0) {
            return self.zeros(window, head);
        }
        if self.swapped == Swapped::Always
            || (self.swapped == Swapped::WhenLarger && captured > wire)
        {
            (captured, wire) = (wire, captured);
        }
        let length = captured as usize;
        if length > MAX_RECORD_BYTES {
            return Err(Fault::damaged(format!(
                "a record claims {captured} captured bytes, more than the limit of {MAX_RECORD_BYTES}"
            )));
        }
        let there = window.need(header_bytes + length);
        if there < header_bytes + length {
            return Err(match window.failure() {
                Some(error) => error.into(),
                None => Fault::cut(format!(
                    "a record has {} of its {captured} bytes",
                    there - header_bytes
                )),
            });
        }
        let micros = if self.nanoseconds {
            fraction / 1000
        } else {
            fraction
        };
        // A fraction of a second or more is impossible; the seconds are kept.
        self.long_fractions += u64::from(micros > 999_999);
        let micros = micros.min(999_999);
        window.take(header_bytes);
        head.link = self.link;
        head.link_number = self.link_number;
        head.time_us = i64::from(seconds) * 1_000_000 + i64::from(micros);
        head.wire_bytes = wire.max(captured);
        head.span = window.take(length);
        Ok(true)
    }
}
