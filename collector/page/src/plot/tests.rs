//! Axes are readable at every length, and texts of drawings are no markup.

use proptest::prelude::*;

use super::axes::{Tick, horizontal, text_width};
use super::series::{Data, Places, Series};
use super::*;
use crate::Language;
use crate::model::{Cell, Column, Form, Kind, Population};

/// 1 July 2016, in days since 1970.
const FIRST: i64 = 16_983;

fn data(days: i64) -> Data {
    let table = Table {
        id: "t".to_owned(),
        kind: "n3-days".to_owned(),
        args: [].into(),
        population: Population::All,
        columns: vec![
            Column {
                id: "date".to_owned(),
                kind: Kind::Date,
                name: None,
            },
            Column {
                id: "sources".to_owned(),
                kind: Kind::Count,
                name: None,
            },
        ],
        rows: (0..2)
            .map(|row| vec![Cell::Text(format!("2016-07-0{}", row + 1)), Cell::Int(row)])
            .collect(),
        plots: Vec::new(),
        notes: Vec::new(),
    };
    let plot = Plot {
        form: Form::Lines,
        x: "date".to_owned(),
        y: vec!["sources".to_owned()],
        incomplete: Vec::new(),
        logarithmic: false,
    };
    let mut data = Data::new(&plot, &table, &Printer::new(Language::English)).unwrap();
    assert_eq!(data.places, Places::Days(vec![FIRST, FIRST + 1]));
    data.places = Places::Days((FIRST..FIRST + days).collect());
    data.series = vec![Series {
        name: String::new(),
        values: vec![Some(1.0); days as usize],
    }];
    data
}

fn ticks(days: i64, size: Size, language: Language) -> Vec<Tick> {
    horizontal(&data(days), size, size.width - 80, language)
}

#[test]
fn marks_of_days_fit_any_period() {
    for language in Language::ALL {
        for size in [WIDE, NARROW] {
            for days in 1..=800 {
                let ticks = ticks(days, size, language);
                assert!(
                    !ticks.is_empty() && ticks.len() < 14,
                    "{days} days: {ticks:?}"
                );
                let step = f64::from(size.width - 80) / days as f64;
                for pair in ticks.windows(2) {
                    let apart = (pair[1].at - pair[0].at) * step;
                    let wide = text_width(&pair[0].label, size.text)
                        + text_width(&pair[1].label, size.text);
                    assert!(
                        apart > f64::from(wide) / 2.0,
                        "{days} days, {}: {pair:?}",
                        size.name
                    );
                }
            }
        }
    }
}

#[test]
fn marks_say_days_months_or_years() {
    let labels = |days, language| {
        let ticks = ticks(days, WIDE, language).into_iter();
        ticks.map(|tick| tick.label).collect::<Vec<_>>()
    };
    assert_eq!(labels(3, Language::English), ["1 Jul", "2 Jul", "3 Jul"]);
    assert_eq!(labels(1, Language::Japanese), ["7月1日"]);
    assert_eq!(
        labels(92, Language::English),
        ["Jul 2016", "Aug 2016", "Sep 2016"]
    );
    assert_eq!(
        labels(92, Language::Japanese),
        ["2016年7月", "2016年8月", "2016年9月"]
    );
    assert_eq!(labels(3_000, Language::English)[0], "Jan 2017");
}

#[test]
fn texts_of_drawings_are_no_markup() {
    assert_eq!(escaped("<a&\"'\u{1}>"), "&lt;a&amp;&quot;&#39; &gt;");
}

proptest! {
    #[test]
    fn every_value_lies_on_its_axis(
        values in prop::collection::vec(prop_oneof![0f64..1e12, any::<i64>().prop_map(|v| v as f64)], 1..20),
        logarithmic: bool,
    ) {
        let mut data = data(3);
        data.logarithmic = logarithmic;
        let axis = axes::Vertical::new(&values, &data, Language::Japanese);
        let (low, high) = axis.axis.range;
        prop_assert!(low < high);
        prop_assert!(axis.axis.ticks.len() >= 2 && axis.axis.ticks.len() < 12, "{:?}", axis.axis.ticks);
        for pair in axis.axis.ticks.windows(2) {
            prop_assert!(pair[0].at < pair[1].at && pair[0].label != pair[1].label, "{:?}", pair);
        }
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let heights: Vec<f64> = sorted.iter().map(|value| axis.height(*value)).collect();
        prop_assert!(heights.is_sorted());
        prop_assert!(heights.iter().all(|height| (low..=high).contains(height)));
        if !logarithmic {
            // No value was moved to fit.
            let moved = |(value, height): (&f64, &f64)| (value - height).abs() > value.abs() * 1e-9;
            prop_assert!(!sorted.iter().zip(&heights).any(moved));
        }
    }
}
