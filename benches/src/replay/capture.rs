//! Captures that every program reads: generated once, reused, and pinned in memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use noctule_capture::file::CaptureReader;
use noctule_counters::summary::Summary;
use noctule_packet::link::LinkType;
use noctule_synth::{Mix, PcapWriter, SynthConfig, write_files};

use crate::frames::PREFIX;
use crate::program::output;

/// Octets that must remain free on the disk.
const SPARE_BYTES: u64 = 10 << 30;
/// Longest time until a capture is in memory.
const PINNING: Duration = Duration::from_secs(60);

/// Traffic of a capture.
pub struct Traffic {
    /// The file's name without its ending.
    pub name: &'static str,
    /// Frames.
    pub packets: u64,
    /// Number of sources.
    pub sources: u64,
    /// Weights of the components, whose frames every program counts, so that totals can be compared.
    pub mix: &'static str,
}

/// A capture with its true counts.
pub struct Capture {
    /// The file.
    pub path: PathBuf,
    /// Frames.
    pub packets: u64,
    /// Its true counts.
    pub truth: Summary,
}

impl Traffic {
    /// The capture; it is generated unless a capture with these parameters exists.
    pub fn capture(&self, folder: &Path) -> Result<Capture> {
        let path = folder.join(format!("{}.pcap", self.name));
        let parameters = folder.join(format!("{}.parameters", self.name));
        let wanted = format!("{} {} {}\n", self.packets, self.sources, self.mix);
        if fs::read_to_string(&parameters).ok().as_ref() != Some(&wanted) || !path.is_file() {
            // A frame takes about 80 octets.
            let free = free_bytes(folder)?;
            ensure!(
                free > SPARE_BYTES / 2 + self.packets * 80,
                "cannot make {}: {} GiB are free in its folder; make room",
                path.display(),
                free >> 30
            );
            println!("making {} ({} frames)", path.display(), self.packets);
            let config = SynthConfig {
                packets: self.packets,
                sources: self.sources,
                duration_seconds: 300,
                mix: Some(Mix::parse(self.mix)?),
                ..SynthConfig::new(vec![PREFIX.parse()?])
            };
            write_files(&config, &path)?;
            fs::write(&parameters, wanted)?;
        }
        let truth = fs::read_to_string(folder.join(format!("{}.pcap.truth.json", self.name)))?;
        Ok(Capture {
            path,
            packets: self.packets,
            truth: serde_json::from_str(&truth)?,
        })
    }
}

/// Removes the captures if the disk has little free space.
pub fn tidy(folder: &Path, captures: &[&Capture]) -> Result<()> {
    if free_bytes(folder)? < SPARE_BYTES {
        for capture in captures {
            fs::remove_file(&capture.path)?;
        }
    }
    Ok(())
}

fn free_bytes(folder: &Path) -> Result<u64> {
    let text = output(
        Command::new("df")
            .args(["--output=avail", "-B1"])
            .arg(folder),
    )?;
    let number = text.lines().nth(1).context("df names a number")?;
    Ok(number.trim().parse()?)
}

impl Capture {
    /// A capture of its first frames, for programs that would take too long for all of them.
    pub fn beginning(&self, packets: u64, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(format!("{packets}.pcap"));
        let mut reader = CaptureReader::open(&self.path)?;
        let mut writer = PcapWriter::create(&path, LinkType::Ethernet)?;
        for _ in 0..packets {
            let record = reader.next()?.context("a capture with enough frames")?;
            writer.write(record.time_us, record.bytes)?;
        }
        writer.finish()?;
        Ok(path)
    }
}

/// Files that are locked in memory until this is dropped, since the kernel evicts idle page cache.
pub struct Pinned(Child);

impl Pinned {
    /// Pins files and waits until they are in memory.
    pub fn new(files: &[&Path]) -> Result<Self> {
        // `setpriv` ends it when this process ends, even if this process is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "vmtouch", "-l", "-q"]);
        command
            .args(files)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut pinned = Self(
            command
                .spawn()
                .context("cannot start setpriv and vmtouch")?,
        );
        let until = Instant::now() + PINNING;
        loop {
            let seen = output(Command::new("vmtouch").args(files))?;
            if seen.contains(" 100%") {
                return Ok(pinned);
            }
            if let Some(status) = pinned.0.try_wait()? {
                bail!("vmtouch ended with {status}: is locked memory limited (ulimit -l)?");
            }
            ensure!(
                Instant::now() < until,
                "the captures do not fit into memory"
            );
            sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
