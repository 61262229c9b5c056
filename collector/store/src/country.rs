//! The country of a source.

use std::fmt;

/// A country: two capital letters, or `??`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The country of a source that is not in the country file.
    pub const UNKNOWN: Self = Self(*b"??");

    /// The country of a two-letter code, in capitals or not; none for other text.
    pub const fn from_code(code: &str) -> Option<Self> {
        match code.as_bytes() {
            &[a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }

    /// The two characters.
    pub fn as_str(&self) -> &str {
        // Both are ASCII by construction.
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_two_letters() {
        assert_eq!(Country::from_code("jp").unwrap().as_str(), "JP");
        assert_eq!(Country::UNKNOWN.to_string(), "??");
        for code in ["", "J", "JPN", "J1", "??", "\u{e9}"] {
            assert_eq!(Country::from_code(code), None, "{code}");
        }
    }
}
