//! Header decoding, traffic class and fingerprints: pure functions over bytes.
//!
//! No I/O, no clock, no `unsafe`. The crate implements the counting rules of ARCHITECTURE.md:
//! [`darknet`] decides which packets are dark (rule 1), also inside a [`tunnel`], by the prefixes that
//! the operator and [`prefix_list`] files name; [`mod@decode`]
//! reads headers (rules 2, 3, 5, 6, 8); [`rules`] holds as data which packets have which class
//! (rule 4) and match which tool (rule 7); [`quote`] reads the packets that ICMP errors quote.
//! [`flowtuple`] reads the fields of CAIDA's FlowTuple.

pub mod cell;
pub mod class;
pub mod darknet;
#[cfg(test)]
mod darknet_tests;
pub mod decode;
#[cfg(test)]
mod decode_tests;
pub mod error;
pub mod extension;
pub mod flowtuple;
pub mod link;
pub mod prefix_list;
pub mod quote;
pub mod rules;
mod source;
pub mod tunnel;
mod tunnel_kind;
#[cfg(test)]
mod tunnel_tests;
pub mod unparsed;

pub use cell::{CellId, Class};
pub use decode::{Packet, Source, decode};
pub use error::{DecodeError, DecodeErrors};
pub use rules::Rules;
pub use unparsed::Unparsed;
