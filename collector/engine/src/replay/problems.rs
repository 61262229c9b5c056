//! What was wrong with the captures of a replay: logged, or the replay's error.

use anyhow::{Context as _, Result, anyhow};
use noctule_capture::file::{CaptureError, Merged, TimeFaults};

use super::link_types::Unread;
use super::reader::RecordCounts;

/// Logs what is wrong with the captures.
///
/// # Errors
/// No record of a capture has a link type that is read, or a capture is damaged or cut in its first
/// record. A capture that is cut later is only logged.
pub fn check_captures(
    captures: &Merged,
    counts: RecordCounts,
    unread: Vec<Unread>,
    faults: TimeFaults,
) -> Result<()> {
    let mut unreadable = Vec::new();
    for problem in unread {
        match problem {
            Unread::All(text) => unreadable.push(text),
            Unread::Some(text) => log::warn!("{text}"),
        }
    }
    if captures.problems().is_empty() && counts.records + faults.untimed == 0 {
        log::warn!("the captures hold no records");
    }
    log_times(faults, counts);
    let fatal = |problem: &&CaptureError| match problem {
        CaptureError::Cut { records, .. } => *records == 0,
        problem => !problem.is_tail(),
    };
    for problem in captures.problems().iter().filter(|p| !fatal(p)) {
        log::warn!("{problem}");
    }
    let errors = captures.problems().iter().filter(fatal);
    let mut errors = unreadable
        .into_iter()
        .chain(errors.map(ToString::to_string));
    let Some(first) = errors.next() else {
        return Ok(());
    };
    for problem in errors {
        log::error!("{problem}");
    }
    Err(anyhow!("{first}")).context("not every capture could be read to its end")
}

/// Logs what is wrong with the captures' times.
fn log_times(faults: TimeFaults, counts: RecordCounts) {
    const CURE: &str = "if a pcapng capture has nanoseconds without saying so (if_tsresol), give --time-resolution ns";
    let neighbours = faults.unstorable - faults.untimed;
    if neighbours > 0 {
        log::warn!(
            "{neighbours} records have times before 1970 or after 9999, which cannot be stored: they count with their neighbours, as time jumps; {CURE}"
        );
    }
    if faults.untimed > 0 {
        log::warn!(
            "{} records have times before 1970 or after 9999, which cannot be stored, and no neighbour with a time: they are not counted; {CURE}",
            faults.untimed
        );
    }
    if faults.long_fractions > 0 {
        log::warn!(
            "{} records have fractions of a second or more, cut to .999999 s: the captures probably have nanoseconds and are marked as microseconds; give --time-resolution ns",
            faults.long_fractions
        );
    }
    if counts.set_back > 0 {
        log::warn!(
            "a clock was set back {} times to intervals that were closed: those that follow are in files of their own (<run>-1 and so on), beside the ones that were written before",
            counts.set_back
        );
    }
}
