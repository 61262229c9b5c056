//! The uploader: a thread that sends the files of a spool to an object store.
//!
//! The flusher never waits for it. If the store does not answer, the thread retries with growing
//! waits, up to a minute, logs the failure once, and logs once when sending works again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use noctule_store::diagnostics::error_line;
use noctule_store::files::Files;
use noctule_store::observed::Observed;
use noctule_store::spool::{Spool, SpooledFile};
use noctule_store::{StoreError, change};

use super::overlap::OverlapMonitor;
use super::retry::{FIRST_WAIT, GIVE_UP_AFTER, LONGEST_WAIT};

/// A spool with more octets than this causes a warning.
const LARGE_SPOOL: u64 = 1 << 30;
/// Longest wait between attempts once no more files will be added.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// How long a stop waits for the store.
pub const STOP_WITHIN: Duration = Duration::from_secs(15);

/// The state that the thread and its owner share.
#[derive(Default)]
struct State {
    /// No more files will be added.
    closed: bool,
    /// Files were added since the last round.
    fresh: bool,
    /// `closed`, and every file that can be sent was sent.
    done: bool,
    /// Number of files sent.
    sent: u64,
    /// The last attempt's error, and whether waiting may help.
    last_error: Option<(String, bool)>,
    /// Errors about files that contradict those in the store.
    contradictions: Vec<String>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until `until` holds, or the time is over.
    fn wait(&self, time: Duration, until: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), time, |state| !until(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The uploader of a run.
pub struct Uploader {
    shared: Arc<Shared>,
    folder: PathBuf,
    store: String,
    spool: Spool,
}

/// What the thread needs.
pub struct UploaderSetup {
    /// The spool whose files are sent.
    pub spool: Spool,
    /// The store that receives them.
    pub store: Files,
    /// Checks each ledger file of the named run for overlaps with other runs.
    pub monitor: Option<(String, OverlapMonitor)>,
}

/// Files that are still in the spool.
#[derive(Debug)]
pub struct Undelivered {
    /// Number of files.
    pub files: usize,
    /// The spool's folder.
    pub folder: PathBuf,
    /// The last error; none: there was not enough time.
    pub cause: Option<String>,
}

impl Uploader {
    /// Starts the thread; `spool` is `setup.spool`, opened a second time.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(setup: UploaderSetup, spool: Spool) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let uploader = Self {
            shared: Arc::clone(&shared),
            folder: spool.folder().to_owned(),
            store: setup.store.location().to_string(),
            spool,
        };
        let sender = Sender {
            spool: setup.spool,
            store: setup.store,
            monitor: setup.monitor,
            shared,
            changes_finished: false,
            failing: false,
            warned: false,
            refused: BTreeSet::new(),
        };
        thread::Builder::new()
            .name("uploader".to_owned())
            .spawn(move || sender.run())
            .context("cannot start the uploader thread")?;
        Ok(uploader)
    }

    /// A function that wakes the thread after files were added.
    pub fn waker(&self) -> impl Fn() + Send + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.update(|state| state.fresh = true)
    }

    /// Says that no more files will be added, and waits until all are sent: once `stop` is set for
    /// at most [`STOP_WITHIN`], otherwise until no file was sent for [`GIVE_UP_AFTER`]. The thread
    /// may still be sending afterwards, which is harmless.
    ///
    /// # Errors
    /// The spool cannot be listed.
    pub fn finish(&self, stop: &AtomicBool) -> Result<Option<Undelivered>> {
        self.shared.update(|state| {
            state.closed = true;
            // Every error gets one more attempt.
            state.last_error = None;
        });
        let mut stop_at = None;
        let mut sent = None;
        let mut idle_at = Instant::now() + GIVE_UP_AFTER;
        loop {
            let state = self
                .shared
                .wait(Duration::from_millis(50), |state| state.done);
            let now = Instant::now();
            if sent.replace(state.sent) != Some(state.sent) {
                idle_at = now + GIVE_UP_AFTER;
            }
            if stop.load(Ordering::Relaxed) {
                stop_at.get_or_insert(now + STOP_WITHIN);
            }
            let hopeless = matches!(state.last_error, Some((_, false)));
            if state.done || hopeless || now >= stop_at.unwrap_or(idle_at) {
                break;
            }
        }
        let left = self.left()?;
        Ok((left.files > 0).then_some(left))
    }

    fn left(&self) -> Result<Undelivered> {
        let files = self.spool.waiting()?.len();
        let state = self.shared.lock();
        let contradiction = state.contradictions.first().cloned();
        let last_error = || state.last_error.as_ref().map(|(text, _)| text.clone());
        Ok(Undelivered {
            files,
            folder: self.folder.clone(),
            cause: contradiction.or_else(last_error),
        })
    }

    /// The spool's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The store that files go to.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// Reports files that contradict those in the store.
    ///
    /// # Errors
    /// The first contradiction, with the number of others.
    pub fn contradictions(&self) -> Result<()> {
        let state = self.shared.lock();
        match &state.contradictions[..] {
            [] => Ok(()),
            [one] => Err(anyhow!("{one}")),
            [one, more @ ..] => Err(anyhow!("{one} (and {} more)", more.len())),
        }
    }
}

/// The thread's state.
struct Sender {
    spool: Spool,
    store: Files,
    monitor: Option<(String, OverlapMonitor)>,
    shared: Arc<Shared>,
    /// Changes that an interrupted run left in the store were finished.
    changes_finished: bool,
    failing: bool,
    warned: bool,
    /// Intervals that contradict the store's; their files stay in the spool.
    refused: BTreeSet<(i64, String)>,
}

impl Sender {
    fn run(mut self) {
        let mut wait = FIRST_WAIT;
        loop {
            let closed = {
                let mut state = self.shared.lock();
                state.fresh = false;
                state.closed
            };
            match self.round() {
                Ok(sent) => {
                    wait = FIRST_WAIT;
                    self.report_success();
                    if sent > 0 {
                        continue;
                    }
                    if closed {
                        return self.shared.update(|state| state.done = true);
                    }
                    let news = |state: &State| state.fresh || state.closed;
                    drop(self.shared.wait(LONGEST_WAIT, news));
                }
                Err(error) => {
                    self.report_failure(&error);
                    let longest = if closed { LAST_WAIT } else { LONGEST_WAIT };
                    drop(
                        self.shared
                            .wait(wait.min(longest), |state| state.closed && !closed),
                    );
                    wait = (2 * wait).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Sends every file of the spool; returns the number of files sent.
    fn round(&mut self) -> Result<u64, StoreError> {
        if !self.changes_finished {
            let changes = change::finish(&self.store, SystemTime::now())?;
            if changes > 0 {
                log::info!("carried out {changes} changes that an earlier run left unfinished");
            }
            self.changes_finished = true;
        }
        let waiting = self.spool.waiting()?;
        self.check_size(&waiting);
        let mut sent = 0;
        for file in &waiting {
            let interval = (file.start_us, file.run.clone());
            if self.refused.contains(&interval) {
                continue;
            }
            match self.spool.send(file, &self.store) {
                Ok(octets) => {
                    sent += 1;
                    self.shared.update(|state| {
                        state.sent += 1;
                        state.last_error = None;
                    });
                    self.report_success();
                    if let (true, Some(octets)) = (file.is_ledger, octets) {
                        self.check_overlap(file, octets);
                    }
                }
                Err(error @ StoreError::Contradicted { .. }) => {
                    log::error!("{}", error_line(&error));
                    self.refused.insert(interval);
                    let text = error_line(&error);
                    self.shared.update(|state| state.contradictions.push(text));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    fn check_overlap(&mut self, file: &SpooledFile, octets: Vec<u8>) {
        let Some((run, monitor)) = &mut self.monitor else {
            return;
        };
        if *run == file.run
            && let Ok(Some(observed)) = Observed::read(file.path.as_ref(), octets)
        {
            monitor.check(observed.start_us, observed.span_us);
        }
    }

    /// Warns of a large spool, and once more only after it has shrunk to half.
    fn check_size(&mut self, waiting: &[SpooledFile]) {
        let bytes: u64 = waiting.iter().map(|file| file.bytes).sum();
        if bytes > LARGE_SPOOL && !self.warned {
            self.warned = true;
            log::warn!(
                "{} files of {} MiB wait in {} for {}: make sure that its disk does not fill up",
                waiting.len(),
                bytes >> 20,
                self.spool.folder().display(),
                self.store.location()
            );
        } else if bytes < LARGE_SPOOL / 2 {
            self.warned = false;
        }
    }

    fn report_failure(&mut self, error: &StoreError) {
        let text = error_line(error);
        if !self.failing {
            self.failing = true;
            log::warn!(
                "sending to {} fails: {text}; {} files wait in {} and are sent when it works again",
                self.store.location(),
                self.waiting(),
                self.spool.folder().display()
            );
        }
        let last_error = Some((text, error.may_pass()));
        self.shared.update(|state| state.last_error = last_error);
    }

    fn report_success(&mut self) {
        if self.failing {
            self.failing = false;
            log::info!(
                "sending to {} works again: {} files wait in {}",
                self.store.location(),
                self.waiting(),
                self.spool.folder().display()
            );
        }
    }

    fn waiting(&self) -> usize {
        self.spool.waiting().map_or(0, |waiting| waiting.len())
    }
}

#[cfg(test)]
mod tests;
