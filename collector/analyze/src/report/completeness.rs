//! How much of each day was observed, by sensor, as the daily ledgers say.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::civil::Date;

use super::database::Database;
use super::period::{Period, Span, length_ms};
use super::questions;
use super::rows::Row;

/// A day counts as complete if this share of it was observed.
const WHOLE: f64 = 0.999;
/// A day is compared with others if this share of it was observed.
const COMPARABLE: f64 = 0.9;
/// Counts of the ledger that the page repeats, in its order; the last is the number of intervals.
pub const COUNTS: [&str; 12] = [
    "incomplete",
    "degraded",
    "partial",
    "dark",
    "counted",
    "lost_unserved",
    "lost_rx_dropped",
    "lost_rx_ring_full",
    "lost_unexplained",
    "overflow",
    "late",
    "intervals",
];

/// One sensor's account of a day.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Time observed.
    pub observed_ms: i64,
    /// IPv4 addresses observed x milliseconds.
    pub address_ms: i64,
    /// IPv4 addresses observed, the mean over the time observed.
    pub addresses: Option<f64>,
    /// IPv4 addresses observed x hours.
    pub address_hours: Option<f64>,
    /// Length of the intervals; 0 if unknown.
    pub interval_seconds: i64,
    counts: BTreeMap<&'static str, i64>,
    /// Versions of the prefix list, first and last of the day.
    pub prefixes: [String; 2],
    /// Names of the expressions that flow rows carry, first and last of the day.
    pub constants: [String; 2],
}

impl Account {
    /// The account of a day without intervals, of a sensor with intervals of this length.
    pub fn empty(interval_seconds: i64) -> Self {
        Self {
            interval_seconds,
            ..Self::default()
        }
    }

    fn of(row: Row<'_>) -> Result<Self> {
        let counts = COUNTS.map(|name| row.int(name).map(|value| (name, value)));
        let texts = |first: &str, last: &str| -> Result<[String; 2]> {
            Ok([row.text(first)?.to_owned(), row.text(last)?.to_owned()])
        };
        Ok(Self {
            observed_ms: row.int("observed_ms")?,
            address_ms: row.int("address_ms")?,
            addresses: row.float("addresses")?,
            address_hours: row.float("address_hours")?,
            interval_seconds: row.int("interval_seconds")?,
            counts: counts.into_iter().collect::<Result<_>>()?,
            prefixes: texts("prefixes_first", "prefixes_last")?,
            constants: texts("constants_first", "constants_last")?,
        })
    }

    /// One of [`COUNTS`].
    pub fn count(&self, name: &str) -> i64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// Packets lost, over all causes.
    pub fn lost(&self) -> i64 {
        let causes = COUNTS.iter().filter(|name| name.starts_with("lost_"));
        causes.map(|name| self.count(name)).sum()
    }

    /// Number of intervals that a day of this length lacks.
    pub fn missing_intervals(&self, length_ms: i64) -> i64 {
        let interval_ms = self.interval_seconds.max(1) * 1000;
        (length_ms / interval_ms - self.count("intervals")).max(0)
    }

    /// True if the day was observed from its beginning to its end and every interval is complete and
    /// exact.
    pub fn is_whole(&self, length_ms: i64) -> bool {
        self.observed_ms as f64 >= WHOLE * length_ms as f64
            && self.count("incomplete") == 0
            && self.count("degraded") == 0
    }
}

/// The accounts of all days and sensors, those of the baseline included.
pub struct Completeness {
    accounts: BTreeMap<(Date, String), Account>,
    lengths: BTreeMap<Date, i64>,
    sensors: BTreeSet<String>,
    /// Versions of prefix lists, rules and collectors in the period.
    pub versions: BTreeSet<String>,
}

impl Completeness {
    /// Reads the accounts of the days of a span, which the period ends.
    ///
    /// # Errors
    /// As [`Database::execute`].
    pub fn read(database: &Database<'_>, span: Span, period: &Period) -> Result<Self> {
        let rows = database.execute(&questions::COMPLETENESS, span, &[])?;
        let mut accounts = BTreeMap::new();
        let mut versions = BTreeSet::new();
        for row in rows.iter() {
            let date = row.date("date")?;
            if period.has(date) {
                for what in ["prefixes", "rules", "software"] {
                    for end in ["first", "last"] {
                        versions.insert(format!("{what} {}", row.text(&format!("{what}_{end}"))?));
                    }
                }
            }
            accounts.insert((date, row.text("sensor")?.to_owned()), Account::of(row)?);
        }
        let mut lengths = BTreeMap::new();
        for date in span.days() {
            lengths.insert(date, length_ms(database.zone(), date)?);
        }
        Ok(Self {
            accounts,
            lengths,
            sensors: database.sensors().clone(),
            versions,
        })
    }

    /// A sensor's account of a day.
    pub fn account(&self, date: Date, sensor: &str) -> Option<&Account> {
        self.accounts.get(&(date, sensor.to_owned()))
    }

    /// Accounts of a day, of all sensors.
    pub fn of_day(&self, date: Date) -> impl Iterator<Item = &Account> {
        let sensors = self.sensors.iter();
        sensors.filter_map(move |sensor| self.account(date, sensor))
    }

    /// The sensors.
    pub const fn sensors(&self) -> &BTreeSet<String> {
        &self.sensors
    }

    /// Length of a day in milliseconds.
    pub fn length_ms(&self, date: Date) -> i64 {
        self.lengths.get(&date).copied().unwrap_or(86_400_000)
    }

    /// True if any sensor has an account of the day.
    pub fn has(&self, date: Date) -> bool {
        self.of_day(date).next().is_some()
    }

    /// True if enough of a day was observed to compare it with others.
    pub fn is_comparable(&self, date: Date) -> bool {
        let observed: i64 = self.of_day(date).map(|account| account.observed_ms).sum();
        let whole = self.length_ms(date) as f64 * self.sensors.len() as f64;
        whole > 0.0 && observed as f64 >= COMPARABLE * whole
    }

    /// Days of a period whose figures are too small because some sensor did not observe all of them.
    pub fn incomplete(&self, period: &Period) -> BTreeSet<Date> {
        let whole = |date: &Date| {
            let length = self.length_ms(*date);
            let whole = |sensor: &String| {
                let account = self.account(*date, sensor);
                account.is_some_and(|account| account.is_whole(length))
            };
            !self.sensors.is_empty() && self.sensors.iter().all(whole)
        };
        let days = period.days().into_iter();
        days.filter(|date| !whole(date)).collect()
    }

    /// The longest interval of a sensor in the period, in seconds.
    pub fn interval_seconds(&self, period: &Period, sensor: &str) -> Option<i64> {
        let days = period.days();
        let accounts = days.iter().filter_map(|date| self.account(*date, sensor));
        accounts.map(|account| account.interval_seconds).max()
    }
}
