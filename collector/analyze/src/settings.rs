//! A store's own settings: the file `noctule.toml` at its root.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use noctule_store::files::Files;
use serde::Deserialize;

use crate::daily::MADE_OF;
use crate::open::AnyTable;

/// Its name.
const FILE: &str = "noctule.toml";

/// Settings that all readers of a store share.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The zone whose days daily tables have.
    #[serde(default = "utc")]
    pub report_timezone: String,
    /// A file beside this one: the rule file of the sensors, which adds to the shipped rules.
    #[serde(default)]
    pub rules: Option<String>,
    /// A sentence on the data for every report, such as that they are synthetic.
    #[serde(default)]
    pub notice: Option<String>,
    /// Which sources are research scanners.
    #[serde(default)]
    pub research: Research,
    /// Days that a table's files are kept, by table; files of other tables are kept for ever.
    #[serde(default)]
    pub keep_days: BTreeMap<String, u32>,
}

/// Which sources are research scanners on a day: NICTER's rule, and a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Research {
    /// Least number of packets that a research scanner sends on the day ...
    pub packets: i64,
    /// ... and least number of TCP and UDP ports that it probes.
    pub ports: i64,
    /// A file beside this one with addresses and prefixes, one a line, each perhaps with a name.
    pub list: Option<String>,
    /// More such files, each in force for a time.
    pub lists: Vec<ListEntry>,
}

/// A list of research scanners as the file names it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListEntry {
    file: String,
    name: Option<String>,
    from: Option<toml::Value>,
    until: Option<toml::Value>,
}

/// A list of research scanners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResearchList {
    /// A file beside `noctule.toml`.
    pub file: String,
    /// Name of the scanners that the file gives none.
    pub name: Option<String>,
    /// The first day on which it is in force.
    pub from: Option<Date>,
    /// The last such day.
    pub until: Option<Date>,
}

impl Research {
    /// Every list, in the order in which the file names them.
    ///
    /// # Errors
    /// If `from` or `until` is not a date.
    pub fn lists(&self) -> Result<Vec<ResearchList>> {
        let undated = self.list.iter().map(|file| {
            Ok(ResearchList {
                file: file.clone(),
                name: None,
                from: None,
                until: None,
            })
        });
        let dated = self.lists.iter().map(|list| {
            Ok(ResearchList {
                file: list.file.clone(),
                name: list.name.clone(),
                from: day(&list.file, "from", list.from.as_ref())?,
                until: day(&list.file, "until", list.until.as_ref())?,
            })
        });
        undated.chain(dated).collect()
    }
}

/// A day, with or without quotes.
fn day(file: &str, key: &str, value: Option<&toml::Value>) -> Result<Option<Date>> {
    let text = match value {
        None => return Ok(None),
        Some(toml::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let wrong =
        || format!("research list {file}: {key} = {text} is not a day: write \"2026-03-01\"");
    Ok(Some(text.parse().with_context(wrong)?))
}

impl Default for Research {
    fn default() -> Self {
        Self {
            packets: 300_000,
            ports: 30,
            list: None,
            lists: Vec::new(),
        }
    }
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Settings {
    /// Reads the settings of a store. Without the file, they are the defaults.
    ///
    /// # Errors
    /// If the file cannot be read, is not valid TOML, or has an unknown key, time zone or table.
    pub fn read(files: &Files) -> Result<Self> {
        let text = files.read(FILE)?.unwrap_or_default();
        let place = || format!("{}/{FILE}", files.location());
        let text = String::from_utf8(text).with_context(place)?;
        let settings: Self = toml::from_str(&text).with_context(place)?;
        zone(&settings.report_timezone).with_context(place)?;
        settings.research.lists().with_context(place)?;
        let known: Vec<_> = AnyTable::all().map(AnyTable::name).collect();
        for table in settings.keep_days.keys() {
            if !known.contains(&table.as_str()) {
                bail!("{}: keep_days names {table}, which is not a table", place());
            }
        }
        Ok(settings)
    }

    /// The first day whose interval files are all kept: days before it are not made again, since part
    /// of their files have gone.
    ///
    /// # Errors
    /// If `keep_days` reaches back beyond the calendar.
    pub fn first_whole_day(&self, zone: &TimeZone, now: Timestamp) -> Result<Option<Date>> {
        let kept = MADE_OF.iter();
        let kept = kept.filter_map(|table| self.keep_days.get(table.name()));
        let Some(&days) = kept.min() else {
            return Ok(None);
        };
        let today = now.to_zoned(zone.clone()).date();
        // A day of the zone may reach into the UTC date before.
        let first = today
            .checked_sub(i64::from(days).days())?
            .checked_add(1.day())?;
        Ok(Some(first))
    }
}

/// A time zone by its IANA name.
///
/// # Errors
/// If the time zone database does not have the name.
pub fn zone(name: &str) -> Result<TimeZone> {
    TimeZone::get(name)
        .with_context(|| format!("\"{name}\" is not a time zone: write it as Asia/Tokyo or UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_research_scanners_have_dates() {
        let text = "[research]\nlist = \"all.txt\"\n\n[[research.lists]]\nfile = \"a.txt\"\nname = \"Censys\"\nfrom = \"2026-03-01\"\n\n[[research.lists]]\nfile = \"b.txt\"\nfrom = 2026-03-01\nuntil = 2026-04-30\n";
        let settings: Settings = toml::from_str(text).unwrap();
        let lists = settings.research.lists().unwrap();
        let dates: Vec<_> = (lists.iter())
            .map(|list| [list.from, list.until].map(|day| day.map(|day| day.to_string())))
            .collect();
        let day = |text: &str| Some(text.to_owned());
        assert_eq!(
            dates,
            [
                [None, None],
                [day("2026-03-01"), None],
                [day("2026-03-01"), day("2026-04-30")]
            ]
        );
        assert_eq!(lists[1].name.as_deref(), Some("Censys"));
        for from in ["\"March\"", "5", "2026-03-01T10:00:00Z"] {
            let text = format!("[[research.lists]]\nfile = \"a.txt\"\nfrom = {from}\n");
            let settings: Settings = toml::from_str(&text).unwrap();
            let error = settings.research.lists().unwrap_err().to_string();
            assert!(error.contains("a.txt: from"), "{error}");
        }
    }
}
