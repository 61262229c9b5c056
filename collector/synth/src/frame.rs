//! Building frames: Ethernet, IP and checksums. One buffer serves every frame.

use noctule_abi::{ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, VLAN_TAG_BYTES};

/// The least that Ethernet carries, without the frame check sequence.
pub(super) const MIN_FRAME_BYTES: usize = 60;
pub(super) const IPV4_HEADER_BYTES: usize = 20;
pub(super) const IPV6_HEADER_BYTES: usize = 40;
pub(super) const ETHERTYPE_ARP: u16 = 0x0806;

/// Locally administered addresses, which no vendor assigns.
const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// More fragments follow.
pub(super) const MORE_FRAGMENTS: u16 = 0x2000;
/// Must not be fragmented.
pub(super) const DONT_FRAGMENT: u16 = 0x4000;

/// What an IPv4 header says beside its checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ipv4 {
    pub source: u32,
    pub destination: u32,
    pub protocol: u8,
    pub id: u16,
    pub ttl: u8,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// Header length in words, 5 where it is right.
    pub header_words: u8,
    /// Total length; none: the right one.
    pub total: Option<u16>,
}

/// What an IPv6 header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ipv6 {
    pub source: u128,
    pub destination: u128,
    /// Protocol number of what follows the header.
    pub next: u8,
    pub hops: u8,
}

/// The frame under construction.
#[derive(Default)]
pub(super) struct FrameBuilder {
    bytes: Vec<u8>,
    link_bytes: usize,
}

impl FrameBuilder {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The first octets of the datagram.
    pub fn datagram(&self, length: usize) -> &[u8] {
        &self.bytes[self.link_bytes..self.link_bytes + length]
    }

    fn link(&mut self, tags: &[u16], ethertype: u16) {
        self.bytes.clear();
        self.bytes.extend(MACS);
        for (number, tag) in (100u16..).zip(tags) {
            self.bytes.extend(tag.to_be_bytes());
            self.bytes.extend(number.to_be_bytes());
        }
        self.bytes.extend(ethertype.to_be_bytes());
        self.link_bytes = ETHERNET_BYTES + tags.len() * VLAN_TAG_BYTES;
    }

    fn pad(&mut self) {
        if self.bytes.len() < MIN_FRAME_BYTES {
            self.bytes.resize(MIN_FRAME_BYTES, 0);
        }
    }

    /// A frame of this type around any octets.
    pub fn raw(&mut self, ethertype: u16, payload: &[u8]) {
        self.link(&[], ethertype);
        self.bytes.extend(payload);
        self.pad();
    }

    /// An IPv4 frame; returns the datagram's octets: the smaller of its length field and what
    /// the frame carries.
    pub fn ipv4(&mut self, tags: &[u16], header: &Ipv4, payload: &[u8]) -> u64 {
        self.link(tags, ETHERTYPE_IPV4);
        let at = self.bytes.len();
        let right = (IPV4_HEADER_BYTES + payload.len()) as u16;
        let total = header.total.unwrap_or(right);
        self.bytes.extend([0x40 | header.header_words, 0]);
        self.bytes.extend(total.to_be_bytes());
        self.bytes.extend(header.id.to_be_bytes());
        self.bytes.extend(header.fragment.to_be_bytes());
        self.bytes.extend([header.ttl, header.protocol, 0, 0]);
        self.bytes.extend(header.source.to_be_bytes());
        self.bytes.extend(header.destination.to_be_bytes());
        let sum = checksum(0, &self.bytes[at..]);
        self.bytes[at + 10..at + 12].copy_from_slice(&sum.to_be_bytes());
        self.bytes.extend(payload);
        self.pad();
        u64::from(total).min((self.bytes.len() - self.link_bytes) as u64)
    }

    /// An IPv6 frame; returns the datagram's octets.
    pub fn ipv6(&mut self, header: &Ipv6, payload: &[u8]) -> u64 {
        self.link(&[], ETHERTYPE_IPV6);
        self.bytes.extend([0x60, 0, 0, 0]);
        self.bytes.extend((payload.len() as u16).to_be_bytes());
        self.bytes.extend([header.next, header.hops]);
        self.bytes.extend(header.source.to_be_bytes());
        self.bytes.extend(header.destination.to_be_bytes());
        self.bytes.extend(payload);
        self.pad();
        (IPV6_HEADER_BYTES + payload.len()) as u64
    }
}

/// The Internet checksum (RFC 1071) of these octets, going on from `sum`.
pub(super) fn checksum(mut sum: u32, octets: &[u8]) -> u16 {
    let (pairs, rest) = octets.as_chunks::<2>();
    for pair in pairs {
        sum += u32::from(u16::from_be_bytes(*pair));
    }
    if let [last] = rest {
        sum += u32::from(*last) << 8;
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The pseudo-header's share of a checksum over IPv4.
pub(super) fn pseudo4(source: u32, destination: u32, protocol: u8, length: usize) -> u32 {
    (source >> 16)
        + (source & 0xffff)
        + (destination >> 16)
        + (destination & 0xffff)
        + u32::from(protocol)
        + length as u32
}

/// The pseudo-header's share of a checksum over IPv6.
pub(super) fn pseudo6(source: u128, destination: u128, protocol: u8, length: usize) -> u32 {
    let halves = |address: u128| -> u32 {
        (0..8)
            .map(|index| (address >> (16 * index)) as u32 & 0xffff)
            .sum()
    };
    halves(source) + halves(destination) + u32::from(protocol) + length as u32
}

/// Writes a checksum into a layer-4 part.
pub(super) fn seal(part: &mut [u8], at: usize, pseudo: u32) {
    if part.len() < at + 2 {
        return;
    }
    part[at..at + 2].fill(0);
    let sum = checksum(pseudo, part);
    part[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        // The example of its section 3: the sum is ddf2.
        let octets = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(0, &octets), !0xddf2);
        assert_eq!(checksum(0, &[0xab]), !0xab00);
    }
}
