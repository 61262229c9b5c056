//! Names of IP protocols, made once: rows by the million are written and sorted by them.

use std::borrow::Cow;
use std::sync::LazyLock;

use noctule_packet::cell::protocol;

static NAMES: LazyLock<[Cow<'static, str>; 256]> =
    LazyLock::new(|| std::array::from_fn(|number| protocol::name(number as u8)));

/// The name that [`protocol::name`] gives, without an allocation.
#[inline]
pub(crate) fn name(number: u8) -> &'static str {
    &NAMES[usize::from(number)]
}

/// The IP protocol number of a name in the tables.
pub fn protocol_number(name: &str) -> Option<u8> {
    (0..=u8::MAX).find(|&number| self::name(number) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_own_name() {
        for number in 0..=255 {
            assert_eq!(name(number), protocol::name(number));
            assert_eq!(protocol_number(name(number)), Some(number));
        }
        assert_eq!(protocol_number("TCP"), None);
        assert_eq!(
            [6, 17, 1, 58, 47].map(name),
            ["tcp", "udp", "icmp", "icmpv6", "47"]
        );
    }
}
