//! Why synthetic traffic could not be generated or written.

use super::pcap::WriteError;

/// Why synthetic traffic could not be generated or written.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// The darknet has no prefix.
    #[error("cannot generate darknet traffic without a darknet: give at least one prefix")]
    NoPrefix,
    /// The number of sources is 0.
    #[error("cannot generate packets from 0 sources: give at least 1")]
    NoSources,
    /// There are more sources than addresses for them.
    #[error(
        "cannot spread {wanted} sources over the address space: at most {most} fit, give fewer"
    )]
    TooManySources {
        /// The configured number of sources.
        wanted: u64,
        /// The number of sources that fit.
        most: u64,
    },
    /// A capture cannot hold the times.
    #[error(
        "cannot generate {duration_seconds} s of traffic from {start_us} us on: a capture holds 1970-01-01 to 2106-02-07, choose another start or duration"
    )]
    Times {
        /// The configured start.
        start_us: i64,
        /// The configured duration.
        duration_seconds: u64,
    },
    /// The interval is 0 seconds long.
    #[error("cannot count intervals of 0 s: give at least 1 s")]
    NoInterval,
    /// The mix has a name that no component has.
    #[error("mix names unknown traffic \"{name}\": the names are {known}")]
    UnknownComponent {
        /// The name.
        name: String,
        /// The names of all components.
        known: String,
    },
    /// A weight of the mix is not a number from 0 to 1,000,000.
    #[error(
        "mix gives \"{name}\" the weight \"{weight}\": write a number from 0 to 1000000, such as 12 or 0.5"
    )]
    Weight {
        /// The component.
        name: String,
        /// The text of the weight.
        weight: String,
    },
    /// The mix has a component twice.
    #[error("mix names \"{name}\" more than once: keep one of them")]
    Repeated {
        /// The component.
        name: String,
    },
    /// All weights of the mix are 0.
    #[error("mix \"{text}\" weighs nothing: give at least one NAME=WEIGHT above 0")]
    EmptyMix {
        /// The text of the mix.
        text: String,
    },
    /// A component of the mix needs a prefix of an address family that the darknet does not have.
    #[error("mix has \"{name}\", which needs an {family} prefix: add one, or leave {name} out")]
    Family {
        /// The component.
        name: &'static str,
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// The capture could not be written.
    #[error(transparent)]
    Capture(#[from] WriteError),
    /// A file beside the capture, or its folder, could not be written.
    #[error("cannot write {file}: {source}; check the folder and the free space")]
    Beside {
        /// The file.
        file: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The truth could not be written as JSON.
    #[error("cannot write the true counts as JSON: {0}; please report it")]
    Json(serde_json::Error),
    /// The function that takes the frames failed.
    #[error("cannot hand over synthetic packet {packet}: {source}")]
    Sink {
        /// Number of the packet, from 0.
        packet: u64,
        /// Its error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
