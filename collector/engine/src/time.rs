//! Interval numbers and the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// An interval, by its start in seconds since 1970, UTC.
pub type IntervalStart = i64;

/// Start of the interval of `seconds` seconds that contains `time_us`, in microseconds since 1970.
pub fn start_of(time_us: i64, seconds: u32) -> IntervalStart {
    let seconds = i64::from(seconds);
    time_us.div_euclid(1_000_000).div_euclid(seconds) * seconds
}

/// The wall clock, in microseconds since 1970. A worker reads it once per batch.
pub fn now_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| {
            i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
        })
}
