//! Opens one tunnel level, as `noctule_packet::tunnel` does it in user space.

use aya_ebpf::{Global, macros::map, maps::HashMap};
use noctule_abi::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6,
    tunnel::{
        DESTINATION_OPTIONS, ERSPAN2_BYTES, ERSPAN3_BYTES, ERSPAN3_FRAME_TYPE, ERSPAN3_PLATFORM,
        ERSPAN3_PLATFORM_BYTES, GRE_ERSPAN, GRE_ERSPAN3, GRE_ETHERNET, GRE_ROUTING, GRE_SEQUENCE,
        GRE_VERSION, IPV4_FRAGMENT, IPV4_FRAGMENT_OFFSET, PROTOCOL_GRE, PROTOCOL_IPV4,
        PROTOCOL_IPV6, PROTOCOL_UDP, TUNNEL_ERSPAN, TUNNEL_GRE, UDP_BYTES, VXLAN_BYTES,
        VXLAN_VALID, gre_bytes, is_extension, kinds_of,
    },
};

use crate::frame::{Frame, Inner, Ip, be16};

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

/// What [`open`] finds in a packet.
pub enum Tunnel {
    /// It is not a tunnel packet for this sensor: its outer header decides.
    Absent,
    /// The EtherType and the offset of what the tunnel carries.
    Inside(u16, usize),
}

/// Opens a tunnel packet for one of this sensor's endpoints.
///
/// `None` if the packet is a tunnel packet for this sensor that cannot be opened.
#[inline(always)]
pub fn open(frame: &Inner<'_>, ip: Ip) -> Option<Tunnel> {
    let kinds = TUNNELS.load();
    let (protocol, at, fragment);
    if ip.six {
        let [next] = frame.octets(ip.offset + 6)?;
        if !is_extension(next) && kinds & kinds_of(next) == 0 {
            return Some(Tunnel::Absent);
        }
        let destination: [u8; 16] = frame.octets(ip.offset + 24)?;
        if ENDPOINTS6.get_ptr(&destination).is_none() {
            return Some(Tunnel::Absent);
        }
        let behind = ip.offset + 40;
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
        fragment = 0;
    } else {
        let [first] = frame.octets(ip.offset)?;
        let [number] = frame.octets(ip.offset + 9)?;
        if kinds & kinds_of(number) == 0 {
            return Some(Tunnel::Absent);
        }
        let destination: [u8; 4] = frame.octets(ip.offset + 16)?;
        if ENDPOINTS4.get_ptr(&destination).is_none() {
            return Some(Tunnel::Absent);
        }
        let header_bytes = usize::from(first & 0xf) * 4;
        if header_bytes < 20 {
            return None;
        }
        protocol = number;
        at = ip.offset + header_bytes;
        fragment = be16(frame, ip.offset + 6)? & IPV4_FRAGMENT;
    }
    if kinds & kinds_of(protocol) == 0 {
        return Some(Tunnel::Absent);
    }
    if protocol == PROTOCOL_UDP {
        // A fragment after the first has no ports, so it cannot be recognised as VXLAN.
        if fragment & IPV4_FRAGMENT_OFFSET != 0
            || u32::from(be16(frame, at + 2)?) != TUNNEL_VXLAN_PORT.load()
        {
            return Some(Tunnel::Absent);
        }
    }
    if fragment != 0 {
        return None;
    }
    let (ethertype, offset) = match protocol {
        PROTOCOL_IPV4 => (ETHERTYPE_IPV4, at),
        PROTOCOL_IPV6 => (ETHERTYPE_IPV6, at),
        PROTOCOL_UDP => {
            let [flags] = frame.octets(at + UDP_BYTES)?;
            if flags & VXLAN_VALID == 0 {
                return None;
            }
            ethernet(frame, at + UDP_BYTES + VXLAN_BYTES)?
        }
        PROTOCOL_GRE => return gre(frame, kinds, at),
        _ => return None,
    };
    Some(Tunnel::Inside(ethertype, offset))
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
            let header = if flags & GRE_SEQUENCE != 0 { ERSPAN2_BYTES } else { 0 };
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
        _ if kinds & TUNNEL_GRE == 0 => return Some(Tunnel::Absent),
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => (carried, inner),
        GRE_ETHERNET => ethernet(frame, inner)?,
        _ => return None,
    };
    Some(Tunnel::Inside(ethertype, offset))
}

#[inline(always)]
fn ethernet(frame: &Inner<'_>, at: usize) -> Option<(u16, usize)> {
    Some((be16(frame, at + ETHERNET_BYTES - 2)?, at + ETHERNET_BYTES))
}
