//! Types and limits that the XDP program and user space share.
//!
//! Everything here is plain data with a fixed layout (`repr(C)`, native byte
//! order): the kernel side writes it into BPF maps, user space reads it back.

#![no_std]

pub mod ledger;
pub mod link;
pub mod tunnel;
pub mod unparsed;

/// Tags that are skipped on the way to the IP header, of every kind together. A frame
/// with more is passed to the host's stack and counted as not parsed.
pub const MAX_VLAN_TAGS: usize = 4;
/// MPLS labels that are skipped, with the same consequence beyond.
pub const MAX_MPLS_LABELS: usize = 8;

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
/// EtherType of an outer tag that some switches use instead of the others.
pub const ETHERTYPE_QINQ_9200: u16 = 0x9200;

/// EtherType of a PPPoE session frame.
pub const ETHERTYPE_PPPOE_SESSION: u16 = 0x8864;
/// EtherType of MPLS.
pub const ETHERTYPE_MPLS: u16 = 0x8847;
/// EtherType of MPLS with an upstream-assigned label.
pub const ETHERTYPE_MPLS_UPSTREAM: u16 = 0x8848;

/// Version 1, type 1, code 0: how every PPPoE session frame begins (RFC 2516).
pub const PPPOE_SESSION: [u8; 2] = [0x11, 0];
/// Bytes of a PPPoE header with the PPP protocol number behind it.
pub const PPPOE_BYTES: usize = 8;
/// PPP protocol number of IPv4.
pub const PPP_IPV4: u16 = 0x0021;
/// PPP protocol number of IPv6.
pub const PPP_IPV6: u16 = 0x0057;

/// Bytes of one MPLS label.
pub const MPLS_LABEL_BYTES: usize = 4;
/// Bit of a label's third byte: the label is the last.
pub const MPLS_BOTTOM: u8 = 0x01;

/// Bytes of an Ethernet header without tags.
pub const ETHERNET_BYTES: usize = 14;
/// Bytes of one VLAN tag.
pub const VLAN_TAG_BYTES: usize = 4;

/// Is this EtherType a VLAN tag?
#[inline(always)]
pub const fn is_vlan(ethertype: u16) -> bool {
    matches!(
        ethertype,
        ETHERTYPE_VLAN | ETHERTYPE_QINQ | ETHERTYPE_QINQ_OLD | ETHERTYPE_QINQ_9200
    )
}

/// Value of a prefix-trie entry: addresses under it are dark.
pub const PREFIX_INCLUDE: u32 = 1;
/// Value of a prefix-trie entry: addresses under it are not dark.
pub const PREFIX_EXCLUDE: u32 = 2;

/// Generations of prefixes: one is in force, the other is idle until a reload fills it.
pub const GENERATIONS: u32 = 2;
/// Tiles of a generation: one per IPv4 /16.
pub const TILES: u32 = 1 << 16;
/// A tile: two bits for each /24 of its /16, the lowest bits of the first word for the first.
pub type Tile = [u64; 8];
/// State of a /24 in its tile: no address of it is dark.
pub const TILE_PASSED: u64 = 0;
/// State of a /24 in its tile: every address of it is dark.
pub const TILE_DARK: u64 = 1;
/// State of a /24 in its tile: some of its addresses are dark, and the trie says which.
pub const TILE_ASK: u64 = 2;
/// Words of a generation's IPv6 filter: a bit for each value of an address's first 16 bits, set
/// where an address under it may be dark.
pub const FILTER_WORDS: u32 = 1 << 10;

/// Action for a dark packet whose queue has no socket: the host's stack gets it (`XDP_PASS`).
pub const UNSERVED_PASS: u32 = 2;
/// Action for a dark packet whose queue has no socket: it is dropped (`XDP_DROP`).
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

/// What the XDP program decided on one RX queue, since it was loaded.
///
/// Each frame adds to exactly one field. `matched` is `redirected + unserved_passed +
/// unserved_dropped`; it is not stored, so that a reader can never see it torn. Two queues share
/// no pair of cache lines.
#[repr(C, align(128))]
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
    /// Frames that are not IP, are cut before the destination address, carry more tags or
    /// labels than [`MAX_VLAN_TAGS`] and [`MAX_MPLS_LABELS`], or are tunnel packets for this
    /// sensor that cannot be opened; passed untouched. [`unparsed`] says what they are.
    pub not_parsed: Tally,
}

impl Verdicts {
    /// Frames whose destination was dark, with a socket or without.
    pub const fn matched(&self) -> u64 {
        self.redirected.packets + self.unserved_passed.packets + self.unserved_dropped.packets
    }
}
