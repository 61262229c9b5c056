//! Opens one tunnel level, as `noctule_packet::tunnel` does it in user space.

use aya_ebpf::{Global, macros::map, maps::HashMap, programs::XdpContext};
use noctule_abi::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6,
    tunnel::{
        DESTINATION_OPTIONS, ERSPAN2_BYTES, ERSPAN3_BYTES, ERSPAN3_FRAME_TYPE, ERSPAN3_PLATFORM,
        ERSPAN3_PLATFORM_BYTES, GENEVE_BYTES, GENEVE_CONTROL, GENEVE_OPTIONS, GENEVE_VERSION,
        GRE_ERSPAN, GRE_ERSPAN3, GRE_ETHERNET, GRE_ROUTING, GRE_SEQUENCE, GRE_VERSION, GTP_BYTES,
        GTP_EXTENDED, GTP_OPTIONAL, GTP_OPTIONAL_BYTES, GTP_PACKET, GTP_VERSION, GTP_VERSION_1,
        IPV4_FRAGMENT, IPV4_FRAGMENT_OFFSET, MAX_GTP_EXTENSION_WORDS, MAX_GTP_EXTENSIONS,
        PROTOCOL_GRE, PROTOCOL_IPV4, PROTOCOL_IPV6, PROTOCOL_UDP, TUNNEL_ERSPAN, TUNNEL_GENEVE,
        TUNNEL_GRE, TUNNEL_GTP, TUNNEL_VXLAN, UDP_BYTES, VXLAN_BYTES, VXLAN_VALID, gre_bytes,
        is_extension, kind_of_port, kinds_of,
    },
    unparsed::{CUT, TUNNEL},
};

use crate::frame::{Frame, Inner, Ip, be16};
use crate::layers::{self, Found};

/// Kinds of tunnel that are opened, a set of `TUNNEL_` bits. If it is empty, the verifier drops the
/// code that opens tunnels.
#[unsafe(no_mangle)]
pub static TUNNELS: Global<u32> = Global::new(0);

/// UDP port of VXLAN.
#[unsafe(no_mangle)]
static TUNNEL_VXLAN_PORT: Global<u32> = Global::new(0);

/// This sensor's own IPv4 tunnel addresses (network order); the value is not used.
#[map]
static ENDPOINTS4: HashMap<[u8; 4], u8> = HashMap::with_max_entries(1, 0);

/// This sensor's own IPv6 tunnel addresses (network order); the value is not used.
#[map]
static ENDPOINTS6: HashMap<[u8; 16], u8> = HashMap::with_max_entries(1, 0);

/// What [`open`] finds in a packet, as one number that fits a register. A packet that cannot be opened
/// has the number that [`Found`] has for such a frame.
#[derive(Clone, Copy)]
pub struct Tunnel(u64);

impl Tunnel {
    /// It is not a tunnel packet for this sensor: its outer header decides.
    const ABSENT: Self = Self(0);
    /// Mark of an IP datagram's offset.
    const IP: u64 = 1 << 62;
    /// Mark of an EtherType, and 16 bits of its payload's offset.
    const INSIDE: u64 = 1 << 61;

    #[inline(always)]
    fn failed(slot: u16) -> Self {
        Self(Found::failed(slot).0)
    }

    #[inline(always)]
    fn ip(offset: usize) -> Self {
        Self(Self::IP | (offset & 0xfff) as u64)
    }

    #[inline(always)]
    fn inside(ethertype: u16, offset: usize) -> Self {
        Self(Self::INSIDE | u64::from(ethertype) << 16 | (offset & 0xfff) as u64)
    }

    /// The slot of a packet that cannot be opened or is cut.
    #[inline(always)]
    pub fn slot(self) -> Option<u16> {
        Found(self.0).slot()
    }

    /// Is this no tunnel packet for this sensor?
    #[inline(always)]
    pub fn is_absent(self) -> bool {
        self.0 == Self::ABSENT.0
    }

    /// The IP header of what the tunnel carries.
    #[inline(always)]
    pub fn find(self, ctx: &XdpContext, frame: &Inner<'_>) -> Found {
        let offset = self.0 as usize & 0xfff;
        if self.0 & Self::IP != 0 {
            return layers::by_nibble(frame, offset);
        }
        layers::network(ctx, (self.0 >> 16) as u16, offset)
    }
}

/// Opens a tunnel packet for one of this sensor's endpoints.
#[inline(always)]
pub fn open(frame: &Inner<'_>, ip: Ip) -> Tunnel {
    let kinds = TUNNELS.load();
    if ip.six {
        let Some([next]) = frame.octets(ip.offset + 6) else {
            return Tunnel::failed(CUT);
        };
        if !is_extension(next) && kinds & kinds_of(next) == 0 {
            return Tunnel::ABSENT;
        }
        let Some::<[u8; 16]>(destination) = frame.octets(ip.offset + 24) else {
            return Tunnel::failed(CUT);
        };
        if ENDPOINTS6.get_ptr(&destination).is_none() {
            return Tunnel::ABSENT;
        }
        return match behind_options(frame, kinds, next, ip.offset + 40) {
            Some(opened) => opened,
            None => Tunnel::failed(TUNNEL + u16::from(next)),
        };
    }
    let Some([number]) = frame.octets(ip.offset + 9) else {
        return Tunnel::failed(CUT);
    };
    if kinds & kinds_of(number) == 0 {
        return Tunnel::ABSENT;
    }
    let Some::<[u8; 4]>(destination) = frame.octets(ip.offset + 16) else {
        return Tunnel::failed(CUT);
    };
    if ENDPOINTS4.get_ptr(&destination).is_none() {
        return Tunnel::ABSENT;
    }
    let Some([first]) = frame.octets(ip.offset) else {
        return Tunnel::failed(CUT);
    };
    let Some(fragment) = be16(frame, ip.offset + 6) else {
        return Tunnel::failed(CUT);
    };
    let header_bytes = usize::from(first & 0xf) * 4;
    let failed = Tunnel::failed(TUNNEL + u16::from(number));
    if header_bytes < 20 {
        return failed;
    }
    let at = ip.offset + header_bytes;
    match decapsulate(frame, kinds, number, at, fragment & IPV4_FRAGMENT) {
        Some(opened) => opened,
        None => failed,
    }
}

/// The tunnel behind an IPv6 header, which may have destination options. `None` if it cannot be
/// opened.
#[inline(always)]
fn behind_options(frame: &Inner<'_>, kinds: u32, next: u8, behind: usize) -> Option<Tunnel> {
    let (protocol, at);
    if next == DESTINATION_OPTIONS {
        let [next, units] = frame.octets(behind)?;
        protocol = next;
        at = behind + 8 + usize::from(units) * 8;
    } else {
        protocol = next;
        at = behind;
    }
    if is_extension(protocol) {
        return None;
    }
    if kinds & kinds_of(protocol) == 0 {
        return Some(Tunnel::ABSENT);
    }
    decapsulate(frame, kinds, protocol, at, 0)
}

/// The inside of a packet of this protocol whose header begins at `at`. `None` if it cannot be
/// opened.
#[inline(always)]
fn decapsulate(
    frame: &Inner<'_>,
    kinds: u32,
    protocol: u8,
    at: usize,
    fragment: u16,
) -> Option<Tunnel> {
    let at = frame.forget(at);
    let mut kind = 0;
    if protocol == PROTOCOL_UDP {
        // A fragment after the first has no ports, so it is no tunnel packet.
        if fragment & IPV4_FRAGMENT_OFFSET != 0 {
            return Some(Tunnel::ABSENT);
        }
        let vxlan_port = TUNNEL_VXLAN_PORT.load() as u16;
        kind = kind_of_port(kinds, vxlan_port, be16(frame, at + 2)?);
        if kind == 0 {
            return Some(Tunnel::ABSENT);
        }
    }
    if fragment != 0 {
        return None;
    }
    let (ethertype, offset) = match protocol {
        PROTOCOL_IPV4 => (ETHERTYPE_IPV4, at),
        PROTOCOL_IPV6 => (ETHERTYPE_IPV6, at),
        PROTOCOL_UDP if kind == TUNNEL_VXLAN => {
            let [flags] = frame.octets(at + UDP_BYTES)?;
            if flags & VXLAN_VALID == 0 {
                return None;
            }
            ethernet(frame, at + UDP_BYTES + VXLAN_BYTES)?
        }
        PROTOCOL_UDP if kind == TUNNEL_GENEVE => return geneve(frame, at + UDP_BYTES),
        PROTOCOL_UDP if kind == TUNNEL_GTP => return gtp(frame, at + UDP_BYTES),
        PROTOCOL_GRE => return gre(frame, kinds, at),
        _ => return None,
    };
    Some(Tunnel::inside(ethertype, offset))
}

/// The inside of a Geneve packet, as [`open`] returns it.
#[inline(always)]
fn geneve(frame: &Inner<'_>, at: usize) -> Option<Tunnel> {
    let [first, second, high, low] = frame.octets(at)?;
    if first & GENEVE_VERSION != 0 {
        return None;
    }
    if second & GENEVE_CONTROL != 0 {
        return Some(Tunnel::ABSENT);
    }
    let inner = at + GENEVE_BYTES + usize::from(first & GENEVE_OPTIONS) * 4;
    let carried = u16::from_be_bytes([high, low]);
    let (ethertype, offset) = match carried {
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => (carried, inner),
        GRE_ETHERNET => ethernet(frame, inner)?,
        _ => return None,
    };
    Some(Tunnel::inside(ethertype, offset))
}

/// The inside of a GTP-U packet, as [`open`] returns it.
#[inline(always)]
fn gtp(frame: &Inner<'_>, at: usize) -> Option<Tunnel> {
    let [flags, message] = frame.octets(at)?;
    if flags & GTP_VERSION != GTP_VERSION_1 {
        return None;
    }
    if message != GTP_PACKET {
        return Some(Tunnel::ABSENT);
    }
    if flags & GTP_OPTIONAL == 0 {
        return Some(Tunnel::ip(at + GTP_BYTES));
    }
    // The last octet of the optional fields and of each extension header is the next one's type.
    let last = at + GTP_BYTES + GTP_OPTIONAL_BYTES - 1;
    let [mut next] = frame.octets(last)?;
    let mut inner = last + 1;
    if flags & GTP_EXTENDED == 0 {
        return Some(Tunnel::ip(inner));
    }
    for _ in 0..MAX_GTP_EXTENSIONS {
        if next == 0 {
            break;
        }
        let [units] = frame.octets(inner)?;
        if units == 0 || units > MAX_GTP_EXTENSION_WORDS {
            return None;
        }
        let last = frame.forget(inner + usize::from(units) * 4 - 1);
        [next] = frame.octets(last)?;
        inner = last + 1;
    }
    if next != 0 {
        return None;
    }
    Some(Tunnel::ip(inner))
}

/// The inside of a GRE packet, as [`open`] returns it.
#[inline(always)]
fn gre(frame: &Inner<'_>, kinds: u32, at: usize) -> Option<Tunnel> {
    let [flags, version, high, low] = frame.octets(at)?;
    if flags & GRE_ROUTING != 0 || version & GRE_VERSION != 0 {
        return None;
    }
    let inner = at + gre_bytes(flags);
    let carried = u16::from_be_bytes([high, low]);
    let (ethertype, offset) = match carried {
        GRE_ERSPAN if kinds & TUNNEL_ERSPAN != 0 => {
            let header = if flags & GRE_SEQUENCE != 0 {
                ERSPAN2_BYTES
            } else {
                0
            };
            ethernet(frame, inner + header)?
        }
        GRE_ERSPAN3 if kinds & TUNNEL_ERSPAN != 0 => {
            let [kind, last] = frame.octets(inner + ERSPAN3_BYTES - 2)?;
            if kind & ERSPAN3_FRAME_TYPE != 0 {
                return None;
            }
            let platform = usize::from(last & ERSPAN3_PLATFORM) * ERSPAN3_PLATFORM_BYTES;
            ethernet(frame, inner + ERSPAN3_BYTES + platform)?
        }
        // Only ERSPAN is opened, and this packet is not ERSPAN.
        _ if kinds & TUNNEL_GRE == 0 => return Some(Tunnel::ABSENT),
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => (carried, inner),
        GRE_ETHERNET => ethernet(frame, inner)?,
        _ => return None,
    };
    Some(Tunnel::inside(ethertype, offset))
}

#[inline(always)]
fn ethernet(frame: &Inner<'_>, at: usize) -> Option<(u16, usize)> {
    Some((be16(frame, at + ETHERNET_BYTES - 2)?, at + ETHERNET_BYTES))
}
