//! The frames of a scenario's rows.

use super::plan::{Row, TrafficKind};
use crate::address::Source;
use crate::maker::{Maker, PlannedCell};
use crate::plan::{Class, protocol};
use crate::probe::{Tool, constant_id};
use crate::tcp::flags;

/// Whose names are asked for under water torture.
const ZONES: [&[u8]; 4] = [b"shop", b"game", b"news", b"bank"];
/// What a resolver says when the zone's own servers are drowned: no such name, or failure.
const ANSWERS: [u16; 3] = [0x8183, 0x8182, 0x8182];

impl Maker<'_> {
    /// Builds a frame of this row from this source.
    #[inline]
    pub(super) fn planned(&mut self, row: &Row, source: Source, port: u16) {
        match row.kind {
            TrafficKind::Syn => self.probe(source, Tool::Plain, port),
            TrafficKind::Mirai => self.probe(source, Tool::Mirai, port),
            TrafficKind::MiraiPredecessor => {
                let id = constant_id(source.habit);
                self.probe(source, Tool::MiraiPrecursor { id }, port);
            }
            TrafficKind::Zmap => self.probe(source, Tool::Zmap, port),
            TrafficKind::Masscan => self.probe(source, Tool::Masscan, port),
            TrafficKind::Udp => {
                let length = self.random.between(row.octets.0, row.octets.1);
                self.random_payload(length);
                let from = self.ephemeral_port();
                self.udp_probe(source, (from, port));
            }
            TrafficKind::DnsAnswers => self.drowned_name(source),
            TrafficKind::SynAck => {
                self.tcp_answer_from(source, port, flags::SYN | flags::ACK);
            }
            TrafficKind::Rst => {
                self.tcp_answer_from(source, port, flags::RST | flags::ACK);
            }
            TrafficKind::IcmpEcho => {
                self.echo(source, 8);
            }
            TrafficKind::IcmpErrors => {
                self.icmp_error(source);
            }
        }
    }

    fn probe(&mut self, source: Source, tool: Tool, port: u16) {
        self.syn(source, &[], tool, port);
    }

    /// A resolver's answer about a random name: nothing found.
    fn drowned_name(&mut self, source: Source) {
        let (id, answer) = (self.random.word16(), self.random.pick(&ANSWERS));
        let (zone, letters) = (self.random.pick(&ZONES), self.random.between(8, 14));
        self.payload.clear();
        // One question, and no record of any kind.
        for word in [id, answer, 1, 0, 0, 0] {
            self.payload.extend(word.to_be_bytes());
        }
        self.payload.push(letters as u8);
        for _ in 0..letters {
            self.payload.push(b'a' + self.random.below(26) as u8);
        }
        self.payload.push(zone.len() as u8);
        self.payload.extend(zone);
        // The address of a name under .example, which has no owner (RFC 2606).
        self.payload.extend(b"\x07example\0\0\x01\0\x01");
        let destination = self.targets.dark4(&mut self.random);
        let (id, port) = (self.random.word16(), self.random.between(1024, 65_535));
        let header = self.header(source, destination, protocol::UDP, id);
        self.udp(&header, (53, port), None);
        let cell = PlannedCell::new(protocol::UDP, Class::Backscatter, Some(53));
        self.send(source, &header, cell);
    }
}
