//! The header fields that rules can use, and the probes that have them.

use crate::class::tcp_flags;

/// A header field, as a number in host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Field {
    /// Always 0: fills the unused terms of an expression.
    Zero = 0,
    /// `ip.source`.
    Source,
    /// `ip.destination`.
    Destination,
    /// `ip.id`: IPv4 identification.
    IpId,
    /// `ip.length`: IPv4 total length, octets.
    IpLength,
    /// `ip.ttl`.
    Ttl,
    /// `ip.tos`: type of service, 8 bits.
    Tos,
    /// `ip.df`: 1 if the datagram must not be fragmented.
    DontFragment,
    /// `tcp.source_port`.
    SourcePort,
    /// `tcp.destination_port`.
    DestinationPort,
    /// `tcp.seq`.
    Sequence,
    /// `tcp.ack`.
    Acknowledgement,
    /// `tcp.flags`: 8 bits.
    TcpFlags,
    /// `tcp.window`.
    Window,
    /// `tcp.urgent`.
    Urgent,
    /// `tcp.header_length`: the data offset in octets.
    TcpHeaderLength,
}

impl Field {
    /// How many there are.
    pub const COUNT: usize = 16;

    /// Every field that has a name.
    pub const ALL: [Self; Self::COUNT - 1] = [
        Self::Source,
        Self::Destination,
        Self::IpId,
        Self::IpLength,
        Self::Ttl,
        Self::Tos,
        Self::DontFragment,
        Self::SourcePort,
        Self::DestinationPort,
        Self::Sequence,
        Self::Acknowledgement,
        Self::TcpFlags,
        Self::Window,
        Self::Urgent,
        Self::TcpHeaderLength,
    ];

    /// Its name in a rule.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zero => "0",
            Self::Source => "ip.source",
            Self::Destination => "ip.destination",
            Self::IpId => "ip.id",
            Self::IpLength => "ip.length",
            Self::Ttl => "ip.ttl",
            Self::Tos => "ip.tos",
            Self::DontFragment => "ip.df",
            Self::SourcePort => "tcp.source_port",
            Self::DestinationPort => "tcp.destination_port",
            Self::Sequence => "tcp.seq",
            Self::Acknowledgement => "tcp.ack",
            Self::TcpFlags => "tcp.flags",
            Self::Window => "tcp.window",
            Self::Urgent => "tcp.urgent",
            Self::TcpHeaderLength => "tcp.header_length",
        }
    }

    /// The bits that it can have set.
    pub const fn width(self) -> u32 {
        match self {
            Self::Zero => 0,
            Self::Source | Self::Destination | Self::Sequence | Self::Acknowledgement => u32::MAX,
            Self::IpId
            | Self::IpLength
            | Self::SourcePort
            | Self::DestinationPort
            | Self::Window
            | Self::Urgent => 0xffff,
            Self::Ttl | Self::Tos | Self::TcpFlags => 0xff,
            Self::DontFragment => 1,
            Self::TcpHeaderLength => 0x3c,
        }
    }
}

/// Position of a field in the headers: its value is `(word >> right) & width`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Which 32-bit word of the fixed headers, IPv4's first.
    pub word: usize,
    /// Bits behind it in that word.
    pub right: u32,
}

/// Words of both fixed headers.
pub(super) const WORDS: usize = 10;
/// Words of an IPv4 header's fixed part.
const IP_WORDS: usize = 5;

impl Field {
    /// Its position in the headers.
    pub(super) const fn position(self) -> Position {
        let (word, right) = match self {
            Self::Zero | Self::IpLength => (0, 0),
            Self::Tos => (0, 16),
            Self::IpId => (1, 16),
            Self::DontFragment => (1, 14),
            Self::Ttl => (2, 24),
            Self::Source => (3, 0),
            Self::Destination => (4, 0),
            Self::SourcePort => (5, 16),
            Self::DestinationPort => (5, 0),
            Self::Sequence => (6, 0),
            Self::Acknowledgement => (7, 0),
            // The data offset counts words of 4 octets: the two lowest bits here are reserved bits of
            // the header, which the width excludes.
            Self::TcpHeaderLength => (8, 26),
            Self::TcpFlags => (8, 16),
            Self::Window => (8, 0),
            Self::Urgent => (9, 0),
        };
        Position { word, right }
    }
}

/// A TCP SYN over IPv4, without ACK, RST and FIN: the packets that fingerprints examine.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    ip: &'a [u8; 20],
    /// The TCP part, at least up to its flags.
    tcp: &'a [u8],
}

impl<'a> Probe<'a> {
    /// The probe with this IPv4 header's fixed part and this TCP part.
    ///
    /// `tcp` starts at the TCP header and ends with the datagram or the capture. `None` if it is not
    /// a probe or is cut before its flags. A header that is cut after its flags has no window and no
    /// urgent pointer; a header with a wrong data offset has no options.
    #[inline]
    pub fn new(ip: &'a [u8; 20], tcp: &'a [u8]) -> Option<Self> {
        let fixed: &[u8; 14] = tcp.first_chunk()?;
        crate::class::is_probe(fixed[13]).then_some(Self { ip, tcp })
    }

    /// The words of the fixed headers; octets that are cut off are 0.
    #[inline]
    pub(super) fn words(&self) -> [u32; WORDS] {
        let mut padded = [0; 20];
        let tcp = match self.tcp.first_chunk::<20>() {
            Some(whole) => whole,
            None => {
                padded[..14].copy_from_slice(&self.tcp[..14]);
                &padded
            }
        };
        std::array::from_fn(|word| {
            let (header, word) = match word.checked_sub(IP_WORDS) {
                None => (self.ip, word),
                Some(word) => (tcp, word),
            };
            let at = word * 4;
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        })
    }

    /// A field's value; 0 if it is cut off.
    pub fn get(&self, field: Field) -> u32 {
        let Position { word, right } = field.position();
        (self.words()[word] >> right) & field.width()
    }

    /// True if this field is captured.
    #[inline]
    pub const fn knows(&self, field: Field) -> bool {
        self.is_whole() || !matches!(field, Field::Window | Field::Urgent)
    }

    /// True if the fixed part of the TCP header is captured.
    #[inline]
    pub const fn is_whole(&self) -> bool {
        self.tcp.len() >= 20
    }

    /// The TCP options; none if they are cut off or the data offset is wrong.
    #[inline]
    pub fn options(&self) -> Option<&'a [u8]> {
        self.tcp.get(20..usize::from(self.tcp[12] >> 4) * 4)
    }
}

/// The kind of data that a condition is about, which decides the fields that it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A TCP probe over IPv4.
    Probe,
    /// A UDP payload.
    Answer,
    /// TCP flags alone.
    Flags,
}

impl About {
    /// The fields that may be used, for an error message.
    pub(super) fn names(self) -> String {
        match self {
            Self::Probe => {
                let names = Field::ALL.map(Field::name).join(", ");
                format!("one of {names}, tcp.mss, tcp.options, or a flag such as SYN")
            }
            Self::Answer => "payload[N], payload == [..] or payload.length".to_owned(),
            Self::Flags => "tcp.flags, or a flag such as SYN".to_owned(),
        }
    }
}

/// Names of TCP flag bits that rules may use as numbers.
pub const FLAG_NAMES: [(&str, u8); 8] = [
    ("FIN", tcp_flags::FIN),
    ("SYN", tcp_flags::SYN),
    ("RST", tcp_flags::RST),
    ("PSH", 0x08),
    ("ACK", tcp_flags::ACK),
    ("URG", 0x20),
    ("ECE", 0x40),
    ("CWR", 0x80),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A 20-octet IPv4 header and a TCP SYN with one option; every field has a different value.
    fn headers() -> ([u8; 20], Vec<u8>) {
        let mut ip = [
            0x45, 0x11, 0, 44, 0x12, 0x34, 0x40, 0, 61, 6, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8,
        ];
        ip[10] = 9;
        let mut tcp = vec![
            0x9c, 0x40, 0, 23, 1, 2, 3, 4, 9, 8, 7, 6, 0x60, 2, 4, 0, 0, 0, 0, 5,
        ];
        tcp.extend([2, 4, 5, 0xb4]);
        (ip, tcp)
    }

    #[test]
    fn fields_are_read_in_host_order() {
        let (ip, tcp) = headers();
        let probe = Probe::new(&ip, &tcp).unwrap();
        let expected = [
            (Field::Source, 0x0102_0304),
            (Field::Destination, 0x0506_0708),
            (Field::IpId, 0x1234),
            (Field::IpLength, 44),
            (Field::Ttl, 61),
            (Field::Tos, 0x11),
            (Field::DontFragment, 1),
            (Field::SourcePort, 40_000),
            (Field::DestinationPort, 23),
            (Field::Sequence, 0x0102_0304),
            (Field::Acknowledgement, 0x0908_0706),
            (Field::TcpFlags, 2),
            (Field::Window, 1024),
            (Field::Urgent, 5),
            (Field::TcpHeaderLength, 24),
        ];
        for (field, value) in expected {
            assert_eq!(probe.get(field), value, "{}", field.name());
            assert_eq!(value & !field.width(), 0, "{}", field.name());
        }
        assert_eq!(expected.len(), Field::ALL.len());
        assert_eq!(probe.options(), Some(&[2, 4, 5, 0xb4][..]));
    }

    #[test]
    fn what_is_cut_off_is_not_known() {
        let (ip, tcp) = headers();
        assert!(Probe::new(&ip, &tcp[..13]).is_none());
        let cut = Probe::new(&ip, &tcp[..14]).unwrap();
        assert!(
            !cut.knows(Field::Window) && !cut.knows(Field::Urgent) && cut.knows(Field::Sequence)
        );
        assert_eq!(
            (cut.get(Field::Sequence), cut.options()),
            (0x0102_0304, None)
        );
        let fixed = Probe::new(&ip, &tcp[..20]).unwrap();
        assert_eq!((fixed.is_whole(), fixed.options()), (true, None));
    }

    #[test]
    fn other_flags_make_no_probe() {
        let (ip, mut tcp) = headers();
        for flags in 0..=255u8 {
            tcp[13] = flags;
            assert_eq!(
                Probe::new(&ip, &tcp).is_some(),
                crate::class::is_probe(flags)
            );
        }
    }

    #[test]
    fn a_wrong_data_offset_costs_the_options_only() {
        let (ip, mut tcp) = headers();
        for words in 0..16 {
            tcp[12] = words << 4;
            let probe = Probe::new(&ip, &tcp).unwrap();
            assert_eq!(probe.get(Field::Window), 1024);
            assert_eq!(
                probe.options().is_some(),
                words == 5 || words == 6,
                "{words}"
            );
        }
    }
}
