//! A run's output: files go to a folder, or through a spool to an object store.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use noctule_store::change;
use noctule_store::files::Files;
use noctule_store::observed::Ledgers;
use noctule_store::spool::Spool;
use noctule_store::{Location, Store};
use sha2::{Digest as _, Sha256};

pub use self::delivery::Delivery;
use self::overlap::{OverlapMonitor, OverlapPolicy};
pub use self::retry::retry;
pub use self::sink::{QUEUED_BYTES, Sink};
use self::uploader::{Uploader, UploaderSetup};
use crate::config::Common;

mod delivery;
mod overlap;
mod retry;
mod sink;
mod uploader;

/// File in a spool that says where the spool's files go; written for people.
const DESTINATION: &str = "_destination";

/// The output of a run with a store.
pub struct Output {
    /// Takes the run's files.
    pub sink: Sink,
    /// Delivers them when the run ends.
    pub delivery: Delivery,
}

impl Output {
    /// Opens the output of a live run; none without a store. A bucket that does not answer is no
    /// error: files wait in the spool.
    ///
    /// # Errors
    /// The folder or the spool cannot be written to, or the environment does not describe the
    /// bucket.
    pub fn live(common: &Common, run: &str) -> Result<Option<Self>> {
        let Some(location) = &common.store else {
            return Ok(None);
        };
        let monitor = || -> Result<OverlapMonitor> {
            let places = vec![Files::open(location)?];
            Ok(OverlapMonitor::new(ledgers(common, places, run)))
        };
        let (sink, uploader) = match location {
            Location::Folder(folder) => {
                let store = Store::open(folder, &common.sensor)?;
                let sink = Sink::new(store, run).overlaps(OverlapPolicy::Warn(monitor()?));
                (sink, None)
            }
            Location::Bucket(_) => {
                let store = open_spool(common, location)?;
                let monitor = Some((run.to_owned(), monitor()?));
                let uploader = start_uploader(&store, location, None, monitor)?;
                (
                    Sink::new(store, run).waking(uploader.waker()),
                    Some(uploader),
                )
            }
        };
        Ok(Some(Self {
            sink,
            delivery: Delivery::new(common, location, run, uploader, None),
        }))
    }

    /// Opens the output of a replay; none without a store. With `replace`, files are staged until
    /// [`Delivery::finish_replay`] commits them. `others` are runs that counted other records, whatever they
    /// observed. `stop` ends the wait for a bucket that does not
    /// answer.
    ///
    /// # Errors
    /// As [`Self::live`]; also if the bucket does not answer for five minutes, or `replace` is set
    /// without a store.
    pub fn replay(
        common: &Common,
        run: &str,
        replace: bool,
        others: &[String],
        stop: &Arc<AtomicBool>,
    ) -> Result<Option<Self>> {
        let Some(location) = &common.store else {
            if replace {
                bail!("--replace needs a store in which intervals are replaced: give --store");
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
                let spooled = Files::open(&Location::Folder(spool.folder().to_owned()))?;
                if let Some(change) = &change {
                    change::abandon(&spooled, change)?;
                }
                // A file is in the spool until it is in the bucket.
                places.insert(0, spooled);
                retry(stop, || change::finish(&files, SystemTime::now()))?;
                spool
            }
        };
        if let Some(change) = &change {
            // Files that an earlier attempt staged would mix with those of this one.
            retry(stop, || change::abandon(&files, change))?;
        }
        let uploader = match location {
            Location::Folder(_) => None,
            Location::Bucket(_) => Some(start_uploader(&store, location, change.as_deref(), None)?),
        };
        let mut sink = match &change {
            Some(change) => Sink::new(store.staging(change), run),
            None => {
                let ledgers = ledgers(common, places, run).beside(others);
                Sink::new(store, run).overlaps(OverlapPolicy::Refuse(ledgers, Arc::clone(stop)))
            }
        };
        if let Some(uploader) = &uploader {
            sink = sink.waking(uploader.waker());
        }
        Ok(Some(Self {
            sink,
            delivery: Delivery::new(common, location, run, uploader, change),
        }))
    }
}

fn ledgers(common: &Common, places: Vec<Files>, run: &str) -> Ledgers {
    Ledgers::new(places, &common.sensor, run, common.interval_seconds)
}

/// Opens the spool. Each pair of sensor and store has its own folder in it, because files for one
/// bucket must never go to another.
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

fn start_uploader(
    store: &Store,
    location: &Location,
    change: Option<&str>,
    monitor: Option<(String, OverlapMonitor)>,
) -> Result<Uploader> {
    let open = || Spool::open(store.folder(), store.sensor(), change);
    let setup = UploaderSetup {
        spool: open()?,
        store: Files::open(location)?,
        monitor,
    };
    Uploader::start(setup, open()?)
}
