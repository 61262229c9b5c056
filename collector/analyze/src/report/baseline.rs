//! The baseline of a series of days, and the events that leave it.
//!
//! A day's baseline is up to 28 days before it that belong to no event. Its centre is their median,
//! its width a multiple of their median absolute deviation: single days cannot move either.

use std::ops::Range;

/// Days of the baseline.
const BASELINE: usize = 28;
/// A shorter baseline is not used.
const LEAST: usize = 14;
/// How far back a baseline reaches, in calendar days.
pub const REACH: i32 = 56;
/// An event goes on if at most so many days without it lie between.
const GAP: usize = 3;
/// An event of so many days becomes the baseline.
const LASTING: usize = 28;
/// Distance of the limits from the median, in deviations.
const WIDTH: f64 = 6.0;
/// Standard deviation of a normal distribution over its median absolute deviation.
const NORMAL: f64 = 1.4826;
/// The smallest deviation, in packets or sources: smaller differences are noise.
const LEAST_DEVIATION: f64 = 10.0;
/// The smallest deviation, as a share of the median, for rises and for falls.
const LEAST_SHARE: [f64; 2] = [0.1, 0.05];
/// Falls are looked for only if the median is at least this.
const LEAST_TO_FALL: f64 = 500.0;

/// A series on one complete day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The day's number in the calendar.
    pub day: i32,
    /// Packets or sources.
    pub value: i64,
}

/// The side of the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Above.
    Rise,
    /// Below.
    Fall,
}

/// Days on which a series was beyond a limit of its baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The side.
    pub direction: Direction,
    /// Positions of its days in the series, in order.
    pub days: Vec<usize>,
    /// Positions of the days of the baseline of its first day.
    pub baseline: Vec<usize>,
    /// Position of the day furthest from the baseline.
    pub peak: usize,
    /// The median before that day.
    pub usual: f64,
    /// The limit on that day.
    pub limit: f64,
}

/// A series compared with its baselines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluated {
    /// Events by their first day.
    pub events: Vec<Event>,
    /// Positions of days whose baseline is too short.
    pub without_baseline: Vec<usize>,
}

/// The median of values, which are sorted in place; 0 without values.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Median, upper and lower limit of a baseline; no lower limit if the series is too small to fall.
fn limits(baseline: &[f64]) -> (f64, f64, Option<f64>) {
    let usual = median(&mut baseline.to_vec());
    let mut distances: Vec<f64> = baseline.iter().map(|value| (value - usual).abs()).collect();
    let deviation = NORMAL * median(&mut distances);
    let width = |share: f64| {
        let least = (share * usual).max(usual.sqrt()).max(LEAST_DEVIATION);
        WIDTH * deviation.max(least)
    };
    let lower = usual - width(LEAST_SHARE[1]);
    let lower = (usual >= LEAST_TO_FALL && lower > 0.0).then_some(lower);
    (usual, usual + width(LEAST_SHARE[0]), lower)
}

/// Finds the events of a series of complete days, which are sorted by day.
pub fn evaluate(series: &[Point]) -> Evaluated {
    let mut evaluated = Evaluated::default();
    let mut outside = vec![false; series.len()];
    let mut open: [Option<Event>; 2] = [None, None];
    for (at, point) in series.iter().enumerate() {
        let baseline = baseline(series, &outside, at);
        if baseline.len() < LEAST {
            evaluated.without_baseline.push(at);
            continue;
        }
        let values: Vec<f64> = (baseline.iter())
            .map(|day| series[*day].value as f64)
            .collect();
        let (usual, upper, lower) = limits(&values);
        let value = point.value as f64;
        let (direction, limit) = match lower {
            _ if value > upper => (Direction::Rise, upper),
            Some(lower) if value < lower => (Direction::Fall, lower),
            _ => continue,
        };
        outside[at] = true;
        let place = &mut open[direction as usize];
        let goes_on = |event: &Event| at - last(event) - 1 <= GAP;
        if let Some(over) = place.take_if(|event| !goes_on(event)) {
            evaluated.events.push(over);
        }
        let event = place.get_or_insert_with(|| Event {
            direction,
            days: Vec::new(),
            baseline,
            peak: at,
            usual,
            limit,
        });
        event.days.push(at);
        let further = match direction {
            Direction::Rise => point.value > series[event.peak].value,
            Direction::Fall => point.value < series[event.peak].value,
        };
        if further {
            (event.peak, event.usual, event.limit) = (at, usual, limit);
        }
        // An event of this length is the new baseline.
        if let Some(over) = place.take_if(|event| at - event.days[0] + 1 >= LASTING) {
            for day in &over.days {
                outside[*day] = false;
            }
            evaluated.events.push(over);
        }
    }
    evaluated.events.extend(open.into_iter().flatten());
    evaluated
        .events
        .sort_by_key(|event| (event.days[0], event.direction));
    evaluated
}

fn last(event: &Event) -> usize {
    event.days.last().copied().unwrap_or_default()
}

/// Positions of the days of the baseline of a day, the last first.
fn baseline(series: &[Point], outside: &[bool], at: usize) -> Vec<usize> {
    let before: Range<usize> = 0..at;
    let reached = before
        .rev()
        .take_while(|day| series[at].day - series[*day].day <= REACH);
    reached
        .filter(|day| !outside[*day])
        .take(BASELINE)
        .collect()
}

/// Position of the first day from `from` on with at least `least`, and the median of the days of its
/// baseline; `None` if the baseline is too short, or one of its days has `least` or more.
pub fn first_above(series: &[Point], from: i32, least: i64) -> Option<(usize, f64)> {
    let reaches = |point: &Point| point.day >= from && point.value >= least;
    let at = series.iter().position(reaches)?;
    let before = baseline(series, &vec![false; series.len()], at);
    let quiet = before.iter().all(|day| series[*day].value < least);
    let mut values: Vec<f64> = before.iter().map(|day| series[*day].value as f64).collect();
    (before.len() >= LEAST && quiet).then(|| (at, median(&mut values)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(values: impl IntoIterator<Item = i64>) -> Vec<Point> {
        let days = 17_000..;
        let points = days.zip(values);
        points.map(|(day, value)| Point { day, value }).collect()
    }

    #[test]
    fn the_median_of_values() {
        assert_eq!(median(&mut []), 0.0);
        assert_eq!(median(&mut [3.0]), 3.0);
        assert_eq!(median(&mut [9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 100.0]), 3.0);
    }

    #[test]
    fn a_spike_is_an_event_with_its_numbers() {
        // Median 1000, median distance 10: the limit is 6 * max(14.826, 100, 31.6, 10) above.
        let usual = (0..30).map(|day| [990, 1000, 1010][day % 3]);
        let points = series(usual.chain([1600, 1601, 1000, 5000, 1000]));
        let evaluated = evaluate(&points);
        assert_eq!(evaluated.without_baseline, (0..14).collect::<Vec<_>>());
        let [event] = &evaluated.events[..] else {
            panic!("{:?}", evaluated.events);
        };
        // 1600 is the limit itself, which is not above it.
        assert_eq!(event.days, [31, 33]);
        assert_eq!((event.peak, event.usual, event.limit), (33, 1000.0, 1600.0));
        assert_eq!(event.baseline, (3..31).rev().collect::<Vec<_>>());
    }

    #[test]
    fn a_fall_needs_a_series_that_can_fall() {
        let falls = |level: i64, to: i64| {
            let points = series(std::iter::repeat_n(level, 20).chain([to]));
            evaluate(&points)
                .events
                .into_iter()
                .map(|event| event.limit)
                .collect::<Vec<_>>()
        };
        // 6 * max(0.05 * 1000, sqrt(1000), 10) = 300 below.
        assert_eq!(falls(1000, 699), [700.0]);
        assert!(falls(1000, 700).is_empty());
        assert!(falls(499, 0).is_empty(), "too small to fall");
        assert_eq!(falls(1_000_000, 0), [700_000.0]);
    }

    #[test]
    fn what_lasts_becomes_usual() {
        let points = series(std::iter::repeat_n(1000, 30).chain(std::iter::repeat_n(5000, 60)));
        let evaluated = evaluate(&points);
        let [event] = &evaluated.events[..] else {
            panic!("{:?}", evaluated.events);
        };
        assert_eq!(event.days, (30..58).collect::<Vec<_>>());
        // Days 30 to 57 are the new baseline: a day at the old level would be a fall now.
        let back = points.iter().copied().chain([Point {
            day: 17_090,
            value: 1000,
        }]);
        let evaluated = evaluate(&back.collect::<Vec<_>>());
        assert_eq!(evaluated.events[1].direction, Direction::Fall);
    }

    #[test]
    fn gaps_of_three_days_do_not_part_an_event() {
        let usual = std::iter::repeat_n(1000, 20);
        for (gap, events) in [(3, 1), (4, 2)] {
            let quiet = std::iter::repeat_n(1000, gap);
            let points = series(usual.clone().chain([9000]).chain(quiet).chain([9000]));
            assert_eq!(evaluate(&points).events.len(), events, "{gap} days between");
        }
    }

    #[test]
    fn missing_days_count_for_the_reach_and_not_for_the_gap() {
        let mut points = series(std::iter::repeat_n(1000, 20).chain([9000, 9000]));
        points[21].day += 30;
        // Still one event: no complete day lies between.
        assert_eq!(evaluate(&points).events.len(), 1);
        points[21].day += 60;
        let evaluated = evaluate(&points);
        assert_eq!(evaluated.events.len(), 1);
        assert!(
            evaluated.without_baseline.contains(&21),
            "nothing usual within reach"
        );
    }

    #[test]
    fn a_first_day_needs_quiet_days_before() {
        let quiet = series(std::iter::repeat_n(1, 14).chain([7, 8]));
        assert_eq!(first_above(&quiet, 17_000, 5), Some((14, 1.0)));
        assert_eq!(first_above(&quiet[1..], 17_000, 5), None, "13 days");
        let known = series([5].into_iter().chain(std::iter::repeat_n(1, 20)).chain([9]));
        assert_eq!(first_above(&known, 17_001, 5), None);
        assert_eq!(first_above(&quiet, 17_000, 50), None);
    }

    proptest! {
        #[test]
        fn no_series_is_outside_its_own_noise(level in 0i64..1_000_000, noise in prop::collection::vec(-9i64..=9, 1..80)) {
            // A deviation of at least 10 packets allows 60 above and below.
            let points = series(noise.iter().map(|noise| (level + noise).max(0)));
            prop_assert!(evaluate(&points).events.is_empty());
        }

        #[test]
        fn events_are_in_order_apart_and_outside(values in prop::collection::vec(prop_oneof![3 => 900i64..1100, 1 => 0i64..20_000], 1..150)) {
            let points = series(values);
            let evaluated = evaluate(&points);
            for direction in [Direction::Rise, Direction::Fall] {
                let mut last_day = None;
                for event in evaluated.events.iter().filter(|event| event.direction == direction) {
                    prop_assert!(event.days.is_sorted());
                    prop_assert!(event.days.contains(&event.peak));
                    prop_assert!(last_day.is_none_or(|last| last < event.days[0]));
                    last_day = event.days.last().copied();
                    prop_assert!(event.days.windows(2).all(|pair| pair[1] - pair[0] <= GAP + 1));
                    // Days without the event may lie where it would have become the baseline.
                    prop_assert!(event.days[event.days.len() - 1] - event.days[0] < LASTING + GAP);
                    let value = points[event.peak].value as f64;
                    match direction {
                        Direction::Rise => prop_assert!(value > event.limit && event.limit > event.usual),
                        Direction::Fall => prop_assert!(value < event.limit && event.limit < event.usual),
                    }
                    prop_assert!(event.baseline.len() >= LEAST && event.baseline.len() <= BASELINE);
                    prop_assert!(event.baseline.iter().all(|day| *day < event.days[0]));
                }
            }
        }

        #[test]
        fn scaling_a_large_series_changes_no_event(values in prop::collection::vec(prop_oneof![4 => 100_000i64..130_000, 1 => 100_000i64..2_000_000], 20..100), factor in 2i64..50) {
            // If the smallest deviation is a share of the median, limits scale with the series.
            let days = |values: &[i64], factor: i64| {
                let points = series(values.iter().map(|value| value * factor));
                evaluate(&points).events.into_iter().map(|event| event.days).collect::<Vec<_>>()
            };
            prop_assert_eq!(days(&values, 1), days(&values, factor));
        }
    }
}
