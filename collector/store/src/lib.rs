//! The store: a folder of Parquet files, and what is needed to fill it.
//!
//! - [`tables`]: the rows of each table and how they become Parquet bytes;
//! - [`Store`]: puts such bytes into their place, whole or not at all;
//! - [`sketch`]: distinct counts of degraded intervals, as Apache DataSketches images;
//! - [`geo`]: country and AS number of a source, from MaxMind DB or CSV files;
//! - [`read`]: the way back, for tests and tools.

pub mod change;
pub mod checksum;
pub mod columns;
mod country;
mod encode;
mod error;
pub mod files;
pub mod geo;
pub mod location;
mod protocol;
pub mod read;
pub mod sketch;
pub mod tables;
pub mod time;
mod writer;

pub use country::Country;
pub use encode::{CREATED_BY, SCHEMA_VERSION};
pub use error::StoreError;
pub use location::Location;
pub use tables::Table;
pub use writer::{IntervalFiles, Put, Store};
