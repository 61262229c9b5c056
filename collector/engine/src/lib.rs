//! What a run is: workers fill epochs, the flusher writes intervals. Live runs and replays share it.

mod account;
mod busy_poll_backoff;
pub mod clock;
pub mod config;
mod findings;
pub mod flowtuple;
pub mod flusher;
pub mod geo;
mod interval;
pub mod ledger;
pub mod live;
mod lost;
pub mod message;
pub mod outcome;
pub mod output;
pub mod pool;
pub mod prefixes;
pub mod replay;
pub mod rows;
pub mod rule_file;
pub mod rx_queue;
pub mod schedule;
mod shard;
pub mod time;
pub mod totals;
pub mod worker;
