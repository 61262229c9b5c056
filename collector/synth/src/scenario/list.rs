//! The scenarios.

/// A scenario that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A small darknet from April to December 2016, some 20 million packets: the events at the dates
    /// and the ranks of TSUBAME's and NICTER's reports of that year.
    Year2016,
    /// Two days at NICTER's scale: the numbers of distinct sources in table 2 of its report of 2016.
    NicterTable2,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 2] = [Self::Year2016, Self::NicterTable2];

    /// What it is called on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Year2016 => "2016",
            Self::NicterTable2 => "nicter-table2",
        }
    }

    /// The plan's file.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Year2016 => include_str!("2016.toml"),
            Self::NicterTable2 => include_str!("nicter-table2.toml"),
        }
    }

    /// The text that every output contains, so that no reader takes it for an observation.
    pub(super) fn notice(self) -> String {
        format!(
            "synthetic traffic (noctule synth --scenario {}): not an observation",
            self.name()
        )
    }
}
