//! Serial lines: Cisco HDLC and PPP.

use noctule_abi::link::MAX_LENGTH;
use noctule_abi::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_MPLS, PPP_IPV4, PPP_IPV6};

use super::ethernet::{behind_labels, by_ethertype};
use super::network::{Network, agreed, be16};
use super::options::LinkOptions;
use crate::unparsed::Unparsed;

/// Octets before the datagram of Cisco HDLC: address, control, EtherType.
const CISCO_BYTES: usize = 4;
/// Cisco HDLC's addresses of unicast and of multicast frames.
const CISCO_ADDRESSES: [u8; 2] = [0x0f, 0x8f];
/// Address and control octet of PPP in HDLC-like framing (RFC 1662).
const ADDRESS_CONTROL: [u8; 2] = [0xff, 0x03];
/// PPP protocol numbers of MPLS (RFC 3032).
const PPP_MPLS: [u16; 2] = [0x0281, 0x0283];

/// Cisco HDLC.
pub(super) fn cisco(options: &LinkOptions, frame: &[u8]) -> Result<Network, Unparsed> {
    let ethertype = be16(frame, CISCO_BYTES - 2)?;
    if ethertype <= MAX_LENGTH {
        return Err(Unparsed::EtherType(ethertype));
    }
    by_ethertype(options, frame, ethertype, CISCO_BYTES)
}

/// PPP. Address and control octet may be absent, and a protocol number below 256 may have one octet
/// (RFC 1661, section 6.5).
pub(super) fn ppp(options: &LinkOptions, frame: &[u8]) -> Result<Network, Unparsed> {
    let at = if frame.starts_with(&ADDRESS_CONTROL) {
        ADDRESS_CONTROL.len()
    } else {
        0
    };
    let first = *frame.get(at).ok_or(Unparsed::Cut)?;
    // The last octet of a number is odd, and no other is.
    let (protocol, offset) = if first & 1 == 1 {
        (u16::from(first), at + 1)
    } else {
        (be16(frame, at)?, at + 2)
    };
    match protocol {
        PPP_IPV4 => agreed(frame, offset, ETHERTYPE_IPV4),
        PPP_IPV6 => agreed(frame, offset, ETHERTYPE_IPV6),
        other if PPP_MPLS.contains(&other) => behind_labels(options, frame, ETHERTYPE_MPLS, offset),
        other => Err(Unparsed::Ppp(other)),
    }
}

/// The first octet is different in PPP and Cisco HDLC.
pub(super) fn ppp_or_cisco(options: &LinkOptions, frame: &[u8]) -> Result<Network, Unparsed> {
    match frame.first() {
        Some(first) if CISCO_ADDRESSES.contains(first) => cisco(options, frame),
        _ => ppp(options, frame),
    }
}
