//! What a frame is meant to be: the truth about it, fixed before it is built.

pub(super) use noctule_packet::cell::{Class, protocol};

/// A fingerprint of counting rule 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fingerprint {
    Mirai,
    Zmap,
    Masscan,
}

impl Fingerprint {
    pub fn name(self) -> &'static str {
        match self {
            Self::Mirai => "mirai",
            Self::Zmap => "zmap",
            Self::Masscan => "masscan",
        }
    }
}

/// Layer and reason of a header error.
pub(super) type HeaderError = (&'static str, &'static str);

/// A dark packet's cell, and what else is counted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dark {
    pub six: bool,
    pub source: u64,
    /// IP protocol number; for IPv6 that of the last header.
    pub protocol: u8,
    pub class: Class,
    pub port: Option<u16>,
    /// Octets of the IP datagram, by the rule of the smaller length.
    pub bytes: u64,
    pub fingerprint: Option<Fingerprint>,
    pub error: Option<HeaderError>,
}

/// A frame's fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Dark(Dark),
    Passed,
}
