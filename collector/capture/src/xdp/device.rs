//! Which interfaces can be captured from, by their kind and link layer, and what to use instead of
//! the others.

use super::{XdpError, links::Link};

/// What a frame of an interface begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// An Ethernet header.
    Ethernet,
    /// The IP header: a layer-3 device such as TUN, WireGuard or `ip tunnel`. Only generic XDP reads
    /// it.
    Ip,
}

/// Layer-3 devices by their `ARPHRD_` number (`linux/if_arp.h`): PPP, RAWIP, TUNNEL, TUNNEL6, SIT,
/// IPGRE, IP6GRE, NONE (TUN, WireGuard). Generic XDP sees their frames from the IP header on.
const LAYER3: [u16; 8] = [512, 519, 768, 769, 776, 778, 823, 0xfffe];

/// Kinds whose frames an AF_XDP socket does not get although XDP may be attached: the frames belong to
/// the members' queues.
const GROUPS: [(&str, &str); 4] = [
    ("bond", "a bond"),
    ("team", "a team"),
    ("bridge", "a bridge"),
    ("vrf", "a VRF"),
];
/// Kinds that share the frames of one interface below them.
const UPPER: [(&str, &str); 5] = [
    ("vlan", "a VLAN sub-interface"),
    ("macvlan", "a macvlan"),
    ("macvtap", "a macvtap"),
    ("ipvlan", "an ipvlan"),
    ("ipvtap", "an ipvtap"),
];

/// Decides what a frame of this interface begins with; `all` are the namespace's interfaces, among
/// which those to use instead are found.
///
/// # Errors
/// [`XdpError::Device`] if AF_XDP would get no frame of it, or none that can be read.
pub(super) fn layer(link: &Link, all: &[Link]) -> Result<Layer, XdpError> {
    let refuse = |what: String, cure: String| {
        Err(XdpError::Device {
            name: link.name.clone(),
            what,
            cure,
        })
    };
    let of = |kinds: &[(&str, &'static str)]| {
        (kinds.iter().find(|(kind, _)| *kind == link.kind)).map(|(_, what)| *what)
    };
    if let Some(what) = of(&GROUPS) {
        let members = all.iter().filter(|one| one.master == Some(link.index));
        let members: Vec<_> = members.map(|one| one.name.as_str()).collect();
        if members.is_empty() {
            return refuse(
                format!("{what} without members"),
                format!(
                    "add one (`ip link set dev IF master {}`) and name that",
                    link.name
                ),
            );
        }
        return refuse(
            format!(
                "{what} of {}, whose frames stay with its members",
                join(&members)
            ),
            use_instead(&members),
        );
    }
    if let Some(what) = of(&UPPER) {
        let below = link
            .lower
            .and_then(|lower| all.iter().find(|one| one.index == lower));
        let Some(below) = below else {
            return refuse(
                format!("{what}, and the interface below it is in another network namespace"),
                "run the collector in that namespace, on the interface below".into(),
            );
        };
        let tags = if link.kind == "vlan" {
            "; VLAN tags are read"
        } else {
            ""
        };
        // What is below may be a bond or another VLAN.
        let mut usable = Vec::new();
        carriers(below, all, &mut usable);
        return refuse(
            format!(
                "{what} on {}, whose frames stay with that interface",
                below.name
            ),
            format!("{}{tags}", use_instead(&usable)),
        );
    }
    match link.layer {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Ok(Layer::Ethernet),
        number if LAYER3.contains(&number) => Ok(Layer::Ip),
        number => refuse(
            format!("neither Ethernet nor IP (link-layer type {number})"),
            format!(
                "capture it in another way, such as `tcpdump -i {} -w - | noctule replay ... -`",
                link.name
            ),
        ),
    }
}

/// The interfaces that carry the frames of `link`: itself, its members, or what is below it.
fn carriers<'a>(link: &'a Link, all: &'a [Link], found: &mut Vec<&'a str>) {
    let is = |kinds: &[(&str, &str)]| kinds.iter().any(|(kind, _)| *kind == link.kind);
    let (group, upper) = (is(&GROUPS), is(&UPPER));
    let below = |one: &&Link| {
        group && one.master == Some(link.index) || upper && link.lower == Some(one.index)
    };
    let mut next = all.iter().filter(below).peekable();
    if next.peek().is_none() {
        if !found.contains(&link.name.as_str()) {
            found.push(&link.name);
        }
        return;
    }
    // The kernel stacks no interfaces in a circle.
    next.for_each(|one| carriers(one, all, found));
}

/// `eth0`, `eth0 and eth1`, or `eth0, eth1 and eth2`.
fn join(names: &[&str]) -> String {
    match names {
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
        [] => String::new(),
    }
}

fn use_instead(names: &[&str]) -> String {
    let flags: Vec<_> = (names.iter())
        .map(|name| format!("--interface {name}"))
        .collect();
    format!("use {}", flags.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, kind: &str) -> Link {
        Link {
            index,
            name: name.into(),
            kind: kind.into(),
            layer: libc::ARPHRD_ETHER,
            ..Link::default()
        }
    }

    fn refusal(link: &Link, all: &[Link]) -> String {
        let text = layer(link, all).unwrap_err().to_string();
        assert_eq!(text.lines().count(), 1);
        text
    }

    #[test]
    fn a_group_is_refused_with_its_members() {
        for (kind, what) in GROUPS {
            let group = link(7, "big0", kind);
            let member = |index, name| Link {
                master: Some(7),
                ..link(index, name, "")
            };
            let all = [
                group.clone(),
                member(2, "eth0"),
                member(3, "eth1"),
                link(4, "eth2", ""),
            ];
            let text = refusal(&group, &all);
            assert_eq!(
                text,
                format!(
                    "interface big0 is {what} of eth0 and eth1, whose frames stay with its members: \
                     use --interface eth0 --interface eth1"
                )
            );
            assert!(refusal(&group, &all[..1]).contains("without members"));
        }
    }

    #[test]
    fn a_sub_interface_is_refused_with_what_carries_its_frames() {
        for (kind, what) in UPPER {
            let upper = Link {
                lower: Some(2),
                ..link(7, "eth0.5", kind)
            };
            let all = [upper.clone(), link(2, "eth0", "")];
            let text = refusal(&upper, &all);
            assert!(
                text.starts_with(&format!("interface eth0.5 is {what} on eth0"))
                    && text.contains("use --interface eth0"),
                "{text}"
            );
            assert_eq!(text.contains("VLAN tags are read"), kind == "vlan");
            let elsewhere = Link {
                lower: None,
                ..upper
            };
            assert!(refusal(&elsewhere, &all).contains("another network namespace"));
        }
    }

    #[test]
    fn the_cure_of_a_vlan_on_a_bond_is_the_bonds_members() {
        let vlan = Link {
            lower: Some(5),
            ..link(7, "bond0.12", "vlan")
        };
        let bond = link(5, "bond0", "bond");
        let members = [2, 3].map(|index| Link {
            master: Some(5),
            ..link(index, &format!("eth{index}"), "")
        });
        let all: Vec<_> = [vlan.clone(), bond].into_iter().chain(members).collect();
        let text = refusal(&vlan, &all);
        assert!(
            text.contains("on bond0") && text.contains("--interface eth2 --interface eth3"),
            "{text}"
        );
    }

    #[test]
    fn every_link_layer_is_read_or_refused_by_its_number() {
        for number in 0..=u16::MAX {
            let one = Link {
                layer: number,
                ..link(2, "dev0", "")
            };
            match layer(&one, &[]) {
                Ok(Layer::Ethernet) => assert!([1, 772].contains(&number)),
                Ok(Layer::Ip) => assert!(LAYER3.contains(&number)),
                Err(error) => assert!(error.to_string().contains(&number.to_string())),
            }
        }
        // gretap, vxlan, TAP and veth have Ethernet headers.
        for kind in ["gretap", "vxlan", "geneve", "tun", "veth", "dummy", ""] {
            assert_eq!(layer(&link(2, "dev0", kind), &[]).unwrap(), Layer::Ethernet);
        }
        for (kind, number) in [
            ("tun", 0xfffe),
            ("wireguard", 0xfffe),
            ("ipip", 768),
            ("gre", 778),
        ] {
            let one = Link {
                layer: number,
                ..link(2, "dev0", kind)
            };
            assert_eq!(layer(&one, &[]).unwrap(), Layer::Ip);
        }
    }
}
