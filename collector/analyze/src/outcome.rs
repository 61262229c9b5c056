//! How a command ended that did not fail.

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Over all files.
    Whole,
    /// Files were left out, and `--strict` was given.
    Incomplete,
}
