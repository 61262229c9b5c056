//! The range of a line, from addresses as text or decimals, or from a prefix.

use std::net::IpAddr;

/// Places of the fields that give a line's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RangeFields {
    /// First and last address.
    Ends(usize, usize),
    /// `ADDRESS/LENGTH`, or one address.
    Prefix(usize),
    /// Address and length of a prefix.
    PrefixAndLength(usize, usize),
}

impl RangeFields {
    /// The first place behind these fields.
    pub(super) fn behind(self) -> usize {
        match self {
            Self::Ends(a, b) | Self::PrefixAndLength(a, b) => a.max(b) + 1,
            Self::Prefix(a) => a + 1,
        }
    }
}

/// The lines that are neither empty nor comments, with their numbers from 1.
pub(super) fn contents(text: &str) -> impl Iterator<Item = (u32, &str)> {
    (1..)
        .zip(text.lines())
        .map(|(line, content)| (line, content.trim()))
        .filter(|(_, content)| !content.is_empty() && !content.starts_with('#'))
}

/// A range of addresses, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    Four(u32, u32),
    Six(u128, u128),
}

impl Span {
    /// A range from its ends as numbers of 128 bits; IPv4-mapped addresses are IPv4.
    fn six(start: u128, end: u128) -> Self {
        if start >> 32 == 0xffff && end >> 32 == 0xffff {
            Self::Four(start as u32, end as u32)
        } else {
            Self::Six(start, end)
        }
    }
}

/// The range of a line.
pub(super) fn range(place: RangeFields, fields: &[&str]) -> Result<Span, String> {
    let field = |at: usize| {
        let least = at + 1;
        (fields.get(at).copied()).ok_or_else(|| format!("there are fewer than {least} fields"))
    };
    match place {
        RangeFields::Ends(start, end) => ends(field(start)?, field(end)?),
        RangeFields::Prefix(at) => {
            let text = field(at)?;
            match text.split_once('/') {
                Some((address, length)) => prefix(address, length),
                None => ends(text, text).map_err(|_| {
                    format!("\"{}\" is not a prefix: write ADDRESS/LENGTH", short(text))
                }),
            }
        }
        RangeFields::PrefixAndLength(address, length) => prefix(field(address)?, field(length)?),
    }
}

fn ends(start: &str, end: &str) -> Result<Span, String> {
    let wrong = |text: &str| format!("\"{}\" is not an address", short(text));
    let first = address(start).ok_or_else(|| wrong(start))?;
    let last = address(end).ok_or_else(|| wrong(end))?;
    let (ordered, span) = match (first, last) {
        (Address::Four(start), Address::Four(end)) => (start <= end, Span::Four(start, end)),
        (Address::Six(start), Address::Six(end)) => (start <= end, Span::six(start, end)),
        (Address::Decimal(start), Address::Decimal(end)) => {
            let four = (u32::try_from(start), u32::try_from(end));
            let span = match four {
                (Ok(start), Ok(end)) => Span::Four(start, end),
                _ => Span::six(start, end),
            };
            (start <= end, span)
        }
        (Address::Decimal(start), Address::Four(end)) => match u32::try_from(start) {
            Ok(start) => (start <= end, Span::Four(start, end)),
            Err(_) => return Err(mixed()),
        },
        (Address::Four(start), Address::Decimal(end)) => match u32::try_from(end) {
            Ok(end) => (start <= end, Span::Four(start, end)),
            Err(_) => return Err(mixed()),
        },
        (Address::Decimal(start), Address::Six(end))
        | (Address::Six(start), Address::Decimal(end)) => (start <= end, Span::six(start, end)),
        (Address::Four(_), Address::Six(_)) | (Address::Six(_), Address::Four(_)) => {
            return Err(mixed());
        }
    };
    if ordered {
        Ok(span)
    } else {
        Err("the range ends before it starts".into())
    }
}

fn mixed() -> String {
    "one end is IPv4 and the other IPv6".into()
}

/// The range of a prefix. Bits after its length are ignored.
fn prefix(first: &str, length: &str) -> Result<Span, String> {
    let wrong = || {
        let text = format!("{first}/{length}");
        format!("\"{}\" is not a prefix: write ADDRESS/LENGTH", short(&text))
    };
    let digits = !length.is_empty() && length.bytes().all(|octet| octet.is_ascii_digit());
    let length: u32 = length.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
    match address(first) {
        Some(Address::Four(address)) if length <= 32 => {
            let host = u32::MAX.checked_shr(length).unwrap_or(0);
            Ok(Span::Four(address & !host, address | host))
        }
        Some(Address::Six(address)) if length <= 128 => {
            let host = u128::MAX.checked_shr(length).unwrap_or(0);
            Ok(Span::six(address & !host, address | host))
        }
        _ => Err(wrong()),
    }
}

/// One address of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Four(u32),
    Six(u128),
    /// In decimals, IPv4 or IPv6: the other end of the range decides which.
    Decimal(u128),
}

/// An address as text or as a decimal integer.
pub(super) fn address(text: &str) -> Option<Address> {
    if !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit()) {
        return text.parse().ok().map(Address::Decimal);
    }
    Some(match text.parse().ok()? {
        IpAddr::V4(address) => Address::Four(address.to_bits()),
        IpAddr::V6(address) => Address::Six(address.to_bits()),
    })
}

/// Enough of a field to find it by.
pub(super) fn short(text: &str) -> String {
    text.chars()
        .take(40)
        .collect::<String>()
        .escape_debug()
        .to_string()
}
