//! Guards against two runs that store the same time under one sensor's name.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use noctule_store::observed::{Ledgers, Span};

use super::retry::retry;

/// How often a live run checks for other runs under its sensor's name.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// What happens if another run observed the same time under the same sensor's name.
pub enum OverlapPolicy {
    /// Overlaps are not checked.
    Ignore,
    /// The interval is refused. The flag ends the wait for a store that does not answer.
    Refuse(Ledgers, Arc<AtomicBool>),
    /// One warning is logged.
    Warn(OverlapMonitor),
}

impl OverlapPolicy {
    /// Checks an interval before its files are written; `span_us` is the part that was observed.
    ///
    /// # Errors
    /// Overlaps are refused, and the store has an overlapping interval of another run or does not
    /// answer.
    pub fn check(&mut self, start_us: i64, span_us: Span) -> Result<()> {
        let Self::Refuse(ledgers, stop) = self else {
            return Ok(());
        };
        match retry(stop, || ledgers.clash(start_us, span_us))? {
            None => Ok(()),
            Some(clash) => bail!(
                "{clash}: packets would count twice; give --replace to swap the stored interval, or another --sensor or --store"
            ),
        }
    }

    /// Checks an interval after its files were written.
    pub fn written(&mut self, start_us: i64, span_us: Span) {
        if let Self::Warn(monitor) = self {
            monitor.check(start_us, span_us);
        }
    }
}

/// Checks once a minute for another collector under the same sensor's name.
pub struct OverlapMonitor {
    /// None after the warning.
    ledgers: Option<Ledgers>,
    next: Instant,
}

impl OverlapMonitor {
    /// A monitor whose first check is with the next interval.
    pub fn new(ledgers: Ledgers) -> Self {
        Self {
            ledgers: Some(ledgers),
            next: Instant::now(),
        }
    }

    /// Checks an interval, if a check is due, and warns once.
    pub fn check(&mut self, start_us: i64, span_us: Span) {
        let Some(ledgers) = &mut self.ledgers else {
            return;
        };
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + CHECK_EVERY;
        ledgers.look_again();
        // If the store does not answer, writing or sending files reports it.
        if let Ok(Some(clash)) = ledgers.clash(start_us, span_us) {
            log::warn!(
                "{clash}: packets count twice if two collectors run under one sensor's name; give each its own --sensor"
            );
            self.ledgers = None;
        }
    }
}
