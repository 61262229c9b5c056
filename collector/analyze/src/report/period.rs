//! Periods of whole days: a year, a quarter, a month or a day.

use anyhow::{Context as _, Result, bail};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use noctule_page::model;

/// Time after a day's end in which its last interval may still be written.
const GRACE: SignedDuration = SignedDuration::from_mins(10);

/// A year, quarter, month or day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// As the command line takes it: `2016`, `2016-Q3`, `2016-09`, `2016-09-20`.
    pub name: String,
    /// First day.
    pub from: Date,
    /// Last day.
    pub to: Date,
}

/// Days from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First day.
    pub from: Date,
    /// Last day.
    pub to: Date,
}

impl Span {
    /// The days from `from` to `to`, both included.
    pub const fn new(from: Date, to: Date) -> Self {
        Self { from, to }
    }

    /// Its days in order; none if `to` lies before `from`.
    pub fn days(self) -> impl Iterator<Item = Date> {
        let all = self.from.series(1.day());
        all.take_while(move |date| *date <= self.to)
    }

    /// True if the date is one of its days.
    pub fn has(self, date: Date) -> bool {
        (self.from..=self.to).contains(&date)
    }
}

/// The length of a period, and which one of that length it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Year(i16),
    /// Year, and quarter from 1 on.
    Quarter(i16, i8),
    Month(i16, i8),
    Day(Date),
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        let digits = |text: &str, count: usize| -> Option<i16> {
            let plain = text.len() == count && text.bytes().all(|octet| octet.is_ascii_digit());
            plain.then(|| text.parse().ok())?
        };
        let mut parts = text.split('-');
        let year = digits(parts.next()?, 4)?;
        let kind = match (parts.next(), parts.next()) {
            (None, _) => Self::Year(year),
            (Some(quarter), None) if quarter.starts_with(['Q', 'q']) => {
                let number = digits(&quarter[1..], 1)?;
                Self::Quarter(year, (1..=4).contains(&number).then_some(number as i8)?)
            }
            (Some(month), None) => {
                let number = digits(month, 2)?;
                Self::Month(year, (1..=12).contains(&number).then_some(number as i8)?)
            }
            (Some(month), Some(day)) => {
                let (month, day) = (digits(month, 2)?, digits(day, 2)?);
                Self::Day(Date::new(year, month as i8, day as i8).ok()?)
            }
        };
        parts.next().is_none().then_some(kind)
    }

    fn period(self) -> Result<Period> {
        let (name, from, length) = match self {
            Self::Year(year) => (format!("{year:04}"), Date::new(year, 1, 1)?, 1.year()),
            Self::Quarter(year, quarter) => {
                let from = Date::new(year, quarter * 3 - 2, 1)?;
                (format!("{year:04}-Q{quarter}"), from, 3.months())
            }
            Self::Month(year, month) => {
                let from = Date::new(year, month, 1)?;
                (format!("{year:04}-{month:02}"), from, 1.month())
            }
            Self::Day(day) => (day.to_string(), day, 1.day()),
        };
        let to = from.checked_add(length)?.yesterday()?;
        Ok(Period { name, from, to })
    }

    fn before(self) -> Result<Self> {
        Ok(match self {
            Self::Year(year) => Self::Year(year - 1),
            Self::Quarter(year, 1) => Self::Quarter(year - 1, 4),
            Self::Quarter(year, quarter) => Self::Quarter(year, quarter - 1),
            Self::Month(year, 1) => Self::Month(year - 1, 12),
            Self::Month(year, month) => Self::Month(year, month - 1),
            Self::Day(day) => Self::Day(day.yesterday()?),
        })
    }
}

impl Period {
    /// Parses a period as the command line takes it.
    ///
    /// # Errors
    /// If `text` is not a year, quarter, month or day, or lies outside the calendar.
    pub fn parse(text: &str) -> Result<Self> {
        Self::kind(text)?.period()
    }

    fn kind(text: &str) -> Result<Kind> {
        Kind::parse(text).with_context(|| {
            format!("\"{text}\" is not a period: write 2016, 2016-Q3, 2016-09 or 2016-09-20")
        })
    }

    /// The period of the same length before this one.
    ///
    /// # Errors
    /// If this is the calendar's first period.
    pub fn before(&self) -> Result<Self> {
        Self::kind(&self.name)?.before()?.period()
    }

    /// True for a year.
    pub fn is_year(&self) -> bool {
        matches!(Kind::parse(&self.name), Some(Kind::Year(_)))
    }

    /// The period without its days after `last`; `None` if no day is left.
    pub fn until(&self, last: Date) -> Option<Self> {
        let to = self.to.min(last);
        (self.from <= to).then(|| Self { to, ..self.clone() })
    }

    /// The period as the report's page names it.
    pub fn about(&self) -> model::Period {
        model::Period {
            name: self.name.clone(),
            from: self.from.to_string(),
            to: self.to.to_string(),
        }
    }

    /// Its days.
    pub const fn span(&self) -> Span {
        Span::new(self.from, self.to)
    }

    /// Its days in order.
    pub fn days(&self) -> Vec<Date> {
        self.span().days().collect()
    }

    /// True if the date is one of its days.
    pub fn has(&self, date: Date) -> bool {
        self.span().has(date)
    }
}

/// The date `days` days before `date`, or the calendar's first or last date if it lies outside.
pub fn back(date: Date, days: i32) -> Date {
    date.saturating_sub(days.days())
}

/// When a day begins in a time zone.
///
/// # Errors
/// If that moment lies outside the calendar.
pub fn start(zone: &TimeZone, date: Date) -> Result<Timestamp> {
    Ok(date.to_zoned(zone.clone())?.timestamp())
}

/// Milliseconds of a day in a time zone: days on which clocks change have 23 or 25 hours.
///
/// # Errors
/// If the day ends outside the calendar.
pub fn length_ms(zone: &TimeZone, date: Date) -> Result<i64> {
    let length = start(zone, date.tomorrow()?)?.duration_since(start(zone, date)?);
    Ok(i64::try_from(length.as_millis())?)
}

/// The last day that had closed in a time zone at `now`.
///
/// # Errors
/// If `now` lies outside the calendar.
pub fn last_closed(zone: &TimeZone, now: Timestamp) -> Result<Date> {
    let reached = now.checked_sub(GRACE)?.to_zoned(zone.clone());
    Ok(reached.date().yesterday()?)
}

/// The period and the one to compare it with. Days that have not closed are left out of the period.
///
/// # Errors
/// If `period` or `compare` is not a period, or if no day of `period` has closed.
pub fn both(
    period: &str,
    compare: Option<&str>,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<(Period, Period)> {
    let whole = Period::parse(period)?;
    let compare = match compare {
        Some(text) => Period::parse(text)?,
        None => whole.before()?,
    };
    let closed = last_closed(zone, now)?;
    let Some(period) = whole.until(closed) else {
        bail!("no day of {period} has closed yet: give a period up to {closed}, or one before it");
    };
    Ok((period, compare))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    #[test]
    fn periods_have_their_days_and_the_one_before() {
        for (text, from, to, before) in [
            ("2016", "2016-01-01", "2016-12-31", "2015"),
            ("2016-Q1", "2016-01-01", "2016-03-31", "2015-Q4"),
            ("2016-Q3", "2016-07-01", "2016-09-30", "2016-Q2"),
            ("2016-02", "2016-02-01", "2016-02-29", "2016-01"),
            ("2016-01", "2016-01-01", "2016-01-31", "2015-12"),
            ("2016-03-01", "2016-03-01", "2016-03-01", "2016-02-29"),
        ] {
            let period = Period::parse(text).unwrap();
            assert_eq!(period.name, text);
            assert_eq!(
                (period.from.to_string(), period.to.to_string()),
                (from.into(), to.into())
            );
            assert_eq!(period.before().unwrap().name, before);
            let days = period.days();
            assert_eq!(
                (days.first(), days.last()),
                (Some(&period.from), Some(&period.to))
            );
        }
        assert_eq!(Period::parse("2016").unwrap().days().len(), 366);
        assert_eq!(Period::parse("2016-q3").unwrap().name, "2016-Q3");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "16",
            "2016-",
            "2016-Q5",
            "2016-Q",
            "2016-13",
            "2016-00",
            "2016-02-30",
            "2016-2-3",
            "2016-09-20-1",
            "x",
            "-2016",
            "2016-Q31",
            "２０１６",
            "2016-Qé",
        ] {
            assert!(Period::parse(text).is_err(), "{text}");
        }
        assert!(Period::parse("9999").is_err(), "the calendar's end");
    }

    #[test]
    fn days_that_have_not_closed_are_left_out() {
        let tokyo = zone("Asia/Tokyo");
        // 2016-09-20 01:00 in Tokyo.
        let now: Timestamp = "2016-09-19T16:00:00Z".parse().unwrap();
        let (period, compare) = both("2016-Q3", None, &tokyo, now).unwrap();
        assert_eq!(period.to.to_string(), "2016-09-19");
        assert_eq!(compare.name, "2016-Q2");
        assert!(both("2016-09-20", None, &tokyo, now).is_err());
        let before_grace: Timestamp = "2016-09-19T15:05:00Z".parse().unwrap();
        assert_eq!(
            last_closed(&tokyo, before_grace).unwrap().to_string(),
            "2016-09-18"
        );
    }

    #[test]
    fn days_are_as_long_as_clocks_make_them() {
        let berlin = zone("Europe/Berlin");
        for (date, hours) in [("2016-03-27", 23), ("2016-10-30", 25), ("2016-07-01", 24)] {
            assert_eq!(
                length_ms(&berlin, date.parse().unwrap()).unwrap(),
                hours * 3_600_000
            );
        }
    }
}
