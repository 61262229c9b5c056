//! The page: template, style and script put together, with nothing from elsewhere.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior, context};
use sha2::{Digest as _, Sha256};

use crate::model::Report;
use crate::printer::Printer;
use crate::view;

const TEMPLATE: &str = include_str!("../templates/index.html");
const STYLE: &str = include_str!("../templates/style.css");
const SCRIPT: &str = include_str!("../templates/script.js");

/// Texts of the page that have no arguments; `ui-NAME` is `ui.NAME` in the template.
const WORDS: [&str; 17] = [
    "columns-left-out",
    "contents",
    "data",
    "data-index",
    "downloads",
    "empty",
    "empty-report",
    "left-out",
    "left-out-text",
    "notice",
    "remark",
    "skip",
    "sort",
    "table",
    "title",
    "warning",
    "without-research",
];

/// Makes the page.
///
/// # Errors
/// A template that does not fit the view, which tests rule out.
pub(crate) fn html(report: &Report, printer: &Printer) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_template("index.html", TEMPLATE)?;
    let ui: BTreeMap<String, String> = (WORDS.iter())
        .map(|word| (word.replace('-', "_"), printer.ui(&format!("ui-{word}"))))
        .collect();
    let view = view::view(report, printer);
    let style = style(view.notice.as_deref());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        digest(&style),
        digest(SCRIPT)
    );
    environment.get_template("index.html")?.render(context! {
        ui,
        view => Value::from(Serde(&view)),
        policy,
        style => Value::from_safe_string(style),
        script => Value::from_safe_string(SCRIPT.to_owned()),
    })
}

/// The style, with the notice at the foot of every printed page.
fn style(notice: Option<&str>) -> String {
    let mut style = STYLE.to_owned();
    if let Some(notice) = notice {
        // Every letter as its number: nothing that it could say ends the text.
        let quoted: String = notice
            .chars()
            .filter(|c| *c != '\0')
            .map(|c| format!("\\{:x} ", u32::from(c)))
            .collect();
        style.push_str("@page{@bottom-left{content:\"");
        style.push_str(&quoted);
        style.push_str("\"}}\n");
    }
    style
}

/// SHA-256 in Base64, by which the page's policy knows its own style and script.
fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(digest(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(
            digest("abc"),
            "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
        );
    }

    #[test]
    fn a_notice_cannot_leave_its_place_in_the_style() {
        let style = style(Some("a\"}</style><script>\u{5408}"));
        let added = &style[STYLE.len()..];
        assert!(!added.contains("</"), "{added}");
        assert!(added.contains("\\22 "), "{added}");
        assert!(added.contains("\\5408 "), "{added}");
    }

    /// Colours of the style by name, in the light and in the dark scheme.
    fn schemes() -> [BTreeMap<&'static str, u32>; 2] {
        let roots: Vec<&str> = STYLE.split(":root{").skip(1).collect();
        let [light, dark] = roots[..] else {
            panic!("one list of colours for each scheme");
        };
        [light, dark].map(|root| {
            let list = root.split('}').next().unwrap_or_default();
            let rules = list
                .split(';')
                .filter_map(|rule| rule.trim().strip_prefix("--"));
            let colours = rules.filter_map(|rule| {
                let (name, colour) = rule.split_once(":#")?;
                // `#abc` is short for `#aabbcc`.
                let short = u32::from_str_radix(colour, 16).ok()?;
                let long = [8, 4, 0].map(|bits| (short >> bits & 15) * 17);
                let is_short = colour.len() == 3;
                Some((
                    name,
                    if is_short {
                        long[0] << 16 | long[1] << 8 | long[2]
                    } else {
                        short
                    },
                ))
            });
            colours.collect()
        })
    }

    /// Contrast by WCAG 2: 1 to 21.
    fn contrast(one: u32, other: u32) -> f64 {
        let [one, other] = [one, other].map(|colour| {
            let linear = |octet: u8| {
                let part = f64::from(octet) / 255.0;
                if part <= 0.04045 {
                    part / 12.92
                } else {
                    ((part + 0.055) / 1.055).powf(2.4)
                }
            };
            let [_, red, green, blue] = colour.to_be_bytes();
            0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
        });
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn texts_and_lines_stand_out_in_both_schemes() {
        for colours in schemes() {
            let hold = |text: &str, paper: &str, least: f64| {
                let found = contrast(colours[text], colours[paper]);
                assert!(found >= least, "{text} on {paper}: {found:.2}");
            };
            for (texts, papers) in [
                (&["ink", "quiet", "link"][..], &["paper", "panel"][..]),
                (&["ink", "warn"], &["warn-paper"]),
                (&["ink"], &["shade"]),
            ] {
                for text in texts {
                    papers.iter().for_each(|paper| hold(text, paper, 4.5));
                }
            }
            for series in 1..=crate::plot::style::SERIES {
                hold(&format!("s{series}"), "paper", 3.0);
            }
            hold("shade-mark", "paper", 3.0);
        }
    }

    #[test]
    fn the_style_knows_the_colours_of_drawings() {
        let [light, _] = schemes();
        for (at, colour) in (1..).zip(crate::plot::style::COLOURS) {
            assert_eq!(light[format!("s{at}").as_str()], colour);
            let rule = format!("[fill=\"#{colour:06X}\"],.f{at}{{fill:var(--s{at})}}");
            assert!(STYLE.contains(&rule), "{rule}");
            let rule = format!("[stroke=\"#{colour:06X}\"],.l{at}{{stroke:var(--s{at})}}");
            assert!(STYLE.contains(&rule), "{rule}");
        }
    }
}
