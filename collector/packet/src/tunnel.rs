//! Tunnels that end at this sensor: from the outer IP header to the inner one.
//!
//! Only packets to a configured endpoint are decapsulated, and only one level deep. The XDP program
//! follows the same rules (`ebpf/src/tunnel.rs`); a test compares both on thousands of frames.

use std::net::IpAddr;

use noctule_abi::tunnel::{
    DESTINATION_OPTIONS, ERSPAN2_BYTES, ERSPAN3_BYTES, ERSPAN3_FRAME_TYPE, ERSPAN3_PLATFORM,
    ERSPAN3_PLATFORM_BYTES, GENEVE_BYTES, GENEVE_CONTROL, GENEVE_OPTIONS, GENEVE_PORT,
    GENEVE_VERSION, GRE_ERSPAN, GRE_ERSPAN3, GRE_ETHERNET, GRE_ROUTING, GRE_SEQUENCE, GRE_VERSION,
    GTP_BYTES, GTP_EXTENDED, GTP_OPTIONAL, GTP_OPTIONAL_BYTES, GTP_PACKET, GTP_PORT, GTP_VERSION,
    GTP_VERSION_1, IPV4_FRAGMENT, IPV4_FRAGMENT_OFFSET, MAX_GTP_EXTENSION_WORDS,
    MAX_GTP_EXTENSIONS, MAX_TUNNEL_ENDPOINTS, PROTOCOL_GRE, PROTOCOL_IPV4, PROTOCOL_IPV6,
    PROTOCOL_UDP, TUNNEL_ERSPAN, TUNNEL_GENEVE, TUNNEL_GRE, TUNNEL_VXLAN, UDP_BYTES, VXLAN_BYTES,
    VXLAN_PORT, VXLAN_VALID, gre_bytes, is_extension, kind_of_port, kinds_of,
};
use noctule_abi::{ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6};

use crate::link::{LinkOptions, Network, be16, by_ethertype, by_nibble};
pub use crate::tunnel_kind::{TunnelError, TunnelKind};
use crate::unparsed::Unparsed;

/// The tunnels that end at this sensor; by default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tunnels {
    /// A set of `TUNNEL_` bits; empty if and only if there are no endpoints.
    kinds: u32,
    vxlan_port: u16,
    /// Sorted, host order.
    endpoints4: Vec<u32>,
    /// Sorted, host order.
    endpoints6: Vec<u128>,
}

/// The payload of a tunnel packet, and the octets before it.
enum Inside {
    /// A payload of this EtherType.
    Ethertype(u16, usize),
    /// An IP datagram, by its version.
    Ip(usize),
}

/// A frame that was looked into for a tunnel.
enum Opened {
    /// A tunnel packet for one of the endpoints, and where its inside begins.
    Inner(Inside),
    /// Any other packet.
    NotTunnel,
}

impl Tunnels {
    /// Reads kinds and endpoints from their text. Without `vxlan_port`, VXLAN has its standard port.
    ///
    /// # Errors
    /// - [`TunnelError::UnknownKind`] if a text is not the name of a kind;
    /// - [`TunnelError::Unparsable`] if a text is not an address;
    /// - [`TunnelError::UnusedPort`] if a port is given without VXLAN;
    /// - the errors of [`Tunnels::new`].
    pub fn parse<S: AsRef<str>>(
        kinds: &[S],
        vxlan_port: Option<u16>,
        endpoints: &[S],
    ) -> Result<Self, TunnelError> {
        let kinds = kinds.iter().map(|text| text.as_ref().parse());
        let kinds = kinds.collect::<Result<Vec<TunnelKind>, _>>()?;
        let address = |text: &str| {
            let address = text.trim().parse::<IpAddr>();
            address.map_err(|_| TunnelError::Unparsable(text.to_owned()))
        };
        let endpoints = endpoints.iter().map(|text| address(text.as_ref()));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        if let Some(port) = vxlan_port
            && !kinds.contains(&TunnelKind::Vxlan)
        {
            return Err(TunnelError::UnusedPort(port));
        }
        Self::new(&kinds, vxlan_port.unwrap_or(VXLAN_PORT), &endpoints)
    }

    /// Tunnels of these kinds that end at these addresses; no tunnels if both lists are empty.
    ///
    /// # Errors
    /// - [`TunnelError::NoEndpoint`] or [`TunnelError::NoKind`] if one list is empty;
    /// - [`TunnelError::RepeatedKind`] or [`TunnelError::RepeatedEndpoint`] if an entry is given
    ///   twice;
    /// - [`TunnelError::TooManyEndpoints`] if there are more than [`MAX_TUNNEL_ENDPOINTS`] endpoints;
    /// - [`TunnelError::PortZero`] if `vxlan_port` is 0;
    /// - [`TunnelError::PortTaken`] if `vxlan_port` is that of another kind in use.
    pub fn new(
        kinds: &[TunnelKind],
        vxlan_port: u16,
        endpoints: &[IpAddr],
    ) -> Result<Self, TunnelError> {
        match (kinds, endpoints) {
            ([], []) => return Ok(Self::default()),
            ([], _) => return Err(TunnelError::NoKind),
            (_, []) => return Err(TunnelError::NoEndpoint),
            _ => {}
        }
        if endpoints.len() > MAX_TUNNEL_ENDPOINTS {
            return Err(TunnelError::TooManyEndpoints(endpoints.len()));
        }
        if vxlan_port == 0 {
            return Err(TunnelError::PortZero);
        }
        let ports = [
            (TunnelKind::Geneve, GENEVE_PORT),
            (TunnelKind::Gtp, GTP_PORT),
        ];
        for (kind, port) in ports {
            let both = kinds.contains(&TunnelKind::Vxlan) && kinds.contains(&kind);
            if both && port == vxlan_port {
                return Err(TunnelError::PortTaken(port, kind));
            }
        }
        let mut tunnels = Self {
            vxlan_port,
            ..Self::default()
        };
        for &kind in kinds {
            if tunnels.kinds & kind.bit() != 0 {
                return Err(TunnelError::RepeatedKind(kind));
            }
            tunnels.kinds |= kind.bit();
        }
        let mut sorted = endpoints.to_vec();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(TunnelError::RepeatedEndpoint(pair[0]));
        }
        for endpoint in sorted {
            match endpoint {
                IpAddr::V4(address) => tunnels.endpoints4.push(address.to_bits()),
                IpAddr::V6(address) => tunnels.endpoints6.push(address.to_bits()),
            }
        }
        Ok(tunnels)
    }

    /// True if there are no tunnels.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.kinds == 0
    }

    /// The kinds as a set of `noctule_abi::tunnel`'s `TUNNEL_` bits.
    pub const fn kind_bits(&self) -> u32 {
        self.kinds
    }

    /// The kinds, in the order of [`TunnelKind::ALL`].
    pub fn kinds(&self) -> impl Iterator<Item = TunnelKind> {
        let kinds = self.kinds;
        (TunnelKind::ALL.into_iter()).filter(move |kind| kinds & kind.bit() != 0)
    }

    /// UDP port of VXLAN.
    pub const fn vxlan_port(&self) -> u16 {
        self.vxlan_port
    }

    /// The endpoints, IPv4 first, each family in ascending order.
    pub fn endpoints(&self) -> impl Iterator<Item = IpAddr> {
        let four = (self.endpoints4.iter()).map(|&bits| IpAddr::V4(bits.into()));
        let six = (self.endpoints6.iter()).map(|&bits| IpAddr::V6(bits.into()));
        four.chain(six)
    }

    /// The IP header that decides whether a frame is dark: the inner header of a tunnel packet to an
    /// endpoint, otherwise `outer`.
    ///
    /// # Errors
    /// What the frame is instead, if it is cut before its destination address, or if it is a tunnel
    /// packet to an endpoint and cannot be decapsulated: a fragment; an IPv6 header with other
    /// extension headers than one of destination options; GRE with routing, with another version
    /// than 0, or with an unsupported protocol; VXLAN without a valid network identifier; ERSPAN
    /// without Ethernet; Geneve of another version than 0 or with an unsupported protocol; GTP of
    /// another version than 1, or with more than [`MAX_GTP_EXTENSIONS`] extension headers or one of
    /// more than [`MAX_GTP_EXTENSION_WORDS`] words; a packet that is cut before the inner header.
    pub fn innermost(
        &self,
        options: &LinkOptions,
        frame: &[u8],
        outer: Network,
    ) -> Result<Network, Unparsed> {
        match self.open(frame, outer)? {
            Opened::Inner(Inside::Ethertype(ethertype, offset)) => {
                by_ethertype(options, frame, ethertype, offset)
            }
            Opened::Inner(Inside::Ip(offset)) => by_nibble(frame, offset),
            Opened::NotTunnel => Ok(outer),
        }
    }

    fn open(&self, frame: &[u8], outer: Network) -> Result<Opened, Unparsed> {
        match outer {
            Network::Ipv4 { offset } => {
                let fixed: &[u8; 20] = first_chunk(frame, offset).ok_or(Unparsed::Cut)?;
                let protocol = fixed[9];
                let destination = [fixed[16], fixed[17], fixed[18], fixed[19]];
                if !self.may_be(protocol) || !self.ends_at4(u32::from_be_bytes(destination)) {
                    return Ok(Opened::NotTunnel);
                }
                let header_bytes = usize::from(fixed[0] & 0xf) * 4;
                let fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & IPV4_FRAGMENT;
                let opened = (header_bytes >= fixed.len())
                    .then(|| self.decapsulate(frame, protocol, offset + header_bytes, fragment));
                opened.flatten().ok_or(Unparsed::Tunnel(protocol))
            }
            Network::Ipv6 { offset } => {
                let fixed: &[u8; 40] = first_chunk(frame, offset).ok_or(Unparsed::Cut)?;
                let next = fixed[6];
                if !is_extension(next) && !self.may_be(next) {
                    return Ok(Opened::NotTunnel);
                }
                let destination = fixed.last_chunk().copied().unwrap_or_default();
                if !self.ends_at6(u128::from_be_bytes(destination)) {
                    return Ok(Opened::NotTunnel);
                }
                let opened = self.behind_options(frame, next, offset + fixed.len());
                opened.ok_or(Unparsed::Tunnel(next))
            }
        }
    }

    /// The tunnel behind an IPv6 header, which may have destination options. `None` if it cannot be
    /// opened.
    fn behind_options(&self, frame: &[u8], next: u8, behind: usize) -> Option<Opened> {
        let (protocol, at) = if next == DESTINATION_OPTIONS {
            let &[next, units] = first_chunk(frame, behind)?;
            (next, behind + 8 + usize::from(units) * 8)
        } else {
            (next, behind)
        };
        if is_extension(protocol) {
            return None;
        }
        if !self.may_be(protocol) {
            return Some(Opened::NotTunnel);
        }
        self.decapsulate(frame, protocol, at, 0)
    }

    /// The inside of a packet of this protocol whose header begins at `at`. `None` if it cannot be
    /// opened.
    fn decapsulate(&self, frame: &[u8], protocol: u8, at: usize, fragment: u16) -> Option<Opened> {
        let mut kind = 0;
        if protocol == PROTOCOL_UDP {
            // A fragment after the first has no ports, so it is no tunnel packet.
            if fragment & IPV4_FRAGMENT_OFFSET != 0 {
                return Some(Opened::NotTunnel);
            }
            kind = kind_of_port(self.kinds, self.vxlan_port, be16(frame, at + 2).ok()?);
            if kind == 0 {
                return Some(Opened::NotTunnel);
            }
        }
        if fragment != 0 {
            return None;
        }
        let inside = match protocol {
            PROTOCOL_IPV4 => Inside::Ethertype(ETHERTYPE_IPV4, at),
            PROTOCOL_IPV6 => Inside::Ethertype(ETHERTYPE_IPV6, at),
            PROTOCOL_UDP if kind == TUNNEL_VXLAN => {
                if frame.get(at + UDP_BYTES)? & VXLAN_VALID == 0 {
                    return None;
                }
                ethernet(frame, at + UDP_BYTES + VXLAN_BYTES)?
            }
            PROTOCOL_UDP if kind == TUNNEL_GENEVE => return geneve(frame, at + UDP_BYTES),
            PROTOCOL_UDP => return gtp(frame, at + UDP_BYTES),
            PROTOCOL_GRE => return self.gre(frame, at),
            _ => return None,
        };
        Some(Opened::Inner(inside))
    }

    fn gre(&self, frame: &[u8], at: usize) -> Option<Opened> {
        let &[flags, version, high, low] = first_chunk(frame, at)?;
        if flags & GRE_ROUTING != 0 || version & GRE_VERSION != 0 {
            return None;
        }
        let inner = at + gre_bytes(flags);
        let erspan = self.kinds & TUNNEL_ERSPAN != 0;
        let inside = match u16::from_be_bytes([high, low]) {
            GRE_ERSPAN if erspan && flags & GRE_SEQUENCE == 0 => ethernet(frame, inner)?,
            GRE_ERSPAN if erspan => ethernet(frame, inner + ERSPAN2_BYTES)?,
            GRE_ERSPAN3 if erspan => {
                let header: &[u8; ERSPAN3_BYTES] = first_chunk(frame, inner)?;
                if header[10] & ERSPAN3_FRAME_TYPE != 0 {
                    return None;
                }
                let platform = usize::from(header[11] & ERSPAN3_PLATFORM) * ERSPAN3_PLATFORM_BYTES;
                ethernet(frame, inner + ERSPAN3_BYTES + platform)?
            }
            // Only ERSPAN is configured, and this is GRE.
            _ if self.kinds & TUNNEL_GRE == 0 => return Some(Opened::NotTunnel),
            carried @ (ETHERTYPE_IPV4 | ETHERTYPE_IPV6) => Inside::Ethertype(carried, inner),
            GRE_ETHERNET => ethernet(frame, inner)?,
            _ => return None,
        };
        Some(Opened::Inner(inside))
    }

    fn may_be(&self, protocol: u8) -> bool {
        self.kinds & kinds_of(protocol) != 0
    }

    fn ends_at4(&self, address: u32) -> bool {
        self.endpoints4.binary_search(&address).is_ok()
    }

    fn ends_at6(&self, address: u128) -> bool {
        self.endpoints6.binary_search(&address).is_ok()
    }
}

/// A Geneve packet. A control message is for the endpoint itself, and no packet in the tunnel.
fn geneve(frame: &[u8], at: usize) -> Option<Opened> {
    let &[first, second, high, low] = first_chunk(frame, at)?;
    if first & GENEVE_VERSION != 0 {
        return None;
    }
    if second & GENEVE_CONTROL != 0 {
        return Some(Opened::NotTunnel);
    }
    let inner = at + GENEVE_BYTES + usize::from(first & GENEVE_OPTIONS) * 4;
    let inside = match u16::from_be_bytes([high, low]) {
        carried @ (ETHERTYPE_IPV4 | ETHERTYPE_IPV6) => Inside::Ethertype(carried, inner),
        GRE_ETHERNET => ethernet(frame, inner)?,
        _ => return None,
    };
    Some(Opened::Inner(inside))
}

/// A GTP-U packet. Messages of other types than a packet's are for the endpoint itself.
fn gtp(frame: &[u8], at: usize) -> Option<Opened> {
    let &[flags, message] = first_chunk(frame, at)?;
    if flags & GTP_VERSION != GTP_VERSION_1 {
        return None;
    }
    if message != GTP_PACKET {
        return Some(Opened::NotTunnel);
    }
    let mut inner = at + GTP_BYTES;
    if flags & GTP_OPTIONAL != 0 {
        inner += GTP_OPTIONAL_BYTES;
        let mut next = *frame.get(inner - 1)?;
        let mut extensions = 0;
        while flags & GTP_EXTENDED != 0 && next != 0 {
            let words = *frame.get(inner)?;
            if !(1..=MAX_GTP_EXTENSION_WORDS).contains(&words) || extensions == MAX_GTP_EXTENSIONS {
                return None;
            }
            extensions += 1;
            inner += usize::from(words) * 4;
            next = *frame.get(inner - 1)?;
        }
    }
    Some(Opened::Inner(Inside::Ip(inner)))
}

fn ethernet(frame: &[u8], at: usize) -> Option<Inside> {
    let ethertype = be16(frame, at + ETHERNET_BYTES - 2).ok()?;
    Some(Inside::Ethertype(ethertype, at + ETHERNET_BYTES))
}

fn first_chunk<const N: usize>(frame: &[u8], at: usize) -> Option<&[u8; N]> {
    frame.get(at..)?.first_chunk()
}
