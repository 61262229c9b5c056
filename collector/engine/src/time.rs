//! Interval numbers and the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// An interval, by its start in seconds since 1970, UTC.
pub type IntervalStart = i64;

/// An interval of a run. When the wall clock steps back, a run may have an interval of one name in
/// several eras; those of a later era come after all of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntervalId {
    /// Number of the run's era ([`RunClock`](crate::clock::RunClock)); 0 in a replay.
    pub era: u32,
    /// Its start.
    pub start: IntervalStart,
}

impl IntervalId {
    /// Before every interval.
    pub const MIN: Self = Self {
        era: 0,
        start: IntervalStart::MIN,
    };

    /// The interval's start in microseconds since 1970.
    pub const fn start_us(self) -> i64 {
        self.start * 1_000_000
    }
}

impl From<IntervalStart> for IntervalId {
    fn from(start: IntervalStart) -> Self {
        Self { era: 0, start }
    }
}

/// Start of the interval of `seconds` seconds that contains `time_us`, in microseconds since 1970.
pub fn start_of(time_us: i64, seconds: u32) -> IntervalStart {
    let seconds = i64::from(seconds);
    time_us.div_euclid(1_000_000).div_euclid(seconds) * seconds
}

/// The wall clock, in microseconds since 1970.
pub fn now_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| {
            i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
        })
}

/// The interval's start as people read it: RFC 3339 in UTC.
pub fn stamp(interval: IntervalStart) -> String {
    jiff::Timestamp::from_second(interval).map_or_else(|_| interval.to_string(), |t| t.to_string())
}
