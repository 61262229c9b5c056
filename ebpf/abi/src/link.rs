//! Headers between Ethernet and IP beside plain VLAN tags, PPPoE and MPLS: numbers and sizes.
//!
//! A size is that of everything between two EtherTypes, the second included: the next EtherType is
//! the last two octets.

use crate::{VLAN_TAG_BYTES, is_vlan};

/// Greatest value of an EtherType field that is a length (IEEE 802.3); an LLC header follows.
pub const MAX_LENGTH: u16 = 1500;
/// LLC and SNAP header with an EtherType: RFC 1042.
pub const SNAP: [u8; 6] = [0xaa, 0xaa, 3, 0, 0, 0];
/// LLC and SNAP header of a bridged EtherType: IEEE 802.1H.
pub const SNAP_BRIDGED: [u8; 6] = [0xaa, 0xaa, 3, 0, 0, 0xf8];
/// Bytes of an LLC and SNAP header.
pub const SNAP_BYTES: usize = 8;

/// EtherType of Cisco's VN-Tag.
pub const ETHERTYPE_VNTAG: u16 = 0x8926;
/// Bytes of a VN-Tag.
pub const VNTAG_BYTES: usize = 6;
/// EtherType of an IEEE 802.1BR E-Tag.
pub const ETHERTYPE_ETAG: u16 = 0x893f;
/// Bytes of an E-Tag.
pub const ETAG_BYTES: usize = 8;
/// EtherType of the time stamp that Cisco's switches put in front of mirrored frames.
pub const ETHERTYPE_TIME_TAG: u16 = 0x8988;
/// Bytes of a time tag with a time of 32 bits.
pub const TIME_TAG_SHORT_BYTES: usize = 6;
/// Bytes of a time tag with a time of 48 bits.
pub const TIME_TAG_BYTES: usize = 8;

/// EtherType of provider backbone bridging's service tag (IEEE 802.1ah).
pub const ETHERTYPE_PBB: u16 = 0x88e7;
/// Bytes of that tag with the addresses and the EtherType of the customer's frame.
pub const PBB_BYTES: usize = 18;
/// Bytes of the control word before an Ethernet frame behind MPLS labels (RFC 4448).
pub const CONTROL_WORD_BYTES: usize = 4;

/// What is read beside plain frames, a bit of a set: provider backbone bridging.
pub const INNER_PBB: u32 = 1;
/// What is read beside plain frames: Ethernet behind MPLS labels.
pub const INNER_EOMPLS: u32 = 2;

/// Most EtherTypes that the configuration can add to those of VLAN tags.
pub const MAX_OUTER_TAGS: usize = 4;

/// Is `octets` an LLC and SNAP header behind which an EtherType follows?
#[inline(always)]
pub const fn is_snap(octets: [u8; 6]) -> bool {
    // All but the last octet are equal in both.
    matches!(octets, [0xaa, 0xaa, 3, 0, 0, 0 | 0xf8])
}

/// Bytes of the tag that this EtherType announces, 0 if it is no tag. `outer_tags` are the
/// configured ones, 16 bits each, 0 for none. The time tag has two sizes: [`time_tag_bytes`].
#[inline(always)]
pub const fn tag_bytes(ethertype: u16, outer_tags: u64) -> usize {
    if is_vlan(ethertype) || is_outer_tag(ethertype, outer_tags) {
        return VLAN_TAG_BYTES;
    }
    match ethertype {
        ETHERTYPE_VNTAG => VNTAG_BYTES,
        ETHERTYPE_ETAG => ETAG_BYTES,
        _ => 0,
    }
}

#[inline(always)]
const fn is_outer_tag(ethertype: u16, outer_tags: u64) -> bool {
    ethertype == outer_tags as u16
        || ethertype == (outer_tags >> 16) as u16
        || ethertype == (outer_tags >> 32) as u16
        || ethertype == (outer_tags >> 48) as u16
}

/// Bytes of a time tag, by the four octets that begin 4 octets behind its EtherType. The time has
/// 48 bits, unless an EtherType that is read follows 32 bits of it, and none follows 48.
#[inline(always)]
pub const fn time_tag_bytes([a, b, c, d]: [u8; 4]) -> usize {
    if is_read(u16::from_be_bytes([a, b])) && !is_read(u16::from_be_bytes([c, d])) {
        TIME_TAG_SHORT_BYTES
    } else {
        TIME_TAG_BYTES
    }
}

/// EtherTypes that are read whatever the configuration, but for tags of other kinds than VLAN.
#[inline(always)]
const fn is_read(ethertype: u16) -> bool {
    is_vlan(ethertype)
        || matches!(
            ethertype,
            crate::ETHERTYPE_IPV4
                | crate::ETHERTYPE_IPV6
                | crate::ETHERTYPE_PPPOE_SESSION
                | crate::ETHERTYPE_MPLS
                | crate::ETHERTYPE_MPLS_UPSTREAM
        )
}
