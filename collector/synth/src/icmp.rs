//! ICMP and ICMPv6: echo, and errors that quote packets sent in the darknet's name.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::address::Source;
use super::frame::{DONT_FRAGMENT, FrameBuilder, Ipv4, Ipv6, pseudo6, seal};
use super::maker::{Maker, PlannedCell, dark6};
use super::plan::{Class, PlannedFrame, Quote, Victim, protocol};
use super::random::scramble;

/// ICMP messages: type, code, weight.
const MESSAGES: [(u8, u8, u32); 10] = [
    (8, 0, 40),
    (0, 0, 10),
    (3, 3, 16),
    (3, 1, 10),
    (3, 0, 3),
    (3, 10, 3),
    (3, 13, 4),
    (3, 9, 1),
    (11, 0, 12),
    (11, 1, 1),
];

/// ICMP errors: type, code, weight. All types that quote are among them.
const ERRORS: [(u8, u8, u32); 9] = [
    (3, 1, 30),
    (3, 3, 25),
    (3, 4, 5),
    (3, 10, 10),
    (3, 13, 10),
    (4, 0, 3),
    (5, 1, 4),
    (11, 0, 30),
    (12, 0, 3),
];

/// ICMPv6 errors: type, code, weight.
const ERRORS6: [(u8, u8, u32); 7] = [
    (1, 0, 10),
    (1, 1, 5),
    (1, 3, 20),
    (1, 4, 20),
    (2, 0, 3),
    (3, 0, 20),
    (4, 1, 3),
];

/// Errors over IPv6, in a thousand, where both families are dark.
const SIX: u64 = 200;
/// Victims that are attacked in the darknet's name.
const VICTIMS: u64 = 48;
/// IPv6 destination options of eight octets that hold only padding, before the next header.
const PADDING_OPTIONS: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];

/// A way in which a quote is damaged.
#[derive(Clone, Copy, Debug)]
enum QuoteDamage {
    /// Header and eight octets.
    Usual,
    /// A header longer than the shortest.
    Longer,
    /// Cut before the destination port.
    Portless,
    /// A fragment after the first.
    Fragment,
    /// From an address that the error does not go to.
    Foreign,
    /// Cut before the destination address.
    Cut,
    /// Not IP.
    Strange,
}

const QUOTE_DAMAGES: [(QuoteDamage, u32); 7] = [
    (QuoteDamage::Usual, 80),
    (QuoteDamage::Longer, 4),
    (QuoteDamage::Portless, 3),
    (QuoteDamage::Fragment, 2),
    (QuoteDamage::Foreign, 5),
    (QuoteDamage::Cut, 4),
    (QuoteDamage::Strange, 2),
];

/// A packet that was sent to a victim: its protocol, its destination port (ICMP: type and code),
/// and its first eight octets.
struct Attack {
    protocol: u8,
    port: Option<u16>,
    octets: [u8; 8],
}

impl Maker<'_> {
    /// Echo requests, and what ICMP sends back.
    pub(super) fn icmp(&mut self, source: Source) -> PlannedFrame {
        let (kind, code) = self.kind_and_code(&MESSAGES);
        if !matches!(kind, 0 | 8) {
            return self.error4(source, kind, code);
        }
        self.echo(source, kind)
    }

    /// An echo request (8) or its answer (0).
    pub(super) fn echo(&mut self, source: Source, kind: u8) -> PlannedFrame {
        let destination = self.targets.dark4(&mut self.random);
        let id = self.random.word16();
        let header = self.header(source, destination, protocol::ICMP, id);
        // Identifier, sequence number and the letters that ping sends.
        self.random_payload(4);
        self.payload.extend(b"abcdefghijklmnopqrstuvwabcdefghi");
        self.part.clear();
        self.part.extend([kind, 0, 0, 0]);
        self.part.extend(&self.payload);
        seal(&mut self.part, 2, 0);
        let class = if kind == 8 {
            Class::Scan
        } else {
            Class::Backscatter
        };
        PlannedFrame::Dark(self.send(source, &header, cell(protocol::ICMP, class, kind, 0)))
    }

    /// Errors of either family.
    pub(super) fn icmp_error(&mut self, source: Source) -> PlannedFrame {
        if self.targets.has6() && (!self.targets.has4() || self.random.permille(SIX)) {
            self.error6(source)
        } else {
            let (kind, code) = self.kind_and_code(&ERRORS);
            self.error4(source, kind, code)
        }
    }

    fn kind_and_code(&mut self, list: &[(u8, u8, u32)]) -> (u8, u8) {
        let total = list.iter().map(|&(_, _, weight)| u64::from(weight)).sum();
        let mut left = self.random.below(total);
        let found = list.iter().find(|&&(_, _, weight)| {
            let here = left < u64::from(weight);
            left = left.saturating_sub(weight.into());
            here
        });
        found.map_or((3, 1), |&(kind, code, _)| (kind, code))
    }

    /// Whom the quoted packet went to: one of a few, or now and then the error's own sender.
    fn victim(&mut self, source: Source) -> Source {
        if self.random.permille(100) {
            return source;
        }
        let number = self.random.below(VICTIMS);
        self.addresses.source(number)
    }

    /// Every victim is attacked in one way.
    fn attack(&mut self, victim: Source, echo: u8) -> Attack {
        let habit = scramble(victim.habit);
        let protocol = match habit % 16 {
            0..=6 => protocol::TCP,
            7..=12 => protocol::UDP,
            13 | 14 if echo == 8 => protocol::ICMP,
            13 | 14 => protocol::ICMPV6,
            // GRE.
            _ => 47,
        };
        let from = self.random.between(1024, 65_535).to_be_bytes();
        let port = self.victim_port(habit).to_be_bytes();
        let [a, b, c, d] = self.random.word32().to_be_bytes();
        let (port, octets) = match protocol {
            protocol::TCP => (Some(port), [from[0], from[1], port[0], port[1], a, b, c, d]),
            protocol::UDP => (
                Some(port),
                [from[0], from[1], port[0], port[1], 0, 20, 0, 0],
            ),
            protocol::ICMP | protocol::ICMPV6 => (Some([echo, 0]), [echo, 0, 0, 0, a, b, c, d]),
            _ => (None, [0, 0, 8, 0, a, b, c, d]),
        };
        Attack {
            protocol,
            port: port.map(u16::from_be_bytes),
            octets,
        }
    }

    /// An error over IPv4.
    fn error4(&mut self, source: Source, kind: u8, code: u8) -> PlannedFrame {
        let destination = self.targets.dark4(&mut self.random);
        let id = self.random.word16();
        let header = self.header(source, destination, protocol::ICMP, id);
        let quote = self.quote4(source, destination);
        self.part.clear();
        // The octets after the checksum depend on the type: unused, a gateway, a pointer.
        self.part.extend([kind, code, 0, 0, 0, 0, 0, 0]);
        self.part.extend(&self.payload);
        seal(&mut self.part, 2, 0);
        let cell = cell(protocol::ICMP, Class::Backscatter, kind, code);
        PlannedFrame::Dark(self.send(source, &header, cell).with_quote(quote))
    }

    /// Puts what an error to this address quotes into the payload.
    fn quote4(&mut self, source: Source, receiver: u32) -> Quote {
        let habit = self.random.weighted(&QUOTE_DAMAGES);
        let victim = self.victim(source);
        let attack = self.attack(victim, 8);
        let other = 1 + self.random.below(0xff) as u32;
        let address = self.addresses.source4(victim);
        let header = Ipv4 {
            source: match habit {
                QuoteDamage::Foreign => receiver ^ other,
                _ => receiver,
            },
            destination: address,
            protocol: attack.protocol,
            id: self.random.word16(),
            ttl: 1,
            fragment: match habit {
                QuoteDamage::Fragment => 185,
                _ => DONT_FRAGMENT,
            },
            header_words: match habit {
                QuoteDamage::Longer => 6,
                _ => 5,
            },
            total: Some(60),
        };
        let mut inner = Vec::with_capacity(4 + attack.octets.len());
        if matches!(habit, QuoteDamage::Longer) {
            // The option that routers are to look at (RFC 2113).
            inner.extend([148, 4, 0, 0]);
        }
        inner.extend(attack.octets);
        let mut quoted = FrameBuilder::default();
        quoted.ipv4(&[], &header, &inner);
        self.payload.clear();
        self.payload.extend(quoted.datagram(20 + inner.len()));
        self.spoil(
            habit,
            20,
            Victim {
                address: Ipv4Addr::from_bits(address).into(),
                protocol: attack.protocol,
                port: attack.port,
            },
        )
    }

    /// An error over IPv6.
    fn error6(&mut self, source: Source) -> PlannedFrame {
        let (kind, code) = self.kind_and_code(&ERRORS6);
        let destination = self.targets.dark6(&mut self.random);
        let quote = self.quote6(source, destination);
        self.part.clear();
        self.part.extend([kind, code, 0, 0, 0, 0, 0, 0]);
        self.part.extend(&self.payload);
        let header = Ipv6 {
            source: self.addresses.source6(source),
            destination,
            next: protocol::ICMPV6,
            hops: 64 - (source.habit % 30) as u8,
        };
        let last = protocol::ICMPV6;
        let pseudo = pseudo6(header.source, destination, last, self.part.len());
        seal(&mut self.part, 2, pseudo);
        let bytes = self.frame.ipv6(&header, &self.part);
        let cell = cell(last, Class::Backscatter, kind, code);
        PlannedFrame::Dark(dark6(source, cell, bytes).with_quote(quote))
    }

    fn quote6(&mut self, source: Source, receiver: u128) -> Quote {
        let habit = self.random.weighted(&QUOTE_DAMAGES);
        let victim = self.victim(source);
        let attack = self.attack(victim, 128);
        let other = 1 + u128::from(self.random.below(0xff));
        let address = self.addresses.source6(victim);
        let mut inner = Vec::with_capacity(16);
        let next = match habit {
            QuoteDamage::Longer => {
                inner.push(attack.protocol);
                inner.extend(PADDING_OPTIONS);
                protocol::DESTINATION_OPTIONS
            }
            QuoteDamage::Fragment => {
                // An offset of 185 times 8 octets; the last fragment.
                inner.extend([attack.protocol, 0, 0x05, 0xc8]);
                inner.extend(self.random.word32().to_be_bytes());
                protocol::FRAGMENT
            }
            _ => attack.protocol,
        };
        inner.extend(attack.octets);
        let header = Ipv6 {
            source: match habit {
                QuoteDamage::Foreign => receiver ^ other,
                _ => receiver,
            },
            destination: address,
            next,
            hops: 1,
        };
        let mut quoted = FrameBuilder::default();
        quoted.ipv6(&header, &inner);
        self.payload.clear();
        self.payload.extend(quoted.datagram(40 + inner.len()));
        self.spoil(
            habit,
            40,
            Victim {
                address: Ipv6Addr::from_bits(address).into(),
                protocol: attack.protocol,
                port: attack.port,
            },
        )
    }

    /// Damages the quote in the payload; returns what can still be read in it.
    fn spoil(&mut self, habit: QuoteDamage, header_bytes: usize, whole: Victim) -> Quote {
        let portless = Victim {
            port: None,
            ..whole
        };
        match habit {
            QuoteDamage::Usual | QuoteDamage::Longer => Quote::Victim(whole),
            QuoteDamage::Fragment => Quote::Victim(portless),
            QuoteDamage::Foreign => Quote::Foreign,
            QuoteDamage::Portless => {
                // ICMP's type and code are the first two octets.
                let most = match whole.protocol {
                    protocol::ICMP | protocol::ICMPV6 => 1,
                    _ => 3,
                };
                let more = self.random.below(most + 1) as usize;
                self.payload.truncate(header_bytes + more);
                Quote::Victim(portless)
            }
            QuoteDamage::Cut => {
                let left = self.random.below(header_bytes as u64) as usize;
                self.payload.truncate(left);
                Quote::Unreadable
            }
            QuoteDamage::Strange => {
                self.payload[0] &= 0x0f;
                Quote::Unreadable
            }
        }
    }
}

fn cell(number: u8, class: Class, kind: u8, code: u8) -> PlannedCell {
    PlannedCell::new(number, class, Some(u16::from_be_bytes([kind, code])))
}
