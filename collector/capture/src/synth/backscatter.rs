//! Backscatter: what victims and routers send to addresses that were forged.

use super::address::Source;
use super::draw::scramble;
use super::frame::{Frame, IPV4_HEADER_BYTES, Ipv4, seal};
use super::maker::{Cell, Maker};
use super::plan::{Class, Plan, protocol};
use super::tcp::{Style, Tcp, flags, id_and_sequence};
use noctule_abi::ETHERNET_BYTES;

/// Services under attack, by weight.
const VICTIM_PORTS: [(u16, u32); 10] = [
    (80, 40),
    (443, 45),
    (22, 10),
    (25565, 8),
    (53, 6),
    (8080, 5),
    (3389, 4),
    (6667, 2),
    (21, 3),
    (30120, 3),
];

/// ICMP messages: type, code, does it quote what it is about, weight.
const MESSAGES: [(u8, u8, bool, u32); 10] = [
    (8, 0, false, 40),
    (0, 0, false, 10),
    (3, 3, true, 16),
    (3, 1, true, 10),
    (3, 0, true, 3),
    (3, 10, true, 3),
    (3, 13, true, 4),
    (3, 9, true, 1),
    (11, 0, true, 12),
    (11, 1, true, 1),
];

/// Octets behind a quoted header.
const QUOTED_BYTES: usize = 8;

impl Maker<'_> {
    /// A victim has one service, and answers from it.
    fn victim_port(&self, source: Source) -> u16 {
        let total: u32 = VICTIM_PORTS.iter().map(|&(_, weight)| weight).sum();
        let mut left = (source.habit >> 40) as u32 % total;
        for (port, weight) in VICTIM_PORTS {
            if left < weight {
                return port;
            }
            left -= weight;
        }
        VICTIM_PORTS[0].0
    }

    fn tcp_answer(&mut self, source: Source, bits: u8) -> Plan {
        let destination = self.targets.dark4(&mut self.dice);
        let port = self.victim_port(source);
        let forged_port = self.dice.between(1024, 65_535);
        let style = Style::Plain;
        let (id, sequence) = id_and_sequence(&mut self.dice, style, destination, forged_port);
        let header = self.header(source, destination, protocol::TCP, id);
        let tcp = Tcp {
            source_port: port,
            destination_port: forged_port,
            sequence,
            acknowledgement: self.dice.word32(),
            flags: bits,
            window: if bits & flags::RST == 0 { 29_200 } else { 0 },
            offset_words: None,
        };
        let mss = [2, 4, 5, 0xb4];
        let options: &[u8] = if bits & flags::RST == 0 { &mss } else { &[] };
        self.tcp(&header, &tcp, options);
        let cell = Cell::new(protocol::TCP, Class::Backscatter, Some(port));
        Plan::Dark(self.send(source, &header, cell))
    }

    pub(super) fn syn_ack(&mut self, source: Source) -> Plan {
        let congestion = if self.dice.permille(50) {
            flags::ECE
        } else {
            0
        };
        self.tcp_answer(source, flags::SYN | flags::ACK | congestion)
    }

    pub(super) fn reset(&mut self, source: Source) -> Plan {
        let acknowledges = if self.dice.permille(600) {
            flags::ACK
        } else {
            0
        };
        self.tcp_answer(source, flags::RST | acknowledges)
    }

    /// An answer of a resolver: three octets at least, the response bit set.
    pub(super) fn dns_answer(&mut self, source: Source) -> Plan {
        let length = if self.dice.permille(50) {
            self.dice.between(3, 12)
        } else {
            self.dice.between(30, 500)
        };
        self.random_payload(length);
        if let Some(bits) = self.payload.get_mut(2) {
            *bits |= 0x80;
        }
        let destination = self.targets.dark4(&mut self.dice);
        let (id, port) = (self.dice.word16(), self.dice.between(1024, 65_535));
        let header = self.header(source, destination, protocol::UDP, id);
        self.udp(&header, (53, port), None);
        let cell = Cell::new(protocol::UDP, Class::Backscatter, Some(53));
        Plan::Dark(self.send(source, &header, cell))
    }

    pub(super) fn icmp(&mut self, source: Source) -> Plan {
        let list = MESSAGES.map(|(kind, code, quotes, weight)| ((kind, code, quotes), weight));
        let (kind, code, quotes) = self.dice.weighted(&list);
        let destination = self.targets.dark4(&mut self.dice);
        let id = self.dice.word16();
        let header = self.header(source, destination, protocol::ICMP, id);
        if quotes {
            self.quote(source, destination, kind == 3 && code == 3);
        } else {
            // Identifier, sequence number and the letters that ping sends.
            self.random_payload(4);
            self.payload.extend(b"abcdefghijklmnopqrstuvwabcdefghi");
        }
        self.part.clear();
        self.part.extend([kind, code, 0, 0]);
        self.part.extend(&self.payload);
        seal(&mut self.part, 2, 0);
        let class = if kind == 8 {
            Class::Scan
        } else {
            Class::Backscatter
        };
        let port = u16::from(kind) << 8 | u16::from(code);
        let cell = Cell::new(protocol::ICMP, class, Some(port));
        Plan::Dark(self.send(source, &header, cell))
    }

    /// The payload of an error: an unused word, then the header and eight octets of a packet
    /// that someone sent in the darknet's name to the victim, which is the error's own sender
    /// or a host behind it.
    fn quote(&mut self, source: Source, dark: u32, of_sender: bool) {
        let sender = self.addresses.address4(source.index);
        let victim = if of_sender {
            sender
        } else {
            sender ^ (1 + (scramble(source.habit) as u32 & 0xffe))
        };
        let port = self.victim_port(source);
        let (udp, from) = (of_sender, self.dice.between(1024, 65_535));
        let mut inner = Vec::with_capacity(QUOTED_BYTES);
        inner.extend(from.to_be_bytes());
        inner.extend(port.to_be_bytes());
        if udp {
            inner.extend([0, 12, 0, 0]);
        } else {
            inner.extend(self.dice.word32().to_be_bytes());
        }
        let header = Ipv4 {
            source: dark,
            destination: victim,
            protocol: if udp { protocol::UDP } else { protocol::TCP },
            id: self.dice.word16(),
            ttl: 1,
            fragment: 0,
            header_words: 5,
            total: Some(if udp { 32 } else { 40 }),
        };
        let mut quoted = Frame::default();
        quoted.ipv4(&[], &header, &inner);
        let datagram = ETHERNET_BYTES..ETHERNET_BYTES + IPV4_HEADER_BYTES + QUOTED_BYTES;
        self.payload.clear();
        self.payload.extend([0; 4]);
        self.payload.extend(&quoted.bytes()[datagram]);
    }
}
