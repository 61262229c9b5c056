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
mod confirm;
mod draw;
mod files;
mod frame;
mod generate;
mod icmp;
mod maker;
mod mix;
mod pcap;
mod plan;
mod probe;
mod reflection;
mod scan;
mod scenario;
mod summary;
mod syn;
mod target;
mod tcp;
#[cfg(test)]
mod tests;
mod truth;

use ipnet::IpNet;
use jiff::tz::TimeZone;

pub use address::AddressRange;
pub use files::{SynthFiles, write_files};
pub use generate::generate;
pub use mix::{Component, Mix};
pub use pcap::{PcapWriter, WriteError};
pub use scenario::{Scenario, ScenarioError, ScenarioFile, ScenarioFiles, write_scenario};
pub use summary::{HeaderErrorCount, QuoteCounts, TrueCell, TrueSummary, TrueVictim};
pub use truth::Truth;

/// How often each source sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distribution {
    /// The source of rank k sends in proportion to 1/k: a few send most.
    #[default]
    Zipf,
    /// Every source is as likely as any other.
    Uniform,
}

/// What to generate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynthConfig {
    /// Frames, dark or not.
    pub packets: u64,
    /// Sources that packets are drawn from; how many of them occur is in the truth.
    pub sources: u64,
    /// How packets are spread over them.
    pub distribution: Distribution,
    /// The darknet; bits after a prefix's length are ignored.
    pub prefixes: Vec<IpNet>,
    /// Everything random follows from it.
    pub seed: u64,
    /// Time of the first frame, microseconds since 1970 UTC.
    pub start_us: i64,
    /// Seconds over which the frames are spread, at an even rate with a little jitter.
    pub duration_seconds: u64,
    /// Length of the intervals that the truth counts; aligned to the clock.
    pub interval_seconds: u64,
    /// The zone by whose days the truth confirms sources.
    pub zone: TimeZone,
    /// Shares of the components; none: [`Mix::default`], without what the prefixes' address
    /// families cannot hold.
    pub mix: Option<Mix>,
}

impl SynthConfig {
    /// A million packets from 100,000 sources in ten minutes, the first on 2025-01-01 00:00 UTC.
    pub fn new(prefixes: Vec<IpNet>) -> Self {
        Self {
            packets: 1_000_000,
            sources: 100_000,
            distribution: Distribution::default(),
            prefixes,
            seed: 1,
            start_us: 1_735_689_600_000_000,
            duration_seconds: 600,
            interval_seconds: 60,
            zone: TimeZone::UTC,
            mix: None,
        }
    }
}

/// Why nothing could be generated.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// No darknet.
    #[error("cannot generate darknet traffic without a darknet: give at least one prefix")]
    NoPrefix,
    /// Zero sources.
    #[error("cannot generate packets from 0 sources: give at least 1")]
    NoSources,
    /// More sources than there are addresses for.
    #[error(
        "cannot spread {wanted} sources over the address space: at most {most} fit, give fewer"
    )]
    TooManySources {
        /// Sources asked for.
        wanted: u64,
        /// Sources that fit.
        most: u64,
    },
    /// Times that a capture cannot hold.
    #[error(
        "cannot generate {duration_seconds} s of traffic from {start_us} us on: a capture holds 1970-01-01 to 2106-02-07, choose another start or duration"
    )]
    Times {
        /// The start asked for.
        start_us: i64,
        /// The duration asked for.
        duration_seconds: u64,
    },
    /// An interval of no length.
    #[error("cannot count intervals of 0 s: give at least 1 s")]
    NoInterval,
    /// A name in the mix that is none.
    #[error("mix names unknown traffic \"{name}\": the names are {}", Mix::names())]
    UnknownComponent {
        /// The name.
        name: String,
    },
    /// A weight that cannot be read.
    #[error(
        "mix gives \"{name}\" the weight \"{weight}\": write a number from 0 to 1000000, such as 12 or 0.5"
    )]
    Weight {
        /// The component.
        name: String,
        /// What was written.
        weight: String,
    },
    /// A component that stands twice.
    #[error("mix names \"{name}\" more than once: keep one of them")]
    Repeated {
        /// The component.
        name: String,
    },
    /// A mix of nothing.
    #[error("mix \"{text}\" weighs nothing: give at least one NAME=WEIGHT above 0")]
    EmptyMix {
        /// What was written.
        text: String,
    },
    /// A component without a prefix of its address family.
    #[error("mix has \"{name}\", which needs an {family} prefix: add one, or leave {name} out")]
    Family {
        /// The component.
        name: &'static str,
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// A capture that could not be written.
    #[error(transparent)]
    Capture(#[from] WriteError),
    /// One of the files beside the capture that could not be written.
    #[error("cannot write {file}: {source}; check the folder and the free space")]
    Beside {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The truth could not be written as JSON.
    #[error("cannot write the true counts as JSON: {0}; please report it")]
    Json(serde_json::Error),
    /// The receiver of the frames failed.
    #[error("cannot hand over synthetic packet {packet}: {source}")]
    Sink {
        /// Which packet, from 0.
        packet: u64,
        /// What the receiver said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
