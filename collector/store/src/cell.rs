//! What packets are counted by in every table: IP protocol, traffic class and port.

/// The traffic class of a packet, decided from its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A probe.
    Scan,
    /// An answer to a packet whose forged source address was a darknet address.
    Backscatter,
    /// Any other packet.
    Other,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Scan, Self::Backscatter, Self::Other];

    /// The class as tables write it: `scan`, `backscatter` or `other`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Backscatter => "backscatter",
            Self::Other => "other",
        }
    }
}

/// A counting cell. The order is protocol, class, no port, ports ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// IP protocol number.
    pub protocol: u8,
    /// Traffic class.
    pub class: Class,
    /// Destination port, for backscatter the source port; ICMP: type * 256 + code; none where the
    /// packet has no port.
    pub port: Option<u16>,
}

impl Cell {
    /// The cell of this protocol, class and port.
    #[inline]
    pub const fn new(protocol: u8, class: Class, port: Option<u16>) -> Self {
        Self {
            protocol,
            class,
            port,
        }
    }
}
