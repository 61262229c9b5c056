//! Class and port from TCP, UDP, ICMP and ICMPv6 (counting rules 4 and 5).

use super::answers::{self, Payload};
use super::class::Class;
use super::octets::number16;

/// Class and port of what lies behind the IP headers.
pub(super) fn class_and_port(protocol: u8, part: &[u8]) -> (Class, Option<u16>) {
    match protocol {
        1 => icmp(part, |kind| match kind {
            0 | 3 | 4 | 5 | 11 | 12 | 14 | 16 | 18 => Class::Backscatter,
            8 | 13 | 15 | 17 => Class::Scan,
            _ => Class::Other,
        }),
        58 => icmp(part, |kind| match kind {
            1..=4 | 129 => Class::Backscatter,
            128 => Class::Scan,
            _ => Class::Other,
        }),
        6 => with_ports(part, tcp(part)),
        17 => with_ports(part, udp(part)),
        _ => (Class::Other, None),
    }
}

fn icmp(part: &[u8], class_of: fn(u8) -> Class) -> (Class, Option<u16>) {
    match part.first() {
        Some(&kind) => (class_of(kind), number16(part, 0)),
        None => (Class::Other, None),
    }
}

/// Rule 5: backscatter counts at the port that answered.
fn with_ports(part: &[u8], class: Class) -> (Class, Option<u16>) {
    let (Some(source), Some(destination)) = (number16(part, 0), number16(part, 2)) else {
        return (class, None);
    };
    let port = if class == Class::Backscatter {
        source
    } else {
        destination
    };
    (class, Some(port))
}

fn tcp(part: &[u8]) -> Class {
    let Some(flags) = part.get(13) else {
        return Class::Other;
    };
    let is_set = |bit: u8| flags & bit != 0;
    let (fin, syn, rst, ack) = (is_set(1), is_set(2), is_set(4), is_set(16));
    if rst || (syn && ack) {
        Class::Backscatter
    } else if syn && !ack && !rst && !fin {
        Class::Scan
    } else {
        Class::Other
    }
}

/// Octets of a UDP header.
const UDP_HEADER: usize = 8;

fn udp(part: &[u8]) -> Class {
    // Rule 5: cut before the end of the ports, it has none, and so comes from none.
    let Some(source) = part.get(..4).and_then(|ports| number16(ports, 0)) else {
        return Class::Scan;
    };
    // What UDP's own length denies is no part of the payload, whatever else the frame holds.
    let own = number16(part, 4).unwrap_or(u16::MAX);
    let claimed = usize::from(own).saturating_sub(UDP_HEADER);
    let captured = part.get(UDP_HEADER..).unwrap_or_default();
    let payload = Payload {
        octets: &captured[..captured.len().min(claimed)],
        claimed,
    };
    match answers::is_answer(source, &payload) {
        Some(true) => Class::Backscatter,
        // Cut before the octet that decides.
        None if captured.len() < claimed => Class::Backscatter,
        Some(false) | None => Class::Scan,
    }
}
