//! Fragments, other protocols, and headers with impossible lengths.

use super::address::Source;
use super::frame::{IPV4_HEADER_BYTES, Ipv4, MORE_FRAGMENTS};
use super::maker::{Maker, PlannedCell};
use super::plan::{Class, PlannedFrame, protocol};
use super::probe::{Drawn, Probe, Tool};
use super::tcp::{TCP_HEADER_BYTES, Tcp, UDP_HEADER_BYTES, flags};

/// Ways in which [`Maker::malformed`] breaks a packet.
#[derive(Clone, Copy, Debug)]
enum Breakage {
    HeaderLengthBelow5,
    TotalLengthZero,
    TotalLengthBelowHeader,
    TotalLengthBeyondFrame,
    TcpBeforePorts,
    TcpBeforeFlags,
    TcpHeaderCut,
    TcpOffsetBelow5,
    UdpHeaderCut,
    UdpLengthBelow8,
    UdpLengthBeyondEnd,
}

const BREAKAGES: [Breakage; 11] = [
    Breakage::HeaderLengthBelow5,
    Breakage::TotalLengthZero,
    Breakage::TotalLengthBelowHeader,
    Breakage::TotalLengthBeyondFrame,
    Breakage::TcpBeforePorts,
    Breakage::TcpBeforeFlags,
    Breakage::TcpHeaderCut,
    Breakage::TcpOffsetBelow5,
    Breakage::UdpHeaderCut,
    Breakage::UdpLengthBelow8,
    Breakage::UdpLengthBeyondEnd,
];

/// GRE, IPv6 in IPv4, SCTP, ESP, AH, IP in IP, PIM, UDP-Lite, and one reserved for experiments.
const PROTOCOLS: [(u8, u32); 9] = [
    (47, 30),
    (41, 20),
    (132, 15),
    (50, 10),
    (51, 5),
    (4, 10),
    (103, 3),
    (136, 3),
    (253, 4),
];

/// Where SYNs go whose TCP header is cut behind its flags. Such a SYN has a row of the flow table
/// and is no part of what must be constant there, so nothing else of its source has that row.
const CUT_PORT: u16 = 445;

impl Maker<'_> {
    pub(super) fn other_protocol(&mut self, source: Source) -> PlannedFrame {
        let number = self.random.weighted(&PROTOCOLS);
        let destination = self.targets.dark4(&mut self.random);
        let (id, length) = (self.random.word16(), self.random.between(8, 60));
        let header = self.header(source, destination, number, id);
        self.random_payload(length);
        std::mem::swap(&mut self.part, &mut self.payload);
        let cell = PlannedCell::new(number, Class::Other, None);
        PlannedFrame::Dark(self.send(source, &header, cell))
    }

    /// Half of them first fragments, which have ports, half later ones, which have none.
    pub(super) fn fragment(&mut self, source: Source) -> PlannedFrame {
        let destination = self.targets.dark4(&mut self.random);
        let port = self.random.pick(&[80, 443, 53, 5060]);
        let drawn = Tool::Plain.draw(&mut self.random, destination, port);
        let id = drawn.id;
        match self.random.below(4) {
            0 => {
                let mut header = self.header(source, destination, protocol::TCP, id);
                header.fragment = MORE_FRAGMENTS;
                let probe = self.syn_part(&header, port, drawn, None);
                // Fragments but the last have a multiple of eight octets.
                self.part.extend([0; 4]);
                let cell = PlannedCell::new(protocol::TCP, Class::Scan, Some(port));
                PlannedFrame::Dark(self.send(source, &header, cell).with_probe(probe))
            }
            1 => {
                let mut header = self.header(source, destination, protocol::UDP, id);
                header.fragment = MORE_FRAGMENTS;
                let octets = self.random.between(5, 180) * 8;
                self.random_payload(octets);
                let from = self.ephemeral_port();
                self.udp(&header, (from, port), None);
                let cell = PlannedCell::new(protocol::UDP, Class::Scan, Some(port));
                PlannedFrame::Dark(self.send(source, &header, cell))
            }
            _ => {
                let number = self
                    .random
                    .pick(&[protocol::TCP, protocol::UDP, protocol::ICMP]);
                let mut header = self.header(source, destination, number, id);
                let more = if self.random.permille(500) {
                    MORE_FRAGMENTS
                } else {
                    0
                };
                header.fragment = more | self.random.between(1, 180);
                let octets = self.random.between(1, 180) * 8;
                self.random_payload(octets);
                std::mem::swap(&mut self.part, &mut self.payload);
                let cell = PlannedCell::new(number, Class::Other, None);
                PlannedFrame::Dark(self.send(source, &header, cell))
            }
        }
    }

    fn syn_part(
        &mut self,
        header: &Ipv4,
        port: u16,
        drawn: Drawn,
        offset_words: Option<u8>,
    ) -> Probe {
        let tcp = Tcp {
            source_port: drawn.source_port,
            destination_port: port,
            sequence: drawn.sequence,
            acknowledgement: 0,
            flags: flags::SYN,
            window: 1024,
            offset_words,
        };
        self.tcp(header, &tcp, &[]);
        Probe::new(Tool::Plain, header, &tcp)
    }

    pub(super) fn malformed(&mut self, source: Source) -> PlannedFrame {
        let mut breakage = self.random.pick(&BREAKAGES);
        if self.shared && matches!(breakage, Breakage::TcpHeaderCut) {
            breakage = Breakage::TcpBeforeFlags;
        }
        match breakage {
            Breakage::UdpHeaderCut | Breakage::UdpLengthBelow8 | Breakage::UdpLengthBeyondEnd => {
                self.malformed_udp(source, breakage)
            }
            _ => self.malformed_tcp(source, breakage),
        }
    }

    fn malformed_tcp(&mut self, source: Source, breakage: Breakage) -> PlannedFrame {
        let destination = self.targets.dark4(&mut self.random);
        let port = if matches!(breakage, Breakage::TcpHeaderCut) {
            CUT_PORT
        } else {
            self.random.pick(&[22, 23, 80, 443, 8080])
        };
        let drawn = Tool::Plain.draw(&mut self.random, destination, port);
        let mut header = self.header(source, destination, protocol::TCP, drawn.id);
        let scan = PlannedCell::new(protocol::TCP, Class::Scan, Some(port));
        let other = PlannedCell::new(protocol::TCP, Class::Other, None);
        let header_bytes = IPV4_HEADER_BYTES as u16;
        let mut offset_words = None;
        let cell = match breakage {
            Breakage::HeaderLengthBelow5 => {
                header.header_words = self.random.below(5) as u8;
                other.with_error(("ipv4", "ihl_below_5"))
            }
            // With a useless total length, the packet ends where the frame ends.
            Breakage::TotalLengthZero => {
                header.total = Some(0);
                scan.with_error(("ipv4", "length_below_header"))
            }
            Breakage::TotalLengthBelowHeader => {
                header.total = Some(self.random.between(1, header_bytes - 1));
                scan.with_error(("ipv4", "length_below_header"))
            }
            Breakage::TotalLengthBeyondFrame => {
                header.total = Some(self.random.between(576, 1500));
                scan.with_error(("ipv4", "length_beyond_frame"))
            }
            Breakage::TcpBeforePorts => {
                header.total = Some(header_bytes + self.random.between(0, 3));
                other.with_error(("tcp", "cut_before_ports"))
            }
            Breakage::TcpBeforeFlags => {
                header.total = Some(header_bytes + self.random.between(4, 13));
                let cell = PlannedCell::new(protocol::TCP, Class::Other, Some(port));
                cell.with_error(("tcp", "cut_before_flags"))
            }
            Breakage::TcpHeaderCut => {
                let last = TCP_HEADER_BYTES as u16 - 1;
                header.total = Some(header_bytes + self.random.between(14, last));
                scan.with_error(("tcp", "header_cut"))
            }
            _ => {
                offset_words = Some(self.random.below(5) as u8);
                scan.with_error(("tcp", "data_offset_below_5"))
            }
        };
        let probe = self.syn_part(&header, port, drawn, offset_words);
        let dark = self.send(source, &header, cell);
        PlannedFrame::Dark(match breakage {
            Breakage::TotalLengthZero
            | Breakage::TotalLengthBelowHeader
            | Breakage::TotalLengthBeyondFrame
            | Breakage::TcpOffsetBelow5 => dark.with_probe(probe),
            _ => dark,
        })
    }

    fn malformed_udp(&mut self, source: Source, breakage: Breakage) -> PlannedFrame {
        let destination = self.targets.dark4(&mut self.random);
        let port = self.random.pick(&[53, 123, 1900, 5060]);
        let (id, from) = (self.random.word16(), self.ephemeral_port());
        let mut header = self.header(source, destination, protocol::UDP, id);
        self.random_payload(20);
        let right = UDP_HEADER_BYTES as u16 + 20;
        let (length, reason) = match breakage {
            Breakage::UdpHeaderCut => {
                header.total = Some(IPV4_HEADER_BYTES as u16 + self.random.between(4, 7));
                (right, "header_cut")
            }
            Breakage::UdpLengthBelow8 => (self.random.between(0, 7), "length_below_8"),
            _ => (self.random.between(right + 1, 1480), "length_beyond_end"),
        };
        self.udp(&header, (from, port), Some(length));
        let cell =
            PlannedCell::new(protocol::UDP, Class::Scan, Some(port)).with_error(("udp", reason));
        PlannedFrame::Dark(self.send(source, &header, cell))
    }
}
