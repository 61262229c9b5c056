//! Which interval a packet of a capture belongs to (counting rule 9).
//!
//! Two intervals are open: that of the newest time seen and the one before it. An older packet
//! counts in the older of the two, as late. A jump of more than an hour ahead needs the next
//! record's agreement; otherwise the packet counts in the newest open interval, as a time jump.

use std::collections::VecDeque;

use noctule_counters::epoch::Timing;

use crate::time::{IntervalStart, start_of};

/// Largest step ahead without the next record's agreement: an hour, in microseconds.
const JUMP_US: i64 = 3_600_000_000;

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
    /// This interval and all before it are closed.
    pub closed_through: IntervalStart,
    /// The first interval without records and the one after the last; equal if no interval is without
    /// records, and after a gap of more than an hour.
    pub empty: (IntervalStart, IntervalStart),
    /// The step was more than an hour, so it is unknown whether the sensor observed the time between.
    pub after_gap: bool,
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

    /// Assigns a record, given the time of the record that will come next.
    #[inline]
    pub fn assign(&mut self, time_us: i64, next_time_us: Option<i64>) -> Assigned {
        // Nearly every record lies in the newest interval; this way needs no division.
        if let Some(newest) = &mut self.newest {
            let offset = time_us.wrapping_sub(newest.start_us) as u64;
            if time_us >= newest.start_us && offset < newest.length_us {
                newest.time_us = newest.time_us.max(time_us);
                return Assigned {
                    interval: newest.interval,
                    // An interval has at most an hour.
                    offset_us: offset as u32,
                    timing: Timing::OnTime,
                    advanced: None,
                };
            }
        }
        self.elsewhere(time_us, next_time_us)
    }

    /// Assigns a record that does not lie in the newest interval.
    #[cold]
    fn elsewhere(&mut self, time_us: i64, next_time_us: Option<i64>) -> Assigned {
        let interval = start_of(time_us, self.seconds);
        let Some(newest) = self.newest else {
            self.newest = Some(Newest::new(time_us, interval, self.seconds));
            return self.placed(interval, time_us, Timing::OnTime, None);
        };
        let jumps = time_us.saturating_sub(newest.time_us) > JUMP_US;
        let agreed = || next_time_us.is_some_and(|next| next.saturating_add(JUMP_US) >= time_us);
        if jumps && !agreed() {
            return self.placed(newest.interval, newest.time_us, Timing::Jump, None);
        }
        let step = i64::from(self.seconds);
        let oldest = newest.interval - step;
        if interval < oldest {
            return self.placed(oldest, oldest.saturating_mul(1_000_000), Timing::Late, None);
        }
        if time_us > newest.time_us {
            self.newest = Some(Newest::new(time_us, interval, self.seconds));
        }
        let advanced = (interval > newest.interval).then(|| Advance {
            closed_through: interval - 2 * step,
            empty: if jumps {
                (interval, interval)
            } else {
                (newest.interval + step, interval)
            },
            after_gap: jumps,
        });
        self.placed(interval, time_us, Timing::OnTime, advanced)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000_000;

    fn assign(times: &[i64]) -> Vec<(IntervalStart, Timing)> {
        let mut clock = IntervalClock::new(60);
        (0..times.len())
            .map(|at| {
                let assigned = clock.assign(times[at] * S, times.get(at + 1).map(|next| next * S));
                (assigned.interval, assigned.timing)
            })
            .collect()
    }

    #[test]
    fn two_intervals_are_open() {
        use Timing::{Late, OnTime};
        let expected = [
            (0, OnTime),
            (60, OnTime),
            (0, OnTime),
            (120, OnTime),
            (60, Late),
        ];
        assert_eq!(assign(&[10, 70, 59, 130, 59]), expected);
    }

    #[test]
    fn a_lone_jump_counts_in_the_newest_interval() {
        use Timing::{Jump, OnTime};
        let expected = [(0, OnTime), (0, Jump), (0, OnTime), (0, Jump)];
        assert_eq!(assign(&[10, 99_999, 11, 99_999]), expected);
    }

    #[test]
    fn a_jump_that_the_next_record_confirms_is_believed() {
        let expected = [
            (0, Timing::OnTime),
            (7200, Timing::OnTime),
            (7200, Timing::OnTime),
        ];
        assert_eq!(assign(&[10, 7210, 7205]), expected);
    }

    #[test]
    fn intervals_without_records_are_reported_within_an_hour() {
        let mut clock = IntervalClock::new(60);
        clock.assign(0, None);
        let advance = clock.assign(200 * S, None).advanced.unwrap();
        assert_eq!(
            advance,
            Advance {
                closed_through: 60,
                empty: (60, 180),
                after_gap: false,
            }
        );
        let advance = clock.assign(9000 * S, Some(9001 * S)).advanced.unwrap();
        assert_eq!(
            advance,
            Advance {
                closed_through: 8880,
                empty: (9000, 9000),
                after_gap: true,
            }
        );
    }

    /// The observed parts of the intervals from 0 on, in seconds, for records at these times.
    fn parts(seconds: u32, times: &[i64]) -> Vec<(i64, i64)> {
        let mut clock = IntervalClock::new(seconds);
        let mut observed = ObservedSpans::default();
        let length = i64::from(seconds);
        let mut parts = Vec::new();
        let mut close = |observed: &ObservedSpans, through: i64| {
            while parts.len() as i64 * length <= through {
                let start = parts.len() as i64 * length;
                let (from, to) = observed.within(start * S, (start + length) * S);
                parts.push((from / S, to / S));
            }
        };
        for at in 0..times.len() {
            let next = times.get(at + 1).map(|next| next * S);
            let advanced = clock.assign(times[at] * S, next).advanced;
            observed.add(
                times[at] * S,
                advanced.is_some_and(|advance| advance.after_gap),
            );
            if let Some(advance) = advanced {
                close(&observed, advance.closed_through);
            }
        }
        close(&observed, times[times.len() - 1]);
        parts
    }

    #[test]
    fn intervals_without_records_within_an_hour_were_observed() {
        let expected = [(10, 60), (60, 120), (120, 180), (180, 210)];
        assert_eq!(parts(60, &[10, 200, 210]), expected);
    }

    #[test]
    fn around_a_longer_gap_records_show_what_was_observed() {
        // Neighbouring intervals, with more than an hour between their records.
        assert_eq!(
            parts(3600, &[10, 1800, 5460, 7000]),
            [(10, 1800), (5460, 7000)]
        );
        let parts = parts(3600, &[10, 1800, 12_000, 16_000]);
        assert_eq!(parts[0], (10, 1800));
        assert_eq!(parts[1].0, parts[1].1, "not observed");
        assert_eq!(parts[3..], [(12_000, 14_400), (14_400, 16_000)]);
        // Two gaps, and the interval before the first is still open at the second.
        let parts = self::parts(3600, &[10, 5460, 10_800, 10_801]);
        assert_eq!(parts[..2], [(10, 10), (5460, 5460)]);
    }

    proptest! {
        /// Whatever the times, a record lands in one of the two open intervals, and closed
        /// intervals are never written to again.
        #[test]
        fn closed_intervals_stay_closed(times in proptest::collection::vec(any::<i64>().prop_map(|t| t >> 18), 1..60)) {
            let mut clock = IntervalClock::new(60);
            let mut closed = i64::MIN;
            for at in 0..times.len() {
                let assigned = clock.assign(times[at], times.get(at + 1).copied());
                prop_assert!(assigned.interval > closed);
                prop_assert_eq!(assigned.interval % 60, 0);
                if let Some(advance) = assigned.advanced {
                    prop_assert!(advance.closed_through >= closed);
                    closed = advance.closed_through;
                    prop_assert_eq!(assigned.interval, closed + 120);
                }
            }
        }

        /// The fast path for records of the newest interval agrees with the full path.
        #[test]
        fn both_ways_agree(seconds in prop_oneof![Just(1u32), Just(60), Just(3600)], times in proptest::collection::vec(prop_oneof![0..9000 * S, Just(i64::MIN), Just(i64::MAX), any::<i64>()], 1..60)) {
            let [mut short, mut long] = [IntervalClock::new(seconds); 2];
            for at in 0..times.len() {
                let next = times.get(at + 1).copied();
                prop_assert_eq!(short.assign(times[at], next), long.elsewhere(times[at], next));
            }
        }

        /// Times within the range of any calendar never overflow.
        #[test]
        fn extreme_times_do_no_harm(times in proptest::collection::vec(prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()], 1..9)) {
            let mut clock = IntervalClock::new(1);
            for at in 0..times.len() {
                clock.assign(times[at], times.get(at + 1).copied());
            }
        }
    }
}
