//! Frames with a name each: every branch of the rules once. The fuzz targets start from them.

use super::{
    Captured, Carries, Cut, Extension, Ipv4, Ipv6, Layers, Length, Link, Network, Transport,
};

/// All of them.
pub fn all() -> Vec<(&'static str, Captured)> {
    let mut all = Vec::new();
    for (name, layers) in [transports(), ipv4_headers(), ipv6_headers(), links()].concat() {
        all.push((name, layers.frame()));
    }
    all
}

fn ethernet(network: Network, transport: Transport) -> Layers {
    Layers {
        link: Link::Ethernet {
            tags: Vec::new(),
            carries: Carries::Ip(None),
        },
        network,
        transport,
        trailer: 0,
        cut: Cut::Whole,
        wrong: Vec::new(),
    }
}

fn v4() -> Ipv4 {
    Ipv4 {
        source: [11, 22, 33, 44],
        destination: [198, 18, 0, 1],
        id: 54321,
        fragment: 0x4000,
        options: Vec::new(),
        first_octet: None,
        total_length: Length::Right,
        protocol: None,
    }
}

fn v6() -> Ipv6 {
    let mut source = [0; 16];
    source[..4].copy_from_slice(&[0x2a, 1, 0, 7]);
    let mut destination = [0; 16];
    destination[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
    Ipv6 {
        source,
        destination,
        chain: Vec::new(),
        first_octet: None,
        payload_length: Length::Right,
        last: None,
    }
}

fn tcp(flags: u8) -> Transport {
    Transport::Tcp {
        ports: [80, 23],
        sequence: 0xc612_0001,
        flags,
        options: Vec::new(),
        offset: None,
        payload: Vec::new(),
    }
}

fn udp(source: u16, payload: &[u8]) -> Transport {
    Transport::Udp {
        ports: [source, 40_000],
        length: Length::Right,
        payload: payload.to_vec(),
    }
}

fn icmp(number: u8, kind: u8) -> Transport {
    Transport::Icmp {
        number,
        kind,
        code: 0,
        rest: vec![0, 1, 0, 2],
    }
}

/// The beginning of a DNS message with or without the response bit.
fn dns(response: bool) -> Transport {
    let flags = if response { 0x81 } else { 0x01 };
    udp(53, &[0x12, 0x34, flags, 0x80, 0, 1, 0, 0, 0, 0, 0, 0])
}

fn transports() -> Vec<(&'static str, Layers)> {
    let over4 = |transport| ethernet(Network::V4(v4()), transport);
    let mut offset_beyond = tcp(2);
    let mut offset_below = tcp(2);
    for (tcp, wrong) in [(&mut offset_beyond, 0x60), (&mut offset_below, 0x40)] {
        if let Transport::Tcp { offset, .. } = tcp {
            *offset = Some(wrong);
        }
    }
    // An ICMP error with the packet that it is about.
    let quoted = [
        &[0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0][..],
        &[198, 18, 0, 1, 203, 0, 113, 5, 0x1f, 0x90, 0, 80],
        &[0; 4],
    ];
    let mut unreachable = icmp(1, 3);
    if let Transport::Icmp { rest, .. } = &mut unreachable {
        *rest = [&[0; 4], &quoted.concat()[..]].concat();
    }
    let short_dns = Transport::Udp {
        ports: [53, 40_000],
        length: Length::Exactly(10),
        payload: vec![0x12, 0x34, 0x81],
    };
    let gre = Transport::Other {
        number: 47,
        payload: vec![0, 0, 8, 0, 0x45],
    };
    vec![
        ("tcp-syn", over4(tcp(0x02))),
        ("tcp-syn-ack", over4(tcp(0x12))),
        ("tcp-rst", over4(tcp(0x04))),
        ("tcp-ack", over4(tcp(0x10))),
        ("tcp-data-offset-beyond-end", over4(offset_beyond)),
        ("tcp-data-offset-below-5", over4(offset_below)),
        ("udp", over4(udp(40_001, b"hello"))),
        ("udp-dns-answer", over4(dns(true))),
        ("udp-dns-question", over4(dns(false))),
        ("udp-dns-too-short-for-an-answer", over4(short_dns)),
        ("udp-from-ntp", over4(udp(123, &[0x24, 1, 0, 0]))),
        (
            "udp-from-snmp",
            over4(udp(161, &[0x30, 3, 2, 1, 1, 4, 0, 0xa2])),
        ),
        ("udp-from-ssdp", over4(udp(1900, b"HTTP/1.1 200 OK\r\n"))),
        ("icmp-echo-request", over4(icmp(1, 8))),
        ("icmp-unreachable", over4(unreachable)),
        ("gre", over4(gre)),
    ]
}

fn ipv4_headers() -> Vec<(&'static str, Layers)> {
    let with = |change: fn(&mut Ipv4)| {
        let mut header = v4();
        change(&mut header);
        ethernet(Network::V4(header), tcp(2))
    };
    let options = |header: &mut Ipv4| header.options = vec![[1, 1, 1, 0], [7, 4, 0, 0]];
    let mut cut_in_options = with(options);
    cut_in_options.cut = Cut::Snap(1, 22);
    vec![
        ("ipv4-options", with(options)),
        ("ipv4-options-cut", cut_in_options),
        ("ipv4-ihl-4", with(|header| header.first_octet = Some(0x44))),
        (
            "ipv4-ihl-15",
            with(|header| header.first_octet = Some(0x4f)),
        ),
        (
            "ipv4-first-fragment",
            with(|header| header.fragment = 0x2000),
        ),
        (
            "ipv4-later-fragment",
            with(|header| header.fragment = 0x20b9),
        ),
        (
            "ipv4-authentication-header",
            with(|header| header.protocol = Some(51)),
        ),
        (
            "ipv4-length-0",
            with(|header| header.total_length = Length::Exactly(0)),
        ),
        (
            "ipv4-length-below-header",
            with(|header| header.total_length = Length::Exactly(19)),
        ),
        (
            "ipv4-length-before-flags",
            with(|header| header.total_length = Length::Exactly(32)),
        ),
        (
            "ipv4-length-beyond-frame",
            with(|header| header.total_length = Length::More(20)),
        ),
    ]
}

fn extension(kind: u8, body: &[u8]) -> Extension {
    Extension {
        kind,
        body: body.to_vec(),
        units: None,
    }
}

fn ipv6_headers() -> Vec<(&'static str, Layers)> {
    let with = |chain: &[Extension], payload_length, transport| {
        let header = Ipv6 {
            chain: chain.to_vec(),
            payload_length,
            ..v6()
        };
        ethernet(Network::V6(header), transport)
    };
    let chain = [
        extension(0, &[5, 2, 0, 0, 1, 0]),
        extension(60, &[1, 4, 0, 0, 0, 0]),
        extension(43, &[0, 0, 0, 0, 0, 0]),
        extension(51, &[0; 14]),
    ];
    let jumbo = extension(0, &[0xc2, 4, 0, 1, 0x11, 0x70]);
    let first = extension(44, &[0, 1, 0, 0, 0, 9]);
    let later = extension(44, &[0x05, 0xa9, 0, 0, 0, 9]);
    let mut broken = extension(60, &[1, 4, 0, 0, 0, 0]);
    broken.units = Some(200);
    let mut jumbogram = with(&[jumbo], Length::Exactly(0), tcp(2));
    jumbogram.cut = Cut::Longer(70_000);
    let right = Length::Right;
    vec![
        ("ipv6-syn", with(&[], right, tcp(2))),
        ("ipv6-udp", with(&[], right, udp(40_001, b"hello"))),
        ("ipv6-echo-request", with(&[], right, icmp(58, 128))),
        ("ipv6-echo-reply", with(&[], right, icmp(58, 129))),
        ("ipv6-chain", with(&chain, right, tcp(2))),
        ("ipv6-chain-broken", with(&[broken], right, tcp(2))),
        ("ipv6-first-fragment", with(&[first], right, tcp(2))),
        ("ipv6-later-fragment", with(&[later], right, tcp(2))),
        ("ipv6-length-0", with(&[], Length::Exactly(0), tcp(2))),
        ("ipv6-jumbogram", jumbogram),
    ]
}

fn links() -> Vec<(&'static str, Layers)> {
    let with = |link| Layers {
        link,
        ..ethernet(Network::V4(v4()), tcp(2))
    };
    let carrying = |tags: &[u16], carries| {
        with(Link::Ethernet {
            tags: tags.to_vec(),
            carries,
        })
    };
    let loopback = |big_endian| Link::Loopback {
        number: 0,
        family: None,
        big_endian,
    };
    let ppp = |number, framed, compressed| Link::Ppp {
        number,
        framed,
        compressed,
        protocol: None,
    };
    let nflog = |big_endian, before| Link::Nflog {
        big_endian,
        before,
        family: None,
    };
    let mut v6_loopback = with(loopback(true));
    v6_loopback.network = Network::V6(v6());
    let four = [0x9100, 0x88a8, 0x8100, 0x8100];
    let five = [0x8100; 5];
    let mut padded = carrying(&[], Carries::Ip(None));
    padded.trailer = 6;
    vec![
        ("ethernet-padded", padded),
        ("ethernet-four-tags", carrying(&four, Carries::Ip(None))),
        ("ethernet-five-tags", carrying(&five, Carries::Ip(None))),
        ("ethernet-arp", carrying(&[], Carries::Ip(Some(0x0806)))),
        ("pppoe", carrying(&[0x8100], Carries::Pppoe(0x1100, None))),
        ("mpls-eight-labels", carrying(&[], Carries::Mpls(0x8847, 8))),
        ("mpls-nine-labels", carrying(&[], Carries::Mpls(0x8847, 9))),
        ("raw", with(Link::Raw(101))),
        (
            "ethernet-tag-9200",
            carrying(&[0x9200, 0x8100], Carries::Ip(None)),
        ),
        ("vn-tag", carrying(&[0x8926], Carries::Ip(None))),
        ("e-tag", carrying(&[0x893f, 0x8100], Carries::Ip(None))),
        ("time-tag", carrying(&[0x8988], Carries::Ip(None))),
        ("snap", carrying(&[], Carries::Snap(28, 0, None))),
        (
            "snap-bridged",
            carrying(&[0x8100], Carries::Snap(28, 0xf8, None)),
        ),
        (
            "snap-of-a-vendor",
            carrying(&[], Carries::Snap(28, 0x0c, None)),
        ),
        ("cisco-hdlc", with(Link::CiscoHdlc(None))),
        ("ppp", with(ppp(9, true, false))),
        ("ppp-compressed", with(ppp(9, false, true))),
        ("ppp-serial", with(ppp(50, true, false))),
        ("pppoe-session", with(Link::PppoeSession(0x1100, None))),
        ("nflog", with(nflog(false, Some(13)))),
        ("nflog-big-endian", with(nflog(true, None))),
        ("linux-cooked-1", with(Link::Sll(None))),
        ("linux-cooked-2", with(Link::Sll2(None))),
        ("loopback-little-endian", with(loopback(false))),
        ("loopback-ipv6", v6_loopback),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Prefixes, judge};

    #[test]
    fn names_are_unique_and_nearly_all_frames_are_dark() {
        let all = all();
        let mut names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
        let dark = Prefixes::new(&["198.18.0.0/15", "2001:db8::/32"], &[]);
        let passed: Vec<_> = all
            .iter()
            .filter(|(_, frame)| {
                judge(&dark, frame.link, &frame.octets, frame.wire_bytes).is_none()
            })
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(
            passed,
            [
                "ethernet-five-tags",
                "ethernet-arp",
                "mpls-nine-labels",
                "snap-of-a-vendor"
            ]
        );
    }
}
