//! `noctule run`: collects from network interfaces.

use std::io::IsTerminal as _;
use std::sync::atomic::Ordering;

use anyhow::Result;
use noctule_engine::live::{LiveControl, LiveRun};

use crate::args::RunArgs;
use crate::daily::DailyTables;
use crate::print::{self, LiveLine};
use crate::{config, signals, zone};

/// Collects until a signal arrives or all interfaces are removed.
///
/// # Errors
/// A setting is missing or invalid, a privilege is missing, an interface cannot be used, or the
/// store refuses the output.
pub fn run(args: &RunArgs) -> Result<()> {
    let config = config::run(args)?;
    let run = LiveRun::open(&config)?;
    let stop = signals::stop_flag()?;
    let reload_requested = signals::reload_flag()?;
    let mut daily = (config.common.store.as_ref())
        .and_then(|store| DailyTables::new(store.to_string(), &config.common.sensor));
    let mut poll = || {
        if let Some(daily) = &mut daily {
            daily.poll();
        }
        // Flags still go over the file that is read again.
        (reload_requested.swap(false, Ordering::Relaxed)).then(|| config::run(args))
    };
    let zone = zone::live(config.common.store.as_ref());
    let live_line = std::io::stderr().is_terminal();
    let outcome = run.run(LiveControl {
        stop: &stop,
        poll: &mut poll,
        display: &mut LiveLine::new(live_line),
        zone,
        log_intervals: !live_line,
    })?;
    print::totals(args.common.summary, &outcome, config.common.store.as_ref())?;
    outcome.result
}
