//! The store: a folder of Parquet files, or the same files in a bucket.
//!
//! - [`Table`], [`DailyTable`] and [`layout`]: the names of tables and the paths of their files;
//! - [`tables`]: the columns and rows of each table, and how they become Parquet bytes;
//! - [`Store`] and [`TableFile`]: writers whose files appear whole or not at all;
//! - [`location`] and [`files`]: folders and object stores alike; [`change`]: several files as one
//!   step; [`spool`]: files that wait for an object store;
//! - [`observed`]: which times a sensor's runs have observed;
//! - [`sketch`]: distinct counts of degraded intervals, as Apache DataSketches images;
//! - [`geo`]: country and AS number of a source, from MaxMind DB or CSV files;
//! - [`events`]: rows of flows joined to darknet events;
//! - [`flowtuple`]: the packets themselves as CAIDA's FlowTuples, in Avro files;
//! - [`read`], [`columns`] and [`checksum`]: reading files back, for tests and tools;
//! - [`diagnostics`]: the log and errors as one line of text.
//!
//! The package depends on no other package of this repository: its rows have plain values, which the
//! engine fills in.

pub mod cell;
pub mod change;
pub mod checksum;
pub mod columns;
mod continent;
mod country;
pub mod diagnostics;
mod disk;
mod encode;
mod error;
pub mod events;
pub mod files;
pub mod flowtuple;
mod format;
pub mod geo;
pub mod layout;
pub mod location;
pub mod observed;
pub mod protocol;
pub mod read;
pub mod sketch;
pub mod spool;
mod store;
mod table;
mod table_file;
pub mod tables;
pub mod time;

pub use country::Country;
pub use error::StoreError;
pub use files::Put;
pub use format::{CREATED_BY, SCHEMA_VERSION};
pub use layout::{DailyFiles, IntervalFiles};
pub use location::Location;
pub use store::Store;
pub use table::{DailyTable, Table};
pub use table_file::TableFile;
