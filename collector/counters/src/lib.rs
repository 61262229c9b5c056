//! Port counters, flow table and epochs: the memory of the hot path.
//!
//! [`epoch::Epoch`] is what a worker fills; [`merge`] makes one interval of several epochs;
//! [`distinct`] and [`summary`] add intervals up to a run.

pub mod admission;
pub mod batch;
pub mod confirm;
mod count;
pub mod distinct;
pub mod epoch;
#[cfg(test)]
mod epoch_tests;
pub mod fingerprints;
pub mod flow;
mod memory;
pub mod merge;
mod port_remap;
pub mod ports;
mod prefetch;
pub mod registers;
pub mod sketches;
pub mod summary;
pub mod sums;
pub mod table;
pub mod tally;
mod touched;
pub mod tuples;
pub mod victims;

pub use ahash::RandomState;
