//! Scenarios: captures in which known events happen at known dates, from a plan that is data.
//!
//! A plan (`2016.toml`, `nicter-table2.toml`) says of each kind of traffic when there is how much of
//! it, from how many sources and from which countries. Packets and sources by day and country are
//! whole numbers that follow from the plan, so the truth is known before a frame is made.
//! Everything that is written says that it is synthetic.

mod account;
mod files;
mod flow;
mod frames;
mod plan;
mod readme;
mod share;
#[cfg(test)]
mod tests;
mod world;

use super::SynthError;

pub use files::{ScenarioFile, ScenarioFiles, write_scenario};

/// A scenario that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A small darknet from April to December 2016, some 20 million packets: the events at the dates
    /// and the ranks of TSUBAME's and NICTER's reports of that year.
    Year2016,
    /// Two days at NICTER's scale: the numbers of distinct sources in table 2 of its report of 2016.
    NicterTable2,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 2] = [Self::Year2016, Self::NicterTable2];

    /// What it is called on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Year2016 => "2016",
            Self::NicterTable2 => "nicter-table2",
        }
    }

    /// The plan's file.
    const fn text(self) -> &'static str {
        match self {
            Self::Year2016 => include_str!("2016.toml"),
            Self::NicterTable2 => include_str!("nicter-table2.toml"),
        }
    }

    /// What every output bears.
    fn notice(self) -> String {
        format!(
            "synthetic traffic (noctule synth --scenario {}): not an observation",
            self.name()
        )
    }
}

/// Why a scenario could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The plan makes no sense.
    #[error("cannot follow the scenario's plan: {what}; please report it")]
    Plan {
        /// What is wrong with it.
        what: String,
    },
    /// A file, or the traffic itself.
    #[error(transparent)]
    Synth(#[from] SynthError),
}
