//! Places and labels of the marks of axes.

use jiff::ToSpan as _;
use jiff::civil::Date;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::Ranged;

use super::series::{Data, Places};
use super::style::Size;
use crate::{Language, dates, numbers};

/// A mark of an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    /// Along the axis.
    pub(super) at: f64,
    pub(super) label: String,
}

/// An axis for the drawing library: a range of numbers with marks of our own.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) range: (f64, f64),
    pub(super) ticks: Vec<Tick>,
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let (low, high) = self.range;
        let (from, to) = (f64::from(limit.0), f64::from(limit.1));
        let part = if high > low {
            (value - low) / (high - low)
        } else {
            0.0
        };
        (from + part.clamp(0.0, 1.0) * (to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // There are no light lines between the marks.
        let is_light = hint.weight().allow_light_points();
        let ticks = self.ticks.iter().filter(|_| !is_light);
        ticks.map(|tick| tick.at).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.range.0..self.range.1
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|tick| tick.at == *value);
        tick.map(|tick| tick.label.clone()).unwrap_or_default()
    }
}

/// Width of a text in pixels, roughly and rather too much than too little: ideographs are as wide as
/// high, capitals nearly so, other letters about half.
pub(super) fn text_width(text: &str, size: u32) -> u32 {
    let width = |letter: char| match letter {
        'A'..='Z' | '%' => 17,
        ..'\u{1100}' => 13,
        _ => 20,
    };
    let parts: u32 = text.chars().map(width).sum();
    (parts * size).div_ceil(20)
}

/// The vertical axis: maps values to heights, which are the values or their logarithms.
#[derive(Debug)]
pub(super) struct Vertical {
    pub(super) axis: Axis,
    logarithmic: bool,
}

impl Vertical {
    /// An axis that has room for all values. Where it counts by powers of ten, nothing lies at its
    /// foot.
    pub(super) fn new(values: &[f64], data: &Data, language: Language) -> Self {
        let label = |value: f64| {
            let percent = if data.is_share { "%" } else { "" };
            format!("{}{percent}", numbers::axis(value, language))
        };
        let top = values.iter().copied().fold(0.0, f64::max);
        let positive = (values.iter().copied()).filter(|value| *value > 0.0);
        let least = positive.fold(f64::INFINITY, f64::min);
        if data.logarithmic && least.is_finite() {
            let (low, high) = (least.log10().floor(), top.log10().ceil());
            let high = if high > low { high } else { low + 1.0 };
            let has_zero = values.iter().any(|value| *value <= 0.0);
            let foot = if has_zero { low - 0.5 } else { low };
            let step = ((high - low) / 6.0).ceil().max(1.0);
            let mut ticks: Vec<Tick> = steps(low, high, step)
                .map(|at| Tick {
                    at,
                    label: label(10f64.powf(at)),
                })
                .collect();
            if has_zero {
                ticks.insert(
                    0,
                    Tick {
                        at: foot,
                        label: label(0.0),
                    },
                );
            }
            let axis = Axis {
                range: (foot, high),
                ticks,
            };
            return Self {
                axis,
                logarithmic: true,
            };
        }
        let bottom = values.iter().copied().fold(0.0, f64::min);
        let span = top - bottom;
        // A series of nothing still has an axis; so has one whose span is beyond all numbers.
        let span = if span > 1e-9 && span.is_finite() {
            span
        } else {
            1.0
        };
        let step = nice(span / 4.0);
        let (low, high) = ((bottom / step).floor(), (bottom.max(top) / step).ceil());
        let high = if high > low { high } else { low + 4.0 };
        let ticks = steps(low, high, 1.0).map(|at| at * step);
        let ticks = ticks
            .map(|at| Tick {
                at,
                label: label(at),
            })
            .collect();
        let axis = Axis {
            range: (low * step, high * step),
            ticks,
        };
        Self {
            axis,
            logarithmic: false,
        }
    }

    pub(super) fn height(&self, value: f64) -> f64 {
        let (low, high) = self.axis.range;
        let height = match self.logarithmic {
            true if value > 0.0 => value.log10(),
            true => low,
            false => value,
        };
        height.clamp(low, high)
    }
}

/// From `low` to `high`, at most some dozens.
fn steps(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let count = ((high - low) / step + 1e-9).floor().clamp(0.0, 40.0) as u32;
    (0..=count).map(move |at| low + f64::from(at) * step)
}

/// 1, 2 or 5 times a power of ten, not below the number.
fn nice(number: f64) -> f64 {
    let power = 10f64.powf(number.log10().floor());
    let nice = [1.0, 2.0, 2.5, 5.0, 10.0].map(|times| times * power);
    (nice.into_iter())
        .find(|nice| *nice >= number * 0.999)
        .unwrap_or(10.0 * power)
}

/// Marks of the horizontal axis, as many as have room beside each other.
pub(super) fn horizontal(data: &Data, size: Size, room: u32, language: Language) -> Vec<Tick> {
    match &data.places {
        Places::Days(days) => of_days(days, size, room, language),
        Places::Names(names) => {
            let widest = names.iter().map(|name| text_width(name, size.text)).max();
            let fit = (room / (widest.unwrap_or(0) + size.text)).max(1) as usize;
            let step = names.len().div_ceil(fit).max(1);
            let named = names.iter().enumerate().step_by(step);
            named
                .map(|(at, name)| Tick {
                    at: at as f64,
                    label: name.clone(),
                })
                .collect()
        }
    }
}

fn of_days(days: &[i64], size: Size, room: u32, language: Language) -> Vec<Tick> {
    let (Some(&first), Some(&last)) = (days.first(), days.last()) else {
        return Vec::new();
    };
    let start = Date::constant(1970, 1, 1).checked_add(first.days());
    let Ok(start) = start else {
        return Vec::new();
    };
    let span = last - first + 1;
    let sample = day_label(Date::constant(2026, 12, 30), language);
    let fit = i64::from(room / (text_width(&sample, size.text) + size.text)).max(1);
    let step = [1, 2, 5, 7, 10, 14]
        .into_iter()
        .find(|step| span.div_euclid(*step) < fit);
    // Beyond two months a month's first day says more than any other.
    if let Some(step) = step.filter(|_| span <= 62 || fit * 14 < 62) {
        let ticks = (0..span).step_by(step as usize);
        let labelled = ticks.filter_map(|at| {
            let label = day_label(start.checked_add(at.days()).ok()?, language);
            Some(Tick {
                at: at as f64,
                label,
            })
        });
        return labelled.collect();
    }
    of_months(start, span, size, room, language)
}

/// Marks at first days of months.
fn of_months(start: Date, span: i64, size: Size, room: u32, language: Language) -> Vec<Tick> {
    let sample = month_label(Date::constant(2026, 12, 30), language);
    let fit = i64::from(room / (text_width(&sample, size.text) + size.text)).max(1);
    let months = span / 30 + 1;
    let steps = [1, 2, 3, 6, 12, 24, 60, 120, 600, 1_200, 6_000];
    let step = (steps.into_iter())
        .find(|step| months / step < fit)
        .unwrap_or(120_000);
    let from = i64::from(start.year()) * 12 + i64::from(start.month()) - 1;
    let until = from + months + 1;
    let aligned = from.div_euclid(step) * step;
    let mut ticks: Vec<Tick> = Vec::new();
    for month in (aligned..=until).step_by(step as usize) {
        let year = i16::try_from(month.div_euclid(12));
        let day = year.map(|year| Date::new(year, (month.rem_euclid(12) + 1) as i8, 1));
        let Ok(Ok(day)) = day else {
            continue;
        };
        let at = dates::ordinal(day) - dates::ordinal(start);
        if (0..span).contains(&at) {
            ticks.push(Tick {
                at: at as f64,
                label: month_label(day, language),
            });
        }
    }
    if ticks.is_empty() {
        ticks.push(Tick {
            at: 0.0,
            label: month_label(start, language),
        });
    }
    ticks
}

fn day_label(date: Date, language: Language) -> String {
    match language {
        Language::English => format!("{} {}", date.day(), short_month(date)),
        Language::Japanese => format!("{}月{}日", date.month(), date.day()),
    }
}

fn month_label(date: Date, language: Language) -> String {
    match language {
        Language::English => format!("{} {}", short_month(date), date.year()),
        Language::Japanese => format!("{}年{}月", date.year(), date.month()),
    }
}

fn short_month(date: Date) -> &'static str {
    dates::month_name(date).get(..3).unwrap_or_default()
}
