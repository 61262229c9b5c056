//! Where frames come from: AF_XDP sockets and capture files.

pub mod file;
#[cfg(feature = "live")]
pub mod xdp;
