//! Finds the IP header behind every kind of header that is read, as `noctule_packet::link` does it.
//!
//! The common ones are read by `main`'s own, shorter way; frames that it cannot read come here, and
//! this says what they are if they cannot be read here either.

use aya_ebpf::{Global, bindings::xdp_md, programs::XdpContext};
use noctule_abi::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_MPLS, ETHERTYPE_MPLS_UPSTREAM,
    ETHERTYPE_PPPOE_SESSION, MAX_MPLS_LABELS, MAX_VLAN_TAGS, MPLS_BOTTOM, MPLS_LABEL_BYTES,
    PPP_IPV4, PPP_IPV6, PPPOE_BYTES, PPPOE_SESSION,
    link::{
        CONTROL_WORD_BYTES, ETHERTYPE_PBB, ETHERTYPE_TIME_TAG, INNER_EOMPLS, INNER_PBB, MAX_LENGTH,
        PBB_BYTES, SNAP_BYTES, is_snap, tag_bytes, time_tag_bytes,
    },
    unparsed::{CUT, IP_VERSION, LLC, MPLS},
};

use crate::frame::{Frame, Inner, Ip, be16};

/// Configured EtherTypes of tags, 16 bits each; 0 for a free place.
#[unsafe(no_mangle)]
static OUTER_TAGS: Global<u64> = Global::new(0);

/// Ethernet frames inside those of a provider that are read, a set of `INNER_` bits.
#[unsafe(no_mangle)]
static INNER_ETHERNET: Global<u32> = Global::new(0);

/// Are Ethernet frames read behind MPLS labels?
#[inline(always)]
pub fn reads_eompls() -> bool {
    INNER_ETHERNET.load() & INNER_EOMPLS != 0
}

/// Where an IP header is, or what the frame is instead, as one number that fits a register.
#[derive(Clone, Copy)]
pub struct Found(pub u64);

impl Found {
    /// Mark of a slot of `noctule_abi::unparsed`. Otherwise the number is twice the header's offset,
    /// and one more for IPv6.
    const FAILED: u64 = 1 << 63;

    #[inline(always)]
    pub fn ip(ip: Ip) -> Self {
        Self((ip.offset as u64) << 1 | u64::from(ip.six))
    }

    #[inline(always)]
    pub fn failed(slot: u16) -> Self {
        Self(Self::FAILED | u64::from(slot))
    }

    /// The slot of a frame without an IP header.
    #[inline(always)]
    pub fn slot(self) -> Option<u16> {
        if self.0 & Self::FAILED != 0 {
            Some(self.0 as u16)
        } else {
            None
        }
    }

    /// The header's place; the verifier forgets how it was found.
    #[inline(always)]
    pub fn at(self, frame: &Inner<'_>) -> Ip {
        Ip {
            offset: frame.forget((self.0 >> 1) as usize & 0xfff),
            six: self.0 & 1 != 0,
        }
    }
}

/// Finds the IP header in what begins at `offset`, below 4 KiB, with type `ethertype`.
#[inline(always)]
pub fn network(ctx: &XdpContext, ethertype: u16, offset: usize) -> Found {
    Found(walk(ctx.ctx, u64::from(ethertype) << 16 | offset as u64))
}

/// [`network`] as a function of its own, whose arguments and result fit registers: inside of the
/// program it would cost frames that never come here.
#[inline(never)]
fn walk(ctx: *mut xdp_md, from: u64) -> u64 {
    let ctx = XdpContext::new(ctx);
    let frame = Inner(&ctx);
    let offset = frame.forget(from as usize & 0xfff);
    let found = find(&frame, (from >> 16) as u16, offset);
    match found.slot() {
        Some(slot) => Found::failed(frame.forget_number(slot)).0,
        None => found.0,
    }
}

#[inline(always)]
fn find(frame: &Inner<'_>, ethertype: u16, offset: usize) -> Found {
    let pbb = INNER_ETHERNET.load() & INNER_PBB != 0;
    let (ethertype, offset) = match skip(frame, ethertype, offset, pbb) {
        Ok(behind) => behind,
        Err(slot) => return Found::failed(slot),
    };
    if matches!(ethertype, ETHERTYPE_MPLS | ETHERTYPE_MPLS_UPSTREAM) {
        return behind_labels(frame, ethertype, offset);
    }
    datagram(frame, ethertype, offset)
}

/// The IP header at `offset`, by its version.
#[inline(always)]
pub fn by_nibble(frame: &Inner<'_>, offset: usize) -> Found {
    let Some([first]) = frame.octets(offset) else {
        return Found::failed(CUT);
    };
    match first >> 4 {
        4 => Found::ip(Ip { offset, six: false }),
        6 => Found::ip(Ip { offset, six: true }),
        version => Found::failed(IP_VERSION + u16::from(version)),
    }
}

/// Skips tags, one LLC and SNAP header, and, if `pbb` is set, one frame of provider backbone bridging
/// up to the customer's EtherType.
#[inline(always)]
fn skip(
    frame: &Inner<'_>,
    mut ethertype: u16,
    mut offset: usize,
    mut pbb: bool,
) -> Result<(u16, usize), u16> {
    let (mut tags, mut snap) = (0, true);
    // As many headers as there can be, and then the way out.
    for _ in 0..MAX_VLAN_TAGS + 3 {
        let bytes = if ethertype <= MAX_LENGTH {
            let Some::<[u8; 6]>(llc) = frame.octets(offset) else {
                return Err(CUT);
            };
            if !snap || !is_snap(llc) {
                return Err(LLC + u16::from(llc[0]));
            }
            snap = false;
            SNAP_BYTES
        } else if ethertype == ETHERTYPE_PBB && pbb {
            pbb = false;
            PBB_BYTES
        } else {
            let bytes = if ethertype == ETHERTYPE_TIME_TAG {
                let Some(octets) = frame.octets(offset + 4) else {
                    return Err(CUT);
                };
                time_tag_bytes(octets)
            } else {
                tag_bytes(ethertype, OUTER_TAGS.load())
            };
            if bytes == 0 {
                return Ok((ethertype, offset));
            }
            tags += 1;
            if tags > MAX_VLAN_TAGS {
                return Err(ethertype);
            }
            bytes
        };
        // The place of the next EtherType, and not that of what follows it: the verifier does not
        // follow accesses before a known place.
        let at = frame.forget(offset + bytes - 2);
        let Some(next) = be16(frame, at) else {
            return Err(CUT);
        };
        ethertype = next;
        offset = at + 2;
    }
    Err(ethertype)
}

/// IP, or IP in a PPPoE session.
#[inline(always)]
fn datagram(frame: &Inner<'_>, mut ethertype: u16, mut offset: usize) -> Found {
    if ethertype == ETHERTYPE_PPPOE_SESSION {
        let Some(head) = frame.octets(offset) else {
            return Found::failed(CUT);
        };
        if head != PPPOE_SESSION {
            return Found::failed(ETHERTYPE_PPPOE_SESSION);
        }
        let Some(protocol) = be16(frame, offset + PPPOE_BYTES - 2) else {
            return Found::failed(CUT);
        };
        ethertype = match protocol {
            PPP_IPV4 => ETHERTYPE_IPV4,
            PPP_IPV6 => ETHERTYPE_IPV6,
            _ => return Found::failed(ETHERTYPE_PPPOE_SESSION),
        };
        offset += PPPOE_BYTES;
    }
    if ethertype != ETHERTYPE_IPV4 && ethertype != ETHERTYPE_IPV6 {
        return Found::failed(ethertype);
    }
    let Some([first]) = frame.octets(offset) else {
        return Found::failed(CUT);
    };
    let six = ethertype == ETHERTYPE_IPV6;
    let version = first >> 4;
    if version != if six { 6 } else { 4 } {
        return Found::failed(IP_VERSION + u16::from(version));
    }
    Found::ip(Ip { offset, six })
}

/// What follows MPLS labels: IP, or Ethernet if it is read and leads to an IP header.
#[inline(always)]
fn behind_labels(frame: &Inner<'_>, ethertype: u16, mut offset: usize) -> Found {
    let mut bottom = false;
    for _ in 0..MAX_MPLS_LABELS {
        let Some([_, _, third, _]) = frame.octets(offset) else {
            return Found::failed(CUT);
        };
        offset = frame.forget(offset + MPLS_LABEL_BYTES);
        if third & MPLS_BOTTOM != 0 {
            bottom = true;
            break;
        }
    }
    if !bottom {
        return Found::failed(ethertype);
    }
    let Some([first]) = frame.octets(offset) else {
        return Found::failed(CUT);
    };
    if reads_eompls() {
        // What the verifier knows of one reading is forgotten before the next, so that the ways
        // through them add up.
        let mut controlled = None;
        if first == 0 && matches!(frame.octets(offset), Some([0, 0])) {
            let found = inner_ethernet(frame, offset + CONTROL_WORD_BYTES);
            match found.slot() {
                None => return found,
                Some(slot) => controlled = Some(frame.forget_number(slot)),
            }
        }
        let found = inner_ethernet(frame, offset);
        match found.slot() {
            None => return found,
            Some(slot) if first >> 4 != 4 && first >> 4 != 6 => {
                return Found::failed(match controlled {
                    Some(slot) => slot,
                    None => slot,
                });
            }
            Some(_) => {}
        }
    }
    match first >> 4 {
        4 => Found::ip(Ip { offset, six: false }),
        6 => Found::ip(Ip { offset, six: true }),
        other => Found::failed(MPLS + u16::from(other)),
    }
}

/// An Ethernet frame behind labels.
#[inline(always)]
fn inner_ethernet(frame: &Inner<'_>, at: usize) -> Found {
    let at = frame.forget(at);
    let Some(ethertype) = be16(frame, at + ETHERNET_BYTES - 2) else {
        return Found::failed(CUT);
    };
    match skip(frame, ethertype, at + ETHERNET_BYTES, false) {
        Ok((ethertype, offset)) => datagram(frame, ethertype, offset),
        Err(slot) => Found::failed(slot),
    }
}
