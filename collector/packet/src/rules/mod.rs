//! The rules as data: classes, reflection ports, bogons and fingerprints, from TOML files.
//!
//! [`Rules`] is a rule file in the form that packets are matched with. The shipped file is
//! `shipped.toml`, which also explains how a rule is written; an operator's file extends it.

mod bogons;
pub mod columns;
pub mod condition;
pub mod confirm;
mod entry;
pub mod error;
mod expression;
pub mod field;
mod file;
#[cfg(test)]
mod file_tests;
pub mod language;
mod lexer;
mod load;
mod matcher;
mod matches;
mod place;
mod set;
#[cfg(test)]
mod tests;
mod uses;

pub use columns::Probes;
pub use confirm::CONFIRMING_PACKETS;
pub use entry::{Carried, ClassRule, Fingerprint, Reflection};
pub use error::RuleError;
pub use field::{Field, Probe};
pub use matches::{MOST_CONSTANTS, MOST_FINGERPRINTS, RuleMatches, SLOTS, Values};
pub use place::RuleFile;
pub use set::Rules;
pub use uses::{EventField, Uses};
