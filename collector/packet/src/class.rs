//! Traffic class from header fields: counting rule 4 of ARCHITECTURE.md.

use crate::cell::Class;

/// TCP flag bits, as in the header's octet 13.
pub mod tcp_flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgement field counts.
    pub const ACK: u8 = 0x10;
}

use tcp_flags::{ACK, FIN, RST, SYN};

/// Class of a TCP packet by its flags.
#[inline]
pub const fn tcp(flags: u8) -> Class {
    if flags & RST != 0 || flags & (SYN | ACK) == SYN | ACK {
        Class::Backscatter
    } else if flags & (SYN | FIN) == SYN {
        Class::Scan
    } else {
        Class::Other
    }
}

/// Is this what fingerprints look at: SYN without ACK, RST, FIN?
#[inline]
pub const fn is_probe(flags: u8) -> bool {
    flags & (SYN | ACK | RST | FIN) == SYN
}

/// Class of an ICMP packet by its type.
#[inline]
pub const fn icmp(kind: u8) -> Class {
    match kind {
        0 | 3 | 4 | 5 | 11 | 12 | 14 | 16 | 18 => Class::Backscatter,
        8 | 13 | 15 | 17 => Class::Scan,
        _ => Class::Other,
    }
}

/// Class of an ICMPv6 packet by its type.
#[inline]
pub const fn icmpv6(kind: u8) -> Class {
    match kind {
        1..=4 | 129 => Class::Backscatter,
        128 => Class::Scan,
        _ => Class::Other,
    }
}

/// UDP source port of DNS answers.
pub const DNS_PORT: u16 = 53;

/// Class of a UDP packet.
///
/// `length` is UDP's own length field (header included); `third` is the third payload octet,
/// whose top bit is DNS's response bit, or none where the packet was cut before it.
#[inline]
pub const fn udp(source_port: u16, length: u16, third: Option<u8>) -> Class {
    if source_port != DNS_PORT || length < 8 + 3 {
        return Class::Scan;
    }
    match third {
        Some(octet) if octet & 0x80 == 0 => Class::Scan,
        _ => Class::Backscatter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_flags_by_the_rule() {
        for flags in 0..=255u8 {
            let (syn, ack) = (flags & SYN != 0, flags & ACK != 0);
            let (rst, fin) = (flags & RST != 0, flags & FIN != 0);
            let expected = if (syn && ack) || rst {
                Class::Backscatter
            } else if syn && !ack && !rst && !fin {
                Class::Scan
            } else {
                Class::Other
            };
            assert_eq!(tcp(flags), expected, "{flags:#x}");
            assert_eq!(is_probe(flags), expected == Class::Scan, "{flags:#x}");
        }
    }

    #[test]
    fn icmp_types_by_the_rule() {
        let of =
            |class, f: fn(u8) -> Class| (0..=255u8).filter(|&t| f(t) == class).collect::<Vec<_>>();
        assert_eq!(
            of(Class::Backscatter, icmp),
            [0, 3, 4, 5, 11, 12, 14, 16, 18]
        );
        assert_eq!(of(Class::Scan, icmp), [8, 13, 15, 17]);
        assert_eq!(of(Class::Backscatter, icmpv6), [1, 2, 3, 4, 129]);
        assert_eq!(of(Class::Scan, icmpv6), [128]);
    }

    #[test]
    fn dns_answers_by_the_response_bit() {
        assert_eq!(udp(53, 40, Some(0x81)), Class::Backscatter);
        assert_eq!(udp(53, 40, Some(0x01)), Class::Scan);
        assert_eq!(udp(53, 40, None), Class::Backscatter, "cut before the bit");
        assert_eq!(
            udp(53, 10, None),
            Class::Scan,
            "two payload octets are no answer"
        );
        assert_eq!(udp(53, 11, Some(0x80)), Class::Backscatter);
        assert_eq!(udp(1234, 40, Some(0x81)), Class::Scan);
    }
}
