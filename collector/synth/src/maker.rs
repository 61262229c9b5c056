//! Makes one frame after another: the tools that all components share.

use super::Component;
use super::address::{Addresses, Source};
use super::draw::Dice;
use super::frame::{DONT_FRAGMENT, ETHERTYPE_ARP, Frame, Ipv4, pseudo4, seal};
use super::plan::{Class, Dark, HeaderError, Plan, Sender, protocol};
use super::probe::Tool;
use super::target::Targets;
use super::tcp::{TCP_CHECKSUM_AT, Tcp, UDP_CHECKSUM_AT, write_tcp, write_udp};

/// Everything that a frame is made from.
pub(super) struct Maker<'a> {
    pub dice: Dice,
    pub addresses: &'a Addresses,
    pub targets: &'a Targets,
    pub frame: Frame,
    /// The layer-4 part under construction.
    pub part: Vec<u8>,
    /// What it carries.
    pub payload: Vec<u8>,
    /// The sources belong to other components as well.
    pub shared: bool,
}

/// The truth about a packet's cell, beside its addresses and octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub protocol: u8,
    pub class: Class,
    pub port: Option<u16>,
    pub error: Option<HeaderError>,
}

impl Cell {
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
    pub fn new(dice: Dice, addresses: &'a Addresses, targets: &'a Targets) -> Self {
        Self {
            dice,
            addresses,
            targets,
            frame: Frame::default(),
            part: Vec::new(),
            payload: Vec::new(),
            shared: false,
        }
    }

    /// Builds a frame of this component from this source.
    pub fn make(&mut self, component: Component, source: Source) -> Plan {
        match component {
            Component::Mirai => self.mirai(source),
            Component::MiraiBadOffset => self.mirai_bad_offset(source),
            Component::MiraiConstantId => self.mirai_constant_id(source),
            Component::Zmap => self.scanner(source, Tool::Zmap),
            Component::Zmap41 => self.zmap41(source),
            Component::Masscan => self.scanner(source, Tool::Masscan),
            Component::Masscan2023 => self.scanner(source, Tool::Masscan2023),
            Component::Nmap => self.nmap(source),
            Component::Unicornscan => self.unicornscan(source),
            Component::SynScan => self.syn_scan(source),
            Component::Vlan => self.vlan(source),
            Component::OddFlags => self.odd_flags(source),
            Component::Udp53413 => self.udp_53413(source),
            Component::UdpScan => self.udp_scan(source),
            Component::Ipv6 => self.ipv6(source),
            Component::DnsAnswers => self.dns_answer(source),
            Component::UdpReflection => self.reflection(source),
            Component::SynAck => self.syn_ack(source),
            Component::Rst => self.reset(source),
            Component::Icmp => self.icmp(source),
            Component::IcmpErrors => self.icmp_error(source),
            Component::Bogon => self.bogon(source),
            Component::Fragments => self.fragment(source),
            Component::Malformed => self.malformed(source),
            Component::OtherProtocols => self.other_protocol(source),
            Component::NotDark => self.not_dark(source),
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
        self.dice.between(49_152, 53_247)
    }

    /// Puts the finished layer-4 part into a frame.
    pub fn send(&mut self, source: Source, header: &Ipv4, cell: Cell) -> Dark {
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
        // A computed 0 is sent as its other form, because 0 says that there is none.
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
        let dice = &mut self.dice;
        let words = usize::from(length).div_ceil(8);
        self.payload
            .extend((0..words).flat_map(|_| dice.word().to_be_bytes()));
        self.payload.truncate(length.into());
    }

    /// ARP, what is addressed elsewhere, and what hides behind one tag too many.
    fn not_dark(&mut self, source: Source) -> Plan {
        let kind = self.dice.below(10);
        let outside = match kind {
            0 | 1 => None,
            2 => return self.too_many_tags(source),
            3 if self.targets.has6() => return self.outside6(source),
            _ => self.targets.outside4(&mut self.dice),
        };
        if let Some(destination) = outside {
            let id = self.dice.word16();
            let header = self.header(source, destination, protocol::TCP, id);
            self.plain_syn(source, &header, &[]);
        } else {
            self.arp(source);
        }
        Plan::Passed
    }

    fn arp(&mut self, source: Source) {
        // Ethernet and IPv4, a request.
        let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2];
        body.extend(self.addresses.source4(source).to_be_bytes());
        body.extend([0; 6]);
        body.extend(self.targets.dark4(&mut self.dice).to_be_bytes());
        self.frame.raw(ETHERTYPE_ARP, &body);
    }
}

/// A dark IPv4 packet that is neither a probe nor an error.
pub(super) fn dark4(source: Source, cell: Cell, bytes: u64) -> Dark {
    dark(Sender::four(source), cell, bytes)
}

/// A dark IPv6 packet that is no error.
pub(super) fn dark6(source: Source, cell: Cell, bytes: u64) -> Dark {
    dark(Sender::six(source), cell, bytes)
}

fn dark(sender: Sender, cell: Cell, bytes: u64) -> Dark {
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
