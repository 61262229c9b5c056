//! Makes one frame after another: the tools that all components share.

use super::address::{Addresses, Source};
use super::frame::{DONT_FRAGMENT, FrameBuilder, Ipv4, pseudo4, seal};
use super::plan::{Class, Dark, HeaderError, Sender};
use super::random::Random;
use super::target::Targets;
use super::tcp::{TCP_CHECKSUM_AT, Tcp, UDP_CHECKSUM_AT, write_tcp, write_udp};

/// Everything that a frame is made from.
pub(super) struct Maker<'a> {
    pub random: Random,
    pub addresses: &'a Addresses,
    pub targets: &'a Targets,
    pub frame: FrameBuilder,
    /// The layer-4 part under construction.
    pub part: Vec<u8>,
    /// What it carries.
    pub payload: Vec<u8>,
    /// The sources belong to other components as well.
    pub shared: bool,
}

/// The truth about a packet's cell, beside its addresses and octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlannedCell {
    pub protocol: u8,
    pub class: Class,
    pub port: Option<u16>,
    pub error: Option<HeaderError>,
}

impl PlannedCell {
    pub fn new(protocol: u8, class: Class, port: Option<u16>) -> Self {
        Self {
            protocol,
            class,
            port,
            error: None,
        }
    }

    pub fn with_error(self, error: HeaderError) -> Self {
        Self {
            error: Some(error),
            ..self
        }
    }
}

impl<'a> Maker<'a> {
    pub fn new(random: Random, addresses: &'a Addresses, targets: &'a Targets) -> Self {
        Self {
            random,
            addresses,
            targets,
            frame: FrameBuilder::default(),
            part: Vec::new(),
            payload: Vec::new(),
            shared: false,
        }
    }

    /// An IPv4 header from this source, with its own distance and nothing out of order.
    pub fn header(&self, source: Source, destination: u32, protocol: u8, id: u16) -> Ipv4 {
        let start: u8 = match source.habit & 3 {
            0 => 128,
            1 => 255,
            _ => 64,
        };
        Ipv4 {
            source: self.addresses.source4(source),
            destination,
            protocol,
            id,
            ttl: start - 5 - (source.habit >> 2) as u8 % 24,
            fragment: DONT_FRAGMENT,
            header_words: 5,
            total: None,
        }
    }

    /// A source port above 49,151, and below any that a service is known for up there.
    pub fn ephemeral_port(&mut self) -> u16 {
        self.random.between(49_152, 53_247)
    }

    /// Puts the finished layer-4 part into a frame.
    pub fn send(&mut self, source: Source, header: &Ipv4, cell: PlannedCell) -> Dark {
        let bytes = self.frame.ipv4(&[], header, &self.part);
        dark4(source, cell, bytes)
    }

    /// Writes a TCP part with the right checksum.
    pub fn tcp(&mut self, header: &Ipv4, tcp: &Tcp, options: &[u8]) {
        write_tcp(&mut self.part, tcp, options);
        self.seal4(header, TCP_CHECKSUM_AT);
    }

    /// Writes a UDP part around `payload` with the right checksum.
    pub fn udp(&mut self, header: &Ipv4, ports: (u16, u16), length: Option<u16>) {
        write_udp(&mut self.part, ports, &self.payload, length);
        self.seal4(header, UDP_CHECKSUM_AT);
        // A computed 0 is sent as its other form, because 0 means that the packet has no checksum.
        let at = UDP_CHECKSUM_AT;
        if self.part[at..at + 2] == [0, 0] {
            self.part[at..at + 2].fill(0xff);
        }
    }

    fn seal4(&mut self, header: &Ipv4, at: usize) {
        let pseudo = pseudo4(
            header.source,
            header.destination,
            header.protocol,
            self.part.len(),
        );
        seal(&mut self.part, at, pseudo);
    }

    /// Fills the payload with random octets.
    pub fn random_payload(&mut self, length: u16) {
        self.payload.clear();
        let random = &mut self.random;
        let words = usize::from(length).div_ceil(8);
        self.payload
            .extend((0..words).flat_map(|_| random.word().to_be_bytes()));
        self.payload.truncate(length.into());
    }
}

/// A dark IPv4 packet that is neither a probe nor an error.
pub(super) fn dark4(source: Source, cell: PlannedCell, bytes: u64) -> Dark {
    dark(Sender::four(source), cell, bytes)
}

/// A dark IPv6 packet that is no error.
pub(super) fn dark6(source: Source, cell: PlannedCell, bytes: u64) -> Dark {
    dark(Sender::six(source), cell, bytes)
}

fn dark(sender: Sender, cell: PlannedCell, bytes: u64) -> Dark {
    Dark {
        sender,
        protocol: cell.protocol,
        class: cell.class,
        port: cell.port,
        bytes,
        probe: None,
        quote: None,
        error: cell.error,
    }
}
