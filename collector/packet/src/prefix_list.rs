//! Prefixes from files that databases write: what a line may hold, and which prefixes have an effect.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::darknet::{Darknet, DarknetError, prefix};

/// A line that is not a prefix.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {source}")]
pub struct LineError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong.
    pub source: DarknetError,
}

/// The prefixes of a text, one a line. An address alone is a prefix of its full length. Empty lines are
/// ignored, and so is everything from `#` on.
///
/// # Errors
/// [`LineError`] with [`DarknetError::Unparsable`] or [`DarknetError::HostBits`].
pub fn parse(text: &str) -> Result<Vec<IpNet>, LineError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut prefixes = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        let wrong = |source| LineError { line, source };
        let prefix = prefix(content).map_err(wrong)?;
        if prefix.trunc() != prefix {
            return Err(wrong(DarknetError::HostBits(prefix, prefix.trunc())));
        }
        prefixes.push(prefix);
    }
    Ok(prefixes)
}

/// How many prefixes of a file have no effect, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unused {
    /// Prefixes that the file or the configuration has already.
    pub repeated: Count,
    /// Excludes outside every included prefix, and wider than none.
    pub outside: Count,
    /// Excludes that are wider than an included prefix, which therefore decides.
    pub wider: Count,
    /// Excludes that are also included: they are not dark, since the exclude decides.
    pub both: Count,
}

/// A number of prefixes, and the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub prefixes: usize,
    /// The first of them.
    pub first: Option<IpNet>,
}

impl Count {
    fn add(&mut self, prefix: IpNet) {
        self.prefixes += 1;
        self.first.get_or_insert(prefix);
    }
}

/// Included and excluded prefixes.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    /// Dark prefixes.
    pub includes: &'a [IpNet],
    /// Prefixes that are not dark.
    pub excludes: &'a [IpNet],
}

/// The darknet of prefixes that an operator wrote, and of others from files. Prefixes from files may
/// repeat each other, and excludes may lie anywhere: what has no effect is left out and counted, for the
/// file of includes and for that of excludes.
///
/// # Errors
/// As [`Darknet::new`], for the prefixes that an operator wrote.
pub fn darknet(
    written: Lists<'_>,
    files: Lists<'_>,
) -> Result<(Darknet, [Unused; 2]), DarknetError> {
    let mut unused = [Unused::default(), Unused::default()];
    let mut includes: BTreeSet<IpNet> = written.includes.iter().copied().collect();
    let mut added: Vec<IpNet> = written.includes.to_vec();
    for &prefix in files.includes {
        if includes.insert(prefix) {
            added.push(prefix);
        } else {
            unused[0].repeated.add(prefix);
        }
    }
    let mut excludes: BTreeSet<IpNet> = written.excludes.iter().copied().collect();
    let mut removed: Vec<IpNet> = written.excludes.to_vec();
    for &prefix in files.excludes {
        if !excludes.insert(prefix) {
            unused[1].repeated.add(prefix);
        } else if includes.contains(&prefix) {
            unused[1].both.add(prefix);
            added.retain(|&include| include != prefix);
            if inside(&includes, prefix, 1) {
                removed.push(prefix);
            }
        } else if inside(&includes, prefix, 0) {
            removed.push(prefix);
        } else if holds_one(&includes, prefix) {
            unused[1].wider.add(prefix);
        } else {
            unused[1].outside.add(prefix);
        }
    }
    // An exclude inside an include that is excluded as a whole has no effect.
    let left: BTreeSet<IpNet> = added.iter().copied().collect();
    if left.len() < includes.len() {
        removed.retain(|&prefix| inside(&left, prefix, 0) || !inside(&includes, prefix, 0));
    }
    Ok((Darknet::new(&added, &removed)?, unused))
}

/// True if a prefix that is at least `shorter` bits shorter holds this one.
fn inside(prefixes: &BTreeSet<IpNet>, prefix: IpNet, shorter: u8) -> bool {
    (0..=prefix.prefix_len()).any(|length| {
        prefix.prefix_len() - length >= shorter
            && IpNet::new(prefix.addr(), length)
                .is_ok_and(|outer| prefixes.contains(&outer.trunc()))
    })
}

/// True if this prefix holds one of the others.
fn holds_one(prefixes: &BTreeSet<IpNet>, prefix: IpNet) -> bool {
    // Ordered by address: what it holds follows it.
    (prefixes.range(prefix..).next()).is_some_and(|next| prefix.contains(next))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// The darknet of texts: written includes and excludes, and those of files.
    fn made(texts: [&[&str]; 4]) -> Result<(Darknet, [Unused; 2]), DarknetError> {
        let [a, b, c, d] = texts.map(nets);
        let lists = |includes, excludes| Lists { includes, excludes };
        darknet(lists(&a[..], &b[..]), lists(&c[..], &d[..]))
    }

    #[test]
    fn a_line_is_a_prefix_an_address_or_a_comment() {
        let text = "\u{feff}# made by a database\r\n\r\n198.18.3.0/24\r\n  198.18.4.9 # a host\r\n2001:db8::/32\n2001:db8::1";
        let expected = [
            "198.18.3.0/24",
            "198.18.4.9/32",
            "2001:db8::/32",
            "2001:db8::1/128",
        ];
        assert_eq!(parse(text).unwrap(), nets(&expected));
        assert_eq!(parse("").unwrap(), []);
        for (text, line) in [
            ("198.18.3.0/33", 1),
            ("# x\n198.18.3.0/24,JP", 2),
            ("198.18.3.0/24\n\n198.18.3.1/24\n", 3),
            ("198.18.3.0/24 198.18.4.0/24", 1),
            ("198.18.3.0-198.18.3.9", 1),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text}");
        }
    }

    #[test]
    fn what_has_no_effect_is_counted() {
        let (darknet, [of_includes, of_excludes]) = made([
            &["198.18.0.0/16"],
            &["198.18.1.0/24"],
            &["198.51.100.0/24", "198.18.0.0/16", "198.51.100.0/24"],
            &[
                "198.18.3.0/24",
                "198.18.3.0/24",
                "198.18.1.0/24",
                "198.19.0.0/24",
                "198.0.0.0/8",
                "2001:db8::/32",
            ],
        ])
        .unwrap();
        assert_eq!(darknet.observed4(), (1 << 16) + 256 - 512);
        assert_eq!(of_includes.repeated.prefixes, 2);
        assert_eq!(of_excludes.repeated.prefixes, 2);
        assert_eq!(of_excludes.outside.prefixes, 2);
        assert_eq!(
            of_excludes.wider.first,
            Some("198.0.0.0/8".parse().unwrap())
        );
        let plain = made([
            &["198.18.0.0/16", "198.51.100.0/24"],
            &["198.18.1.0/24", "198.18.3.0/24"],
            &[],
            &[],
        ]);
        assert_eq!(darknet.version(), plain.unwrap().0.version());
    }

    #[test]
    fn what_a_file_excludes_is_not_dark_though_it_is_included() {
        let (darknet, [_, unused]) = made([
            &["198.18.0.0/16", "198.18.3.0/24", "203.0.113.0/24"],
            &[],
            &[],
            &["198.18.3.0/24", "203.0.113.0/24", "203.0.113.0/25"],
        ])
        .unwrap();
        assert_eq!(darknet.observed4(), (1 << 16) - 256);
        assert_eq!(unused.both.prefixes, 2);
        let nothing = made([&["203.0.113.0/24"], &[], &[], &["203.0.113.0/24"]]);
        assert_eq!(nothing.unwrap_err(), DarknetError::Empty);
    }

    #[test]
    fn mistakes_in_the_configuration_stay_mistakes() {
        let outside = made([
            &["198.18.0.0/16"],
            &["198.19.0.0/16"],
            &[],
            &["198.18.1.0/24"],
        ]);
        assert!(matches!(outside, Err(DarknetError::ExcludeOutside(_))));
        let twice = made([&["198.18.0.0/16"], &["198.18.0.0/16"], &[], &[]]);
        assert!(matches!(twice, Err(DarknetError::Repeated(_))));
        assert_eq!(made([&[], &[], &[], &[]]).unwrap_err(), DarknetError::Empty);
    }

    proptest! {
        /// Dark is what the longest prefix of both lists says; of equal ones the exclude decides.
        #[test]
        fn the_longest_prefix_decides(
            includes in proptest::collection::vec((0u32..16, 27u8..=32), 1..6),
            excludes in proptest::collection::vec((0u32..16, 27u8..=32), 0..8),
        ) {
            let net = |&(host, length): &(u32, u8)| {
                let address = std::net::Ipv4Addr::from_bits(0xc612_0000 | host << 1);
                IpNet::new(address.into(), length).unwrap().trunc()
            };
            let includes: Vec<IpNet> = includes.iter().map(net).collect();
            let excludes: Vec<IpNet> = excludes.iter().map(net).collect();
            let none = Lists { includes: &[], excludes: &[] };
            let files = Lists { includes: &includes, excludes: &excludes };
            let dark = |address: &std::net::IpAddr| {
                let longest = |nets: &[IpNet]| {
                    nets.iter().filter(|net| net.contains(address)).map(IpNet::prefix_len).max()
                };
                match (longest(&includes), longest(&excludes)) {
                    (Some(include), Some(exclude)) => include > exclude,
                    (include, _) => include.is_some(),
                }
            };
            match darknet(none, files) {
                Ok((made, _)) => {
                    for host in 0..64u32 {
                        let address = std::net::Ipv4Addr::from_bits(0xc612_0000 | host).into();
                        prop_assert_eq!(made.contains(address), dark(&address), "{}", address);
                    }
                }
                Err(error) => {
                    prop_assert_eq!(error, DarknetError::Empty);
                    prop_assert!(includes.iter().all(|net| excludes.contains(net)));
                }
            }
        }
    }
}
