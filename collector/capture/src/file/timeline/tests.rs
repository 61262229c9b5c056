//! Tests of which times are believed: cases, and a property test with a plain model.

use proptest::prelude::*;

use super::*;

const S: i64 = SECOND_US;
const T: i64 = 1_700_000_000;
const DAY: i64 = 86_400;

/// Places a whole capture, as [`Capture`](crate::file::Capture) does.
fn place(times: &[i64]) -> Vec<Option<Placed>> {
    let mut timeline = Timeline::default();
    (0..times.len())
        .map(|at| {
            let end = times.len().min(at + 2 * LOOK_AHEAD + 1);
            let ahead: Vec<_> = times[at..end].iter().map(|&time| storable(time)).collect();
            timeline.near(times[at]).or_else(|| timeline.place(&ahead))
        })
        .collect()
}

/// The seconds at which records at these seconds count; negative where the time is not their own.
fn seconds(times: &[i64]) -> Vec<i64> {
    let times: Vec<_> = times.iter().map(|time| time * S).collect();
    let second = |placed: &Option<Placed>| {
        let placed = placed.expect("a time");
        match placed.kind {
            TimeKind::Displaced => -placed.time_us / S,
            TimeKind::Own | TimeKind::SetBack => placed.time_us / S,
        }
    };
    place(&times).iter().map(second).collect()
}

/// Asserts that every record counts at its own time.
fn all_own(times: &[i64]) {
    assert_eq!(seconds(times), times);
}

fn run(from: i64, count: i64) -> impl Iterator<Item = i64> {
    (0..count).map(move |second| from + second)
}

#[test]
fn two_nonsense_times_in_a_row_carry_nothing_with_them() {
    let mut times: Vec<_> = run(T, 10).collect();
    times.extend([2_314_000_000, 4_080_000_000]);
    times.extend(run(T + 10, 100));
    let mut expected = times.clone();
    expected[10..12].fill(-(T + 9));
    assert_eq!(seconds(&times), expected);
}

#[test]
fn the_first_record_has_no_privilege() {
    let times = [2_100_000_000, T, T + 60, T + 120];
    assert_eq!(seconds(&times), [-T, T, T + 60, T + 120]);
    let times = [1, 5, T, T + 60, T + 120, T + 180];
    assert_eq!(seconds(&times)[..2], [-T, -T]);
}

#[test]
fn runs_of_nonsense_that_agree_are_nonsense_if_the_times_return() {
    for length in 1..=LOOK_AHEAD {
        let mut times: Vec<_> = run(T, 40).collect();
        times.extend(run(2_000_000_000, length as i64));
        times.extend(run(T + 40, 40));
        let displaced = seconds(&times).iter().filter(|&&time| time < 0).count();
        assert_eq!(displaced, length);
    }
    // Alternating.
    let times: Vec<_> = run(T, 40).flat_map(|time| [time, 5 * time % T]).collect();
    let own = seconds(&times).into_iter().step_by(2);
    assert_eq!(own.collect::<Vec<_>>(), run(T, 40).collect::<Vec<_>>());
}

#[test]
fn three_records_at_the_end_are_nonsense_and_four_are_believed() {
    for (count, displaced) in [(1, 1), (2, 2), (3, 3), (4, 0)] {
        for level in [2_000_000_000, 0] {
            let times: Vec<_> = run(T, 10).chain(run(level, count)).collect();
            let found = seconds(&times).iter().filter(|&&time| time < 0).count();
            assert_eq!(found, displaced, "{count} from {level}");
        }
    }
}

#[test]
fn a_clock_that_is_set_for_good_is_followed() {
    let year = 365 * DAY;
    for step in [
        3601,
        2 * 3600,
        DAY,
        30 * DAY,
        10 * year,
        -180,
        -3600,
        -DAY,
        -10 * year,
    ] {
        for length in [4, 5, 300] {
            let times: Vec<_> = run(T, 300).chain(run(T + 300 + step, length)).collect();
            all_own(&times);
            let micros: Vec<_> = times.iter().map(|time| time * S).collect();
            let back = place(&micros)[300].map(|placed| placed.kind == TimeKind::SetBack);
            assert_eq!(back, Some(step < 0), "{step}");
        }
    }
}

#[test]
fn a_quiet_capture_has_gaps() {
    all_own(&[T]);
    all_own(&[T, T + 2 * 3600]);
    all_own(&[T, T + 1, T + 5 * 3600, T + 2 * DAY, T + 8 * DAY]);
    let hours: Vec<_> = (0..100).map(|hour| T + hour * 7200).collect();
    all_own(&hours);
    // With a nonsense time in it.
    let mut times = hours.clone();
    times.insert(50, 2_000_000_000);
    let mut expected = times.clone();
    expected[50] = -times[49];
    assert_eq!(seconds(&times), expected);
    // Neighbours that come out of order after a gap.
    all_own(&[T, T + 3605, T + 3598, T + 3606]);
}

#[test]
fn late_records_are_no_nonsense() {
    let mut times: Vec<_> = run(T, 400).collect();
    times.extend([T + 3, T + 400, T - 3000, T - 2999, T + 401]);
    all_own(&times);
    assert!(
        place(&times.iter().map(|time| time * S).collect::<Vec<_>>())
            .iter()
            .all(|placed| placed.is_some_and(|placed| placed.kind == TimeKind::Own))
    );
}

#[test]
fn times_that_cannot_be_stored_are_never_believed() {
    let far = LAST_US + 1;
    let times = [-1, T * S, i64::MIN, i64::MAX, (T + 1) * S, far];
    let found: Vec<_> = place(&times)
        .into_iter()
        .map(|placed| placed.map(|placed| placed.time_us / S))
        .collect();
    assert_eq!(found, [T, T, T, T, T + 1, T + 1].map(Some));
    assert_eq!(place(&[-1, far, -5]), [None; 3]);
    // The level may lie at either end.
    assert_eq!(
        place(&[0, -1])[1].map(|placed| placed.kind),
        Some(TimeKind::Displaced)
    );
    assert_eq!(
        place(&[far - 1, far])[1].map(|placed| placed.kind),
        Some(TimeKind::Displaced)
    );
}

/// Good records of one level of the clock, and nonsense among them.
#[derive(Clone, Debug)]
struct Level {
    /// Seconds since 1970.
    start: i64,
    /// Seconds from each record to the next, and seconds that the record comes late.
    steps: Vec<(i64, i64)>,
    /// Places and lengths of runs of nonsense, in steps of three records.
    short: Vec<(usize, usize)>,
    /// Length of a run of nonsense that agrees, after 40 records.
    long: usize,
}

fn any_level() -> impl Strategy<Value = Level> {
    (
        978_307_200..1_900_000_000i64,
        proptest::collection::vec((0..50i64, prop_oneof![Just(0), 0..100i64]), 80..200),
        proptest::collection::vec((0..60usize, 1..=3usize), 0..12),
        0..=LOOK_AHEAD,
    )
        .prop_map(|(start, steps, short, long)| Level {
            start,
            steps,
            short,
            long,
        })
}

proptest! {
    /// Levels follow one another by steps of any size; nonsense is among them, at their starts and at
    /// the end of the capture. Every good record counts at its own time, and every other with its
    /// neighbours.
    #[test]
    fn every_good_record_counts_at_its_own_time(levels in proptest::collection::vec(any_level(), 1..4), end in 0..=3usize) {
        let mut nonsense = 0;
        // Every run has a time of its own, far from all others.
        let mut next = |length: usize| {
            nonsense += 1;
            let from = 2_000_000_000 + nonsense * 30 * DAY;
            run(from, length as i64).map(|time| (time, false)).collect::<Vec<_>>()
        };
        let mut records: Vec<(i64, bool)> = Vec::new();
        for level in &levels {
            let mut time = level.start;
            let newest = records.iter().rev().find(|(_, good)| *good).map(|&(time, _)| time);
            if newest.is_some_and(|newest| (newest - 2 * 3600..newest + 3600).contains(&time)) {
                time += 4 * 3600;
            }
            for (at, (step, late)) in level.steps.iter().enumerate() {
                for &(place, length) in &level.short {
                    if place * 3 == at {
                        records.extend(next(length));
                        break;
                    }
                }
                if at == 40 {
                    records.extend(next(level.long));
                }
                time += step;
                records.push((time - late, true));
            }
        }
        records.extend(next(end));
        let times: Vec<_> = records.iter().map(|(time, _)| *time).collect();
        let found = seconds(&times);
        for (at, &(time, good)) in records.iter().enumerate() {
            if good {
                prop_assert_eq!(found[at], time, "record {}", at);
            } else {
                prop_assert!(found[at] < 0, "record {}", at);
            }
        }
    }

    /// Whatever the times, a record counts at a time that can be stored.
    #[test]
    fn any_times_are_placed(times in proptest::collection::vec(prop_oneof![any::<i64>(), 0..LAST_US, T * S..(T + 9000) * S], 0..200)) {
        for placed in place(&times).into_iter().flatten() {
            prop_assert!(storable(placed.time_us).is_some());
        }
    }
}
