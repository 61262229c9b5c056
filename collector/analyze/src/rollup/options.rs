//! Settings of a rollup: thresholds, the lists of research scanners and geo files, with a digest.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use jiff::civil::Date;
use noctule_store::DailyTable;
use noctule_store::files::Files;
use sha2::{Digest as _, Sha256};

use super::days::short;
use super::research::{self, List, Ranges};
use crate::args::RollupArgs;
use crate::daily::{rollup_sql, sql_digest};
use crate::settings::Settings;

/// Settings of a rollup.
pub(super) struct Options {
    research_packets: i64,
    research_ports: i64,
    lists: Vec<List>,
    /// Digest of the settings and the SQL, 8 hexadecimal digits.
    pub(super) digest: String,
    /// The settings, for the metadata of files.
    pub(super) about: serde_json::Value,
}

impl Options {
    /// Reads the options of the command line, and the store's settings for those that it leaves out.
    ///
    /// # Errors
    /// If a list or a geo file cannot be read, or a line of a list is not an address or prefix.
    pub(super) fn read(args: &RollupArgs, settings: &Settings, files: &Files) -> Result<Self> {
        let digest = |octets: &[u8]| short(Sha256::new_with_prefix(octets));
        let mut lists = Vec::new();
        let mut described = Vec::new();
        if let Some(path) = &args.research_list {
            let place = path.display().to_string();
            let octets = std::fs::read(path).with_context(|| format!("cannot read {place}"))?;
            described.push(serde_json::json!(digest(&octets)));
            lists.push(List {
                name: None,
                from: None,
                until: None,
                prefixes: research::parse(&octets, &place)?,
            });
        } else {
            for list in settings.research.lists()? {
                let place = format!("{}/{}", files.location(), list.file);
                let octets = files.read(&list.file)?;
                let wrong = || format!("the store's settings name {place}, which is not there");
                let octets = octets.with_context(wrong)?;
                research::check_dates(&list.file, list.from, list.until)?;
                described.push(match (&list.name, list.from, list.until) {
                    (None, None, None) => serde_json::json!(digest(&octets)),
                    (name, from, until) => serde_json::json!({
                        "digest": digest(&octets),
                        "name": name,
                        "from": from.map(|date| date.to_string()),
                        "until": until.map(|date| date.to_string()),
                    }),
                });
                lists.push(List {
                    name: list.name,
                    from: list.from,
                    until: list.until,
                    prefixes: research::parse(&octets, &place)?,
                });
            }
        }
        let described = match described.len() {
            0 => serde_json::Value::Null,
            1 => described.remove(0),
            _ => described.into(),
        };
        let research_packets = args.research_packets.unwrap_or(settings.research.packets);
        let research_ports = args.research_ports.unwrap_or(settings.research.ports);
        let file = |path: &Option<std::path::PathBuf>| -> Result<Option<String>> {
            let Some(path) = path else { return Ok(None) };
            let octets =
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Some(digest(&octets)))
        };
        let about = serde_json::json!({
            "research_packets": research_packets,
            "research_ports": research_ports,
            "research_list": described,
            "country_db": file(&args.common.country_db)?,
            "asn_db": file(&args.common.asn_db)?,
        });
        let mut hash = Sha256::new_with_prefix(about.to_string());
        for table in DailyTable::ALL {
            hash.update(rollup_sql(table));
        }
        Ok(Self {
            research_packets,
            research_ports,
            lists,
            digest: short(hash)[..8].to_owned(),
            about,
        })
    }

    /// Checks that the Spark job that was printed with this digest of the SQL, and that had these
    /// thresholds, makes the same tables.
    ///
    /// # Errors
    /// If the SQL or a threshold differs, or if a list of research scanners or a geo file is to be
    /// used, since the job knows neither.
    pub(super) fn check_spark(&self, sql: &str, packets: i64, ports: i64) -> Result<()> {
        ensure!(
            sql == sql_digest(),
            "it was computed by the job of another version: print the job again with `noctule store spark-job`"
        );
        ensure!(
            (packets, ports) == (self.research_packets, self.research_ports),
            "its research scanners send {packets} packets to {ports} ports or more, and those of this rollup {} to {}: give both the same --research-packets and --research-ports",
            self.research_packets,
            self.research_ports
        );
        for setting in ["research_list", "country_db", "asn_db"] {
            ensure!(
                self.about[setting].is_null(),
                "Spark computes days without a {setting}: use `noctule rollup` without --adopt, or leave it out"
            );
        }
        Ok(())
    }

    /// Registers the settings of a day in a session, as tables `rollup_settings` and `research_list`.
    ///
    /// # Errors
    /// If the session cannot register the tables.
    pub(super) fn register(&self, context: &SessionContext, date: Date) -> Result<()> {
        let thresholds = [
            ("research_packets", self.research_packets),
            ("research_ports", self.research_ports),
        ];
        let thresholds = thresholds.map(|(name, value)| {
            let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
            (name, column)
        });
        let batch = RecordBatch::try_from_iter(thresholds)?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        context.register_table("rollup_settings", Arc::new(table))?;
        let batch = Ranges::on(&self.lists, date).batch()?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        context.register_table("research_list", Arc::new(table))?;
        Ok(())
    }
}
