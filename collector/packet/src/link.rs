//! From a link-layer frame to its IP header.
//!
//! The XDP program finds it in Ethernet frames with the same limits (`noctule-abi`); a test compares
//! both.

use noctule_abi::{ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6};

use crate::unparsed::Unparsed;

mod ethernet;
mod network;
mod nflog;
mod options;
mod serial;
#[cfg(test)]
mod tests;

pub(crate) use self::ethernet::by_ethertype;
pub use self::network::Network;
pub(crate) use self::network::{agreed, be16, by_nibble};
pub use self::options::{InnerEthernet, LinkOptions, LinkOptionsError};

/// The link layer of a capture's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// Ethernet: II, or IEEE 802.3 with LLC and SNAP, with tags and then IP, a PPPoE session, or
    /// MPLS labels.
    Ethernet,
    /// The frame is the IP datagram.
    RawIp,
    /// Linux "cooked" capture, version 1: a 16-byte header.
    LinuxSll,
    /// Linux "cooked" capture, version 2: a 20-byte header.
    LinuxSll2,
    /// BSD loopback: a 4-byte address family, in the byte order of the capturing machine
    /// (`DLT_NULL`) or in network order (`DLT_LOOP`).
    BsdLoopback,
    /// Cisco HDLC: address, control, EtherType.
    CiscoHdlc,
    /// PPP, with or without HDLC's address and control octets.
    Ppp,
    /// PPP in HDLC-like framing, or Cisco HDLC: the first octet says which.
    PppSerial,
    /// A PPPoE session without the Ethernet header before it.
    PppoeSession,
    /// Linux netfilter's log: attributes, one of which is the IP datagram.
    Nflog,
}

impl LinkType {
    /// The link type of a capture file's number; none if it is not supported.
    ///
    /// Numbers: <https://www.tcpdump.org/linktypes.html>; 12 and 14 are `DLT_RAW` on some systems.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 | 108 => Some(Self::BsdLoopback),
            1 => Some(Self::Ethernet),
            9 => Some(Self::Ppp),
            12 | 14 | 101 | 228 | 229 => Some(Self::RawIp),
            50 => Some(Self::PppSerial),
            51 => Some(Self::PppoeSession),
            104 => Some(Self::CiscoHdlc),
            113 => Some(Self::LinuxSll),
            239 => Some(Self::Nflog),
            276 => Some(Self::LinuxSll2),
            _ => None,
        }
    }
}

/// [`find`] without options: `None` if it finds no IP header.
#[inline]
pub fn network(link: LinkType, frame: &[u8]) -> Option<Network> {
    find(&LinkOptions::DEFAULT, link, frame).ok()
}

/// Finds the IP header. The version nibble must agree with the link layer's protocol.
///
/// # Errors
/// What the frame is instead, if it is not IP, is cut before its first IP octet, or has more tags or
/// labels than are read.
#[inline]
pub fn find(options: &LinkOptions, link: LinkType, frame: &[u8]) -> Result<Network, Unparsed> {
    match link {
        LinkType::Ethernet => {
            let ethertype = be16(frame, ETHERNET_BYTES - 2)?;
            by_ethertype(options, frame, ethertype, ETHERNET_BYTES)
        }
        LinkType::RawIp => by_nibble(frame, 0),
        _ => find_rarer(options, link, frame),
    }
}

fn find_rarer(options: &LinkOptions, link: LinkType, frame: &[u8]) -> Result<Network, Unparsed> {
    match link {
        LinkType::LinuxSll => ethernet::cooked(options, frame, be16(frame, 14)?, 16),
        LinkType::LinuxSll2 => ethernet::cooked(options, frame, be16(frame, 0)?, 20),
        LinkType::BsdLoopback => by_family(frame),
        LinkType::CiscoHdlc => serial::cisco(options, frame),
        LinkType::Ppp => serial::ppp(options, frame),
        LinkType::PppSerial => serial::ppp_or_cisco(options, frame),
        LinkType::PppoeSession => ethernet::pppoe_session(frame, 0),
        LinkType::Nflog => nflog::datagram(frame),
        LinkType::Ethernet | LinkType::RawIp => find(options, link, frame),
    }
}

/// AF_INET is 2 everywhere; AF_INET6 is 10 on Linux and 24, 28 or 30 on the BSDs and macOS.
fn by_family(frame: &[u8]) -> Result<Network, Unparsed> {
    let octets = frame.first_chunk().ok_or(Unparsed::Cut)?;
    let big = u32::from_be_bytes(*octets);
    let family = if big > 0xffff { big.swap_bytes() } else { big };
    match family {
        2 => agreed(frame, 4, ETHERTYPE_IPV4),
        10 | 24 | 28 | 30 => agreed(frame, 4, ETHERTYPE_IPV6),
        _ => Err(Unparsed::Family(family)),
    }
}
