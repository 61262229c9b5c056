//! Scans: SYNs of every kind, UDP probes, and what comes over IPv6.

use noctule_abi::{ETHERTYPE_QINQ, ETHERTYPE_QINQ_OLD, ETHERTYPE_VLAN, MAX_VLAN_TAGS};

use super::address::Source;
use super::frame::{Ipv4, Ipv6, pseudo6, seal};
use super::maker::{Cell, Maker};
use super::plan::{Class, Dark, Fingerprint, Plan, protocol};
use super::tcp::{
    Style, TCP_CHECKSUM_AT, Tcp, UDP_CHECKSUM_AT, constant_id, flags, id_and_sequence, write_tcp,
    write_udp,
};

/// What scanners look for, by weight; the rest of [`PORT_TAIL`] goes to any port at all.
const TCP_PORTS: [(u16, u32); 28] = [
    (23, 110),
    (22, 75),
    (445, 50),
    (80, 48),
    (443, 46),
    (8080, 42),
    (3389, 38),
    (2323, 16),
    (1433, 20),
    (5555, 20),
    (6379, 16),
    (8443, 15),
    (81, 13),
    (5900, 11),
    (3306, 12),
    (7547, 9),
    (5432, 8),
    (8728, 8),
    (21, 8),
    (25, 7),
    (2375, 7),
    (9200, 6),
    (37215, 6),
    (8081, 10),
    (8888, 9),
    (52869, 4),
    (60023, 4),
    (5060, 5),
];

/// How many of a thousand scans go to a port outside the list.
const PORT_TAIL: u64 = 380;

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

/// Options that Linux sends with a SYN: MSS, SACK, timestamps, no-operation, window scale.
const LINUX_OPTIONS: [u8; 20] = [
    2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0x12, 0xd6, 0x87, 0, 0, 0, 0, 1, 3, 3, 7,
];

impl Maker<'_> {
    fn tcp_port(&mut self) -> u16 {
        if self.dice.permille(PORT_TAIL) {
            self.dice.word16()
        } else {
            self.dice.weighted(&TCP_PORTS)
        }
    }

    fn telnet_port(&mut self) -> u16 {
        // The original bot tries 2323 once in ten times.
        if self.dice.permille(100) { 2323 } else { 23 }
    }

    /// A SYN in a certain style, behind any tags.
    fn syn(&mut self, source: Source, tags: &[u16], style: Style, port: u16) -> Dark {
        let destination = self.targets.dark4(&mut self.dice);
        let (id, sequence) = id_and_sequence(&mut self.dice, style, destination, port);
        let mut header = self.header(source, destination, protocol::TCP, id);
        let (window, options): (u16, &[u8]) = match style {
            Style::Rule(Fingerprint::Zmap) => (65_535, &[]),
            Style::Rule(Fingerprint::Masscan) => (1024, &[]),
            Style::Rule(Fingerprint::Mirai) | Style::ConstantId(_) => (self.dice.word16(), &[]),
            Style::Plain if source.habit & 0x300 == 0 => (64_240, &LINUX_OPTIONS),
            Style::Plain => (1024, &LINUX_OPTIONS[..4]),
        };
        if style != Style::Plain {
            header.fragment = 0;
        }
        let tcp = Tcp {
            source_port: self.dice.between(1024, 65_535),
            destination_port: port,
            sequence,
            acknowledgement: 0,
            flags: flags::SYN,
            window,
            offset_words: None,
        };
        self.tcp(&header, &tcp, options);
        let bytes = self.frame.ipv4(tags, &header, &self.part);
        let cell = Cell::new(protocol::TCP, Class::Scan, Some(port));
        let mut dark = super::maker::dark4(source, cell, bytes);
        if let Style::Rule(rule) = style {
            dark.fingerprint = Some(rule);
        }
        dark
    }

    pub(super) fn mirai(&mut self, source: Source) -> Plan {
        let port = self.telnet_port();
        Plan::Dark(self.syn(source, &[], Style::Rule(Fingerprint::Mirai), port))
    }

    /// As in a real capture of 2020: 40 octets in all, and a data offset of 24.
    pub(super) fn mirai_bad_offset(&mut self, source: Source) -> Plan {
        let port = self.telnet_port();
        let destination = self.targets.dark4(&mut self.dice);
        let style = Style::Rule(Fingerprint::Mirai);
        let (id, sequence) = id_and_sequence(&mut self.dice, style, destination, port);
        let header = self.header(source, destination, protocol::TCP, id);
        let tcp = Tcp {
            source_port: self.dice.between(1024, 65_535),
            destination_port: port,
            sequence,
            acknowledgement: 0,
            flags: flags::SYN,
            window: self.dice.word16(),
            offset_words: Some(6),
        };
        self.tcp(&header, &tcp, &[]);
        let cell = Cell::new(protocol::TCP, Class::Scan, Some(port))
            .with_error(("tcp", "data_offset_beyond_end"));
        let mut dark = self.send(source, &header, cell);
        dark.fingerprint = Some(Fingerprint::Mirai);
        Plan::Dark(dark)
    }

    pub(super) fn mirai_constant_id(&mut self, source: Source) -> Plan {
        let port = self.telnet_port();
        let style = Style::ConstantId(constant_id(source.habit));
        Plan::Dark(self.syn(source, &[], style, port))
    }

    pub(super) fn zmap(&mut self, source: Source) -> Plan {
        let port = self.tcp_port();
        Plan::Dark(self.syn(source, &[], Style::Rule(Fingerprint::Zmap), port))
    }

    pub(super) fn masscan(&mut self, source: Source) -> Plan {
        let port = self.tcp_port();
        Plan::Dark(self.syn(source, &[], Style::Rule(Fingerprint::Masscan), port))
    }

    pub(super) fn syn_scan(&mut self, source: Source) -> Plan {
        let port = self.tcp_port();
        Plan::Dark(self.syn(source, &[], Style::Plain, port))
    }

    pub(super) fn vlan(&mut self, source: Source) -> Plan {
        let tags: &[u16] = match self.dice.below(4) {
            0 | 1 => &[ETHERTYPE_VLAN],
            2 => &[ETHERTYPE_QINQ, ETHERTYPE_VLAN],
            _ => &[ETHERTYPE_QINQ_OLD, ETHERTYPE_VLAN],
        };
        let port = self.tcp_port();
        Plan::Dark(self.syn(source, tags, Style::Plain, port))
    }

    /// A dark packet behind one tag more than is read: passed.
    pub(super) fn too_many_tags(&mut self, source: Source) -> Plan {
        let destination = self.targets.dark4(&mut self.dice);
        let id = self.dice.word16();
        let header = self.header(source, destination, protocol::TCP, id);
        self.plain_syn(source, &header, &[ETHERTYPE_VLAN; MAX_VLAN_TAGS + 1]);
        Plan::Passed
    }

    /// A SYN of which nothing is counted.
    pub(super) fn plain_syn(&mut self, source: Source, header: &Ipv4, tags: &[u16]) {
        let tcp = Tcp {
            source_port: (source.habit >> 16) as u16,
            destination_port: self.tcp_port(),
            sequence: self.dice.word32(),
            acknowledgement: 0,
            flags: flags::SYN,
            window: 1024,
            offset_words: None,
        };
        self.tcp(header, &tcp, &[]);
        self.frame.ipv4(tags, header, &self.part);
    }

    /// FIN, NULL, Xmas and their like, which go to whatever port.
    pub(super) fn odd_flags(&mut self, source: Source) -> Plan {
        let odd = self.dice.pick(&[
            0,
            flags::FIN,
            flags::FIN | flags::PSH | flags::URG,
            flags::SYN | flags::FIN,
            flags::ACK,
            flags::PSH | flags::ACK,
            flags::FIN | flags::ACK,
        ]);
        let destination = self.targets.dark4(&mut self.dice);
        let port = self.tcp_port();
        let (id, sequence) = id_and_sequence(&mut self.dice, Style::Plain, destination, port);
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
        let cell = Cell::new(protocol::TCP, Class::Other, Some(port));
        Plan::Dark(self.send(source, &header, cell))
    }

    fn udp_probe(&mut self, source: Source, ports: (u16, u16)) -> Plan {
        let destination = self.targets.dark4(&mut self.dice);
        let id = self.dice.word16();
        let header = self.header(source, destination, protocol::UDP, id);
        self.udp(&header, ports, None);
        let cell = Cell::new(protocol::UDP, Class::Scan, Some(ports.1));
        Plan::Dark(self.send(source, &header, cell))
    }

    pub(super) fn udp_53413(&mut self, source: Source) -> Plan {
        let length = self.dice.between(10, 120);
        self.random_payload(length);
        let from = self.ephemeral_port();
        self.udp_probe(source, (from, 53_413))
    }

    pub(super) fn udp_scan(&mut self, source: Source) -> Plan {
        if self.dice.permille(15) {
            return self.short_of_an_answer(source);
        }
        let (port, length) = if self.dice.permille(150) {
            (self.dice.between(1, 65_535), self.dice.between(0, 64))
        } else {
            let services =
                UDP_PORTS.map(|(port, least, most, weight)| ((port, least, most), weight));
            let (port, least, most) = self.dice.weighted(&services);
            (port, self.dice.between(least, most))
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
    fn short_of_an_answer(&mut self, source: Source) -> Plan {
        let query = self.dice.permille(500);
        let length = if query {
            self.dice.between(17, 60)
        } else {
            self.dice.between(0, 2)
        };
        self.random_payload(length);
        if let Some(bits) = self.payload.get_mut(2) {
            *bits &= 0x7f;
        }
        self.udp_probe(source, (53, 53))
    }

    /// SYNs (some behind an extension header), UDP probes and echo requests.
    pub(super) fn ipv6(&mut self, source: Source) -> Plan {
        let destination = self.targets.dark6(&mut self.dice);
        let mut header = Ipv6 {
            source: self.addresses.address6(source.index),
            destination,
            next: protocol::TCP,
            hops: 64 - (source.habit % 30) as u8,
        };
        let port = match self.dice.below(10) {
            0 | 1 => {
                let length = self.dice.between(8, 60);
                self.random_payload(length);
                header.next = protocol::UDP;
                let port = self.dice.pick(&[53, 123, 161, 443, 500]);
                let from = self.ephemeral_port();
                if let Some(bits) = self.payload.get_mut(2) {
                    *bits &= 0x7f;
                }
                write_udp(&mut self.part, (from, port), &self.payload, None);
                port
            }
            2..=4 => {
                header.next = protocol::ICMPV6;
                let (id, number) = (self.dice.word16(), self.dice.word16());
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
        if last == protocol::TCP && self.dice.permille(100) {
            // Destination options: eight octets that hold only padding.
            self.part.splice(..0, [last, 0, 1, 4, 0, 0, 0, 0]);
            header.next = 60;
        }
        let bytes = self.frame.ipv6(&header, &self.part);
        let cell = Cell::new(last, Class::Scan, Some(port));
        let dark = super::maker::dark4(source, cell, bytes);
        Plan::Dark(Dark { six: true, ..dark })
    }

    fn syn6(&mut self, port: u16) {
        let tcp = Tcp {
            source_port: self.dice.between(1024, 65_535),
            destination_port: port,
            sequence: self.dice.word32(),
            acknowledgement: 0,
            flags: flags::SYN,
            window: 65_535,
            offset_words: None,
        };
        write_tcp(&mut self.part, &tcp, &[]);
    }

    /// An IPv6 packet to somewhere else.
    pub(super) fn outside6(&mut self, source: Source) -> Plan {
        let Some(destination) = self.targets.outside6(&mut self.dice) else {
            return self.too_many_tags(source);
        };
        let header = Ipv6 {
            source: self.addresses.address6(source.index),
            destination,
            next: protocol::TCP,
            hops: 60,
        };
        let port = self.tcp_port();
        self.syn6(port);
        let pseudo = pseudo6(header.source, destination, protocol::TCP, self.part.len());
        seal(&mut self.part, TCP_CHECKSUM_AT, pseudo);
        self.frame.ipv6(&header, &self.part);
        Plan::Passed
    }
}
