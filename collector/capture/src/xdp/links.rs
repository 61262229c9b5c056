//! Network interfaces as rtnetlink describes them (Linux 4.13): kind, members, names, XDP program.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
};

use super::system::socket;

/// Octets of `struct nlmsghdr`, and of that and `struct ifinfomsg`: what precedes the attributes.
const MESSAGE_HEADER_BYTES: usize = 16;
const HEADER_BYTES: usize = 32;
/// Room for a part of the answer; the kernel writes at most 32 KiB at once.
const ANSWER_BYTES: usize = 64 << 10;
/// `NLA_TYPE_MASK` of `linux/netlink.h`: without the flags of an attribute's type.
const TYPE_MASK: u16 = 0x3fff;

// Attributes of `linux/if_link.h`.
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_XDP: u16 = 43;
/// `IFLA_XDP_PROG_ID`, and those of native, generic and offloaded mode after it.
const IFLA_XDP_PROG_IDS: std::ops::RangeInclusive<u16> = 4..=7;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// Its index.
    pub index: u32,
    /// Type of its link layer, an `ARPHRD_` number.
    pub layer: u16,
    /// `IFF_` flags.
    pub flags: u32,
    /// Its name.
    pub name: String,
    /// Alternative names (Linux 5.5).
    pub other_names: Vec<String>,
    /// Kind of a virtual interface, such as `bond` or `vlan`; empty for hardware.
    pub kind: String,
    /// Longest datagram, in octets.
    pub mtu: u32,
    /// Index of the bond, bridge, team or VRF that it is a member of.
    pub master: Option<u32>,
    /// Index of the interface below it, in this network namespace.
    pub lower: Option<u32>,
    /// The kernel's id of the XDP program that is attached to it, in any mode.
    pub program: Option<u32>,
}

/// All interfaces of this thread's network namespace.
pub(super) fn links() -> io::Result<Vec<Link>> {
    ask(0)
}

/// The interface of this index.
pub(super) fn link(index: u32) -> io::Result<Link> {
    let found = ask(index)?.into_iter().next();
    found.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
}

/// The id of the XDP program that is attached to the interface; `None` also if the kernel does not
/// answer.
pub(super) fn attached_program(index: u32) -> Option<u32> {
    link(index).ok()?.program
}

/// The kernel's answer to `RTM_GETLINK`, about all interfaces if `index` is 0.
fn ask(index: u32) -> io::Result<Vec<Link>> {
    let flags = libc::NLM_F_REQUEST | if index == 0 { libc::NLM_F_DUMP } else { 0 };
    let mut request = Vec::with_capacity(HEADER_BYTES);
    request.extend((HEADER_BYTES as u32).to_ne_bytes());
    request.extend(libc::RTM_GETLINK.to_ne_bytes());
    request.extend((flags as u16).to_ne_bytes());
    // Sequence number and port; then family, type, index, flags and mask of changes.
    request.extend([0; 8]);
    request.extend([0; 4]);
    request.extend(index.to_ne_bytes());
    request.resize(HEADER_BYTES, 0);
    let mut netlink = File::from(socket(libc::AF_NETLINK, libc::SOCK_RAW)?);
    netlink.write_all(&request)?;
    let mut found = Vec::new();
    let mut part = vec![0; ANSWER_BYTES];
    loop {
        let octets = netlink.read(&mut part)?;
        let more = take(&part[..octets], &mut found)?;
        if !more || index != 0 || octets == 0 {
            return Ok(found);
        }
    }
}

/// Reads one part of an answer. Returns whether another one follows.
fn take(part: &[u8], found: &mut Vec<Link>) -> io::Result<bool> {
    let mut rest = part;
    while let Some(length) = number(rest, 0) {
        let Some(message) = rest.get(..length as usize) else {
            break;
        };
        match half(message, 4) {
            Some(libc::RTM_NEWLINK) => found.extend(read_link(message)),
            Some(kind) if i32::from(kind) == libc::NLMSG_DONE => return Ok(false),
            Some(kind) if i32::from(kind) == libc::NLMSG_ERROR => {
                let code = number(message, MESSAGE_HEADER_BYTES).unwrap_or_default();
                return Err(io::Error::from_raw_os_error(
                    code.cast_signed().wrapping_neg(),
                ));
            }
            _ => {}
        }
        rest = match rest.get((length as usize).next_multiple_of(4)..) {
            Some(rest) if length as usize >= MESSAGE_HEADER_BYTES => rest,
            _ => break,
        };
    }
    Ok(true)
}

/// The interface in an `RTM_NEWLINK` message.
fn read_link(message: &[u8]) -> Option<Link> {
    let mut link = Link {
        layer: half(message, 18)?,
        index: number(message, 20)?,
        flags: number(message, 24)?,
        ..Link::default()
    };
    let mut lower_is_elsewhere = false;
    for (kind, value) in Attributes(message.get(HEADER_BYTES..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_MTU => link.mtu = number(value, 0)?,
            IFLA_LINK => link.lower = number(value, 0).filter(|&lower| lower != link.index),
            IFLA_LINK_NETNSID => lower_is_elsewhere = true,
            IFLA_MASTER => link.master = number(value, 0),
            IFLA_LINKINFO => {
                let kind = Attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                link.kind = kind.map(|(_, kind)| text(kind)).unwrap_or_default();
            }
            IFLA_XDP => {
                link.program = Attributes(value)
                    .filter(|(kind, _)| IFLA_XDP_PROG_IDS.contains(kind))
                    .filter_map(|(_, value)| number(value, 0))
                    .find(|&id| id != 0);
            }
            IFLA_PROP_LIST => {
                let names = Attributes(value).filter(|(kind, _)| *kind == IFLA_ALT_IFNAME);
                link.other_names.extend(names.map(|(_, name)| text(name)));
            }
            _ => {}
        }
    }
    link.lower = link
        .lower
        .filter(|&lower| lower != 0 && !lower_is_elsewhere);
    Some(link)
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|&octet| octet == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

fn half(octets: &[u8], at: usize) -> Option<u16> {
    let octets = octets.get(at..at + 2)?;
    octets.try_into().ok().map(u16::from_ne_bytes)
}

fn number(octets: &[u8], at: usize) -> Option<u32> {
    let octets = octets.get(at..at + 4)?;
    octets.try_into().ok().map(u32::from_ne_bytes)
}

/// Attributes by type, of which each begins with its length and type and is aligned to 4 octets.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, kind) = (usize::from(half(self.0, 0)?), half(self.0, 2)?);
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

    fn message(kind: u16, attributes: &[u8]) -> Vec<u8> {
        let mut octets = ((HEADER_BYTES + attributes.len()) as u32)
            .to_ne_bytes()
            .to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.resize(18, 0);
        octets.extend(1u16.to_ne_bytes());
        octets.extend(9u32.to_ne_bytes());
        octets.resize(HEADER_BYTES, 0);
        octets.extend(attributes);
        octets
    }

    fn read(octets: &[u8]) -> (Vec<Link>, bool) {
        let mut found = Vec::new();
        let more = take(octets, &mut found).unwrap();
        (found, more)
    }

    #[test]
    fn every_fact_is_read_and_no_cut_answer_is_a_panic() {
        let id = |kind: u16, id: u32| attribute(kind, &id.to_ne_bytes());
        let xdp = [attribute(2, &[1]), id(4, 0), id(6, 77)].concat();
        let names = [
            attribute(IFLA_ALT_IFNAME, b"wan\0"),
            attribute(IFLA_ALT_IFNAME, b"uplink-of-the-telescope\0"),
        ];
        let all = [
            attribute(IFLA_IFNAME, b"dark0\0"),
            id(IFLA_MTU, 9000),
            id(IFLA_LINK, 4),
            id(IFLA_MASTER, 5),
            attribute(
                IFLA_LINKINFO | 0x8000,
                &attribute(IFLA_INFO_KIND, b"vlan\0"),
            ),
            attribute(IFLA_XDP | 0x8000, &xdp),
            attribute(IFLA_PROP_LIST | 0x8000, &names.concat()),
        ]
        .concat();
        let link = Link {
            index: 9,
            layer: 1,
            flags: 0,
            name: "dark0".into(),
            other_names: vec!["wan".into(), "uplink-of-the-telescope".into()],
            kind: "vlan".into(),
            mtu: 9000,
            master: Some(5),
            lower: Some(4),
            program: Some(77),
        };
        let whole = message(libc::RTM_NEWLINK, &all);
        assert_eq!(read(&whole), (vec![link.clone()], true));
        let done = message(libc::NLMSG_DONE as u16, &[]);
        let two = [whole.clone(), whole.clone(), done].concat();
        assert_eq!(read(&two), (vec![link.clone(), link.clone()], false));
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]).0, [], "cut at {end}");
        }
        // A veth's other end in another namespace is not below it.
        let elsewhere = [all, id(IFLA_LINK_NETNSID, 0)].concat();
        let (found, _) = read(&message(libc::RTM_NEWLINK, &elsewhere));
        assert_eq!(found[0].lower, None);
        let refused = message(libc::NLMSG_ERROR as u16, &[]);
        let mut refused = refused;
        refused[16..20].copy_from_slice(&(-libc::ENODEV).to_ne_bytes());
        let error = take(&refused, &mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn loopback_is_among_all_and_has_no_program() {
        let all = links().unwrap();
        let lo = all.iter().find(|one| one.name == "lo").unwrap().index;
        let one = link(lo).unwrap();
        assert_eq!((one.name.as_str(), one.program), ("lo", None));
        assert_eq!(one.layer, libc::ARPHRD_LOOPBACK);
        assert!(all.contains(&one));
        assert_eq!(attached_program(lo), None);
        let error = link(i32::MAX as u32).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
