//! The engine: workers fill epochs, the flusher writes intervals; live and replay share it.

pub mod account;
pub mod findings;
pub mod flowtuple;
pub mod flusher;
pub mod interval;
pub mod lost;
pub mod message;
pub mod patience;
pub mod pool;
pub mod prefixes;
pub mod replay;
pub mod retry;
pub mod rows;
pub mod schedule;
pub mod shard;
pub mod sink;
pub mod totals;
pub mod worker;
