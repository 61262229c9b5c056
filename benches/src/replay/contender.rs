//! The programs that read the captures: how each is started, and how many packets it reports.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use noctule_counters::summary::Summary;
use noctule_store::{Table, read};

use super::capture::Capture;
use crate::frames::PREFIX;
use crate::program::output;

/// Time between two checks of a running program.
const LOOK: Duration = Duration::from_millis(2);
/// Longest time for one run.
const LIMIT: Duration = Duration::from_secs(120);

/// Result of a run.
pub struct Outcome {
    /// From start to end.
    pub seconds: f64,
    /// Packets that the program reports.
    pub packets: u64,
}

/// Result of a run of the collector.
pub struct Ours {
    /// From start to end.
    pub seconds: f64,
    /// Processor seconds of the thread that writes.
    pub flush_seconds: f64,
    /// Flow rows in the store.
    pub rows: u64,
}

/// A child process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command with its outputs in a file of the folder, and calls `look` while it runs.
fn timed(command: &mut Command, folder: &Path, mut look: impl FnMut(u32)) -> Result<f64> {
    let said = folder.join("said");
    let file = File::create(&said)?;
    command
        .stdin(Stdio::null())
        .stderr(file.try_clone()?)
        .stdout(file);
    command.current_dir(folder);
    let began = Instant::now();
    let mut child = Running(
        command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?,
    );
    loop {
        if let Some(status) = child.0.try_wait()? {
            let seconds = began.elapsed().as_secs_f64();
            let text = fs::read_to_string(&said).unwrap_or_default();
            ensure!(status.success(), "{command:?}: {status}: {text}");
            return Ok(seconds);
        }
        if began.elapsed() > LIMIT {
            bail!("{command:?} has not ended within {LIMIT:?}");
        }
        look(child.0.id());
        sleep(LOOK);
    }
}

/// Runs the collector with one worker into a new store, and checks its counts.
pub fn noctule(capture: &Capture, folder: &Path, max_flows: u64) -> Result<Ours> {
    let binary = std::env::current_exe()?.with_file_name("noctule");
    ensure!(
        binary.is_file(),
        "{} is missing: run the bench by `cargo xtask bench replay`",
        binary.display()
    );
    let store = folder.join("store");
    let mut command = Command::new(binary);
    command.args(["replay", "--workers", "1", "--summary", "json"]);
    command.args(["--prefix", PREFIX, "--max-flows", &max_flows.to_string()]);
    command.arg("--store").arg(&store).arg(&capture.path);
    let mut flush_seconds = 0.0;
    let seconds = timed(&mut command, folder, |process| {
        flush_seconds = thread_seconds(process, "flusher").unwrap_or(flush_seconds);
    })?;
    let text = fs::read_to_string(folder.join("said"))?;
    let summary: Summary = serde_json::from_str(&text).context("the summary is JSON")?;
    let counts = |s: &Summary| {
        (
            s.records,
            s.dark_packets,
            s.dark_bytes,
            s.sources,
            s.overflow_packets,
        )
    };
    ensure!(
        counts(&summary) == counts(&capture.truth) && summary.cells == capture.truth.cells,
        "{:?} was counted; the truth is {:?}",
        counts(&summary),
        counts(&capture.truth)
    );
    let mut rows = 0;
    for file in read::table_files(&store, Table::Flows)? {
        rows += read::read_file(&file)?
            .iter()
            .map(|batch| batch.num_rows() as u64)
            .sum::<u64>();
    }
    fs::remove_dir_all(&store)?;
    Ok(Ours {
        seconds,
        flush_seconds,
        rows,
    })
}

/// Processor seconds of a process's thread of this name.
fn thread_seconds(process: u32, name: &str) -> Option<f64> {
    for entry in fs::read_dir(format!("/proc/{process}/task")).ok()? {
        let task = entry.ok()?.path();
        if fs::read_to_string(task.join("comm")).ok()?.trim() == name {
            let text = fs::read_to_string(task.join("schedstat")).ok()?;
            let nanoseconds: f64 = text.split(' ').next()?.parse().ok()?;
            return Some(nanoseconds / 1e9);
        }
    }
    None
}

/// libtrace's `tracereport -p`: packets and octets by port.
pub fn tracereport(capture: &Path, folder: &Path) -> Result<Outcome> {
    let mut command = Command::new("tracereport");
    command
        .arg("-p")
        .arg(format!("pcapfile:{}", capture.display()));
    let seconds = timed(&mut command, folder, |_| ())?;
    let report = fs::read_to_string(folder.join("ports.rpt"))?;
    // Lines of ports start with the port and a colon, and end with the packets.
    let of_port = |line: &&str| {
        line.split_whitespace()
            .next()
            .is_some_and(|first| first.ends_with(':'))
    };
    let packets = (report.lines().filter(of_port))
        .filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok())
        .sum();
    Ok(Outcome { seconds, packets })
}

/// nfdump's `nfpcapd`, with files of a minute.
pub fn nfpcapd(capture: &Path, folder: &Path) -> Result<Outcome> {
    let flows = folder.join("nfpcapd");
    fs::create_dir(&flows)?;
    let mut command = Command::new("nfpcapd");
    command
        .args(["-t", "60", "-w"])
        .arg(&flows)
        .arg("-r")
        .arg(capture);
    let seconds = timed(&mut command, folder, |_| ())?;
    let text = output(Command::new("nfdump").arg("-R").arg(&flows).arg("-I"))?;
    let packets = number_after(&text, "Packets:").context("nfdump -I names packets")?;
    fs::remove_dir_all(&flows)?;
    Ok(Outcome { seconds, packets })
}

/// `tcpdump -w /dev/null`, which only reads. It prints no number if it succeeds.
pub fn tcpdump(capture: &Path, folder: &Path, packets: u64) -> Result<Outcome> {
    let mut command = Command::new("tcpdump");
    command.arg("-r").arg(capture).args(["-w", "/dev/null"]);
    let seconds = timed(&mut command, folder, |_| ())?;
    Ok(Outcome { seconds, packets })
}

/// pmacct's `pmacctd`, which prints flows as CSV every minute. With smaller caches and buffers, or
/// without appending, it loses most packets and does not report it.
pub fn pmacctd(capture: &Path, folder: &Path) -> Result<Outcome> {
    let (configuration, flows) = (folder.join("pmacctd.conf"), folder.join("pmacctd.csv"));
    let text = format!(
        "daemonize: false\npcap_savefile: {}\nplugins: print\nprint_output: csv\n\
         aggregate: src_host, proto, src_port, dst_port, tcpflags\nprint_output_file: {}\n\
         print_output_file_append: true\nprint_cache_entries: 262147\nprint_refresh_time: 60\n\
         plugin_pipe_size: 1073741824\nplugin_buffer_size: 1048576\n",
        capture.display(),
        flows.display()
    );
    fs::write(&configuration, text)?;
    let mut command = Command::new("pmacctd");
    let seconds = timed(command.arg("-f").arg(&configuration), folder, |_| ())?;
    let text = fs::read_to_string(&flows)?;
    fs::remove_file(&flows)?;
    let mut packets = 0;
    for line in text.lines().filter(|line| !line.starts_with("SRC_IP")) {
        let packet_field = line
            .rsplit(',')
            .nth(1)
            .and_then(|field| field.parse::<u64>().ok());
        packets += packet_field.ok_or_else(|| anyhow!("pmacctd wrote {line:?}"))?;
    }
    Ok(Outcome { seconds, packets })
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line[name.len()..].trim().parse().ok()
}

/// A folder for the programs' output, removed when dropped.
pub fn workplace(folder: &Path) -> Result<(tempfile::TempDir, PathBuf)> {
    let place = tempfile::Builder::new()
        .prefix("replay-")
        .tempdir_in(folder)?;
    let path = place.path().to_owned();
    Ok((place, path))
}
