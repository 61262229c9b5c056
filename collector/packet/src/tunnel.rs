//! Tunnels that end at this sensor: from the outer IP header to the inner one.
//!
//! Only packets to a configured endpoint are decapsulated, and only one level deep. The XDP program
//! follows the same rules (`ebpf/src/tunnel.rs`); a test compares both on thousands of frames.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use noctule_abi::tunnel::{
    DESTINATION_OPTIONS, ERSPAN2_BYTES, ERSPAN3_BYTES, ERSPAN3_FRAME_TYPE, ERSPAN3_PLATFORM,
    ERSPAN3_PLATFORM_BYTES, GRE_ERSPAN, GRE_ERSPAN3, GRE_ETHERNET, GRE_ROUTING, GRE_SEQUENCE,
    GRE_VERSION, IPV4_FRAGMENT, IPV4_FRAGMENT_OFFSET, MAX_TUNNEL_ENDPOINTS, PROTOCOL_GRE,
    PROTOCOL_IPV4, PROTOCOL_IPV6, PROTOCOL_UDP, TUNNEL_ERSPAN, TUNNEL_GRE, TUNNEL_IPIP,
    TUNNEL_VXLAN, UDP_BYTES, VXLAN_BYTES, VXLAN_PORT, VXLAN_VALID, gre_bytes, is_extension,
    kinds_of,
};
use noctule_abi::{ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6};

use crate::link::{Network, be16, by_ethertype};

/// A kind of tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TunnelKind {
    /// GRE that carries IPv4, IPv6 or Ethernet (RFC 2784, RFC 2890).
    Gre,
    /// IPv4 or IPv6 directly in IP (RFC 2003, RFC 2473, RFC 4213).
    Ipip,
    /// VXLAN (RFC 7348).
    Vxlan,
    /// ERSPAN types I, II and III: mirrored Ethernet frames in GRE (draft-foschiano-erspan).
    Erspan,
}

impl TunnelKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Gre, Self::Ipip, Self::Vxlan, Self::Erspan];

    /// `gre`, `ipip`, `vxlan` or `erspan`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gre => "gre",
            Self::Ipip => "ipip",
            Self::Vxlan => "vxlan",
            Self::Erspan => "erspan",
        }
    }

    const fn bit(self) -> u32 {
        match self {
            Self::Gre => TUNNEL_GRE,
            Self::Ipip => TUNNEL_IPIP,
            Self::Vxlan => TUNNEL_VXLAN,
            Self::Erspan => TUNNEL_ERSPAN,
        }
    }
}

impl fmt::Display for TunnelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TunnelKind {
    type Err = TunnelError;

    fn from_str(text: &str) -> Result<Self, TunnelError> {
        let named = |kind: &Self| kind.name() == text.trim();
        let found = Self::ALL.into_iter().find(named);
        found.ok_or_else(|| TunnelError::UnknownKind(text.to_owned()))
    }
}

/// Why a configuration of tunnels was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TunnelError {
    /// No such kind.
    #[error(
        "\"{0}\" is no tunnel that can be opened: `decapsulate` takes gre, ipip, vxlan, erspan"
    )]
    UnknownKind(String),
    /// A kind is given twice.
    #[error("tunnel kind {0} is given more than once: remove one of them from `decapsulate`")]
    RepeatedKind(TunnelKind),
    /// Kinds without an endpoint.
    #[error(
        "`decapsulate` is set, but no tunnel endpoint: add this sensor's own tunnel addresses with \
         --tunnel-endpoint ADDRESS or `tunnel_endpoints = [\"ADDRESS\"]`"
    )]
    NoEndpoint,
    /// Endpoints without a kind.
    #[error(
        "tunnel endpoints are set, but no kind of tunnel: add --decapsulate KIND or `decapsulate = \
         [\"KIND\"]` (gre, ipip, vxlan, erspan)"
    )]
    NoKind,
    /// The text is not an address.
    #[error(
        "tunnel endpoint \"{0}\" cannot be read: write an IPv4 or IPv6 address without a length"
    )]
    Unparsable(String),
    /// An endpoint is given twice.
    #[error("tunnel endpoint {0} is given more than once: remove one of them")]
    RepeatedEndpoint(IpAddr),
    /// More than [`MAX_TUNNEL_ENDPOINTS`] endpoints, the size of the kernel's map.
    #[error(
        "{0} tunnel endpoints are given, at most {MAX_TUNNEL_ENDPOINTS} can be: remove some, or \
         run another sensor for them"
    )]
    TooManyEndpoints(usize),
    /// A VXLAN port without VXLAN.
    #[error(
        "vxlan_port is set to {0}, but `decapsulate` does not name vxlan: add it, or remove the port"
    )]
    UnusedPort(u16),
    /// Port 0.
    #[error("vxlan_port is 0: use a port from 1 to 65535; VXLAN's own is {VXLAN_PORT}")]
    PortZero,
}

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

/// EtherType and offset of the payload of a tunnel packet.
type Inside = (u16, usize);

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
    /// - [`TunnelError::PortZero`] if `vxlan_port` is 0.
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
    /// `None` if the frame is cut before its destination address, or if it is a tunnel packet to an
    /// endpoint and cannot be decapsulated: a fragment; an IPv6 header with other extension headers
    /// than one of destination options; GRE with routing, with another version than 0, or with an
    /// unsupported protocol; VXLAN without a valid network identifier; ERSPAN without Ethernet; a
    /// packet that is cut before the inner header.
    pub fn innermost(&self, frame: &[u8], outer: Network) -> Option<Network> {
        match self.open(frame, outer)? {
            Opened::Inner((ethertype, offset)) => by_ethertype(frame, ethertype, offset),
            Opened::NotTunnel => Some(outer),
        }
    }

    fn open(&self, frame: &[u8], outer: Network) -> Option<Opened> {
        let (protocol, at, fragment) = match outer {
            Network::Ipv4 { offset } => {
                let fixed: &[u8; 20] = frame.get(offset..)?.first_chunk()?;
                let protocol = fixed[9];
                let destination = [fixed[16], fixed[17], fixed[18], fixed[19]];
                if !self.may_be(protocol) || !self.ends_at4(u32::from_be_bytes(destination)) {
                    return Some(Opened::NotTunnel);
                }
                let header_bytes = usize::from(fixed[0] & 0xf) * 4;
                if header_bytes < fixed.len() {
                    return None;
                }
                let fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & IPV4_FRAGMENT;
                (protocol, offset + header_bytes, fragment)
            }
            Network::Ipv6 { offset } => {
                let fixed: &[u8; 40] = frame.get(offset..)?.first_chunk()?;
                let next = fixed[6];
                if !is_extension(next) && !self.may_be(next) {
                    return Some(Opened::NotTunnel);
                }
                let destination: [u8; 16] = *fixed.last_chunk()?;
                if !self.ends_at6(u128::from_be_bytes(destination)) {
                    return Some(Opened::NotTunnel);
                }
                let behind = offset + fixed.len();
                let (protocol, at) = if next == DESTINATION_OPTIONS {
                    let &[next, units] = frame.get(behind..)?.first_chunk()?;
                    (next, behind + 8 + usize::from(units) * 8)
                } else {
                    (next, behind)
                };
                if is_extension(protocol) {
                    return None;
                }
                (protocol, at, 0)
            }
        };
        if !self.may_be(protocol) {
            return Some(Opened::NotTunnel);
        }
        // A fragment after the first has no ports, so it is not VXLAN.
        if protocol == PROTOCOL_UDP
            && (fragment & IPV4_FRAGMENT_OFFSET != 0 || be16(frame, at + 2)? != self.vxlan_port)
        {
            return Some(Opened::NotTunnel);
        }
        if fragment != 0 {
            return None;
        }
        let inside = match protocol {
            PROTOCOL_IPV4 => (ETHERTYPE_IPV4, at),
            PROTOCOL_IPV6 => (ETHERTYPE_IPV6, at),
            PROTOCOL_UDP => {
                if frame.get(at + UDP_BYTES)? & VXLAN_VALID == 0 {
                    return None;
                }
                ethernet(frame, at + UDP_BYTES + VXLAN_BYTES)?
            }
            PROTOCOL_GRE => return self.gre(frame, at),
            _ => return None,
        };
        Some(Opened::Inner(inside))
    }

    fn gre(&self, frame: &[u8], at: usize) -> Option<Opened> {
        let &[flags, version, high, low] = frame.get(at..)?.first_chunk()?;
        if flags & GRE_ROUTING != 0 || version & GRE_VERSION != 0 {
            return None;
        }
        let inner = at + gre_bytes(flags);
        let erspan = self.kinds & TUNNEL_ERSPAN != 0;
        let inside = match u16::from_be_bytes([high, low]) {
            GRE_ERSPAN if erspan && flags & GRE_SEQUENCE == 0 => ethernet(frame, inner)?,
            GRE_ERSPAN if erspan => ethernet(frame, inner + ERSPAN2_BYTES)?,
            GRE_ERSPAN3 if erspan => {
                let header: &[u8; ERSPAN3_BYTES] = frame.get(inner..)?.first_chunk()?;
                if header[10] & ERSPAN3_FRAME_TYPE != 0 {
                    return None;
                }
                let platform = usize::from(header[11] & ERSPAN3_PLATFORM) * ERSPAN3_PLATFORM_BYTES;
                ethernet(frame, inner + ERSPAN3_BYTES + platform)?
            }
            // Only ERSPAN is configured, and this is GRE.
            _ if self.kinds & TUNNEL_GRE == 0 => return Some(Opened::NotTunnel),
            carried @ (ETHERTYPE_IPV4 | ETHERTYPE_IPV6) => (carried, inner),
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

fn ethernet(frame: &[u8], at: usize) -> Option<Inside> {
    Some((be16(frame, at + ETHERNET_BYTES - 2)?, at + ETHERNET_BYTES))
}
