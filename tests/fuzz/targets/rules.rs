//! Any text as rules: as a file, or as one expression. It is taken, or refused in one line that
//! points into it, never with a panic.
//!
//! Input: UTF-8. Behind a first letter `c` or `n`, and one of `p`, `a`, `f` for what it is asked
//! about, comes a condition or a number: reading files whole is slow, and most of a rule file's
//! meaning is in its expressions. Anything else is one to four files, with `%%%` lines between.

#![no_main]

use libfuzzer_sys::fuzz_target;
use noctule_packet::rules::language::{About, Mistake, condition, number};
use noctule_packet::rules::{RuleFile, Rules};

fuzz_target!(|input: &[u8]| {
    // Files are read as UTF-8 before they are parsed.
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let about = match input.get(1) {
        Some(b'p') => About::Probe,
        Some(b'a') => About::Answer,
        Some(b'f') => About::Flags,
        _ => return files(text),
    };
    let rest = text.get(2..).unwrap_or_default();
    match input[0] {
        b'c' => judge(rest, condition(rest, about).err()),
        b'n' => judge(rest, number(rest, about).err()),
        _ => files(text),
    }
});

fn judge(text: &str, mistake: Option<Mistake>) {
    if let Some(mistake) = mistake {
        assert!(
            text.is_char_boundary(mistake.at),
            "{mistake:?} lies in the text"
        );
        assert!(!mistake.message.is_empty());
    }
}

fn files(text: &str) {
    let texts: Vec<&str> = text.split("\n%%%\n").take(4).collect();
    let names = ["first.toml", "second.toml", "third.toml", "fourth.toml"];
    let files: Vec<RuleFile<'_>> = (names.into_iter().zip(texts))
        .map(|(name, text)| RuleFile { name, text })
        .collect();
    if let Err(error) = Rules::parse(&files) {
        let line = error.to_string();
        assert!(!line.contains('\n'), "one line: {line:?}");
        assert!(error.line >= 1 && error.column >= 1);
    }
}
