//! Trying again what an object store did not answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use noctule_store::StoreError;
use noctule_store::diagnostics::error_line;

/// How long nothing at all may succeed before it is given up.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// The first wait; each one after it is twice as long.
pub const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often somebody who waits looks whether he shall stop.
const LOOK: Duration = Duration::from_millis(50);

/// Does something until it succeeds, as long as waiting may help: at most for [`PATIENCE`], and not
/// after `stop` is set.
///
/// # Errors
/// That of the last attempt.
pub fn persist<T>(
    stop: &AtomicBool,
    mut attempt: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let until = Instant::now() + PATIENCE;
    let mut wait = FIRST_WAIT;
    let mut told = false;
    loop {
        let error = match attempt() {
            Err(error) if error.may_pass() => error,
            done => return done,
        };
        if stop.load(Ordering::Relaxed) || Instant::now() >= until {
            return Err(error);
        }
        if !told {
            log::warn!(
                "{}; tried again for up to {} minutes",
                error_line(&error),
                PATIENCE.as_secs() / 60
            );
            told = true;
        }
        let next = Instant::now() + wait;
        while Instant::now() < next && !stop.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
        }
        wait = (2 * wait).min(LONGEST_WAIT);
    }
}
