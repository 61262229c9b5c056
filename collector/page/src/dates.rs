//! Days, months, moments and periods as readers of a language write them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::Language;
use crate::model::Period;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// English name of a month; jiff counts months from 1.
pub(crate) fn month_name(date: Date) -> &'static str {
    let at = usize::try_from(date.month() - 1).unwrap_or_default();
    MONTHS.get(at).copied().unwrap_or_default()
}

/// A day in a table; what is no day is left as it is.
pub(crate) fn day(text: &str, language: Language) -> String {
    match (text.parse::<Date>(), language) {
        (Ok(date), Language::Japanese) => japanese(date),
        _ => text.to_owned(),
    }
}

/// A day in a sentence.
pub(crate) fn long_day(text: &str, language: Language) -> String {
    match (text.parse::<Date>(), language) {
        (Ok(date), Language::Japanese) => japanese(date),
        (Ok(date), Language::English) => {
            format!("{} {} {}", date.day(), month_name(date), date.year())
        }
        (Err(_), _) => text.to_owned(),
    }
}

fn japanese(date: Date) -> String {
    format!("{}年{}月{}日", date.year(), date.month(), date.day())
}

/// First day of a month, `YYYY-MM`.
pub(crate) fn month_start(text: &str) -> Option<Date> {
    let (year, month) = text.split_once('-')?;
    Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()
}

/// A month in a table.
pub(crate) fn month(text: &str, language: Language) -> String {
    match (month_start(text), language) {
        (Some(date), Language::Japanese) => format!("{}年{}月", date.year(), date.month()),
        _ => text.to_owned(),
    }
}

/// A month in a sentence.
pub(crate) fn long_month(text: &str, language: Language) -> String {
    match (month_start(text), language) {
        (Some(date), Language::English) => format!("{} {}", month_name(date), date.year()),
        _ => month(text, language),
    }
}

/// A moment to the second, in UTC.
pub(crate) fn time(text: &str, language: Language) -> String {
    let Ok(moment) = text.parse::<Timestamp>() else {
        return text.to_owned();
    };
    let moment = moment.to_zoned(TimeZone::UTC);
    let day = day(&moment.date().to_string(), language);
    let time = moment.time();
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    format!("{day} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year and number of a quarter, `2016-Q3`.
pub(crate) fn quarter(text: &str) -> Option<(i16, u8)> {
    let (year, quarter) = text.split_once("-Q")?;
    let quarter = quarter
        .parse()
        .ok()
        .filter(|quarter| (1..=4).contains(quarter))?;
    Some((year.parse().ok()?, quarter))
}

/// What a period is called, by how it was asked for: a year, a quarter, a month or a day.
pub(crate) fn period_name(name: &str, language: Language) -> String {
    if let Some((year, quarter)) = quarter(name) {
        return match language {
            Language::English => format!("Q{quarter} {year}"),
            Language::Japanese => format!("{year}年第{quarter}四半期"),
        };
    }
    let is_year = name.len() == 4 && name.bytes().all(|digit| digit.is_ascii_digit());
    match language {
        Language::Japanese if is_year => format!("{name}年"),
        _ if name.parse::<Date>().is_ok() => long_day(name, language),
        _ => long_month(name, language),
    }
}

/// First and last day of a period; one of them where they are the same.
pub(crate) fn period_days(period: &Period, language: Language) -> (String, Option<String>) {
    let from = long_day(&period.from, language);
    let to = (period.to != period.from).then(|| long_day(&period.to, language));
    (from, to)
}

/// Days since 1 January 1970.
pub(crate) fn ordinal(date: Date) -> i64 {
    date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24
}

#[cfg(test)]
mod tests {
    use super::*;
    use Language::{English, Japanese};

    #[test]
    fn days_are_written_by_language() {
        assert_eq!(day("2016-09-20", English), "2016-09-20");
        assert_eq!(day("2016-09-20", Japanese), "2016年9月20日");
        assert_eq!(long_day("2016-09-20", English), "20 September 2016");
        assert_eq!(day("2016-13-20", Japanese), "2016-13-20");
        assert_eq!(month("2016-09", Japanese), "2016年9月");
        assert_eq!(long_month("2016-09", English), "September 2016");
        assert_eq!(long_month("2016", English), "2016");
        let moment = "2016-09-20T03:15:07.5Z";
        assert_eq!(time(moment, English), "2016-09-20 03:15:07 UTC");
        assert_eq!(time(moment, Japanese), "2016年9月20日 03:15:07 UTC");
        assert_eq!(time("soon", Japanese), "soon");
    }

    #[test]
    fn periods_have_names() {
        let names = ["2016", "2016-Q3", "2016-09", "2016-09-20", "ever"];
        let english = names.map(|name| period_name(name, English));
        assert_eq!(
            english,
            [
                "2016",
                "Q3 2016",
                "September 2016",
                "20 September 2016",
                "ever"
            ]
        );
        let japanese = names.map(|name| period_name(name, Japanese));
        assert_eq!(
            japanese,
            [
                "2016年",
                "2016年第3四半期",
                "2016年9月",
                "2016年9月20日",
                "ever"
            ]
        );
        assert_eq!(period_name("2016-Q5", Japanese), "2016-Q5");
    }

    #[test]
    fn ordinals_step_by_one() {
        assert_eq!(ordinal(Date::constant(1970, 1, 2)), 1);
        assert_eq!(ordinal(Date::constant(1969, 12, 31)), -1);
        assert_eq!(
            ordinal(Date::constant(2016, 3, 1)) - ordinal(Date::constant(2016, 2, 28)),
            2
        );
    }
}
