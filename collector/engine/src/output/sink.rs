//! The flusher's output: encoded files, queued in memory until the store's folder or the spool has
//! them.

use std::collections::VecDeque;

use anyhow::{Context as _, Result, bail};
use noctule_store::observed::{ERA_MARK, Span};
use noctule_store::{IntervalFiles, Put, Store, StoreError, Table};

use super::overlap::OverlapPolicy;
use crate::time::IntervalId;

/// Octets of encoded files that may be queued while the store cannot be written to.
pub const QUEUED_BYTES: usize = 256 << 20;

/// Writes a run's files.
pub struct Sink {
    store: Store,
    /// The run's name, and of its files in the era that is being written.
    run: String,
    files: String,
    queued: VecDeque<QueuedFile>,
    overlaps: OverlapPolicy,
    wake: Option<Box<dyn Fn() + Send>>,
    written: (u64, u64),
}

/// An encoded file that is not in the store yet.
struct QueuedFile {
    run: String,
    table: Table,
    start_us: i64,
    bytes: Vec<u8>,
}

impl Sink {
    /// A sink for the files of a run.
    pub fn new(store: Store, run: impl Into<String>) -> Self {
        let run = run.into();
        Self {
            store,
            files: run.clone(),
            run,
            queued: VecDeque::new(),
            overlaps: OverlapPolicy::Ignore,
            wake: None,
            written: (0, 0),
        }
    }

    /// Sets what happens if another run observed the same time.
    #[must_use]
    pub fn overlaps(self, overlaps: OverlapPolicy) -> Self {
        Self { overlaps, ..self }
    }

    /// Calls `wake` after every interval that was written.
    #[must_use]
    pub fn waking(self, wake: impl Fn() + Send + 'static) -> Self {
        Self {
            wake: Some(Box::new(wake)),
            ..self
        }
    }

    /// Files written, and their octets.
    pub const fn written(&self) -> (u64, u64) {
        self.written
    }

    /// Begins an interval; `span_us` is the part of it that was observed. Each era of a run has files
    /// of its own, so that an interval which a step of the clock repeats is not written twice.
    ///
    /// # Errors
    /// If another run of the sensor observed a part of the interval, or the store cannot be read.
    pub fn begin(&mut self, interval: IntervalId, span_us: Span) -> Result<()> {
        self.files = name_in_era(&self.run, interval.era);
        self.overlaps.check(interval.start_us(), span_us)
    }

    /// Queues a file until the interval's end.
    ///
    /// # Errors
    /// More than [`QUEUED_BYTES`] are queued, because the store cannot be written to.
    pub fn put(&mut self, table: Table, start_us: i64, bytes: Vec<u8>) -> Result<()> {
        self.queued.push_back(QueuedFile {
            run: self.files.clone(),
            table,
            start_us,
            bytes,
        });
        let queued: usize = self.queued.iter().map(|file| file.bytes.len()).sum();
        if queued > QUEUED_BYTES {
            bail!(
                "the store has not been writable for so long that {} files of {} MiB wait in memory, \
                 which is the limit: free space or repair the folder, then start again",
                self.queued.len(),
                queued >> 20
            );
        }
        Ok(())
    }

    /// Ends an interval: writes the queued files, oldest first. A file that cannot be written is
    /// tried again with the next interval.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the store has a file of the same name with other content.
    pub fn end(&mut self, start_us: i64, span_us: Span) -> Result<()> {
        self.write_queued(false)?;
        if let Some(wake) = &self.wake {
            wake();
        }
        self.overlaps.written(start_us, span_us);
        Ok(())
    }

    /// Writes the files that are still queued.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn finish(&mut self) -> Result<()> {
        self.write_queued(true)
    }

    fn write_queued(&mut self, at_end: bool) -> Result<()> {
        while let Some(file) = self.queued.front() {
            let place = IntervalFiles {
                interval_start_us: file.start_us,
                run: file.run.clone(),
            };
            match self.store.put(file.table, &place, &file.bytes) {
                Ok(put) => {
                    if put == Put::Written {
                        self.written.0 += 1;
                        self.written.1 += file.bytes.len() as u64;
                    }
                    self.queued.pop_front();
                }
                Err(error @ StoreError::Conflict { .. }) => return Err(error.into()),
                Err(error) if at_end => {
                    return Err(error).with_context(|| {
                        format!("{} files could not be stored", self.queued.len())
                    });
                }
                Err(error) => {
                    log::error!("{error}; tried again with the next interval");
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Name of a run's files in an era: the run's own in the first.
fn name_in_era(run: &str, era: u32) -> String {
    if era == 0 {
        run.to_owned()
    } else {
        format!("{run}{ERA_MARK}{era}")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use noctule_store::files::Files;
    use noctule_store::tables::{Mode, encode_ledger};
    use noctule_store::{Location, read};

    use super::*;
    use crate::ledger::QueueLedger;
    use crate::prefixes::PrefixLists;
    use crate::rows::LedgerFacts;
    use noctule_packet::Rules;
    use noctule_packet::darknet::Darknet;
    use noctule_store::observed::Ledgers;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    const MINUTE_US: i64 = 60_000_000;
    const START_US: i64 = 1_474_372_800_000_000;

    /// The encoded ledger file of a minute of which `span` was observed.
    fn ledger(start_us: i64, span: Span) -> Vec<u8> {
        let darknet = Darknet::parse(&["198.18.0.0/15".to_owned()], &[]).unwrap();
        let facts = LedgerFacts {
            interval_seconds: 60,
            interfaces: Vec::new(),
            prefixes: PrefixLists::new(&darknet),
        };
        let row = QueueLedger {
            observed_us: Some(span),
            ..QueueLedger::new(0, Mode::Replay)
        };
        let rules = Rules::load(None).unwrap();
        encode_ledger(&[facts.row((start_us / 1_000_000).into(), &row, &rules, false)]).unwrap()
    }

    fn sink(folder: &Path, run: &str) -> Sink {
        let files = Files::open(&Location::Folder(folder.to_owned())).unwrap();
        let ledgers = Ledgers::new(vec![files], "s", run, 60);
        let stop = Arc::new(AtomicBool::new(false));
        Sink::new(Store::open(folder, "s").unwrap(), run)
            .overlaps(OverlapPolicy::Refuse(ledgers, stop))
    }

    fn write(sink: &mut Sink, start_us: i64, span: Span) -> Result<()> {
        sink.begin((start_us / 1_000_000).into(), span)?;
        sink.put(Table::Ledger, start_us, ledger(start_us, span))?;
        sink.end(start_us, span)
    }

    #[test]
    fn runs_that_follow_one_another_are_stored_and_others_refused() {
        let folder = tempfile::tempdir().unwrap();
        let middle = START_US + MINUTE_US / 2;
        let end = START_US + MINUTE_US;
        let mut first = sink(folder.path(), "first");
        write(&mut first, START_US, (START_US, middle)).unwrap();
        write(&mut sink(folder.path(), "second"), START_US, (middle, end)).unwrap();
        let error = write(
            &mut sink(folder.path(), "third"),
            START_US,
            (middle - 1, middle),
        );
        let said = format!("{:#}", error.unwrap_err());
        assert!(
            said.contains("run first") && said.contains("--replace"),
            "{said}"
        );
        let stored = read::table_files(folder.path(), Table::Ledger).unwrap();
        assert_eq!(stored.len(), 2);
        // The same again is no other run.
        write(
            &mut sink(folder.path(), "first"),
            START_US,
            (START_US, middle),
        )
        .unwrap();
    }
}
