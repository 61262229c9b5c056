//! Tests of the assignment of intervals.

use super::*;
use proptest::prelude::*;

const S: i64 = 1_000_000;

fn own(time_us: i64) -> Placed {
    Placed {
        time_us,
        kind: TimeKind::Own,
    }
}

fn assign(times: &[(i64, TimeKind)]) -> Vec<(IntervalStart, Timing)> {
    let mut clock = IntervalClock::new(60);
    (times.iter())
        .map(|&(time, kind)| {
            let assigned = clock.assign(Placed {
                time_us: time * S,
                kind,
            });
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
    let times = [10, 70, 59, 130, 59].map(|time| (time, TimeKind::Own));
    assert_eq!(assign(&times), expected);
}

#[test]
fn nonsense_counts_as_a_time_jump_where_it_is_placed() {
    use Timing::{Jump, OnTime};
    let times = [
        (10, TimeKind::Displaced),
        (10, TimeKind::Own),
        (300, TimeKind::Own),
        (300, TimeKind::Displaced),
        (10, TimeKind::Displaced),
    ];
    let expected = [
        (0, Jump),
        (0, OnTime),
        (300, OnTime),
        (300, Jump),
        (240, Jump),
    ];
    assert_eq!(assign(&times), expected);
}

#[test]
fn a_clock_that_was_set_back_is_followed() {
    use Timing::{Late, OnTime};
    let times = [
        (7200, TimeKind::Own),
        (7150, TimeKind::SetBack),
        (3600, TimeKind::SetBack),
        (3661, TimeKind::Own),
        (10, TimeKind::Own),
    ];
    let expected = [
        (7200, OnTime),
        (7140, OnTime),
        (3600, OnTime),
        (3660, OnTime),
        (3600, Late),
    ];
    assert_eq!(assign(&times), expected);
    let mut clock = IntervalClock::new(60);
    clock.assign(own(7200 * S));
    let back = Placed {
        time_us: 3600 * S,
        kind: TimeKind::SetBack,
    };
    let advance = clock.assign(back).advanced.unwrap();
    assert!(advance.set_back() && advance.closed_through == LAST_INTERVAL);
}

#[test]
fn intervals_without_records_are_reported_within_an_hour() {
    let mut clock = IntervalClock::new(60);
    clock.assign(own(0));
    let advance = clock.assign(own(200 * S)).advanced.unwrap();
    assert_eq!(
        advance,
        Advance {
            closed_through: 60,
            empty: (60, 180),
            after_gap: false,
        }
    );
    let advance = clock.assign(own(9000 * S)).advanced.unwrap();
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
    for time in times {
        let advanced = clock.assign(own(time * S)).advanced;
        observed.add(time * S, advanced.is_some_and(|advance| advance.after_gap));
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
    let parts = parts(3600, &[10, 1800, 12_000, 15_000]);
    assert_eq!(parts[0], (10, 1800));
    assert_eq!(parts[1].0, parts[1].1, "not observed");
    assert_eq!(parts[3..], [(12_000, 14_400), (14_400, 15_000)]);
    // Two gaps, and the interval before the first is still open at the second.
    let parts = self::parts(3600, &[10, 5460, 10_800, 10_801]);
    assert_eq!(parts[..2], [(10, 10), (5460, 5460)]);
}

fn any_kind() -> impl Strategy<Value = TimeKind> {
    prop_oneof![
        Just(TimeKind::Own),
        Just(TimeKind::SetBack),
        Just(TimeKind::Displaced)
    ]
}

fn any_placed(time: impl Strategy<Value = i64>) -> impl Strategy<Value = Placed> {
    (time, any_kind()).prop_map(|(time_us, kind)| Placed { time_us, kind })
}

proptest! {
    /// Whatever the times, a record lands in one of the two open intervals, and closed
    /// intervals are never written to again, unless the clock was set back.
    #[test]
    fn closed_intervals_stay_closed(times in proptest::collection::vec(any_placed((0..1i64 << 50).prop_map(|t| t >> 6)), 1..60)) {
        let mut clock = IntervalClock::new(60);
        let mut closed = i64::MIN;
        for placed in times {
            let assigned = clock.assign(placed);
            if let Some(advance) = assigned.advanced {
                if advance.set_back() {
                    prop_assert_eq!(placed.kind, TimeKind::SetBack);
                    closed = assigned.interval - 120;
                }
                else {
                    prop_assert!(advance.closed_through >= closed);
                    closed = advance.closed_through;
                    prop_assert_eq!(assigned.interval, closed + 120);
                }
            }
            prop_assert!(assigned.interval > closed);
            prop_assert_eq!(assigned.interval % 60, 0);
        }
    }

    /// The fast path for records of the newest interval agrees with the full path.
    #[test]
    fn both_ways_agree(seconds in prop_oneof![Just(1u32), Just(60), Just(3600)], times in proptest::collection::vec(any_placed(prop_oneof![0..9000 * S, Just(i64::MIN), Just(i64::MAX), any::<i64>()]), 1..60)) {
        let [mut short, mut long] = [IntervalClock::new(seconds); 2];
        for placed in times {
            prop_assert_eq!(short.assign(placed), long.elsewhere(placed));
        }
    }
}
