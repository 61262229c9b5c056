//! Numbers as readers of a language write them.

use crate::Language;

/// Text of an unknown value.
pub(crate) const MISSING: &str = "-";

/// A whole number with its digits in groups of three.
pub(crate) fn exact(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(&number.unsigned_abs().to_string()))
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with a fraction: none from 100 on, one digit from 10 on, else two.
pub(crate) fn number(number: f64) -> String {
    if !number.is_finite() {
        return MISSING.to_owned();
    }
    let size = number.abs();
    let digits = if size >= 99.95 {
        0
    } else if size >= 9.995 {
        1
    } else {
        2
    };
    let text = format!("{size:.digits$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let is_zero = text.bytes().all(|digit| matches!(digit, b'0' | b'.'));
    let sign = if number < 0.0 && !is_zero { "-" } else { "" };
    if is_zero {
        return "0".to_owned();
    }
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}", grouped(whole))
}

/// Percent with one digit; a share that would round to nothing is no nothing.
pub(crate) fn share(percent: f64) -> String {
    if !percent.is_finite() {
        MISSING.to_owned()
    } else if percent > 0.0 && percent < 0.05 {
        "<0.1%".to_owned()
    } else {
        let text = format!("{percent:.1}%");
        if text == "-0.0%" {
            "0.0%".to_owned()
        } else {
            text
        }
    }
}

/// A whole number in a sentence: in Japanese by 万 and 億, rounded to 万 above one 億 and to 億
/// above a hundred of them.
pub(crate) fn spoken(number: i64, language: Language) -> String {
    const MAN: u64 = 10_000;
    const OKU: u64 = 100_000_000;
    let size = number.unsigned_abs();
    if language == Language::English || size < MAN {
        return exact(number);
    }
    let sign = if number < 0 { "-" } else { "" };
    let unit = match size {
        ..OKU => 1,
        OKU..1_000_000_000_000 if size < 100 * OKU => MAN,
        _ => OKU,
    };
    // The largest i64 is far below the largest u64, so adding half a unit stays within it.
    let rounded = (size + unit / 2) / unit * unit;
    let about = if rounded == size { "" } else { "約" };
    let mut text = String::new();
    let parts = [
        (rounded / OKU, "億"),
        (rounded % OKU / MAN, "万"),
        (rounded % MAN, ""),
    ];
    for (part, name) in parts {
        if part > 0 {
            text.push_str(&grouped(&part.to_string()));
            text.push_str(name);
        }
    }
    format!("{about}{sign}{text}")
}

/// A number at an axis: `1.2M` in English, `120万` in Japanese.
pub(crate) fn axis(number: f64, language: Language) -> String {
    if !number.is_finite() {
        return MISSING.to_owned();
    }
    let units: &[(f64, &str)] = match language {
        Language::English => &[(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")],
        Language::Japanese => &[(1e12, "兆"), (1e8, "億"), (1e4, "万")],
    };
    let size = number.abs();
    // A hair below a unit is that unit: ticks are sums of steps.
    let unit = (units.iter()).find(|(unit, _)| size >= unit * (1.0 - 1e-9));
    let (scaled, name) = unit.map_or((number, ""), |(unit, name)| (number / unit, *name));
    // Enough digits for steps of a quarter of the leading digit.
    let digits = match scaled.abs() {
        below if below > 0.0 && below < 1.0 => {
            2 + (-below.log10()).ceil().clamp(0.0, 12.0) as usize
        }
        _ => 2,
    };
    let text = format!("{scaled:.digits$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let text = if text == "-0" { "0" } else { text };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (sign, whole) = (whole.strip_prefix('-')).map_or(("", whole), |whole| ("-", whole));
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}{name}", grouped(whole))
}

/// Octets by powers of ten.
pub(crate) fn octets(octets: u64) -> String {
    let units = [
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "kB"),
    ];
    let found = units.iter().find(|(unit, _)| octets >= *unit);
    let Some((unit, name)) = found else {
        return format!("{octets} B");
    };
    format!("{:.1} {name}", octets as f64 / *unit as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Language::{English, Japanese};

    #[test]
    fn numbers_are_written_as_reports_write_them() {
        assert_eq!(exact(1_234_567), "1,234,567");
        assert_eq!(exact(-1_000), "-1,000");
        assert_eq!(exact(i64::MIN), "-9,223,372,036,854,775,808");
        assert_eq!(number(469_104.4), "469,104");
        assert_eq!(number(99.96), "100");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(0.5), "0.50");
        assert_eq!(number(-0.001), "0");
        assert_eq!(number(f64::NAN), "-");
        assert_eq!(share(12.345), "12.3%");
        assert_eq!(share(0.01), "<0.1%");
        assert_eq!(share(0.0), "0.0%");
        assert_eq!(share(-0.0), "0.0%");
        assert_eq!(share(f64::INFINITY), "-");
        assert_eq!(octets(999), "999 B");
        assert_eq!(octets(12_345_678), "12.3 MB");
    }

    #[test]
    fn sentences_count_in_man_and_oku() {
        assert_eq!(spoken(123_450_000, Japanese), "1億2,345万");
        assert_eq!(spoken(123_456_789, Japanese), "約1億2,346万");
        assert_eq!(spoken(522_612_345_678, Japanese), "約5,226億");
        assert_eq!(spoken(300_000, Japanese), "30万");
        assert_eq!(spoken(1_234_567, Japanese), "123万4,567");
        assert_eq!(spoken(9_999, Japanese), "9,999");
        assert_eq!(spoken(0, Japanese), "0");
        assert_eq!(spoken(199_999_999, Japanese), "約2億");
        assert_eq!(spoken(123_456_789, English), "123,456,789");
    }

    #[test]
    fn axes_count_in_units_of_the_language() {
        assert_eq!(axis(0.0, English), "0");
        assert_eq!(axis(-0.0, Japanese), "0");
        assert_eq!(axis(1_500.0, English), "1.5k");
        assert_eq!(axis(1_500.0, Japanese), "1,500");
        assert_eq!(axis(1_200_000.0, English), "1.2M");
        assert_eq!(axis(1_200_000.0, Japanese), "120万");
        assert_eq!(axis(250_000_000.0, Japanese), "2.5億");
        assert_eq!(axis(0.25, English), "0.25");
        assert_eq!(axis(3.0 * 0.1e6 / 0.3, English), "1M");
    }

    proptest! {
        #[test]
        fn grouping_only_adds_commas(value: i64) {
            let text = exact(value);
            prop_assert_eq!(text.replace(',', "").parse::<i64>().unwrap(), value);
            let digits = text.trim_start_matches('-');
            for (at, group) in digits.split(',').enumerate() {
                prop_assert!(group.len() == 3 || (at == 0 && (1..=3).contains(&group.len())));
            }
        }

        #[test]
        fn what_is_spoken_is_near_the_number(value: i64) {
            let text = spoken(value, Japanese);
            let mut rest = text.trim_start_matches('約').trim_start_matches('-').replace(',', "");
            let mut read = 0.0;
            for (unit, name) in [(1e8, '億'), (1e4, '万')] {
                if let Some((part, after)) = rest.clone().split_once(name) {
                    read += part.parse::<f64>().unwrap() * unit;
                    rest = after.to_owned();
                }
            }
            if !rest.is_empty() {
                read += rest.parse::<f64>().unwrap();
            }
            let value = value.unsigned_abs() as f64;
            prop_assert!((read - value).abs() <= value * 0.01, "{} for {}", text, value);
        }

        #[test]
        fn every_number_has_a_text(bits: u64, language in prop_oneof![Just(English), Just(Japanese)]) {
            let value = f64::from_bits(bits);
            for text in [number(value), share(value), axis(value, language)] {
                prop_assert!(!text.is_empty() && !text.contains("NaN") && !text.contains("inf"));
            }
        }

        #[test]
        fn a_number_reads_back(value in -1e12f64..1e12) {
            let read: f64 = number(value).replace(',', "").parse().unwrap();
            prop_assert!((read - value).abs() <= (value.abs() * 0.006).max(0.0051));
        }
    }
}
