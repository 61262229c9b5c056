//! Outages: times of an hour or longer of which a sensor has no interval.
//!
//! Names of ledger files contain the start of their interval, so that no file is read.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::completeness::Completeness;
use super::database::Database;
use super::period::{Period, start};

/// Shorter gaps are not outages.
const LEAST: SignedDuration = SignedDuration::from_hours(1);

/// A sensor's day.
#[derive(Clone, Debug)]
struct SensorDay {
    sensor: String,
    date: Date,
    /// Length of the sensor's intervals; 0 if unknown.
    interval_seconds: i64,
    /// Number of intervals in its account.
    intervals: i64,
    /// No interval of the day is missing.
    whole: bool,
}

fn sensor_days(completeness: &Completeness, period: &Period) -> Vec<SensorDay> {
    let mut all = Vec::new();
    for sensor in completeness.sensors() {
        let interval_seconds = completeness.interval_seconds(period, sensor).unwrap_or(0);
        for date in period.days() {
            let account = completeness.account(date, sensor);
            let length_ms = completeness.length_ms(date);
            all.push(SensorDay {
                sensor: sensor.clone(),
                date,
                interval_seconds,
                intervals: account.map_or(0, |account| account.count("intervals")),
                whole: account.is_some_and(|account| account.missing_intervals(length_ms) == 0),
            });
        }
    }
    all
}

/// A time without intervals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The sensor.
    pub sensor: String,
    /// End of the last interval before the outage.
    pub from: Timestamp,
    /// Start of the first interval after it.
    pub to: Timestamp,
}

/// Outages within a period, the longest first.
///
/// # Errors
/// If the store cannot be listed.
pub fn find(
    database: &Database<'_>,
    completeness: &Completeness,
    period: &Period,
) -> Result<Vec<Outage>> {
    let zone = database.zone();
    let days = sensor_days(completeness, period);
    let mut dates = BTreeSet::new();
    for day in days.iter().filter(|day| !day.whole && day.intervals > 0) {
        let begins = start(zone, day.date)?;
        let ends = start(zone, day.date.tomorrow()?)?;
        dates.insert(begins.to_zoned(TimeZone::UTC).date());
        dates.insert(ends.to_zoned(TimeZone::UTC).date());
    }
    let mut starts: BTreeMap<String, BTreeSet<Timestamp>> = BTreeMap::new();
    for date in dates {
        for (sensor, begins) in database.interval_starts(date)? {
            starts.entry(sensor).or_default().insert(begins);
        }
    }
    let mut spans: BTreeMap<&str, Vec<(Timestamp, Timestamp)>> = BTreeMap::new();
    for day in &days {
        let spans = spans.entry(day.sensor.as_str()).or_default();
        let begins = start(zone, day.date)?;
        let ends = start(zone, day.date.tomorrow()?)?;
        let length = SignedDuration::from_secs(day.interval_seconds);
        let within = (starts.get(&day.sensor)).map(|starts| starts.range(begins..ends));
        let mut within = within.into_iter().flatten().peekable();
        // Files of the day may have expired: then only its account is known.
        if day.whole || day.intervals > 0 && within.peek().is_none() {
            spans.push((begins, ends));
        } else {
            for begins in within {
                spans.push((*begins, begins.checked_add(length)?));
            }
        }
    }
    let (from, to) = (
        start(zone, period.from)?,
        start(zone, period.to.tomorrow()?)?,
    );
    let all = spans
        .iter()
        .flat_map(|(sensor, spans)| gaps(sensor, spans, from, to));
    let mut all: Vec<Outage> = all.collect();
    all.sort_by_key(|outage| {
        let length = outage.to.duration_since(outage.from);
        (
            std::cmp::Reverse(length),
            outage.from,
            outage.sensor.clone(),
        )
    });
    Ok(all)
}

/// Times of [`LEAST`] or longer between spans, which are sorted.
fn gaps(
    sensor: &str,
    spans: &[(Timestamp, Timestamp)],
    from: Timestamp,
    to: Timestamp,
) -> Vec<Outage> {
    let mut reached = from;
    let mut all = Vec::new();
    for (begins, ends) in spans.iter().copied().chain([(to, to)]) {
        if begins.duration_since(reached) >= LEAST {
            all.push(Outage {
                sensor: sensor.to_owned(),
                from: reached,
                to: begins,
            });
        }
        reached = reached.max(ends);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3600).unwrap()
    }

    #[test]
    fn gaps_of_an_hour_are_outages() {
        let found = |spans: &[(i64, i64)]| {
            let spans: Vec<_> = spans
                .iter()
                .map(|(from, to)| (at(*from), at(*to)))
                .collect();
            let all = gaps("a", &spans, at(0), at(24));
            all.iter()
                .map(|gap| (gap.from.as_second() / 3600, gap.to.as_second() / 3600))
                .collect::<Vec<_>>()
        };
        assert_eq!(found(&[]), [(0, 24)]);
        assert_eq!(found(&[(0, 24)]), []);
        assert_eq!(found(&[(0, 5), (6, 24)]), [(5, 6)]);
        assert_eq!(found(&[(1, 2), (1, 3), (3, 23)]), [(0, 1), (23, 24)]);
        let spans = [
            (at(0), at(5)),
            (Timestamp::from_second(5 * 3600 + 3599).unwrap(), at(24)),
        ];
        assert!(
            gaps("a", &spans, at(0), at(24)).is_empty(),
            "less than an hour"
        );
    }
}
