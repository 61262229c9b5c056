//! Port counters, flow table and epochs: the memory of the hot path.
//!
//! A worker counts an interval in an [`epoch::Epoch`]; [`merge`] merges the epochs of all workers;
//! [`distinct`], [`confirm`] and [`summary`] cover a whole run.

mod admission;
pub mod batch;
mod budget;
pub mod confirm;
mod count;
pub mod distinct;
pub mod epoch;
#[cfg(test)]
mod epoch_tests;
pub mod fingerprints;
pub mod flow;
pub mod known_sources;
mod memory;
pub mod merge;
mod port_remap;
pub mod ports;
mod prefetch;
pub mod registers;
pub mod repeats;
pub mod sketches;
pub mod summary;
pub mod sums;
pub mod table;
pub mod tally;
mod touched;
pub mod tuples;
pub mod victims;

pub use ahash::RandomState;
