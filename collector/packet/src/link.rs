//! From a link-layer frame to its IP header.
//!
//! The XDP program finds it in Ethernet frames with the same limits (`noctule-abi`); a test compares
//! both.

use noctule_abi::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_MPLS, ETHERTYPE_MPLS_UPSTREAM,
    ETHERTYPE_PPPOE_SESSION, MAX_MPLS_LABELS, MAX_VLAN_TAGS, MPLS_BOTTOM, MPLS_LABEL_BYTES,
    PPP_IPV4, PPP_IPV6, PPPOE_BYTES, PPPOE_SESSION, VLAN_TAG_BYTES, is_vlan,
};

/// The link layer of a capture's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// Ethernet II, with up to [`MAX_VLAN_TAGS`] tags and then IP, a PPPoE session, or up to
    /// [`MAX_MPLS_LABELS`] labels.
    Ethernet,
    /// The frame is the IP datagram.
    RawIp,
    /// Linux "cooked" capture, version 1: a 16-byte header.
    LinuxSll,
    /// Linux "cooked" capture, version 2: a 20-byte header.
    LinuxSll2,
    /// BSD loopback: a 4-byte address family, in the byte order of the capturing machine
    /// (`DLT_NULL`) or in network order (`DLT_LOOP`).
    BsdLoopback,
}

impl LinkType {
    /// The link type of a capture file's number; none if it is not supported.
    ///
    /// Numbers: <https://www.tcpdump.org/linktypes.html>; 12 and 14 are `DLT_RAW` on some systems.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 | 108 => Some(Self::BsdLoopback),
            1 => Some(Self::Ethernet),
            12 | 14 | 101 | 228 | 229 => Some(Self::RawIp),
            113 => Some(Self::LinuxSll),
            276 => Some(Self::LinuxSll2),
            _ => None,
        }
    }
}

/// Version and offset of the IP datagram in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// IPv4, starting at this offset.
    Ipv4 {
        /// Octets before the IP header.
        offset: usize,
    },
    /// IPv6, starting at this offset.
    Ipv6 {
        /// Octets before the IP header.
        offset: usize,
    },
}

/// Finds the IP header. `None` if the frame is not IP, is cut before its first IP octet, or has more
/// tags or labels than [`MAX_VLAN_TAGS`] and [`MAX_MPLS_LABELS`].
///
/// The version nibble must agree with the link layer's protocol.
#[inline]
pub fn network(link: LinkType, frame: &[u8]) -> Option<Network> {
    match link {
        LinkType::Ethernet => {
            let ethertype = be16(frame, ETHERNET_BYTES - 2)?;
            by_ethertype(frame, ethertype, ETHERNET_BYTES)
        }
        LinkType::RawIp => by_nibble(frame, 0),
        LinkType::LinuxSll => by_ethertype(frame, be16(frame, 14)?, 16),
        LinkType::LinuxSll2 => by_ethertype(frame, be16(frame, 0)?, 20),
        LinkType::BsdLoopback => by_family(frame),
    }
}

/// Two octets in network order.
#[inline]
pub(crate) fn be16(frame: &[u8], at: usize) -> Option<u16> {
    let pair = frame.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

/// Finds the IP header in a frame that continues at `offset` with protocol `ethertype`.
#[inline]
pub(crate) fn by_ethertype(frame: &[u8], mut ethertype: u16, mut offset: usize) -> Option<Network> {
    for _ in 0..MAX_VLAN_TAGS {
        if !is_vlan(ethertype) {
            break;
        }
        ethertype = be16(frame, offset + 2)?;
        offset += VLAN_TAG_BYTES;
    }
    match ethertype {
        ETHERTYPE_PPPOE_SESSION => {
            if frame.get(offset..offset + 2)? != PPPOE_SESSION {
                return None;
            }
            ethertype = match be16(frame, offset + PPPOE_BYTES - 2)? {
                PPP_IPV4 => ETHERTYPE_IPV4,
                PPP_IPV6 => ETHERTYPE_IPV6,
                _ => return None,
            };
            offset += PPPOE_BYTES;
        }
        ETHERTYPE_MPLS | ETHERTYPE_MPLS_UPSTREAM => return behind_labels(frame, offset),
        _ => {}
    }
    let found = by_nibble(frame, offset)?;
    match (ethertype, found) {
        (ETHERTYPE_IPV4, Network::Ipv4 { .. }) | (ETHERTYPE_IPV6, Network::Ipv6 { .. }) => {
            Some(found)
        }
        _ => None,
    }
}

/// MPLS labels do not name the protocol that they carry; the version nibble behind the last label
/// does.
fn behind_labels(frame: &[u8], offset: usize) -> Option<Network> {
    let labels = frame.get(offset..)?.chunks_exact(MPLS_LABEL_BYTES);
    let last = (labels.take(MAX_MPLS_LABELS)).position(|label| label[2] & MPLS_BOTTOM != 0)?;
    by_nibble(frame, offset + (last + 1) * MPLS_LABEL_BYTES)
}

#[inline]
fn by_nibble(frame: &[u8], offset: usize) -> Option<Network> {
    match frame.get(offset)? >> 4 {
        4 => Some(Network::Ipv4 { offset }),
        6 => Some(Network::Ipv6 { offset }),
        _ => None,
    }
}

/// AF_INET is 2 everywhere; AF_INET6 is 10 on Linux and 24, 28 or 30 on the BSDs and macOS.
fn by_family(frame: &[u8]) -> Option<Network> {
    let octets: [u8; 4] = frame.get(..4)?.try_into().ok()?;
    let big = u32::from_be_bytes(octets);
    let family = if big > 0xffff { big.swap_bytes() } else { big };
    match (family, by_nibble(frame, 4)?) {
        (2, found @ Network::Ipv4 { .. }) | (10 | 24 | 28 | 30, found @ Network::Ipv6 { .. }) => {
            Some(found)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ethernet(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        for tag in tags {
            frame.extend(tag.to_be_bytes());
            frame.extend([0, 1]);
        }
        frame.extend(ethertype.to_be_bytes());
        frame.extend(payload);
        frame
    }

    #[test]
    fn tags_are_skipped_up_to_the_limit() {
        for tags in 0..=MAX_VLAN_TAGS + 2 {
            let frame = ethernet(&vec![0x8100; tags], 0x0800, &[0x45]);
            let expected = (tags <= MAX_VLAN_TAGS).then_some(Network::Ipv4 {
                offset: 14 + 4 * tags,
            });
            assert_eq!(network(LinkType::Ethernet, &frame), expected, "{tags} tags");
        }
    }

    #[test]
    fn pppoe_sessions_are_opened() {
        let session = |head: [u8; 2], protocol: u16, first: u8| {
            let mut payload = [head[0], head[1], 0, 9, 0, 30].to_vec();
            payload.extend(protocol.to_be_bytes());
            payload.push(first);
            network(LinkType::Ethernet, &ethernet(&[0x8100], 0x8864, &payload))
        };
        assert_eq!(
            session([0x11, 0], 0x21, 0x45),
            Some(Network::Ipv4 { offset: 26 })
        );
        assert_eq!(
            session([0x11, 0], 0x57, 0x60),
            Some(Network::Ipv6 { offset: 26 })
        );
        assert_eq!(session([0x11, 0], 0x57, 0x45), None, "the nibble disagrees");
        assert_eq!(session([0x11, 0], 0xc021, 0x45), None, "link control");
        assert_eq!(session([0x11, 7], 0x21, 0x45), None, "discovery");
    }

    #[test]
    fn mpls_labels_are_skipped_up_to_the_limit() {
        for labels in 1..=10 {
            let mut payload = [0, 0, 0, 64].repeat(labels);
            payload[labels * 4 - 2] = 1;
            payload.push(0x45);
            let expected = (labels <= MAX_MPLS_LABELS).then_some(Network::Ipv4 {
                offset: 14 + 4 * labels,
            });
            for ethertype in [0x8847, 0x8848] {
                let frame = ethernet(&[], ethertype, &payload);
                assert_eq!(
                    network(LinkType::Ethernet, &frame),
                    expected,
                    "{labels} labels"
                );
            }
        }
        let bottomless = ethernet(&[], 0x8847, &[0; 9]);
        assert_eq!(network(LinkType::Ethernet, &bottomless), None);
    }

    #[test]
    fn the_version_nibble_must_agree_with_the_ethertype() {
        assert_eq!(
            network(LinkType::Ethernet, &ethernet(&[], 0x0800, &[0x60])),
            None
        );
        assert_eq!(
            network(LinkType::Ethernet, &ethernet(&[], 0x86dd, &[0x60])),
            Some(Network::Ipv6 { offset: 14 })
        );
        assert_eq!(
            network(LinkType::Ethernet, &ethernet(&[], 0x0806, &[0x45])),
            None
        );
    }

    #[test]
    fn every_link_type_finds_its_header() {
        let mut sll = vec![0; 14];
        sll.extend([0x08, 0x00, 0x45]);
        assert_eq!(
            network(LinkType::LinuxSll, &sll),
            Some(Network::Ipv4 { offset: 16 })
        );
        let mut sll2 = vec![0x86, 0xdd];
        sll2.resize(20, 0);
        sll2.push(0x60);
        assert_eq!(
            network(LinkType::LinuxSll2, &sll2),
            Some(Network::Ipv6 { offset: 20 })
        );
        for family in [[2, 0, 0, 0], [0, 0, 0, 2]] {
            let frame = [&family[..], &[0x45]].concat();
            assert_eq!(
                network(LinkType::BsdLoopback, &frame),
                Some(Network::Ipv4 { offset: 4 })
            );
        }
        let frame = [30, 0, 0, 0, 0x60];
        assert_eq!(
            network(LinkType::BsdLoopback, &frame),
            Some(Network::Ipv6 { offset: 4 })
        );
        assert_eq!(
            network(LinkType::RawIp, &[0x45]),
            Some(Network::Ipv4 { offset: 0 })
        );
        assert_eq!(network(LinkType::RawIp, &[]), None);
    }

    #[test]
    fn a_frame_cut_anywhere_in_its_link_header_is_not_ip() {
        let frame = ethernet(&[0x88a8, 0x8100], 0x0800, &[0x45]);
        for cut in 0..frame.len() {
            assert_eq!(
                network(LinkType::Ethernet, &frame[..cut]),
                None,
                "cut at {cut}"
            );
        }
    }
}
