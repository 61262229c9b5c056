//! Captures for tests, made in memory in every variant of both formats.

use std::io::Write;

/// A record that a test writes and expects to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub time_us: i64,
    pub bytes: Vec<u8>,
    pub wire_bytes: u32,
}

/// Which variant of which format to make.
#[derive(Clone, Copy, Debug)]
pub enum Variant {
    Pcap {
        big_endian: bool,
        kind: PcapKind,
    },
    Pcapng {
        big_endian: bool,
        packet: PacketKind,
        resolution: Option<u8>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PcapKind {
    Microseconds,
    Nanoseconds,
    Kuznetzov,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    Enhanced,
    Obsolete,
    Simple,
}

/// How the file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    Plain,
    Gzip,
    Zstd,
}

/// Writes numbers in one byte order.
struct Output {
    big_endian: bool,
    bytes: Vec<u8>,
}

impl Output {
    fn u16(&mut self, value: u16) {
        let octets = if self.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        };
        self.bytes.extend(octets);
    }

    fn u32(&mut self, value: u32) {
        let octets = if self.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        };
        self.bytes.extend(octets);
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let padding = body.len().next_multiple_of(4) - body.len();
        let length = (12 + body.len() + padding) as u32;
        self.u32(kind);
        self.u32(length);
        self.bytes.extend(body);
        self.bytes.extend(vec![0; padding]);
        self.u32(length);
    }

    fn body(&self) -> Self {
        Self {
            big_endian: self.big_endian,
            bytes: Vec::new(),
        }
    }
}

/// The file, and for each record the offset at which the record ends.
pub fn make(variant: Variant, link_number: u16, samples: &[Sample]) -> (Vec<u8>, Vec<usize>) {
    match variant {
        Variant::Pcap { big_endian, kind } => pcap(big_endian, kind, link_number, samples),
        Variant::Pcapng {
            big_endian,
            packet,
            resolution,
        } => pcapng(big_endian, packet, resolution, link_number, samples),
    }
}

fn pcap(big_endian: bool, kind: PcapKind, link: u16, samples: &[Sample]) -> (Vec<u8>, Vec<usize>) {
    let mut out = Output {
        big_endian,
        bytes: Vec::new(),
    };
    out.u32(match kind {
        PcapKind::Microseconds => 0xa1b2_c3d4,
        PcapKind::Nanoseconds => 0xa1b2_3c4d,
        PcapKind::Kuznetzov => 0xa1b2_cd34,
    });
    out.u16(2);
    out.u16(4);
    out.u32(0);
    out.u32(0);
    out.u32(65_535);
    // The upper half says that frames end with four octets of a check sequence.
    out.u32(0x4400_0000 | u32::from(link));
    let mut ends = Vec::new();
    for sample in samples {
        out.u32((sample.time_us / 1_000_000) as u32);
        let micros = (sample.time_us % 1_000_000) as u32;
        out.u32(if kind == PcapKind::Nanoseconds {
            micros * 1000 + 999
        } else {
            micros
        });
        out.u32(sample.bytes.len() as u32);
        out.u32(sample.wire_bytes);
        if kind == PcapKind::Kuznetzov {
            out.u32(3);
            out.u32(0x0800_0400);
        }
        out.bytes.extend(&sample.bytes);
        ends.push(out.bytes.len());
    }
    (out.bytes, ends)
}

fn pcapng(
    big_endian: bool,
    packet: PacketKind,
    resolution: Option<u8>,
    link: u16,
    samples: &[Sample],
) -> (Vec<u8>, Vec<usize>) {
    let mut out = Output {
        big_endian,
        bytes: Vec::new(),
    };
    let mut ends = Vec::new();
    section(&mut out);
    interface(&mut out, link, resolution);
    for (index, sample) in samples.iter().enumerate() {
        // A block of an unknown type, now and then.
        if index % 3 == 1 {
            out.block(0x0bad_0001, &[7; 13]);
        }
        // In the middle a new section in the other byte order, whose interface 0 no packet uses.
        let mut number = 0;
        if index >= samples.len() / 2 && packet != PacketKind::Simple {
            if index == samples.len() / 2 {
                out.big_endian = !big_endian;
                section(&mut out);
                interface(&mut out, 147, None);
                interface(&mut out, link, resolution);
            }
            number = 1;
        }
        let mut body = out.body();
        let units = units(sample.time_us, resolution);
        match packet {
            PacketKind::Enhanced => body.u32(number),
            PacketKind::Obsolete => {
                body.u16(number as u16);
                body.u16(9);
            }
            PacketKind::Simple => {}
        }
        if packet != PacketKind::Simple {
            body.u32((units >> 32) as u32);
            body.u32(units as u32);
            body.u32(sample.bytes.len() as u32);
        }
        body.u32(sample.wire_bytes);
        body.bytes.extend(&sample.bytes);
        let kind = match packet {
            PacketKind::Enhanced => 6,
            PacketKind::Obsolete => 2,
            PacketKind::Simple => 3,
        };
        out.block(kind, &body.bytes);
        ends.push(out.bytes.len());
    }
    (out.bytes, ends)
}

fn section(out: &mut Output) {
    let mut body = out.body();
    body.u32(0x1a2b_3c4d);
    body.u16(1);
    body.u16(0);
    body.bytes.extend([0xff; 8]);
    out.block(0x0a0d_0d0a, &body.bytes);
}

/// An interface whose clock is an hour behind, as its `if_tsoffset` says.
fn interface(out: &mut Output, link: u16, resolution: Option<u8>) {
    let mut body = out.body();
    body.u16(link);
    body.u16(0);
    body.u32(0);
    // A comment first, so that options have to be walked.
    body.u16(1);
    body.u16(5);
    body.bytes.extend(b"night\0\0\0");
    if let Some(octet) = resolution {
        body.u16(9);
        body.u16(1);
        body.bytes.extend([octet, 0, 0, 0]);
        body.u16(14);
        body.u16(8);
        let (first, second) = if body.big_endian {
            (0, 3600)
        } else {
            (3600, 0)
        };
        body.u32(first);
        body.u32(second);
        body.u16(0);
        body.u16(0);
    }
    out.block(1, &body.bytes);
}

/// A time in the file's units, rounded so that it reads back as the same microsecond.
fn units(time_us: i64, resolution: Option<u8>) -> u64 {
    let Some(octet) = resolution else {
        return time_us as u64;
    };
    let time = (time_us - 3_600_000_000) as u128;
    let exponent = u32::from(octet & 0x7f);
    let units = if octet & 0x80 == 0 {
        time * 10u128.pow(exponent) / 1_000_000
    } else {
        (time << exponent).div_ceil(1_000_000)
    };
    units as u64
}

/// Compresses; gzip in two members.
pub fn pack(packed: Packed, bytes: &[u8]) -> Vec<u8> {
    match packed {
        Packed::Plain => bytes.to_vec(),
        Packed::Gzip => {
            let (first, second) = bytes.split_at(bytes.len() / 2);
            let mut whole = Vec::new();
            for part in [first, second] {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(part).unwrap();
                whole.extend(encoder.finish().unwrap());
            }
            whole
        }
        Packed::Zstd => zstd::encode_all(bytes, 1).unwrap(),
    }
}
