//! Where the flusher's files go: a store's folder or a spool, and what is asked of the store
//! before an interval is written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use noctule_store::observed::{Ledgers, Span};
use noctule_store::{IntervalFiles, Put, Store, StoreError, Table};

use crate::retry::persist;

/// Octets of encoded files that may wait for a store that cannot be written to.
pub const WAITING_BYTES: usize = 256 << 20;
/// How often a live run looks for others under its sensor's name.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Where files go.
pub struct Sink {
    store: Store,
    run: String,
    waiting: VecDeque<Waiting>,
    beside: Beside,
    wake: Option<Box<dyn Fn() + Send>>,
    written: (u64, u64),
}

/// What is done about other runs that observed the same time under the same sensor's name.
pub enum Beside {
    /// Nobody looks.
    Ignored,
    /// The interval is refused. The flag ends the wait for a store that does not answer.
    Refused(Ledgers, Arc<AtomicBool>),
    /// A warning, once.
    Told(Watch),
}

/// An encoded file that the store has not taken yet.
struct Waiting {
    table: Table,
    start_us: i64,
    bytes: Vec<u8>,
}

impl Sink {
    /// A sink for the files of a run.
    pub fn new(store: Store, run: impl Into<String>) -> Self {
        Self {
            store,
            run: run.into(),
            waiting: VecDeque::new(),
            beside: Beside::Ignored,
            wake: None,
            written: (0, 0),
        }
    }

    /// Says what is done about other runs.
    #[must_use]
    pub fn beside(self, beside: Beside) -> Self {
        Self { beside, ..self }
    }

    /// Is told after every interval that there are new files.
    #[must_use]
    pub fn waking(self, wake: impl Fn() + Send + 'static) -> Self {
        Self {
            wake: Some(Box::new(wake)),
            ..self
        }
    }

    /// Files that were written, and their octets.
    pub const fn written(&self) -> (u64, u64) {
        self.written
    }

    /// Whether an interval may be written, of which this was observed.
    ///
    /// # Errors
    /// It would stand there twice, or the store could not be asked.
    pub fn begin(&mut self, start_us: i64, span_us: Span) -> Result<()> {
        let Beside::Refused(ledgers, stop) = &mut self.beside else {
            return Ok(());
        };
        match persist(stop, || ledgers.clash(start_us, span_us))? {
            None => Ok(()),
            Some(clash) => bail!(
                "{clash}: packets would count twice; give --replace to swap what is there, or another --sensor or --store"
            ),
        }
    }

    /// Takes a file; it is written at the interval's end.
    ///
    /// # Errors
    /// Too much waits for a store that cannot be written to.
    pub fn put(&mut self, table: Table, start_us: i64, bytes: Vec<u8>) -> Result<()> {
        self.waiting.push_back(Waiting {
            table,
            start_us,
            bytes,
        });
        let waiting: usize = self.waiting.iter().map(|file| file.bytes.len()).sum();
        if waiting > WAITING_BYTES {
            bail!(
                "the store has not been writable for so long that {} files of {} MiB wait in memory, \
                 which is the limit: free space or mend the folder, then start again",
                self.waiting.len(),
                waiting >> 20
            );
        }
        Ok(())
    }

    /// Ends an interval, of which this was observed: writes what waits, oldest first. A store that
    /// cannot be written to is tried again with the next interval; a conflict is an error at once.
    ///
    /// # Errors
    /// [`StoreError::Conflict`].
    pub fn end(&mut self, start_us: i64, span_us: Span) -> Result<()> {
        self.write_waiting(false)?;
        if let Some(wake) = &self.wake {
            wake();
        }
        if let Beside::Told(watch) = &mut self.beside {
            watch.look(start_us, span_us);
        }
        Ok(())
    }

    /// Writes what still waits.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(&mut self) -> Result<()> {
        self.write_waiting(true)
    }

    fn write_waiting(&mut self, at_end: bool) -> Result<()> {
        while let Some(file) = self.waiting.front() {
            let place = IntervalFiles {
                interval_start_us: file.start_us,
                run: self.run.clone(),
            };
            match self.store.put(file.table, &place, &file.bytes) {
                Ok(put) => {
                    if put == Put::Written {
                        self.written.0 += 1;
                        self.written.1 += file.bytes.len() as u64;
                    }
                    self.waiting.pop_front();
                }
                Err(error @ StoreError::Conflict { .. }) => return Err(error.into()),
                Err(error) if at_end => {
                    return Err(error).with_context(|| {
                        format!("{} files could not be stored", self.waiting.len())
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

/// Looks now and then for another collector that runs under the same sensor's name.
pub struct Watch {
    ledgers: Option<Ledgers>,
    next: Instant,
}

impl Watch {
    /// Looks with the next interval.
    pub fn new(ledgers: Ledgers) -> Self {
        Self {
            ledgers: Some(ledgers),
            next: Instant::now(),
        }
    }

    /// Looks, if it is time to, and warns once.
    pub fn look(&mut self, start_us: i64, span_us: Span) {
        let Some(ledgers) = &mut self.ledgers else {
            return;
        };
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + LOOK_EVERY;
        ledgers.look_again();
        // A store that cannot be asked is told of where files are written.
        if let Ok(Some(clash)) = ledgers.clash(start_us, span_us) {
            log::warn!(
                "{clash}: packets count twice if two collectors run under one sensor's name; give each its own --sensor"
            );
            self.ledgers = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use noctule_store::files::Files;
    use noctule_store::tables::{Mode, encode_ledger};
    use noctule_store::{Location, read};

    use super::*;
    use crate::message::QueueLedger;
    use crate::prefixes::PrefixLists;
    use crate::rows::LedgerFacts;
    use noctule_packet::Rules;
    use noctule_packet::darknet::Darknet;

    const MINUTE_US: i64 = 60_000_000;
    const START_US: i64 = 1_474_372_800_000_000;

    /// The ledger file of a minute that was observed in this span, as the flusher encodes it.
    fn ledger(start_us: i64, span: Span) -> Vec<u8> {
        let darknet = Darknet::parse(&["198.18.0.0/15".to_owned()], &[]).unwrap();
        let facts = LedgerFacts {
            interval_seconds: 60,
            prefixes: PrefixLists::new(&darknet),
        };
        let row = QueueLedger {
            observed_us: Some(span),
            ..QueueLedger::new(0, Mode::Replay)
        };
        let rules = Rules::load(None).unwrap();
        encode_ledger(&[facts.row(start_us / 1_000_000, &row, &rules, false)]).unwrap()
    }

    fn sink(folder: &Path, run: &str) -> Sink {
        let files = Files::open(&Location::Folder(folder.to_owned())).unwrap();
        let ledgers = Ledgers::new(vec![files], "s", run, 60);
        let stop = Arc::new(AtomicBool::new(false));
        Sink::new(Store::open(folder, "s").unwrap(), run).beside(Beside::Refused(ledgers, stop))
    }

    fn write(sink: &mut Sink, start_us: i64, span: Span) -> Result<()> {
        sink.begin(start_us, span)?;
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
