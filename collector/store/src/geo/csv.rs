//! Ranges from CSV: `start,end,value` a line, further fields ignored.

use std::net::IpAddr;

use super::ranges::FileRange;
use super::value::{NotAValue, Value};

type Entries<V> = (Vec<FileRange<u32, V>>, Vec<FileRange<u128, V>>);

/// The file as text, or the reason why it is not CSV.
pub(super) fn recognise(bytes: &[u8]) -> Result<&str, &'static str> {
    if bytes.is_empty() {
        return Err("it is empty");
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err("it is compressed with gzip: decompress it first");
    }
    // A database cut short has lost the mark at its end; its tree is full of zeros.
    if bytes.contains(&0) {
        return Err("it holds binary data without a MaxMind DB's end: it may be cut short");
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|_| "it holds octets that are not UTF-8")
}

/// Every range of the file, or the number (from 1) of a line that is not valid, and the reason.
pub(super) fn read<V: Value>(text: &str) -> Result<Entries<V>, (u32, String)> {
    let (mut four, mut six) = (Vec::new(), Vec::new());
    let mut header_may_come = true;
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let mut fields = content.split(',').map(field);
        let (start, end) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        let ends = (address(start), address(end));
        let header = header_may_come && ends == (None, None);
        header_may_come = false;
        if header {
            continue;
        }
        let Some(value) = fields.next() else {
            return Err((line, "there are fewer than three fields".into()));
        };
        let wrong = |text: &str| (line, format!("\"{}\" is not an address", short(text)));
        let value = V::parse(value).map_err(|NotAValue| {
            (
                line,
                format!("\"{}\" is not a valid {}", short(value), V::WHAT),
            )
        })?;
        let start_address = ends.0.ok_or_else(|| wrong(start))?;
        let end_address = ends.1.ok_or_else(|| wrong(end))?;
        let ordered = match (start_address, end_address) {
            (IpAddr::V4(start), IpAddr::V4(end)) => {
                let (start, end) = (start.to_bits(), end.to_bits());
                four.push(FileRange {
                    start,
                    end,
                    value,
                    line,
                });
                start <= end
            }
            (IpAddr::V6(start), IpAddr::V6(end)) => {
                let (start, end) = (start.to_bits(), end.to_bits());
                six.push(FileRange {
                    start,
                    end,
                    value,
                    line,
                });
                start <= end
            }
            _ => return Err((line, "one end is IPv4 and the other IPv6".into())),
        };
        if !ordered {
            return Err((line, "the range ends before it starts".into()));
        }
    }
    Ok((four, six))
}

/// A field without the blanks and quotes around it.
fn field(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text)
}

/// An address as text, or IPv4 as a decimal integer.
fn address(text: &str) -> Option<IpAddr> {
    if !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit()) {
        return text.parse().ok().map(|bits: u32| IpAddr::V4(bits.into()));
    }
    text.parse().ok()
}

/// Enough of a field to find it by.
fn short(text: &str) -> String {
    text.chars()
        .take(40)
        .collect::<String>()
        .escape_debug()
        .to_string()
}
