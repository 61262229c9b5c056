//! Capture files: reading pcap and pcapng, merging several by time.
//!
//! The reader is this crate's own, because it must distinguish a file that ends after a record, a
//! file that is cut inside a record, and a file whose lengths are impossible, which no common
//! reader does. It follows the pcap and pcapng specifications of the IETF's opsawg
//! (<https://ietf-opsawg-wg.github.io/draft-ietf-opsawg-pcap/>).

mod block;
mod capture;
mod digest;
mod error;
mod members;
mod merge;
#[cfg(test)]
mod odd_tests;
mod pcap;
mod pcapng;
mod reader;
#[cfg(test)]
mod real;
mod record;
#[cfg(test)]
mod samples;
mod survey;
#[cfg(test)]
mod tests;
mod timeline;
mod unpack;
mod window;

pub use block::Block;
pub use capture::{Capture, TimeFaults};
pub use digest::digest;
pub use error::CaptureError;
pub use merge::{Merged, MergedRecord};
pub use reader::CaptureReader;
pub use record::{CaptureRecord, MAX_RECORD_BYTES, TimeResolution};
pub use survey::{Portion, Survey, survey};
pub use timeline::{Placed, TimeKind};
