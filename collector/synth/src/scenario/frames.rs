//! The frames of a scenario's rows.

use super::super::address::Source;
use super::super::maker::{Cell, Maker};
use super::super::plan::{Class, protocol};
use super::super::probe::{Tool, constant_id};
use super::super::tcp::flags;
use super::plan::{Kind, Row};

/// Whose names are asked for under water torture.
const ZONES: [&[u8]; 4] = [b"shop", b"game", b"news", b"bank"];
/// What a resolver says when the zone's own servers are drowned: no such name, or failure.
const ANSWERS: [u16; 3] = [0x8183, 0x8182, 0x8182];

impl Maker<'_> {
    /// Builds a frame of this row from this source.
    #[inline]
    pub(super) fn planned(&mut self, row: &Row, source: Source, port: u16) {
        match row.kind {
            Kind::Syn => self.probe(source, Tool::Plain, port),
            Kind::Mirai => self.probe(source, Tool::Mirai, port),
            Kind::MiraiPredecessor => {
                let id = constant_id(source.habit);
                self.probe(source, Tool::MiraiPrecursor { id }, port);
            }
            Kind::Zmap => self.probe(source, Tool::Zmap, port),
            Kind::Masscan => self.probe(source, Tool::Masscan, port),
            Kind::Udp => {
                let length = self.dice.between(row.octets.0, row.octets.1);
                self.random_payload(length);
                let from = self.ephemeral_port();
                self.udp_probe(source, (from, port));
            }
            Kind::DnsAnswers => self.drowned_name(source),
            Kind::SynAck => {
                self.tcp_answer_from(source, port, flags::SYN | flags::ACK);
            }
            Kind::Rst => {
                self.tcp_answer_from(source, port, flags::RST | flags::ACK);
            }
            Kind::IcmpEcho => {
                self.echo(source, 8);
            }
            Kind::IcmpErrors => {
                self.icmp_error(source);
            }
        }
    }

    fn probe(&mut self, source: Source, tool: Tool, port: u16) {
        self.syn(source, &[], tool, port);
    }

    /// A resolver's answer about a random name: nothing found.
    fn drowned_name(&mut self, source: Source) {
        let (id, answer) = (self.dice.word16(), self.dice.pick(&ANSWERS));
        let (zone, letters) = (self.dice.pick(&ZONES), self.dice.between(8, 14));
        self.payload.clear();
        // One question, and no record of any kind.
        for word in [id, answer, 1, 0, 0, 0] {
            self.payload.extend(word.to_be_bytes());
        }
        self.payload.push(letters as u8);
        for _ in 0..letters {
            self.payload.push(b'a' + self.dice.below(26) as u8);
        }
        self.payload.push(zone.len() as u8);
        self.payload.extend(zone);
        // The address of a name under .example, which nobody owns (RFC 2606).
        self.payload.extend(b"\x07example\0\0\x01\0\x01");
        let destination = self.targets.dark4(&mut self.dice);
        let (id, port) = (self.dice.word16(), self.dice.between(1024, 65_535));
        let header = self.header(source, destination, protocol::UDP, id);
        self.udp(&header, (53, port), None);
        let cell = Cell::new(protocol::UDP, Class::Backscatter, Some(53));
        self.send(source, &header, cell);
    }
}
