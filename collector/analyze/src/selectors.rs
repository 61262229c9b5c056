//! Selectors of a report: ports, peaks, countries on ports, and sources to notify.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

/// A port with its protocol; for ICMP the type and code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// `tcp`, `udp`, `icmp`, `icmpv6`, or a number of an IP protocol.
    pub protocol: String,
    /// The port; for ICMP the type times 256 plus the code.
    pub number: i64,
}

impl Port {
    /// A port by its columns in the store.
    pub fn new(protocol: &str, number: i64) -> Self {
        Self {
            protocol: protocol.to_owned(),
            number,
        }
    }

    /// For names of files: `23-tcp`.
    pub fn slug(&self) -> String {
        self.to_string().replace('/', "-")
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, number } = self;
        if protocol.starts_with("icmp") {
            write!(f, "{}/{}/{protocol}", number >> 8, number & 0xff)
        } else {
            write!(f, "{number}/{protocol}")
        }
    }
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        port(text).ok_or_else(|| {
            format!("\"{text}\" is not a port: write it as 23/tcp, 53/udp or 8/0/icmp")
        })
    }
}

fn port(text: &str) -> Option<Port> {
    let parts: Vec<&str> = text.split('/').collect();
    let (numbers, protocol) = parts.split_at(parts.len() - 1);
    let protocol = protocol[0];
    let number = match (protocol, numbers) {
        ("tcp" | "udp", [port]) => i64::from(port.parse::<u16>().ok()?),
        ("icmp" | "icmpv6", [kind, code]) => {
            i64::from(kind.parse::<u8>().ok()?) << 8 | i64::from(code.parse::<u8>().ok()?)
        }
        _ => return None,
    };
    Some(Port::new(protocol, number))
}

/// A day and ports whose sources are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peak {
    /// The day.
    pub date: Date,
    /// One or more.
    pub ports: Vec<Port>,
}

impl Peak {
    /// The ports, separated by commas.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.ports.iter().map(Port::to_string).collect();
        names.join(", ")
    }
}

impl FromStr for Peak {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a peak: write it as 2016-09-20=23,2323/tcp");
        let (date, ports) = text.split_once('=').ok_or_else(wrong)?;
        let date = date.parse().map_err(|_| wrong())?;
        let mut protocol = "";
        let mut all = Vec::new();
        // A number without a protocol has the protocol of the next number with one.
        for part in ports.split(',').rev() {
            let port = match part.split_once('/') {
                Some((_, of)) => {
                    protocol = of;
                    part.parse::<Port>()
                }
                None => format!("{part}/{protocol}").parse(),
            };
            all.push(port.map_err(|_| wrong())?);
        }
        all.reverse();
        let ports = unique(&all);
        Ok(Self { date, ports })
    }
}

/// A country and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountryPort {
    /// ISO 3166-1 alpha-2, or `??`.
    pub country: String,
    /// The port.
    pub port: Port,
}

impl FromStr for CountryPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a country and port: write it as BR:7547/tcp");
        let (country, port) = text.split_once(':').ok_or_else(wrong)?;
        let known = country.len() == 2 && country.bytes().all(|octet| octet.is_ascii_uppercase());
        if !known && country != "??" {
            return Err(wrong());
        }
        Ok(Self {
            country: country.to_owned(),
            port: port.parse().map_err(|_| wrong())?,
        })
    }
}

/// Sources to notify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifySelector {
    /// Sources of probes of a port.
    Port(Port),
    /// Sources that a fingerprint is confirmed for.
    Rule(String),
}

impl NotifySelector {
    /// For names of files.
    pub fn slug(&self) -> String {
        match self {
            Self::Port(port) => port.slug(),
            Self::Rule(rule) => slug(rule),
        }
    }
}

impl FromStr for NotifySelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            return text.parse().map(Self::Port);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if text.is_empty() || !text.chars().all(plain) {
            return Err(format!(
                "\"{text}\" is neither a port (23/tcp) nor the name of a fingerprint (mirai)"
            ));
        }
        Ok(Self::Rule(text.to_owned()))
    }
}

/// The items without repetitions, in the order of their first occurrences.
pub fn unique<T: Clone + PartialEq>(all: &[T]) -> Vec<T> {
    let mut unique: Vec<T> = Vec::with_capacity(all.len());
    for one in all {
        if !unique.contains(one) {
            unique.push(one.clone());
        }
    }
    unique
}

/// A name in small letters, digits and hyphens, for names of files.
pub fn slug(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_they_are_printed() {
        for (text, protocol, number, slug) in [
            ("23/tcp", "tcp", 23, "23-tcp"),
            ("65535/udp", "udp", 65_535, "65535-udp"),
            ("8/0/icmp", "icmp", 2048, "8-0-icmp"),
            ("128/0/icmpv6", "icmpv6", 32_768, "128-0-icmpv6"),
            ("3/13/icmp", "icmp", 781, "3-13-icmp"),
        ] {
            let port: Port = text.parse().unwrap();
            assert_eq!(port, Port::new(protocol, number));
            assert_eq!((port.to_string(), port.slug()), (text.into(), slug.into()));
        }
        for text in [
            "",
            "23",
            "/",
            "23/",
            "65536/tcp",
            "-1/tcp",
            "23/sctp",
            "8/icmp",
            "256/0/icmp",
            "1/2/tcp",
        ] {
            assert!(text.parse::<Port>().is_err(), "{text}");
        }
    }

    #[test]
    fn peaks_have_a_day_and_ports() {
        let peak: Peak = "2016-09-20=23,2323/tcp".parse().unwrap();
        assert_eq!(peak.date.to_string(), "2016-09-20");
        assert_eq!(peak.names(), "23/tcp, 2323/tcp");
        let peak: Peak = "2016-09-20=53/udp,23,23/tcp".parse().unwrap();
        assert_eq!(peak.names(), "53/udp, 23/tcp");
        for text in [
            "2016-09-20",
            "2016-09-20=",
            "x=23/tcp",
            "2016-09-20=23",
            "2016-09-20=23/tcp,2323",
        ] {
            assert!(text.parse::<Peak>().is_err(), "{text}");
        }
    }

    #[test]
    fn countries_and_sources_to_notify_are_parsed() {
        let pair: CountryPort = "BR:7547/tcp".parse().unwrap();
        assert_eq!((pair.country.as_str(), pair.port.number), ("BR", 7547));
        assert!("??:23/tcp".parse::<CountryPort>().is_ok());
        for text in ["BR", "br:23/tcp", "BRA:23/tcp", "BR:x"] {
            assert!(text.parse::<CountryPort>().is_err(), "{text}");
        }
        assert_eq!(
            "23/tcp".parse(),
            Ok(NotifySelector::Port(Port::new("tcp", 23)))
        );
        assert_eq!(
            "zmap-4.1".parse(),
            Ok(NotifySelector::Rule("zmap-4.1".to_owned()))
        );
        assert_eq!(
            NotifySelector::Rule("zmap-4.1".to_owned()).slug(),
            "zmap-4-1"
        );
        for text in ["", "mirai'", "a b", "23/x"] {
            assert!(text.parse::<NotifySelector>().is_err(), "{text}");
        }
    }
}
