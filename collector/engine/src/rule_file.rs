//! Loads the rules: the shipped ones, and those of an operator's file.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use noctule_packet::Rules;
use noctule_packet::rules::RuleFile;

/// Loads the shipped rules and those of `file`.
///
/// # Errors
/// The file cannot be read, is not UTF-8, or has a mistake; the message names file and line.
pub fn load(file: Option<&Path>) -> Result<Rules> {
    let Some(path) = file else {
        return Ok(Rules::load(None)?);
    };
    let name = path.display().to_string();
    let text = std::fs::read(path).with_context(|| {
        format!("cannot read rule file {name}: check `rules` and the file's permissions")
    })?;
    let text = String::from_utf8(text).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let lines_before = (error.as_bytes()[..at].iter())
            .filter(|&&octet| octet == b'\n')
            .count();
        let line = lines_before + 1;
        anyhow!("{name}:{line}: the file is not UTF-8 text: save it as UTF-8")
    })?;
    Ok(Rules::load(Some(RuleFile {
        name: &name,
        text: &text,
    }))?)
}
