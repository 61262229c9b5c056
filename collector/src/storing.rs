//! A run's store, opened and closed: a folder or an object store behind a spool, with what is
//! asked of it before files are written, and with the change that a replacing replay makes.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use noctule_store::change::{self, Change};
use noctule_store::files::Files;
use noctule_store::layout::interval_and_run;
use noctule_store::observed::{Ledgers, files_between};
use noctule_store::spool::Spool;
use noctule_store::{Location, Store, StoreError, Table};
use sha2::{Digest as _, Sha256};

use crate::config::Common;
use crate::uploader::{Left, Uploader, Work};
use noctule_engine::retry::persist;
use noctule_engine::sink::{Beside, Sink, Watch};

/// What tells a reader of a spool where its files go.
const DESTINATION: &str = "_destination";

/// A run's store.
pub struct Storing {
    /// Takes the run's files.
    pub sink: Sink,
    /// Closes what the sink has left open.
    pub closing: Closing,
}

/// What is left to do when the last file is written.
pub struct Closing {
    location: Location,
    sensor: String,
    run: String,
    interval_seconds: u32,
    uploader: Option<Uploader>,
    replacing: Option<String>,
}

/// Opens the store of a live run.
///
/// # Errors
/// The folder or the spool takes no files, or the environment does not describe the bucket. A
/// bucket that does not answer is no error.
pub fn live(common: &Common, run: &str) -> Result<Option<Storing>> {
    let Some(location) = &common.store else {
        return Ok(None);
    };
    let watch = || -> Result<Watch> {
        let places = vec![Files::open(location)?];
        Ok(Watch::new(ledgers(common, places, run)))
    };
    let (sink, uploader) = match location {
        Location::Folder(folder) => {
            let store = Store::open(folder, &common.sensor)?;
            let sink = Sink::new(store, run).beside(Beside::Told(watch()?));
            (sink, None)
        }
        Location::Bucket(_) => {
            let store = open_spool(common, location)?;
            let watch = Some((run.to_owned(), watch()?));
            let uploader = upload(&store, location, None, watch)?;
            (
                Sink::new(store, run).waking(uploader.waker()),
                Some(uploader),
            )
        }
    };
    Ok(Some(Storing {
        sink,
        closing: Closing::new(common, location, run, uploader, None),
    }))
}

/// Opens the store of a replay; `replace`: its files wait for a change. `stop` ends the wait for a
/// bucket that does not answer.
///
/// # Errors
/// As [`live`]; a bucket that does not answer for long is an error.
pub fn replay(
    common: &Common,
    run: &str,
    replace: bool,
    stop: &Arc<AtomicBool>,
) -> Result<Option<Storing>> {
    let Some(location) = &common.store else {
        if replace {
            bail!("--replace needs a store in which something is replaced: give --store");
        }
        return Ok(None);
    };
    let change = replace.then(|| format!("replace-{}-{run}", common.sensor));
    let files = Files::open(location)?;
    let mut places = vec![Files::open(location)?];
    let store = match location {
        Location::Folder(folder) => Store::open(folder, &common.sensor)?,
        Location::Bucket(_) => {
            let spool = open_spool(common, location)?;
            let waiting = Files::open(&Location::Folder(spool.folder().to_owned()))?;
            if let Some(change) = &change {
                change::abandon(&waiting, change)?;
            }
            // A file on its way is in the spool until it is in the bucket.
            places.insert(0, waiting);
            persist(stop, || change::finish(&files, SystemTime::now()))?;
            spool
        }
    };
    if let Some(change) = &change {
        // What an earlier try has left would be told from this one's files by nothing.
        persist(stop, || change::abandon(&files, change))?;
    }
    let uploader = match location {
        Location::Folder(_) => None,
        Location::Bucket(_) => Some(upload(&store, location, change.as_deref(), None)?),
    };
    let mut sink = match &change {
        Some(change) => Sink::new(store.staging(change), run),
        None => {
            let ledgers = ledgers(common, places, run);
            Sink::new(store, run).beside(Beside::Refused(ledgers, Arc::clone(stop)))
        }
    };
    if let Some(uploader) = &uploader {
        sink = sink.waking(uploader.waker());
    }
    Ok(Some(Storing {
        sink,
        closing: Closing::new(common, location, run, uploader, change),
    }))
}

fn ledgers(common: &Common, places: Vec<Files>, run: &str) -> Ledgers {
    Ledgers::new(places, &common.sensor, run, common.interval_seconds)
}

/// Opens the spool, in which each sensor and store has a folder of its own: files for one bucket
/// must never go to another.
fn open_spool(common: &Common, location: &Location) -> Result<Store> {
    let store = location.to_string();
    let digest = Sha256::digest(store.as_bytes());
    let folder: PathBuf = common.spool.join(format!("{}-{digest:.8x}", common.sensor));
    let spool = Store::open(&folder, &common.sensor)
        .context("cannot open the spool; give another --spool DIR")?;
    let path = folder.join(DESTINATION);
    fs::write(&path, format!("{store}\n"))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(spool)
}

fn upload(
    store: &Store,
    location: &Location,
    change: Option<&str>,
    watch: Option<(String, Watch)>,
) -> Result<Uploader> {
    let open = || Spool::open(store.folder(), store.sensor(), change);
    let work = Work {
        spool: open()?,
        store: Files::open(location)?,
        watch,
    };
    Uploader::start(work, open()?)
}

impl Closing {
    fn new(
        common: &Common,
        location: &Location,
        run: &str,
        uploader: Option<Uploader>,
        replacing: Option<String>,
    ) -> Self {
        Self {
            location: location.clone(),
            sensor: common.sensor.clone(),
            run: run.to_owned(),
            interval_seconds: common.interval_seconds,
            uploader,
            replacing,
        }
    }

    /// Ends a live run: what cannot be sent soon is left to the next run.
    ///
    /// # Errors
    /// Files contradict what stands in the store.
    pub fn live(&self) -> Result<()> {
        let Some(uploader) = &self.uploader else {
            return Ok(());
        };
        if let Some(left) = uploader.finish(&AtomicBool::new(true))? {
            log::warn!(
                "{}: the next run of this sensor sends them",
                told(&left, uploader)
            );
        }
        uploader.contradictions()
    }

    /// Ends a replay: waits until all is sent, and makes the change, if the captures were read to
    /// their end (`whole`).
    ///
    /// # Errors
    /// Something could not be sent, or the change not be made.
    pub fn replay(&self, whole: bool, stop: &AtomicBool) -> Result<()> {
        let stopped = stop.load(Ordering::Relaxed);
        if self.replacing.is_some() && (stopped || !whole) {
            self.fail();
            if stopped {
                bail!("stopped by a signal: nothing was replaced; the same command begins again");
            }
            return Ok(());
        }
        if let Some(uploader) = &self.uploader
            && let Some(left) = uploader.finish(stop)?
        {
            uploader.contradictions()?;
            bail!(
                "{}: the same command sends them again",
                told(&left, uploader)
            );
        }
        let Some(change) = &self.replacing else {
            return Ok(());
        };
        self.replace(change, stop)
    }

    /// Ends a replay that failed: what it has written is sent, unless it was to replace something.
    pub fn fail(&self) {
        let Some(change) = &self.replacing else {
            if let Err(error) = self.live() {
                log::error!("{error:#}");
            }
            return;
        };
        // The spool first, so that nothing of it is sent any more.
        let mut places = vec![self.location.clone()];
        if let Some(uploader) = &self.uploader {
            places.insert(0, Location::Folder(uploader.folder().to_owned()));
        }
        for place in places {
            let gone = Files::open(&place).and_then(|files| change::abandon(&files, change));
            if let Err(error) = gone {
                log::warn!("{error}; what waits there for {change} is removed after a day");
            }
        }
    }

    /// Makes the change of a replacing replay.
    fn replace(&self, change: &str, stop: &AtomicBool) -> Result<()> {
        let files = Files::open(&self.location)?;
        let come = persist(stop, || change::staged(&files, change))?;
        let starts = || {
            let ledger = |path: &&String| path.starts_with(Table::Ledger.name());
            (come.iter().filter(ledger)).filter_map(|path| Some(interval_and_run(path)?.0))
        };
        let (Some(first), Some(last)) = (starts().min(), starts().max()) else {
            log::warn!("the captures hold no interval: nothing was replaced");
            return Ok(());
        };
        let end = last + i64::from(self.interval_seconds) * 1_000_000;
        for bound in [first, end] {
            let places = vec![Files::open(&self.location)?];
            let mut ledgers = Ledgers::new(places, &self.sensor, &self.run, self.interval_seconds);
            if let Some((start_us, seconds)) = persist(stop, || ledgers.across(bound))? {
                let start = jiff::Timestamp::from_microsecond(start_us).unwrap_or_default();
                let [first, end] = [first, end]
                    .map(|us| jiff::Timestamp::from_microsecond(us).unwrap_or_default());
                self.fail();
                bail!(
                    "cannot replace {first} to {end} in {}: the interval of {seconds} s from {start} there lies partly outside; give --interval {seconds}, or another --store",
                    self.location
                );
            }
        }
        let go = persist(stop, || files_between(&files, &self.sensor, first, end))?;
        let gone = go.iter().filter(|path| !come.contains(path)).count();
        // Once it has begun nothing may stop it, and doing it again is harmless.
        let never = AtomicBool::new(false);
        persist(&never, || {
            Change::of(&files, change, come.clone()).commit(go.clone())
        })
        .map_err(|error: StoreError| {
            anyhow::Error::from(error).context(
                "the change is not finished; the next run with this store finishes it if it was recorded, and the same command makes it in any case",
            )
        })?;
        log::info!(
            "replaced in {}: {} files came, {gone} went",
            self.location,
            come.len()
        );
        Ok(())
    }
}

/// How many files wait, where, for what, and why.
fn told(left: &Left, uploader: &Uploader) -> String {
    let cause = left
        .cause
        .as_ref()
        .map_or_else(String::new, |cause| format!(" ({cause})"));
    format!(
        "{} files wait in {} for {}{cause}",
        left.files,
        left.folder.display(),
        uploader.store()
    )
}
