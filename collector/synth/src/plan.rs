//! What a frame is meant to be: the truth about it, fixed before it is built.

use std::net::IpAddr;

pub(super) use noctule_packet::cell::{Class, protocol};

use super::address::Source;
use super::probe::Probe;

/// Layer and reason of a header error.
pub(super) type HeaderError = (&'static str, &'static str);

/// The source address of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Sender {
    /// Its number, below 2^28.
    index: u64,
    six: bool,
    bogon: bool,
}

impl Sender {
    /// The source's IPv4 address.
    pub fn four(source: Source) -> Self {
        Self {
            index: source.index,
            six: false,
            bogon: source.bogon,
        }
    }

    /// The source's IPv6 address.
    pub fn six(source: Source) -> Self {
        Self {
            six: true,
            ..Self::four(source)
        }
    }

    /// A number of at most 30 bits, another one for each address.
    pub fn key(self) -> u32 {
        (self.index << 2) as u32 | u32::from(self.six) << 1 | u32::from(self.bogon)
    }

    /// The sender with this number.
    pub fn from_key(key: u32) -> Self {
        Self {
            index: u64::from(key >> 2),
            six: key & 2 != 0,
            bogon: key & 1 != 0,
        }
    }

    /// Its source's number.
    pub fn index(self) -> u64 {
        self.index
    }

    /// True if no host can have this address.
    pub fn is_bogon(self) -> bool {
        self.bogon
    }
}

/// What an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Quote {
    /// A packet from the address that the error goes to.
    Victim(Victim),
    /// A packet from another address.
    Foreign,
    /// Not enough of a packet, or none.
    Unreadable,
}

/// Where a quoted packet was going to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Victim {
    pub address: IpAddr,
    pub protocol: u8,
    pub port: Option<u16>,
}

/// A dark packet's cell, and what else is counted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dark {
    pub sender: Sender,
    /// IP protocol number; for IPv6 that of the last header.
    pub protocol: u8,
    pub class: Class,
    pub port: Option<u16>,
    /// Octets of the IP datagram, by the rule of the smaller length.
    pub bytes: u64,
    /// What fingerprints see, in a SYN over IPv4 whose fixed header is whole.
    pub probe: Option<Probe>,
    pub quote: Option<Quote>,
    pub error: Option<HeaderError>,
}

impl Dark {
    /// The same, as what fingerprints look at.
    pub fn with_probe(self, probe: Probe) -> Self {
        Self {
            probe: Some(probe),
            ..self
        }
    }

    /// The same, as an error that quotes a packet.
    pub fn with_quote(self, quote: Quote) -> Self {
        Self {
            quote: Some(quote),
            ..self
        }
    }
}

/// Whether a frame is dark, and what is counted of it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlannedFrame {
    Dark(Dark),
    Passed,
}
