//! What lies below IP in captures: tags, SNAP, provider bridging, serial lines, logs and tunnels. Each
//! SYN is counted where it can be read, and each frame that cannot is named.

use noctule_counters::summary::{Summary, UnparsedCount};
use noctule_testkit::frames::{ADDRESSES, DARK, ethernet, syn, write_one};
use noctule_testkit::program::replay;

/// An IPv4 datagram with a SYN to a dark address.
fn datagram() -> Vec<u8> {
    syn(7, DARK, 23).split_off(14)
}

/// The summary of a capture of one frame, read with these arguments.
fn summary(link: u32, octets: Vec<u8>, arguments: &[&str]) -> Summary {
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = write_one(here.path(), link, octets);
    let dark = ["--prefix", "198.18.0.0/15"];
    replay([&dark[..], arguments, &[&capture]].concat())
        .success()
        .summary()
}

/// Asserts that the frame is dark, and that its bytes are those of the datagram.
fn is_dark(what: &str, link: u32, octets: Vec<u8>, arguments: &[&str]) {
    let summary = summary(link, octets, arguments);
    let counts = (summary.records, summary.dark_packets, summary.dark_bytes);
    assert_eq!(counts, (1, 1, 40), "{what}: {:?}", summary.unparsed);
    assert_eq!(summary.unparsed, [], "{what}");
    assert_eq!(summary.cells[0].port, Some(23), "{what}");
}

/// What a frame is that is passed.
fn named(what: &str, link: u32, octets: Vec<u8>, arguments: &[&str]) -> UnparsedCount {
    let length = octets.len() as u64;
    let summary = summary(link, octets, arguments);
    assert_eq!(
        (summary.dark_packets, summary.passed_packets),
        (0, 1),
        "{what}"
    );
    let [one] = &summary.unparsed[..] else {
        panic!("{what}: {:?}", summary.unparsed);
    };
    assert_eq!((one.packets, one.bytes), (1, length), "{what}");
    one.clone()
}

#[test]
fn headers_that_are_always_read() {
    let ip = datagram();
    let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &ip].concat();
    let length = (snap.len() as u16).to_be_bytes();
    let bridged = [&[0xaa, 0xaa, 3, 0, 0, 0xf8, 8, 0][..], &ip].concat();
    for (what, octets) in [
        ("SNAP", ethernet(&[&length, &snap])),
        (
            "SNAP behind a tag",
            ethernet(&[&[0x81, 0, 0, 5], &length, &snap]),
        ),
        ("SNAP of a bridge", ethernet(&[&length, &bridged])),
        (
            "a tag behind SNAP",
            ethernet(&[&length, &snap[..6], &[0x81, 0, 0, 5, 8, 0], &ip]),
        ),
        (
            "0x9200",
            ethernet(&[&[0x92, 0, 0, 100, 0x81, 0, 0, 10, 8, 0], &ip]),
        ),
        ("VN-Tag", ethernet(&[&[0x89, 0x26, 0, 0, 0, 1, 8, 0], &ip])),
        (
            "VN-Tag, VLAN",
            ethernet(&[&[0x89, 0x26, 0, 0, 0, 1, 0x81, 0, 0, 5, 8, 0], &ip]),
        ),
        (
            "E-Tag",
            ethernet(&[&[0x89, 0x3f, 0, 0, 0, 1, 0, 0, 8, 0], &ip]),
        ),
        (
            "time of 32 bits",
            ethernet(&[&[0x89, 0x88, 0, 0, 0, 1, 8, 0], &ip]),
        ),
        (
            "time of 48 bits",
            ethernet(&[&[0x89, 0x88, 0, 0, 0, 1, 8, 0, 8, 0], &ip]),
        ),
    ] {
        is_dark(what, 1, octets, &[]);
    }
    let cooked = |kind: [u8; 2], behind: &[u8]| [&[0; 14][..], &kind, behind].concat();
    is_dark("LLC, cooked", 113, cooked([0, 4], &snap), &[]);
    let cooked2 = [&[0, 4][..], &[0; 18], &snap].concat();
    is_dark("LLC, cooked, version 2", 276, cooked2, &[]);
    let novell = named("802.3, cooked", 113, cooked([0, 1], &snap), &[]);
    assert_eq!(
        (novell.kind.as_str(), novell.number),
        ("ethertype", Some(1))
    );
}

#[test]
fn serial_lines_and_logs() {
    let ip = datagram();
    let log = |order: fn(u16) -> [u8; 2]| {
        let prefix = [order(8), order(10), [0x6e, 0x66], [0; 2]].concat();
        let head = [order(44), order(9)].concat();
        [&[2, 0, 0, 5][..], &prefix, &head, &ip].concat()
    };
    let with = |head: &[u8]| [head, &ip].concat();
    for (what, link, octets) in [
        ("Cisco HDLC", 104, with(&[0x0f, 0, 8, 0])),
        (
            "Cisco HDLC, tagged",
            104,
            with(&[0x8f, 0, 0x81, 0, 0, 5, 8, 0]),
        ),
        ("PPP", 9, with(&[0xff, 3, 0, 0x21])),
        ("PPP without framing", 9, with(&[0, 0x21])),
        ("PPP, compressed", 9, with(&[0x21])),
        ("PPP, framed and compressed", 50, with(&[0xff, 3, 0x21])),
        ("PPP, serial", 50, with(&[0xff, 3, 0, 0x21])),
        ("Cisco's framing, serial", 50, with(&[0x0f, 0, 8, 0])),
        (
            "MPLS over PPP",
            9,
            with(&[0xff, 3, 2, 0x81, 0, 1, 0x31, 64]),
        ),
        ("PPPoE alone", 51, with(&[0x11, 0, 0, 1, 0, 42, 0, 0x21])),
        ("NFLOG", 239, with(&[2, 0, 0, 0, 44, 0, 9, 0])),
        ("NFLOG with a prefix", 239, log(u16::to_le_bytes)),
        ("NFLOG of a big-endian machine", 239, log(u16::to_be_bytes)),
    ] {
        is_dark(what, link, octets, &[]);
    }
    let lcp = named("LCP", 9, vec![0xff, 3, 0xc0, 0x21, 1, 1], &[]);
    assert_eq!((lcp.kind.as_str(), lcp.number), ("ppp", Some(0xc021)));
    let bridge = named("a bridge's log", 239, with(&[7, 0, 0, 0, 44, 0, 9, 0]), &[]);
    assert_eq!((bridge.kind.as_str(), bridge.number), ("nflog", Some(7)));
    let endless = named("an attribute of 0", 239, vec![2, 0, 0, 0, 0, 0, 1, 0], &[]);
    assert_eq!(endless.kind, "nflog");
}

/// What a frame is called, its octets, the setting that reads it, and kind and number without it.
type Case = (&'static str, Vec<u8>, [&'static str; 2], &'static str, u32);

#[test]
fn what_a_setting_reads_is_named_without_it() {
    let ip = datagram();
    let inner = syn(7, DARK, 23);
    let label = [0, 1, 0x31, 0xff];
    let mut gateway = inner.clone();
    gateway[..6].copy_from_slice(&[0, 0, 0x5e, 0, 1, 1]);
    let mut as_ip = inner.clone();
    as_ip[0] = 0x45;
    let tag = ethernet(&[&[0x82, 0, 0, 100, 0x81, 0, 0, 10, 8, 0], &ip]);
    let pbb = ethernet(&[&[0x88, 0xe7, 0, 0, 0, 10], &inner]);
    let mpls = |behind: &[&[u8]]| ethernet(&[&[0x88, 0x47], &label, &behind.concat()]);
    let b_tag = ethernet(&[&[0x88, 0xa8, 0, 9, 0x88, 0xe7, 0, 0, 0, 10], &inner]);
    let cases: [Case; 7] = [
        ("tag", tag, ["--outer-tag", "0x8200"], "ethertype", 0x8200),
        ("PBB", pbb, ["--inner-ethernet", "pbb"], "ethertype", 0x88e7),
        (
            "PBB, B-tag",
            b_tag,
            ["--inner-ethernet", "pbb"],
            "ethertype",
            0x88e7,
        ),
        (
            "EoMPLS",
            mpls(&[&inner]),
            ["--inner-ethernet", "eompls"],
            "mpls_payload",
            0,
        ),
        (
            "control word",
            mpls(&[&[0; 4], &inner]),
            ["--inner-ethernet", "eompls"],
            "mpls_payload",
            0,
        ),
        (
            "to a gateway",
            mpls(&[&gateway]),
            ["--inner-ethernet", "eompls"],
            "mpls_payload",
            0,
        ),
        (
            "sequence",
            mpls(&[&[0, 0, 8, 0], &gateway]),
            ["--inner-ethernet", "eompls"],
            "mpls_payload",
            0,
        ),
    ];
    for (what, octets, setting, kind, number) in cases {
        let one = named(what, 1, octets.clone(), &[]);
        assert_eq!(
            (one.kind.as_str(), one.number),
            (kind, Some(number)),
            "{what}"
        );
        is_dark(what, 1, octets, &setting);
    }
    // An address that begins as IPv4 does.
    is_dark("0x45", 1, mpls(&[&as_ip]), &["--inner-ethernet", "eompls"]);
    // Labels that carry IP are read in either case.
    is_dark("IP", 1, mpls(&[&ip]), &[]);
    is_dark("IP", 1, mpls(&[&ip]), &["--inner-ethernet", "pbb,eompls"]);
}

/// An IPv4 datagram of this protocol for the tunnel's endpoint.
fn to_endpoint(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len() as u16).to_be_bytes();
    let head = [
        0x45, 0, length[0], length[1], 0, 1, 0, 0, 64, protocol, 0, 0,
    ];
    let addresses = [192, 0, 2, 9, 192, 0, 2, 1];
    ethernet(&[&[8, 0], &head, &addresses, payload])
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len() as u16).to_be_bytes();
    let head = [[0xc3, 0x50], port.to_be_bytes(), length, [0; 2]].concat();
    to_endpoint(17, &[&head, payload].concat())
}

#[test]
fn geneve_gtp_and_a_mirror_with_time_tags() {
    let ip = datagram();
    let frame = syn(7, DARK, 23);
    let opened = |kind| ["--decapsulate", kind, "--tunnel-endpoint", "192.0.2.1"];
    let options = [
        &[0x81, 0x40, 0x65, 0x58, 0, 0, 1, 0, 0, 0, 0, 0][..],
        &frame,
    ]
    .concat();
    for (what, payload) in [
        (
            "Ethernet",
            [&[0, 0, 0x65, 0x58, 0, 0, 1, 0][..], &frame].concat(),
        ),
        ("IPv4", [&[0, 0, 8, 0, 0, 0, 1, 0][..], &ip].concat()),
        (
            "a critical option",
            [&[1, 0x40][..], &options[2..]].concat(),
        ),
    ] {
        is_dark(what, 1, udp(6081, &payload), &opened("geneve"));
        let passed = summary(1, udp(6081, &payload), &[]);
        assert_eq!(
            (passed.passed_packets, passed.unparsed),
            (1, vec![]),
            "{what}"
        );
    }
    let unread = named("version 2", 1, udp(6081, &options), &opened("geneve"));
    assert_eq!((unread.kind.as_str(), unread.number), ("tunnel", Some(17)));
    let control = [&[0, 0x80, 0x65, 0x58, 0, 0, 1, 0][..], &frame].concat();
    let control = summary(1, udp(6081, &control), &opened("geneve"));
    assert_eq!((control.passed_packets, control.unparsed), (1, vec![]));

    let gtp = |flags, message, more: &[u8]| {
        let head = [flags, message, 0, 40, 0, 0, 0, 9];
        udp(2152, &[&head[..], more, &ip].concat())
    };
    for (what, octets) in [
        ("plain", gtp(0x30, 255, &[])),
        ("sequence", gtp(0x32, 255, &[0, 1, 0, 0])),
        (
            "PDU session",
            gtp(0x34, 255, &[0, 0, 0, 0x85, 1, 0x10, 9, 0]),
        ),
        (
            "two headers",
            gtp(
                0x34,
                255,
                &[0, 0, 0, 0x85, 1, 0, 9, 0x40, 2, 0, 0, 0, 0, 0, 0, 0],
            ),
        ),
    ] {
        is_dark(what, 1, octets, &opened("gtp"));
    }
    let echo = summary(1, gtp(0x32, 1, &[0, 1, 0, 0]), &opened("gtp"));
    assert_eq!((echo.passed_packets, echo.unparsed), (1, vec![]));
    for (what, octets) in [
        ("version 2", gtp(0x50, 255, &[])),
        (
            "an endless chain",
            gtp(0x34, 255, &[0, 0, 0, 0x85, 0, 0, 0, 0]),
        ),
        (
            "five headers",
            gtp(
                0x34,
                255,
                &[&[0, 0, 0, 1][..], &[1, 0, 0, 1].repeat(4), &[1, 0, 0, 0]].concat(),
            ),
        ),
    ] {
        let unread = named(what, 1, octets, &opened("gtp"));
        assert_eq!(
            (unread.kind.as_str(), unread.number),
            ("tunnel", Some(17)),
            "{what}"
        );
    }

    let mirrored = |behind: &[u8]| {
        let gre = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0, 1, 0, 5, 0, 0, 0, 0];
        to_endpoint(47, &[&gre[..], &ADDRESSES, behind].concat())
    };
    let timed = [&[0x89, 0x88, 0, 0, 0, 1, 8, 0][..], &ip].concat();
    is_dark("time tag in ERSPAN", 1, mirrored(&timed), &opened("erspan"));
    let arp = named(
        "ARP in ERSPAN",
        1,
        mirrored(&[8, 6, 0, 1]),
        &opened("erspan"),
    );
    assert_eq!((arp.kind.as_str(), arp.number), ("ethertype", Some(0x0806)));
}
