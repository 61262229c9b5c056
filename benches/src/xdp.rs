//! What the XDP program costs per frame, beside a program that does nothing, by
//! `BPF_PROG_TEST_RUN`.
//!
//! The kernel runs the program over the same frame again and again, so that frame, tile and
//! counters are in the cache: the figure is the program's own time. The time of a dark frame
//! includes the look-up of its AF_XDP socket, which is bound, and not the driver's redirect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result, ensure};
use noctule_abi::ledger::{TCP, slot};
use noctule_capture::xdp::{
    AttachMode, BindMode, Interface, Trial, Unserved, XdpProgram, XskConfig, XskQueue, privilege,
};
use noctule_packet::darknet::Darknet;
use noctule_testkit::netns::{self, Namespace, veth_pair};

use crate::figure::{Figure, Goal, Rounds};

const ROUNDS: usize = 31;
const REPEAT: u32 = 400_000;
/// Goal: nanoseconds that a dark frame may cost above an empty program, ledger included.
const DARK: f64 = 20.0;
/// Goal: nanoseconds that a passed frame may cost above an empty program.
const PASSED: f64 = 12.0;
const PORT: u16 = 23;

/// One of the measured cases.
struct Case {
    name: &'static str,
    list: usize,
    destination: IpAddr,
    goal: Option<f64>,
    nanoseconds: Vec<f64>,
    empty: Vec<f64>,
}

impl Case {
    fn new(name: &'static str, list: usize, destination: &str, goal: Option<f64>) -> Result<Self> {
        Ok(Self {
            name,
            list,
            destination: destination.parse()?,
            goal,
            nanoseconds: Vec::new(),
            empty: Vec::new(),
        })
    }
}

/// Measures all cases in turn, each beside an empty program, and checks verdicts and the kernel's
/// ledger against the number of repetitions.
pub fn run() -> Result<Vec<Figure>> {
    if let (false, _) | (_, Err(_)) = (netns::available(), privilege::check()) {
        println!("skipped: needs root, for BPF and a namespace with an AF_XDP socket");
        return Ok(Vec::new());
    }
    let here = Namespace::new("noctule-bench")?;
    veth_pair((&here, "dark0"), (&here, "gen0"), 1)?;
    let _inside = here.enter()?;
    let interface = Interface::find("dark0")?;
    let config = XskConfig {
        frames: 256,
        ..XskConfig::default()
    };
    let socket = XskQueue::open(&interface, 0, &config, BindMode::Copy)?;
    let lists = [one_prefix()?, thousand_prefixes()?];
    let mut programs = Vec::new();
    for darknet in &lists {
        let mut program = XdpProgram::load(&interface, 1, darknet, Unserved::Drop)?;
        program.serve(0, socket.fd())?;
        programs.push(program);
    }
    let mut cases = [
        Case::new("xdp/dark, 1 prefix", 0, "198.18.7.9", Some(DARK))?,
        Case::new("xdp/dark, 1000 prefixes", 1, "198.18.7.9", Some(DARK))?,
        Case::new("xdp/passed, 1 prefix", 0, "192.0.2.1", Some(PASSED))?,
        Case::new("xdp/passed, 1000 prefixes", 1, "192.0.2.1", Some(PASSED))?,
        Case::new(
            "xdp/dark in part of a /24, 1000 prefixes",
            1,
            "198.19.9.9",
            None,
        )?,
        Case::new("xdp/dark IPv6, 1 prefix", 0, "2001:db8:7::9", None)?,
        Case::new("xdp/dark IPv6, 1000 prefixes", 1, "2001:db8:7::9", None)?,
        Case::new("xdp/passed IPv6, 1000 prefixes", 1, "2600::1", None)?,
    ];
    println!(
        "{REPEAT} runs a round, median of {ROUNDS} rounds in turn, lists of {} and {} prefixes",
        lists[0].rules().len(),
        lists[1].rules().len()
    );
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let frame = frame(case.destination);
            let program = &mut programs[case.list];
            let mut time = |trial| -> Result<f64> {
                let tried = program.try_frame(trial, &frame, REPEAT)?;
                Ok(tried.time.as_secs_f64() * 1e9 / f64::from(REPEAT))
            };
            case.empty.push(time(Trial::Empty)?);
            case.nanoseconds
                .push(time(Trial::Mode(AttachMode::Native))?);
        }
    }
    for (number, (program, darknet)) in programs.iter().zip(&lists).enumerate() {
        check(program, darknet, &cases, number)?;
    }
    let figures = cases.iter().map(|case| {
        let rounds = Rounds {
            figures: &case.nanoseconds,
            references: &case.empty,
        };
        let goals: Vec<_> = (case.goal.map(Goal::AboveReferenceAtMost))
            .into_iter()
            .collect();
        Figure::new(case.name, "ns", &rounds, Some("empty program"), &goals)
    });
    Ok(figures.collect())
}

/// Checks that every run is in one verdict, and that the ledger has the dark ones at their port.
fn check(program: &XdpProgram, darknet: &Darknet, cases: &[Case], list: usize) -> Result<()> {
    let runs = |dark: bool| -> u64 {
        let mine = cases.iter().filter(|case| case.list == list);
        let cases = mine.filter(|case| darknet.contains(case.destination) == dark);
        cases.count() as u64 * ROUNDS as u64 * u64::from(REPEAT)
    };
    let (dark, passed) = (runs(true), runs(false));
    let verdicts = program.verdicts(0)?;
    ensure!(
        (verdicts.redirected.packets, verdicts.passed.packets) == (dark, passed)
            && verdicts.matched() == dark
            && verdicts.not_parsed.packets == 0,
        "{dark} dark frames and {passed} others got {verdicts:?}"
    );
    let ledger = program.ledger_reader();
    let (found, tally) = ledger.queue(0).next().context("an empty ledger")?;
    ensure!(
        found == slot(TCP, Some(PORT)) && tally == verdicts.redirected,
        "{dark} dark frames to port {PORT} are in slot {found} as {tally:?}"
    );
    ensure!(ledger.queue(0).count() == 1, "the ledger has other ports");
    Ok(())
}

fn one_prefix() -> Result<Darknet> {
    Ok(Darknet::parse(&["198.18.0.0/15", "2001:db8::/32"], &[])?)
}

/// 500 prefixes of each family, of many lengths, and among them those of the cases.
fn thousand_prefixes() -> Result<Darknet> {
    let mut prefixes = vec![
        "198.18.0.0/20".to_owned(),
        "198.19.9.0/28".to_owned(),
        "2001:db8:7::/48".to_owned(),
    ];
    for number in 0..499u32 {
        let length = 20 + number % 11;
        let address = Ipv4Addr::from(0x0a00_0000 + (number << 12));
        prefixes.push(format!("{address}/{length}"));
    }
    for number in 0..498u128 {
        let length = 44 + number % 21;
        let address = Ipv6Addr::from((0x2001_0db8_1000 + (number << 4)) << 80);
        prefixes.push(format!("{address}/{length}"));
    }
    Ok(Darknet::parse(&prefixes, &[])?)
}

/// A TCP SYN of 60 octets.
fn frame(destination: IpAddr) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    match destination {
        IpAddr::V4(address) => {
            frame.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, TCP, 0, 0]);
            frame.extend([192, 0, 2, 77]);
            frame.extend(address.octets());
        }
        IpAddr::V6(address) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, TCP, 64]);
            frame.extend([0x20; 16]);
            frame.extend(address.octets());
        }
    }
    frame.extend(40_000u16.to_be_bytes());
    frame.extend(PORT.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0]);
    frame.resize(frame.len().max(60), 0);
    frame
}
