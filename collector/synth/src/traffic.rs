//! Which frames each component sends.

use super::address::Source;
use super::frame::ETHERTYPE_ARP;
use super::maker::Maker;
use super::mix::Component;
use super::plan::{PlannedFrame, protocol};
use super::probe::Tool;

impl Maker<'_> {
    /// Builds a frame of this component from this source.
    pub fn make(&mut self, component: Component, source: Source) -> PlannedFrame {
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

    /// SYNs, answers and UDP under forged addresses.
    fn bogon(&mut self, source: Source) -> PlannedFrame {
        let source = Source {
            bogon: true,
            ..source
        };
        let six = self.targets.has6();
        match self.random.below(10) {
            _ if !self.targets.has4() => self.ipv6(source),
            0 | 1 if six => self.ipv6(source),
            2 => self.syn_ack(source),
            3 => self.udp_53413(source),
            4 => self.icmp(source),
            _ => self.syn_scan(source),
        }
    }

    /// ARP, what is addressed elsewhere, and what hides behind one tag too many.
    fn not_dark(&mut self, source: Source) -> PlannedFrame {
        let kind = self.random.below(10);
        let outside = match kind {
            0 | 1 => None,
            2 => return self.too_many_tags(source),
            3 if self.targets.has6() => return self.outside6(source),
            _ => self.targets.outside4(&mut self.random),
        };
        if let Some(destination) = outside {
            let id = self.random.word16();
            let header = self.header(source, destination, protocol::TCP, id);
            self.plain_syn(source, &header, &[]);
        } else {
            self.arp(source);
        }
        PlannedFrame::Passed
    }

    fn arp(&mut self, source: Source) {
        // Ethernet and IPv4, a request.
        let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2];
        body.extend(self.addresses.source4(source).to_be_bytes());
        body.extend([0; 6]);
        body.extend(self.targets.dark4(&mut self.random).to_be_bytes());
        self.frame.raw(ETHERTYPE_ARP, &body);
    }
}
