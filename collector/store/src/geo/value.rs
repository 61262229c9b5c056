//! The values of ranges, countries and AS numbers, as geo files write them.

use crate::country::Country;

/// What the text of a value says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed<V> {
    /// A value.
    Known(V),
    /// One of the usual marks for "not known", such as `-`.
    Unknown,
    /// Neither. The range has no value, and is reported.
    Odd,
}

impl<V> Parsed<V> {
    pub(super) fn known(self) -> Option<V> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown | Self::Odd => None,
        }
    }
}

/// The type of a value: a country or an AS number.
pub(super) trait Value: Copy + Eq {
    /// Name of the type, for messages.
    const WHAT: &'static str;
    /// Name of the value's text, for messages.
    const CODE: &'static str;
    /// Layouts that are read, for messages.
    const LAYOUTS: &'static str;
    /// Paths to the value in a MaxMind DB record, in the order in which they are tried.
    const PATHS: &'static [&'static [&'static str]];
    /// Names of the value's column in the header of a text, in the order in which they are tried.
    const COLUMNS: &'static [&'static str];
    /// Parses the value's text.
    fn parse(text: &str) -> Parsed<Self>;
    /// Columns to skip before the value, in a text without a header: `lines` are the fields of a
    /// sample of lines, each from the first one after the range.
    fn skip(lines: &[Vec<&str>]) -> usize;
}

/// Marks for "not known". ZZ is "unknown or invalid territory" (Unicode CLDR), the others are habits.
fn is_unknown(text: &str) -> bool {
    matches!(text, "" | "-" | "--" | "?" | "??" | "\\N")
        || ["zz", "xx", "none", "null", "n/a", "unknown"]
            .iter()
            .any(|mark| text.eq_ignore_ascii_case(mark))
}

/// Continents' codes, which some files have in a column before the country.
const CONTINENTS: [&str; 7] = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];

impl Value for Country {
    const WHAT: &'static str = "country";
    const CODE: &'static str = "country code";
    const LAYOUTS: &'static str = "a MaxMind DB with `country.iso_code`, `country_code` or \
        `country`, or lines `START,END,CODE`, `PREFIX,CODE`, IPtoASN's `START END AS CODE NAME`, \
        or with a header that names the columns";
    const PATHS: &'static [&'static [&'static str]] =
        &[&["country", "iso_code"], &["country_code"], &["country"]];
    const COLUMNS: &'static [&'static str] = &[
        "country_code",
        "country_iso_code",
        "iso_code",
        "countrycode",
        "country_short",
        "cc",
        "country",
    ];

    fn parse(text: &str) -> Parsed<Self> {
        if is_unknown(text) {
            return Parsed::Unknown;
        }
        Self::from_code(text).map_or(Parsed::Odd, Parsed::Known)
    }

    fn skip(lines: &[Vec<&str>]) -> usize {
        let column = |at: usize| {
            lines
                .iter()
                .map(move |line| line.get(at).copied().unwrap_or(""))
        };
        // One odd code does not make a column of countries another one.
        let countries = |at| {
            let odd = column(at)
                .filter(|text| Self::parse(text) == Parsed::Odd)
                .count();
            2 * odd <= lines.len()
                && column(at).any(|text| matches!(Self::parse(text), Parsed::Known(_)))
        };
        let numbers = |at| {
            column(at).all(|text| !text.is_empty() && text.bytes().all(|o| o.is_ascii_digit()))
        };
        let continents = |at| column(at).all(|text| CONTINENTS.contains(&text) || is_unknown(text));
        usize::from((numbers(0) || continents(0)) && countries(1))
    }
}

impl Value for u32 {
    const WHAT: &'static str = "AS number";
    const CODE: &'static str = "AS number";
    const LAYOUTS: &'static str = "a MaxMind DB with `autonomous_system_number` or `asn`, or lines \
        `START,END,AS`, `PREFIX,AS`, CAIDA's `PREFIX LENGTH AS`, IPtoASN's `START END AS CODE \
        NAME`, or with a header that names the columns";
    const PATHS: &'static [&'static [&'static str]] = &[
        &["autonomous_system_number"],
        &["asn"],
        &["traits", "autonomous_system_number"],
        &["as_number"],
    ];
    const COLUMNS: &'static [&'static str] = &[
        "asn",
        "as_number",
        "autonomous_system_number",
        "as_num",
        "origin_as",
        "as",
        "number",
    ];

    /// `64500`, `AS64500`, `5.1` (RFC 5396, asdot), each also before a name (`AS64500 Example`). Of
    /// several origins (`64500_64501`) and of a set (`{64500,64501}`) it is the first.
    fn parse(text: &str) -> Parsed<Self> {
        if is_unknown(text) {
            return Parsed::Unknown;
        }
        let first = text.split_whitespace().next().unwrap_or("");
        let first = first.trim_start_matches('{');
        let first = first.split(['_', ',', '}']).next().unwrap_or("");
        let upper = |mark: &str| {
            let head = first.get(..mark.len())?;
            head.eq_ignore_ascii_case(mark)
                .then(|| &first[mark.len()..])
        };
        let digits = upper("ASN").or_else(|| upper("AS")).unwrap_or(first);
        match number(digits) {
            // AS 0 is reserved for networks that are not routed (RFC 7607).
            Some(0) => Parsed::Unknown,
            Some(number) => Parsed::Known(number),
            None => Parsed::Odd,
        }
    }

    fn skip(_: &[Vec<&str>]) -> usize {
        0
    }
}

/// An AS number in decimals, or as two numbers of 16 bits with a dot.
fn number(text: &str) -> Option<u32> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    match text.split_once('.') {
        Some((high, low)) if digits(high) && digits(low) => {
            let (high, low): (u16, u16) = (high.parse().ok()?, low.parse().ok()?);
            Some(u32::from(high) << 16 | u32::from(low))
        }
        Some(_) => None,
        None if digits(text) => text.parse().ok(),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_numbers_in_every_notation() {
        for (text, expected) in [
            ("64500", Parsed::Known(64500)),
            ("AS64500", Parsed::Known(64500)),
            ("as64500", Parsed::Known(64500)),
            ("ASN64500", Parsed::Known(64500)),
            ("AS64500 Example, Inc.", Parsed::Known(64500)),
            ("5.1", Parsed::Known(327_681)),
            ("AS5.1", Parsed::Known(327_681)),
            ("65535.65535", Parsed::Known(u32::MAX)),
            ("0.1", Parsed::Known(1)),
            ("64500_64501", Parsed::Known(64500)),
            ("{64500,64501}", Parsed::Known(64500)),
            ("64500_{64501,64502}", Parsed::Known(64500)),
            ("64500,64501", Parsed::Known(64500)),
            ("0", Parsed::Unknown),
            ("0.0", Parsed::Unknown),
            ("", Parsed::Unknown),
            ("-", Parsed::Unknown),
            ("None", Parsed::Unknown),
            ("4294967296", Parsed::Odd),
            ("65536.1", Parsed::Odd),
            ("1.2.3", Parsed::Odd),
            ("35.689500", Parsed::Odd),
            ("-5", Parsed::Odd),
            ("+5", Parsed::Odd),
            ("JP", Parsed::Odd),
            ("AS", Parsed::Odd),
        ] {
            assert_eq!(u32::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn country_codes_that_are_none() {
        let japan = Country::from_code("JP").unwrap();
        for text in ["JP", "jp", "Jp"] {
            assert_eq!(Country::parse(text), Parsed::Known(japan), "{text}");
        }
        for text in ["", "-", "--", "??", "ZZ", "zz", "XX", "None", "NULL", "n/a"] {
            assert_eq!(Country::parse(text), Parsed::Unknown, "{text}");
        }
        for text in [
            "T1",
            "A1",
            "A2",
            "O1",
            "JPN",
            "Japan",
            "J",
            "392",
            "\u{e9}\u{e9}",
        ] {
            assert_eq!(Country::parse(text), Parsed::Odd, "{text}");
        }
    }
}
