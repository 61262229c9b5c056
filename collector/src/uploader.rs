//! The uploader: a thread that sends what stands in a spool to an object store.
//!
//! Whoever writes never waits for it. While the far side is away it waits, ever longer up to a
//! minute, and says so once; it says once more when it works again.

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

use noctule_engine::retry::{FIRST_WAIT, LONGEST_WAIT, PATIENCE};
use noctule_engine::sink::Watch;

/// A spool that holds more octets is warned of.
const MUCH: u64 = 1 << 30;
/// Longest wait between tries once nothing more will come.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// How long a stop waits for the far side.
pub const STOP_WITHIN: Duration = Duration::from_secs(15);

/// What the thread and those who wait for it know of each other.
#[derive(Default)]
struct State {
    /// Nothing more will come.
    closed: bool,
    /// There are files that nobody has looked at.
    fresh: bool,
    /// Nothing more will come, and what could be sent was sent.
    done: bool,
    /// Files that were sent.
    sent: u64,
    /// What the last try met, and whether waiting may help.
    trouble: Option<(String, bool)>,
    /// Files that contradict what is there.
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

    /// Waits until something holds, or the time is over.
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
pub struct Work {
    /// What it sends.
    pub spool: Spool,
    /// Where it sends it.
    pub store: Files,
    /// Looks for others under the sensor's name, by the ledger files of this run.
    pub watch: Option<(String, Watch)>,
}

/// Why files still wait.
#[derive(Debug)]
pub struct Left {
    /// How many.
    pub files: usize,
    /// Where.
    pub folder: PathBuf,
    /// What keeps them; none: there was no time.
    pub cause: Option<String>,
}

impl Uploader {
    /// Starts the thread; `spool` is the one that it sends, opened a second time.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(work: Work, spool: Spool) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let uploader = Self {
            shared: Arc::clone(&shared),
            folder: spool.folder().to_owned(),
            store: work.store.location().to_string(),
            spool,
        };
        let sender = Sender {
            spool: work.spool,
            store: work.store,
            watch: work.watch,
            shared,
            met: false,
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

    /// What tells it of new files.
    pub fn waker(&self) -> impl Fn() + Send + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.update(|state| state.fresh = true)
    }

    /// Says that nothing more will come, and waits until everything is sent: for [`STOP_WITHIN`]
    /// at most once `stop` is set; otherwise as long as files go, and [`PATIENCE`] without one. The
    /// thread may then still be at work; that does no harm.
    ///
    /// # Errors
    /// The spool cannot be listed.
    pub fn finish(&self, stop: &AtomicBool) -> Result<Option<Left>> {
        self.shared.update(|state| {
            state.closed = true;
            // Whatever it was, it is tried once more.
            state.trouble = None;
        });
        let mut stop_at = None;
        let mut sent = None;
        let mut idle_at = Instant::now() + PATIENCE;
        loop {
            let state = self
                .shared
                .wait(Duration::from_millis(50), |state| state.done);
            let now = Instant::now();
            if sent.replace(state.sent) != Some(state.sent) {
                idle_at = now + PATIENCE;
            }
            if stop.load(Ordering::Relaxed) {
                stop_at.get_or_insert(now + STOP_WITHIN);
            }
            let hopeless = matches!(state.trouble, Some((_, false)));
            if state.done || hopeless || now >= stop_at.unwrap_or(idle_at) {
                break;
            }
        }
        let left = self.left()?;
        Ok((left.files > 0).then_some(left))
    }

    fn left(&self) -> Result<Left> {
        let files = self.spool.waiting()?.len();
        let state = self.shared.lock();
        let contradiction = state.contradictions.first().cloned();
        let trouble = || state.trouble.as_ref().map(|(text, _)| text.clone());
        Ok(Left {
            files,
            folder: self.folder.clone(),
            cause: contradiction.or_else(trouble),
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

    /// Files that contradict what stands in the store, as one error.
    ///
    /// # Errors
    /// There are some.
    pub fn contradictions(&self) -> Result<()> {
        let state = self.shared.lock();
        match &state.contradictions[..] {
            [] => Ok(()),
            [one] => Err(anyhow!("{one}")),
            [one, more @ ..] => Err(anyhow!("{one} (and {} more)", more.len())),
        }
    }
}

/// The thread's side.
struct Sender {
    spool: Spool,
    store: Files,
    watch: Option<(String, Watch)>,
    shared: Arc<Shared>,
    /// The store has answered: changes whose makers died are carried out.
    met: bool,
    failing: bool,
    warned: bool,
    /// Intervals of runs that contradict what is there; they stay in the spool.
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
                    self.works_again();
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
                    self.fails(&error);
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

    /// Sends everything that waits; returns how many files went.
    fn round(&mut self) -> Result<u64, StoreError> {
        if !self.met {
            let changes = change::finish(&self.store, SystemTime::now())?;
            if changes > 0 {
                log::info!("carried out {changes} changes that an earlier run left half done");
            }
            self.met = true;
        }
        let waiting = self.spool.waiting()?;
        self.weigh(&waiting);
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
                        state.trouble = None;
                    });
                    self.works_again();
                    if let (true, Some(octets)) = (file.is_ledger, octets) {
                        self.watch(file, octets);
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

    fn watch(&mut self, file: &SpooledFile, octets: Vec<u8>) {
        let Some((run, watch)) = &mut self.watch else {
            return;
        };
        if *run == file.run
            && let Ok(Some(observed)) = Observed::read(file.path.as_ref(), octets)
        {
            watch.look(observed.start_us, observed.span_us);
        }
    }

    /// Warns of a spool that grows, once until it has shrunk.
    fn weigh(&mut self, waiting: &[SpooledFile]) {
        let bytes: u64 = waiting.iter().map(|file| file.bytes).sum();
        if bytes > MUCH && !self.warned {
            self.warned = true;
            log::warn!(
                "{} files of {} MiB wait in {} for {}: see that its disk does not fill up",
                waiting.len(),
                bytes >> 20,
                self.spool.folder().display(),
                self.store.location()
            );
        } else if bytes < MUCH / 2 {
            self.warned = false;
        }
    }

    fn fails(&mut self, error: &StoreError) {
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
        let trouble = Some((text, error.may_pass()));
        self.shared.update(|state| state.trouble = trouble);
    }

    fn works_again(&mut self) {
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
