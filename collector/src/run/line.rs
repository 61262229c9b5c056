//! What a run shows while it lasts.

use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Collector;
use crate::print;
use noctule_engine::worker::Progress;

/// The line of totals on a terminal, rewritten once a second.
pub struct LiveLine {
    on: bool,
    drawn: Option<(Instant, u64)>,
}

impl LiveLine {
    /// A line that is shown, or not.
    pub const fn new(on: bool) -> Self {
        Self { on, drawn: None }
    }

    /// Shows the totals, at most once a second.
    pub fn show(&mut self, collector: &Collector) {
        let since = self.drawn.map(|(at, _)| at.elapsed());
        if !self.on || since.is_some_and(|since| since < Duration::from_secs(1)) {
            return;
        }
        let sum = |of: fn(&Progress) -> u64| collector.progress.iter().map(|p| of(p)).sum::<u64>();
        let counted = sum(|progress| progress.counted.load(Ordering::Relaxed));
        let mut lost = sum(|progress| progress.lost.load(Ordering::Relaxed));
        let mut passed = 0;
        for queue in collector.queues.iter().flatten() {
            if let Ok(verdicts) = collector.verdicts.read(*queue) {
                passed += verdicts.passed.packets + verdicts.not_parsed.packets;
                lost += verdicts.unserved_passed.packets + verdicts.unserved_dropped.packets;
            }
        }
        let rate = match (since, self.drawn) {
            (Some(since), Some((_, before))) => {
                (counted.saturating_sub(before)) as f64 / since.as_secs_f64()
            }
            _ => 0.0,
        };
        self.drawn = Some((Instant::now(), counted));
        eprint!(
            "\r\x1b[K{} dark packets  {}/s  {} lost  {} passed",
            print::grouped(counted),
            print::rate(rate),
            print::grouped(lost),
            print::grouped(passed)
        );
        let _ = std::io::stderr().flush();
    }

    /// Takes it off the terminal.
    pub fn end(&mut self) {
        if self.on && self.drawn.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
