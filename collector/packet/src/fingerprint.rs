//! Tools that give themselves away in the headers of their probes.
//!
//! Every rule looks at TCP with SYN and without ACK, RST, FIN over IPv4 (counting
//! rule 7). Integers are in host order.

/// The header fields that rules look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Destination address.
    pub destination: u32,
    /// Destination port.
    pub destination_port: u16,
    /// Source port.
    pub source_port: u16,
    /// TCP sequence number.
    pub sequence: u32,
    /// IPv4 identification.
    pub ip_id: u16,
}

/// One fingerprint.
pub struct Rule {
    /// Its name in every table.
    pub name: &'static str,
    /// Raised whenever what it matches changes.
    pub version: u16,
    /// Does this probe bear it?
    pub matches: fn(&Probe) -> bool,
}

/// The rules in force; a rule's place is its bit in [`Marks`].
pub const RULES: [Rule; 3] = [
    // Antonakakis et al., "Understanding the Mirai Botnet", USENIX Security 2017, section 3.
    // By accident: 2^-32 of all probes.
    Rule {
        name: "mirai",
        version: 1,
        matches: |p| p.sequence == p.destination,
    },
    // Durumeric et al., "ZMap: Fast Internet-Wide Scanning", USENIX Security 2013; a constant of
    // the source until 4.1. By accident: 2^-16.
    Rule {
        name: "zmap",
        version: 1,
        matches: |p| p.ip_id == 54_321,
    },
    // Masscan's source, `ip_id = addr ^ port ^ seqno`, cut to the field's 16 bits.
    // By accident: 2^-16.
    Rule {
        name: "masscan",
        version: 1,
        matches: |p| {
            let mixed = p.destination ^ u32::from(p.destination_port) ^ p.sequence;
            u32::from(p.ip_id) == mixed & 0xffff
        },
    },
];

/// Version of the rule set as a whole: raised with every change to [`RULES`] or to the classes.
pub const RULES_VERSION: &str = "1";

/// Which rules a packet matched: one bit per place in [`RULES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u32);

impl Marks {
    /// Judges a probe by all rules.
    #[inline]
    pub fn of(probe: &Probe) -> Self {
        let mut bits = 0;
        for (place, rule) in RULES.iter().enumerate() {
            bits |= u32::from((rule.matches)(probe)) << place;
        }
        Self(bits)
    }

    /// One bit per place in [`RULES`].
    #[inline]
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// No rule matched.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The places of the rules that matched, ascending.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..RULES.len()).filter(move |place| self.0 >> place & 1 == 1)
    }
}

/// nmap's expression: constant over one nmap process, because it encodes its state as two
/// halves of the sequence number that are XORed with the same secret.
///
/// Ghiette et al., "Remote Identification of Port Scan Toolchains", NTMS 2016.
#[inline]
pub const fn nmap_fold(probe: &Probe) -> u16 {
    (probe.sequence >> 16) as u16 ^ probe.sequence as u16
}

/// Unicornscan's expression: constant over one unicornscan process (same source).
#[inline]
pub const fn unicornscan_fold(probe: &Probe) -> u32 {
    let ports = (probe.destination_port as u32) << 16;
    probe.sequence ^ probe.destination ^ ports.wrapping_add(probe.source_port as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: Probe = Probe {
        destination: 0xc612_0304,
        destination_port: 23,
        source_port: 40_000,
        sequence: 7,
        ip_id: 1,
    };

    fn names(probe: Probe) -> Vec<&'static str> {
        Marks::of(&probe).places().map(|p| RULES[p].name).collect()
    }

    #[test]
    fn each_rule_matches_its_own_probe_only() {
        assert!(names(PROBE).is_empty());
        assert_eq!(
            names(Probe {
                sequence: PROBE.destination,
                ..PROBE
            }),
            ["mirai"]
        );
        assert_eq!(
            names(Probe {
                ip_id: 54_321,
                ..PROBE
            }),
            ["zmap"]
        );
        let mixed = (0xc612_0304u32 ^ 23 ^ 7) as u16;
        assert_eq!(
            names(Probe {
                ip_id: mixed,
                ..PROBE
            }),
            ["masscan"]
        );
    }

    #[test]
    fn masscan_is_compared_in_16_bits() {
        // The upper half of the expression is far from zero here.
        let probe = Probe {
            sequence: 0xdead_0000,
            ip_id: 0x0304 ^ 23,
            ..PROBE
        };
        assert_eq!(names(probe), ["masscan"]);
    }

    #[test]
    fn expressions_are_constant_over_their_tools_packets() {
        let secret = 0x5a5a_u32;
        let nmap = |n: u32| Probe {
            sequence: ((n ^ secret) << 16) | n,
            ..PROBE
        };
        assert_eq!(nmap_fold(&nmap(1)), nmap_fold(&nmap(77)));
        let unicorn = |to: u32, port: u16| Probe {
            destination: to,
            destination_port: port,
            sequence: 0x1234_5678 ^ to ^ ((u32::from(port) << 16) + 40_000),
            ..PROBE
        };
        assert_eq!(unicornscan_fold(&unicorn(1, 80)), 0x1234_5678);
        assert_eq!(unicornscan_fold(&unicorn(99, 443)), 0x1234_5678);
    }
}
