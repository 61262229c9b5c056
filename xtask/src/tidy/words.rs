//! Words that make a sentence hard to read, and that comments and documents therefore avoid.

use std::path::Path;

use super::files;
use crate::shell;

/// Words, whole and in any case. A plain verb or a named subject replaces each.
const WORDS: &[&str] = &[
    "nobody",
    "somebody",
    "anybody",
    "stand",
    "stands",
    "stood",
    "standing",
    "bear",
    "bears",
    "bore",
    "borne",
    "tell",
    "tells",
    "told",
    "judge",
    "judges",
    "judged",
    "judging",
    "judgement",
];
/// Groups of words, likewise.
const PHRASES: &[&str] = &[
    "come to",
    "comes to",
    "came to",
    "coming to",
    "what is in here",
    "is none",
    "are none",
];
/// The part of a line that is prose: all of it in Markdown and in messages, else its comment.
fn prose<'a>(ending: &str, line: &'a str) -> &'a str {
    let mark = match ending {
        "md" | "ftl" => return line,
        "rs" | "mjs" => "//",
        "sql" => "--",
        _ => "#",
    };
    line.find(mark).map_or("", |at| &line[at..])
}

/// The first forbidden word of a line.
fn forbidden(prose: &str) -> Option<&'static str> {
    let lower = prose.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .collect();
    let spaced = format!(" {} ", words.join(" "));
    (WORDS.iter().chain(PHRASES))
        .find(|word| spaced.contains(&format!(" {word} ")))
        .copied()
}

fn hits(path: &Path) -> Vec<String> {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    let text = std::fs::read_to_string(path).unwrap();
    let lines = (1..).zip(text.lines());
    lines
        .filter_map(|(number, line)| {
            let word = forbidden(prose(&ending, line))?;
            Some(format!("{}:{number}: \"{word}\"", path.display()))
        })
        .collect()
}

#[test]
fn comments_and_documents_use_plain_words() {
    let found: Vec<String> = files(
        &shell::root(),
        &["rs", "sql", "py", "mjs", "toml", "md", "ftl"],
    )
    .iter()
    .flat_map(|path| hits(path))
    .collect();
    assert!(
        found.is_empty(),
        "say these with a plain verb and a named subject:\n{}",
        found.join("\n")
    );
}

#[test]
fn only_comments_of_sources_are_prose() {
    assert_eq!(prose("rs", "let told = 1; // the total"), "// the total");
    assert_eq!(prose("sql", "SELECT told -- why"), "-- why");
    assert_eq!(prose("toml", "told = 1"), "");
    assert_eq!(prose("md", "told"), "told");
}

#[test]
fn whole_words_are_found_in_any_case() {
    assert_eq!(forbidden("Nobody knows"), Some("nobody"));
    assert_eq!(forbidden("it comes  to nothing"), Some("comes to"));
    assert_eq!(forbidden("an understanding of standards, bear_er"), None);
}
