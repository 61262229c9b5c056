//! Headers before the datagram of a frame.

/// The link layer.
#[derive(Clone, Debug)]
pub enum Link {
    /// Ethernet with tags of these types, outermost first, and what follows them.
    Ethernet {
        /// Types of the tags: VLAN, VN-Tag, E-Tag or time tag.
        tags: Vec<u16>,
        /// What follows them.
        carries: Carries,
    },
    /// Raw IP, by this number of the link type.
    Raw(u32),
    /// Linux cooked, version 1, with this ethertype instead of the right one.
    Sll(Option<u16>),
    /// Linux cooked, version 2, likewise.
    Sll2(Option<u16>),
    /// BSD loopback by this number, with this address family in either order.
    Loopback {
        /// 0 or 108.
        number: u32,
        /// The address family; none is the right one.
        family: Option<u32>,
        /// In network order.
        big_endian: bool,
    },
    /// Cisco HDLC with this ethertype instead of the right one.
    CiscoHdlc(Option<u16>),
    /// PPP by this number of the link type.
    Ppp {
        /// 9 or 50.
        number: u32,
        /// With address and control octet.
        framed: bool,
        /// With a protocol number of one octet.
        compressed: bool,
        /// The protocol number, if not the right one.
        protocol: Option<u16>,
    },
    /// A PPPoE session alone: version, type and code; the PPP protocol number, if not the right one.
    PppoeSession(u16, Option<u16>),
    /// Netfilter's log.
    Nflog {
        /// In network order.
        big_endian: bool,
        /// Octets of the attribute before the packet; none: there is no such attribute.
        before: Option<u16>,
        /// The address family, if not the right one.
        family: Option<u8>,
    },
}

/// What lies between an Ethernet header and the datagram.
#[derive(Clone, Debug)]
pub enum Carries {
    /// The datagram, with this ethertype instead of the right one.
    Ip(Option<u16>),
    /// A PPPoE session: version, type and code; the PPP protocol number, if not the right one.
    Pppoe(u16, Option<u16>),
    /// MPLS by this ethertype: so many labels.
    Mpls(u16, usize),
    /// LLC and SNAP behind this length: the organisation's last octet, and the ethertype, if not the
    /// right one.
    Snap(u16, u8, Option<u16>),
}

impl Link {
    /// The link type's number, and the header in front of a datagram of this IP version.
    pub(super) fn octets(&self, version: u8) -> (u32, Vec<u8>) {
        let right: u16 = if version == 4 { 0x0800 } else { 0x86dd };
        match self {
            Self::Ethernet { tags, carries } => {
                let mut octets = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
                for (tag, vlan) in tags.iter().zip(100u16..) {
                    octets.extend(tag.to_be_bytes());
                    octets.extend(vlan.to_be_bytes());
                    let more = match tag {
                        0x8926 => 2,
                        0x893f | 0x8988 => 4,
                        _ => 0,
                    };
                    octets.resize(octets.len() + more, 1);
                }
                carries.append(&mut octets, right);
                (1, octets)
            }
            Self::Raw(number) => (*number, Vec::new()),
            Self::Sll(ethertype) => {
                let mut octets = vec![0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0];
                octets.extend(ethertype.unwrap_or(right).to_be_bytes());
                (113, octets)
            }
            Self::Sll2(ethertype) => {
                let mut octets = ethertype.unwrap_or(right).to_be_bytes().to_vec();
                octets.extend([0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0]);
                (276, octets)
            }
            Self::Loopback {
                number,
                family,
                big_endian,
            } => {
                let family = family.unwrap_or(if version == 4 { 2 } else { 30 });
                let octets = if *big_endian {
                    family.to_be_bytes()
                } else {
                    family.to_le_bytes()
                };
                (*number, octets.to_vec())
            }
            Self::CiscoHdlc(ethertype) => {
                let ethertype = ethertype.unwrap_or(right).to_be_bytes();
                (104, [&[0x0f, 0][..], &ethertype].concat())
            }
            Self::Ppp {
                number,
                framed,
                compressed,
                protocol,
            } => {
                let right = if version == 4 { 0x0021u16 } else { 0x0057 };
                let mut octets = if *framed { vec![0xff, 3] } else { Vec::new() };
                let protocol = protocol.unwrap_or(right).to_be_bytes();
                octets.extend(&protocol[usize::from(*compressed && protocol[0] == 0)..]);
                (*number, octets)
            }
            Self::PppoeSession(first, ppp) => {
                let mut octets = Vec::new();
                Carries::Pppoe(*first, *ppp).append(&mut octets, right);
                (51, octets.split_off(2))
            }
            Self::Nflog {
                big_endian,
                before,
                family,
            } => {
                let family = family.unwrap_or(if version == 4 { 2 } else { 10 });
                let word = |number: u16| {
                    if *big_endian {
                        number.to_be_bytes()
                    } else {
                        number.to_le_bytes()
                    }
                };
                let mut octets = vec![family, 0, 0, 5];
                if let Some(before) = *before {
                    octets.extend([word(4 + before), word(10)].concat());
                    octets.resize(octets.len() + usize::from(before).next_multiple_of(4), 7);
                }
                // The datagram's length is not known here; nothing depends on the attribute's.
                octets.extend([word(1500), word(9)].concat());
                (239, octets)
            }
        }
    }
}

impl Carries {
    fn append(&self, octets: &mut Vec<u8>, right: u16) {
        match *self {
            Self::Ip(ethertype) => octets.extend(ethertype.unwrap_or(right).to_be_bytes()),
            Self::Pppoe(first, ppp) => {
                let right = if right == 0x0800 { 0x0021 } else { 0x0057 };
                octets.extend(0x8864u16.to_be_bytes());
                octets.extend(first.to_be_bytes());
                octets.extend([0, 7, 0, 0]);
                octets.extend(ppp.unwrap_or(right).to_be_bytes());
            }
            Self::Mpls(ethertype, labels) => {
                octets.extend(ethertype.to_be_bytes());
                for label in 1..=labels {
                    octets.extend([0, label as u8, u8::from(label == labels), 64]);
                }
            }
            Self::Snap(length, organisation, ethertype) => {
                octets.extend(length.to_be_bytes());
                octets.extend([0xaa, 0xaa, 3, 0, 0, organisation]);
                octets.extend(ethertype.unwrap_or(right).to_be_bytes());
            }
        }
    }
}
