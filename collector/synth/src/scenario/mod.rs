//! Scenarios: captures in which known events happen at known dates, from a plan that is data.
//!
//! A plan (`2016.toml`, `nicter-table2.toml`) says of each kind of traffic when there is how much of
//! it, from how many sources and from which countries. Packets and sources by day and country are
//! whole numbers that follow from the plan, so the truth is known before a frame is made.
//! Everything that is written says that it is synthetic.

mod error;
mod files;
mod frames;
mod list;
mod plan;
mod proportion;
mod readme;
mod row_day;
#[cfg(test)]
mod tests;
mod totals;
mod world;

pub use error::ScenarioError;
pub use files::{ScenarioFile, ScenarioFiles, write_scenario};
pub use list::Scenario;
