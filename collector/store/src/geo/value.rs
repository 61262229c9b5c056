//! The values of ranges, countries and AS numbers, as geo files write them.

use crate::country::Country;

/// A text that is not a value of the type.
pub(super) struct NotAValue;

/// The type of a value: a country or an AS number.
pub(super) trait Value: Copy + Eq {
    /// Name of the type, for messages.
    const WHAT: &'static str;
    /// Record layouts that have the value, for messages.
    const LAYOUTS: &'static str;
    /// Paths to the value in a MaxMind DB record, in the order in which they are tried.
    const PATHS: &'static [&'static [&'static str]];
    /// Parses the value's text; none if the text says that the value is not known.
    fn parse(text: &str) -> Result<Option<Self>, NotAValue>;
}

impl Value for Country {
    const WHAT: &'static str = "country";
    const LAYOUTS: &'static str = "records with `country.iso_code` or `country_code`";
    const PATHS: &'static [&'static [&'static str]] =
        &[&["country", "iso_code"], &["country_code"]];

    fn parse(text: &str) -> Result<Option<Self>, NotAValue> {
        // ZZ is "unknown or invalid territory" (Unicode CLDR), the others are habits.
        match text {
            "" | "-" | "--" | "??" | "ZZ" | "zz" => Ok(None),
            _ => Self::from_code(text).map(Some).ok_or(NotAValue),
        }
    }
}

impl Value for u32 {
    const WHAT: &'static str = "AS number";
    const LAYOUTS: &'static str = "records with `autonomous_system_number` or `asn`";
    const PATHS: &'static [&'static [&'static str]] = &[&["autonomous_system_number"], &["asn"]];

    fn parse(text: &str) -> Result<Option<Self>, NotAValue> {
        if matches!(text, "" | "-") {
            return Ok(None);
        }
        let digits = text
            .strip_prefix("AS")
            .or_else(|| text.strip_prefix("as"))
            .unwrap_or(text);
        let number: u32 = digits.parse().map_err(|_| NotAValue)?;
        // AS 0 is reserved for networks that are not routed (RFC 7607).
        Ok((number != 0).then_some(number))
    }
}
