//! Types and limits that the XDP program and user space share.
//!
//! Everything here is plain data with a fixed layout (`repr(C)`, native byte
//! order): the kernel side writes it into BPF maps, user space reads it back.

#![no_std]

/// 802.1Q / 802.1ad tags that are skipped on the way to the IP header. A frame
/// with more is passed to the host's stack and counted as not parsed.
pub const MAX_VLAN_TAGS: usize = 2;

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// EtherType of an 802.1Q tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// EtherType of an 802.1ad (service) tag.
pub const ETHERTYPE_QINQ: u16 = 0x88a8;
/// EtherType of a service tag before 802.1ad.
pub const ETHERTYPE_QINQ_OLD: u16 = 0x9100;

/// Bytes of an Ethernet header without tags.
pub const ETHERNET_BYTES: usize = 14;
/// Bytes of one VLAN tag.
pub const VLAN_TAG_BYTES: usize = 4;

/// Is this EtherType a VLAN tag?
#[inline(always)]
pub const fn is_vlan(ethertype: u16) -> bool {
    matches!(
        ethertype,
        ETHERTYPE_VLAN | ETHERTYPE_QINQ | ETHERTYPE_QINQ_OLD
    )
}

/// Value of a prefix-trie entry: addresses under it are dark.
pub const PREFIX_INCLUDE: u32 = 1;
/// Value of a prefix-trie entry: addresses under it are not dark.
pub const PREFIX_EXCLUDE: u32 = 2;

/// What becomes of a dark packet whose queue has no socket: the host's stack gets it.
pub const UNSERVED_PASS: u32 = 2;
/// What becomes of a dark packet whose queue has no socket: it is dropped.
pub const UNSERVED_DROP: u32 = 1;

/// Packets and bytes (of the frame as the NIC delivered it).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames.
    pub packets: u64,
    /// Octets of these frames, link-layer header included.
    pub bytes: u64,
}

/// What the XDP program decided on one RX queue, one copy per CPU, since it was loaded.
///
/// Each frame adds to exactly one field. `matched` is `redirected + unserved_passed +
/// unserved_dropped`; it is not stored, so that a reader can never see it torn.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Dark frames handed to the queue's AF_XDP socket.
    pub redirected: Tally,
    /// Dark frames of a queue without a socket that went on to the host's stack.
    pub unserved_passed: Tally,
    /// Dark frames of a queue without a socket that were dropped.
    pub unserved_dropped: Tally,
    /// IP frames whose destination is not dark, passed untouched.
    pub passed: Tally,
    /// Frames that are not IP, are cut before the destination address, or carry more tags
    /// than [`MAX_VLAN_TAGS`]; passed untouched.
    pub not_parsed: Tally,
}

impl Verdicts {
    /// Frames whose destination was dark, whatever became of them.
    pub const fn matched(&self) -> u64 {
        self.redirected.packets + self.unserved_passed.packets + self.unserved_dropped.packets
    }
}
