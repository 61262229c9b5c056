//! Where frames come from: AF_XDP sockets, capture files, synthetic traffic.

pub mod file;
#[cfg(feature = "live")]
pub mod netns;
pub mod synth;
#[cfg(feature = "tpacket")]
pub mod tpacket;
#[cfg(feature = "live")]
pub mod xdp;
