//! Any text as a rule file: it is taken or refused in one line, never with a panic, and equal
//! texts give equal rules.

#![no_main]

use libfuzzer_sys::fuzz_target;
use noctule_packet::rules::{RuleFile, Rules};

fuzz_target!(|input: &[u8]| {
    // Files are read as UTF-8 before they are parsed.
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    // A line of its own parts one file from the next, since rules may lie in several.
    let texts: Vec<&str> = text.split("\n%%%\n").take(4).collect();
    let names = ["first.toml", "second.toml", "third.toml", "fourth.toml"];
    let files: Vec<RuleFile<'_>> = (names.into_iter().zip(texts))
        .map(|(name, text)| RuleFile { name, text })
        .collect();
    let told = || Rules::parse(&files).err().map(|error| error.to_string());
    let first = told();
    if let Some(line) = &first {
        assert!(
            !line.is_empty() && !line.contains('\n'),
            "one line: {line:?}"
        );
    }
    assert_eq!(first, told(), "the same text, told twice");
});
