//! Source addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A source address, in host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// IPv4.
    V4(u32),
    /// IPv6.
    V6(u128),
}

impl From<Source> for IpAddr {
    #[inline]
    fn from(source: Source) -> Self {
        match source {
            Source::V4(bits) => Ipv4Addr::from_bits(bits).into(),
            Source::V6(bits) => Ipv6Addr::from_bits(bits).into(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}
