//! Synthetic darknet traffic: captures whose exact counts are known beforehand.
//!
//! Every frame follows a plan (protocol, class, port, what fingerprints see, header error, quoted
//! victim), and the truth is added up from the plans, never from the frames: a decoder that agrees
//! with it has read the frames right. The same configuration gives the same octets on every machine,
//! so nothing here computes with floating-point numbers once the configuration is read.

mod address;
mod backscatter;
mod bogon;
mod broken;
mod config;
mod confirm;
mod error;
mod files;
mod frame;
mod generate;
mod icmp;
mod maker;
mod mix;
mod pcap;
mod plan;
mod probe;
mod random;
mod reflection;
mod scan;
mod scenario;
mod summary;
mod syn;
mod target;
mod tcp;
#[cfg(test)]
mod tests;
mod traffic;
mod truth;

pub use address::AddressRange;
pub use config::{Distribution, SynthConfig};
pub use error::SynthError;
pub use files::{SynthFiles, write_files};
pub use generate::generate;
pub use mix::{Component, Mix};
pub use pcap::{PcapWriter, WriteError};
pub use scenario::{Scenario, ScenarioError, ScenarioFile, ScenarioFiles, write_scenario};
pub use summary::{HeaderErrorCount, QuoteCounts, TrueCell, TrueSummary, TrueVictim};
pub use truth::Truth;
