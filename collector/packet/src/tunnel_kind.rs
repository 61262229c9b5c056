//! Kinds of tunnel, and why a configuration of tunnels is refused.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use noctule_abi::tunnel::{
    MAX_TUNNEL_ENDPOINTS, TUNNEL_ERSPAN, TUNNEL_GENEVE, TUNNEL_GRE, TUNNEL_GTP, TUNNEL_IPIP,
    TUNNEL_VXLAN, VXLAN_PORT,
};

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
    /// Geneve that carries IPv4, IPv6 or Ethernet (RFC 8926).
    Geneve,
    /// User data of mobile networks, GTP-U (3GPP TS 29.281).
    Gtp,
}

impl TunnelKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Gre,
        Self::Ipip,
        Self::Vxlan,
        Self::Erspan,
        Self::Geneve,
        Self::Gtp,
    ];

    /// `gre`, `ipip`, `vxlan`, `erspan`, `geneve` or `gtp`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gre => "gre",
            Self::Ipip => "ipip",
            Self::Vxlan => "vxlan",
            Self::Erspan => "erspan",
            Self::Geneve => "geneve",
            Self::Gtp => "gtp",
        }
    }

    pub(crate) const fn bit(self) -> u32 {
        match self {
            Self::Gre => TUNNEL_GRE,
            Self::Ipip => TUNNEL_IPIP,
            Self::Vxlan => TUNNEL_VXLAN,
            Self::Erspan => TUNNEL_ERSPAN,
            Self::Geneve => TUNNEL_GENEVE,
            Self::Gtp => TUNNEL_GTP,
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
        "\"{0}\" is no tunnel that can be opened: `decapsulate` takes gre, ipip, vxlan, erspan, \
         geneve, gtp"
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
         [\"KIND\"]` (gre, ipip, vxlan, erspan, geneve, gtp)"
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
    /// Another kind of tunnel has VXLAN's port.
    #[error(
        "vxlan_port is {0}, which is the port of {1}: remove {1} from `decapsulate`, or the port"
    )]
    PortTaken(u16, TunnelKind),
    /// Port 0.
    #[error("vxlan_port is 0: use a port from 1 to 65535; VXLAN's own is {VXLAN_PORT}")]
    PortZero,
}
