//! From an EtherType to the IP header: tags, LLC and SNAP, PPPoE sessions, MPLS labels, and Ethernet
//! frames inside those of a provider.

use noctule_abi::link::{
    CONTROL_WORD_BYTES, ETHERTYPE_PBB, ETHERTYPE_TIME_TAG, MAX_LENGTH, PBB_BYTES, SNAP_BYTES,
    is_snap, tag_bytes, time_tag_bytes,
};
use noctule_abi::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_MPLS, ETHERTYPE_MPLS_UPSTREAM,
    ETHERTYPE_PPPOE_SESSION, MAX_MPLS_LABELS, MAX_VLAN_TAGS, MPLS_BOTTOM, MPLS_LABEL_BYTES,
    PPP_IPV4, PPP_IPV6, PPPOE_BYTES, PPPOE_SESSION,
};

use super::network::{Network, agreed, be16, by_nibble};
use super::options::LinkOptions;
use crate::unparsed::Unparsed;

/// EtherType's place of a cooked capture, for a frame that begins with an LLC header.
const COOKED_LLC: u16 = 4;

/// Finds the IP header in a frame that continues at `offset` with protocol `ethertype`.
///
/// # Errors
/// What the frame is instead.
#[inline]
pub(crate) fn by_ethertype(
    options: &LinkOptions,
    frame: &[u8],
    ethertype: u16,
    offset: usize,
) -> Result<Network, Unparsed> {
    if matches!(ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6) {
        return agreed(frame, offset, ethertype);
    }
    behind_headers(options, frame, ethertype, offset)
}

fn behind_headers(
    options: &LinkOptions,
    frame: &[u8],
    ethertype: u16,
    offset: usize,
) -> Result<Network, Unparsed> {
    let (ethertype, offset) = skip(options, frame, ethertype, offset, options.reads_pbb())?;
    match ethertype {
        ETHERTYPE_MPLS | ETHERTYPE_MPLS_UPSTREAM => {
            behind_labels(options, frame, ethertype, offset)
        }
        _ => datagram(frame, ethertype, offset),
    }
}

/// The same behind the header of a cooked capture, whose field is not a length: LLC has a number.
pub(super) fn cooked(
    options: &LinkOptions,
    frame: &[u8],
    ethertype: u16,
    offset: usize,
) -> Result<Network, Unparsed> {
    if ethertype <= MAX_LENGTH && ethertype != COOKED_LLC {
        return Err(Unparsed::EtherType(ethertype));
    }
    by_ethertype(options, frame, ethertype, offset)
}

/// Skips tags, one LLC and SNAP header, and, if `pbb` is set, one frame of provider backbone bridging
/// up to the customer's EtherType. Returns the EtherType behind them and where its payload begins.
fn skip(
    options: &LinkOptions,
    frame: &[u8],
    mut ethertype: u16,
    mut offset: usize,
    mut pbb: bool,
) -> Result<(u16, usize), Unparsed> {
    let (mut tags, mut snap) = (0, true);
    loop {
        let bytes = if ethertype <= MAX_LENGTH {
            let llc: [u8; 6] = chunk(frame, offset)?;
            if !snap || !is_snap(llc) {
                return Err(Unparsed::Llc(llc[0]));
            }
            snap = false;
            SNAP_BYTES
        } else if ethertype == ETHERTYPE_PBB && pbb {
            pbb = false;
            PBB_BYTES
        } else {
            let bytes = match ethertype {
                ETHERTYPE_TIME_TAG => time_tag_bytes(chunk(frame, offset + 4)?),
                _ => tag_bytes(ethertype, options.tag_bits()),
            };
            if bytes == 0 {
                return Ok((ethertype, offset));
            }
            tags += 1;
            if tags > MAX_VLAN_TAGS {
                return Err(Unparsed::EtherType(ethertype));
            }
            bytes
        };
        ethertype = be16(frame, offset + bytes - 2)?;
        offset += bytes;
    }
}

/// IP, or IP in a PPPoE session.
fn datagram(frame: &[u8], ethertype: u16, offset: usize) -> Result<Network, Unparsed> {
    match ethertype {
        ETHERTYPE_PPPOE_SESSION => pppoe_session(frame, offset),
        _ => agreed(frame, offset, ethertype),
    }
}

/// A PPPoE session's data.
pub(super) fn pppoe_session(frame: &[u8], offset: usize) -> Result<Network, Unparsed> {
    let not_data = Err(Unparsed::EtherType(ETHERTYPE_PPPOE_SESSION));
    if chunk(frame, offset)? != PPPOE_SESSION {
        return not_data;
    }
    match be16(frame, offset + PPPOE_BYTES - 2)? {
        PPP_IPV4 => agreed(frame, offset + PPPOE_BYTES, ETHERTYPE_IPV4),
        PPP_IPV6 => agreed(frame, offset + PPPOE_BYTES, ETHERTYPE_IPV6),
        _ => not_data,
    }
}

/// MPLS labels do not name what they carry. IP is known by its version nibble; where the options say
/// that Ethernet frames are carried, a payload that leads to an IP header as such a frame is one.
///
/// Two octets of 0 may be a control word (RFC 4448) or begin an address of the frame: then both are
/// tried.
pub(super) fn behind_labels(
    options: &LinkOptions,
    frame: &[u8],
    ethertype: u16,
    mut offset: usize,
) -> Result<Network, Unparsed> {
    let mut labels = 0;
    loop {
        let label: [u8; MPLS_LABEL_BYTES] = chunk(frame, offset)?;
        offset += MPLS_LABEL_BYTES;
        labels += 1;
        if label[2] & MPLS_BOTTOM != 0 {
            break;
        }
        if labels == MAX_MPLS_LABELS {
            return Err(Unparsed::EtherType(ethertype));
        }
    }
    let as_ip = by_nibble(frame, offset).map_err(|other| match other {
        Unparsed::IpVersion(nibble) => Unparsed::MplsPayload(nibble),
        other => other,
    });
    if !options.reads_eompls() {
        return as_ip;
    }
    let controlled = (chunk(frame, offset) == Ok([0, 0]))
        .then(|| inner_ethernet(options, frame, offset + CONTROL_WORD_BYTES));
    if let Some(Ok(found)) = controlled {
        return Ok(found);
    }
    let plain = inner_ethernet(options, frame, offset);
    match (plain, controlled, as_ip) {
        (Ok(found), _, _) | (_, _, Ok(found)) => Ok(found),
        (_, Some(other), _) | (other, None, _) => other,
    }
}

/// An Ethernet frame behind labels.
fn inner_ethernet(options: &LinkOptions, frame: &[u8], at: usize) -> Result<Network, Unparsed> {
    let ethertype = be16(frame, at + ETHERNET_BYTES - 2)?;
    let (ethertype, offset) = skip(options, frame, ethertype, at + ETHERNET_BYTES, false)?;
    datagram(frame, ethertype, offset)
}

/// `N` octets.
fn chunk<const N: usize>(frame: &[u8], at: usize) -> Result<[u8; N], Unparsed> {
    let octets = frame.get(at..).and_then(|rest| rest.first_chunk());
    octets.copied().ok_or(Unparsed::Cut)
}
