//! Sorted, disjoint address ranges with a value each.

use std::net::IpAddr;

/// One range as a file gives it, both ends included.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileRange<A, V> {
    pub(super) start: A,
    pub(super) end: A,
    /// None: the file says that the value is not known.
    pub(super) value: Option<V>,
    /// Line of the file, for messages; 0 in a MaxMind DB.
    pub(super) line: u32,
}

/// Two ranges of a file hold the same address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overlap {
    pub(super) line: u32,
    pub(super) earlier: u32,
}

/// Values by source address.
#[derive(Debug)]
pub(super) struct Ranges<V> {
    four: Vec<(u32, u32, V)>,
    six: Vec<(u128, u128, V)>,
}

impl<V: Copy + Eq> Ranges<V> {
    pub(super) fn new(
        four: Vec<FileRange<u32, V>>,
        six: Vec<FileRange<u128, V>>,
    ) -> Result<Self, Overlap> {
        Ok(Self {
            four: flatten(four, |a| a.checked_add(1))?,
            six: flatten(six, |a| a.checked_add(1))?,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.four.is_empty() && self.six.is_empty()
    }

    #[inline]
    pub(super) fn lookup(&self, source: IpAddr) -> Option<V> {
        match source {
            IpAddr::V4(address) => find(&self.four, address.to_bits()),
            IpAddr::V6(address) => {
                let address = address.to_bits();
                find(&self.six, address)
                    .or_else(|| embedded(address).and_then(|four| find(&self.four, four)))
            }
        }
    }
}

/// The IPv4 address that an IPv4-mapped (RFC 4291) or 6to4 (RFC 3056) address carries.
const fn embedded(address: u128) -> Option<u32> {
    if address >> 32 == 0xffff {
        Some(address as u32)
    } else if address >> 112 == 0x2002 {
        Some((address >> 80) as u32)
    } else {
        None
    }
}

#[inline]
fn find<A: Ord + Copy, V: Copy>(ranges: &[(A, A, V)], address: A) -> Option<V> {
    let after = ranges.partition_point(|&(start, ..)| start <= address);
    let &(_, end, value) = ranges.get(after.checked_sub(1)?)?;
    (address <= end).then_some(value)
}

/// Sorts entries, refuses overlaps, and joins neighbours of equal value.
fn flatten<A: Ord + Copy, V: Copy + Eq>(
    mut entries: Vec<FileRange<A, V>>,
    next: fn(A) -> Option<A>,
) -> Result<Vec<(A, A, V)>, Overlap> {
    entries.sort_by_key(|entry| entry.start);
    if let Some(two) = entries.windows(2).find(|two| two[1].start <= two[0].end) {
        return Err(Overlap {
            line: two[0].line.max(two[1].line),
            earlier: two[0].line.min(two[1].line),
        });
    }
    let mut ranges: Vec<(A, A, V)> = Vec::new();
    for entry in entries {
        let Some(value) = entry.value else { continue };
        match ranges.last_mut() {
            Some(last) if last.2 == value && next(last.1) == Some(entry.start) => {
                last.1 = entry.end;
            }
            _ => ranges.push((entry.start, entry.end, value)),
        }
    }
    ranges.shrink_to_fit();
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    fn entry(start: u32, end: u32, value: u8, line: u32) -> FileRange<u32, u8> {
        FileRange {
            start,
            end,
            value: (value > 0).then_some(value),
            line,
        }
    }

    #[test]
    fn neighbours_of_equal_value_are_joined() {
        let entries = vec![
            entry(10, 19, 1, 3),
            entry(0, 9, 1, 1),
            entry(30, 39, 1, 2),
            entry(20, 29, 0, 4),
            entry(40, u32::MAX, 2, 5),
        ];
        let ranges = Ranges::new(entries, Vec::new()).unwrap();
        assert_eq!(ranges.four, [(0, 19, 1), (30, 39, 1), (40, u32::MAX, 2)]);
    }

    #[test]
    fn carried_addresses_are_found_unless_the_file_knows_better() {
        let four = vec![entry(0xc000_0200, 0xc000_02ff, 1, 1)];
        let inner = u128::from(0x2002_c000_0207u64) << 80;
        let six = vec![FileRange {
            start: inner,
            end: inner,
            value: Some(2),
            line: 2,
        }];
        let ranges = Ranges::new(four, six).unwrap();
        let at = |address: u128| ranges.lookup(Ipv6Addr::from_bits(address).into());
        assert_eq!(at(0xffff_c000_0201), Some(1));
        assert_eq!(at(0xc000_0201), None);
        assert_eq!(at(u128::from(0x2002_c000_0201u64) << 80 | 5), Some(1));
        assert_eq!(at(inner), Some(2));
    }

    proptest! {
        /// The ranges agree with asking every entry in turn, and overlaps are found.
        #[test]
        fn ranges_equal_their_entries(
            spans in proptest::collection::vec((0u32..200, 0u32..12, 0u8..3), 0..20),
        ) {
            let entries: Vec<_> = (1..)
                .zip(&spans)
                .map(|(line, &(start, length, value))| entry(start, start + length, value, line))
                .collect();
            let holding = |address| entries.iter().filter(move |e| (e.start..=e.end).contains(&address));
            let overlapping = (0..220).any(|address| holding(address).count() > 1);
            match Ranges::new(entries.clone(), Vec::new()) {
                Err(overlap) => {
                    prop_assert!(overlapping && overlap.earlier < overlap.line);
                }
                Ok(ranges) => {
                    prop_assert!(!overlapping);
                    for address in 0..220 {
                        let expected = holding(address).next().and_then(|e| e.value);
                        prop_assert_eq!(ranges.lookup(Ipv4Addr::from_bits(address).into()), expected);
                    }
                }
            }
        }
    }
}
