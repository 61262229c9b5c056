//! IP protocols: the numbers that have names, and how the tables write any protocol.
//!
//! The names are made once, since rows are written and sorted by the million.

use std::sync::LazyLock;

/// ICMP.
pub const ICMP: u8 = 1;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// ICMPv6.
pub const ICMPV6: u8 = 58;

static NAMES: LazyLock<[String; 256]> = LazyLock::new(|| {
    std::array::from_fn(|number| match number as u8 {
        ICMP => "icmp".to_owned(),
        TCP => "tcp".to_owned(),
        UDP => "udp".to_owned(),
        ICMPV6 => "icmpv6".to_owned(),
        other => other.to_string(),
    })
});

/// `tcp`, `udp`, `icmp`, `icmpv6`, or the protocol number in decimal.
#[inline]
pub fn name(number: u8) -> &'static str {
    &NAMES[usize::from(number)]
}

/// The IP protocol number of a name in the tables; none for any other text.
pub fn number(name: &str) -> Option<u8> {
    (0..=u8::MAX).find(|&number| self::name(number) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_own_name() {
        for protocol in 0..=255 {
            assert_eq!(number(name(protocol)), Some(protocol));
        }
        assert_eq!(number("TCP"), None);
        assert_eq!(
            [6, 17, 1, 58, 47].map(name),
            ["tcp", "udp", "icmp", "icmpv6", "47"]
        );
    }
}
