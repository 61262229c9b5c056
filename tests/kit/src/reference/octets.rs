//! Numbers and addresses in octets, where all of their octets are there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Two octets as a number, where both are there.
pub(super) fn number16(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from(*octets.get(at)?) << 8 | u16::from(*octets.get(at + 1)?))
}

pub(super) fn address4(octets: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 4] = octets.get(at..at + 4)?.try_into().ok()?;
    Some(IpAddr::V4(Ipv4Addr::from(octets)))
}

pub(super) fn address6(octets: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 16] = octets.get(at..at + 16)?.try_into().ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(octets)))
}
