//! What frames are that were not parsed.

use std::borrow::Cow;

use noctule_abi::unparsed::{CUT, IP_VERSION, LLC, MPLS, TUNNEL};

/// What a frame is in which no destination address was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unparsed {
    /// It ends before the destination address, or before a header that would say where that is.
    Cut,
    /// This EtherType is not read, or comes more often than is read.
    EtherType(u16),
    /// IEEE 802.2 for this service access point, without an EtherType.
    Llc(u8),
    /// The link layer says that it is IP, of another version than the header's, which is this.
    IpVersion(u8),
    /// MPLS labels are followed by these four bits, so that it is not IP.
    MplsPayload(u8),
    /// A packet for a tunnel endpoint that cannot be opened; the outer header's protocol number.
    Tunnel(u8),
    /// PPP with this protocol number.
    Ppp(u16),
    /// BSD loopback with this address family.
    Family(u32),
    /// A netfilter log of this address family, or one without a packet.
    Nflog(u8),
    /// A capture's link type that is not read.
    LinkType(u32),
    /// There were more kinds than are kept apart.
    Other,
}

impl Unparsed {
    /// The kind, as table `unparsed` has it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::EtherType(_) => "ethertype",
            Self::Llc(_) => "llc",
            Self::IpVersion(_) => "ip_version",
            Self::MplsPayload(_) => "mpls_payload",
            Self::Tunnel(_) => "tunnel",
            Self::Ppp(_) => "ppp",
            Self::Family(_) => "family",
            Self::Nflog(_) => "nflog",
            Self::LinkType(_) => "link_type",
            Self::Other => "other",
        }
    }

    /// The number; none for `cut` and `other`.
    pub const fn number(self) -> Option<u32> {
        match self {
            Self::Cut | Self::Other => None,
            Self::EtherType(number) | Self::Ppp(number) => Some(number as u32),
            Self::Llc(number)
            | Self::IpVersion(number)
            | Self::MplsPayload(number)
            | Self::Tunnel(number)
            | Self::Nflog(number) => Some(number as u32),
            Self::Family(number) | Self::LinkType(number) => Some(number),
        }
    }

    /// What the XDP program counts in this slot of `noctule_abi::unparsed`.
    pub const fn from_slot(slot: u16) -> Self {
        let low = slot as u8;
        match slot {
            CUT => Self::Cut,
            IP_VERSION..0x20 => Self::IpVersion(low & 0xf),
            MPLS..0x30 => Self::MplsPayload(low & 0xf),
            LLC..TUNNEL => Self::Llc(low),
            TUNNEL..0x300 => Self::Tunnel(low),
            ethertype => Self::EtherType(ethertype),
        }
    }

    /// The slot in which the XDP program counts it; none if it does not occur in Ethernet frames.
    pub const fn slot(self) -> Option<u16> {
        match self {
            Self::Cut => Some(CUT),
            Self::EtherType(number) => Some(number),
            Self::Llc(number) => Some(LLC + number as u16),
            Self::IpVersion(number) => Some(IP_VERSION + number as u16),
            Self::MplsPayload(number) => Some(MPLS + number as u16),
            Self::Tunnel(number) => Some(TUNNEL + number as u16),
            _ => None,
        }
    }

    /// A name for people.
    pub fn name(self) -> Cow<'static, str> {
        let known = match self {
            Self::Cut => "frames cut before the destination address",
            Self::EtherType(number) => return ethertype_name(number).into(),
            Self::Llc(number) => match number {
                0x42 => "spanning tree",
                0xaa => "SNAP of a vendor (CDP, VTP, PVST+, UDLD)",
                0xe0 | 0xff => "IPX",
                0xf0 => "NetBIOS",
                0xfe => "ISO (IS-IS)",
                _ => "802.2 without an EtherType",
            },
            Self::IpVersion(_) => "header of another IP version than announced",
            Self::MplsPayload(_) => "MPLS with something else than IP",
            Self::Tunnel(number) => return tunnel_name(number).into(),
            Self::Ppp(number) => match number {
                0xc021 => "PPP link control",
                0xc023 | 0xc223 => "PPP authentication",
                0x8021 | 0x8057 => "PPP address negotiation",
                0xc025 => "PPP link quality",
                _ => "PPP",
            },
            Self::Family(_) => "address family that is not IP",
            Self::Nflog(_) => "log without an IP packet",
            Self::LinkType(number) => link_type_name(number),
            Self::Other => "further kinds",
        };
        known.into()
    }
}

const fn tunnel_name(protocol: u8) -> &'static str {
    match protocol {
        4 => "IPv4 in IP that cannot be opened",
        17 => "tunnel over UDP that cannot be opened",
        41 => "IPv6 in IP that cannot be opened",
        47 => "GRE that cannot be opened",
        _ => "tunnel packet that cannot be opened",
    }
}

/// Names of EtherTypes that are seen on gateways (<https://www.iana.org/assignments/ieee-802-numbers>).
const fn ethertype_name(number: u16) -> &'static str {
    match number {
        0x0806 => "ARP",
        0x8035 => "RARP",
        0x8100 | 0x88a8 | 0x9100 | 0x9200 => "more VLAN tags than are read",
        0x8137 | 0x8138 => "IPX",
        0x8808 => "Ethernet flow control",
        0x8809 => "slow protocols (LACP, OAM)",
        0x8847 | 0x8848 => "more MPLS labels than are read",
        0x8863 => "PPPoE discovery",
        0x8864 => "PPPoE session without IP",
        0x886d | 0x8874 | 0x8899 => "vendor's loop detection",
        0x888e => "802.1X",
        0x8892 => "PROFINET",
        0x88a4 => "EtherCAT",
        0x88cc => "LLDP",
        0x88e5 => "MACsec",
        0x88e7 => "provider backbone bridging",
        0x88f5 => "MVRP",
        0x88f7 => "PTP",
        0x8902 => "connectivity fault management",
        0x8906 | 0x8914 => "Fibre Channel over Ethernet",
        0x8926 => "more VN-Tags than are read",
        0x893f => "more E-Tags than are read",
        0x894f => "network service header",
        0x8988 => "more time tags than are read",
        0x9000 => "loopback test",
        0x8200 | 0x9300 => "often an outer VLAN tag",
        _ => "not read",
    }
}

/// Name of a capture's link type (<https://www.tcpdump.org/linktypes.html>) that is not read.
pub const fn link_type_name(number: u32) -> &'static str {
    match number {
        6 => "Token Ring",
        7 => "ARCNET",
        8 => "SLIP",
        10 => "FDDI",
        11 | 100 => "ATM",
        105 => "IEEE 802.11",
        107 => "frame relay",
        109 => "IPsec's enc interface",
        117 => "OpenBSD's pflog",
        119 | 127 | 163 => "IEEE 802.11 with radio headers",
        147..=162 => "private use",
        165 | 177 | 187 | 201 => "telephone or Bluetooth signalling",
        166 => "PPP of pppd",
        189 | 220 | 249 => "USB",
        192 => "per-packet information",
        195 | 215 | 230 => "IEEE 802.15.4",
        204 => "PPP with direction",
        210 => "FlexRay",
        227 => "CAN",
        240 | 241 => "netANALYZER",
        242 => "IP over InfiniBand",
        253 => "netlink",
        277 | 278 => "Z-Wave or DSA",
        _ => "not known",
    }
}
