//! The store: a folder of Parquet files, and what is needed to fill it.
//!
//! - [`tables`]: the rows of each table and how they become Parquet bytes;
//! - [`Store`]: puts such bytes into their place, whole or not at all;
//! - [`location`] and [`files`]: folders and object stores alike; [`change`]: several files as one
//!   step; [`spool`]: files that wait for an object store;
//! - [`observed`]: which moments a sensor's runs have observed;
//! - [`sketch`]: distinct counts of degraded intervals, as Apache DataSketches images;
//! - [`geo`]: country and AS number of a source, from MaxMind DB or CSV files;
//! - [`events`]: rows of flows put together into darknet events;
//! - [`flowtuple`]: the packets themselves as CAIDA's FlowTuples, in Avro files;
//! - [`read`]: the way back, for tests and tools.

pub mod change;
pub mod checksum;
pub mod columns;
mod continent;
mod country;
mod encode;
mod error;
pub mod events;
pub mod files;
pub mod flowtuple;
pub mod geo;
pub mod location;
pub mod observed;
mod protocol;
pub mod read;
pub mod sketch;
pub mod spool;
pub mod tables;
pub mod time;
mod writer;

pub use country::Country;
pub use encode::{CREATED_BY, SCHEMA_VERSION};
pub use error::{StoreError, one_line};
pub use location::Location;
pub use protocol::protocol_number;
pub use tables::Table;
pub use writer::{IntervalFiles, Put, Store};
