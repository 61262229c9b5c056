//! The questions of reports as both engines execute them, and the differences of two answers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use noctule_testkit::python;
use serde_json::Value;

/// The tables of what questions of reports are about, in SQL: synthetic days, and ports of scans.
const CHOSEN: &str = "
chosen_ports AS (
  SELECT 'tcp' AS protocol, 23 AS port UNION ALL SELECT 'tcp', 445 UNION ALL SELECT 'udp', 53
),
chosen_supersedes AS (
  SELECT 'mirai-precursor' AS rule, 'mirai' AS superseded
  UNION ALL SELECT 'mirai-precursor', 'mirai-precursor'
),
chosen_telnet_marks AS (SELECT 'mirai' AS rule),
chosen_rules AS (SELECT 'zmap' AS rule UNION ALL SELECT 'mirai' UNION ALL SELECT 'unicornscan'),
chosen_countries AS (SELECT 'US' AS country UNION ALL SELECT 'CN' UNION ALL SELECT '??'),
chosen_port_countries AS (SELECT protocol, port, country FROM chosen_ports CROSS JOIN chosen_countries),
chosen_country_ports AS (SELECT country, protocol, port FROM chosen_ports CROSS JOIN chosen_countries),
chosen_peaks AS (
  SELECT 0 AS peak, CAST('2024-02-29' AS DATE) AS date, protocol, port FROM chosen_ports
),
chosen_days AS (
  SELECT CAST('2024-02-28' AS DATE) AS date, '2024-02' AS month
  UNION ALL SELECT CAST('2024-02-29' AS DATE), '2024-02'
),
chosen_periods AS (
  SELECT 'both' AS period, CAST('2024-02-28' AS DATE) AS period_from,
    CAST('2024-02-29' AS DATE) AS period_to
)";

/// Writes every question of reports to a file, after the tables of what it is about.
pub fn questions_of_reports(folder: &Path) -> BTreeMap<String, PathBuf> {
    let place = python::script("../collector/analyze/sql/report");
    let mut questions = BTreeMap::new();
    for entry in fs::read_dir(&place).expect("questions").flatten() {
        let name = entry.file_name().to_string_lossy().replace(".sql", "");
        let file = folder.join(format!("report-{name}.sql"));
        fs::write(&file, with_chosen(&entry.path())).expect("room for a question");
        questions.insert(format!("report-{name}"), file);
    }
    questions
}

/// The SQL of a question, after the tables that no file of the store holds.
pub fn with_chosen(question: &Path) -> String {
    let read = |path: &Path| {
        let text = fs::read_to_string(path).expect("a question");
        let lines = text.lines().filter(|line| !line.starts_with("--"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let confirmed = read(&python::script(
        "../collector/analyze/sql/report/confirmed.sql",
    ));
    let sql = read(question);
    // The question's own WITH continues this one.
    let (comma, rest) = match sql.strip_prefix("WITH ") {
        Some(rest) => (",\n", rest),
        None => ("\n", &sql[..]),
    };
    format!("WITH {CHOSEN},\nconfirmed AS (\n{confirmed}\n){comma}{rest}\n")
}

/// True if both engines wrote the same value.
fn same(ours: &Value, theirs: &Value) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    // Both mean UTC, which only one engine writes.
    let time = |value: &Value| {
        let text = value.as_str()?.trim_end_matches('Z');
        text.contains('T').then(|| text.parse::<DateTime>().ok())?
    };
    match (ours.as_f64(), theirs.as_f64()) {
        (Some(ours), Some(theirs)) => near(ours, theirs),
        _ => ours == theirs || time(ours).is_some() && time(ours) == time(theirs),
    }
}

/// The first difference of two engines' rows. Rows of a question without an order are sorted.
pub fn differences(name: &str, ours: &Value, theirs: &Value) -> Option<String> {
    let rows = |answer: &Value| answer.as_array().expect("rows").clone();
    let (mut ours, mut theirs) = (rows(ours), rows(theirs));
    if ours.is_empty() || ours.len() != theirs.len() {
        let (ours, theirs) = (ours.len(), theirs.len());
        return Some(format!("{name}: {ours} rows here and {theirs} there"));
    }
    // The JSON of our answers leaves NULLs out.
    let columns: Vec<String> = (theirs[0].as_object().expect("a row").keys())
        .cloned()
        .collect();
    for row in &mut ours {
        for column in &columns {
            row.as_object_mut()
                .expect("a row")
                .entry(column)
                .or_insert(Value::Null);
        }
    }
    if name == "report-confirmed" {
        ours.sort_by_key(Value::to_string);
        theirs.sort_by_key(Value::to_string);
    }
    for (ours, theirs) in ours.iter().zip(&theirs) {
        for column in &columns {
            if !same(&ours[column], &theirs[column]) {
                return Some(format!(
                    "{name}, {column}: {} here and {} there",
                    ours[column], theirs[column]
                ));
            }
        }
    }
    None
}
