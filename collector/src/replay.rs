//! `noctule replay`: counts capture files.

use anyhow::Result;
use noctule_engine::replay::{Follower, ReplayRun};

use crate::args::ReplayArgs;
use crate::print::{self, ReplayBar};
use crate::{config, signals, zone};

/// Counts the files.
///
/// # Errors
/// A setting is missing or invalid, a capture is damaged or has nothing that can be read, or the
/// store refuses the output.
pub fn run(args: &ReplayArgs) -> Result<()> {
    let config = config::replay(args)?;
    if let Some(settings) = &config.follow {
        let follower = Follower::open(&config, settings)?;
        let stop = signals::stop_flag()?;
        let zone = zone::replay(config.common.store.as_ref(), &stop)?;
        return follower.run(&stop, &zone, &mut ReplayBar::new(args.common.summary));
    }
    let replay = ReplayRun::open(&config)?;
    let stop = signals::stop_flag()?;
    let zone = zone::replay(config.common.store.as_ref(), &stop)?;
    let mut bar = ReplayBar::new(args.common.summary);
    let outcome = replay.run(&stop, zone, &mut bar)?;
    let run = outcome.run;
    print::totals(args.common.summary, &run, config.common.store.as_ref())?;
    if let (Some(settings), Some(counts)) = (&config.flowtuple, &outcome.flowtuples) {
        print::log_flowtuples(counts, &settings.folder);
    }
    run.result
}
