//! Frames made here, and captures of them.

use std::net::Ipv4Addr;
use std::path::Path;

use noctule_capture::file::CaptureReader;
use noctule_packet::link::LinkType;
use noctule_synth::PcapWriter;

use crate::layers::Captured;

/// Octets of an Ethernet header.
const ETHERNET_BYTES: usize = 14;

/// The address in the darknet that [`syn`] knocks at, unless another is asked for.
pub const DARK: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// The prefix that [`DARK`] lies in.
pub const DARK_PREFIX: &str = "198.18.0.0/15";

/// Destination and source of an Ethernet frame.
pub const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// An Ethernet frame of these octets from its first EtherType on.
pub fn ethernet(behind: &[&[u8]]) -> Vec<u8> {
    [&ADDRESSES[..], &behind.concat()].concat()
}

/// A TCP SYN in an Ethernet frame, 54 octets. `number` varies source address and source port, so
/// that frames spread over RX queues.
pub fn syn(number: u32, destination: Ipv4Addr, port: u16) -> Vec<u8> {
    let source = Ipv4Addr::from(0x0b00_0000 | number & 0x00ff_ffff);
    let mut datagram = vec![0x45, 0, 0, 40];
    datagram.extend((number as u16).to_be_bytes());
    datagram.extend([0x40, 0, 64, 6, 0, 0]);
    datagram.extend(source.octets());
    datagram.extend(destination.octets());
    let sum = checksum(&datagram);
    datagram[10..12].copy_from_slice(&sum.to_be_bytes());
    datagram.extend((1024 | number as u16).to_be_bytes());
    datagram.extend(port.to_be_bytes());
    datagram.extend(number.rotate_left(16).to_be_bytes());
    datagram.extend([0; 4]);
    datagram.extend([0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    with_ethernet(&datagram)
}

/// The Internet checksum of an even number of octets.
pub fn checksum(octets: &[u8]) -> u16 {
    let words = octets.chunks_exact(2);
    let mut sum: u32 = words
        .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An IP datagram as an Ethernet frame between two made-up stations.
///
/// # Panics
/// It is neither IPv4 nor IPv6.
pub fn with_ethernet(datagram: &[u8]) -> Vec<u8> {
    let ethertype: u16 = match datagram.first().map(|octet| octet >> 4) {
        Some(4) => 0x0800,
        Some(6) => 0x86dd,
        other => panic!("a datagram of IP version {other:?}"),
    };
    let mut frame = Vec::with_capacity(ETHERNET_BYTES + datagram.len());
    frame.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
    frame.extend(ethertype.to_be_bytes());
    frame.extend(datagram);
    frame
}

/// A record of a capture.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Microseconds since 1970.
    pub time_us: i64,
    /// How it begins.
    pub link: LinkType,
    /// All octets of it.
    pub octets: Vec<u8>,
}

/// Every record of a capture whose records are whole.
///
/// # Panics
/// The capture cannot be read to its end, a record was cut when it was captured, or its link
/// type is foreign.
pub fn read(capture: &Path) -> Vec<Frame> {
    let mut reader = CaptureReader::open(capture).unwrap_or_else(|error| panic!("{error}"));
    let mut frames = Vec::new();
    while let Some(record) = reader.next().unwrap_or_else(|error| panic!("{error}")) {
        assert_eq!(
            record.bytes.len(),
            record.wire_bytes as usize,
            "a record of {} is shorter than the frame was",
            capture.display()
        );
        frames.push(Frame {
            time_us: record.time_us,
            link: record.link.expect("a link type that is read"),
            octets: record.bytes.to_vec(),
        });
    }
    frames
}

/// The records of a capture as they would cross an Ethernet cable.
///
/// # Panics
/// As [`read`], or the link type is neither Ethernet nor raw IP.
pub fn for_ethernet(capture: &Path) -> Vec<Vec<u8>> {
    let frames = read(capture).into_iter();
    frames
        .map(|frame| match frame.link {
            LinkType::Ethernet => frame.octets,
            LinkType::RawIp => with_ethernet(&frame.octets),
            other => panic!("{other:?} frames cannot be sent over Ethernet"),
        })
        .collect()
}

/// Writes a capture of records that all begin alike.
///
/// # Panics
/// It cannot be written.
pub fn write<'f>(capture: &Path, frames: impl IntoIterator<Item = &'f Frame>) {
    let mut frames = frames.into_iter().peekable();
    let link = frames.peek().map_or(LinkType::Ethernet, |frame| frame.link);
    let mut writer = PcapWriter::create(capture, link).unwrap_or_else(|error| panic!("{error}"));
    for frame in frames {
        assert_eq!(frame.link, link, "one capture, one link type");
        (writer.write(frame.time_us, &frame.octets)).unwrap_or_else(|error| panic!("{error}"));
    }
    writer.finish().unwrap_or_else(|error| panic!("{error}"));
}

/// Writes a capture of frames that may have been cut when they were captured, a millisecond
/// apart; `link` is the number that the capture states.
///
/// # Panics
/// It cannot be written.
pub fn write_captured<'f>(
    capture: &Path,
    link: u32,
    frames: impl IntoIterator<Item = &'f Captured>,
) {
    let mut octets = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 1 << 18, link]
        .map(u32::to_le_bytes)
        .concat();
    for (frame, millisecond) in frames.into_iter().zip(0u32..) {
        let seconds = 1_700_000_040 + millisecond / 1000;
        let lengths = [frame.octets.len(), frame.wire_bytes].map(|length| length as u32);
        let head = [seconds, millisecond % 1000 * 1000, lengths[0], lengths[1]];
        octets.extend(head.map(u32::to_le_bytes).concat());
        octets.extend(&frame.octets);
    }
    std::fs::write(capture, octets).expect("room for a file");
}

/// Writes a capture of one frame of the link type with this number into a folder; returns its path.
///
/// # Panics
/// It cannot be written, or the path is not UTF-8.
pub fn write_one(folder: &Path, link: u32, octets: Vec<u8>) -> String {
    let path = folder.join(format!("{link}.pcap"));
    let wire_bytes = octets.len();
    let frame = Captured {
        link,
        octets,
        wire_bytes,
    };
    write_captured(&path, link, [&frame]);
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Writes a capture of [`syn`]s to port 23, one at each of these seconds since 1970.
///
/// # Panics
/// It cannot be written.
pub fn write_syns(capture: &Path, seconds: &[i64]) {
    let frames: Vec<Frame> = (seconds.iter().zip(0..))
        .map(|(second, number)| Frame {
            time_us: second * 1_000_000,
            link: LinkType::Ethernet,
            octets: syn(number, DARK, 23),
        })
        .collect();
    write(capture, &frames);
}
