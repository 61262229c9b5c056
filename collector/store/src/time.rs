//! Interval starts as text in paths. All times are UTC.

use jiff::{Timestamp, tz::TimeZone};

use crate::StoreError;

/// The UTC date of a time, as `2016-09-20`.
///
/// `start_us`: microseconds since 1970, a whole second.
///
/// # Errors
/// [`StoreError::IntervalStart`] before 1970, after 9999, and for parts of seconds.
pub fn date(start_us: i64) -> Result<String, StoreError> {
    text(start_us, "%Y-%m-%d")
}

/// A time as in file names, `20160920T120000Z`.
///
/// `start_us`: microseconds since 1970, a whole second.
///
/// # Errors
/// [`StoreError::IntervalStart`] before 1970, after 9999, and for parts of seconds.
pub fn stamp(start_us: i64) -> Result<String, StoreError> {
    text(start_us, "%Y%m%dT%H%M%SZ")
}

/// The time of a [`stamp`], microseconds since 1970; none for other text.
pub fn parse_stamp(text: &str) -> Option<i64> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    let at = TimeZone::UTC.to_timestamp(time).ok()?;
    Some(at.as_microsecond())
}

fn text(start_us: i64, format: &str) -> Result<String, StoreError> {
    let refused = || StoreError::IntervalStart(start_us);
    // Two starts within one second would share a name.
    if start_us < 0 || start_us % 1_000_000 != 0 {
        return Err(refused());
    }
    let at = Timestamp::from_microsecond(start_us).map_err(|_| refused())?;
    Ok(at.to_zoned(TimeZone::UTC).strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        let start = 1_474_372_800_000_000;
        assert_eq!(date(start).unwrap(), "2016-09-20");
        assert_eq!(stamp(start).unwrap(), "20160920T120000Z");
        assert_eq!(date(start - 43_200_000_000).unwrap(), "2016-09-20");
        assert_eq!(date(start - 43_201_000_000).unwrap(), "2016-09-19");
        assert_eq!(parse_stamp("20160920T120000Z"), Some(start));
        for text in ["", "20160920T120000", "20160931T120000Z", "2016-09-20"] {
            assert_eq!(parse_stamp(text), None, "{text}");
        }
        assert_eq!(stamp(0).unwrap(), "19700101T000000Z");
        assert_eq!(date(1_709_164_800_000_000).unwrap(), "2024-02-29");
    }

    #[test]
    fn times_without_a_name_of_their_own_are_refused() {
        for start in [-1_000_000, 1, 1_474_372_800_000_001, i64::MAX, i64::MIN] {
            assert!(
                matches!(date(start), Err(StoreError::IntervalStart(s)) if s == start),
                "{start}"
            );
            assert!(stamp(start).is_err(), "{start}");
        }
    }
}
