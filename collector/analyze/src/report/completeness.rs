//! C1: what was observed, and what is missing of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::civil::Date;
use noctule_page::model::{Cell, Form, Kind, Population, Section, Table};

use super::context::Context;
use super::outages::{self, Observed};
use super::period::{Period, length_ms};
use super::questions;
use super::rows::{Row, Rows};
use super::table_builder::{self, Build as _, int, maybe_int, note, number, share, text, value};

/// A day is whole if so much of it was observed.
const WHOLE: f64 = 0.999;
/// A day can be compared with others if so much of it was observed.
const COMPARABLE: f64 = 0.9;
/// Outages that are named.
const OUTAGES: usize = 20;
/// Counts of the ledger that a day's row repeats.
const COUNTS: [&str; 12] = [
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
    observed_ms: i64,
    address_ms: i64,
    addresses: Option<f64>,
    address_hours: Option<f64>,
    interval_seconds: i64,
    counts: BTreeMap<&'static str, i64>,
    prefixes: [String; 2],
    /// Names of the expressions that flow rows carry, first and last of the day.
    pub constants: [String; 2],
}

impl Account {
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

    fn count(&self, name: &str) -> i64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    fn lost(&self) -> i64 {
        let causes = COUNTS.iter().filter(|name| name.starts_with("lost_"));
        causes.map(|name| self.count(name)).sum()
    }

    /// Intervals that a day of this length should have beyond those that it has.
    fn missing(&self, length_ms: i64) -> i64 {
        let interval_ms = self.interval_seconds.max(1) * 1000;
        (length_ms / interval_ms - self.count("intervals")).max(0)
    }

    fn is_whole(&self, length_ms: i64) -> bool {
        self.observed_ms as f64 >= WHOLE * length_ms as f64
            && self.count("incomplete") == 0
            && self.count("degraded") == 0
    }
}

/// What is known of every day, the baseline's included.
pub struct Completeness {
    accounts: BTreeMap<(Date, String), Account>,
    lengths: BTreeMap<Date, i64>,
    sensors: BTreeSet<String>,
    /// Versions of prefix lists, rules and collectors of the period.
    pub versions: BTreeSet<String>,
}

impl Completeness {
    /// Reads the accounts from the first day of the baseline to the period's last.
    ///
    /// # Errors
    /// A store that cannot be reached.
    pub fn read(context: &mut Context<'_>, from: Date, period: &Period) -> Result<Self> {
        let rows: Rows = context.execute(&questions::COMPLETENESS, from, period.to)?;
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
        for date in super::period::days(from, period.to) {
            lengths.insert(date, length_ms(&context.zone, date)?);
        }
        Ok(Self {
            accounts,
            lengths,
            sensors: context.sensors().clone(),
            versions,
        })
    }

    fn account(&self, date: Date, sensor: &str) -> Option<&Account> {
        self.accounts.get(&(date, sensor.to_owned()))
    }

    fn length(&self, date: Date) -> i64 {
        self.lengths.get(&date).copied().unwrap_or(86_400_000)
    }

    /// Was a day observed well enough to be compared with others?
    pub fn is_comparable(&self, date: Date) -> bool {
        let observed = self
            .sensors
            .iter()
            .filter_map(|sensor| self.account(date, sensor));
        let observed: i64 = observed.map(|account| account.observed_ms).sum();
        let whole = self.length(date) as f64 * self.sensors.len() as f64;
        whole > 0.0 && observed as f64 >= COMPARABLE * whole
    }

    /// Days of a period whose figures are less than they would be.
    pub fn incomplete(&self, period: &Period) -> BTreeSet<Date> {
        let whole = |date: &Date| {
            let length = self.length(*date);
            let whole = |sensor: &String| {
                let account = self.account(*date, sensor);
                account.is_some_and(|account| account.is_whole(length))
            };
            !self.sensors.is_empty() && self.sensors.iter().all(whole)
        };
        period
            .days()
            .into_iter()
            .filter(|date| !whole(date))
            .collect()
    }

    /// Accounts of a day, of all sensors.
    pub fn of_day(&self, date: Date) -> impl Iterator<Item = &Account> {
        let sensors = self.sensors.iter();
        sensors.filter_map(move |sensor| self.account(date, sensor))
    }

    /// Was anything observed on the day?
    pub fn has(&self, date: Date) -> bool {
        self.of_day(date).next().is_some()
    }

    /// The section.
    ///
    /// # Errors
    /// A store that cannot be reached.
    pub fn section(
        &self,
        context: &Context<'_>,
        period: &Period,
        missing_sensors: &[String],
    ) -> Result<Section> {
        let mut section = table_builder::section("c1");
        section.tables = vec![self.days(period), self.by_sensor(period)];
        let days = period.days();
        let degraded: i64 = (days.iter().flat_map(|date| self.of_day(*date)))
            .map(|account| account.count("degraded"))
            .sum();
        if !days.iter().any(|date| self.has(*date)) {
            section.notes.push(note("no-ledger", true, Vec::new()));
        }
        for sensor in missing_sensors {
            let args = vec![
                ("sensor", value(Kind::Text, text(sensor))),
                ("days", value(Kind::Count, int(days.len() as i64))),
            ];
            section.notes.push(note("sensor-missing", true, args));
        }
        if degraded > 0 {
            let args = vec![("intervals", value(Kind::Count, int(degraded)))];
            section.notes.push(note("degraded", true, args));
        }
        for outage in outages::find(context, period, &self.observed(period))?
            .iter()
            .take(OUTAGES)
        {
            let args = vec![
                ("from", value(Kind::Time, text(outage.from.to_string()))),
                ("to", value(Kind::Time, text(outage.to.to_string()))),
                ("sensor", value(Kind::Text, text(&outage.sensor))),
            ];
            section.notes.push(note("outage", true, args));
        }
        Ok(section)
    }

    /// What outages are looked for in.
    fn observed(&self, period: &Period) -> Vec<Observed> {
        let mut all = Vec::new();
        for sensor in &self.sensors {
            let seconds = self.interval(period, sensor);
            for date in period.days() {
                let account = self.account(date, sensor);
                all.push(Observed {
                    sensor: sensor.clone(),
                    date,
                    interval_seconds: seconds.unwrap_or(0),
                    intervals: account.map_or(0, |account| account.count("intervals")),
                    whole: account.is_some_and(|account| account.missing(self.length(date)) == 0),
                });
            }
        }
        all
    }

    /// The longest interval of a sensor in the period.
    fn interval(&self, period: &Period, sensor: &str) -> Option<i64> {
        let days = period.days();
        let accounts = days.iter().filter_map(|date| self.account(*date, sensor));
        accounts.map(|account| account.interval_seconds).max()
    }

    fn days(&self, period: &Period) -> Table {
        let mut table = table_builder::table("c1-days", "", Population::All).columns(&[
            ("date", Kind::Date),
            ("sensor", Kind::Text),
            ("observed", Kind::Share),
            ("intervals", Kind::Count),
            ("missing", Kind::Count),
        ]);
        table = table.columns(
            &COUNTS[..11]
                .iter()
                .map(|id| (*id, Kind::Count))
                .collect::<Vec<_>>(),
        );
        table = table.columns(&[("addresses", Kind::Number), ("address_hours", Kind::Number)]);
        let intervals: BTreeMap<&String, Option<i64>> = (self.sensors.iter())
            .map(|sensor| (sensor, self.interval(period, sensor)))
            .collect();
        for date in period.days() {
            let length = self.length(date);
            for (sensor, interval) in &intervals {
                let nothing = Account {
                    interval_seconds: interval.unwrap_or(0),
                    ..Account::default()
                };
                let account = self.account(date, sensor).unwrap_or(&nothing);
                let missing = (account.interval_seconds > 0).then(|| account.missing(length));
                let mut row = vec![
                    table_builder::date(date),
                    text(*sensor),
                    share(account.observed_ms, length),
                    int(account.count("intervals")),
                    maybe_int(missing),
                ];
                row.extend(COUNTS[..11].iter().map(|name| int(account.count(name))));
                row.push(number(account.addresses));
                row.push(Cell::Float(account.address_hours.unwrap_or(0.0)));
                table.rows.push(row);
            }
        }
        table
    }

    fn by_sensor(&self, period: &Period) -> Table {
        let mut table = table_builder::table("c1-sensors", "", Population::All)
            .columns(&[
                ("sensor", Kind::Text),
                ("observed", Kind::Share),
                ("observed_hours", Kind::Number),
                ("missing_hours", Kind::Number),
                ("days_incomplete", Kind::Count),
                ("days_degraded", Kind::Count),
                ("dark", Kind::Count),
                ("counted", Kind::Count),
                ("lost", Kind::Count),
                ("addresses", Kind::Number),
                ("address_hours", Kind::Number),
                ("prefix_lists", Kind::Count),
            ])
            .plot(Form::Bars, "sensor", vec!["observed".to_owned()], false);
        let days = period.days();
        let length: i64 = days.iter().map(|date| self.length(*date)).sum();
        for sensor in &self.sensors {
            let accounts: Vec<(Date, &Account)> = (days.iter())
                .filter_map(|date| Some((*date, self.account(*date, sensor)?)))
                .collect();
            let sum = |count: fn(&Account) -> i64| -> i64 {
                accounts.iter().map(|(_, account)| count(account)).sum()
            };
            let observed = sum(|account| account.observed_ms);
            let address_ms = sum(|account| account.address_ms);
            let whole = |(date, account): &&(Date, &Account)| account.is_whole(self.length(*date));
            let prefixes: BTreeSet<&String> = (accounts.iter())
                .flat_map(|(_, account)| &account.prefixes)
                .collect();
            let hours = |ms: i64| Cell::Float(ms as f64 / 3_600_000.0);
            table.rows.push(vec![
                text(sensor),
                share(observed, length),
                hours(observed),
                hours((length - observed).max(0)),
                int((days.len() - accounts.iter().filter(whole).count()) as i64),
                int(sum(|account| i64::from(account.count("degraded") > 0))),
                int(sum(|account| account.count("dark"))),
                int(sum(|account| account.count("counted"))),
                int(sum(Account::lost)),
                number((observed > 0).then(|| address_ms as f64 / observed as f64)),
                hours(address_ms),
                int(prefixes.len() as i64),
            ]);
        }
        table
    }
}
