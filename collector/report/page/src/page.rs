//! The page: template, style and script put together, with nothing from elsewhere.

use std::collections::BTreeMap;

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
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digest = Sha256::digest(text.as_bytes());
    let mut base64 = String::new();
    for part in digest.chunks(3) {
        let octet = |at: usize| u32::from(part.get(at).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            base64.push(if at > part.len() {
                '='
            } else {
                char::from(letter)
            });
        }
    }
    base64
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
}
