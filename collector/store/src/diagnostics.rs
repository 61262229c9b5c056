//! What every program of this repository says on standard error: the form of a line, and errors on
//! one line.

use std::error::Error;
use std::io::Write as _;

use log::{Level, LevelFilter};

/// Starts the log: plain lines on standard error, `noctule: warning: ...`, without times, which a
/// service manager adds. The variable `NOCTULE_LOG` sets the level, `info` without it.
pub fn init_log() {
    env_logger::Builder::new()
        .filter_level(LevelFilter::Info)
        // aya logs maps and features that the kernel may lack; those that matter come as errors.
        .filter_module("aya", LevelFilter::Error)
        .parse_env("NOCTULE_LOG")
        .format(|out, record| {
            let level = match record.level() {
                Level::Error => "error: ",
                Level::Warn => "warning: ",
                _ => "",
            };
            writeln!(out, "noctule: {level}{}", record.args())
        })
        .init();
}

/// An error and those of its causes that add something, on one line.
pub fn error_line(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
        next = error.source();
    }
    one_line(&text)
}

/// A text on one line, its words with one blank between them.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read a\n  file")]
    struct Outer(#[source] io::Error);

    #[test]
    fn causes_follow_on_the_same_line() {
        let error = Outer(io::Error::other("gone"));
        assert_eq!(error_line(&error), "cannot read a file: gone");
        let said_already = Outer(io::Error::other("file"));
        assert_eq!(error_line(&said_already), "cannot read a file");
    }
}
