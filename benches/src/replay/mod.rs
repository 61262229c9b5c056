//! Replay of captures, compared with other programs that read the same files.

mod capture;
mod contender;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::figure::{Figure, Goal, Rounds};
use capture::{Capture, Pinned, Traffic};
use contender::{Ours, Outcome};

const ROUNDS: usize = 3;

/// Much traffic from few sources: at most 2 rows in 100 packets.
const PACKETS: Traffic = Traffic {
    name: "replay-packets",
    packets: 50_000_000,
    sources: 2000,
    mix: "mirai=60,mirai-constant-id=8,synack=10,rst=6,icmp=6,udp-53413=4,zmap=0.5,masscan=0.3",
};
/// Many sources, as in a storm: a row for every other packet.
const ROWS: Traffic = Traffic {
    name: "replay-rows",
    packets: 5_000_000,
    sources: 1_000_000,
    mix: "mirai=12,mirai-constant-id=3,zmap=14,zmap-4.1=8,masscan=10,nmap=3,syn-scan=22,\
          udp-53413=3,udp-scan=6,synack=6,rst=3,icmp=5",
};
/// Packets that other programs read, if the whole capture would take them minutes.
const BEGINNING: u64 = 10_000_000;
const SHORT_BEGINNING: u64 = 2_000_000;

/// Measures both loads.
pub fn run() -> Result<Vec<Figure>> {
    let exe = std::env::current_exe()?;
    let target = exe
        .parent()
        .and_then(Path::parent)
        .context("a target folder")?;
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder)?;
    let (packets, rows) = (PACKETS.capture(&folder)?, ROWS.capture(&folder)?);
    let mut figures = few_sources(&packets, &folder)?;
    figures.extend(many_sources(&rows, &folder)?);
    capture::tidy(&folder, &[&packets, &rows])?;
    Ok(figures)
}

/// A program, the capture that it reads, and its rates round by round.
struct Contender<'a> {
    name: &'a str,
    file: &'a Path,
    packets: u64,
    rates: Vec<f64>,
}

impl<'a> Contender<'a> {
    const fn new(name: &'a str, file: &'a Path, packets: u64) -> Self {
        Self {
            name,
            file,
            packets,
            rates: Vec::new(),
        }
    }

    /// Adds a run's rate; fails if the run missed packets.
    fn add(&mut self, outcome: &Outcome) -> Result<()> {
        ensure!(
            outcome.packets == self.packets,
            "{} counted {} of {} packets: its time would mean nothing",
            self.name,
            outcome.packets,
            self.packets
        );
        self.rates.push(self.packets as f64 / outcome.seconds / 1e6);
        Ok(())
    }

    fn figure(&self, bench: &str, ours: &[f64], goals: &[Goal]) -> Figure {
        let rounds = Rounds {
            figures: &ours[..self.rates.len()],
            references: &self.rates,
        };
        let name = format!("{bench} beside {}", self.name);
        let reference = format!("{} over {} M packets", self.name, self.packets / 1_000_000);
        Figure::new(&name, "Mpps", &rounds, Some(&reference), goals)
    }
}

fn alone(name: &str, unit: &str, figures: &[f64], goals: &[Goal]) -> Figure {
    let rounds = Rounds {
        figures,
        references: &[],
    };
    Figure::new(name, unit, &rounds, None, goals)
}

fn few_sources(capture: &Capture, folder: &Path) -> Result<Vec<Figure>> {
    let (_place, path) = contender::workplace(folder)?;
    let beginning = capture.beginning(BEGINNING, &path)?;
    let short = capture.beginning(SHORT_BEGINNING, &path)?;
    let _pinned = Pinned::new(&[&capture.path, &beginning, &short])?;
    let mut trace = Contender::new("tracereport -p", &beginning, BEGINNING);
    let mut nfpcapd = Contender::new("nfpcapd", &short, SHORT_BEGINNING);
    let mut tcpdump = Contender::new("tcpdump -w /dev/null", &beginning, BEGINNING);
    let mut pmacctd = Contender::new("pmacctd", &short, SHORT_BEGINNING);
    let mut ours = Vec::new();
    for _ in 0..ROUNDS {
        let Ours { seconds, rows, .. } = contender::noctule(capture, &path, 500_000)?;
        ensure!(
            rows * 50 <= capture.packets,
            "{rows} rows are more than 2 % of the packets"
        );
        ours.push(capture.packets as f64 / seconds / 1e6);
        trace.add(&contender::tracereport(trace.file, &path)?)?;
        nfpcapd.add(&contender::nfpcapd(nfpcapd.file, &path)?)?;
        tcpdump.add(&contender::tcpdump(tcpdump.file, &path, BEGINNING)?)?;
    }
    // For information only, and slow: once.
    let outcome = contender::pmacctd(pmacctd.file, &path)?;
    let lost = pmacctd.add(&outcome).err();
    let name = "replay/packets";
    let mut figures = vec![
        alone(name, "Mpps", &ours, &[Goal::AtLeast(10.0)]),
        trace.figure(name, &ours, &[Goal::RatioAtLeast(10.0)]),
        nfpcapd.figure(name, &ours, &[Goal::RatioAtLeast(60.0)]),
        tcpdump.figure(name, &ours, &[]),
    ];
    match lost {
        None => figures.push(pmacctd.figure(name, &ours, &[])),
        Some(lost) => println!("{lost}"),
    }
    Ok(figures)
}

fn many_sources(capture: &Capture, folder: &Path) -> Result<Vec<Figure>> {
    let (_place, path) = contender::workplace(folder)?;
    let short = capture.beginning(SHORT_BEGINNING, &path)?;
    let _pinned = Pinned::new(&[&capture.path, &short])?;
    let mut trace = Contender::new("tracereport -p", &capture.path, capture.packets);
    let mut nfpcapd = Contender::new("nfpcapd", &short, SHORT_BEGINNING);
    let (mut ours, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let run = contender::noctule(capture, &path, 4_000_000)?;
        ensure!(
            (2_000_000..=3_000_000).contains(&run.rows),
            "{} rows are not what this load should have",
            run.rows
        );
        ours.push(capture.packets as f64 / run.seconds / 1e6);
        rates.push(run.rows as f64 / run.flush_seconds / 1e6);
        trace.add(&contender::tracereport(trace.file, &path)?)?;
        nfpcapd.add(&contender::nfpcapd(nfpcapd.file, &path)?)?;
    }
    let name = "replay/rows";
    let unit = "M rows per CPU s of the flusher";
    Ok(vec![
        alone("replay/rows written", unit, &rates, &[Goal::AtLeast(1.0)]),
        trace.figure(name, &ours, &[Goal::RatioAtLeast(2.0)]),
        nfpcapd.figure(name, &ours, &[Goal::RatioAtLeast(15.0)]),
    ])
}
