//! Header errors of a packet: layer and reason, as bits of a set.

/// One kind of header error (counting rule 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DecodeError {
    /// The header length field is below 5 words: layer 4 is not read.
    Ipv4IhlBelow5,
    /// The frame ends within the header or its options.
    Ipv4HeaderCut,
    /// The total length is below the header's own length.
    Ipv4LengthBelowHeader,
    /// The total length exceeds what the frame carried.
    Ipv4LengthBeyondFrame,
    /// The payload length exceeds what the frame carried.
    Ipv6LengthBeyondFrame,
    /// The chain of extension headers ends inside one of them.
    Ipv6ExtensionCut,
    /// Fewer than 4 octets: no ports.
    TcpCutBeforePorts,
    /// Ports, but no flags.
    TcpCutBeforeFlags,
    /// Flags, but fewer than the fixed 20 octets.
    TcpHeaderCut,
    /// The data offset is below 5 words.
    TcpDataOffsetBelow5,
    /// The data offset points behind the datagram's end.
    TcpDataOffsetBeyondEnd,
    /// Fewer than 4 octets: no ports.
    UdpCutBeforePorts,
    /// Ports, but fewer than 8 octets.
    UdpHeaderCut,
    /// The length field is below 8.
    UdpLengthBelow8,
    /// The length field exceeds what the datagram carried.
    UdpLengthBeyondEnd,
    /// Fewer than 2 octets: no type and code.
    IcmpCut,
    /// Fewer than 2 octets: no type and code.
    Icmpv6Cut,
}

impl DecodeError {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Ipv4IhlBelow5,
        Self::Ipv4HeaderCut,
        Self::Ipv4LengthBelowHeader,
        Self::Ipv4LengthBeyondFrame,
        Self::Ipv6LengthBeyondFrame,
        Self::Ipv6ExtensionCut,
        Self::TcpCutBeforePorts,
        Self::TcpCutBeforeFlags,
        Self::TcpHeaderCut,
        Self::TcpDataOffsetBelow5,
        Self::TcpDataOffsetBeyondEnd,
        Self::UdpCutBeforePorts,
        Self::UdpHeaderCut,
        Self::UdpLengthBelow8,
        Self::UdpLengthBeyondEnd,
        Self::IcmpCut,
        Self::Icmpv6Cut,
    ];

    /// Layer and reason of the error.
    pub const fn layer_and_reason(self) -> (&'static str, &'static str) {
        match self {
            Self::Ipv4IhlBelow5 => ("ipv4", "ihl_below_5"),
            Self::Ipv4HeaderCut => ("ipv4", "header_cut"),
            Self::Ipv4LengthBelowHeader => ("ipv4", "length_below_header"),
            Self::Ipv4LengthBeyondFrame => ("ipv4", "length_beyond_frame"),
            Self::Ipv6LengthBeyondFrame => ("ipv6", "length_beyond_frame"),
            Self::Ipv6ExtensionCut => ("ipv6_extension", "cut"),
            Self::TcpCutBeforePorts => ("tcp", "cut_before_ports"),
            Self::TcpCutBeforeFlags => ("tcp", "cut_before_flags"),
            Self::TcpHeaderCut => ("tcp", "header_cut"),
            Self::TcpDataOffsetBelow5 => ("tcp", "data_offset_below_5"),
            Self::TcpDataOffsetBeyondEnd => ("tcp", "data_offset_beyond_end"),
            Self::UdpCutBeforePorts => ("udp", "cut_before_ports"),
            Self::UdpHeaderCut => ("udp", "header_cut"),
            Self::UdpLengthBelow8 => ("udp", "length_below_8"),
            Self::UdpLengthBeyondEnd => ("udp", "length_beyond_end"),
            Self::IcmpCut => ("icmp", "cut"),
            Self::Icmpv6Cut => ("icmpv6", "cut"),
        }
    }
}

/// The errors of one packet; usually none, rarely one for each layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeErrors(u32);

impl DecodeErrors {
    /// Adds one.
    #[inline]
    pub fn insert(&mut self, error: DecodeError) {
        self.0 |= 1 << error as u32;
    }

    /// True if the packet has no error.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True if the packet has this error.
    pub const fn contains(self, error: DecodeError) -> bool {
        self.0 & (1 << error as u32) != 0
    }

    /// The errors' indices in [`DecodeError::ALL`], ascending.
    pub fn numbers(self) -> impl Iterator<Item = usize> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            let number = bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            (number < 32).then_some(number)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_in_the_list() {
        for (place, &error) in DecodeError::ALL.iter().enumerate() {
            assert_eq!(error as usize, place);
            let mut set = DecodeErrors::default();
            assert!(set.is_empty());
            set.insert(error);
            assert!(set.contains(error));
            assert_eq!(set.numbers().collect::<Vec<_>>(), [place]);
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names = DecodeError::ALL.map(DecodeError::layer_and_reason).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DecodeError::ALL.len());
    }
}
