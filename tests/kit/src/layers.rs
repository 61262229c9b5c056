//! Frames built layer by layer, right or wrong in any field, then cut and corrupted: what the
//! decoder is held against its reference with.
//!
//! [`Layers`] says what a frame is made of; [`Layers::frame`] makes it. [`draw`] holds the
//! proptest strategies, [`named`] frames with a name each, from which the fuzz targets start.

pub mod draw;
mod link;
pub mod named;

pub use self::link::{Carries, Link};

/// A frame as a capture holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The capture's number of the link type.
    pub link: u32,
    /// The octets that were captured.
    pub octets: Vec<u8>,
    /// Octets of the frame on the wire, never fewer than were captured.
    pub wire_bytes: usize,
}

/// What a frame is made of.
#[derive(Clone, Debug)]
pub struct Layers {
    /// The link layer.
    pub link: Link,
    /// The network layer.
    pub network: Network,
    /// Layer 4.
    pub transport: Transport,
    /// Octets behind the datagram, as Ethernet pads.
    pub trailer: usize,
    /// How much of it is there.
    pub cut: Cut,
    /// Octets that are overwritten: where (modulo the frame's length), and with what.
    pub wrong: Vec<(usize, u8)>,
}

/// A length field.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// What it should be.
    Right,
    /// That much more.
    More(i16),
    /// This.
    Exactly(u16),
}

impl Length {
    fn of(self, right: usize) -> [u8; 2] {
        match self {
            Self::Right => (right as u16).to_be_bytes(),
            Self::More(more) => (right as u16).wrapping_add_signed(more).to_be_bytes(),
            Self::Exactly(length) => length.to_be_bytes(),
        }
    }
}

/// The network layer.
#[derive(Clone, Debug)]
pub enum Network {
    /// IPv4.
    V4(Ipv4),
    /// IPv6.
    V6(Ipv6),
}

/// An IPv4 header.
#[derive(Clone, Debug)]
pub struct Ipv4 {
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
    /// Identification.
    pub id: u16,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// Words of options.
    pub options: Vec<[u8; 4]>,
    /// Version and header length, if not the right ones.
    pub first_octet: Option<u8>,
    /// Total length.
    pub total_length: Length,
    /// Protocol, if not that of layer 4.
    pub protocol: Option<u8>,
}

/// An IPv6 header with its chain.
#[derive(Clone, Debug)]
pub struct Ipv6 {
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
    /// The chain of extension headers.
    pub chain: Vec<Extension>,
    /// Version and the traffic class's upper half, if not the right ones.
    pub first_octet: Option<u8>,
    /// Payload length.
    pub payload_length: Length,
    /// The next header number at the chain's end, if not that of layer 4.
    pub last: Option<u8>,
}

/// An extension header.
#[derive(Clone, Debug)]
pub struct Extension {
    /// Its number; 44 and 51 have shapes of their own.
    pub kind: u8,
    /// The octets behind next header and length: as many as are given, filled up with zeros to
    /// a whole number of units.
    pub body: Vec<u8>,
    /// Its length octet, if not the right one.
    pub units: Option<u8>,
}

/// Layer 4.
#[derive(Clone, Debug)]
pub enum Transport {
    /// TCP.
    Tcp {
        /// Source and destination port.
        ports: [u16; 2],
        /// Sequence number.
        sequence: u32,
        /// Flags.
        flags: u8,
        /// Octets of options.
        options: Vec<u8>,
        /// Data offset and what shares its octet, if not the right one.
        offset: Option<u8>,
        /// What it carries.
        payload: Vec<u8>,
    },
    /// UDP.
    Udp {
        /// Source and destination port.
        ports: [u16; 2],
        /// Length.
        length: Length,
        /// What it carries.
        payload: Vec<u8>,
    },
    /// ICMP (1) or ICMPv6 (58), with type, code and the rest.
    Icmp {
        /// Protocol number.
        number: u8,
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// What follows the checksum.
        rest: Vec<u8>,
    },
    /// Anything else.
    Other {
        /// Protocol number.
        number: u8,
        /// Octets.
        payload: Vec<u8>,
    },
}

/// How much of a frame there is.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// All of it.
    Whole,
    /// A snap length: so many octets past the beginning of a layer (0 link, 1 network, 2
    /// layer 4) were captured, and the frame on the wire was whole.
    Snap(usize, usize),
    /// The frame itself ended there.
    Short(usize, usize),
    /// A snap length of this many thousandths of the frame.
    SnapAt(usize),
    /// Whole, of a frame that was this much longer on the wire.
    Longer(usize),
}

impl Layers {
    /// Makes the frame.
    pub fn frame(&self) -> Captured {
        let (number, transport) = self.transport.octets();
        let version = match self.network {
            Network::V4(_) => 4,
            Network::V6(_) => 6,
        };
        let (link, mut octets) = self.link.octets(version);
        let network_at = octets.len();
        let header = match &self.network {
            Network::V4(header) => header.octets(number, transport.len()),
            Network::V6(header) => header.octets(number, transport.len()),
        };
        octets.extend(header);
        let starts = [0, network_at, octets.len()];
        octets.extend(transport);
        octets.resize(octets.len() + self.trailer, 0);
        if !octets.is_empty() {
            for &(at, octet) in &self.wrong {
                let at = at % octets.len();
                octets[at] = octet;
            }
        }
        let mut wire_bytes = octets.len();
        match self.cut {
            Cut::Whole => {}
            Cut::Snap(layer, past) => octets.truncate(starts[layer] + past),
            Cut::Short(layer, past) => {
                octets.truncate(starts[layer] + past);
                wire_bytes = octets.len();
            }
            Cut::SnapAt(thousandths) => octets.truncate(octets.len() * thousandths / 1000),
            Cut::Longer(more) => wire_bytes += more,
        }
        Captured {
            link,
            octets,
            wire_bytes,
        }
    }
}

impl Ipv4 {
    fn octets(&self, number: u8, behind: usize) -> Vec<u8> {
        let header_bytes = 20 + 4 * self.options.len();
        let first = (self.first_octet).unwrap_or(0x40 | (header_bytes / 4) as u8);
        let mut octets = vec![first, 0];
        octets.extend(self.total_length.of(header_bytes + behind));
        octets.extend(self.id.to_be_bytes());
        octets.extend(self.fragment.to_be_bytes());
        octets.extend([64, self.protocol.unwrap_or(number), 0, 0]);
        octets.extend(self.source);
        octets.extend(self.destination);
        octets.extend(self.options.concat());
        octets
    }
}

impl Ipv6 {
    fn octets(&self, number: u8, behind: usize) -> Vec<u8> {
        let last = self.last.unwrap_or(number);
        let mut chain = Vec::new();
        for (place, extension) in self.chain.iter().enumerate() {
            let next = self.chain.get(place + 1).map_or(last, |next| next.kind);
            chain.extend(extension.octets(next));
        }
        let first = self.first_octet.unwrap_or(0x60);
        let mut octets = vec![first, 0, 0, 0];
        octets.extend(self.payload_length.of(chain.len() + behind));
        octets.push(self.chain.first().map_or(last, |first| first.kind));
        octets.push(64);
        octets.extend(self.source);
        octets.extend(self.destination);
        octets.extend(chain);
        octets
    }
}

impl Extension {
    fn octets(&self, next: u8) -> Vec<u8> {
        let mut octets = vec![next, 0];
        octets.extend(&self.body);
        let right = match self.kind {
            44 => {
                octets.resize(8, 0);
                0
            }
            // In words less two; a multiple of 8 octets in IPv6.
            51 => {
                octets.resize(octets.len().next_multiple_of(8).max(16), 0);
                octets.len() / 4 - 2
            }
            _ => {
                octets.resize(octets.len().next_multiple_of(8), 0);
                octets.len() / 8 - 1
            }
        };
        octets[1] = self.units.unwrap_or(right as u8);
        octets
    }
}

impl Transport {
    /// Protocol number and octets.
    fn octets(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Tcp {
                ports,
                sequence,
                flags,
                options,
                offset,
                payload,
            } => {
                let header_bytes = 20 + options.len().next_multiple_of(4);
                let right = ((header_bytes / 4) as u8) << 4;
                let mut octets = ports.map(u16::to_be_bytes).concat();
                octets.extend(sequence.to_be_bytes());
                octets.extend([0; 4]);
                octets.extend([offset.unwrap_or(right), *flags, 0xff, 0xff, 0, 0, 0, 0]);
                octets.extend(options);
                octets.resize(header_bytes, 0);
                octets.extend(payload);
                (6, octets)
            }
            Self::Udp {
                ports,
                length,
                payload,
            } => {
                let mut octets = ports.map(u16::to_be_bytes).concat();
                octets.extend(length.of(8 + payload.len()));
                octets.extend([0; 2]);
                octets.extend(payload);
                (17, octets)
            }
            Self::Icmp {
                number,
                kind,
                code,
                rest,
            } => {
                let mut octets = vec![*kind, *code, 0, 0];
                octets.extend(rest);
                (*number, octets)
            }
            Self::Other { number, payload } => (*number, payload.clone()),
        }
    }
}
