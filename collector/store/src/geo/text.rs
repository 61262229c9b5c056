//! Ranges from text, in the layouts that [`Layout`] recognises.

use super::layout::{Fault, Layout};
use super::ranges::{Entries, FileRange, Odd, Read};
use super::span::{Span, contents, range, short};
use super::value::{Parsed, Value};

/// The file as text, or the reason why it is not text.
pub(super) fn recognise(bytes: &[u8]) -> Result<String, &'static str> {
    if bytes.is_empty() {
        return Err("it is empty");
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("it is text in UTF-16: convert it with iconv");
    }
    // A database cut short has lost the mark at its end; its tree is full of zeros.
    if bytes.contains(&0) {
        return Err("it holds binary data without a MaxMind DB's end: it may be cut short");
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Names may be in another encoding; addresses and codes are ASCII.
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// Every range of the file, or a line that is not valid, and the reason.
pub(super) fn read<V: Value>(text: &str) -> Result<Read<V>, Fault> {
    let mut entries: Entries<V> = (Vec::new(), Vec::new());
    let mut odd = Odd::default();
    let Some(layout) = Layout::of::<V>(text)? else {
        return Ok(Read { entries, odd });
    };
    let mut fields = Vec::new();
    for (line, content) in contents(text) {
        if layout.is_header(content) {
            continue;
        }
        fields.clear();
        fields.extend(layout.delimiter.split(content));
        let wrong = |reason: String| Fault { line, reason };
        let range = range(layout.range, &fields).map_err(wrong)?;
        let Some(&value) = fields.get(layout.value) else {
            let least = layout.value + 1;
            return Err(wrong(format!("there are fewer than {least} fields")));
        };
        let parsed = V::parse(value);
        if parsed == Parsed::Odd {
            odd.add(|| format!("\"{}\" in line {line}", short(value)));
        }
        let value = parsed.known();
        match range {
            Span::Four(start, end) => entries.0.push(FileRange {
                start,
                end,
                value,
                line,
            }),
            Span::Six(start, end) => entries.1.push(FileRange {
                start,
                end,
                value,
                line,
            }),
        }
    }
    Ok(Read { entries, odd })
}
