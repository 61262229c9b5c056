//! Where frames come from: AF_XDP sockets, capture files, synthetic traffic.

pub mod file;
pub mod netns;
pub mod synth;
pub mod xdp;
