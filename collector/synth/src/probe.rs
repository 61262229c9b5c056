//! SYNs by the tool that sends them: each matches the rules of its tool, and no other by accident.
//!
//! Which rules those are is said here in plain Rust, apart from the rule files, so that reading a
//! rule wrongly shows.

use super::frame::{DONT_FRAGMENT, Ipv4};
use super::random::Random;
use super::tcp::Tcp;

/// A shipped fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Mirai,
    MiraiPrecursor,
    Zmap,
    Zmap41,
    Masscan,
    MasscanTo132,
    MasscanFrom202311,
    NmapSyn,
    Unicornscan,
    UnicornscanSwapped,
}

impl Rule {
    pub const COUNT: usize = 10;

    pub const ALL: [Self; Self::COUNT] = [
        Self::Mirai,
        Self::MiraiPrecursor,
        Self::Zmap,
        Self::Zmap41,
        Self::Masscan,
        Self::MasscanTo132,
        Self::MasscanFrom202311,
        Self::NmapSyn,
        Self::Unicornscan,
        Self::UnicornscanSwapped,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Mirai => "mirai",
            Self::MiraiPrecursor => "mirai-precursor",
            Self::Zmap => "zmap",
            Self::Zmap41 => "zmap-4.1",
            Self::Masscan => "masscan",
            Self::MasscanTo132 => "masscan-to-1.3.2",
            Self::MasscanFrom202311 => "masscan-from-2023-11",
            Self::NmapSyn => "nmap-syn",
            Self::Unicornscan => "unicornscan",
            Self::UnicornscanSwapped => "unicornscan-swapped",
        }
    }

    pub const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// What fingerprints see in a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    /// A bit per rule whose condition it fulfils.
    rules: u16,
    /// What Mirai's precursor keeps.
    pub id: u16,
    /// What nmap keeps: the halves of the sequence number, XORed.
    pub halves: u16,
    /// What unicornscan keeps, with the destination as it is and with its octets swapped, each
    /// folded to 16 bits.
    pub keys: [u16; 2],
}

impl Probe {
    /// The probe with these headers, of a tool whose SYNs fulfil its own conditions only.
    pub fn new(tool: Tool, header: &Ipv4, tcp: &Tcp) -> Self {
        let ports = u32::from(tcp.destination_port) << 16 | u32::from(tcp.source_port);
        let key = |destination: u32| fold(tcp.sequence ^ destination ^ ports);
        Self {
            rules: tool.rules(),
            id: header.id,
            halves: fold(tcp.sequence),
            keys: [
                key(header.destination),
                key(header.destination.swap_bytes()),
            ],
        }
    }

    /// The rules whose condition it fulfils; one without a condition has no matches.
    pub fn rules(&self) -> impl Iterator<Item = Rule> + use<> {
        let mut bits = self.rules;
        std::iter::from_fn(move || {
            let place = bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            Rule::ALL.get(place).copied()
        })
    }
}

const fn fold(value: u32) -> u16 {
    (value >> 16) as u16 ^ value as u16
}

/// What sends a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// Nothing that a rule knows.
    Plain,
    /// The sequence number is the destination.
    Mirai,
    /// The same, and one IP ID for good.
    MiraiPrecursor { id: u16 },
    /// The IP ID is 54321.
    Zmap,
    /// No such ID, but options in one of four layouts.
    Zmap41 { layout: u8 },
    /// The IP ID is (destination ^ port ^ sequence number) & 0xffff; the SYNs of release 1.3.2.
    Masscan,
    /// The same with the window and the option that came in November 2023.
    Masscan2023,
    /// The halves of the sequence number differ by the secret.
    Nmap { secret: u16 },
    /// The sequence number is the key, XORed with the destination and the ports.
    Unicornscan { key: u32, swapped: bool },
}

/// ZMap's IP ID before version 4.1.
const ZMAP_ID: u16 = 54_321;
/// Where Mirai and its precursor look.
const TELNET: [u16; 2] = [23, 2323];

const SEGMENT_SIZE: [u8; 4] = [2, 4, 5, 0xb4];
/// Options that Linux sends with a SYN: MSS, SACK, timestamps, no-operation, window scale.
const LINUX: [u8; 20] = [
    2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7,
];
const WINDOWS: [u8; 12] = [2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2];
const BSD: [u8; 24] = [
    2, 4, 5, 0xb4, 1, 3, 3, 6, 1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 4, 2, 0, 0,
];
/// nmap's option, and one more than it sends.
const SACK_TOO: [u8; 8] = [2, 4, 5, 0xb4, 1, 1, 4, 2];

/// Window, options, where in them a time lies, and may the datagram be fragmented.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub window: u16,
    pub options: &'static [u8],
    pub time_at: Option<usize>,
    pub fragment: u16,
}

impl Look {
    const fn new(window: u16, options: &'static [u8]) -> Self {
        Self {
            window,
            options,
            time_at: None,
            fragment: 0,
        }
    }

    const fn with_time(self, at: usize) -> Self {
        Self {
            time_at: Some(at),
            ..self
        }
    }

    const fn unfragmented(self) -> Self {
        Self {
            fragment: DONT_FRAGMENT,
            ..self
        }
    }
}

/// An IP ID that belongs to a source for good, and that neither ZMap nor masscan would choose.
pub(super) fn constant_id(habit: u64) -> u16 {
    let mut id = (habit >> 32) as u16;
    while id == ZMAP_ID || TELNET.contains(&id) {
        id = id.wrapping_add(1);
    }
    id
}

impl Tool {
    /// The conditions that its SYNs fulfil, a bit each.
    const fn rules(self) -> u16 {
        match self {
            Self::Plain | Self::Unicornscan { .. } => 0,
            Self::Mirai | Self::MiraiPrecursor { .. } => {
                Rule::Mirai.bit() | Rule::MiraiPrecursor.bit()
            }
            Self::Zmap => Rule::Zmap.bit(),
            Self::Zmap41 { .. } => Rule::Zmap41.bit(),
            Self::Masscan => Rule::Masscan.bit() | Rule::MasscanTo132.bit(),
            Self::Masscan2023 => Rule::Masscan.bit() | Rule::MasscanFrom202311.bit(),
            Self::Nmap { .. } => Rule::NmapSyn.bit(),
        }
    }

    /// What its SYNs look like. Plain ones nearly look like a tool's, each kind in another way.
    pub fn look(self, random: &mut Random, habit: u64) -> Look {
        match self {
            Self::Mirai | Self::MiraiPrecursor { .. } => Look::new(random.word16(), &[]),
            Self::Zmap => Look::new(65_535, &[]),
            Self::Zmap41 { layout } => match layout & 3 {
                0 => Look::new(65_535, &WINDOWS),
                1 => Look::new(65_535, &LINUX).with_time(8),
                2 => Look::new(65_535, &BSD).with_time(12),
                _ => Look::new(65_535, &SEGMENT_SIZE),
            },
            Self::Masscan => Look::new(1024, &[]),
            Self::Masscan2023 => Look::new(1025, &SEGMENT_SIZE),
            Self::Nmap { .. } => Look::new(1024, &SEGMENT_SIZE),
            Self::Unicornscan { .. } => Look::new(5840, &[]).unfragmented(),
            Self::Plain => match habit >> 8 & 7 {
                0 | 1 => Look::new(64_240, &LINUX).with_time(8).unfragmented(),
                2 => Look::new(65_535, &WINDOWS).unfragmented(),
                3 => Look::new(65_535, &SACK_TOO),
                4 => Look::new(1024, &SACK_TOO),
                5 => Look::new(1025, &SEGMENT_SIZE),
                6 => Look::new(1024, &[]),
                _ => Look::new(1024, &[]).unfragmented(),
            },
        }
    }

    /// IP ID, source port and sequence number of a SYN to this address and port: what decides
    /// about its rules beside [`Tool::look`].
    #[inline]
    pub fn draw(self, random: &mut Random, destination: u32, port: u16) -> Drawn {
        loop {
            let word = random.word();
            let source_port = random.between(1024, 65_535);
            let low = word as u16;
            let sequence = match self {
                Self::Mirai | Self::MiraiPrecursor { .. } => destination,
                Self::Nmap { secret } => u32::from(low ^ secret) << 16 | u32::from(low),
                Self::Unicornscan { key, swapped } => {
                    let address = if swapped {
                        destination.swap_bytes()
                    } else {
                        destination
                    };
                    key ^ address ^ (u32::from(port) << 16 | u32::from(source_port))
                }
                _ => word as u32,
            };
            let masscan_id = (destination ^ u32::from(port) ^ sequence) as u16;
            let id = match self {
                Self::MiraiPrecursor { id } => id,
                Self::Zmap => ZMAP_ID,
                Self::Masscan | Self::Masscan2023 => masscan_id,
                _ => (word >> 32) as u16,
            };
            let met = |rule: Rule, met: bool| if met { rule.bit() } else { 0 };
            let found = met(Rule::Mirai, sequence == destination)
                | met(Rule::Zmap, id == ZMAP_ID)
                | met(Rule::Masscan, id == masscan_id);
            let judged = Rule::Mirai.bit() | Rule::Zmap.bit() | Rule::Masscan.bit();
            if found == self.rules() & judged {
                return Drawn {
                    id,
                    source_port,
                    sequence,
                };
            }
        }
    }
}

/// What [`Tool::draw`] found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    pub id: u16,
    pub source_port: u16,
    pub sequence: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use noctule_packet::Rules;

    #[test]
    fn the_rules_are_the_shipped_ones() {
        let shipped = Rules::shipped();
        let names: Vec<&str> = (shipped.fingerprints().iter())
            .map(|rule| rule.name.as_str())
            .collect();
        assert_eq!(names, Rule::ALL.map(Rule::name));
        for (place, rule) in Rule::ALL.into_iter().enumerate() {
            assert_eq!(rule as usize, place);
        }
    }

    #[test]
    fn a_syn_matches_its_own_rules_only() {
        let mut random = Random::new(1);
        let tools = [
            Tool::Plain,
            Tool::Mirai,
            Tool::MiraiPrecursor { id: 0 },
            Tool::Zmap,
            Tool::Zmap41 { layout: 2 },
            Tool::Masscan,
            Tool::Masscan2023,
            Tool::Nmap { secret: 7 },
            Tool::Unicornscan {
                key: 9,
                swapped: false,
            },
        ];
        for tool in tools {
            // Enough to meet one chance in 65,536 several times.
            for round in 0..400_000u32 {
                let (destination, port) = (0xc633_6400 | (round & 0xff), 23);
                let Drawn { id, sequence, .. } = tool.draw(&mut random, destination, port);
                let masscan = (destination ^ u32::from(port) ^ sequence) & 0xffff;
                let met = [
                    (Rule::Mirai, sequence == destination),
                    (Rule::Zmap, id == 54_321),
                    (Rule::Masscan, u32::from(id) == masscan),
                ];
                for (rule, met) in met {
                    let wanted = tool.rules() & rule.bit() != 0;
                    assert_eq!(met, wanted, "{tool:?} and {rule:?}");
                }
            }
        }
    }

    #[test]
    fn a_constant_id_is_no_rules_id() {
        for id in [54_321, 22, 23, 24, 2323, u64::from(u16::MAX)] {
            let constant = constant_id(id << 32);
            assert!(![54_321, 23, 2323].contains(&constant), "{constant}");
        }
        assert_eq!(constant_id(99 << 32), 99);
    }
}
