//! What frames are that were not parsed: a slot of 16 bits, counted for each RX queue.
//!
//! EtherTypes begin at 1536, so that smaller numbers can have another meaning:
//!
//! - [`CUT`]: the frame ends before its destination address, or before the header that would say
//!   where that is;
//! - [`IP_VERSION`] + n: the EtherType names IPv4 or IPv6, and the header's version is n;
//! - [`MPLS`] + n: what follows the labels begins with the four bits n, so that it is no IP;
//! - [`LLC`] + n: an IEEE 802.2 frame for service access point n that carries no EtherType;
//! - [`TUNNEL`] + n: a packet for a tunnel endpoint that cannot be opened; n is the protocol number
//!   of its outer IP header;
//! - any other number from 1501 on: the EtherType that nothing reads, or that comes more often than
//!   is read, such as a fifth tag.

/// Slots of one queue: 1 MiB.
pub const UNPARSED_SLOTS: usize = 1 << 16;

/// The frame is cut.
pub const CUT: u16 = 0;
/// First of 16 slots: an IP version that is not the EtherType's.
pub const IP_VERSION: u16 = 0x10;
/// First of 16 slots: labels with something else than IP behind them.
pub const MPLS: u16 = 0x20;
/// First of 256 slots: LLC.
pub const LLC: u16 = 0x100;
/// First of 256 slots: tunnel packets.
pub const TUNNEL: u16 = 0x200;
