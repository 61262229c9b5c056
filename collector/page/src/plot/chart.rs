//! Lines and stacked columns along an axis of days or other places.

use plotters::prelude::*;

use super::axes::{Axis, Vertical, horizontal, text_width};
use super::series::Data;
use super::style::{COLOURS, GRID, INK, SERIES, SHADE, SHADE_MARK, Size};
use crate::Language;
use crate::model::Form;

/// Places at which every point is marked, so that it is seen where it lies; with more, only points
/// between gaps.
const MARKED: usize = 31;
/// Most columns that have gaps between them; with more, columns touch.
const APART: usize = 62;

/// A colour of the page.
pub(super) fn colour(rgb: u32) -> RGBColor {
    let [_, red, green, blue] = rgb.to_be_bytes();
    RGBColor(red, green, blue)
}

/// The drawing and its height; none if the backend cannot draw, which only a file could cause.
pub(super) fn draw(data: &Data, size: Size, language: Language) -> Option<(String, u32)> {
    let mut svg = String::new();
    draw_on(&mut svg, data, size, language)?;
    Some((svg, size.height))
}

fn draw_on(svg: &mut String, data: &Data, size: Size, language: Language) -> Option<()> {
    let tops = stacks(data);
    let values: Vec<f64> = match data.form {
        Form::Stacked => tops.iter().flatten().copied().collect(),
        _ => (data.series.iter())
            .flat_map(|one| one.values.iter().flatten().copied())
            .collect(),
    };
    let vertical = Vertical::new(&values, data, language);
    let widest = vertical
        .axis
        .ticks
        .iter()
        .map(|tick| text_width(&tick.label, size.text))
        .max()?;
    let right = size.text * 2;
    let across = |left: u32| {
        let room = size.width.saturating_sub(left + right);
        horizontal(data, size, room, language)
    };
    let left = widest + size.text;
    // The first mark may be right below the vertical axis.
    let first = (across(left).first()).map_or(0, |tick| text_width(&tick.label, size.text));
    let left = left.max(first.div_ceil(2));
    let across = across(left);

    let root = SVGBackend::with_string(svg, (size.width, size.height)).into_drawing_area();
    let last = data.rows().checked_sub(1).map_or(0.0, |row| data.x(row));
    let (low, high) = vertical.axis.range;
    let mut chart = ChartBuilder::on(&root)
        .margin_top(size.text)
        .margin_right(right)
        // Lines of Japanese are taller than those of English.
        .x_label_area_size(size.text * 5 / 2)
        .y_label_area_size(left)
        .build_cartesian_2d(
            Axis {
                range: (-0.5, last + 0.5),
                ticks: across,
            },
            vertical.axis.clone(),
        )
        .ok()?;
    for &row in &data.incomplete {
        let (from, to) = (data.x(row) - 0.5, data.x(row) + 0.5);
        let shade = Rectangle::new([(from, low), (to, high)], colour(SHADE).filled());
        chart.draw_series([shade]).ok()?;
    }
    let text = ("sans-serif", f64::from(size.text) * 1.24).into_font();
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(colour(GRID))
        .axis_style(colour(INK))
        .label_style(text.color(&colour(INK)))
        .draw()
        .ok()?;
    let foot = (high - low) * 5.0 / f64::from(size.height);
    match data.form {
        Form::Stacked => {
            for (at, top) in tops.iter().enumerate() {
                let bottom = at.checked_sub(1).and_then(|below| tops.get(below));
                for shape in columns(data, top, bottom) {
                    let shape: Vec<(f64, f64)> = shape
                        .into_iter()
                        .map(|(x, y)| (x, vertical.height(y)))
                        .collect();
                    chart
                        .draw_series([Polygon::new(shape, colour(COLOURS[at % SERIES]).filled())])
                        .ok()?;
                }
            }
        }
        _ => {
            for (at, series) in data.series.iter().enumerate() {
                let stroke = colour(COLOURS[at % SERIES]);
                for run in runs(&series.values) {
                    let point = |row: usize| {
                        let value = series.values.get(row).copied().flatten()?;
                        Some((data.x(row), vertical.height(value)))
                    };
                    let points: Vec<(f64, f64)> = run.clone().filter_map(point).collect();
                    if points.len() == 1 || data.rows() <= MARKED {
                        let marks = points.iter();
                        let marks = marks.map(|&point| Circle::new(point, 3, stroke.filled()));
                        chart.draw_series(marks).ok()?;
                    }
                    if points.len() > 1 {
                        chart
                            .draw_series([PathElement::new(points, stroke.stroke_width(2))])
                            .ok()?;
                    }
                }
            }
        }
    }
    // A shaded day of a year is two pixels wide: a mark at its foot is seen all the same.
    for &row in &data.incomplete {
        let (from, to) = (data.x(row) - 0.5, data.x(row) + 0.5);
        let mark = Rectangle::new([(from, low), (to, low + foot)], colour(SHADE_MARK).filled());
        chart.draw_series([mark]).ok()?;
    }
    drop(chart);
    root.present().ok()
}

/// Upper edges of the stacked series, each upon the one before; a gap adds nothing.
fn stacks(data: &Data) -> Vec<Vec<f64>> {
    let mut below = vec![0.0; data.rows()];
    (data.series.iter())
        .map(|series| {
            for (sum, value) in below.iter_mut().zip(&series.values) {
                *sum += value.unwrap_or(0.0).max(0.0);
            }
            below.clone()
        })
        .collect()
}

/// Outlines of a stacked series: one a column where there are few, else one over all columns that
/// touch.
fn columns(data: &Data, top: &[f64], bottom: Option<&Vec<f64>>) -> Vec<Vec<(f64, f64)>> {
    let count = top.len();
    let base = |row: usize| {
        bottom
            .and_then(|bottom| bottom.get(row))
            .copied()
            .unwrap_or(0.0)
    };
    let half = if count <= APART { 0.4 } else { 0.5 };
    let outline = |rows: std::ops::Range<usize>| {
        let upper = rows.clone().flat_map(|row| {
            let x = data.x(row);
            [(x - half, top[row]), (x + half, top[row])]
        });
        let lower = rows.rev().flat_map(|row| {
            let x = data.x(row);
            [(x + half, base(row)), (x - half, base(row))]
        });
        upper.chain(lower).collect()
    };
    let rows = (0..count).collect::<Vec<_>>();
    let beside = |a: &usize, b: &usize| {
        count > APART && (data.x(*b) - data.x(*a) - 1.0).abs() < f64::EPSILON
    };
    (rows.chunk_by(beside))
        .filter_map(|run| Some(*run.first()?..*run.last()? + 1))
        .filter(|run| run.clone().any(|row| top[row] > base(row)))
        .map(outline)
        .collect()
}

/// Ranges of rows without a gap in them.
fn runs(values: &[Option<f64>]) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for row in (0..values.len()).filter(|&row| values[row].is_some()) {
        match runs.last_mut() {
            Some(run) if run.end == row => run.end = row + 1,
            _ => runs.push(row..row + 1),
        }
    }
    runs
}
