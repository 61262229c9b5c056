//! Error messages with their position in a rule file, and checks of values that every entry has.

use toml::Spanned;

use super::error::RuleError;
use super::file::Text;
use super::language::Mistake;

/// A file of rules.
#[derive(Clone, Copy, Debug)]
pub struct RuleFile<'a> {
    /// Its name in messages.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Longest name of an entry, in octets.
const LONGEST_NAME: usize = 40;

/// Makes errors with positions in a file.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub file: RuleFile<'a>,
}

impl<'a> Place<'a> {
    /// Makes errors for this file.
    pub fn of(file: RuleFile<'a>) -> Self {
        Self { file }
    }

    pub fn error(self, offset: usize, message: impl Into<String>) -> RuleError {
        RuleError::at(self.file.name, self.file.text, offset, message)
    }

    pub fn at<T>(self, spanned: &Spanned<T>, message: impl Into<String>) -> RuleError {
        self.error(spanned.span().start, message)
    }

    /// A mistake within a rule's text. It has its own position, unless the file writes the text with
    /// escapes; then it has the position of the text.
    pub fn within(self, text: &Text, mistake: Mistake) -> RuleError {
        let span = text.span();
        let raw = self.file.text.get(span.clone()).unwrap_or_default();
        let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") {
            3
        } else {
            1
        };
        let inside = raw
            .get(quotes..raw.len().saturating_sub(quotes))
            .unwrap_or_default();
        let skipped = if quotes == 3 {
            inside.len() - inside.trim_start_matches(['\r', '\n']).len()
        } else {
            0
        };
        let offset = if inside.get(skipped..) == Some(text.get_ref()) {
            span.start + quotes + skipped + mistake.at
        } else {
            span.start
        };
        self.error(offset, mistake.message)
    }

    pub fn small<T: TryFrom<i64>>(self, number: &Spanned<i64>, what: &str) -> Result<T, RuleError> {
        T::try_from(*number.get_ref())
            .map_err(|_| self.at(number, format!("{what} cannot be {}", number.get_ref())))
    }

    pub fn filled(self, text: &Text, what: &str) -> Result<String, RuleError> {
        let trimmed = text.get_ref().trim();
        if trimmed.is_empty() {
            return Err(self.at(text, format!("{what} is empty: say it in a few words")));
        }
        Ok(trimmed.to_owned())
    }

    pub fn name(self, text: &Text) -> Result<String, RuleError> {
        let name = text.get_ref();
        let plain =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts || name.len() > LONGEST_NAME || !name.chars().all(plain) {
            return Err(self.at(
                text,
                format!(
                    "{name:?} is no name: begin with a small letter, then small letters, digits, hyphens and dots, {LONGEST_NAME} at most"
                ),
            ));
        }
        Ok(name.clone())
    }
}
