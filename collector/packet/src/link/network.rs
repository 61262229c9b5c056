//! The place of an IP header, and how it is recognised.

use noctule_abi::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};

use crate::unparsed::Unparsed;

/// Version and offset of the IP datagram in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// IPv4, starting at this offset.
    Ipv4 {
        /// Octets before the IP header.
        offset: usize,
    },
    /// IPv6, starting at this offset.
    Ipv6 {
        /// Octets before the IP header.
        offset: usize,
    },
}

/// Two octets in network order.
///
/// # Errors
/// [`Unparsed::Cut`] if the frame ends before them.
#[inline]
pub(crate) fn be16(frame: &[u8], at: usize) -> Result<u16, Unparsed> {
    match frame.get(at..at + 2) {
        Some(pair) => Ok(u16::from_be_bytes([pair[0], pair[1]])),
        None => Err(Unparsed::Cut),
    }
}

/// The IP header at `offset`, by its version.
#[inline]
pub(crate) fn by_nibble(frame: &[u8], offset: usize) -> Result<Network, Unparsed> {
    match frame.get(offset).map(|first| first >> 4) {
        Some(4) => Ok(Network::Ipv4 { offset }),
        Some(6) => Ok(Network::Ipv6 { offset }),
        Some(version) => Err(Unparsed::IpVersion(version)),
        None => Err(Unparsed::Cut),
    }
}

/// The IP header at `offset`, if its version is that of this EtherType.
#[inline]
pub(crate) fn agreed(frame: &[u8], offset: usize, ethertype: u16) -> Result<Network, Unparsed> {
    let found = match ethertype {
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => by_nibble(frame, offset)?,
        _ => return Err(Unparsed::EtherType(ethertype)),
    };
    match (ethertype, found) {
        (ETHERTYPE_IPV4, Network::Ipv6 { .. }) => Err(Unparsed::IpVersion(6)),
        (ETHERTYPE_IPV6, Network::Ipv4 { .. }) => Err(Unparsed::IpVersion(4)),
        _ => Ok(found),
    }
}
