//! What a Rust source file declares, imports and names.
//!
//! Macros and types are not looked into. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What one file declares and uses.
#[derive(Default, Debug)]
pub struct File {
    pub path: PathBuf,
    /// Modules with a file of their own.
    pub children: BTreeSet<String>,
    /// Names that a `use` brings into the file, and whether it is `pub`.
    pub names: BTreeMap<String, (Vec<String>, bool)>,
    /// Paths of `use ...::*`, and whether it is `pub`.
    pub globs: Vec<(Vec<String>, bool)>,
    /// Paths in the rest of the code.
    pub paths: Vec<Vec<String>>,
    /// Items that the file defines.
    pub items: BTreeSet<String>,
}

/// Identifiers and the punctuation that paths need; comments, strings and tests are left out.
fn tokens(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skip = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            'r' if rest.starts_with("r#\"") => {
                rest[3..].find("\"#").map_or(rest.len(), |at| at + 5)
            }
            '"' => string_end(rest),
            // A character or a lifetime.
            '\'' if rest[1..].starts_with('\\') => {
                rest[3..].find('\'').map_or(rest.len(), |at| at + 4)
            }
            '\'' => match rest.char_indices().nth(2) {
                Some((at, '\'')) => at + 1,
                _ => 1,
            },
            c if c.is_alphanumeric() || c == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                let end = end.unwrap_or(rest.len());
                found.push(rest[..end].to_owned());
                end
            }
            ':' if rest.starts_with("::") => {
                found.push("::".to_owned());
                2
            }
            c if c.is_whitespace() => c.len_utf8(),
            c => {
                found.push(c.to_string());
                c.len_utf8()
            }
        };
        rest = &rest[skip..];
    }
    found
}

/// Where a string that begins a text ends.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

impl File {
    /// Reads a file's text.
    pub fn read(path: PathBuf, text: &str) -> Self {
        let mut file = Self {
            path,
            ..Self::default()
        };
        let tokens = tokens(text);
        let token = |at: usize| tokens.get(at).map_or("", String::as_str);
        let is_name = |at: usize| {
            let first = token(at).chars().next().unwrap_or(' ');
            first.is_alphabetic() || first == '_'
        };
        let (mut at, mut is_test, mut is_public) = (0, false, false);
        while at < tokens.len() {
            let word = token(at);
            match word {
                // `#[cfg(test)]` is the attribute of the next item.
                "#" if tokens[at..]
                    .iter()
                    .take(7)
                    .map(String::as_str)
                    .eq("# [ cfg ( test ) ]".split(' ')) =>
                {
                    is_test = true;
                    at += 7;
                    continue;
                }
                "pub" => {
                    is_public = true;
                    at += 1;
                    if token(at) == "(" {
                        at += tokens[at..].iter().position(|one| one == ")").unwrap_or(0) + 1;
                    }
                    continue;
                }
                _ if is_test => at = item_end(&tokens, at),
                "mod" if token(at + 2) == ";" => {
                    file.children.insert(token(at + 1).to_owned());
                    at += 3;
                }
                "use" => {
                    let end = tokens[at..].iter().position(|one| one == ";");
                    let end = at + end.unwrap_or(0);
                    file.tree(&tokens[at + 1..end], &[], is_public);
                    at = end + 1;
                }
                "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union"
                | "macro_rules" => {
                    let name = at + 1 + usize::from(token(at + 1) == "!");
                    file.items.insert(token(name).to_owned());
                    at += 1;
                }
                _ if is_name(at) && token(at + 1) == "::" && token(at.wrapping_sub(1)) != "::" => {
                    let mut parts = vec![word.to_owned()];
                    while token(at + 1) == "::" && is_name(at + 2) {
                        parts.push(token(at + 2).to_owned());
                        at += 2;
                    }
                    file.paths.push(parts);
                    at += 1;
                }
                _ => at += 1,
            }
            (is_test, is_public) = (false, false);
        }
        file
    }

    /// Reads a tree of `use` below a prefix.
    fn tree(&mut self, tokens: &[String], prefix: &[String], is_public: bool) {
        let mut path = prefix.to_vec();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token.as_str() {
                "::" => {}
                "*" => return self.globs.push((path, is_public)),
                "as" => {
                    let name = tokens.get(at + 1).cloned().unwrap_or_default();
                    self.names.insert(name, (path, is_public));
                    return;
                }
                "{" => {
                    let inner = &tokens[at + 1..tokens.len() - 1];
                    let mut depth = 0;
                    for part in inner.split(|token| {
                        depth += i32::from(token == "{") - i32::from(token == "}");
                        depth == 0 && token == ","
                    }) {
                        self.tree(part, &path, is_public);
                    }
                    return;
                }
                "self" if !path.is_empty() => {}
                name => path.push(name.to_owned()),
            }
            at += 1;
        }
        if let Some(last) = path.last() {
            self.names.insert(last.clone(), (path, is_public));
        }
    }
}

/// The place after an item that begins here: after its block or its semicolon.
fn item_end(tokens: &[String], start: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return at + 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}
