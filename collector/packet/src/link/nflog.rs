//! Linux netfilter's log: a header of four octets, then attributes.
//!
//! Source: <https://www.tcpdump.org/linktypes/LINKTYPE_NFLOG.html>.

use noctule_abi::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};

use super::network::{Network, agreed};
use crate::unparsed::Unparsed;

/// Octets of family, version and resource number.
const HEADER_BYTES: usize = 4;
/// Octets of an attribute's length and type.
const ATTRIBUTE_BYTES: usize = 4;
/// Type of the attribute that is the packet.
const PAYLOAD: u16 = 9;
/// Linux's AF_INET and AF_INET6.
const INET: u8 = 2;
const INET6: u8 = 10;

/// Finds the datagram. Lengths and types are in the byte order of the machine that captured, which
/// the frame does not state: types are below 256, so that the octet that is not 0 shows the order.
pub(super) fn datagram(frame: &[u8]) -> Result<Network, Unparsed> {
    let &[family, ..] = frame.first_chunk::<HEADER_BYTES>().ok_or(Unparsed::Cut)?;
    let ethertype = match family {
        INET => ETHERTYPE_IPV4,
        INET6 => ETHERTYPE_IPV6,
        _ => return Err(Unparsed::Nflog(family)),
    };
    let mut at = HEADER_BYTES;
    loop {
        let attribute = frame.get(at..).and_then(|rest| rest.first_chunk());
        let &[a, b, c, d] = attribute.ok_or(Unparsed::Cut)?;
        let (length, kind): (_, u16) = match (c, d) {
            (_, 0) => (u16::from_le_bytes([a, b]), c.into()),
            (0, _) => (u16::from_be_bytes([a, b]), d.into()),
            _ => return Err(Unparsed::Nflog(family)),
        };
        let length = usize::from(length);
        if length < ATTRIBUTE_BYTES {
            return Err(Unparsed::Nflog(family));
        }
        if kind == PAYLOAD {
            return agreed(frame, at + ATTRIBUTE_BYTES, ethertype);
        }
        at += length.next_multiple_of(4);
    }
}
