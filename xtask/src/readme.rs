//! `readme`: makes what README.md shows of Noctule's output, or checks that it is up to date.
//!
//! September 2016 of the synthetic scenario is replayed and reported on. Equal inputs give equal
//! files, so that text and picture change only with the programs or the scenario.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::shell;

const README: &str = "README.md";
const PICTURE: &str = "collector/docs/images/report.svg";
/// Colours of a plot's first lines, as `noctule-page` draws them.
const COLOURS: [&str; 3] = ["#0072B2", "#D55E00", "#007F5C"];
/// The ports that the picture shows.
const PORTS: [&str; 3] = ["23/tcp", "2323/tcp", "53413/udp"];
/// The three rows of a table that README.md shows.
const QUERY: &str = "SELECT interval_start, ip(source4) AS source, port, class, packets, country, asn \
     FROM flows WHERE date = '2016-09-20' AND port = 2323 ORDER BY packets DESC, source LIMIT 3";
/// Sections of the summary that README.md shows, by their first line's first word.
const SECTIONS: [&str; 3] = ["port", "fingerprint", "ledger:"];

/// Makes the summary, the rows and the picture. With `check` it compares them with the committed ones
/// instead of replacing these.
///
/// # Errors
/// A program fails, README.md lacks a block's marks, or with `check` something is out of date.
pub fn run(check: bool) -> Result<()> {
    // The same command as in `test`: another would build dependencies again.
    shell::run(shell::cargo().args(["build", "--quiet", "--workspace", "--all-targets"]))?;
    let folder = shell::target().join("readme");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let output = Output::make(&folder);
    // The captures take 2 GB.
    fs::remove_dir_all(&folder)?;
    let output = output?;
    let readme = shell::root().join(README);
    let text = fs::read_to_string(&readme)?;
    let mut fresh = replaced(&text, "summary", &output.summary)?;
    fresh = replaced(&fresh, "rows", &output.rows)?;
    for (path, old, new) in [
        (README, text, fresh),
        (
            PICTURE,
            fs::read_to_string(shell::root().join(PICTURE)).unwrap_or_default(),
            output.picture,
        ),
    ] {
        ensure!(
            !check || old == new,
            "{path} does not show what the programs print: run `cargo xtask readme` and commit {path}"
        );
        if old != new {
            let file = shell::root().join(path);
            fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
            fs::write(file, new)?;
            println!("{path} is changed");
        }
    }
    Ok(())
}

struct Output {
    summary: String,
    rows: String,
    picture: String,
}

impl Output {
    fn make(folder: &Path) -> Result<Self> {
        let noctule = || Command::new(shell::target().join("debug/noctule"));
        let synth = ["synth", "--scenario", "2016", "--out"];
        shell::output(noctule().args(synth).arg(folder))?;
        let truth: Value = serde_json::from_slice(&fs::read(folder.join("truth.json"))?)?;
        let store = folder.join("store");
        fs::create_dir_all(&store)?;
        for file in ["noctule.toml", "research.txt"] {
            fs::copy(folder.join(file), store.join(file))?;
        }
        let mut replay = noctule();
        replay.args(["replay", "--sensor", "demo", "--interval", "3600"]);
        for prefix in truth["prefixes"].as_array().into_iter().flatten() {
            replay.args(["--prefix", prefix.as_str().unwrap_or_default()]);
        }
        replay.arg("--country-db").arg(folder.join("country.csv"));
        replay.arg("--asn-db").arg(folder.join("asn.csv"));
        replay.arg("--store").arg(&store);
        let summary = shell::output(replay.arg(folder.join("2016-09.pcap")))?;
        let mut query = noctule();
        query.args(["query", QUERY, "--store"]).arg(&store);
        let rows = shell::output(&mut query)?;
        let report: PathBuf = folder.join("report");
        let mut command = noctule();
        command.args(["report", "--period", "2016-09", "--style", "nicter"]);
        for port in PORTS {
            command.args(["--port", port]);
        }
        command.arg("--store").arg(&store);
        shell::output(command.arg("--out").arg(&report))?;
        let page = fs::read_to_string(report.join("index.html"))?;
        Ok(Self {
            summary: sections(&summary),
            rows: format!(
                "$ noctule query --store store \"{QUERY}\"\n{}",
                rows.trim_end()
            ),
            picture: picture(&page)?,
        })
    }
}

/// The first line of a summary and its sections of [`SECTIONS`].
fn sections(summary: &str) -> String {
    let parts = summary
        .trim()
        .split("\n\n")
        .map(|part| part.trim_matches('\n'));
    let is_shown = |part: &&str| {
        let first = part.split_whitespace().next().unwrap_or_default();
        first.starts_with(|c: char| c.is_ascii_digit()) && part.contains(" dark packets")
            || SECTIONS.contains(&first)
    };
    let shown: Vec<&str> = parts.filter(is_shown).collect();
    // Below the ledger are the run's time and its store, which differ between machines.
    let text = shown.join("\n\n");
    let lines = text.lines();
    let kept = lines.filter(|line| !line.starts_with("time:") && !line.starts_with("store:"));
    kept.collect::<Vec<_>>().join("\n")
}

/// The plot of sources by day and port as a picture of its own, with a legend below.
fn picture(page: &str) -> Result<String> {
    let mark = "aria-labelledby=\"n5-sources_plot0-wide-t";
    let at = page
        .find(mark)
        .context("the page has no plot of sources by port")?;
    let start = page[..at]
        .rfind("<svg")
        .context("the plot has no beginning")?;
    let length = page[start..]
        .find("</svg>")
        .context("the plot has no end")?;
    let plot = &page[start..start + length];
    let inner = plot.split_once('>').map_or("", |(_, inner)| inner);
    let names = (inner.split_once("Line chart of "))
        .and_then(|(_, rest)| rest.split_once(" by Day"))
        .context("the plot has no description")?
        .0;
    let names: Vec<&str> = names.split(", ").collect();
    ensure!(names.len() == COLOURS.len(), "the plot shows {names:?}");
    let legend: String = (names.iter().zip(COLOURS).zip([56, 336, 616]))
        .map(|((name, colour), x)| {
            format!("<text x=\"{x}\" y=\"345\" font-size=\"14\" fill=\"{colour}\">&#9679; {name}</text>\n")
        })
        .collect();
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 920 360\" font-family=\"sans-serif\">\n\
         <rect width=\"920\" height=\"360\" fill=\"#ffffff\"/>\n{}\n{legend}</svg>\n",
        inner.replace("><", ">\n<")
    ))
}

/// The text with a marked block's content replaced.
fn replaced(text: &str, name: &str, content: &str) -> Result<String> {
    let (begin, end) = (
        format!("<!-- {name}: made by `cargo xtask readme` -->\n"),
        format!("<!-- end of {name} -->\n"),
    );
    let (before, rest) = (text.split_once(&begin))
        .with_context(|| format!("{README} has no line `{}`", begin.trim()))?;
    let (_, after) = (rest.split_once(&end))
        .with_context(|| format!("{README} has no line `{}`", end.trim()))?;
    Ok(format!(
        "{before}{begin}```text\n{content}\n```\n{end}{after}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_replaced_and_nothing_else() {
        let text = "a\n<!-- rows: made by `cargo xtask readme` -->\nold\n<!-- end of rows -->\nb\n";
        let fresh = replaced(text, "rows", "new").unwrap();
        assert_eq!(
            fresh,
            "a\n<!-- rows: made by `cargo xtask readme` -->\n```text\nnew\n```\n<!-- end of rows -->\nb\n"
        );
        assert_eq!(replaced(&fresh, "rows", "new").unwrap(), fresh);
        assert!(replaced(text, "summary", "new").is_err());
    }

    #[test]
    fn only_some_sections_of_a_summary_are_shown() {
        let summary = "\n12 dark packets (1 bytes)\n\n  port  class\n  1/tcp scan\n\n  source\n  x\n\n\
                       ledger: 1\ntime: 2\nstore: none\n";
        assert_eq!(
            sections(summary),
            "12 dark packets (1 bytes)\n\n  port  class\n  1/tcp scan\n\nledger: 1"
        );
    }

    #[test]
    fn a_plot_becomes_a_picture_with_a_legend() {
        let page = "<svg class=\"wide\" aria-labelledby=\"n5-sources_plot0-wide-t x\"><desc>Line chart \
                    of A, B, C by Day, from</desc><rect/></svg><svg></svg>";
        let picture = picture(page).unwrap();
        assert_eq!(picture.matches("<svg").count(), 1);
        assert!(picture.contains("fill=\"#D55E00\">&#9679; B<"), "{picture}");
        assert!(super::picture("<svg></svg>").is_err());
    }
}
