//! The pcapng format: sections of blocks, each section in its own byte order.

use super::error::Fault;
use super::pcap::{u16_at, u32_at};
use super::record::{MAX_RECORD_BYTES, RecordHead, TimeResolution};
use super::window::Window;
use noctule_packet::link::LinkType;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Type and length before a block's body, the length again after it.
const FRAMING_BYTES: usize = 12;
/// Room for options and fixed fields beside a record of the largest size.
const MAX_BLOCK_BYTES: usize = MAX_RECORD_BYTES + (64 << 10);
/// Most interfaces that one section may describe, since they are kept in memory.
const MAX_INTERFACES: usize = 1 << 16;

const OPTION_END: u16 = 0;
const OPTION_TIME_RESOLUTION: u16 = 9;
const OPTION_TIME_OFFSET: u16 = 14;

/// How a timestamp's units are converted to microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    /// Units of this many microseconds.
    Multiply(u64),
    /// This many units in a microsecond.
    Divide(u128),
    /// Units of 2^-n seconds.
    Binary(u32),
}

impl Resolution {
    /// From the octet of option `if_tsresol`.
    fn new(octet: u8) -> Self {
        let exponent = u32::from(octet & 0x7f);
        if octet & 0x80 != 0 {
            Self::Binary(exponent)
        } else if exponent <= 6 {
            Self::Multiply(10u64.pow(6 - exponent))
        } else {
            // From 20 digits on, every 64-bit number of units is less than a microsecond.
            Self::Divide(10u128.pow((exponent - 6).min(20)))
        }
    }

    #[inline]
    fn microseconds(self, units: u64) -> i128 {
        match self {
            Self::Multiply(factor) => i128::from(units) * i128::from(factor),
            Self::Divide(divisor) => (u128::from(units) / divisor).cast_signed(),
            Self::Binary(bits) => (i128::from(units) * 1_000_000) >> bits,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link_number: u32,
    link: Option<LinkType>,
    /// Snap length in octets; 0 for no limit.
    snap_bytes: u32,
    resolution: Resolution,
    offset_us: i128,
}

impl Interface {
    #[inline]
    fn time_us(&self, high: u32, low: u32) -> i64 {
        let units = u64::from(high) << 32 | u64::from(low);
        let time = self.resolution.microseconds(units) + self.offset_us;
        i64::try_from(time).unwrap_or(if time < 0 { i64::MIN } else { i64::MAX })
    }
}

/// Parser of pcapng: the current section's byte order and interfaces.
pub(super) struct Pcapng {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// Of interfaces that do not say theirs.
    resolution: Resolution,
    /// Time of the last packet, which a simple packet gets because it has no time of its own.
    last_time_us: i64,
}

impl Pcapng {
    /// True if a file that begins with `magic` holds pcapng.
    pub fn recognises(magic: [u8; 4]) -> bool {
        u32::from_be_bytes(magic) == SECTION
    }

    pub fn new() -> Self {
        Self {
            big_endian: false,
            interfaces: Vec::new(),
            resolution: Resolution::new(6),
            last_time_us: 0,
        }
    }

    /// Reads times of interfaces that do not say their resolution in this one.
    pub fn set_resolution(&mut self, resolution: TimeResolution) {
        self.resolution = Resolution::new(match resolution {
            TimeResolution::Microseconds => 6,
            TimeResolution::Nanoseconds => 9,
        });
    }

    /// Reads blocks until one holds a record, and puts the record into `head`; false at the end.
    /// `at` is the offset of the last block that was begun.
    pub fn record(
        &mut self,
        window: &mut Window,
        head: &mut RecordHead,
        at: &mut u64,
    ) -> Result<bool, Box<Fault>> {
        loop {
            *at = window.offset();
            let there = window.need(FRAMING_BYTES);
            if there < FRAMING_BYTES {
                return match window.failure() {
                    Some(error) => Err(error.into()),
                    None if there == 0 => Ok(false),
                    None => Err(Fault::cut(format!("a block header has {there} bytes"))),
                };
            }
            let start = window.unread(FRAMING_BYTES);
            // The section's type is the same in both byte orders, so a section may be in either.
            if u32_at(start, 0, true) == SECTION {
                self.big_endian = match u32_at(start, 8, true) {
                    BYTE_ORDER_MAGIC => true,
                    number if number.swap_bytes() == BYTE_ORDER_MAGIC => false,
                    number => {
                        return Err(Fault::damaged(format!(
                            "a section begins with 0x{number:08x} instead of the byte-order magic"
                        )));
                    }
                };
            }
            let kind = u32_at(start, 0, self.big_endian);
            let length = u32_at(start, 4, self.big_endian) as usize;
            if kind == 0 && length == 0 {
                return Err(zeros(window));
            }
            if length < FRAMING_BYTES || !length.is_multiple_of(4) {
                return Err(Fault::damaged(format!(
                    "a block of type 0x{kind:08x} claims a length of {length} bytes"
                )));
            }
            let known = matches!(
                kind,
                SECTION | INTERFACE | OBSOLETE_PACKET | SIMPLE_PACKET | ENHANCED_PACKET
            );
            if known {
                if let Some(found) = self.known_block(window, kind, length)? {
                    self.last_time_us = found.time_us;
                    *head = found;
                    return Ok(true);
                }
            } else {
                self.skip_block(window, length)?;
            }
        }
    }

    /// Skips a block of a type without packets, of any size.
    fn skip_block(&self, window: &mut Window, length: usize) -> Result<(), Box<Fault>> {
        let passed = window.skip(length as u64 - 4);
        let there = window.need(4);
        if there < 4 {
            return Err(match window.failure() {
                Some(error) => error.into(),
                None => cut_block(passed + there as u64, length),
            });
        }
        check_trailer(window.unread(4), length, self.big_endian)?;
        window.take(4);
        Ok(())
    }

    fn known_block(
        &mut self,
        window: &mut Window,
        kind: u32,
        length: usize,
    ) -> Result<Option<RecordHead>, Box<Fault>> {
        if length > MAX_BLOCK_BYTES {
            return Err(Fault::damaged(format!(
                "a block of type {kind} claims {length} bytes, more than the limit of {MAX_BLOCK_BYTES}"
            )));
        }
        let there = window.need(length);
        if there < length {
            return Err(match window.failure() {
                Some(error) => error.into(),
                None => cut_block(there as u64, length),
            });
        }
        let block = window.unread(length);
        check_trailer(&block[length - 4..], length, self.big_endian)?;
        let body = &block[8..length - 4];
        let found = match kind {
            SECTION => self.section(body).map(|()| None),
            INTERFACE => self.interface(body).map(|()| None),
            SIMPLE_PACKET => self.simple_packet(body).map(Some),
            _ => self.packet(kind, body).map(Some),
        }?;
        let Some((mut head, data)) = found else {
            window.take(length);
            return Ok(None);
        };
        window.take(8 + data.start);
        head.span = window.take(data.length);
        window.take(length - 8 - data.start - data.length);
        Ok(Some(head))
    }

    fn section(&mut self, body: &[u8]) -> Result<(), Box<Fault>> {
        if body.len() < 16 {
            return Err(Fault::damaged(format!(
                "a section header has {} of its 16 bytes",
                body.len()
            )));
        }
        let major = u16_at(body, 4, self.big_endian);
        if major != 1 {
            return Err(Fault::damaged(format!(
                "a section is of pcapng version {major}, and only version 1 is known"
            )));
        }
        self.interfaces.clear();
        Ok(())
    }

    fn interface(&mut self, body: &[u8]) -> Result<(), Box<Fault>> {
        if body.len() < 8 {
            return Err(Fault::damaged(format!(
                "an interface description has {} of its 8 bytes",
                body.len()
            )));
        }
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(Fault::damaged(format!(
                "a section describes more than {MAX_INTERFACES} interfaces"
            )));
        }
        let link_number = u32::from(u16_at(body, 0, self.big_endian));
        let mut interface = Interface {
            link_number,
            link: LinkType::from_number(link_number),
            snap_bytes: u32_at(body, 4, self.big_endian),
            resolution: self.resolution,
            offset_us: 0,
        };
        let mut at = 8;
        while at + 4 <= body.len() {
            let code = u16_at(body, at, self.big_endian);
            let length = usize::from(u16_at(body, at + 2, self.big_endian));
            let Some(value) = body.get(at + 4..at + 4 + length) else {
                break;
            };
            match (code, value) {
                (OPTION_END, _) => break,
                (OPTION_TIME_RESOLUTION, &[octet]) => interface.resolution = Resolution::new(octet),
                (OPTION_TIME_OFFSET, value) if length == 8 => {
                    let (first, second) = (
                        u32_at(value, 0, self.big_endian),
                        u32_at(value, 4, self.big_endian),
                    );
                    let (high, low) = if self.big_endian {
                        (first, second)
                    } else {
                        (second, first)
                    };
                    let seconds = (u64::from(high) << 32 | u64::from(low)).cast_signed();
                    interface.offset_us = i128::from(seconds) * 1_000_000;
                }
                _ => {}
            }
            at += 4 + length.next_multiple_of(4);
        }
        self.interfaces.push(interface);
        Ok(())
    }

    fn described(&self, number: u32) -> Result<&Interface, Box<Fault>> {
        self.interfaces.get(number as usize).ok_or_else(|| {
            Fault::damaged(format!(
                "a packet came from interface {number}, and its section describes {}",
                self.interfaces.len()
            ))
        })
    }

    /// An enhanced packet block, or its obsolete predecessor.
    #[inline]
    fn packet(&self, kind: u32, body: &[u8]) -> Result<(RecordHead, Data), Box<Fault>> {
        const FIXED_BYTES: usize = 20;
        if body.len() < FIXED_BYTES {
            return Err(short_packet(body.len(), FIXED_BYTES));
        }
        let word = |index: usize| u32_at(body, index * 4, self.big_endian);
        let number = if kind == ENHANCED_PACKET {
            word(0)
        } else {
            u32::from(u16_at(body, 0, self.big_endian))
        };
        let interface = self.described(number)?;
        let data = Data::new(FIXED_BYTES, word(3), body)?;
        let head = RecordHead {
            link: interface.link,
            link_number: interface.link_number,
            time_us: interface.time_us(word(1), word(2)),
            wire_bytes: word(4).max(word(3)),
            span: Default::default(),
        };
        Ok((head, data))
    }

    fn simple_packet(&self, body: &[u8]) -> Result<(RecordHead, Data), Box<Fault>> {
        const FIXED_BYTES: usize = 4;
        if body.len() < FIXED_BYTES {
            return Err(short_packet(body.len(), FIXED_BYTES));
        }
        let interface = self.described(0)?;
        let wire = u32_at(body, 0, self.big_endian);
        // The block does not say how much was captured: it is the wire's length or the snap length,
        // whichever is less, and never more than the block holds.
        let limit = match interface.snap_bytes {
            0 => wire,
            snap => snap.min(wire),
        };
        let held = u32::try_from(body.len() - FIXED_BYTES).unwrap_or(u32::MAX);
        let data = Data::new(FIXED_BYTES, limit.min(held), body)?;
        let head = RecordHead {
            link: interface.link,
            link_number: interface.link_number,
            time_us: self.last_time_us,
            wire_bytes: wire,
            span: Default::default(),
        };
        Ok((head, data))
    }
}

/// Where a block's body holds the packet.
struct Data {
    start: usize,
    length: usize,
}

impl Data {
    fn new(start: usize, captured: u32, body: &[u8]) -> Result<Self, Box<Fault>> {
        let length = captured as usize;
        if length > MAX_RECORD_BYTES || length > body.len() - start {
            return Err(Fault::damaged(format!(
                "a packet claims {captured} captured bytes in a block that has room for {}",
                body.len() - start
            )));
        }
        Ok(Self { start, length })
    }
}

/// A block that begins with zeros: they follow the last block if they reach to the end.
#[cold]
fn zeros(window: &mut Window) -> Box<Fault> {
    let mut count = 0;
    loop {
        let there = window.need(4096);
        if there == 0 {
            return match window.failure() {
                Some(error) => error.into(),
                None => Box::new(Fault::Zeros(count)),
            };
        }
        if window.unread(there).iter().any(|&octet| octet != 0) {
            return Fault::damaged("a block of type 0 claims a length of 0 bytes".to_owned());
        }
        window.take(there);
        count += there as u64;
    }
}

fn short_packet(there: usize, fixed: usize) -> Box<Fault> {
    Fault::damaged(format!(
        "a packet block has {there} of its {fixed} fixed bytes"
    ))
}

fn cut_block(there: u64, length: usize) -> Box<Fault> {
    Fault::cut(format!("a block has {there} of its {length} bytes"))
}

fn check_trailer(trailer: &[u8], length: usize, big_endian: bool) -> Result<(), Box<Fault>> {
    let again = u32_at(trailer, 0, big_endian) as usize;
    if again == length {
        return Ok(());
    }
    Err(Fault::damaged(format!(
        "a block says {length} bytes at its start and {again} at its end"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions_become_microseconds() {
        for (octet, units, expected) in [
            (6, 7, 7),
            (0, 2, 2_000_000),
            (3, 5, 5_000),
            (9, 1_999, 1),
            (25, 10_000_000_000_000_000_000, 1),
            (26, u64::MAX, 0),
            (127, u64::MAX, 0),
            (0x80, 3, 3_000_000),
            (0x8a, 1_536, 1_500_000),
            (0xff, u64::MAX, 0),
        ] {
            assert_eq!(
                Resolution::new(octet).microseconds(units),
                expected,
                "if_tsresol {octet:#x}"
            );
        }
    }

    #[test]
    fn times_that_do_not_fit_are_clamped() {
        let mut interface = Interface {
            link_number: 1,
            link: None,
            snap_bytes: 0,
            resolution: Resolution::new(0),
            offset_us: 0,
        };
        assert_eq!(interface.time_us(u32::MAX, u32::MAX), i64::MAX);
        interface.offset_us = i128::from(i64::MIN) * 1_000_000;
        assert_eq!(interface.time_us(0, 0), i64::MIN);
    }
}
