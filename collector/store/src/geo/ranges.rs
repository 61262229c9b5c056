//! Sorted, disjoint address ranges with a value each.

use std::cmp::Reverse;
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

/// Ranges of both families.
pub(super) type Entries<V> = (Vec<FileRange<u32, V>>, Vec<FileRange<u128, V>>);

/// What a file has.
pub(super) struct Read<V> {
    pub(super) entries: Entries<V>,
    pub(super) odd: Odd,
}

/// Ranges whose value is not one, such as `A1` in place of a country code.
#[derive(Default)]
pub(super) struct Odd {
    pub(super) ranges: u64,
    /// The first text and its place.
    pub(super) example: Option<String>,
}

impl Odd {
    pub(super) fn add(&mut self, example: impl FnOnce() -> String) {
        self.ranges += 1;
        self.example.get_or_insert_with(example);
    }
}

/// Two ranges of a file that leave open which one decides.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overlap {
    pub(super) line: u32,
    pub(super) earlier: u32,
    /// They have the same ends and different values; otherwise each has addresses of its own.
    pub(super) equal: bool,
}

/// An address as a number.
pub(super) trait Address: Ord + Copy {
    fn next(self) -> Option<Self>;
    fn previous(self) -> Option<Self>;
}

impl Address for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

impl Address for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

/// Values by source address.
#[derive(Debug)]
pub(super) struct Ranges<V> {
    four: Vec<(u32, u32, V)>,
    six: Vec<(u128, u128, V)>,
    /// Ranges that lie within another one of the file.
    pub(super) nested: usize,
}

impl<V: Copy + Eq> Ranges<V> {
    /// The ranges of a file, in any order. Of ranges that lie within each other, the narrowest
    /// decides, as in a routing table.
    pub(super) fn new((four, six): Entries<V>) -> Result<Self, Overlap> {
        let mut nested = 0;
        Ok(Self {
            four: flatten(four, &mut nested)?,
            six: flatten(six, &mut nested)?,
            nested,
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

/// The disjoint ranges with a value, in address order.
struct Disjoint<A, V>(Vec<(A, A, V)>);

impl<A: Address, V: Copy + Eq> Disjoint<A, V> {
    /// Adds a range behind all others, joined to the last one if that ends before it and has its value.
    fn push(&mut self, start: A, end: A, value: Option<V>) {
        let Some(value) = value else { return };
        match self.0.last_mut() {
            Some(last) if last.2 == value && last.1.next() == Some(start) => last.1 = end,
            _ => self.0.push((start, end, value)),
        }
    }
}

/// Sorts entries, gives every address the value of the narrowest entry that holds it, and joins
/// neighbours of equal value.
///
/// Entries that hold an address lie within each other, or are refused. So on a stack of the entries
/// that hold an address, the narrowest is on top.
fn flatten<A: Address, V: Copy + Eq>(
    mut entries: Vec<FileRange<A, V>>,
    nested: &mut usize,
) -> Result<Vec<(A, A, V)>, Overlap> {
    entries.sort_by_key(|entry| (entry.start, Reverse(entry.end)));
    let mut disjoint = Disjoint(Vec::new());
    let mut open: Vec<FileRange<A, V>> = Vec::new();
    // The first address that is not decided yet; none behind the last address.
    let mut at = None;
    for entry in entries {
        close(&mut open, &mut at, Some(entry.start), &mut disjoint);
        if let Some(around) = open.last() {
            let equal = (around.start, around.end) == (entry.start, entry.end);
            if entry.end > around.end || (equal && around.value != entry.value) {
                return Err(Overlap {
                    line: around.line.max(entry.line),
                    earlier: around.line.min(entry.line),
                    equal,
                });
            }
            if equal {
                continue;
            }
            *nested += 1;
            if let (Some(at), Some(before)) = (at, entry.start.previous())
                && at <= before
            {
                disjoint.push(at, before, around.value);
            }
        }
        at = Some(entry.start);
        open.push(entry);
    }
    close(&mut open, &mut at, None, &mut disjoint);
    let mut ranges = disjoint.0;
    ranges.shrink_to_fit();
    Ok(ranges)
}

/// Ends the open entries that end before `limit`, or all of them.
fn close<A: Address, V: Copy + Eq>(
    open: &mut Vec<FileRange<A, V>>,
    at: &mut Option<A>,
    limit: Option<A>,
    disjoint: &mut Disjoint<A, V>,
) {
    while let Some(last) = open.pop_if(|last| limit.is_none_or(|limit| last.end < limit)) {
        if let Some(from) = *at
            && from <= last.end
        {
            disjoint.push(from, last.end, last.value);
            *at = last.end.next();
        }
    }
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
        let ranges = Ranges::new((entries, Vec::new())).unwrap();
        assert_eq!(ranges.four, [(0, 19, 1), (30, 39, 1), (40, u32::MAX, 2)]);
    }

    #[test]
    fn the_narrowest_range_decides() {
        let entries = vec![
            entry(0, u32::MAX, 1, 1),
            entry(10, 19, 2, 2),
            entry(12, 13, 0, 3),
            entry(15, 19, 1, 4),
            entry(10, 19, 2, 5),
            entry(u32::MAX, u32::MAX, 3, 6),
        ];
        let ranges = Ranges::new((entries, Vec::new())).unwrap();
        assert_eq!(
            ranges.four,
            [
                (0, 9, 1),
                (10, 11, 2),
                (14, 14, 2),
                (15, u32::MAX - 1, 1),
                (u32::MAX, u32::MAX, 3)
            ]
        );
        assert_eq!(ranges.nested, 4);
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
        let ranges = Ranges::new((four, six)).unwrap();
        let at = |address: u128| ranges.lookup(Ipv6Addr::from_bits(address).into());
        assert_eq!(at(0xffff_c000_0201), Some(1));
        assert_eq!(at(0xc000_0201), None);
        assert_eq!(at(u128::from(0x2002_c000_0201u64) << 80 | 5), Some(1));
        assert_eq!(at(inner), Some(2));
    }

    proptest! {
        /// The ranges agree with asking every entry in turn, and ranges that cross are found.
        #[test]
        fn ranges_equal_their_entries(
            spans in proptest::collection::vec((0u32..60, 0u32..40, 0u8..3), 0..9),
            offset in prop_oneof![Just(0), Just(u32::MAX - 99)],
        ) {
            let entries: Vec<_> = (1..)
                .zip(&spans)
                .map(|(line, &(start, length, value))| {
                    entry(offset + start, offset + start + length, value, line)
                })
                .collect();
            let unclear = |a: &FileRange<u32, u8>, b: &FileRange<u32, u8>| {
                let crossing = a.start < b.start && b.start <= a.end && a.end < b.end;
                crossing || ((a.start, a.end) == (b.start, b.end) && a.value != b.value)
            };
            let refused = entries.iter().any(|a| entries.iter().any(|b| unclear(a, b)));
            match Ranges::new((entries.clone(), Vec::new())) {
                Err(overlap) => {
                    prop_assert!(refused && overlap.earlier < overlap.line);
                    let at = |line: u32| &entries[line as usize - 1];
                    let (a, b) = (at(overlap.earlier), at(overlap.line));
                    prop_assert!(unclear(a, b) || unclear(b, a));
                }
                Ok(ranges) => {
                    prop_assert!(!refused);
                    for address in (0..100).map(|address| offset + address) {
                        let expected = (entries.iter())
                            .filter(|e| (e.start..=e.end).contains(&address))
                            .min_by_key(|e| e.end - e.start)
                            .and_then(|e| e.value);
                        prop_assert_eq!(ranges.lookup(Ipv4Addr::from_bits(address).into()), expected);
                    }
                }
            }
        }
    }
}
