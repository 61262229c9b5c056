//! A darknet that reaches its sensor through a tunnel: what is inside is counted as if there were
//! no tunnel, and the tunnel's own traffic passes.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use noctule_counters::summary::Summary;
use noctule_packet::link::LinkType;
use noctule_packet::tunnel::TunnelKind;
use noctule_testkit::collector::Collector;
use noctule_testkit::frames::{self, DARK, DARK_PREFIX, Frame, syn, with_ethernet};
use noctule_testkit::program::{LIMIT, Running, noctule, replay};
use noctule_testkit::store::{LedgerRow, account, ledger};
use noctule_testkit::tunnel::{self, DEVICE, End, GRE, gre, wrap};
use noctule_testkit::wire::{DARK_END, SENDER_END, Wire, one_at_a_time, run};
use noctule_testkit::{compare, data, wait_until};

/// The tunnel's outer addresses.
const SENSOR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const SENDER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Its addresses inside, which are not dark.
const INNER_SENSOR: &str = "10.99.0.2";
const INNER_SENDER: &str = "10.99.0.1";

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn total(ledger: &[LedgerRow], name: &str) -> i64 {
    ledger.iter().map(|row| row.get(name)).sum()
}

/// Both ends of a tunnel of a kind that this kernel has no device for.
fn own_tunnel(wire: &Wire, kind: TunnelKind) -> [End; 2] {
    let cidr = |address: &str| format!("{address}/24");
    [
        End::start(&wire.sensor, kind, &cidr(INNER_SENSOR), [SENSOR, SENDER]),
        End::start(&wire.sender, kind, &cidr(INNER_SENDER), [SENDER, SENSOR]),
    ]
}

/// A tunnel of Linux's own VXLAN devices.
fn vxlan_devices(wire: &Wire) {
    for (namespace, interface, inner, local, remote) in [
        (&wire.sensor, DARK_END, INNER_SENSOR, SENSOR, SENDER),
        (&wire.sender, SENDER_END, INNER_SENDER, SENDER, SENSOR),
    ] {
        let (local, remote) = (local.to_string(), remote.to_string());
        let add = ["link", "add", DEVICE, "type", "vxlan", "id", "7"];
        let ends = ["local", &local, "remote", &remote, "dstport", "4789"];
        run(
            namespace,
            "ip",
            &[&add[..], &ends, &["dev", interface]].concat(),
        );
        tunnel::bring_up(namespace, &format!("{inner}/24"));
    }
}

/// Sends SYNs into the dark prefix through a tunnel, while both of its ends ping each other
/// through it and, over GRE, ask whether the other is alive.
fn a_sensor_behind(test: &str, kind: TunnelKind) {
    const PACKETS: u32 = 6_000;
    const PINGS: u64 = 20;
    let Some(wire) = Wire::new(test, 1) else {
        return;
    };
    let _alone = one_at_a_time();
    wire.with_addresses(&format!("{SENSOR}/24"), &format!("{SENDER}/24"));
    let ends = if kind == TunnelKind::Vxlan {
        vxlan_devices(&wire);
        None
    } else {
        Some(own_tunnel(&wire, kind))
    };
    let endpoint = SENSOR.to_string();
    let dark = ["--prefix", DARK_PREFIX, "--interval", "1"];
    let opened = ["--decapsulate", kind.name(), "--tunnel-endpoint", &endpoint];
    let mut collector = Collector::start(&wire, 1, [dark, opened].concat());

    let mut ping = wire.sender.prepare("ping");
    ping.args(["-n", "-q", "-c", &PINGS.to_string(), "-i", "0.1", "-W", "5"]);
    let ping = Running::start(ping.arg(INNER_SENSOR));
    let ethernet = matches!(kind, TunnelKind::Vxlan | TunnelKind::Erspan);
    let syns = (0..PACKETS).map(|number| {
        let mut frame = syn(number, DARK, 23);
        frame.drain(..if ethernet { 0 } else { 14 });
        frame
    });
    let sent = wire.send_over(DEVICE, syns, 2_500);
    if let (TunnelKind::Gre, Some(ends)) = (kind, &ends) {
        for end in ends {
            (0..3).for_each(|_| end.send_keep_alive());
            wait_until("keep-alives are answered", Duration::from_secs(10), || {
                end.keep_alives() == 3
            });
        }
    }
    let said = ping.wait(LIMIT).success().stdout;
    assert!(
        said.contains(&format!("{PINGS} received, 0% packet loss")),
        "{said}"
    );
    collector.wait_for(sent);
    let (ended, store) = collector.stop();
    ends.into_iter().flatten().for_each(End::end);

    let summary = ended.success().summary();
    let ledger = store.ledger();
    let sums = account(&ledger);
    assert_eq!(
        (sums.matched, sums.counted, sums.lost),
        (sent as i64, sent as i64, 0)
    );
    compare::assert_adds_up(test, &summary);
    assert_eq!(summary.dark_bytes, sent * 40, "octets of inner datagrams");
    assert_eq!(summary.sources, Some(sent));
    assert!(
        matches!(&summary.cells[..], [cell] if cell.port == Some(23) && cell.protocol == "tcp"),
        "{:?}",
        summary.cells
    );
    let passed = total(&ledger, "passed_packets");
    assert!(passed >= PINGS as i64, "{passed} passed");
    // A keep-alive of the sender's is opened; the answer to one of the sensor's cannot be.
    let not_parsed = total(&ledger, "not_parsed_packets");
    let keep_alives = if kind == TunnelKind::Gre { 3 } else { 0 };
    assert!(not_parsed >= keep_alives, "{not_parsed} not parsed");
}

#[test]
fn a_sensor_behind_gre() {
    a_sensor_behind("a_sensor_behind_gre", TunnelKind::Gre);
}

#[test]
fn a_sensor_behind_ipip() {
    a_sensor_behind("a_sensor_behind_ipip", TunnelKind::Ipip);
}

#[test]
fn a_sensor_behind_vxlan() {
    a_sensor_behind("a_sensor_behind_vxlan", TunnelKind::Vxlan);
}

#[test]
fn a_sensor_behind_erspan() {
    a_sensor_behind("a_sensor_behind_erspan", TunnelKind::Erspan);
}

/// The frames of a capture, each in a tunnel packet to the endpoints in turn; what the kind cannot
/// carry stays as it is.
fn wrapped(kind: TunnelKind, frames: &[Frame]) -> Vec<Frame> {
    let six = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
    let wrapped = (0..).zip(frames).map(|(number, frame)| {
        let octets = match wrap(kind, number, &frame.octets) {
            Some((protocol, carried)) if number % 3 == 0 => {
                with_ethernet(&tunnel::ipv6(protocol, six(1), six(2), &carried))
            }
            Some((protocol, carried)) => {
                with_ethernet(&tunnel::ipv4(protocol, SENDER, SENSOR, &carried))
            }
            None => frame.octets.clone(),
        };
        Frame {
            octets,
            ..frame.clone()
        }
    });
    wrapped.collect()
}

/// The summary without the sizes of frames that were not parsed, which a tunnel's headers change.
fn sizeless(mut summary: Summary) -> Summary {
    summary.unparsed.iter_mut().for_each(|one| one.bytes = 0);
    summary.repeats = None;
    summary
}

/// What opens every tunnel of [`wrapped`].
fn opening(kind: TunnelKind) -> [&'static str; 6] {
    let ends = ["--tunnel-endpoint", "192.0.2.2", "--tunnel-endpoint"];
    let [a, b, c] = ends;
    ["--decapsulate", kind.name(), a, b, c, "2001:db8::2"]
}

#[test]
fn a_capture_counts_the_same_inside_of_every_tunnel() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("plain.pcap");
    let dark = ["--prefix", "198.18.0.0/16", "--prefix", "2001:db8:77::/48"];
    let mut make = noctule(["synth", "--packets", "20000", "--sources", "900"]);
    make.args(dark).arg("--out").arg(&capture);
    Running::start(&mut make).wait(LIMIT).success();
    let plain = replay([&dark[..], &[text(&capture)]].concat());
    let plain = sizeless(plain.success().summary());
    assert!(plain.dark_packets > 15_000, "{}", plain.dark_packets);
    let frames = frames::read(&capture);
    for kind in TunnelKind::ALL {
        let path = here.path().join(format!("{kind}.pcap"));
        frames::write(&path, &wrapped(kind, &frames));
        for workers in ["1", "2"] {
            let more = ["--workers", workers, text(&path)];
            let found = replay([&dark[..], &opening(kind), &more].concat());
            let found = sizeless(found.success().summary());
            compare::assert_same(kind.name(), &plain, &found);
        }
        let closed = replay([&dark[..], &[text(&path)]].concat());
        let closed = closed.success().summary();
        assert_eq!((closed.records, closed.dark_packets), (plain.records, 0));
    }
}

#[test]
fn what_cannot_be_opened_is_passed_and_said() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("capture.pcap");
    let inner = &syn(1, DARK, 23)[14..];
    let to_sensor = |payload: &[u8]| tunnel::ipv4(GRE, SENDER, SENSOR, payload);
    let good = to_sensor(&gre(0, 0x0800, &[], inner));
    let mut fragment = good.clone();
    fragment[6] = 0x20;
    let datagrams = [
        good.clone(),
        fragment,
        to_sensor(&gre(0, 0, &[], &[])),
        good[..40].to_vec(),
        to_sensor(&gre(0, 0x0800, &[], &good)),
        tunnel::ipv4(6, SENDER, SENSOR, &[0; 20]),
        tunnel::ipv4(GRE, SENDER, DARK, &gre(0, 0x0800, &[], inner)),
    ];
    let frames: Vec<_> = (datagrams.iter())
        .map(|datagram| Frame {
            time_us: 1_700_000_000_000_000,
            link: LinkType::Ethernet,
            octets: with_ethernet(datagram),
        })
        .collect();
    frames::write(&capture, &frames);
    let run = |name: &str, more: &[&str]| {
        let folder = here.path().join(name);
        let common = ["--prefix", DARK_PREFIX, "--store", text(&folder)];
        let ended = replay([&common, more, &[text(&capture)]].concat());
        let summary = ended.success().summary();
        let rows = ledger(&folder);
        let counts = ["counted_packets", "passed_packets", "not_parsed_packets"];
        (summary, counts.map(|name| total(&rows, name)))
    };
    let (summary, counts) = run("opened", &opening(TunnelKind::Gre));
    // A tunnel in the tunnel and TCP are passed; GRE to a dark address is a packet of its own.
    assert_eq!(counts, [2, 2, 3]);
    let protocols: Vec<_> = summary.by_protocol.keys().map(String::as_str).collect();
    assert_eq!(protocols, ["47", "tcp"]);
    assert_eq!(run("closed", &[]).1, [1, 6, 0]);
    assert_eq!(run("another", &opening(TunnelKind::Vxlan)).1, [1, 6, 0]);
}

#[test]
fn of_gre_within_gre_one_level_is_opened() {
    let Some(folder) = data::folder("of_gre_within_gre_one_level_is_opened") else {
        return;
    };
    let capture = folder.join("pcaps/hard/zeek-gre-within-gre.pcap");
    let dark = |prefix: &str, endpoint: &str| {
        let opened = ["--decapsulate", "gre", "--tunnel-endpoint", endpoint];
        let all = [&["--prefix", prefix][..], &opened, &[text(&capture)]].concat();
        replay(all).success().summary()
    };
    // 72.205.54.70 -> 86.106.164.150, in it 10.10.11.2 -> 10.10.13.2, in it a ping.
    let level = dark("10.10.13.2/32", "86.106.164.150");
    assert!(level.dark_packets > 5, "{}", level.dark_packets);
    let protocols: Vec<_> = level.by_protocol.iter().collect();
    assert_eq!(protocols, [(&"47".to_owned(), &level.dark_packets)]);
    // 162 or 174 octets of frame, without Ethernet, outer IP and GRE.
    let octets = level.dark_bytes / level.dark_packets;
    assert!((124..=136).contains(&octets), "{octets}");
    assert_eq!(dark("192.168.1.0/24", "86.106.164.150").dark_packets, 0);
    assert_eq!(dark("10.10.13.2/32", "192.0.2.1").dark_packets, 0);
}

#[test]
fn mistakes_in_tunnels_are_told_on_one_line() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let capture = here.path().join("good.pcap");
    frames::write_syns(&capture, &[1_700_000_000]);
    let refused = |more: &[&str], parts: &[&str]| {
        let ended = replay([&["--prefix", DARK_PREFIX], more, &[text(&capture)]].concat());
        assert_eq!(ended.code(), 1);
        for part in parts {
            assert!(ended.error().contains(part), "{}", ended.error());
        }
    };
    refused(
        &["--decapsulate", "gre"],
        &["no tunnel endpoint", "--tunnel-endpoint ADDRESS"],
    );
    let end = ["--tunnel-endpoint", "192.0.2.2"];
    refused(&end, &["no kind of tunnel", "--decapsulate KIND"]);
    refused(
        &["--decapsulate", "gre", "--tunnel-endpoint", "198.18.9.9"],
        &["198.18.9.9 lies in the darknet", "--exclude 198.18.9.9"],
    );
    refused(
        &[&["--decapsulate", "gre,l2tp"], &end[..]].concat(),
        &["\"l2tp\"", "gre, ipip, vxlan, erspan"],
    );
    let twice = [&end[..], &end, &["--decapsulate", "gre"]].concat();
    refused(&twice, &["192.0.2.2", "more than once", "remove"]);
    let config = here.path().join("noctule.toml");
    let ends: Vec<_> = (0..65).map(|n| format!("\"192.0.2.{n}\"")).collect();
    let settings = format!(
        "decapsulate = [\"ipip\"]\ntunnel_endpoints = [{}]\n",
        ends.join(", ")
    );
    fs::write(&config, settings).expect("room for a file");
    refused(&["--config", text(&config)], &["65", "at most 64"]);
}
