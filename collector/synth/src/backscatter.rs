//! Backscatter over TCP, and from DNS: what victims send to addresses that were forged.

use super::address::Source;
use super::maker::{Maker, PlannedCell};
use super::plan::{Class, PlannedFrame, protocol};
use super::probe::{Drawn, Tool};
use super::tcp::{Tcp, flags};

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

impl Maker<'_> {
    /// A victim has one service, and answers from it.
    pub(super) fn victim_port(&self, habit: u64) -> u16 {
        let total: u32 = VICTIM_PORTS.iter().map(|&(_, weight)| weight).sum();
        let mut left = (habit >> 40) as u32 % total;
        for (port, weight) in VICTIM_PORTS {
            if left < weight {
                return port;
            }
            left -= weight;
        }
        VICTIM_PORTS[0].0
    }

    fn tcp_answer(&mut self, source: Source, bits: u8) -> PlannedFrame {
        self.tcp_answer_from(source, self.victim_port(source.habit), bits)
    }

    /// What a service on this port answers.
    pub(super) fn tcp_answer_from(&mut self, source: Source, port: u16, bits: u8) -> PlannedFrame {
        let destination = self.targets.dark4(&mut self.random);
        let forged_port = self.random.between(1024, 65_535);
        let Drawn { id, sequence, .. } =
            Tool::Plain.draw(&mut self.random, destination, forged_port);
        let header = self.header(source, destination, protocol::TCP, id);
        let tcp = Tcp {
            source_port: port,
            destination_port: forged_port,
            sequence,
            acknowledgement: self.random.word32(),
            flags: bits,
            window: if bits & flags::RST == 0 { 29_200 } else { 0 },
            offset_words: None,
        };
        let mss = [2, 4, 5, 0xb4];
        let options: &[u8] = if bits & flags::RST == 0 { &mss } else { &[] };
        self.tcp(&header, &tcp, options);
        let cell = PlannedCell::new(protocol::TCP, Class::Backscatter, Some(port));
        PlannedFrame::Dark(self.send(source, &header, cell))
    }

    pub(super) fn syn_ack(&mut self, source: Source) -> PlannedFrame {
        let congestion = if self.random.permille(50) {
            flags::ECE
        } else {
            0
        };
        self.tcp_answer(source, flags::SYN | flags::ACK | congestion)
    }

    pub(super) fn reset(&mut self, source: Source) -> PlannedFrame {
        let acknowledges = if self.random.permille(600) {
            flags::ACK
        } else {
            0
        };
        self.tcp_answer(source, flags::RST | acknowledges)
    }

    /// An answer of a resolver: three octets at least, the response bit set.
    pub(super) fn dns_answer(&mut self, source: Source) -> PlannedFrame {
        let length = if self.random.permille(50) {
            self.random.between(3, 12)
        } else {
            self.random.between(30, 500)
        };
        self.random_payload(length);
        if let Some(bits) = self.payload.get_mut(2) {
            *bits |= 0x80;
        }
        let destination = self.targets.dark4(&mut self.random);
        let (id, port) = (self.random.word16(), self.random.between(1024, 65_535));
        let header = self.header(source, destination, protocol::UDP, id);
        self.udp(&header, (53, port), None);
        let cell = PlannedCell::new(protocol::UDP, Class::Backscatter, Some(53));
        PlannedFrame::Dark(self.send(source, &header, cell))
    }
}
