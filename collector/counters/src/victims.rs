//! Victims that ICMP errors quote, in a table of fixed capacity: one row per victim and sender.

use noctule_packet::Source;
use noctule_packet::quote::Victim;
use zerocopy::FromZeros;

use crate::table::Row;

/// Key of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VictimKey {
    /// Destination of the quoted packet.
    pub victim: Victim,
    /// Sender of the ICMP error.
    pub sender: Source,
}

/// One row: 48 octets.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
pub struct VictimRow {
    address: u128,
    sender: u128,
    packets: u64,
    /// The port plus one; 0 for no port.
    port: u32,
    protocol: u8,
    /// 1 if the victim's address is IPv6.
    six: u8,
    /// 1 if the sender's address is IPv6.
    sender_six: u8,
}

const _: () = assert!(size_of::<VictimRow>() == 48);

const fn bits(address: Source) -> (u128, u8) {
    match address {
        Source::V4(bits) => (bits as u128, 0),
        Source::V6(bits) => (bits, 1),
    }
}

const fn source(bits: u128, six: u8) -> Source {
    if six == 1 {
        Source::V6(bits)
    } else {
        Source::V4(bits as u32)
    }
}

impl Row for VictimRow {
    type Key = VictimKey;
    #[inline]
    fn key(&self) -> VictimKey {
        VictimKey {
            victim: Victim {
                address: source(self.address, self.six),
                protocol: self.protocol,
                port: self.port.checked_sub(1).map(|port| port as u16),
            },
            sender: source(self.sender, self.sender_six),
        }
    }
}

impl VictimRow {
    #[inline]
    pub(crate) fn first(key: VictimKey) -> Self {
        let (address, six) = bits(key.victim.address);
        let (sender, sender_six) = bits(key.sender);
        Self {
            address,
            sender,
            packets: 1,
            port: key.victim.port.map_or(0, |port| u32::from(port) + 1),
            protocol: key.victim.protocol,
            six,
            sender_six,
        }
    }

    #[inline]
    pub(crate) fn add(&mut self) {
        self.packets += 1;
    }

    /// The row's key and its packets.
    pub(crate) fn entry(&self) -> (VictimKey, u64) {
        (self.key(), self.packets)
    }
}

/// ICMP errors that quote packets to one victim in one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VictimCount {
    /// Destination of the quoted packets.
    pub victim: Victim,
    /// ICMP errors.
    pub packets: u64,
    /// Distinct addresses that sent them.
    pub senders: u64,
}
