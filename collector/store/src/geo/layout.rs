//! Which fields of a line hold the range and the value: the header of a text says so, or the
//! content of its first lines does.
//!
//! A headerless text has one of these layouts:
//! - `START,END,VALUE`, ends as text or as decimals (DB-IP, IP2Location, sapics);
//! - `PREFIX,VALUE` (lists of prefixes);
//! - `PREFIX LENGTH AS` (CAIDA's pfx2as);
//! - `START END AS COUNTRY NAME` (IPtoASN);
//! - any of them with fields between range and value that repeat the range in another notation
//!   (IP2Location's AS files, MaxMind's GeoIPCountryWhois) or name the continent (DB-IP's cities).

use super::span::{Address, RangeFields, Span, address, contents, range, short};
use super::value::{Parsed, Value};

/// A line that is not valid.
#[derive(Debug)]
pub(super) struct Fault {
    /// Its number, from 1.
    pub(super) line: u32,
    pub(super) reason: String,
}

/// Lines that are examined if there is no header.
const SAMPLE: usize = 1000;

/// Where the fields of every line are.
#[derive(Debug)]
pub(super) struct Layout<'t> {
    pub(super) delimiter: Delimiter,
    pub(super) range: RangeFields,
    /// Place of the value.
    pub(super) value: usize,
    header: Option<&'t str>,
}

impl<'t> Layout<'t> {
    /// The layout of a text; none if it has no line with a range.
    pub(super) fn of<V: Value>(text: &'t str) -> Result<Option<Self>, Fault> {
        let mut lines = contents(text).peekable();
        let Some(&(line, first)) = lines.peek() else {
            return Ok(None);
        };
        let delimiter = Delimiter::of(first);
        let names: Vec<_> = delimiter.split(first).collect();
        let header = is_header(&names).then_some(first);
        let named = match header {
            Some(_) => columns::<V>(&names).map_err(|reason| Fault { line, reason })?,
            None => Named::default(),
        };
        if let Named {
            range: Some(range),
            value: Some(value),
        } = named
        {
            return Ok(Some(Self {
                delimiter,
                range,
                value,
                header,
            }));
        }
        let mut lines = lines.filter(|&(_, content)| Some(content) != header);
        let Some((_, first)) = lines.next() else {
            return Ok(None);
        };
        let delimiter = Delimiter::of(first);
        let fields: Vec<_> = delimiter.split(first).collect();
        let range = named.range.unwrap_or_else(|| range_fields::<V>(&fields));
        let sample: Vec<Vec<&str>> = (std::iter::once(first))
            .chain(lines.map(|(_, content)| content))
            .take(SAMPLE)
            .map(|content| delimiter.split(content).collect())
            .collect();
        let value = named.value.unwrap_or_else(|| {
            let behind = range.behind() + repeats(range, &sample);
            let tails: Vec<Vec<&str>> = (sample.iter())
                .map(|fields| fields.get(behind..).unwrap_or_default().to_vec())
                .collect();
            behind + V::skip(&tails)
        });
        Ok(Some(Self {
            delimiter,
            range,
            value,
            header,
        }))
    }

    /// True for the header, also where it is repeated: files are joined with `cat`.
    pub(super) fn is_header(&self, content: &str) -> bool {
        self.header == Some(content)
    }
}

/// True if the fields of a text's first line are names and not values.
fn is_header(fields: &[&str]) -> bool {
    let letter = |field: &&str| field.starts_with(|first: char| first.is_ascii_alphabetic());
    let value = |field: &&str| address(field).is_some() || field.contains(['/', ':']);
    fields.iter().take(2).all(letter) && !fields.iter().any(value)
}

/// What a header names.
#[derive(Default)]
struct Named {
    range: Option<RangeFields>,
    value: Option<usize>,
}

const STARTS: &[&str] = &[
    "start_ip",
    "start",
    "ip_from",
    "range_start",
    "ip_range_start",
    "start_address",
    "ip_start",
    "network_start_ip",
    "first_ip",
    "from",
];
const ENDS: &[&str] = &[
    "end_ip",
    "end",
    "ip_to",
    "range_end",
    "ip_range_end",
    "end_address",
    "ip_end",
    "network_last_ip",
    "network_end_ip",
    "last_ip",
    "to",
];
const PREFIXES: &[&str] = &[
    "network",
    "cidr",
    "prefix",
    "ip_prefix",
    "subnet",
    "net",
    "range",
];
const LENGTHS: &[&str] = &["length", "prefix_length", "prefixlen", "mask"];

/// The columns that a header names.
fn columns<V: Value>(names: &[&str]) -> Result<Named, String> {
    let names: Vec<String> = (names.iter())
        .map(|name| name.to_ascii_lowercase().replace([' ', '-'], "_"))
        .collect();
    let find = |known: &[&str]| {
        (known.iter()).find_map(|known| names.iter().position(|name| name == known))
    };
    let range = match (find(STARTS), find(ENDS), find(PREFIXES), find(LENGTHS)) {
        (Some(start), Some(end), ..) => Some(RangeFields::Ends(start, end)),
        (_, _, Some(prefix), Some(length)) => Some(RangeFields::PrefixAndLength(prefix, length)),
        (_, _, Some(prefix), None) => Some(RangeFields::Prefix(prefix)),
        _ => None,
    };
    let value = find(V::COLUMNS);
    // A value of which nothing is known but that it is the last column.
    let last = range
        .filter(|range| range.behind() + 1 == names.len())
        .map(RangeFields::behind);
    match (range, value, last) {
        (Some(_), None, None) => Err(format!(
            "the header names no column of {}, which would be {}; its columns are {}",
            V::CODE,
            V::COLUMNS.join(", "),
            short(&names.join(","))
        )),
        (range, value, last) => Ok(Named {
            range,
            value: value.or(last),
        }),
    }
}

/// Where the range is, from the fields of a line.
fn range_fields<V: Value>(fields: &[&str]) -> RangeFields {
    let field = |at: usize| fields.get(at).copied().unwrap_or("");
    if field(0).contains('/') {
        return RangeFields::Prefix(0);
    }
    match (address(field(0)), address(field(1))) {
        (Some(Address::Four(_) | Address::Six(_)), Some(Address::Decimal(length)))
            if length <= 128 && fields.len() > 2 =>
        {
            RangeFields::PrefixAndLength(0, 1)
        }
        (Some(Address::Four(_) | Address::Six(_)), None)
            if !field(1).contains(['.', ':']) && matches!(V::parse(field(1)), Parsed::Known(_)) =>
        {
            RangeFields::Prefix(0)
        }
        _ => RangeFields::Ends(0, 1),
    }
}

/// How many fields behind the range repeat it in another notation, in every line of the sample.
fn repeats(place: RangeFields, sample: &[Vec<&str>]) -> usize {
    let behind = place.behind();
    let all = |same: &dyn Fn(Span, &[&str]) -> bool| {
        sample.iter().all(|fields| {
            let tail = fields.get(behind..).unwrap_or_default();
            range(place, fields).is_ok_and(|span| same(span, tail))
        })
    };
    let prefix = |span: Span, tail: &[&str]| {
        let first = tail.first().filter(|field| field.contains('/'));
        let start = |span| match span {
            Span::Four(start, _) => u128::from(start),
            Span::Six(start, _) => start,
        };
        first.is_some_and(|field| {
            range(RangeFields::Prefix(0), &[field]).is_ok_and(|found| start(found) == start(span))
        })
    };
    let both = |span: Span, tail: &[&str]| matches!(tail, [start, end, ..] if range(RangeFields::Ends(0, 1), &[start, end]) == Ok(span));
    if all(&both) {
        2
    } else {
        usize::from(all(&prefix))
    }
}

/// What separates the fields of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delimiter {
    /// A character. Fields may be in quotes.
    Character(char),
    /// Any number of blanks.
    Blanks,
}

impl Delimiter {
    fn of(line: &str) -> Self {
        // A field of another layout may hold commas; one that holds tabs is not known.
        let found = ['\t', ';', ',', '|']
            .into_iter()
            .find(|&c| line.contains(c));
        found.map_or(Self::Blanks, Self::Character)
    }

    /// The fields of a line, without the blanks and quotes around them.
    pub(super) fn split(self, line: &str) -> impl Iterator<Item = &str> {
        let mut rest = Some(line);
        std::iter::from_fn(move || {
            let text = rest?;
            let (field, after) = match self {
                Self::Blanks => text
                    .split_once(char::is_whitespace)
                    .map_or((text, None), |(field, after)| {
                        (field, Some(after.trim_start()))
                    }),
                Self::Character(mark) => {
                    let from = quoted(text, mark);
                    match text[from..].find(mark) {
                        Some(at) => (
                            &text[..from + at],
                            Some(&text[from + at + mark.len_utf8()..]),
                        ),
                        None => (text, None),
                    }
                }
            };
            rest = after;
            let field = field.trim();
            let inner = field
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'));
            Some(inner.unwrap_or(field).trim())
        })
    }
}

/// Where the quoted text at the start of a line's rest ends; 0 if it does not begin with a quote.
fn quoted(text: &str, mark: char) -> usize {
    let start = text.len() - text.trim_start_matches([' ', '\t']).len();
    if !text[start..].starts_with('"') {
        return 0;
    }
    let mut from = start + 1;
    while let Some(at) = text[from..].find('"') {
        let after = from + at + 1;
        // A doubled quote is one in the text.
        if text[after..].starts_with('"') {
            from = after + 1;
            continue;
        }
        let next = text[after..].trim_start_matches(' ');
        if next.is_empty() || next.starts_with(mark) {
            return after;
        }
        from = after;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_at_the_delimiter_outside_quotes() {
        let split = |text: &'static str| -> Vec<&str> { Delimiter::of(text).split(text).collect() };
        assert_eq!(split("a,b,,c"), ["a", "b", "", "c"]);
        assert_eq!(
            split("\"1.0.0.0\", \"1.0.0.255\" ,\"Korea, Republic of\",\"KR\""),
            ["1.0.0.0", "1.0.0.255", "Korea, Republic of", "KR"]
        );
        assert_eq!(split("\"a \"\"b\"\", c\",d"), ["a \"\"b\"\", c", "d"]);
        assert_eq!(split("\"never closed,b"), ["\"never closed", "b"]);
        assert_eq!(split("a\tb, c\td"), ["a", "b, c", "d"]);
        assert_eq!(split("a;b"), ["a", "b"]);
        assert_eq!(split("a   b\u{a0}c"), ["a", "b", "c"]);
        assert_eq!(split("a"), ["a"]);
    }
}
