//! SYNs over IPv4: scanners with and without fingerprints, and bots.

use noctule_abi::{ETHERTYPE_QINQ, ETHERTYPE_QINQ_OLD, ETHERTYPE_VLAN, MAX_VLAN_TAGS};

use super::address::Source;
use super::frame::Ipv4;
use super::maker::{Maker, PlannedCell, dark4};
use super::plan::{Class, Dark, PlannedFrame, protocol};
use super::probe::{Probe, Tool, constant_id};
use super::tcp::{Tcp, flags};

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

/// Octets of the longest TCP options.
const MOST_OPTION_BYTES: usize = 24;

impl Maker<'_> {
    pub(super) fn tcp_port(&mut self) -> u16 {
        if self.random.permille(PORT_TAIL) {
            self.random.word16()
        } else {
            self.random.weighted(&TCP_PORTS)
        }
    }

    fn telnet_port(&mut self) -> u16 {
        // The original bot tries 2323 once in ten times.
        if self.random.permille(100) { 2323 } else { 23 }
    }

    /// A tool's SYN, behind any tags.
    pub(super) fn syn(&mut self, source: Source, tags: &[u16], tool: Tool, port: u16) -> Dark {
        let destination = self.targets.dark4(&mut self.random);
        let drawn = tool.draw(&mut self.random, destination, port);
        let look = tool.look(&mut self.random, source.habit);
        let mut header = self.header(source, destination, protocol::TCP, drawn.id);
        header.fragment = look.fragment;
        let tcp = Tcp {
            source_port: drawn.source_port,
            destination_port: port,
            sequence: drawn.sequence,
            acknowledgement: 0,
            flags: flags::SYN,
            window: look.window,
            offset_words: None,
        };
        if let Some(at) = look.time_at {
            let mut options = [0; MOST_OPTION_BYTES];
            let options = &mut options[..look.options.len()];
            options.copy_from_slice(look.options);
            options[at..at + 4].copy_from_slice(&self.random.word32().to_be_bytes());
            self.tcp(&header, &tcp, options);
        } else {
            self.tcp(&header, &tcp, look.options);
        }
        let bytes = self.frame.ipv4(tags, &header, &self.part);
        let cell = PlannedCell::new(protocol::TCP, Class::Scan, Some(port));
        dark4(source, cell, bytes).with_probe(Probe::new(tool, &header, &tcp))
    }

    pub(super) fn mirai(&mut self, source: Source) -> PlannedFrame {
        let port = self.telnet_port();
        PlannedFrame::Dark(self.syn(source, &[], Tool::Mirai, port))
    }

    /// As in a real capture of 2020: 40 octets in all, and a data offset of 24.
    pub(super) fn mirai_bad_offset(&mut self, source: Source) -> PlannedFrame {
        let port = self.telnet_port();
        let destination = self.targets.dark4(&mut self.random);
        let drawn = Tool::Mirai.draw(&mut self.random, destination, port);
        let header = self.header(source, destination, protocol::TCP, drawn.id);
        let tcp = Tcp {
            source_port: drawn.source_port,
            destination_port: port,
            sequence: drawn.sequence,
            acknowledgement: 0,
            flags: flags::SYN,
            window: self.random.word16(),
            offset_words: Some(6),
        };
        self.tcp(&header, &tcp, &[]);
        let cell = PlannedCell::new(protocol::TCP, Class::Scan, Some(port))
            .with_error(("tcp", "data_offset_beyond_end"));
        let dark = self.send(source, &header, cell);
        PlannedFrame::Dark(dark.with_probe(Probe::new(Tool::Mirai, &header, &tcp)))
    }

    pub(super) fn mirai_constant_id(&mut self, source: Source) -> PlannedFrame {
        let port = self.telnet_port();
        let id = constant_id(source.habit);
        PlannedFrame::Dark(self.syn(source, &[], Tool::MiraiPrecursor { id }, port))
    }

    /// A scanner of the whole Internet, which looks for any port.
    pub(super) fn scanner(&mut self, source: Source, tool: Tool) -> PlannedFrame {
        let port = self.tcp_port();
        PlannedFrame::Dark(self.syn(source, &[], tool, port))
    }

    pub(super) fn zmap41(&mut self, source: Source) -> PlannedFrame {
        let layout = (source.habit >> 16) as u8;
        self.scanner(source, Tool::Zmap41 { layout })
    }

    /// Each run of nmap has its secret; from one address in eight, two runs scan at once.
    pub(super) fn nmap(&mut self, source: Source) -> PlannedFrame {
        let mut secret = (source.habit >> 32) as u16;
        if source.habit >> 20 & 7 == 0 && self.random.permille(500) {
            secret = !secret;
        }
        self.scanner(source, Tool::Nmap { secret })
    }

    /// One source in three swaps the destination's octets.
    pub(super) fn unicornscan(&mut self, source: Source) -> PlannedFrame {
        let key = (source.habit >> 32) as u32;
        let swapped = (source.habit >> 16).is_multiple_of(3);
        self.scanner(source, Tool::Unicornscan { key, swapped })
    }

    pub(super) fn syn_scan(&mut self, source: Source) -> PlannedFrame {
        self.scanner(source, Tool::Plain)
    }

    pub(super) fn vlan(&mut self, source: Source) -> PlannedFrame {
        let tags: &[u16] = match self.random.below(4) {
            0 | 1 => &[ETHERTYPE_VLAN],
            2 => &[ETHERTYPE_QINQ, ETHERTYPE_VLAN],
            _ => &[ETHERTYPE_QINQ_OLD, ETHERTYPE_VLAN],
        };
        let port = self.tcp_port();
        PlannedFrame::Dark(self.syn(source, tags, Tool::Plain, port))
    }

    /// A dark packet behind one tag more than is read: passed.
    pub(super) fn too_many_tags(&mut self, source: Source) -> PlannedFrame {
        let destination = self.targets.dark4(&mut self.random);
        let id = self.random.word16();
        let header = self.header(source, destination, protocol::TCP, id);
        self.plain_syn(source, &header, &[ETHERTYPE_VLAN; MAX_VLAN_TAGS + 1]);
        PlannedFrame::Passed
    }

    /// A SYN of which nothing is counted.
    pub(super) fn plain_syn(&mut self, source: Source, header: &Ipv4, tags: &[u16]) {
        let tcp = Tcp {
            source_port: (source.habit >> 16) as u16,
            destination_port: self.tcp_port(),
            sequence: self.random.word32(),
            acknowledgement: 0,
            flags: flags::SYN,
            window: 1024,
            offset_words: None,
        };
        self.tcp(header, &tcp, &[]);
        self.frame.ipv4(tags, header, &self.part);
    }
}
