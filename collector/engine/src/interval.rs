//! Which interval a packet of a capture belongs to (counting rule 9).
//!
//! Two intervals are open: that of the newest time seen and the one before it. An older packet
//! counts in the older of the two, as late. A jump of more than an hour ahead needs the next
//! record's agreement; otherwise the packet counts in the newest open interval, as a time jump.

use std::collections::VecDeque;

use noctule_counters::epoch::Timing;

use crate::message::IntervalStart;

/// A jump ahead that one record alone cannot make: an hour, in microseconds.
const JUMP_US: i64 = 3_600_000_000;

/// Start of the interval that holds a time.
pub fn start_of(time_us: i64, seconds: u32) -> IntervalStart {
    let seconds = i64::from(seconds);
    time_us.div_euclid(1_000_000).div_euclid(seconds) * seconds
}

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
    /// Length of the interval; 0 where its start does not fit into 64 bits.
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
    /// How the record's own time stands to it.
    pub timing: Timing,
    /// Time went on to a new interval.
    pub advanced: Option<Advance>,
}

/// Time went on: what closes, and which intervals were passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// This interval and all before it are closed.
    pub closed_through: IntervalStart,
    /// The first interval passed over and the one after the last. Empty after a longer gap.
    pub empty: (IntervalStart, IntervalStart),
    /// More than an hour was jumped over: nobody says that the sensor was watching.
    pub after_gap: bool,
}

/// When a capture's records say that the sensor was watching: from its oldest record to its newest,
/// without the gaps of more than an hour.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Oldest and newest record between two gaps, in microseconds; the latest first. Two intervals
    /// are open, so what closes at a gap reaches back to the last but one at most.
    stretches: VecDeque<(i64, i64)>,
}

impl Watched {
    /// Takes note of a record's time, and whether it is the first one after a gap.
    #[inline]
    pub fn see(&mut self, time_us: i64, after_gap: bool) {
        match self.stretches.front_mut() {
            Some((first, newest)) if !after_gap => {
                *first = time_us.min(*first);
                *newest = time_us.max(*newest);
            }
            _ => {
                self.stretches.truncate(2);
                self.stretches.push_front((time_us, time_us));
            }
        }
    }

    /// The part of an interval that was watched; a moment at one of its ends if none was, as where
    /// all of its packets came late. A gap is longer than an interval, so there is one part at most.
    pub fn part(&self, start_us: i64, end_us: i64) -> (i64, i64) {
        let of_then = (self.stretches.iter()).find(|(first, _)| *first < end_us);
        let (first, newest) = of_then
            .or(self.stretches.back())
            .copied()
            .unwrap_or_default();
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
        // Nearly every record lies in the newest interval, and a division is dear.
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
    fn a_lone_jump_counts_where_time_stands() {
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
    fn passed_over_intervals_are_told_within_an_hour() {
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

    /// What was watched of the intervals from 0 on, in seconds, for records at these times.
    fn parts(seconds: u32, times: &[i64]) -> Vec<(i64, i64)> {
        let mut clock = IntervalClock::new(seconds);
        let mut watched = Watched::default();
        let length = i64::from(seconds);
        let mut parts = Vec::new();
        let mut close = |watched: &Watched, through: i64| {
            while parts.len() as i64 * length <= through {
                let start = parts.len() as i64 * length;
                let (from, to) = watched.part(start * S, (start + length) * S);
                parts.push((from / S, to / S));
            }
        };
        for at in 0..times.len() {
            let next = times.get(at + 1).map(|next| next * S);
            let advanced = clock.assign(times[at] * S, next).advanced;
            watched.see(
                times[at] * S,
                advanced.is_some_and(|advance| advance.after_gap),
            );
            if let Some(advance) = advanced {
                close(&watched, advance.closed_through);
            }
        }
        close(&watched, times[times.len() - 1]);
        parts
    }

    #[test]
    fn intervals_passed_over_within_an_hour_were_watched() {
        let expected = [(10, 60), (60, 120), (120, 180), (180, 210)];
        assert_eq!(parts(60, &[10, 200, 210]), expected);
    }

    #[test]
    fn around_a_longer_gap_records_say_what_was_watched() {
        // Neighbouring intervals, with more than an hour between their records.
        assert_eq!(
            parts(3600, &[10, 1800, 5460, 7000]),
            [(10, 1800), (5460, 7000)]
        );
        let parts = parts(3600, &[10, 1800, 12_000, 16_000]);
        assert_eq!(parts[0], (10, 1800));
        assert_eq!(parts[1].0, parts[1].1, "nobody watched");
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

        /// The short way for records of the newest interval decides as the long one does.
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
