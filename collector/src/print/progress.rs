//! What a terminal shows while a run lasts.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use noctule_engine::live::LiveCounts;
use noctule_engine::outcome::ProgressDisplay;
use noctule_engine::replay::ReplayProgress;

use super::text::{grouped, rate};
use crate::args::SummaryForm;

/// The line of totals that a live run rewrites once a second.
pub struct LiveLine {
    on: bool,
    /// When the line was last written, and the packets counted until then.
    shown: Option<(Instant, u64)>,
}

impl LiveLine {
    /// A line that is shown only if `on`.
    pub const fn new(on: bool) -> Self {
        Self { on, shown: None }
    }
}

impl ProgressDisplay<LiveCounts> for LiveLine {
    fn show(&mut self, counts: &LiveCounts) {
        if !self.on {
            return;
        }
        let per_second = self.shown.map_or(0.0, |(at, before)| {
            counts.counted.saturating_sub(before) as f64 / at.elapsed().as_secs_f64()
        });
        self.shown = Some((Instant::now(), counts.counted));
        eprint!(
            "\r\x1b[K{} dark packets  {}/s  {} lost  {} passed",
            grouped(counts.counted),
            rate(per_second),
            grouped(counts.lost),
            grouped(counts.passed)
        );
        let _ = std::io::stderr().flush();
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

/// The progress bar of a replay.
pub struct ReplayBar {
    hidden: bool,
    bar: Option<ProgressBar>,
}

impl ReplayBar {
    /// A bar that is shown on a terminal, unless no summary is wanted either.
    pub fn new(summary: SummaryForm) -> Self {
        Self {
            hidden: summary == SummaryForm::None || !std::io::stderr().is_terminal(),
            bar: None,
        }
    }
}

impl ProgressDisplay<ReplayProgress> for ReplayBar {
    fn show(&mut self, progress: &ReplayProgress) {
        if self.hidden {
            return;
        }
        let bar = (self.bar).get_or_insert_with(|| progress_bar(progress.total_bytes));
        bar.set_position(progress.consumed_bytes);
        let seconds = progress.elapsed.as_secs_f64().max(1e-6);
        let per_second = progress.records as f64 / seconds;
        bar.set_message(format!("{} packets/s", rate(per_second)));
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn progress_bar(total_bytes: Option<u64>) -> ProgressBar {
    let template = match total_bytes {
        Some(_) => "{bar:30} {bytes}/{total_bytes}  {msg}  {eta} left",
        None => "{spinner} {bytes}  {msg}",
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(total_bytes, ProgressDrawTarget::stderr()).with_style(style)
}
