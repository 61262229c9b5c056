//! Where a frame's IP datagram begins: link types, VLAN tags, PPPoE, MPLS.

use super::octets::number16;

/// The datagram's place.
#[derive(Debug)]
pub(super) struct Found {
    /// IP version, 4 or 6.
    pub version: u8,
    /// Octets before it.
    pub offset: usize,
}

/// Up to four VLAN tags are read.
const TAGS: usize = 4;
/// Up to eight MPLS labels are read.
const LABELS: usize = 8;

/// Finds the datagram; `None` where the frame is not IP or lies too deep.
pub(super) fn datagram(link: u32, frame: &[u8]) -> Option<Found> {
    match link {
        // Null and loop: an address family in the order of the machine that captured. IPv6 is 10
        // on Linux, 24 on NetBSD and OpenBSD, 28 on FreeBSD, 30 on macOS.
        0 | 108 => {
            let family: [u8; 4] = frame.get(..4)?.try_into().ok()?;
            let is = |number| {
                u32::from_be_bytes(family) == number || u32::from_le_bytes(family) == number
            };
            if is(2) {
                agreed(frame, 4, 4)
            } else if is(10) || is(24) || is(28) || is(30) {
                agreed(frame, 4, 6)
            } else {
                None
            }
        }
        1 => behind_ethertype(frame, 12, 14),
        12 | 14 | 101 | 228 | 229 => by_nibble(frame, 0),
        // Linux "cooked": the ethertype ends the header of version 1 ...
        113 => behind_ethertype(frame, 14, 16),
        // ... and begins that of version 2.
        276 => behind_ethertype(frame, 0, 20),
        _ => None,
    }
}

/// What the ethertype at `at` names; `behind` is where that begins. Cooked captures of a tagged
/// interface hold the tags as Ethernet does, since libpcap puts them back.
fn behind_ethertype(frame: &[u8], at: usize, mut behind: usize) -> Option<Found> {
    let mut ethertype = number16(frame, at)?;
    let mut tags = 0;
    // IEEE 802.1Q, 802.1ad, and the type that was used before the latter.
    while matches!(ethertype, 0x8100 | 0x88a8 | 0x9100) {
        tags += 1;
        ethertype = number16(frame, behind + 2)?;
        behind += 4;
    }
    if tags > TAGS {
        return None;
    }
    match ethertype {
        0x0800 => agreed(frame, behind, 4),
        0x86dd => agreed(frame, behind, 6),
        0x8864 => pppoe_session(frame, behind),
        0x8847 | 0x8848 => mpls(frame, behind),
        _ => None,
    }
}

/// RFC 2516: version and type 1, code 0 for a session's data, session, length; then PPP's
/// protocol number.
fn pppoe_session(frame: &[u8], at: usize) -> Option<Found> {
    if number16(frame, at)? != 0x1100 {
        return None;
    }
    match number16(frame, at + 6)? {
        0x0021 => agreed(frame, at + 8, 4),
        0x0057 => agreed(frame, at + 8, 6),
        _ => None,
    }
}

/// RFC 3032: labels until one has the bottom bit; the datagram itself says its version.
fn mpls(frame: &[u8], at: usize) -> Option<Found> {
    let labels: Vec<&[u8]> = frame.get(at..)?.chunks_exact(4).collect();
    let bottom = labels.iter().position(|label| label[2] & 1 == 1)?;
    if bottom >= LABELS {
        return None;
    }
    by_nibble(frame, at + 4 * (bottom + 1))
}

fn by_nibble(frame: &[u8], offset: usize) -> Option<Found> {
    let version = frame.get(offset)? >> 4;
    [4, 6]
        .contains(&version)
        .then_some(Found { version, offset })
}

/// The version nibble must say what the layer before it said.
fn agreed(frame: &[u8], offset: usize, version: u8) -> Option<Found> {
    by_nibble(frame, offset).filter(|found| found.version == version)
}
