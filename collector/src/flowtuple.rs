//! `noctule replay --flowtuple`: where FlowTuples go, and whether all packets are among them.

use std::path::Path;
use std::sync::Arc;
use std::thread::{Scope, ScopedJoinHandle};

use anyhow::{Context as _, Result, anyhow, bail};
use noctule_packet::Rules;
use noctule_packet::flowtuple::Reader;
use noctule_store::flowtuple::FlowTupleFolder;

use crate::args::ReplayArgs;
use crate::config::{self, Common};
use crate::print::{grouped, several};
use noctule_engine::flowtuple::{Recorded, Recorder, Setup, Tap};
use noctule_engine::rows::Geo;

/// What a recording needs, beside the packets.
pub struct Plan {
    folder: FlowTupleFolder,
    interval_seconds: u32,
    rules: Arc<Rules>,
    geo: Geo,
    max_tuples: usize,
}

/// Opens the folder, if one is asked for; its files bear the run's name.
///
/// # Errors
/// A wrong interval, or a folder that does not take files.
pub fn plan(
    args: &ReplayArgs,
    common: &Common,
    run: &str,
    rules: &Arc<Rules>,
    geo: &Geo,
) -> Result<Option<Plan>> {
    let Some(folder) = &args.flowtuple else {
        return Ok(None);
    };
    config::check_interval("flowtuple-interval", args.flowtuple_interval)?;
    Ok(Some(Plan {
        folder: FlowTupleFolder::open(folder, run)?,
        interval_seconds: args.flowtuple_interval,
        rules: Arc::clone(rules),
        geo: geo.clone(),
        max_tuples: common.max_flows,
    }))
}

/// A thread that writes FlowTuples.
pub type Recording<'s> = ScopedJoinHandle<'s, Result<Recorded>>;

impl Plan {
    /// Starts the thread; the tap is for the reader.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start<'s>(&'s self, scope: &'s Scope<'s, '_>) -> Result<(Tap, Recording<'s>)> {
        let (tap, inbox, recycle) = Tap::new(self.interval_seconds);
        let recorder = Recorder::new(Setup {
            folder: &self.folder,
            reader: Reader::new(Arc::clone(&self.rules)),
            geo: self.geo.clone(),
            max_tuples: self.max_tuples,
        });
        let thread = std::thread::Builder::new().name("flowtuple".to_owned());
        let thread = thread.spawn_scoped(scope, move || recorder.run(&inbox, &recycle))?;
        Ok((tap, thread))
    }

    /// Says what was written, and holds it against what the workers counted.
    ///
    /// # Errors
    /// Some packet is neither in a file nor told of.
    pub fn tell(&self, recorded: &Recorded, dark_packets: u64) -> Result<()> {
        let text = sentence(recorded, self.folder.path());
        if recorded.unfinished > 0 {
            log::warn!(
                "{text}; {} packets of intervals that had not ended are in no file, since the replay was stopped",
                grouped(recorded.unfinished)
            );
        } else {
            log::info!("{text}");
        }
        let accounted = recorded.packets + recorded.ipv6 + recorded.unfinished;
        if accounted != dark_packets {
            bail!(
                "of {dark_packets} dark packets, FlowTuples account for {accounted}: this is a defect, do not use the files in {}",
                self.folder.path().display()
            );
        }
        Ok(())
    }
}

/// Waits for the thread's end.
///
/// # Errors
/// A file could not be written.
pub fn join(recording: Recording<'_>) -> Result<Recorded> {
    (recording.join())
        .map_err(|_| anyhow!("the FlowTuple thread panicked: this is a defect"))?
        .context("FlowTuples were not written to their end")
}

fn sentence(recorded: &Recorded, folder: &Path) -> String {
    let mut text = format!(
        "FlowTuples: {} dark IPv4 packets, all of them, in {} of {} in {}",
        grouped(recorded.packets),
        several(recorded.rows, "record"),
        several(recorded.files, "file"),
        folder.display()
    );
    if recorded.unfinished > 0 {
        text = text.replace(", all of them,", "");
    }
    if recorded.ipv6 > 0 {
        text.push_str(&format!(
            "; without {}, since the format knows IPv4 only",
            several(recorded.ipv6, "dark IPv6 packet")
        ));
    }
    if recorded.displaced > 0 {
        text.push_str(&format!(
            "; {} in another interval than its own, late or beyond a jump in time",
            several(recorded.displaced, "packet")
        ));
    }
    if recorded.splits > 0 {
        text.push_str(&format!(
            "; the table was full {}, so that FlowTuples may stand twice in an interval: --max-flows gives it room",
            several(recorded.splits, "time")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_files_is_told() {
        let recorded = Recorded {
            packets: 1_234_567,
            rows: 1,
            files: 2,
            ..Recorded::default()
        };
        let said = |recorded: &Recorded| sentence(recorded, Path::new("out"));
        assert_eq!(
            said(&recorded),
            "FlowTuples: 1,234,567 dark IPv4 packets, all of them, in 1 record of 2 files in out"
        );
        let much = Recorded {
            ipv6: 4,
            displaced: 5,
            splits: 6,
            unfinished: 7,
            ..recorded
        };
        let text = said(&much);
        for part in [
            "4 dark IPv6 packets",
            "5 packets in another interval",
            "full 6 times",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("all of them"), "{text}");
    }
}
