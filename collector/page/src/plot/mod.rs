//! Plots of a table's columns as SVG, each in two sizes: one for wide pages and paper, one whose
//! texts stay readable on a telephone.
//!
//! Colours are attributes of the drawing, so that it is whole by itself; the page's style replaces
//! them by those of the reader's scheme and gives each line a dash pattern of its own.

mod axes;
mod bars;
mod chart;
mod series;
pub(crate) mod style;

use serde::Serialize;

use crate::model::{Form, Plot, Table};
use crate::printer::Printer;
use series::Data;
use style::{NARROW, Size, WIDE};

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
