//! The kernel's ledger: packets and bytes of dark frames by protocol and destination port.
//!
//! Each RX queue has [`SLOTS`] slots, one after another; a dark frame adds to exactly one slot of
//! its queue. The slot depends on the datagram that is counted (of a tunnel packet, the inner one)
//! and not on the class: backscatter is counted at its destination port, too.
//!
//! - IPv4, TCP or UDP: the destination port, if counting rules 3 and 5 find ports: the datagram is
//!   no fragment after the first, its IHL is 5 or more, and the four octets of the ports lie before
//!   the frame's end and before the end that the length field names (a length below the header's
//!   own names no end). Otherwise [`TCP_PORTLESS`] or [`UDP_PORTLESS`].
//! - IPv6, TCP or UDP directly behind the fixed header: the same; a payload length of 0 names no
//!   end.
//! - Everything else, including IPv6 with extension headers: [`OTHER`].

use crate::unparsed::UNPARSED_SLOTS;
use crate::{Tally, Verdicts};

/// All counters of one RX queue: one element of a map, so that a frame needs one look-up.
#[repr(C, align(128))]
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    /// Frames by verdict.
    pub verdicts: Verdicts,
    /// Dark frames by slot.
    pub slots: [Tally; SLOTS as usize],
    /// Frames that were not parsed, by the slot that [`unparsed`](crate::unparsed) defines.
    pub unparsed: [Tally; UNPARSED_SLOTS],
}

/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;

/// Slots of TCP's ports come first; those of UDP's begin here.
pub const UDP_PORTS: u32 = 65_536;
/// Slot of TCP without a port.
pub const TCP_PORTLESS: u32 = 131_072;
/// Slot of UDP without a port.
pub const UDP_PORTLESS: u32 = 131_073;
/// Slot of every other dark frame.
pub const OTHER: u32 = 131_074;
/// Slots of one queue's dark frames: 2 MiB.
pub const SLOTS: u32 = 131_075;

/// The slot of a protocol and destination port.
#[inline(always)]
pub const fn slot(protocol: u8, port: Option<u16>) -> u32 {
    match (protocol, port) {
        (TCP, Some(port)) => port as u32,
        (UDP, Some(port)) => UDP_PORTS + port as u32,
        (TCP, None) => TCP_PORTLESS,
        (UDP, None) => UDP_PORTLESS,
        _ => OTHER,
    }
}
