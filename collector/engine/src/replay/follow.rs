//! Following a folder into which others write captures: each record is counted once, whatever happens to
//! files and to this process.
//!
//! A file is counted when it has stopped growing: it is unchanged for some seconds, or since the last scan
//! and another file is newer. Each is a run of its own, so that nothing stays in memory between two files
//! and every interval is stored as soon as its file is counted. A file that grows later is counted from
//! its next record on. Captures are recognised by their records, not by their names, so that files may
//! be renamed and compressed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use jiff::tz::TimeZone;
use noctule_capture::file::{Capture, Portion, Survey, survey};
use noctule_store::Location;

use super::journal::{Entry, Journal};
use super::{ReplayProgress, ReplayRun};
use crate::config::{Follow, Replay};
use crate::outcome::ProgressDisplay;

/// Time between two scans of the folder.
const SCAN_EVERY: Duration = Duration::from_secs(1);

/// Length and time of change of a file.
type Stamp = (u64, Option<SystemTime>);

/// What is known of a file in the folder.
struct Known {
    stamp: Stamp,
    /// When it had this stamp first.
    since: Instant,
    /// It was seen with this stamp before.
    again: bool,
    /// It was counted or refused with this stamp.
    settled: bool,
}

/// Follows a folder.
pub struct Follower<'c> {
    config: &'c Replay,
    follow: &'c Follow,
    journal: Journal,
    files: BTreeMap<PathBuf, Known>,
}

impl Known {
    /// A file that was just seen with this stamp.
    fn new(stamp: Stamp) -> Self {
        Self {
            stamp,
            since: Instant::now(),
            again: false,
            settled: false,
        }
    }
}

impl<'c> Follower<'c> {
    /// Opens the journal: in the store if that is a folder, otherwise in the spool.
    ///
    /// # Errors
    /// No store is given, the folder cannot be read, or the journal cannot be opened.
    pub fn open(config: &'c Replay, follow: &'c Follow) -> Result<Self> {
        let common = &config.common;
        let path = match &common.store {
            None => bail!("--follow needs a store, which says what is counted: give --store"),
            Some(Location::Folder(folder)) => folder.join("_follow").join(&common.sensor),
            Some(Location::Bucket(_)) => common.spool.join(format!("_follow-{}", common.sensor)),
        };
        fs::read_dir(&follow.folder)
            .with_context(|| format!("cannot follow {}", follow.folder.display()))?;
        Ok(Self {
            config,
            follow,
            journal: Journal::open(&path)?,
            files: BTreeMap::new(),
        })
    }

    /// Counts files until `stop` is set; a file that has been begun is counted to its end.
    ///
    /// # Errors
    /// The store refuses a file's intervals, the journal cannot be written, or a thread failed.
    pub fn run(
        mut self,
        stop: &Arc<AtomicBool>,
        zone: &TimeZone,
        display: &mut dyn ProgressDisplay<ReplayProgress>,
    ) -> Result<()> {
        if let Some(entry) = self.journal.unfinished().cloned() {
            self.repeat(&entry, zone, display)?;
        }
        while !stop.load(Ordering::Relaxed) {
            let mut ready = Vec::new();
            for path in self.scan() {
                match survey(&path, self.config.time_resolution, None) {
                    Ok(survey) => ready.push((survey.first_time_us, path, survey)),
                    Err(problem) => log::warn!("{problem}; it is left out until it changes"),
                }
            }
            ready.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
            for (_, path, survey) in ready {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                if let Some(entry) = self.part(&path, &survey)? {
                    self.journal.begin(entry.clone())?;
                    self.count(&path, &entry, zone, display)?;
                }
            }
            sleep(SCAN_EVERY);
        }
        Ok(())
    }

    /// The files that have stopped growing and are not settled; they are settled now.
    fn scan(&mut self) -> Vec<PathBuf> {
        let mut found = BTreeMap::new();
        // A folder or file that cannot be read now is read at the next scan.
        for entry in fs::read_dir(&self.follow.folder)
            .into_iter()
            .flatten()
            .flatten()
        {
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if let Ok(of) = fs::metadata(entry.path())
                && of.is_file()
                && of.len() > 0
                && !hidden
            {
                found.insert(entry.path(), (of.len(), of.modified().ok()));
            }
        }
        self.files.retain(|path, _| found.contains_key(path));
        let newest = found.values().map(|stamp| stamp.1).max().flatten();
        let mut ready = Vec::new();
        for (path, stamp) in found {
            let known = self.files.entry(path.clone());
            let known = known.or_insert_with(|| Known::new(stamp));
            if known.stamp != stamp {
                *known = Known::new(stamp);
                continue;
            }
            let quiet = known.since.elapsed() >= self.follow.settle;
            if !known.settled && (quiet || (known.again && stamp.1 < newest)) {
                known.settled = true;
                ready.push(path);
            }
            known.again = true;
        }
        ready
    }

    /// The part of a capture that was not counted yet.
    fn part(&self, path: &Path, survey: &Survey) -> Result<Option<Entry>> {
        if survey.records == 0 {
            return Ok(None);
        }
        let mut skip = 0;
        for entry in self.journal.entries() {
            if entry.first == survey.first
                && entry.records > skip
                && entry.records <= survey.records
                && self.begins_with(path, entry)
            {
                skip = entry.records;
            }
        }
        if skip == survey.records {
            return Ok(None);
        }
        let mut entry = Entry {
            run: String::new(),
            skip,
            records: survey.records,
            end: survey.end,
            first: survey.first.clone(),
            last: survey.last.clone(),
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .replace('\n', "?"),
        };
        let content = format!("{} {} {} {}", entry.first, entry.last, skip, entry.records);
        entry.run = ReplayRun::name_of(self.config, &content)?;
        Ok(Some(entry))
    }

    /// Whether a capture begins with the records of a part.
    fn begins_with(&self, path: &Path, entry: &Entry) -> bool {
        let begin = survey(path, self.config.time_resolution, Some(entry.end));
        begin.is_ok_and(|begin| begin.records == entry.records && begin.last == entry.last)
    }

    /// Repeats a part whose run was killed.
    fn repeat(
        &mut self,
        entry: &Entry,
        zone: &TimeZone,
        display: &mut dyn ProgressDisplay<ReplayProgress>,
    ) -> Result<()> {
        let files = fs::read_dir(&self.follow.folder)
            .into_iter()
            .flatten()
            .flatten();
        let paths = files.map(|file| file.path()).filter(|path| path.is_file());
        let Some(path) = paths.into_iter().find(|path| self.begins_with(path, entry)) else {
            log::warn!(
                "{} was being counted when the last run ended, and is gone: what it had stored remains (run {})",
                entry.name,
                entry.run
            );
            return self.journal.done(&entry.run);
        };
        self.count(&path, entry, zone, display)
    }

    fn count(
        &mut self,
        path: &Path,
        entry: &Entry,
        zone: &TimeZone,
        display: &mut dyn ProgressDisplay<ReplayProgress>,
    ) -> Result<()> {
        let portion = Portion {
            skip: entry.skip,
            end: entry.end,
        };
        let capture = Capture::portion(path, self.config.time_resolution, portion)?;
        let runs = self.journal.entries().iter().map(|entry| entry.run.clone());
        let run = ReplayRun::of_capture(self.config, capture, &entry.run, runs.collect())?;
        // A file is counted to its end: intervals that end early could not be completed later.
        let never = Arc::new(AtomicBool::new(false));
        let outcome = run.run(&never, zone.clone(), display)?.run;
        outcome.result?;
        self.journal.done(&entry.run)?;
        let summary = &outcome.summary.summary;
        log::info!(
            "{}: {} records from record {} on, {} dark packets in {} intervals",
            path.display(),
            entry.records - entry.skip,
            entry.skip + 1,
            summary.dark_packets,
            summary.intervals
        );
        Ok(())
    }
}
