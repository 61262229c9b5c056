//! Retries operations on an object store that does not answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use noctule_store::StoreError;
use noctule_store::diagnostics::error_line;

/// How long an operation is retried without success before it is given up.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(300);
/// The first wait; each later one is twice as long.
pub const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a wait checks the stop flag.
const CHECK_STOP_EVERY: Duration = Duration::from_millis(50);

/// Repeats `attempt` until it succeeds or fails for good, for at most five minutes, and not
/// after `stop` is set.
///
/// # Errors
/// The error of the last attempt.
pub fn retry<T>(
    stop: &AtomicBool,
    mut attempt: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let until = Instant::now() + GIVE_UP_AFTER;
    let mut wait = FIRST_WAIT;
    let mut warned = false;
    loop {
        let error = match attempt() {
            Err(error) if error.may_pass() => error,
            done => return done,
        };
        if stop.load(Ordering::Relaxed) || Instant::now() >= until {
            return Err(error);
        }
        if !warned {
            log::warn!(
                "{}; tried again for up to {} minutes",
                error_line(&error),
                GIVE_UP_AFTER.as_secs() / 60
            );
            warned = true;
        }
        let next = Instant::now() + wait;
        while Instant::now() < next && !stop.load(Ordering::Relaxed) {
            thread::sleep(CHECK_STOP_EVERY);
        }
        wait = (2 * wait).min(LONGEST_WAIT);
    }
}
