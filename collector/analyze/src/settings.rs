//! A store's own settings: the file `noctule.toml` at its root.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use jiff::tz::TimeZone;
use noctule_store::files::Files;
use serde::Deserialize;

/// Where they stand.
const FILE: &str = "noctule.toml";

/// What everybody who reads the store must agree on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The zone whose days daily tables have.
    #[serde(default = "utc")]
    pub report_timezone: String,
    /// What every report says of the data, such as that it is synthetic.
    #[serde(default)]
    pub notice: Option<String>,
    /// Who is told apart as a research scanner.
    #[serde(default)]
    pub research: Research,
    /// Days that a table's files are kept; a table that is not named is kept for ever.
    #[serde(default)]
    pub keep_days: BTreeMap<String, u32>,
}

/// Who is a research scanner on a day: NICTER's rule, and a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Research {
    /// Packets that it sends at least ...
    pub packets: i64,
    /// ... to so many TCP and UDP ports at least.
    pub ports: i64,
    /// A file beside this one with addresses and small prefixes, one a line.
    pub list: Option<String>,
}

impl Default for Research {
    fn default() -> Self {
        Self {
            packets: 300_000,
            ports: 30,
            list: None,
        }
    }
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Settings {
    /// Reads them; a store without the file has the defaults.
    ///
    /// # Errors
    /// A file that cannot be read or understood, by line.
    pub fn read(files: &Files) -> Result<Self> {
        let text = files.read(FILE)?.unwrap_or_default();
        let place = || format!("{}/{FILE}", files.location());
        let text = String::from_utf8(text).with_context(place)?;
        let settings: Self = toml::from_str(&text).with_context(place)?;
        zone(&settings.report_timezone).with_context(place)?;
        let known: Vec<_> = crate::open::AnyTable::all()
            .map(crate::open::AnyTable::name)
            .collect();
        for table in settings.keep_days.keys() {
            if !known.contains(&table.as_str()) {
                bail!("{}: keep_days names {table}, which is no table", place());
            }
        }
        Ok(settings)
    }
}

/// A time zone by its IANA name.
///
/// # Errors
/// A name that the time zone database does not know.
pub fn zone(name: &str) -> Result<TimeZone> {
    TimeZone::get(name)
        .with_context(|| format!("\"{name}\" is no time zone: write it as Asia/Tokyo or UTC"))
}

/// A zone's name as it stands in paths.
pub fn zone_folder(name: &str) -> String {
    name.replace('/', "-")
}
