//! Which XDP program is attached to an interface, as rtnetlink reports it (Linux 4.13).

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
};

use super::{Interface, interface::socket};

/// Octets of `struct nlmsghdr` and `struct ifinfomsg` together: what precedes the attributes.
const HEADER_BYTES: usize = 32;
/// Room for the answer, which is some KiB.
const ANSWER_BYTES: usize = 64 << 10;
/// `IFLA_XDP` of `linux/if_link.h`.
const IFLA_XDP: u16 = 43;
/// `IFLA_XDP_PROG_ID`, and those of native, generic and offloaded mode after it.
const IFLA_XDP_PROG_IDS: std::ops::RangeInclusive<u16> = 4..=7;
/// `NLA_TYPE_MASK` of `linux/netlink.h`: without the flags of an attribute's type.
const TYPE_MASK: u16 = 0x3fff;

/// The id of the XDP program that is attached to the interface, in any mode; `None` also if the
/// kernel does not answer.
pub(super) fn attached_program(interface: &Interface) -> Option<u32> {
    let answer = ask(interface.index()).ok()?;
    program_in(&answer)
}

/// The kernel's answer to `RTM_GETLINK`.
fn ask(index: u32) -> io::Result<Vec<u8>> {
    let mut request = Vec::with_capacity(HEADER_BYTES);
    request.extend((HEADER_BYTES as u32).to_ne_bytes());
    request.extend(libc::RTM_GETLINK.to_ne_bytes());
    request.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    // Sequence number and port; then family, type, index, flags and mask of changes.
    request.extend([0; 8]);
    request.extend([0; 4]);
    request.extend(index.to_ne_bytes());
    request.resize(HEADER_BYTES, 0);
    let mut netlink = File::from(socket(libc::AF_NETLINK, libc::SOCK_RAW)?);
    netlink.write_all(&request)?;
    let mut answer = vec![0; ANSWER_BYTES];
    let octets = netlink.read(&mut answer)?;
    answer.truncate(octets);
    Ok(answer)
}

fn program_in(answer: &[u8]) -> Option<u32> {
    let kind = answer.get(4..6)?.try_into().ok().map(u16::from_ne_bytes)?;
    if kind != libc::RTM_NEWLINK {
        return None;
    }
    let (_, xdp) = Attributes(answer.get(HEADER_BYTES..)?).find(|(kind, _)| *kind == IFLA_XDP)?;
    Attributes(xdp)
        .filter(|(kind, _)| IFLA_XDP_PROG_IDS.contains(kind))
        .filter_map(|(_, value)| value.try_into().ok().map(u32::from_ne_bytes))
        .find(|&id| id != 0)
}

/// Attributes by type, of which each begins with its length and type and is aligned to 4 octets.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let word = |at| {
            self.0
                .get(at..at + 2)?
                .try_into()
                .ok()
                .map(u16::from_ne_bytes)
        };
        let (length, kind) = (usize::from(word(0)?), word(2)?);
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind & TYPE_MASK, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut octets = (value.len() as u16 + 4).to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend(value);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    fn answer(kind: u16, attributes: &[u8]) -> Vec<u8> {
        let mut octets = vec![0; HEADER_BYTES];
        octets[4..6].copy_from_slice(&kind.to_ne_bytes());
        octets.extend(attributes);
        octets
    }

    #[test]
    fn the_first_program_that_is_attached_is_found() {
        let id = |kind: u16, id: u32| attribute(kind, &id.to_ne_bytes());
        let nested = |inside: &[u8]| {
            let name = attribute(3, b"dark0\0");
            [name, attribute(IFLA_XDP | 0x8000, inside)].concat()
        };
        let attached = [attribute(2, &[1]), id(4, 0), id(6, 77)].concat();
        let found = |octets: &[u8]| program_in(&answer(libc::RTM_NEWLINK, octets));
        assert_eq!(found(&nested(&attached)), Some(77));
        assert_eq!(found(&nested(&attribute(2, &[0]))), None);
        assert_eq!(found(&attribute(3, b"lo\0")), None);
        assert_eq!(program_in(&answer(2, &nested(&attached))), None);
        let whole = answer(libc::RTM_NEWLINK, &nested(&attached));
        for end in 0..whole.len() {
            assert_eq!(program_in(&whole[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn loopback_has_no_program() {
        let lo = Interface::find("lo").unwrap();
        let answer = ask(lo.index()).unwrap();
        assert_eq!(answer[4..6], libc::RTM_NEWLINK.to_ne_bytes());
        assert_eq!(attached_program(&lo), None);
    }
}
