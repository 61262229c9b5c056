//! Plots of a table's columns as SVG, each in two sizes: one for wide pages and paper, one whose
//! texts stay readable on a telephone.
//!
//! Colours are attributes of the drawing, so that it is whole by itself; the page's style replaces
//! them by those of the reader's scheme and gives each line a dash pattern of its own.

mod axes;
mod bars;
mod chart;
mod series;

use serde::Serialize;

use crate::model::{Form, Plot, Table};
use crate::printer::Printer;
use series::Data;

/// Most series that a plot distinguishes: as many as it has colours.
pub(crate) const SERIES: usize = 10;

/// Colours of the series on white, in the order of the columns; each has a contrast of 3:1 or more.
/// The page's style repeats them.
pub(crate) const COLOURS: [u32; SERIES] = [
    0x0072B2, 0xD55E00, 0x007F5C, 0xAA3377, 0x8C6D00, 0x332288, 0x555555, 0x117A8B, 0x882255,
    0x4F7A00,
];
/// Texts, and the axes.
const INK: u32 = 0x1B1B1A;
/// Lines of the grid.
const GRID: u32 = 0xD6D6D5;
/// Behind what is incomplete.
const SHADE: u32 = 0xEBE3C9;
/// Marks at the axis below what is incomplete.
const SHADE_MARK: u32 = 0x8A6A1C;

/// A plot as the page shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Drawing {
    /// For wide pages and paper.
    wide: String,
    /// For narrow pages.
    narrow: String,
    /// Names of the series with the places of their colours, from 1; none where there is only one.
    legend: Vec<(usize, String)>,
    /// `line` or `area`: what the legend shows.
    swatch: &'static str,
    /// What else the legend says.
    remarks: Vec<String>,
    /// What a shade means; none where nothing is shaded.
    incomplete: Option<String>,
}

/// Width, height and size of texts, in CSS pixels at full size.
#[derive(Clone, Copy, Debug)]
struct Size {
    name: &'static str,
    width: u32,
    height: u32,
    text: u32,
}

const WIDE: Size = Size {
    name: "wide",
    width: 920,
    height: 320,
    text: 14,
};
const NARROW: Size = Size {
    name: "narrow",
    width: 360,
    height: 260,
    text: 12,
};

/// Draws a plot; none where a column that it names does not exist or no row has a figure.
pub(crate) fn draw(
    plot: &Plot,
    table: &Table,
    id: &str,
    title: &str,
    printer: &Printer,
) -> Option<Drawing> {
    let data = Data::new(plot, table, printer)?;
    let describe = data.describe(printer);
    let one = |size| {
        let inner = match plot.form {
            Form::Bars => bars::draw(&data, size, printer.language),
            Form::Lines | Form::Stacked => chart::draw(&data, size, printer.language),
        };
        let (inner, height) = inner?;
        Some(whole(
            &inner,
            Size { height, ..size },
            id,
            [title, &describe],
        ))
    };
    let (wide, narrow) = (one(WIDE)?, one(NARROW)?);
    let mut remarks = Vec::new();
    if plot.form == Form::Bars {
        // There may be other figures beside the one that is drawn.
        remarks.extend(data.series.first().map(|series| series.name.clone()));
    }
    if data.left_out > 0 {
        let more = data.left_out.to_string();
        remarks.push(
            printer
                .messages
                .say("ui-series-left-out", &[("more", &more)]),
        );
    }
    if data.logarithmic {
        remarks.push(printer.ui("ui-logarithmic"));
    }
    let names = data.series.iter().map(|series| series.name.clone());
    let is_one = data.series.len() == 1 || plot.form == Form::Bars;
    Some(Drawing {
        wide,
        narrow,
        legend: if is_one {
            Vec::new()
        } else {
            (1..).zip(names).collect()
        },
        swatch: if plot.form == Form::Lines {
            "line"
        } else {
            "area"
        },
        remarks,
        incomplete: (!data.incomplete.is_empty()).then(|| printer.ui("ui-incomplete")),
    })
}

/// A drawing with its name and description, at a size that follows the page's.
fn whole(inner: &str, size: Size, id: &str, [title, describe]: [&str; 2]) -> String {
    let Size {
        name,
        width,
        height,
        ..
    } = size;
    // The backend's own frame states a fixed size and no name, and each element what is so anyway.
    let inner = inner.split_once('>').map_or("", |(_, inner)| inner);
    let inner = inner.trim_end().trim_end_matches("</svg>");
    let inner = inner
        .replace(" opacity=\"1\"", "")
        .replace(" font-family=\"sans-serif\"", "")
        .replace(" stroke=\"none\"", "")
        .replace(">\n", ">")
        .replace("\n<", "<")
        .replace(" \"", "\"");
    let (title, describe) = (escaped(title), escaped(describe));
    format!(
        "<svg class=\"{name}\" viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\" \
         role=\"img\" aria-labelledby=\"{id}-{name}-t {id}-{name}-d\">\
         <title id=\"{id}-{name}-t\">{title}</title><desc id=\"{id}-{name}-d\">{describe}</desc>\
         {inner}</svg>"
    )
}

/// A text for XML; what XML cannot hold is left out.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests;
