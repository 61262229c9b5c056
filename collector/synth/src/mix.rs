//! The components of synthetic traffic and their shares.

use super::error::SynthError;

/// Weights are kept in millionths, so that shares such as 0.5 are whole numbers.
const WEIGHT_UNIT: f64 = 1e6;

/// One kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// Mirai SYNs: the sequence number is the destination.
    Mirai,
    /// The same with a TCP data offset of 24 in a 40-byte datagram.
    MiraiBadOffset,
    /// Mirai's precursor: the same, and each source has one IP ID.
    MiraiConstantId,
    /// ZMap before 4.1: the IP ID is 54321.
    Zmap,
    /// ZMap from 4.1 on: any IP ID, options in one of four layouts.
    Zmap41,
    /// Masscan up to 1.3.2: the IP ID is (destination ^ port ^ sequence number) & 0xffff.
    Masscan,
    /// Masscan since November 2023: the same with another window and an option.
    Masscan2023,
    /// nmap: the halves of the sequence number differ by a secret.
    Nmap,
    /// Unicornscan: a key of its own, the destination and the ports make the sequence number.
    Unicornscan,
    /// SYNs without a fingerprint.
    SynScan,
    /// UDP to 53413, the back door of Netis routers.
    Udp53413,
    /// Other UDP scans.
    UdpScan,
    /// DNS answers to queries that were sent in the darknet's name.
    DnsAnswers,
    /// Answers from the other UDP ports that reflectors have, and now and then a request.
    UdpReflection,
    /// SYN+ACK: a victim's answers.
    SynAck,
    /// RST and RST+ACK.
    Rst,
    /// Echo requests, and what ICMP sends back.
    Icmp,
    /// ICMP and ICMPv6 errors, which quote what was sent to a victim.
    IcmpErrors,
    /// SYNs, answers, UDP and ICMP from addresses that no host can have.
    Bogon,
    /// TCP, UDP and echo requests over IPv6.
    Ipv6,
    /// First fragments, which have ports, and later ones, which have none.
    Fragments,
    /// Headers with impossible lengths.
    Malformed,
    /// TCP flags that no scanner of open ports sets: FIN, none, all.
    OddFlags,
    /// IP protocols other than TCP, UDP and ICMP.
    OtherProtocols,
    /// SYNs behind one or two VLAN tags.
    Vlan,
    /// Frames that are not dark.
    NotDark,
}

impl Component {
    /// Every component, in the order of [`Mix::names`].
    pub const ALL: [Self; 26] = [
        Self::Mirai,
        Self::MiraiBadOffset,
        Self::MiraiConstantId,
        Self::Zmap,
        Self::Zmap41,
        Self::Masscan,
        Self::Masscan2023,
        Self::Nmap,
        Self::Unicornscan,
        Self::SynScan,
        Self::Udp53413,
        Self::UdpScan,
        Self::DnsAnswers,
        Self::UdpReflection,
        Self::SynAck,
        Self::Rst,
        Self::Icmp,
        Self::IcmpErrors,
        Self::Bogon,
        Self::Ipv6,
        Self::Fragments,
        Self::Malformed,
        Self::OddFlags,
        Self::OtherProtocols,
        Self::Vlan,
        Self::NotDark,
    ];

    /// Its name in a mix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mirai => "mirai",
            Self::MiraiBadOffset => "mirai-bad-offset",
            Self::MiraiConstantId => "mirai-constant-id",
            Self::Zmap => "zmap",
            Self::Zmap41 => "zmap-4.1",
            Self::Masscan => "masscan",
            Self::Masscan2023 => "masscan-2023",
            Self::Nmap => "nmap",
            Self::Unicornscan => "unicornscan",
            Self::SynScan => "syn-scan",
            Self::Udp53413 => "udp-53413",
            Self::UdpScan => "udp-scan",
            Self::DnsAnswers => "dns-answers",
            Self::UdpReflection => "udp-reflection",
            Self::SynAck => "synack",
            Self::Rst => "rst",
            Self::Icmp => "icmp",
            Self::IcmpErrors => "icmp-errors",
            Self::Bogon => "bogon",
            Self::Ipv6 => "ipv6",
            Self::Fragments => "fragments",
            Self::Malformed => "malformed",
            Self::OddFlags => "odd-flags",
            Self::OtherProtocols => "other-protocols",
            Self::Vlan => "vlan",
            Self::NotDark => "not-dark",
        }
    }

    /// Its weight in the default mix, in thousandths.
    ///
    /// Internet-wide scanners send most, bots a sixth, backscatter a tenth: the picture of
    /// NICTER's reports of the 2020s in round numbers, with a little of everything that breaks
    /// decoders.
    const fn default_weight(self) -> u32 {
        match self {
            Self::Mirai => 120,
            Self::MiraiBadOffset | Self::Malformed => 2,
            Self::Zmap => 110,
            Self::Zmap41 => 70,
            Self::Masscan => 80,
            Self::Masscan2023 => 40,
            Self::SynScan => 246,
            Self::Udp53413 | Self::Fragments => 3,
            Self::UdpScan => 70,
            Self::UdpReflection => 12,
            Self::MiraiConstantId | Self::Nmap => 20,
            Self::SynAck => 40,
            Self::Rst => 15,
            Self::Icmp => 35,
            Self::IcmpErrors | Self::Bogon => 8,
            Self::DnsAnswers | Self::Ipv6 | Self::Vlan => 10,
            Self::Unicornscan => 6,
            Self::OddFlags | Self::OtherProtocols => 5,
            Self::NotDark => 50,
        }
    }

    /// `IPv4` or `IPv6` where the darknet needs a prefix of that family; none: any prefix will do.
    pub const fn family(self) -> Option<&'static str> {
        match self {
            Self::Ipv6 => Some("IPv6"),
            Self::IcmpErrors | Self::Bogon | Self::NotDark => None,
            _ => Some("IPv4"),
        }
    }
}

/// Shares of the components, by packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// In millionths, in the order of [`Component::ALL`].
    weights: [u64; Component::ALL.len()],
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            weights: Component::ALL.map(|component| u64::from(component.default_weight()) * 1000),
        }
    }
}

impl Mix {
    /// Reads `NAME=WEIGHT,NAME=WEIGHT`; a bare `NAME` has the weight 1. Weights are relative to
    /// each other and have up to six decimals.
    ///
    /// # Errors
    /// - [`SynthError::UnknownComponent`] for a name that no component has;
    /// - [`SynthError::Weight`] for a weight that is not a number from 0 to 1,000,000;
    /// - [`SynthError::Repeated`] for a component that the text has twice;
    /// - [`SynthError::EmptyMix`] if every weight is 0.
    pub fn parse(text: &str) -> Result<Self, SynthError> {
        let mut weights = [None; Component::ALL.len()];
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let (name, weight) = (name.trim(), weight.trim());
            let index = Component::ALL
                .iter()
                .position(|component| component.name() == name)
                .ok_or_else(|| SynthError::UnknownComponent {
                    name: name.to_owned(),
                    known: Self::names(),
                })?;
            let number = weight
                .parse::<f64>()
                .ok()
                .filter(|number| (0.0..=1e6).contains(number))
                .ok_or_else(|| SynthError::Weight {
                    name: name.to_owned(),
                    weight: weight.to_owned(),
                })?;
            if weights[index].is_some() {
                return Err(SynthError::Repeated {
                    name: name.to_owned(),
                });
            }
            // At most 10^12, which both types hold exactly.
            weights[index] = Some((number * WEIGHT_UNIT).round() as u64);
        }
        let weights = weights.map(|weight| weight.unwrap_or(0));
        if weights.iter().all(|&weight| weight == 0) {
            return Err(SynthError::EmptyMix {
                text: text.to_owned(),
            });
        }
        Ok(Self { weights })
    }

    /// The known names, separated by commas.
    pub fn names() -> String {
        Component::ALL.map(Component::name).join(", ")
    }

    /// A component's weight, in millionths.
    pub fn weight(&self, component: Component) -> u64 {
        self.weights[component as usize]
    }

    /// Takes a component out.
    pub(super) fn remove(&mut self, component: Component) {
        self.weights[component as usize] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_has_its_place_in_the_list_as_its_number() {
        for (index, component) in Component::ALL.into_iter().enumerate() {
            assert_eq!(component as usize, index);
        }
    }

    #[test]
    fn a_mix_is_read_from_its_text() {
        let mix = Mix::parse("mirai=2, zmap=0.5,icmp").unwrap();
        assert_eq!(mix.weight(Component::Mirai), 2_000_000);
        assert_eq!(mix.weight(Component::Zmap), 500_000);
        assert_eq!(mix.weight(Component::Icmp), 1_000_000);
        assert_eq!(mix.weight(Component::Vlan), 0);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text| Mix::parse(text).unwrap_err().to_string();
        let unknown = message("mirai=1,conficker=2");
        assert!(unknown.contains("\"conficker\"") && unknown.contains("unicornscan, syn-scan"));
        assert!(message("mirai=many").contains("\"many\""));
        assert!(message("mirai=-1").contains("\"-1\""));
        assert!(message("mirai=NaN").contains("\"NaN\""));
        assert!(message("mirai=1,mirai=2").contains("more than once"));
        assert!(message("mirai=0").contains("weighs nothing"));
        assert!(message("").contains("weighs nothing"));
    }
}
