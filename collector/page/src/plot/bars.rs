//! Horizontal bars, each with its name and its figure.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axes::text_width;
use super::chart::colour;
use super::series::{Data, Places};
use super::style::{COLOURS, GRID, INK, NARROW, SHADE, Size};
use crate::{Language, numbers};

/// The drawing and its height, which follows from the number of bars; none if the backend cannot
/// draw.
pub(super) fn draw(data: &Data, size: Size, language: Language) -> Option<(String, u32)> {
    let Places::Names(names) = &data.places else {
        return None;
    };
    let series = data.series.first()?;
    let figures: Vec<String> = (series.values.iter())
        .map(|value| match value {
            None => numbers::MISSING.to_owned(),
            Some(value) if data.is_share => numbers::share(*value),
            Some(value) => numbers::axis(*value, language),
        })
        .collect();
    let top = series.values.iter().flatten().copied().fold(0.0, f64::max);
    let widest = |texts: &[String]| texts.iter().map(|text| text_width(text, size.text)).max();
    let gap = size.text / 2;
    // On a narrow page a name is above its bar, which then has the whole width.
    let is_above = size.name == NARROW.name;
    let left = if is_above {
        0
    } else {
        (widest(names)? + gap).min(size.width / 3)
    };
    let room = size
        .width
        .saturating_sub(left + gap + widest(&figures)? + gap);
    let row_height = size.text * if is_above { 3 } else { 2 };
    let height = row_height * u32::try_from(names.len()).ok()? + gap;

    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (size.width, height)).into_drawing_area();
    let font = ("sans-serif", f64::from(size.text) * 1.24).into_font();
    let ink = colour(INK);
    let style = TextStyle::from(font).color(&ink);
    let anchored = |h, v| style.pos(Pos::new(h, v));
    for (row, (name, figure)) in (0..).zip(names.iter().zip(&figures)) {
        let y = row_height * row;
        let from = y + if is_above { size.text + gap } else { gap / 2 };
        let to = y + row_height - gap / 2;
        let middle = (from + to).div_ceil(2);
        let value = series
            .values
            .get(row as usize)
            .copied()
            .flatten()
            .unwrap_or(0.0);
        let part = if top > 0.0 {
            (value / top).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let length = (f64::from(room) * part).round() as u32;
        let name = shortened(name, size, if is_above { size.width } else { left - gap });
        let (place, anchor) = if is_above {
            ((0, y + gap / 2), anchored(HPos::Left, VPos::Top))
        } else {
            ((left - gap, middle), anchored(HPos::Right, VPos::Center))
        };
        let at = |(x, y): (u32, u32)| (x as i32, y as i32);
        root.draw(&Text::new(name, at(place), anchor)).ok()?;
        if data.incomplete.contains(&(row as usize)) {
            let shade = Rectangle::new(
                [at((left, from)), at((left + room, to))],
                colour(SHADE).filled(),
            );
            root.draw(&shade).ok()?;
        }
        let bar = [at((left, from)), at((left + length.max(1), to))];
        root.draw(&Rectangle::new(bar, colour(COLOURS[0]).filled()))
            .ok()?;
        let figure = Text::new(
            figure.clone(),
            at((left + length + gap, middle)),
            anchored(HPos::Left, VPos::Center),
        );
        root.draw(&figure).ok()?;
    }
    let foot = PathElement::new(
        [(left as i32, 0), (left as i32, height as i32)],
        colour(GRID),
    );
    root.draw(&foot).ok()?;
    root.present().ok()?;
    drop(root);
    Some((svg, height))
}

/// A name that fits; the table below has the whole.
fn shortened(name: &str, size: Size, room: u32) -> String {
    if text_width(name, size.text) <= room {
        return name.to_owned();
    }
    let mut short = String::new();
    for letter in name.chars() {
        short.push(letter);
        if text_width(&short, size.text) + size.text > room {
            break;
        }
    }
    short.pop();
    short.push('…');
    short
}
