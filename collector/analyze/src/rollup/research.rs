//! Lists of research scanners: prefixes of any width, each with a name, in force for a time.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use datafusion::arrow::array::{ArrayRef, BinaryViewArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use ipnet::IpNet;
use jiff::civil::Date;

/// Longest name, in characters.
const LONGEST_NAME: usize = 100;
/// IPv4 addresses of a block: ranges do not extend over two, so that a join by block finds them.
const BLOCK: u32 = 1 << 16;

/// First words of a header.
const HEADERS: [&str; 7] = ["prefix", "network", "cidr", "net", "range", "ip", "address"];

/// A list of research scanners.
#[derive(Clone, Debug)]
pub(super) struct List {
    /// Name of the scanners that the list gives none.
    pub(super) name: Option<String>,
    /// The first day on which it is in force.
    pub(super) from: Option<Date>,
    /// The last such day.
    pub(super) until: Option<Date>,
    /// Prefixes, each with its own name.
    pub(super) prefixes: Vec<(IpNet, Option<String>)>,
}

impl List {
    fn is_in_force(&self, date: Date) -> bool {
        self.from.is_none_or(|from| from <= date) && self.until.is_none_or(|until| date <= until)
    }
}

/// The prefixes of a text: one a line, with the scanner's name behind a blank, a tab, a comma or a
/// semicolon. `#` begins a remark; a header is skipped.
///
/// # Errors
/// If a line is neither an address nor a prefix, or a name is too long; `place` is in the message.
pub(super) fn parse(octets: &[u8], place: &str) -> Result<Vec<(IpNet, Option<String>)>> {
    let text = std::str::from_utf8(octets).with_context(|| format!("{place} is not a text"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut prefixes = Vec::new();
    let mut header_may_come = true;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (prefix, name) = fields(line);
        let header = std::mem::take(&mut header_may_come);
        if header && HEADERS.contains(&prefix.to_ascii_lowercase().as_str()) {
            continue;
        }
        let wrong = |what: &str| format!("{place}, line {number}: {prefix} {what}");
        let net = (prefix.parse::<IpNet>())
            .or_else(|_| prefix.parse::<IpAddr>().map(IpNet::from))
            .ok()
            .with_context(|| {
                wrong("is neither an address nor a prefix: write ADDRESS/LENGTH, then the scanner's name")
            })?;
        if name.chars().count() > LONGEST_NAME {
            bail!(wrong("has a name of more than 100 characters: shorten it"));
        }
        prefixes.push((net.trunc(), (!name.is_empty()).then(|| name.to_owned())));
    }
    Ok(prefixes)
}

/// The first two fields of a line, without quotes. Between blanks, the second is the whole rest.
fn fields(line: &str) -> (&str, &str) {
    let separator = |c: char| c.is_whitespace() || c == ',' || c == ';';
    let (first, rest) = match line.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        Some(quoted) => quoted,
        None => line.split_at(line.find(separator).unwrap_or(line.len())),
    };
    let blanks = rest.trim_start_matches(' ');
    let mark = blanks.chars().next().filter(|&c| c != '"' && separator(c));
    let rest = mark
        .map_or(blanks, |mark| &blanks[mark.len_utf8()..])
        .trim();
    let second = match rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        Some((quoted, _)) => quoted,
        None => mark.map_or(rest, |mark| rest.split(mark).next().unwrap_or_default()),
    };
    (first, second.trim())
}

/// A range of IPv4 within a block: the block's first address, first and last address, name.
type InBlock<'n> = (u32, u32, u32, Option<&'n str>);

/// A range of IPv6: first and last address, name.
type Range6 = (u128, u128, Option<String>);

/// Ranges that do not overlap, each with a name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    pub(super) four: Vec<(u32, u32, Option<String>)>,
    pub(super) six: Vec<Range6>,
}

impl Ranges {
    /// What the lists that are in force on a day say together. An address has the name of the
    /// longest prefix that has one; of equal prefixes, of the first list's.
    pub(super) fn on(lists: &[List], date: Date) -> Self {
        let mut four = Vec::new();
        let mut six = Vec::new();
        for list in lists.iter().filter(|list| list.is_in_force(date)) {
            for (net, name) in &list.prefixes {
                let name = name.as_deref().or(list.name.as_deref());
                match net {
                    IpNet::V4(net) => four.push((
                        u128::from(net.network().to_bits()),
                        u128::from(net.broadcast().to_bits()),
                        name,
                    )),
                    IpNet::V6(net) => {
                        six.push((net.network().to_bits(), net.broadcast().to_bits(), name));
                    }
                }
            }
        }
        let four = flatten(four).into_iter();
        Self {
            four: four
                .map(|(a, b, name)| (a as u32, b as u32, name))
                .collect(),
            six: flatten(six),
        }
    }

    /// The ranges as the table `research_list`.
    ///
    /// # Errors
    /// If Arrow refuses the columns.
    pub(super) fn batch(&self) -> Result<RecordBatch> {
        let four: Vec<_> = self.four.iter().flat_map(in_blocks).collect();
        let empty = self.six.iter().map(|_| None);
        let numbers = |of: fn(&InBlock<'_>) -> u32| -> ArrayRef {
            let values = four.iter().map(|row| Some(i64::from(of(row))));
            Arc::new(values.chain(empty.clone()).collect::<Int64Array>())
        };
        let octets = |of: fn(&Range6) -> u128| -> ArrayRef {
            let values = self.six.iter().map(|row| Some(of(row).to_be_bytes()));
            let empty = four.iter().map(|_| None);
            Arc::new(empty.chain(values).collect::<BinaryViewArray>())
        };
        let names = four.iter().map(|row| row.3);
        let names = names.chain(self.six.iter().map(|row| row.2.as_deref()));
        let names: ArrayRef = Arc::new(names.collect::<StringArray>());
        let column = |name, data_type| Field::new(name, data_type, true);
        let schema = Schema::new(vec![
            column("block", DataType::Int64),
            column("first4", DataType::Int64),
            column("last4", DataType::Int64),
            column("first6", DataType::BinaryView),
            column("last6", DataType::BinaryView),
            column("name", DataType::Utf8),
        ]);
        let columns = vec![
            numbers(|row| row.0),
            numbers(|row| row.1),
            numbers(|row| row.2),
            octets(|row| row.0),
            octets(|row| row.1),
            names,
        ];
        Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
    }
}

/// A range cut where blocks begin.
fn in_blocks(range: &(u32, u32, Option<String>)) -> impl Iterator<Item = InBlock<'_>> {
    let &(first, last, ref name) = range;
    (first / BLOCK..=last / BLOCK).map(move |number| {
        let block = number * BLOCK;
        let end = block | (BLOCK - 1);
        (block, first.max(block), last.min(end), name.as_deref())
    })
}

/// Turns prefixes, which lie within each other or are disjoint, into disjoint ranges in address order.
fn flatten(mut prefixes: Vec<(u128, u128, Option<&str>)>) -> Vec<Range6> {
    // Stable: of equal prefixes, the first list's comes first.
    prefixes.sort_by_key(|&(first, last, _)| (first, Reverse(last)));
    prefixes.dedup_by(|next, before| {
        let equal = (next.0, next.1) == (before.0, before.1);
        if equal {
            before.2 = before.2.or(next.2);
        }
        equal
    });
    let mut ranges: Vec<Range6> = Vec::new();
    let mut push = |first: u128, last: u128, name: Option<&str>| match ranges.last_mut() {
        Some(before) if before.1.checked_add(1) == Some(first) && before.2.as_deref() == name => {
            before.1 = last;
        }
        _ => ranges.push((first, last, name.map(str::to_owned))),
    };
    // Prefixes that hold the address `at`, the first that is in no range yet; the longest is last.
    let mut open: Vec<(u128, u128, Option<&str>)> = Vec::new();
    let mut at = Some(0u128);
    let mut close = |open: &mut Vec<(u128, u128, Option<&str>)>, next: Option<u128>| {
        while let Some((_, last, name)) =
            open.pop_if(|&mut (_, last, _)| next.is_none_or(|next| last < next))
        {
            if let Some(first) = at.filter(|&first| first <= last) {
                push(first, last, name);
                at = last.checked_add(1);
            }
        }
        let Some(next) = next else { return };
        if let (Some(&(_, _, name)), Some(first)) = (open.last(), at)
            && first < next
        {
            push(first, next - 1, name);
        }
        at = Some(next);
    };
    for (first, last, name) in prefixes {
        close(&mut open, Some(first));
        // What has no name keeps that of the prefix around it.
        let name = name.or(open.last().and_then(|around| around.2));
        open.push((first, last, name));
    }
    close(&mut open, None);
    ranges
}

/// Checks that a list is in force at some time.
///
/// # Errors
/// If `until` is before `from`; `file` is in the message.
pub(super) fn check_dates(file: &str, from: Option<Date>, until: Option<Date>) -> Result<()> {
    let ordered = from.zip(until).is_none_or(|(from, until)| from <= until);
    ensure!(
        ordered,
        "research list {file} ends before it begins: exchange `from` and `until`"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn list(text: &str) -> List {
        List {
            name: None,
            from: None,
            until: None,
            prefixes: parse(text.as_bytes(), "list").unwrap(),
        }
    }

    #[test]
    fn a_line_has_a_prefix_and_perhaps_a_name() {
        let text = "\u{feff}prefix,name\r\n# scanners\r\n192.0.2.0/30 # ours\n2001:db8::1 Censys\n\
            198.51.100.0/24,Shadow Server,x\n203.0.113.0/25\tRapid7 Labs\n203.0.113.128/25   Two words\n\
            \"10.0.0.0/8\",\"A, Inc.\"\n10.1.0.0/16 ; B\n2602:80d:1000:b0cc:e::/80\n10.2.0.1/16,\n";
        let found = parse(text.as_bytes(), "list").unwrap();
        let found: Vec<_> = (found.iter())
            .map(|(net, name)| (net.to_string(), name.as_deref().unwrap_or("")))
            .collect();
        let expected = [
            ("192.0.2.0/30", ""),
            ("2001:db8::1/128", "Censys"),
            ("198.51.100.0/24", "Shadow Server"),
            ("203.0.113.0/25", "Rapid7 Labs"),
            ("203.0.113.128/25", "Two words"),
            ("10.0.0.0/8", "A, Inc."),
            ("10.1.0.0/16", "B"),
            ("2602:80d:1000:b0cc:e::/80", ""),
            ("10.2.0.0/16", ""),
        ];
        assert_eq!(found, expected.map(|(net, name)| (net.to_owned(), name)));
        let long = format!("10.0.0.1 {}", "x".repeat(101));
        for (text, words) in [
            ("\nx\n", "line 2"),
            ("10.0.0.0/33\n", "10.0.0.0/33 is neither"),
            ("prefix\nprefix\n", "line 2"),
            (long.as_str(), "line 1"),
        ] {
            let error = parse(text.as_bytes(), "list").unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_longest_prefix_with_a_name_decides() {
        let first = list("10.0.0.0/8 A\n10.1.0.0/16\n10.1.2.0/24 B\n10.1.2.0/24 C\n::/0 All\n");
        let ranges = Ranges::on(
            &[first, list("10.1.2.0/24 D\n11.0.0.0/32\n")],
            date("2026-01-01"),
        );
        let at = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().to_bits();
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(
            ranges.four,
            [
                (at("10.0.0.0"), at("10.1.1.255"), named("A")),
                (at("10.1.2.0"), at("10.1.2.255"), named("B")),
                (at("10.1.3.0"), at("10.255.255.255"), named("A")),
                (at("11.0.0.0"), at("11.0.0.0"), None),
            ]
        );
        assert_eq!(ranges.six, [(0, u128::MAX, named("All"))]);
        // The 256 blocks of 10.0.0.0/8, one of them in three parts, and 11.0.0.0.
        assert_eq!(ranges.batch().unwrap().num_rows(), 256 + 2 + 1 + 1);
    }

    #[test]
    fn a_list_is_in_force_from_its_first_to_its_last_day() {
        let dated = List {
            name: Some("Censys".to_owned()),
            from: Some(date("2026-03-01")),
            until: Some(date("2026-03-31")),
            ..list("10.0.0.1\n")
        };
        for (day, ranges) in [
            ("2026-02-28", 0),
            ("2026-03-01", 1),
            ("2026-03-31", 1),
            ("2026-04-01", 0),
        ] {
            let found = Ranges::on(std::slice::from_ref(&dated), date(day));
            assert_eq!(found.four.len(), ranges, "{day}");
            assert!(
                found
                    .four
                    .iter()
                    .all(|range| range.2.as_deref() == Some("Censys"))
            );
        }
    }

    proptest! {
        #[test]
        fn ranges_agree_with_asking_every_prefix(
            prefixes in proptest::collection::vec((0u32..32, 27u8..=32, 0u8..3), 0..12),
        ) {
            let prefixes: Vec<(IpNet, Option<String>)> = (prefixes.iter())
                .map(|&(host, length, name)| {
                    let address = std::net::Ipv4Addr::from_bits(host.wrapping_sub(16));
                    let net = IpNet::new(address.into(), length).unwrap().trunc();
                    (net, (name > 0).then(|| name.to_string()))
                })
                .collect();
            let list = List { prefixes: prefixes.clone(), ..list("") };
            let ranges = Ranges::on(&[list], date("2026-01-01"));
            prop_assert!(ranges.four.windows(2).all(|two| two[0].1 < two[1].0));
            for host in 0..32u32 {
                let bits = host.wrapping_sub(16);
                let address: IpAddr = std::net::Ipv4Addr::from_bits(bits).into();
                let holding = || prefixes.iter().filter(|(net, _)| net.contains(&address));
                let name = (holding().rev())
                    .filter(|(_, name)| name.is_some())
                    .max_by_key(|(net, _)| net.prefix_len());
                let found = ranges.four.iter().find(|range| (range.0..=range.1).contains(&bits));
                prop_assert_eq!(found.is_some(), holding().count() > 0, "{}", address);
                let found = found.and_then(|range| range.2.clone());
                prop_assert_eq!(found, name.and_then(|(_, name)| name.clone()), "{}", address);
            }
        }
    }
}
