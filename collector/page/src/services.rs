//! Names of services at ports, from a table that this project keeps (`data/services.tsv`).
//!
//! Its columns are the port (`type/code` for ICMP), the protocol, the name in IANA's registry of
//! services and, where that is missing or says something else than what scanners look for there,
//! what is.

use std::collections::HashMap;
use std::sync::LazyLock;

const TABLE: &str = include_str!("../data/services.tsv");

/// Names by port and protocol.
static SERVICES: LazyLock<HashMap<(&str, &str), &str>> = LazyLock::new(|| rows().collect());

/// Port, protocol and the name that reports print.
fn rows() -> impl Iterator<Item = ((&'static str, &'static str), &'static str)> {
    TABLE.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        let (port, protocol) = (fields.next()?, fields.next()?);
        let (registered, known) = (fields.next()?, fields.next()?);
        let name = if known.is_empty() { registered } else { known };
        Some(((port, protocol), name))
    })
}

/// What listens at a port of `tcp` or `udp`, or what a `type/code` of `icmp` or `icmpv6` says, if
/// it is commonly known.
pub fn service(protocol: &str, port: &str) -> Option<&'static str> {
    SERVICES.get(&(port, protocol)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_names() {
        assert_eq!(service("tcp", "23"), Some("telnet"));
        assert_eq!(service("tcp", "445"), Some("microsoft-ds"));
        assert_eq!(service("tcp", "5900"), Some("rfb"));
        assert_eq!(service("udp", "53413"), Some("netis router"));
        assert_eq!(service("icmp", "8/0"), Some("echo request"));
        assert_eq!(service("udp", "23"), None);
        assert_eq!(service("tcp", "65000"), None);
    }

    #[test]
    fn the_table_is_sound() {
        assert!(rows().count() > 150);
        assert_eq!(rows().count(), SERVICES.len(), "a port stands twice");
        for line in TABLE.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [port, protocol, registered, known] = fields[..] else {
                panic!("four columns: {line}");
            };
            assert!(!(registered.is_empty() && known.is_empty()), "{line}");
            match protocol {
                "tcp" | "udp" => assert!(port.parse::<u16>().is_ok(), "{line}"),
                "icmp" | "icmpv6" => {
                    let (kind, code) = port.split_once('/').unwrap();
                    assert!(
                        kind.parse::<u8>().is_ok() && code.parse::<u8>().is_ok(),
                        "{line}"
                    );
                }
                _ => panic!("{line}"),
            }
        }
    }
}
