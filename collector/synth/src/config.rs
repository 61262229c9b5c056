//! What to generate.

use ipnet::IpNet;
use jiff::tz::TimeZone;

use super::mix::Mix;

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
