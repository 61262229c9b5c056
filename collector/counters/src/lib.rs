//! Port counters, flow table and epochs: the memory of the hot path.
//!
//! [`epoch::Epoch`] is what a worker fills; [`merge`] makes one interval of several epochs;
//! [`distinct`] and [`summary`] add intervals up to a run.

pub mod batch;
pub mod confirm;
pub mod distinct;
pub mod epoch;
#[cfg(test)]
mod epoch_tests;
pub mod fingerprints;
pub mod flow;
pub mod merge;
pub mod ports;
mod prefetch;
pub mod registers;
pub mod sketches;
pub mod summary;
pub mod table;
mod touched;
pub mod victims;
mod zeroed;

pub use ahash::RandomState;
