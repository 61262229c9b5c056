//! What a run reports: counts while it lasts, and totals at its end.

use std::time::Duration;

use anyhow::Result;

use crate::totals::{RunSummary, Totals};

/// Shows the progress of a run. The engine prints nothing itself.
pub trait ProgressDisplay<P> {
    /// Shows the counts so far.
    fn show(&mut self, progress: &P);

    /// Removes what is shown; the closing messages follow.
    fn clear(&mut self);
}

/// A run that has ended, with or without an error.
pub struct Outcome {
    /// Accounts of the queues, and files written.
    pub totals: Totals,
    /// What was counted.
    pub summary: RunSummary,
    /// Length of the run.
    pub elapsed: Duration,
    /// The error to report after the totals were printed.
    pub result: Result<()>,
}
