//! Where a frame's IP datagram begins: link types, tags, SNAP, PPPoE, MPLS, PPP.

use super::octets::number16;

/// The datagram's place.
#[derive(Debug)]
pub(super) struct Found {
    /// IP version, 4 or 6.
    pub version: u8,
    /// Octets before it.
    pub offset: usize,
}

/// Up to four tags are read, of whatever kind.
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
        // ... and begins that of version 2. Where it would be a length, 4 says LLC.
        276 => behind_ethertype(frame, 0, 20),
        // RFC 1547: address, control, ethertype.
        104 => behind_ethertype(frame, 2, 4),
        9 => ppp(frame),
        // RFC 1662's framing, or Cisco's, whose addresses are 0x0f and 0x8f.
        50 => match frame.first()? {
            0x0f | 0x8f => behind_ethertype(frame, 2, 4),
            _ => ppp(frame),
        },
        51 => pppoe_session(frame, 0),
        239 => nflog(frame),
        _ => None,
    }
}

/// RFC 1661 and 1662: address and control may be left out, and so may a first octet of 0 of the
/// protocol number, whose last octet alone is odd.
fn ppp(frame: &[u8]) -> Option<Found> {
    let mut at = 0;
    if number16(frame, 0) == Some(0xff03) {
        at = 2;
    }
    let protocol = if frame.get(at)? % 2 == 1 {
        at += 1;
        u16::from(frame[at - 1])
    } else {
        at += 2;
        number16(frame, at - 2)?
    };
    match protocol {
        0x0021 => agreed(frame, at, 4),
        0x0057 => agreed(frame, at, 6),
        // RFC 3032, section 4.1.
        0x0281 | 0x0283 => mpls(frame, at),
        _ => None,
    }
}

/// LINKTYPE_NFLOG: family, version, resource; then attributes of length, type and value, filled up
/// to four octets, in the order of the machine that captured. Types are small numbers.
fn nflog(frame: &[u8]) -> Option<Found> {
    let version = match frame.first()? {
        2 => 4,
        10 => 6,
        _ => return None,
    };
    let mut rest = 4;
    loop {
        let head: [u8; 4] = frame.get(rest..rest + 4)?.try_into().ok()?;
        let [little, big] = [u16::from_le_bytes, u16::from_be_bytes]
            .map(|number| (number([head[0], head[1]]), number([head[2], head[3]])));
        let (length, kind) = [little, big].into_iter().find(|(_, kind)| *kind < 256)?;
        if length < 4 {
            return None;
        }
        if kind == 9 {
            return agreed(frame, rest + 4, version);
        }
        rest += usize::from(length).div_ceil(4) * 4;
    }
}

/// What the ethertype at `at` names; `behind` is where that begins. Cooked captures of a tagged
/// interface hold the tags as Ethernet does, since libpcap puts them back.
fn behind_ethertype(frame: &[u8], at: usize, mut behind: usize) -> Option<Found> {
    let mut ethertype = number16(frame, at)?;
    // In Ethernet's own place a small number is a length; elsewhere LLC has the number 4.
    if ethertype <= 1500 && at != 12 && (ethertype != 4 || at == 2) {
        return None;
    }
    let (mut tags, mut llc) = (0, 0);
    loop {
        // How far the next ethertype is from here.
        let skipped = match ethertype {
            0..=1500 => {
                // IEEE 802.2 and RFC 1042; 0xf8 is IEEE 802.1H's.
                let header = frame.get(behind..behind + 6)?;
                if ![[0xaa, 0xaa, 3, 0, 0, 0], [0xaa, 0xaa, 3, 0, 0, 0xf8]]
                    .contains(&header.try_into().ok()?)
                {
                    return None;
                }
                llc += 1;
                6
            }
            // IEEE 802.1Q, 802.1ad, and the types that were used before the latter.
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => 2,
            // Cisco's VN-Tag and IEEE 802.1BR's E-Tag.
            0x8926 => 4,
            0x893f => 6,
            // Cisco's time: 48 bits, or 32.
            0x8988 => {
                let known = |at| {
                    let carried = [0x0800, 0x86dd, 0x8864, 0x8847, 0x8848];
                    let tags = [0x8100, 0x88a8, 0x9100, 0x9200];
                    number16(frame, at)
                        .map(|number| carried.contains(&number) || tags.contains(&number))
                };
                if known(behind + 4)? && !known(behind + 6)? {
                    4
                } else {
                    6
                }
            }
            _ => break,
        };
        tags += usize::from(ethertype > 1500);
        if tags > TAGS || llc > 1 {
            return None;
        }
        ethertype = number16(frame, behind + skipped)?;
        behind += skipped + 2;
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
