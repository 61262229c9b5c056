//! The chain of IPv6 extension headers, and the length of the datagram.

use etherparse::{
    IpAuthHeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice, Ipv6RawExtHeaderSlice,
};

use crate::cell::protocol::{AUTHENTICATION, DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING};
use crate::error::{DecodeError, DecodeErrors};

/// Octets of the fixed IPv6 header.
pub const IPV6_HEADER_BYTES: usize = 40;

/// Result of walking the chain.
#[derive(Debug, PartialEq, Eq)]
pub struct Chain {
    /// The upper-layer protocol, or the number of the header at which the chain broke.
    pub protocol: u8,
    /// Every extension header could be read.
    pub complete: bool,
    /// A fragment after the first: what follows is not a header.
    pub later_fragment: bool,
    /// Octets before the upper-layer header.
    pub offset: usize,
    /// Where the datagram ends, in octets from its start.
    pub end: usize,
    /// Octets of the datagram on the wire: the smaller of its length field and of what the frame
    /// carried.
    pub bytes: usize,
}

/// Walks headers 0, 43, 44, 51 and 60 (counting rule 2).
///
/// `datagram` is the captured part of the `carried` octets that were on the wire. Every header has
/// at least 8 octets, so the walk ends.
pub fn walk(
    header: &Ipv6HeaderSlice<'_>,
    datagram: &[u8],
    carried: usize,
    errors: &mut DecodeErrors,
) -> Chain {
    let payload = usize::from(header.payload_length());
    let mut claimed = IPV6_HEADER_BYTES + payload;
    // A jumbogram and a segmentation offload have length 0: the datagram ends at the frame's end,
    // whatever a jumbo option claims (counting rule 3). The walk never passes `end`.
    let end = if payload == 0 {
        carried
    } else {
        claimed.min(carried)
    };
    let mut chain = Chain {
        protocol: header.next_header().0,
        complete: true,
        later_fragment: false,
        offset: IPV6_HEADER_BYTES,
        end,
        bytes: 0,
    };
    loop {
        let rest = datagram
            .get(chain.offset..end.min(datagram.len()))
            .unwrap_or(&[]);
        let step = match chain.protocol {
            number @ (HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS) => {
                Ipv6RawExtHeaderSlice::from_slice(rest).ok().map(|raw| {
                    // Only directly behind the IPv6 header (RFC 2675).
                    let is_first = chain.offset == IPV6_HEADER_BYTES;
                    if number == HOP_BY_HOP
                        && payload == 0
                        && is_first
                        && let Some(jumbo) = jumbo_length(&raw.slice()[2..])
                    {
                        claimed = IPV6_HEADER_BYTES + jumbo;
                    }
                    (raw.next_header().0, raw.slice().len())
                })
            }
            AUTHENTICATION => IpAuthHeaderSlice::from_slice(rest)
                .ok()
                .map(|auth| (auth.next_header().0, auth.slice().len())),
            FRAGMENT => Ipv6FragmentHeaderSlice::from_slice(rest)
                .ok()
                .map(|fragment| {
                    chain.later_fragment = fragment.fragment_offset().value() != 0;
                    (fragment.next_header().0, fragment.slice().len())
                }),
            _ => break,
        };
        let Some((next, bytes)) = step else {
            errors.insert(DecodeError::Ipv6ExtensionCut);
            chain.complete = false;
            break;
        };
        chain.protocol = next;
        chain.offset += bytes;
        if chain.later_fragment {
            break;
        }
    }
    if claimed > carried {
        errors.insert(DecodeError::Ipv6LengthBeyondFrame);
    }
    chain.bytes = claimed.min(carried);
    chain
}

/// The jumbo payload option (type 0xc2, RFC 2675) among a hop-by-hop header's options.
fn jumbo_length(mut options: &[u8]) -> Option<usize> {
    loop {
        match *options {
            [0xc2, 4, a, b, c, d, ..] => {
                return usize::try_from(u32::from_be_bytes([a, b, c, d])).ok();
            }
            [0, ref rest @ ..] => options = rest,
            [_, length, ref rest @ ..] => options = rest.get(usize::from(length)..)?,
            _ => return None,
        }
    }
}
