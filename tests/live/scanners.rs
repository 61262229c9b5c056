//! Real scanners against a live collector: every probe is recognised, each tool is confirmed by
//! its own rules alone, and what is no scanner by none.
//!
//! All of it stays on a cable between two namespaces: the darknet is routed to a neighbour that
//! does not exist, so that no ARP request is sent and no answer comes. Each run meets one tool.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use noctule_testkit::collector::Collector;
use noctule_testkit::program::{LIMIT, Running};
use noctule_testkit::store::account;
use noctule_testkit::wire::{SENDER_END, Wire, one_at_a_time, run};
use noctule_testkit::{compare, skipped, wait_until};

const SENDER: &str = "192.0.2.1";
const NEXT_HOP: &str = "192.0.2.2";
const NEXT_HOP_MAC: &str = "02:00:00:00:00:02";
const DARK: &str = "198.18.0.0/22";

/// Matches by chance stay below this, as a source is confirmed from it on: a rule that looks at
/// 16 bits meets three of 600 strangers with a probability of 10^-7, and one or two of them,
/// which are no mistake, with 0.01.
const CONFIRMED_FROM: u64 = 3;

/// How a tool ends.
enum End {
    /// By itself, with this exit status.
    Code(i32),
    /// When it says this, it has sent everything and only waits for answers; it does so for
    /// ever while none comes.
    WhenItSays(&'static str),
}

/// A tool, started at the sender's end.
struct Tool {
    program: &'static str,
    arguments: &'static [&'static str],
    end: End,
    /// Probes that this command line sends.
    probes: u64,
    /// Ports that they go to, as many to each.
    cells: usize,
    /// Rules that every probe matches, and that confirm the sender.
    rules: &'static [&'static str],
}

/// Asserts that each of the tool's probes is recognised, by its rules and no others.
fn is_recognised(test: &str, tool: &Tool) {
    if Command::new(tool.program)
        .arg("--version")
        .output()
        .is_err()
    {
        skipped(test, &format!("needs {}", tool.program));
        return;
    }
    meets(test, (tool.probes, tool.cells), tool.rules, |wire| {
        let mut command = wire.sender.prepare(tool.program);
        command.args(tool.arguments).stdin(Stdio::null());
        let mut running = Running::start(&mut command);
        match tool.end {
            End::Code(code) => {
                let ended = running.wait(LIMIT);
                assert_eq!(ended.code(), code, "{ended:?}");
            }
            End::WhenItSays(end) => {
                wait_until("the tool has sent everything", LIMIT, || {
                    let said = running.stderr();
                    assert!(running.is_running(), "it has ended: {said}");
                    said.contains(end)
                });
            }
        }
    });
}

/// Runs a collector while `send` sends `probes` TCP SYNs from one address to `cells` ports.
fn meets(test: &str, (probes, cells): (u64, usize), rules: &[&str], send: impl FnOnce(&Wire)) {
    let Some(wire) = Wire::new(test, 1) else {
        return;
    };
    let _alone = one_at_a_time();
    let next_hop = [NEXT_HOP, "lladdr", NEXT_HOP_MAC, "nud", "permanent"];
    let at = ["dev", SENDER_END];
    for words in [
        &["address", "add", &format!("{SENDER}/24")][..],
        &[&["neighbour", "replace"], &next_hop[..]].concat(),
        &["route", "add", DARK, "via", NEXT_HOP],
    ] {
        run(&wire.sender, "ip", &[words, &at].concat());
    }
    let mut collector = Collector::start(&wire, 1, ["--prefix", DARK, "--interval", "1"]);
    send(&wire);
    collector.wait_for(probes);
    let (ended, store) = collector.stop();
    let summary = ended.success().summary();
    let sums = account(&store.ledger());
    assert_eq!((sums.counted, sums.lost), (probes as i64, 0), "{sums:?}");
    compare::assert_adds_up(test, &summary);
    assert_eq!(summary.dark_packets, probes);
    assert_eq!(summary.sources, Some(1));
    assert_eq!(
        summary.by_protocol,
        BTreeMap::from([("tcp".into(), probes)])
    );
    assert_eq!(summary.by_class["scan"], probes, "all of them are probes");
    assert_eq!(summary.cells.len(), cells);
    let each = probes / cells as u64;
    assert!(summary.cells.iter().all(|cell| cell.packets == each));

    let expected = |count: u64| -> BTreeMap<String, u64> {
        rules.iter().map(|&rule| (rule.to_owned(), count)).collect()
    };
    let (own, others): (BTreeMap<_, _>, BTreeMap<_, _>) = (summary.fingerprints.clone())
        .into_iter()
        .partition(|(name, _)| rules.contains(&name.as_str()));
    assert_eq!(own, expected(probes), "beside {others:?}");
    assert!(
        others.values().all(|&packets| packets < CONFIRMED_FROM),
        "by rules of others: {others:?}"
    );
    let confirmed = rules.iter().map(|&rule| (rule.to_owned(), Some(1)));
    assert_eq!(summary.confirmed_sources, confirmed.collect());
}

#[test]
fn masscan_is_recognised() {
    let tool = Tool {
        program: "masscan",
        arguments: &[
            "198.18.0.0/24",
            "--ports=80",
            "--rate=2000",
            "--wait=0",
            "--interface=gen0",
            "--adapter-ip=192.0.2.1",
            "--adapter-port=40000",
            "--source-mac=02:00:00:00:00:01",
            "--router-mac=02:00:00:00:00:02",
        ],
        end: End::WhenItSays("100.00% done"),
        probes: 256,
        cells: 1,
        // Debian 12 has 1.3.2.
        rules: &["masscan", "masscan-to-1.3.2"],
    };
    is_recognised("masscan_is_recognised", &tool);
}

#[test]
fn zmap_is_recognised() {
    let tool = Tool {
        program: "zmap",
        arguments: &[
            "--target-port=443",
            "--interface=gen0",
            "--source-ip=192.0.2.1",
            "--gateway-mac=02:00:00:00:00:02",
            // Its own list of networks not to be scanned names test networks too.
            "--blacklist-file=/dev/null",
            "--output-file=/dev/null",
            "--rate=2000",
            "--cooldown-time=1",
            // With one order in a hundred 2.1.1 aborts before it sends anything.
            "--seed=7",
            "198.18.1.0/24",
        ],
        end: End::Code(0),
        probes: 256,
        cells: 1,
        rules: &["zmap"],
    };
    is_recognised("zmap_is_recognised", &tool);
}

/// A SYN scan and nothing else: no discovery of hosts or names, every port once.
macro_rules! syn_scan {
    ($ports:literal, $targets:literal) => {
        &[
            "-sS",
            "-Pn",
            "-n",
            "--disable-arp-ping",
            "--max-retries=0",
            "--min-rate=500",
            "-e",
            "gen0",
            $ports,
            $targets,
        ]
    };
}

#[test]
fn nmap_on_one_port_is_recognised() {
    let tool = Tool {
        program: "nmap",
        arguments: syn_scan!("-p22", "198.18.2.0/24"),
        end: End::Code(0),
        probes: 256,
        cells: 1,
        rules: &["nmap-syn"],
    };
    is_recognised("nmap_on_one_port_is_recognised", &tool);
}

/// Two packets a port are not enough by themselves: the source is confirmed over all its ports.
#[test]
fn nmap_on_many_ports_is_recognised() {
    let tool = Tool {
        program: "nmap",
        arguments: syn_scan!("-p1-300", "198.18.3.1-2"),
        end: End::Code(0),
        probes: 600,
        cells: 300,
        rules: &["nmap-syn"],
    };
    is_recognised("nmap_on_many_ports_is_recognised", &tool);
}

#[test]
fn hping3_is_not_taken_for_a_scanner() {
    let tool = Tool {
        program: "hping3",
        arguments: &[
            "--syn",
            "--destport",
            "8080",
            "--count",
            "32",
            "--interval",
            "u10000",
            "--interface",
            "gen0",
            "198.18.3.77",
        ],
        // No probe was answered.
        end: End::Code(1),
        probes: 32,
        cells: 1,
        rules: &[],
    };
    is_recognised("hping3_is_not_taken_for_a_scanner", &tool);
}

#[test]
fn a_client_is_not_taken_for_a_scanner() {
    const ADDRESSES: u8 = 32;
    let test = "a_client_is_not_taken_for_a_scanner";
    meets(test, (ADDRESSES.into(), 1), &[], |wire| {
        let inside = wire.sender.enter();
        let _inside = inside.unwrap_or_else(|error| panic!("{error}"));
        for host in 1..=ADDRESSES {
            let to = SocketAddr::from((Ipv4Addr::new(198, 18, 3, host), 443));
            // Before the kernel would ask again, after a second.
            let answer = TcpStream::connect_timeout(&to, Duration::from_millis(30));
            assert!(answer.is_err(), "somebody answered in a darknet");
        }
    });
}
