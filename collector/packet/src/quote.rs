//! The packets that ICMP errors quote: packets with a forged source address from the darknet.
//!
//! The destination of such a packet is the victim of an attack with forged sources. By RFC 792 (ICMP)
//! and RFC 4443, section 3 (ICMPv6), the quote starts after 8 octets.

use etherparse::Ipv6HeaderSlice;

use crate::cell::protocol;
use crate::error::DecodeErrors;
use crate::extension;
use crate::source::Source;

/// Octets of an ICMP error before its quote.
const ERROR_BYTES: usize = 8;

/// What an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoted {
    /// A packet from the address that the error was sent to.
    Victim(Victim),
    /// A packet from another address: the error does not answer a packet with a darknet address.
    Foreign,
    /// The quote is cut before its destination address, or is not IP.
    Unreadable,
}

/// Destination of the quoted packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Victim {
    /// Quoted destination address.
    pub address: Source,
    /// Quoted protocol.
    pub protocol: u8,
    /// Quoted destination port; ICMP: type * 256 + code; none where the quote has no port.
    pub port: Option<u16>,
}

/// True if this ICMP type is an error, which quotes a packet.
#[inline]
pub const fn icmp_quotes(kind: u8) -> bool {
    matches!(kind, 3 | 4 | 5 | 11 | 12)
}

/// True if this ICMPv6 type is an error, which quotes a packet.
#[inline]
pub const fn icmpv6_quotes(kind: u8) -> bool {
    matches!(kind, 1..=4)
}

/// Reads the quote of an ICMP error that was sent to `receiver`.
///
/// `message` is the captured part of the ICMP message.
pub fn read(message: &[u8], receiver: Source) -> Quoted {
    let quote = message.get(ERROR_BYTES..).unwrap_or_default();
    let found = match quote.first().map(|octet| octet >> 4) {
        Some(4) => ipv4(quote),
        Some(6) => ipv6(quote),
        _ => None,
    };
    match found {
        None => Quoted::Unreadable,
        Some((source, _)) if source != receiver => Quoted::Foreign,
        Some((_, victim)) => Quoted::Victim(victim),
    }
}

fn ipv4(quote: &[u8]) -> Option<(Source, Victim)> {
    let fixed: &[u8; 20] = quote.first_chunk()?;
    let address = |at: usize| {
        Source::V4(u32::from_be_bytes([
            fixed[at],
            fixed[at + 1],
            fixed[at + 2],
            fixed[at + 3],
        ]))
    };
    let header_bytes = usize::from(fixed[0] & 0xf) * 4;
    let later_fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff != 0;
    let inner = if header_bytes < 20 || later_fragment {
        &[]
    } else {
        quote.get(header_bytes..).unwrap_or_default()
    };
    let victim = Victim {
        address: address(16),
        protocol: fixed[9],
        port: port(fixed[9], inner),
    };
    Some((address(12), victim))
}

fn ipv6(quote: &[u8]) -> Option<(Source, Victim)> {
    let header = Ipv6HeaderSlice::from_slice(quote).ok()?;
    // Quotes are usually cut, so errors in them are not errors of the packet.
    let chain = extension::walk(&header, quote, quote.len(), &mut DecodeErrors::default());
    let inner = if chain.complete && !chain.later_fragment {
        quote.get(chain.offset..).unwrap_or_default()
    } else {
        &[]
    };
    let victim = Victim {
        address: Source::V6(u128::from_be_bytes(header.destination())),
        protocol: chain.protocol,
        port: port(chain.protocol, inner),
    };
    Some((Source::V6(u128::from_be_bytes(header.source())), victim))
}

fn port(number: u8, inner: &[u8]) -> Option<u16> {
    match (number, inner) {
        (protocol::TCP | protocol::UDP, &[_, _, a, b, ..])
        | (protocol::ICMP | protocol::ICMPV6, &[a, b, ..]) => Some(u16::from_be_bytes([a, b])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: u32 = 0xc612_0304;
    const VICTIM: u32 = 0x0808_0808;

    fn message(ihl: u8, number: u8, fragment: u16, inner: &[u8]) -> Vec<u8> {
        let mut message = vec![3, 3, 0, 0, 0, 0, 0, 0];
        let mut header = vec![0; usize::from(ihl.max(5)) * 4];
        header[0] = 0x40 | ihl;
        header[6..8].copy_from_slice(&fragment.to_be_bytes());
        header[9] = number;
        header[12..16].copy_from_slice(&OURS.to_be_bytes());
        header[16..20].copy_from_slice(&VICTIM.to_be_bytes());
        message.extend(header);
        message.extend(inner);
        message
    }

    fn victim(protocol: u8, port: Option<u16>) -> Quoted {
        Quoted::Victim(Victim {
            address: Source::V4(VICTIM),
            protocol,
            port,
        })
    }

    #[test]
    fn the_quoted_destination_is_the_victim() {
        let of = |ihl, number, fragment, inner: &[u8]| {
            read(&message(ihl, number, fragment, inner), Source::V4(OURS))
        };
        assert_eq!(
            of(5, 17, 0, &[0x9c, 0x40, 0, 53, 0, 8, 0, 0]),
            victim(17, Some(53))
        );
        assert_eq!(
            of(6, 6, 0, &[0x9c, 0x40, 1, 0xbb]),
            victim(6, Some(443)),
            "behind options"
        );
        assert_eq!(of(5, 1, 0x2000, &[8, 0]), victim(1, Some(0x0800)));
        assert_eq!(
            of(5, 6, 0, &[0x9c, 0x40, 1]),
            victim(6, None),
            "cut before the port"
        );
        assert_eq!(
            of(5, 6, 9, &[0x9c, 0x40, 1, 0xbb]),
            victim(6, None),
            "a later fragment"
        );
        assert_eq!(
            of(4, 6, 0, &[0x9c, 0x40, 1, 0xbb]),
            victim(6, None),
            "an IHL below 5"
        );
        assert_eq!(of(5, 47, 0, &[0, 0, 8, 0]), victim(47, None));
    }

    #[test]
    fn a_quote_of_somebody_else_is_foreign() {
        let message = message(5, 17, 0, &[0; 8]);
        assert_eq!(read(&message, Source::V4(OURS + 1)), Quoted::Foreign);
        assert_eq!(
            read(&message, Source::V6(u128::from(OURS))),
            Quoted::Foreign
        );
    }

    #[test]
    fn a_cut_quote_is_unreadable() {
        let whole = message(5, 17, 0, &[0; 8]);
        for end in 0..28 {
            assert_eq!(
                read(&whole[..end], Source::V4(OURS)),
                Quoted::Unreadable,
                "{end}"
            );
        }
        assert!(matches!(
            read(&whole[..28], Source::V4(OURS)),
            Quoted::Victim(_)
        ));
    }

    #[test]
    fn ipv6_quotes_are_read_through_their_extensions() {
        let mut message = vec![1, 4, 0, 0, 0, 0, 0, 0];
        let mut header = vec![0x60, 0, 0, 0, 0, 16, 60, 64];
        header.extend([0x20; 16]);
        header.extend([0x30; 16]);
        message.extend(header);
        message.extend([17, 0, 1, 4, 0, 0, 0, 0, 0x9c, 0x40, 0, 53, 0, 8, 0, 0]);
        let ours = Source::V6(u128::from_be_bytes([0x20; 16]));
        let expected = Victim {
            address: Source::V6(u128::from_be_bytes([0x30; 16])),
            protocol: 17,
            port: Some(53),
        };
        assert_eq!(read(&message, ours), Quoted::Victim(expected));
    }

    proptest! {
        #[test]
        fn any_message_is_read(message in proptest::collection::vec(any::<u8>(), 0..120), to: u32) {
            read(&message, Source::V4(to));
        }
    }
}
