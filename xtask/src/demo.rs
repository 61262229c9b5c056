//! `demo`: shows the collector at work on a fresh machine.
//!
//! A veth pair joins two network namespaces. The collector runs at one end; the other end sends
//! synthetic darknet traffic and an ordinary ping. At the end the ledger is compared with the number
//! of packets sent.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::netns::{self, Pair, SENDER, TELESCOPE};
use crate::setup;
use crate::shell::{self, Running};

/// The demo's darknet: the benchmarking range of RFC 2544, which is routed nowhere.
const PREFIX: &str = "198.18.0.0/15";
/// Frames and seconds: 20,000 packets/s, four times what a /16 sees today.
const PACKETS: u32 = 400_000;
const SECONDS: u32 = 20;
/// Both ends have this many queues.
const QUEUES: u32 = 2;

/// Runs the demo.
///
/// # Errors
/// A package cannot be installed, a program cannot be built or run, or the ledger does not add up.
pub fn run(yes: bool) -> Result<()> {
    setup::packages(setup::BUILD, yes)?;
    if shell::is_root() {
        setup::packages(setup::DEMO, yes)?;
    }
    println!("building the collector (optimised; a few minutes the first time)");
    shell::run(shell::cargo().args(["build", "--quiet", "--release", "--package", "noctule"]))?;
    let noctule = shell::target().join("release/noctule");
    let folder = shell::target().join("demo");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let capture = folder.join("darknet.pcap");
    println!("making {SECONDS} s of synthetic darknet traffic for {PREFIX}");
    shell::run(
        Command::new(&noctule)
            .args([
                "synth",
                "--prefix",
                PREFIX,
                "--seed",
                "20160920",
                "--sources",
                "20000",
            ])
            .args([
                "--packets",
                &PACKETS.to_string(),
                "--duration",
                &SECONDS.to_string(),
            ])
            .arg("--out")
            .arg(&capture),
    )?;
    let demo = Demo {
        noctule,
        capture,
        folder,
    };
    let started = if shell::is_root() {
        netns::sweep();
        Pair::new(QUEUES).and_then(|pair| demo.start(pair))
    } else {
        Err(anyhow::anyhow!("this is not root"))
    };
    match started {
        Ok(live) => demo.live(live)?,
        Err(error) => {
            println!(
                "live capture is not possible here ({error:#}): replaying the capture instead"
            );
            demo.replay()?;
        }
    }
    demo.what_next();
    Ok(())
}

/// A collector that is attached and counting.
struct Live {
    collector: Running,
    log: JoinHandle<()>,
    // Dropped last: the collector lives in it.
    pair: Pair,
}

struct Demo {
    noctule: PathBuf,
    capture: PathBuf,
    folder: PathBuf,
}

impl Demo {
    fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    fn beside(&self, ending: &str) -> PathBuf {
        PathBuf::from(format!("{}.{ending}", self.capture.display()))
    }

    fn settings(&self) -> Vec<String> {
        let path = |path: PathBuf| path.display().to_string();
        [
            ["--prefix", PREFIX].map(str::to_owned),
            ["--sensor", "demo"].map(str::to_owned),
            ["--interval", "5"].map(str::to_owned),
            ["--store".to_owned(), path(self.store())],
            ["--country-db".to_owned(), path(self.beside("country.csv"))],
            ["--asn-db".to_owned(), path(self.beside("asn.csv"))],
        ]
        .concat()
    }

    /// Starts the collector and waits until it logs that its last queue is served.
    fn start(&self, pair: Pair) -> Result<Live> {
        let mut command = pair.at_telescope(&self.noctule.display().to_string());
        command
            .args(["run", "--interface", "dark0"])
            .args(self.settings());
        println!("\n$ {}", shell::spelled(&command));
        let report = fs::File::create(self.folder.join("summary.txt"))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(report)
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the collector")?;
        let output = child.stderr.take().context("the collector has no output")?;
        let collector = Running(child);
        let (ready, started) = std::sync::mpsc::channel();
        let log = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                println!("  {line}");
                if line.contains(&format!("queue {}", QUEUES - 1)) {
                    // The receiver waits for the first such line only.
                    let _ = ready.send(());
                }
            }
        });
        if started.recv_timeout(Duration::from_secs(20)).is_err() {
            bail!("the collector did not start; its last line gives the reason");
        }
        Ok(Live {
            collector,
            log,
            pair,
        })
    }

    fn live(&self, live: Live) -> Result<()> {
        let Live {
            collector,
            log,
            pair,
        } = live;
        let mut ping = pair.at_sender("ping");
        ping.args([
            "-q",
            "-i",
            "0.2",
            "-c",
            &(SECONDS * 5).to_string(),
            TELESCOPE,
        ]);
        let ping = ping
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start ping")?;
        println!(
            "sending {PACKETS} frames over {SECONDS} s, while {SENDER} pings {TELESCOPE} through the same interface"
        );
        let began = Instant::now();
        let sent = shell::output(
            pair.at_sender("tcpreplay")
                .args(["--quiet", "--preload-pcap", "--intf1=wire"])
                .arg(&self.capture),
        )?;
        println!("sent in {:.1} s", began.elapsed().as_secs_f64());
        let ping = ping.wait_with_output()?;
        // Packets still on the wire arrive within this time.
        std::thread::sleep(Duration::from_millis(500));
        collector.terminate()?;
        log.join().ok();
        let summary = fs::read_to_string(self.folder.join("summary.txt"))?;
        println!("{summary}");
        self.check(&sent, &summary, &String::from_utf8_lossy(&ping.stdout))
    }

    /// Compares the collector's ledger with the number of packets sent.
    fn check(&self, sent: &str, summary: &str, ping: &str) -> Result<()> {
        let truth: Value = serde_json::from_str(&fs::read_to_string(self.beside("truth.json"))?)?;
        let dark = truth["dark_packets"]
            .as_u64()
            .context("the truth has no dark_packets")?;
        let successful = number_after(sent, "Successful packets:")?;
        ensure!(
            successful == u64::from(PACKETS),
            "tcpreplay sent {successful} of {PACKETS} frames"
        );
        let account = (summary.lines())
            .find(|line| line.starts_with("ledger:"))
            .context("the summary has no ledger line")?;
        let counted = number_before(account, " counted")?;
        let lost = number_before(account, " lost")?;
        println!("sent dark {dark} = counted {counted} + lost {lost}");
        ensure!(
            dark == counted + lost,
            "the ledger does not add up to what was sent"
        );
        ensure!(lost == 0, "{lost} packets were lost at the demo's rate");
        let answered = (ping.lines())
            .find(|line| line.contains("packet loss"))
            .context("ping printed no statistics")?;
        println!("ping: {answered}");
        ensure!(
            answered.contains(" 0% packet loss"),
            "the ping lost packets"
        );
        Ok(())
    }

    fn replay(&self) -> Result<()> {
        let mut command = Command::new(&self.noctule);
        command
            .arg("replay")
            .args(self.settings())
            .arg(&self.capture);
        println!("\n$ {}", shell::spelled(&command));
        shell::run(&mut command)
    }

    fn what_next(&self) {
        let shown = |path: &Path| path.display().to_string();
        println!(
            "\nThe counts are Parquet files below {}:",
            shown(&self.store())
        );
        for table in ["flows", "ports", "fingerprints", "ledger"] {
            println!("  {}", shown(&self.store().join(table)));
        }
        println!("Try next:");
        println!(
            "  {} replay --prefix {PREFIX} {}",
            shown(&self.noctule),
            shown(&self.capture)
        );
        println!(
            "  python3 -c \"import duckdb; print(duckdb.sql(\\\"SELECT protocol, class, port, SUM(packets) AS packets FROM '{}/ports/*/*/*.parquet' GROUP BY ALL ORDER BY packets DESC LIMIT 10\\\"))\"   # pip install duckdb",
            shown(&self.store())
        );
        println!("  {} --help", shown(&self.noctule));
    }
}

/// The first number after a text.
fn number_after(text: &str, mark: &str) -> Result<u64> {
    let rest = text
        .split_once(mark)
        .with_context(|| format!("\"{mark}\" is missing"))?
        .1;
    let digits: String = rest
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits
        .parse()
        .with_context(|| format!("no number after \"{mark}\""))
}

/// The number, with commas between thousands, directly before a text.
fn number_before(text: &str, mark: &str) -> Result<u64> {
    let rest = text
        .split_once(mark)
        .with_context(|| format!("\"{mark}\" is missing"))?
        .0;
    let digits = rest.rsplit(' ').next().unwrap_or_default().replace(',', "");
    digits
        .parse()
        .with_context(|| format!("no number before \"{mark}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_reports() {
        let line = "ledger: 12 records = 1,234 dark + 5 passed; 1,234 dark = 1,230 counted + 4 lost + 0 in flight";
        assert_eq!(number_before(line, " counted").unwrap(), 1230);
        assert_eq!(number_before(line, " lost").unwrap(), 4);
        assert_eq!(
            number_after("Successful packets:        77\n", "Successful packets:").unwrap(),
            77
        );
        assert!(number_after("", "x").is_err());
    }
}
