//! Which interval a packet of a capture belongs to (counting rule 9).
//!
//! Two intervals are open: that of the newest time and the one before it. An older packet counts in the
//! older of the two, as late, unless its capture's clock was set back: then all intervals close, and
//! time goes on from there. A packet whose time is nonsense counts at the time of its neighbours, as a
//! time jump.

use std::collections::VecDeque;

use noctule_capture::file::{Placed, TimeKind};
use noctule_counters::epoch::Timing;

use crate::time::{IntervalStart, start_of};

/// Longest time without records that was observed for certain: an hour, in microseconds.
const GAP_US: i64 = 3_600_000_000;

/// An interval after every other; its end in microseconds fits in 64 bits.
pub const LAST_INTERVAL: IntervalStart = i64::MAX / 1_000_000;

/// Assigns intervals to the records of a capture, in the order they are read.
#[derive(Clone, Copy)]
pub struct IntervalClock {
    seconds: u32,
    newest: Option<Newest>,
}

#[derive(Clone, Copy)]
struct Newest {
    time_us: i64,
    interval: IntervalStart,
    /// When the interval starts.
    start_us: i64,
    /// Length of the interval; 0 if its start in microseconds does not fit into 64 bits.
    length_us: u64,
}

impl Newest {
    fn new(time_us: i64, interval: IntervalStart, seconds: u32) -> Self {
        let start_us = interval.checked_mul(1_000_000);
        Self {
            time_us,
            interval,
            start_us: start_us.unwrap_or_default(),
            length_us: start_us.map_or(0, |_| u64::from(seconds) * 1_000_000),
        }
    }
}

/// Where and when a record counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The interval.
    pub interval: IntervalStart,
    /// Microseconds after the interval's start.
    pub offset_us: u32,
    /// Whether the record's own time lies in it.
    pub timing: Timing,
    /// Set if the record is the first one of a new interval.
    pub advanced: Option<Advance>,
}

/// The step to a new interval: which intervals close, and which have no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// This interval and all before it are closed. [`LAST_INTERVAL`] if the clock was set back: then
    /// every interval is closed, and the record's is the first of another era.
    pub closed_through: IntervalStart,
    /// The first interval without records and the one after the last; equal if no interval is without
    /// records, and after a gap of more than an hour.
    pub empty: (IntervalStart, IntervalStart),
    /// The step was more than an hour, so it is unknown whether the sensor observed the time between.
    pub after_gap: bool,
}

impl Advance {
    /// Whether the clock was set back.
    pub const fn set_back(&self) -> bool {
        self.closed_through == LAST_INTERVAL
    }
}

/// The time that a capture's sensor observed, as its records show: from the oldest record to the
/// newest, without gaps of more than an hour.
#[derive(Clone, Debug, Default)]
pub struct ObservedSpans {
    /// Times of the oldest and the newest record between two gaps, in microseconds; the latest span
    /// first. Two intervals are open, so an interval that closes at a gap needs at most the last
    /// three spans.
    spans: VecDeque<(i64, i64)>,
}

impl ObservedSpans {
    /// Adds a record's time; `after_gap`: it is the first record after a gap.
    #[inline]
    pub fn add(&mut self, time_us: i64, after_gap: bool) {
        match self.spans.front_mut() {
            Some((first, newest)) if !after_gap => {
                *first = time_us.min(*first);
                *newest = time_us.max(*newest);
            }
            _ => {
                self.spans.truncate(2);
                self.spans.push_front((time_us, time_us));
            }
        }
    }

    /// The observed part of an interval. If no part was observed, because all of its packets were
    /// late, it is empty and lies at one of the interval's ends. A gap is longer than an interval,
    /// so an interval has at most one part.
    pub fn within(&self, start_us: i64, end_us: i64) -> (i64, i64) {
        let of_then = (self.spans.iter()).find(|(first, _)| *first < end_us);
        let (first, newest) = of_then.or(self.spans.back()).copied().unwrap_or_default();
        (
            first.clamp(start_us, end_us),
            newest.clamp(start_us, end_us),
        )
    }
}

impl IntervalClock {
    /// A clock for intervals of this length.
    pub const fn new(seconds: u32) -> Self {
        Self {
            seconds,
            newest: None,
        }
    }

    /// Length of an interval, in seconds.
    pub const fn seconds(&self) -> i64 {
        self.seconds as i64
    }

    /// Assigns a record.
    #[inline]
    pub fn assign(&mut self, placed: Placed) -> Assigned {
        // Nearly every record lies in the newest interval; this way needs no division.
        if let Some(newest) = &mut self.newest {
            let offset = placed.time_us.wrapping_sub(newest.start_us) as u64;
            if placed.time_us >= newest.start_us && offset < newest.length_us {
                newest.time_us = newest.time_us.max(placed.time_us);
                return Assigned {
                    interval: newest.interval,
                    // An interval has at most an hour.
                    offset_us: offset as u32,
                    timing: timing(placed.kind, Timing::OnTime),
                    advanced: None,
                };
            }
        }
        self.elsewhere(placed)
    }

    /// Assigns a record that does not lie in the newest interval.
    #[cold]
    fn elsewhere(&mut self, placed: Placed) -> Assigned {
        let Placed { time_us, kind } = placed;
        let interval = start_of(time_us, self.seconds);
        let on_time = timing(kind, Timing::OnTime);
        let Some(newest) = self.newest else {
            self.newest = Some(Newest::new(time_us, interval, self.seconds));
            return self.placed(interval, time_us, on_time, None);
        };
        let step = i64::from(self.seconds);
        let oldest = newest.interval - step;
        if interval < oldest && kind == TimeKind::SetBack {
            self.newest = Some(Newest::new(time_us, interval, self.seconds));
            let advanced = Advance {
                closed_through: LAST_INTERVAL,
                empty: (interval, interval),
                after_gap: false,
            };
            return self.placed(interval, time_us, on_time, Some(advanced));
        }
        if interval < oldest {
            let start_us = oldest.saturating_mul(1_000_000);
            return self.placed(oldest, start_us, timing(kind, Timing::Late), None);
        }
        let after_gap = time_us.saturating_sub(newest.time_us) > GAP_US;
        if time_us > newest.time_us {
            self.newest = Some(Newest::new(time_us, interval, self.seconds));
        }
        let advanced = (interval > newest.interval).then(|| Advance {
            closed_through: interval - 2 * step,
            empty: if after_gap {
                (interval, interval)
            } else {
                (newest.interval + step, interval)
            },
            after_gap,
        });
        self.placed(interval, time_us, on_time, advanced)
    }

    fn placed(
        &self,
        interval: IntervalStart,
        time_us: i64,
        timing: Timing,
        advanced: Option<Advance>,
    ) -> Assigned {
        let offset = time_us.saturating_sub(interval.saturating_mul(1_000_000));
        Assigned {
            interval,
            offset_us: u32::try_from(offset.max(0)).unwrap_or(u32::MAX),
            timing,
            advanced,
        }
    }
}

/// The timing of a record that would otherwise have `other`.
#[inline]
fn timing(kind: TimeKind, other: Timing) -> Timing {
    match kind {
        TimeKind::Own | TimeKind::SetBack => other,
        TimeKind::Displaced => Timing::Jump,
    }
}

#[cfg(test)]
mod tests;
