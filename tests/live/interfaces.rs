//! `noctule run` on interfaces of many kinds: what each delivers is counted, or refused by name with
//! what to use instead.

use std::time::Duration;

use noctule_testkit::collector::Collector;
use noctule_testkit::frames::{DARK, DARK_PREFIX, syn};
use noctule_testkit::netns::tun::{Layer, Tun};
use noctule_testkit::program::{LIMIT, Running, binary};
use noctule_testkit::store::account;
use noctule_testkit::wait_until;
use noctule_testkit::wire::{DARK_END, SENDER_END, Wire, one_at_a_time, run};

/// What `noctule run` says when it refuses to start.
fn refusal(wire: &Wire, arguments: &[&str]) -> String {
    let mut command = wire.at_sensor(&binary().display().to_string());
    command
        .args(["run", "--prefix", DARK_PREFIX])
        .args(arguments);
    let ended = Running::start(&mut command).wait(LIMIT);
    let text = ended.error().to_owned();
    assert_eq!(ended.code(), 1, "{text}");
    text
}

fn ip(wire: &Wire, line: &str) {
    let arguments: Vec<_> = line.split(' ').collect();
    run(&wire.sensor, "ip", &arguments);
}

#[test]
fn a_tun_devices_packets_are_counted() {
    const PACKETS: u32 = 400;
    let Some(wire) = Wire::new("a_tun_devices_packets_are_counted", 1) else {
        return;
    };
    let _alone = one_at_a_time();
    let tun = {
        let _inside = wire
            .sensor
            .enter()
            .unwrap_or_else(|error| panic!("{error}"));
        Tun::open("tun0", Layer::Ip).unwrap_or_else(|error| panic!("{error}"))
    };
    ip(&wire, "link set dev tun0 up");
    let text = refusal(&wire, &["--interface", "tun0", "--mode", "copy"]);
    assert!(
        text.contains("tun0 has no Ethernet header") && text.contains("--mode generic"),
        "{text}"
    );

    let arguments = [
        "--interface",
        "tun0",
        "--prefix",
        DARK_PREFIX,
        "--interval",
        "1",
    ];
    let mut collector = Collector::start_on(&wire, 1, arguments);
    for number in 0..PACKETS {
        // The device takes datagrams.
        tun.send(&syn(number, DARK, 23)[14..])
            .unwrap_or_else(|error| panic!("{error}"));
        let passed = syn(number, [192, 0, 2, 1].into(), 23);
        tun.send(&passed[14..])
            .unwrap_or_else(|error| panic!("{error}"));
    }
    collector.wait_for(PACKETS.into());
    let said = collector.stderr();
    assert!(said.contains("tun0 queue 0: generic"), "{said}");
    let (ended, store) = collector.stop();
    let summary = ended.success().summary();
    assert_eq!(summary.dark_packets, u64::from(PACKETS));
    assert_eq!(summary.dark_bytes, u64::from(PACKETS) * 40);
    let ledger = store.ledger();
    assert!(ledger.iter().all(|row| row.interface == "tun0"));
    let total = |name| ledger.iter().map(|row| row.get(name)).sum::<i64>();
    assert_eq!(total("matched_bytes"), i64::from(PACKETS) * 40);
    // Neighbour discovery and the like may pass, too.
    assert!(total("passed_packets") >= i64::from(PACKETS));
    assert_eq!(account(&ledger).lost, 0);
}

#[test]
fn stacked_interfaces_are_refused_with_what_to_use_instead() {
    let test = "stacked_interfaces_are_refused_with_what_to_use_instead";
    let Some(wire) = Wire::new(test, 1) else {
        return;
    };
    ip(&wire, "link add br0 type bridge");
    ip(&wire, "link set dev br0 up");
    let text = refusal(&wire, &["--interface", "br0"]);
    assert!(text.contains("br0 is a bridge without members"), "{text}");
    ip(&wire, &format!("link set dev {DARK_END} master br0"));
    for mode in ["auto", "generic"] {
        let text = refusal(&wire, &["--interface", "br0", "--mode", mode]);
        assert!(
            text.contains("br0 is a bridge of dark0") && text.ends_with("use --interface dark0"),
            "{text}"
        );
    }
    ip(&wire, &format!("link set dev {DARK_END} nomaster"));
    // This kernel may lack the other kinds; unit tests have them all.
    for kind in ["macvlan", "vlan", "ipvlan"] {
        let id = if kind == "vlan" { " id 5" } else { "" };
        let add = format!("link add link {DARK_END} name up0 type {kind}{id}");
        let arguments: Vec<_> = add.split(' ').collect();
        if wire.sensor.command("ip", &arguments).is_err() {
            continue;
        }
        ip(&wire, "link set dev up0 up");
        let text = refusal(&wire, &["--interface", "up0"]);
        assert!(
            text.contains("up0 is a") && text.contains("use --interface dark0"),
            "{text}"
        );
        ip(&wire, "link del up0");
    }
    let text = refusal(&wire, &["--interface", "dark1"]);
    assert!(
        text.contains("dark1 does not exist: did you mean dark0?"),
        "{text}"
    );
    let text = refusal(&wire, &["--interface", DARK_END, "--interface", DARK_END]);
    assert!(text.contains("dark0 is named twice"), "{text}");
}

#[test]
fn an_alternative_name_is_found() {
    let Some(wire) = Wire::new("an_alternative_name_is_found", 1) else {
        return;
    };
    let _alone = one_at_a_time();
    let long = "uplink-of-the-darknet-in-the-basement";
    ip(
        &wire,
        &format!("link property add dev {DARK_END} altname {long}"),
    );
    let text = refusal(&wire, &["--interface", DARK_END, "--interface", long]);
    assert!(text.contains("dark0 is named twice"), "{text}");
    let arguments = [
        "--interface",
        long,
        "--prefix",
        DARK_PREFIX,
        "--interval",
        "1",
    ];
    let mut collector = Collector::start_on(&wire, 1, arguments);
    wire.send((0..50).map(|number| syn(number, DARK, 23)), 20_000);
    collector.wait_for(50);
    let (ended, store) = collector.stop();
    assert_eq!(ended.success().summary().dark_packets, 50);
    assert!(store.ledger().iter().all(|row| row.interface == DARK_END));
}

/// How many sockets and programs have requested promiscuous mode.
fn promiscuity(wire: &Wire) -> String {
    let output = run(
        &wire.sensor,
        "ip",
        &["-d", "-o", "link", "show", "dev", DARK_END],
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split_whitespace();
    words.find(|word| *word == "promiscuity");
    words.next().unwrap_or_default().to_owned()
}

#[test]
fn promiscuous_mode_lasts_as_long_as_the_collector() {
    let Some(wire) = Wire::new("promiscuous_mode_lasts_as_long_as_the_collector", 1) else {
        return;
    };
    let _alone = one_at_a_time();
    let arguments = ["--prefix", DARK_PREFIX, "--interval", "1", "--promiscuous"];
    assert_eq!(promiscuity(&wire), "0");
    let mut collector = Collector::start(&wire, 1, arguments);
    assert_eq!(promiscuity(&wire), "1");
    // Every frame of `syn` goes to a MAC address that no interface has.
    wire.send((0..50).map(|number| syn(number, DARK, 23)), 20_000);
    collector.wait_for(50);
    let (ended, _store) = collector.stop();
    assert_eq!(ended.success().summary().dark_packets, 50);
    assert_eq!(promiscuity(&wire), "0");
    // However it ends.
    let collector = Collector::start(&wire, 1, arguments);
    assert_eq!(promiscuity(&wire), "1");
    collector.signal("KILL");
    collector.end();
    wait_until("promiscuous mode has ended", LIMIT, || {
        promiscuity(&wire) == "0"
    });
}

#[test]
fn an_mtu_of_9000_is_counted_whole() {
    let Some(wire) = Wire::new("an_mtu_of_9000_is_counted_whole", 1) else {
        return;
    };
    let _alone = one_at_a_time();
    for (namespace, interface) in [(&wire.sensor, DARK_END), (&wire.sender, SENDER_END)] {
        run(
            namespace,
            "ip",
            &["link", "set", "dev", interface, "mtu", "9000"],
        );
    }
    let arguments = ["--prefix", DARK_PREFIX, "--interval", "1"];
    let mut collector = Collector::start(&wire, 1, arguments);
    let said = collector.stderr();
    assert!(said.contains("arrive in fragments"), "{said}");
    let mut bytes = 0;
    let frames: Vec<_> = (0..300u32)
        .map(|number| {
            let mut frame = syn(number, DARK, 23);
            let datagram = [40, 1500, 4000, 9000][number as usize % 4];
            frame[16..18].copy_from_slice(&u16::to_be_bytes(datagram));
            frame.resize(14 + usize::from(datagram), 0);
            bytes += u64::from(datagram);
            frame
        })
        .collect();
    wire.send(&frames, 5_000);
    collector.wait_for(300);
    let (ended, store) = collector.stop();
    let summary = ended.success().summary();
    assert_eq!((summary.dark_packets, summary.dark_bytes), (300, bytes));
    let ledger = store.ledger();
    let matched: i64 = ledger.iter().map(|row| row.get("matched_bytes")).sum();
    assert_eq!(matched as u64, bytes + 300 * 14);
    assert_eq!(account(&ledger).lost, 0);
}

#[test]
fn a_hint_says_that_nothing_arrives_or_nothing_dark() {
    let Some(wire) = Wire::new("a_hint_says_that_nothing_arrives_or_nothing_dark", 1) else {
        return;
    };
    let _alone = one_at_a_time();
    let arguments = [
        "--prefix",
        DARK_PREFIX,
        "--interval",
        "1",
        "--hint-after",
        "2",
    ];
    let collector = Collector::start(&wire, 1, arguments);
    let says = |text: &str| {
        wait_until(text, LIMIT, || collector.stderr().contains(text));
    };
    says("dark0: no frame at all in 2 s (it has a link)");
    run(
        &wire.sender,
        "ip",
        &["link", "set", "dev", SENDER_END, "down"],
    );
    says("dark0 has no link");
    run(
        &wire.sender,
        "ip",
        &["link", "set", "dev", SENDER_END, "up"],
    );
    says("dark0 has a link again");
    let passed = (0..7).map(|number| syn(number, [192, 0, 2, 1].into(), 23));
    wire.send(passed, 20_000);
    says("dark0: 7 frames arrived and none is dark after 2 s: 7 go to other addresses");
    std::thread::sleep(Duration::from_secs(4));
    let said = collector.stderr();
    assert_eq!(said.matches("none is dark").count(), 1, "{said}");
    assert_eq!(said.matches("no frame at all").count(), 1, "{said}");
    collector.stop().0.success();
}
