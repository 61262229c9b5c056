//! Captures that every contender reads: made once, used again, and pinned in memory.

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

use super::contender::output;

/// Octets that must be left on the disk.
const SPARE_BYTES: u64 = 10 << 30;
/// Longest time until a capture is in memory.
const PINNING: Duration = Duration::from_secs(60);

/// What traffic a capture holds.
pub struct Traffic {
    /// The file's name without its ending.
    pub name: &'static str,
    /// Frames.
    pub packets: u64,
    /// Sources to draw from.
    pub sources: u64,
    /// Weights of the components: frames that every contender counts, so that totals can be
    /// compared.
    pub mix: &'static str,
}

/// A capture with its true counts.
pub struct Capture {
    /// The file.
    pub path: PathBuf,
    /// Frames.
    pub packets: u64,
    /// What is in it.
    pub truth: Summary,
}

impl Traffic {
    /// The capture, made if there is none of these parameters.
    pub fn capture(&self, folder: &Path) -> Result<Capture> {
        let path = folder.join(format!("{}.pcap", self.name));
        let parameters = folder.join(format!("{}.parameters", self.name));
        let wanted = format!("{} {} {}\n", self.packets, self.sources, self.mix);
        if fs::read_to_string(&parameters).ok().as_ref() != Some(&wanted) || !path.is_file() {
            // About 80 octets each.
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
                ..SynthConfig::new(vec![super::PREFIX.parse()?])
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

/// Removes a capture where the disk is short.
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
    /// The first frames of it as a capture of their own, for those who would take too long.
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

/// Files held in memory until this is dropped: the kernel takes away page cache that looks idle.
pub struct Pinned(Child);

impl Pinned {
    /// Pins files and waits until they are wholly there.
    pub fn new(files: &[&Path]) -> Result<Self> {
        // `setpriv` ends it with this process, whatever ends that.
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
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
