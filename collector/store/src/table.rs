//! The names of the store's tables.

use std::fmt;

/// A table whose files hold one interval each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One row per interval and flow key.
    Flows,
    /// One row per interval, protocol, class and port.
    Ports,
    /// One row per interval, source, protocol, port and fingerprint rule.
    Fingerprints,
    /// One row per interval, protocol, and class and port where the sketch has them.
    Sketches,
    /// One row per interval, quoted destination, protocol and port.
    Victims,
    /// One row per interval, queue and kind of frame that was not parsed.
    Unparsed,
    /// One row per interval and queue.
    Ledger,
}

impl Table {
    /// Every interval table.
    pub const ALL: [Self; 7] = [
        Self::Flows,
        Self::Ports,
        Self::Fingerprints,
        Self::Sketches,
        Self::Victims,
        Self::Unparsed,
        Self::Ledger,
    ];

    /// The table's name, which is also the name of its folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flows => "flows",
            Self::Ports => "ports",
            Self::Fingerprints => "fingerprints",
            Self::Sketches => "sketches",
            Self::Victims => "victims",
            Self::Unparsed => "unparsed",
            Self::Ledger => "ledger",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A table whose files hold one day of a report time zone each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DailyTable {
    /// One row per day and flow key.
    Flows,
    /// One row per day and research scanner.
    Research,
    /// One row per day, protocol, class, port and country.
    Ports,
    /// One row per day.
    Ledger,
}

impl DailyTable {
    /// Every daily table, in the order in which a rollup makes them.
    pub const ALL: [Self; 4] = [Self::Flows, Self::Research, Self::Ports, Self::Ledger];

    /// The table's name, which is also the name of its folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flows => "flows_daily",
            Self::Research => "research_daily",
            Self::Ports => "ports_daily",
            Self::Ledger => "ledger_daily",
        }
    }
}

impl fmt::Display for DailyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
