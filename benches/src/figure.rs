//! Results of a bench: a figure, its reference, and the goals that it meets or misses.

use std::fs;

use serde::{Deserialize, Serialize};

/// A goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The figure is at least this.
    AtLeast(f64),
    /// The figure is at most this.
    AtMost(f64),
    /// Figure divided by reference is at least this.
    RatioAtLeast(f64),
    /// Figure divided by reference is at most this.
    RatioAtMost(f64),
    /// The figure is at most this much above the reference.
    AboveReferenceAtMost(f64),
}

/// Figures of several rounds, and those of the reference in the same rounds.
pub struct Rounds<'a> {
    /// The figure, round by round.
    pub figures: &'a [f64],
    /// The reference, round by round; empty without a reference.
    pub references: &'a [f64],
}

/// What a bench writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// Name of the bench, and after a slash that of the figure.
    pub name: String,
    /// The median of the rounds.
    pub figure: f64,
    /// Its unit.
    pub unit: String,
    /// What the reference is.
    pub reference_name: Option<String>,
    /// The reference's median, in the same unit, from the same run.
    pub reference: Option<f64>,
    /// Median of the rounds' ratios of figure to reference.
    pub ratio: Option<f64>,
    /// Median of the rounds' differences between figure and reference.
    pub above_reference: Option<f64>,
    /// Least and greatest figure of the rounds.
    pub span: (f64, f64),
    /// The goals; empty for a figure that is for information.
    pub goals: Vec<Goal>,
    /// True if all goals are met.
    pub met: bool,
    /// The machine that it was measured on.
    pub machine: String,
}

impl Figure {
    /// A figure with its reference and goals.
    ///
    /// Ratio and difference are medians over rounds, since both measurements of a round ran under the
    /// same load of the machine.
    ///
    /// # Panics
    /// If there is no round, or if a goal needs a reference and there is no reference.
    pub fn new(
        name: &str,
        unit: &str,
        rounds: &Rounds<'_>,
        reference_name: Option<&str>,
        goals: &[Goal],
    ) -> Self {
        let pairs = || rounds.figures.iter().zip(rounds.references);
        let of_pairs = |relation: fn((&f64, &f64)) -> f64| {
            let values: Vec<_> = pairs().map(relation).collect();
            (!values.is_empty()).then(|| median(&values))
        };
        let mut figure = Self {
            name: name.to_owned(),
            figure: median(rounds.figures),
            unit: unit.to_owned(),
            reference_name: reference_name.map(str::to_owned),
            reference: (!rounds.references.is_empty()).then(|| median(rounds.references)),
            ratio: of_pairs(|(figure, reference)| figure / reference),
            above_reference: of_pairs(|(figure, reference)| figure - reference),
            span: (rounds.figures.iter()).fold((f64::MAX, f64::MIN), |(low, high), &value| {
                (low.min(value), high.max(value))
            }),
            goals: goals.to_vec(),
            met: true,
            machine: machine(),
        };
        figure.met = goals.iter().all(|&goal| figure.meets(goal));
        figure
    }

    /// True if this goal is met.
    ///
    /// # Panics
    /// If it needs a reference and there is no reference.
    pub fn meets(&self, goal: Goal) -> bool {
        let beside = |value: Option<f64>| value.expect("a goal beside a reference needs one");
        match goal {
            Goal::AtLeast(least) => self.figure >= least,
            Goal::AtMost(most) => self.figure <= most,
            Goal::RatioAtLeast(least) => beside(self.ratio) >= least,
            Goal::RatioAtMost(most) => beside(self.ratio) <= most,
            Goal::AboveReferenceAtMost(most) => beside(self.above_reference) <= most,
        }
    }

    /// The figure's row of the printed table: name, figure, reference, ratio, goals.
    pub fn columns(&self) -> [String; 5] {
        let reference = match (self.reference, &self.reference_name) {
            (Some(value), Some(name)) => format!("{} {} ({name})", number(value), self.unit),
            _ => "-".to_owned(),
        };
        let ratio = self.ratio.map_or_else(|| "-".to_owned(), number);
        let goals: Vec<_> = (self.goals.iter())
            .map(|&goal| {
                let verdict = if self.meets(goal) { "met" } else { "MISSED" };
                format!("{}: {verdict}", goal.text(&self.unit))
            })
            .collect();
        let goals = if goals.is_empty() {
            "for information".to_owned()
        } else {
            goals.join("; ")
        };
        [
            self.name.clone(),
            format!("{} {}", number(self.figure), self.unit),
            reference,
            ratio,
            goals,
        ]
    }
}

impl Goal {
    fn text(self, unit: &str) -> String {
        match self {
            Self::AtLeast(least) => format!(">= {} {unit}", number(least)),
            Self::AtMost(most) => format!("<= {} {unit}", number(most)),
            Self::RatioAtLeast(least) => format!("ratio >= {}", number(least)),
            Self::RatioAtMost(most) => format!("ratio <= {}", number(most)),
            Self::AboveReferenceAtMost(most) => format!("<= reference + {} {unit}", number(most)),
        }
    }
}

/// Three significant digits, or all before the point.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// The median.
///
/// # Panics
/// If there is no figure.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Prints figures as one table.
pub fn print(figures: &[Figure]) {
    let mut rows = vec![["bench", "figure", "reference", "ratio", "goals"].map(str::to_owned)];
    rows.extend(figures.iter().map(Figure::columns));
    let width = |column: usize| {
        (rows.iter().map(|row| row[column].chars().count()).max()).unwrap_or_default()
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    for row in &rows {
        let cells: Vec<_> = (row.iter().zip(widths))
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

/// CPU model and number of CPUs.
pub fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = (text.lines())
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown CPU", |(_, model)| model);
    let cpus = (text.lines())
        .filter(|line| line.starts_with("processor"))
        .count();
    format!("{model}, {cpus} CPUs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_judged_by_figure_ratio_and_difference() {
        let rounds = Rounds {
            figures: &[10.0, 12.0, 11.0],
            references: &[20.0, 30.0, 20.0],
        };
        let figure = |goal| Figure::new("a", "ns", &rounds, Some("b"), &[goal]);
        for (goal, met) in [
            (Goal::AtLeast(11.0), true),
            (Goal::AtLeast(11.1), false),
            (Goal::AtMost(11.0), true),
            (Goal::AtMost(10.9), false),
            (Goal::RatioAtLeast(0.5), true),
            (Goal::RatioAtLeast(0.51), false),
            (Goal::RatioAtMost(0.5), true),
            (Goal::RatioAtMost(0.49), false),
            (Goal::AboveReferenceAtMost(-10.0), true),
            (Goal::AboveReferenceAtMost(-10.1), false),
        ] {
            assert_eq!(figure(goal).met, met, "{goal:?}");
        }
        assert_eq!(figure(Goal::AtMost(1.0)).span, (10.0, 12.0));
    }
}
