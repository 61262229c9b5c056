//! Scans other than SYNs over IPv4: odd TCP flags, UDP probes, and what comes over IPv6.

use super::address::Source;
use super::frame::{Ipv6, pseudo6, seal};
use super::maker::{Maker, PlannedCell, dark6};
use super::plan::{Class, PlannedFrame, protocol};
use super::probe::{Drawn, Tool};
use super::tcp::{TCP_CHECKSUM_AT, Tcp, UDP_CHECKSUM_AT, flags, write_tcp, write_udp};

/// UDP services that are looked for: port, least and most octets of the probe, weight.
const UDP_PORTS: [(u16, u16, u16, u32); 12] = [
    (53, 17, 60, 20),
    (123, 8, 192, 16),
    (161, 40, 61, 14),
    (1900, 85, 101, 14),
    (5060, 380, 440, 14),
    (389, 39, 52, 8),
    (11211, 15, 15, 6),
    (3702, 4, 600, 4),
    (137, 50, 50, 4),
    (500, 64, 408, 3),
    (1434, 1, 1, 2),
    (6881, 60, 110, 5),
];

impl Maker<'_> {
    /// FIN, NULL, Xmas and their like, which go to whatever port.
    pub(super) fn odd_flags(&mut self, source: Source) -> PlannedFrame {
        let odd = self.random.pick(&[
            0,
            flags::FIN,
            flags::FIN | flags::PSH | flags::URG,
            flags::SYN | flags::FIN,
            flags::ACK,
            flags::PSH | flags::ACK,
            flags::FIN | flags::ACK,
        ]);
        let destination = self.targets.dark4(&mut self.random);
        let port = self.tcp_port();
        let Drawn { id, sequence, .. } = Tool::Plain.draw(&mut self.random, destination, port);
        let header = self.header(source, destination, protocol::TCP, id);
        let tcp = Tcp {
            source_port: self.ephemeral_port(),
            destination_port: port,
            sequence,
            acknowledgement: 0,
            flags: odd,
            window: 1024,
            offset_words: None,
        };
        self.tcp(&header, &tcp, &[]);
        let cell = PlannedCell::new(protocol::TCP, Class::Other, Some(port));
        PlannedFrame::Dark(self.send(source, &header, cell))
    }

    pub(super) fn udp_probe(&mut self, source: Source, ports: (u16, u16)) -> PlannedFrame {
        let destination = self.targets.dark4(&mut self.random);
        let id = self.random.word16();
        let header = self.header(source, destination, protocol::UDP, id);
        self.udp(&header, ports, None);
        let cell = PlannedCell::new(protocol::UDP, Class::Scan, Some(ports.1));
        PlannedFrame::Dark(self.send(source, &header, cell))
    }

    pub(super) fn udp_53413(&mut self, source: Source) -> PlannedFrame {
        let length = self.random.between(10, 120);
        self.random_payload(length);
        let from = self.ephemeral_port();
        self.udp_probe(source, (from, 53_413))
    }

    pub(super) fn udp_scan(&mut self, source: Source) -> PlannedFrame {
        if self.random.permille(15) {
            return self.short_of_an_answer(source);
        }
        let (port, length) = if self.random.permille(150) {
            (self.random.between(1, 65_535), self.random.between(0, 64))
        } else {
            let services =
                UDP_PORTS.map(|(port, least, most, weight)| ((port, least, most), weight));
            let (port, least, most) = self.random.weighted(&services);
            (port, self.random.between(least, most))
        };
        self.random_payload(length);
        if port == 53
            && let Some(bits) = self.payload.get_mut(2)
        {
            // A query: the response bit is clear.
            *bits &= 0x7f;
        }
        let from = self.ephemeral_port();
        self.udp_probe(source, (from, port))
    }

    /// From the port of DNS, and yet no answer: a query, or too short for the response bit.
    fn short_of_an_answer(&mut self, source: Source) -> PlannedFrame {
        let query = self.random.permille(500);
        let length = if query {
            self.random.between(17, 60)
        } else {
            self.random.between(0, 2)
        };
        self.random_payload(length);
        if let Some(bits) = self.payload.get_mut(2) {
            *bits &= 0x7f;
        }
        self.udp_probe(source, (53, 53))
    }

    /// SYNs (some behind an extension header), UDP probes and echo requests.
    pub(super) fn ipv6(&mut self, source: Source) -> PlannedFrame {
        let destination = self.targets.dark6(&mut self.random);
        let mut header = Ipv6 {
            source: self.addresses.source6(source),
            destination,
            next: protocol::TCP,
            hops: 64 - (source.habit % 30) as u8,
        };
        let port = match self.random.below(10) {
            0 | 1 => {
                let length = self.random.between(8, 60);
                self.random_payload(length);
                header.next = protocol::UDP;
                let port = self.random.pick(&[53, 123, 161, 443, 500]);
                let from = self.ephemeral_port();
                if let Some(bits) = self.payload.get_mut(2) {
                    *bits &= 0x7f;
                }
                write_udp(&mut self.part, (from, port), &self.payload, None);
                port
            }
            2..=4 => {
                header.next = protocol::ICMPV6;
                let (id, number) = (self.random.word16(), self.random.word16());
                self.part.clear();
                self.part.extend([128, 0, 0, 0]);
                self.part.extend(id.to_be_bytes());
                self.part.extend(number.to_be_bytes());
                self.part.extend([0x5a; 8]);
                128 << 8
            }
            _ => {
                let port = self.tcp_port();
                self.syn6(port);
                port
            }
        };
        let last = header.next;
        let at = match last {
            protocol::UDP => UDP_CHECKSUM_AT,
            protocol::ICMPV6 => 2,
            _ => TCP_CHECKSUM_AT,
        };
        let pseudo = pseudo6(header.source, destination, last, self.part.len());
        seal(&mut self.part, at, pseudo);
        if last == protocol::TCP && self.random.permille(100) {
            // Destination options: eight octets that hold only padding.
            self.part.splice(..0, [last, 0, 1, 4, 0, 0, 0, 0]);
            header.next = 60;
        }
        let bytes = self.frame.ipv6(&header, &self.part);
        let cell = PlannedCell::new(last, Class::Scan, Some(port));
        PlannedFrame::Dark(dark6(source, cell, bytes))
    }

    fn syn6(&mut self, port: u16) {
        let tcp = Tcp {
            source_port: self.random.between(1024, 65_535),
            destination_port: port,
            sequence: self.random.word32(),
            acknowledgement: 0,
            flags: flags::SYN,
            window: 65_535,
            offset_words: None,
        };
        write_tcp(&mut self.part, &tcp, &[]);
    }

    /// An IPv6 packet to somewhere else.
    pub(super) fn outside6(&mut self, source: Source) -> PlannedFrame {
        let Some(destination) = self.targets.outside6(&mut self.random) else {
            return self.too_many_tags(source);
        };
        let header = Ipv6 {
            source: self.addresses.source6(source),
            destination,
            next: protocol::TCP,
            hops: 60,
        };
        let port = self.tcp_port();
        self.syn6(port);
        let pseudo = pseudo6(header.source, destination, protocol::TCP, self.part.len());
        seal(&mut self.part, TCP_CHECKSUM_AT, pseudo);
        self.frame.ipv6(&header, &self.part);
        PlannedFrame::Passed
    }
}
