//! Counting cells: protocol, class and port.

use std::borrow::Cow;
use std::fmt;

/// IP protocol numbers that have a name here.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Authentication header.
    pub const AUTHENTICATION: u8 = 51;
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;

    use std::borrow::Cow;

    /// `tcp`, `udp`, `icmp`, `icmpv6`, or the number (counting rule 2).
    pub fn name(number: u8) -> Cow<'static, str> {
        match number {
            TCP => "tcp".into(),
            UDP => "udp".into(),
            ICMP => "icmp".into(),
            ICMPV6 => "icmpv6".into(),
            other => other.to_string().into(),
        }
    }
}

/// What kind of traffic a packet is, decided from its headers (counting rule 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// A probe: TCP SYN, UDP request, ICMP echo request.
    Scan = 0,
    /// An answer to a packet that was sent with a forged source address from the darknet.
    Backscatter = 1,
    /// Every other packet.
    Other = 2,
}

impl Class {
    /// All classes, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Scan, Self::Backscatter, Self::Other];

    /// `scan`, `backscatter` or `other`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Backscatter => "backscatter",
            Self::Other => "other",
        }
    }
}

/// A counting cell, packed into 27 bits: protocol, class, port.
///
/// The order of the packed numbers is protocol, class, no port, ports ascending.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellId(u32);

impl CellId {
    /// The cell of this protocol, class and port.
    #[inline]
    pub const fn new(protocol: u8, class: Class, port: Option<u16>) -> Self {
        let port = match port {
            Some(port) => port as u32 + 1,
            None => 0,
        };
        Self((protocol as u32) << 19 | (class as u32) << 17 | port)
    }

    /// The packed number, below 2^27.
    #[inline]
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// The cell of a packed number.
    #[inline]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// IP protocol number.
    #[inline]
    pub const fn protocol(self) -> u8 {
        (self.0 >> 19) as u8
    }

    /// Traffic class.
    #[inline]
    pub const fn class(self) -> Class {
        match self.0 >> 17 & 3 {
            0 => Class::Scan,
            1 => Class::Backscatter,
            _ => Class::Other,
        }
    }

    /// Port, or ICMP type * 256 + code; none where the packet had none.
    #[inline]
    pub const fn port(self) -> Option<u16> {
        match self.0 & 0x1_ffff {
            0 => None,
            port => Some((port - 1) as u16),
        }
    }

    /// Name of the protocol.
    pub fn protocol_name(self) -> Cow<'static, str> {
        protocol::name(self.protocol())
    }

    /// The port as text: `23`, `8/0` for ICMP, `-` without a port.
    pub fn port_text(self) -> String {
        match (self.protocol(), self.port()) {
            (_, None) => "-".to_owned(),
            (protocol::ICMP | protocol::ICMPV6, Some(port)) => {
                format!("{}/{}", port >> 8, port & 0xff)
            }
            (_, Some(port)) => port.to_string(),
        }
    }
}

impl fmt::Debug for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocol, class) = (self.protocol_name(), self.class().name());
        write!(f, "{protocol} {class} {}", self.port_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packing_keeps_everything(number: u8, class in 0usize..3, port: Option<u16>) {
            let cell = CellId::new(number, Class::ALL[class], port);
            prop_assert_eq!(cell.protocol(), number);
            prop_assert_eq!(cell.class(), Class::ALL[class]);
            prop_assert_eq!(cell.port(), port);
            prop_assert!(cell.to_bits() < 1 << 27);
            prop_assert_eq!(CellId::from_bits(cell.to_bits()), cell);
        }
    }

    #[test]
    fn ports_print_as_the_field_writes_them() {
        assert_eq!(CellId::new(1, Class::Scan, Some(0x0800)).port_text(), "8/0");
        assert_eq!(CellId::new(6, Class::Scan, Some(23)).port_text(), "23");
        assert_eq!(CellId::new(47, Class::Other, None).port_text(), "-");
    }
}
