//! What the fuzz targets start from: small inputs with a name each, made here.
//!
//! They are committed in `fuzz/corpus/<target>/`; a test holds them against this file and writes
//! them when asked to.

use crate::frames;
use crate::layers::{Captured, named};

/// A file of a target's corpus.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The target.
    pub target: &'static str,
    /// The file's name.
    pub name: String,
    /// Its octets.
    pub octets: Vec<u8>,
}

/// All of them.
pub fn all() -> Vec<Seed> {
    let decode = named::all().into_iter().map(|(name, frame)| Seed {
        target: "decode",
        name: name.to_owned(),
        octets: decode(&frame),
    });
    let capture = captures().into_iter().map(|(name, octets)| Seed {
        target: "capture",
        name: name.to_owned(),
        octets,
    });
    decode.chain(capture).collect()
}

/// The order in which the target counts link types.
const LINKS: [u32; 12] = [1, 101, 113, 276, 0, 108, 229, 104, 9, 50, 51, 239];

/// Link type, how much longer the frame was on the wire, the frame.
fn decode(frame: &Captured) -> Vec<u8> {
    let link = LINKS.iter().position(|link| *link == frame.link);
    let mut octets = vec![link.unwrap_or_default() as u8];
    let longer = (frame.wire_bytes - frame.octets.len()) as u32;
    octets.extend(&longer.to_be_bytes()[1..]);
    octets.extend(&frame.octets);
    octets
}

/// A number in either byte order.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

const LITTLE: Order = Order { big: false };
const BIG: Order = Order { big: true };

impl Order {
    fn word(self, number: u32) -> [u8; 4] {
        if self.big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    }

    fn half(self, number: u16) -> [u8; 2] {
        if self.big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    }

    /// A pcap header; `magic` says how records are laid out.
    fn pcap(self, magic: u32, link: u32) -> Vec<u8> {
        let mut octets = self.word(magic).to_vec();
        octets.extend(self.half(2));
        octets.extend(self.half(4));
        octets.extend([0, 0, 1 << 16, link].map(|word| self.word(word)).concat());
        octets
    }

    /// A pcap record; `more` comes between its head and its octets.
    fn record(self, time: [u32; 2], wire: u32, more: &[u8], frame: &[u8]) -> Vec<u8> {
        let head = [time[0], time[1], frame.len() as u32, wire];
        [&head.map(|word| self.word(word)).concat()[..], more, frame].concat()
    }

    /// A pcapng block.
    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let length = self.word(12 + padded as u32);
        let mut octets = [self.word(kind), length].concat();
        octets.extend(body);
        octets.resize(8 + padded, 0);
        octets.extend(length);
        octets
    }

    fn section(self) -> Vec<u8> {
        let mut body = self.word(0x1a2b_3c4d).to_vec();
        body.extend([self.half(1), self.half(0)].concat());
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }

    /// An interface with these options.
    fn interface(self, link: u16, snap: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = [self.half(link), [0; 2]].concat();
        body.extend(self.word(snap));
        for (kind, value) in options {
            body.extend([self.half(*kind), self.half(value.len() as u16)].concat());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        body.extend([0; 4]);
        self.block(1, &body)
    }

    /// An enhanced packet.
    fn packet(self, interface: u32, time: u64, wire: u32, frame: &[u8]) -> Vec<u8> {
        let time = [(time >> 32) as u32, time as u32];
        let words = [interface, time[0], time[1], frame.len() as u32, wire];
        let mut body = words.map(|word| self.word(word)).concat();
        body.extend(frame);
        self.block(6, &body)
    }

    fn simple_packet(self, wire: u32, frame: &[u8]) -> Vec<u8> {
        self.block(3, &[&self.word(wire)[..], frame].concat())
    }
}

/// Deflate and zstd with blocks that are not compressed, so that no library's taste is in them.
fn gzip(octets: &[u8]) -> Vec<u8> {
    let length = octets.len() as u16;
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    packed.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
    packed.extend(octets);
    packed.extend(crc32(octets).to_le_bytes());
    packed.extend(u32::from(length).to_le_bytes());
    packed
}

fn crc32(octets: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for octet in octets {
        sum ^= u32::from(*octet);
        for _ in 0..8 {
            sum = sum >> 1 ^ 0xedb8_8320 & (sum & 1).wrapping_neg();
        }
    }
    !sum
}

fn zstd(octets: &[u8]) -> Vec<u8> {
    let length = octets.len() as u32;
    // One segment whose size has two octets and starts from 256.
    let mut packed = vec![0x28, 0xb5, 0x2f, 0xfd, 0x60];
    packed.extend(((length - 256) as u16).to_le_bytes());
    packed.extend(&(length << 3 | 1).to_le_bytes()[..3]);
    packed.extend(octets);
    packed
}

/// A zstd frame of one octet repeated: few octets that unpack to many.
fn zstd_repeated(magic: &[u8], octet: u8, blocks: u32) -> Vec<u8> {
    // A window of 1 MiB, no size.
    let mut packed = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x50];
    packed.extend(&((magic.len() as u32) << 3).to_le_bytes()[..3]);
    packed.extend(magic);
    for block in 1..=blocks {
        let head = (128 << 10) << 3 | 2 | u32::from(block == blocks);
        packed.extend(&head.to_le_bytes()[..3]);
        packed.push(octet);
    }
    packed
}

fn captures() -> Vec<(&'static str, Vec<u8>)> {
    let frame = frames::syn(7, frames::DARK, 23);
    let wire = frame.len() as u32;
    let at = [1_700_000_040, 500_000];
    let plain = |order: Order, magic: u32, more: &[u8]| {
        let first = order.record(at, wire, more, &frame);
        let second = order.record([at[0] + 1, 0], 1500, more, &frame[..40]);
        [order.pcap(magic, 1), first, second].concat()
    };
    let micro = plain(LITTLE, 0xa1b2_c3d4, &[]);
    let mut four = micro.clone();
    for second in 2..5 {
        four.extend(LITTLE.record([at[0] + second, 0], wire, &[], &frame));
    }
    let huge = [
        LITTLE.pcap(0xa1b2_c3d4, 1),
        [at[0], 0, 0x7fff_ffff, 0x7fff_ffff]
            .map(u32::to_le_bytes)
            .concat(),
    ];
    let mut back = LITTLE.pcap(0xa1b2_c3d4, 101);
    for second in [9, 3, 0] {
        back.extend(LITTLE.record([second, 0], wire, &[], &frame[14..]));
    }
    let ng = |order: Order| {
        [
            order.section(),
            order.interface(1, 0, &[]),
            order.packet(0, 1_700_000_040_000_000, wire, &frame),
            order.simple_packet(wire, &frame),
        ]
        .concat()
    };
    let nano: &[(u16, &[u8])] = &[(9, &[9]), (14, &[1, 0, 0, 0, 0, 0, 0, 0])];
    let resolutions = [
        LITTLE.section(),
        LITTLE.interface(1, 64, nano),
        LITTLE.interface(276, 0, &[(9, &[0x8a])]),
        LITTLE.packet(0, 1_700_000_040_000_000_000, wire, &frame),
        LITTLE.packet(1, 1_700_000_040 << 10, wire, &frame),
        LITTLE.simple_packet(1500, &frame),
    ];
    let sections = [ng(LITTLE), ng(BIG)].concat();
    let mut unequal = ng(LITTLE);
    let last = unequal.len() - 4;
    unequal[last] ^= 4;
    let foreign_block = [
        LITTLE.section(),
        LITTLE.block(4, &[0; 8]),
        LITTLE.block(5, &[0; 12]),
        LITTLE.interface(1, 0, &[]),
        LITTLE.packet(3, 0, wire, &frame),
    ];
    vec![
        ("empty", Vec::new()),
        ("pcap-little-endian", micro.clone()),
        ("pcap-big-endian", plain(BIG, 0xa1b2_c3d4, &[])),
        ("pcap-nanoseconds", plain(LITTLE, 0xa1b2_3c4d, &[])),
        ("pcap-kuznetzov", plain(LITTLE, 0xa1b2_cd34, &[0; 8])),
        ("pcap-header-only", LITTLE.pcap(0xa1b2_c3d4, 1)),
        ("pcap-foreign-link-type", LITTLE.pcap(0xa1b2_c3d4, 147)),
        ("pcap-cut-in-record", micro[..micro.len() - 7].to_vec()),
        ("pcap-cut-in-header", micro[..13].to_vec()),
        ("pcap-record-of-2-gib", huge.concat()),
        ("pcap-time-steps-back", back),
        ("pcapng-little-endian", ng(LITTLE)),
        ("pcapng-big-endian", ng(BIG)),
        ("pcapng-resolutions-and-offset", resolutions.concat()),
        ("pcapng-two-sections", sections),
        ("pcapng-lengths-disagree", unequal),
        ("pcapng-interface-not-described", foreign_block.concat()),
        ("gzip", gzip(&micro)),
        (
            "gzip-two-members",
            [gzip(&micro[..100]), gzip(&micro[100..])].concat(),
        ),
        ("gzip-cut", gzip(&micro)[..90].to_vec()),
        ("gzip-pcapng", gzip(&ng(BIG))),
        ("zstd", zstd(&four)),
        ("zstd-cut", zstd(&four)[..200].to_vec()),
        (
            "zstd-of-empty-records",
            zstd_repeated(&LITTLE.pcap(0xa1b2_c3d4, 1), 0, 1),
        ),
        ("neither", b"GIF89a, and no capture".to_vec()),
    ]
}
