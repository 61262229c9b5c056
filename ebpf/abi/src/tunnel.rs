//! Tunnels that are opened on the way to the inner IP header: kinds, numbers and header layouts.

/// Kind of tunnel, a bit of a set: GRE that carries IP or Ethernet (RFC 2784, RFC 2890).
pub const TUNNEL_GRE: u32 = 1;
/// Kind of tunnel: IPv4 or IPv6 in IP (RFC 2003, RFC 2473, RFC 4213).
pub const TUNNEL_IPIP: u32 = 2;
/// Kind of tunnel: VXLAN (RFC 7348).
pub const TUNNEL_VXLAN: u32 = 4;
/// Kind of tunnel: ERSPAN types I, II and III (draft-foschiano-erspan).
pub const TUNNEL_ERSPAN: u32 = 8;

/// Kind of tunnel: Geneve (RFC 8926).
pub const TUNNEL_GENEVE: u32 = 16;
/// Kind of tunnel: user data of mobile networks, GTP-U (3GPP TS 29.281).
pub const TUNNEL_GTP: u32 = 32;

/// Most tunnel addresses that a sensor can have.
pub const MAX_TUNNEL_ENDPOINTS: usize = 64;

/// IP protocol number of IPv4 in IP.
pub const PROTOCOL_IPV4: u8 = 4;
/// IP protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// IP protocol number of IPv6 in IP.
pub const PROTOCOL_IPV6: u8 = 41;
/// IP protocol number of GRE.
pub const PROTOCOL_GRE: u8 = 47;
/// Next-header number of IPv6 destination options, in which tunnels state their encapsulation
/// limit (RFC 2473): one such header is skipped.
pub const DESTINATION_OPTIONS: u8 = 60;

/// Which kinds of tunnel an IP protocol number may be.
#[inline(always)]
pub const fn kinds_of(protocol: u8) -> u32 {
    match protocol {
        PROTOCOL_GRE => TUNNEL_GRE | TUNNEL_ERSPAN,
        PROTOCOL_IPV4 | PROTOCOL_IPV6 => TUNNEL_IPIP,
        PROTOCOL_UDP => TUNNEL_VXLAN | TUNNEL_GENEVE | TUNNEL_GTP,
        _ => 0,
    }
}

/// Is this next-header number one of the IPv6 extension headers (counting rule 2)?
#[inline(always)]
pub const fn is_extension(next: u8) -> bool {
    matches!(next, 0 | 43 | 44 | 51 | DESTINATION_OPTIONS)
}

/// IPv4: more fragments follow, or the offset is not 0. A bit mask of the header's fragment word.
pub const IPV4_FRAGMENT: u16 = 0x3fff;
/// IPv4: the offset alone.
pub const IPV4_FRAGMENT_OFFSET: u16 = 0x1fff;

/// Bytes of a GRE header without optional fields; checksum, key and sequence number add as many
/// each.
pub const GRE_BYTES: usize = 4;
/// GRE's first byte: a checksum follows.
pub const GRE_CHECKSUM: u8 = 0x80;
/// GRE's first byte: routing follows, which is not read.
pub const GRE_ROUTING: u8 = 0x40;
/// GRE's first byte: a key follows.
pub const GRE_KEY: u8 = 0x20;
/// GRE's first byte: a sequence number follows.
pub const GRE_SEQUENCE: u8 = 0x10;
/// GRE's second byte: the version, which must be 0.
pub const GRE_VERSION: u8 = 0x07;
/// GRE protocol of an Ethernet frame.
pub const GRE_ETHERNET: u16 = 0x6558;
/// GRE protocol of ERSPAN types I and II.
pub const GRE_ERSPAN: u16 = 0x88be;
/// GRE protocol of ERSPAN type III.
pub const GRE_ERSPAN3: u16 = 0x22eb;

/// Bytes of a GRE header whose first byte this is.
#[inline(always)]
pub const fn gre_bytes(flags: u8) -> usize {
    let fields = (flags >> 7) + (flags >> 5 & 1) + (flags >> 4 & 1);
    GRE_BYTES * (1 + fields as usize)
}

/// Bytes of an ERSPAN type II header. Type I, known by its GRE header without a sequence number,
/// has none.
pub const ERSPAN2_BYTES: usize = 8;
/// Bytes of an ERSPAN type III header.
pub const ERSPAN3_BYTES: usize = 12;
/// Type III's byte 10: the frame type, 0 for Ethernet.
pub const ERSPAN3_FRAME_TYPE: u8 = 0x7c;
/// Type III's byte 11: a platform-specific header of [`ERSPAN3_PLATFORM_BYTES`] follows.
pub const ERSPAN3_PLATFORM: u8 = 0x01;
/// Bytes of that header.
pub const ERSPAN3_PLATFORM_BYTES: usize = 8;

/// Bytes of a UDP header.
pub const UDP_BYTES: usize = 8;
/// UDP port of VXLAN, unless configured otherwise.
pub const VXLAN_PORT: u16 = 4789;
/// Bytes of a VXLAN header.
pub const VXLAN_BYTES: usize = 8;
/// VXLAN's first byte: the network identifier is valid. Without this bit the packet is not VXLAN.
pub const VXLAN_VALID: u8 = 0x08;

/// UDP port of Geneve.
pub const GENEVE_PORT: u16 = 6081;
/// Bytes of a Geneve header without options.
pub const GENEVE_BYTES: usize = 8;
/// Geneve's first byte: the version, which must be 0.
pub const GENEVE_VERSION: u8 = 0xc0;
/// Geneve's first byte: words of options.
pub const GENEVE_OPTIONS: u8 = 0x3f;
/// Geneve's second byte: a control message for the tunnel's endpoint, not a packet in a tunnel.
pub const GENEVE_CONTROL: u8 = 0x80;

/// UDP port of GTP-U.
pub const GTP_PORT: u16 = 2152;
/// Bytes of a GTP-U header without optional fields.
pub const GTP_BYTES: usize = 8;
/// Bytes of the optional fields, which are all there if one of them is.
pub const GTP_OPTIONAL_BYTES: usize = 4;
/// GTP-U's first byte: version and protocol type.
pub const GTP_VERSION: u8 = 0xf0;
/// Their only values that are read: version 1, GTP.
pub const GTP_VERSION_1: u8 = 0x30;
/// GTP-U's first byte: one of the optional fields is in use.
pub const GTP_OPTIONAL: u8 = 0x07;
/// GTP-U's first byte: extension headers follow the optional fields.
pub const GTP_EXTENDED: u8 = 0x04;
/// GTP-U's message type of a packet in the tunnel. Other messages are for the tunnel's endpoint.
pub const GTP_PACKET: u8 = 255;
/// Most extension headers of GTP-U that are skipped.
pub const MAX_GTP_EXTENSIONS: usize = 4;
/// Greatest length of such a header that is skipped, in words of 4 bytes.
pub const MAX_GTP_EXTENSION_WORDS: u8 = 63;

/// The kind of tunnel that a UDP port means, 0 if `kinds` has no such kind.
#[inline(always)]
pub const fn kind_of_port(kinds: u32, vxlan_port: u16, port: u16) -> u32 {
    if kinds & TUNNEL_VXLAN != 0 && port == vxlan_port {
        TUNNEL_VXLAN
    } else if kinds & TUNNEL_GENEVE != 0 && port == GENEVE_PORT {
        TUNNEL_GENEVE
    } else if kinds & TUNNEL_GTP != 0 && port == GTP_PORT {
        TUNNEL_GTP
    } else {
        0
    }
}
