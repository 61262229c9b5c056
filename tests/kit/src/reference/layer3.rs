//! IPv4 and IPv6 headers: addresses, protocol, bytes, and where layer 4 lies (counting rules 1
//! to 3 and 6).

use std::net::IpAddr;

use super::octets::{address4, address6, number16};

/// What the IP header says.
#[derive(Debug)]
pub(super) struct Datagram {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub bytes: u64,
    pub reached: Reached,
}

/// Did the headers lead to layer 4?
#[derive(Debug)]
pub(super) enum Reached {
    /// Yes: this is what was captured of it, none of it behind the datagram's end.
    Layer4(Vec<u8>),
    /// No: a fragment after the first, a header length below 5, or a chain that breaks.
    No,
}

/// Reads IPv4. `carried` is how much of the datagram the frame had on the wire.
///
/// `None`: cut before the destination address.
pub(super) fn ipv4(datagram: &[u8], carried: usize) -> Option<Datagram> {
    let source = address4(datagram, 12)?;
    let destination = address4(datagram, 16)?;
    let header_bytes = usize::from(datagram[0] & 15) * 4;
    let total_length = usize::from(number16(datagram, 2)?);
    // Rule 6.
    let bytes = total_length.min(carried) as u64;
    // Rule 3.
    let end = if total_length < header_bytes {
        datagram.len()
    } else {
        datagram.len().min(total_length)
    };
    let fragment_offset = number16(datagram, 6)? & 0x1fff;
    let reached = if header_bytes < 20 || fragment_offset > 0 {
        Reached::No
    } else {
        // Cut within the options: the protocol is known, and nothing of its header.
        let part = datagram.get(header_bytes..end).unwrap_or(&[]);
        Reached::Layer4(part.to_vec())
    };
    Some(Datagram {
        source,
        destination,
        protocol: datagram[9],
        bytes,
        reached,
    })
}

/// Octets of the IPv6 header.
const HEADER6: usize = 40;

/// Reads IPv6 and its chain of extension headers. `carried` is how much of the datagram the
/// frame had on the wire.
///
/// `None`: cut before the destination address's end.
pub(super) fn ipv6(datagram: &[u8], carried: usize) -> Option<Datagram> {
    let source = address6(datagram, 8)?;
    let destination = address6(datagram, 24)?;
    let payload_length = usize::from(number16(datagram, 4)?);
    let first = datagram[6];
    let jumbo = if payload_length == 0 && first == 0 {
        jumbo_length(&datagram[HEADER6..])
    } else {
        None
    };
    // Rule 6: a jumbogram's length field is its option.
    let said = HEADER6 + jumbo.unwrap_or(payload_length);
    let bytes = said.min(carried) as u64;
    // Rule 3.
    let end = if payload_length == 0 {
        datagram.len()
    } else {
        datagram.len().min(HEADER6 + payload_length)
    };
    let (protocol, reached) = chain(first, &datagram[HEADER6..end]);
    Some(Datagram {
        source,
        destination,
        protocol,
        bytes,
        reached,
    })
}

/// Walks extension headers 0, 43, 44, 51 and 60 (rule 2): the number reached, and what follows.
fn chain(first: u8, octets: &[u8]) -> (u8, Reached) {
    let mut number = first;
    let mut rest = octets.to_vec();
    loop {
        let units = rest.get(1).copied().map(usize::from);
        let length = match (number, units) {
            (0 | 43 | 60, Some(units)) => (units + 1) * 8,
            // RFC 4302: three words are fixed, so that a length of 0 cannot be.
            (51, Some(0)) => return (51, Reached::No),
            (51, Some(units)) => (units + 2) * 4,
            (44, Some(_)) => 8,
            (0 | 43 | 44 | 51 | 60, None) => return (number, Reached::No),
            _ => return (number, Reached::Layer4(rest)),
        };
        if rest.len() < length {
            return (number, Reached::No);
        }
        let after_the_first = number == 44 && (rest[2] != 0 || rest[3] & 0xf8 != 0);
        number = rest[0];
        rest.drain(..length);
        if after_the_first {
            return (number, Reached::No);
        }
    }
}

/// RFC 2675: the length that the hop-by-hop header's jumbo option states, the IPv6 header not
/// counted.
fn jumbo_length(hop_by_hop: &[u8]) -> Option<usize> {
    let length = (usize::from(*hop_by_hop.get(1)?) + 1) * 8;
    let mut options = hop_by_hop.get(2..length)?.to_vec();
    while let Some(&kind) = options.first() {
        if kind == 0 {
            options.remove(0);
            continue;
        }
        let length = usize::from(*options.get(1)?);
        let value = options.get(2..2 + length)?;
        if kind == 0xc2
            && let Ok(value) = <[u8; 4]>::try_from(value)
        {
            return Some(u32::from_be_bytes(value) as usize);
        }
        options.drain(..2 + length);
    }
    None
}
