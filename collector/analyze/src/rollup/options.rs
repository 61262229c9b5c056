//! Settings of a rollup: thresholds, the list of research scanners and geo files, with a digest.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use datafusion::arrow::array::{ArrayRef, BinaryViewArray, Int64Array, RecordBatch, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use ipnet::IpNet;
use noctule_store::DailyTable;
use noctule_store::files::Files;
use sha2::{Digest as _, Sha256};

use super::days::short;
use crate::args::RollupArgs;
use crate::daily::{rollup_sql, sql_digest};
use crate::settings::Settings;

/// Addresses that a list may have. Prefixes count with all their addresses.
const MOST_ADDRESSES: usize = 1 << 20;

/// Settings of a rollup.
pub(super) struct Options {
    research_packets: i64,
    research_ports: i64,
    research4: Vec<u32>,
    research6: Vec<u128>,
    /// Digest of the settings and the SQL, 8 hexadecimal digits.
    pub(super) digest: String,
    /// The settings, for the metadata of files.
    pub(super) about: serde_json::Value,
}

impl Options {
    /// Reads the options of the command line, and the store's settings for those that it leaves out.
    ///
    /// # Errors
    /// If the list or a geo file cannot be read, or a line of the list is not an address or prefix.
    pub(super) fn read(args: &RollupArgs, settings: &Settings, files: &Files) -> Result<Self> {
        let named = settings.research.list.as_ref();
        let listed = match (&args.research_list, named) {
            (Some(path), _) => {
                let place = path.display().to_string();
                let octets = std::fs::read(path);
                Some((
                    octets.with_context(|| format!("cannot read {place}"))?,
                    place,
                ))
            }
            (None, Some(name)) => {
                let place = format!("{}/{name}", files.location());
                let octets = files.read(name)?;
                let wrong = || format!("the store's settings name {place}, which is not there");
                Some((octets.with_context(wrong)?, place))
            }
            (None, None) => None,
        };
        let research = match &listed {
            Some((octets, place)) => list(octets, place)?,
            None => (Vec::new(), Vec::new()),
        };
        let digest = |octets: &[u8]| short(Sha256::new_with_prefix(octets));
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
            "research_list": listed.as_ref().map(|(octets, _)| digest(octets)),
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
            research4: research.0,
            research6: research.1,
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

    /// Registers the settings in a session, as tables `rollup_settings` and `research_list`.
    ///
    /// # Errors
    /// If the session cannot register the tables.
    pub(super) fn register(&self, context: &SessionContext) -> Result<()> {
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
        let schema = Arc::new(Schema::new(vec![
            Field::new("source4", DataType::UInt32, true),
            Field::new("source6", DataType::BinaryView, true),
        ]));
        let (four, six) = (self.research4.iter(), self.research6.iter());
        let source4: UInt32Array = (four.clone().map(|a| Some(*a)))
            .chain(six.clone().map(|_| None))
            .collect();
        let source6: BinaryViewArray = (four.map(|_| None))
            .chain(six.map(|a| Some(a.to_be_bytes())))
            .collect();
        let batch = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![Arc::new(source4), Arc::new(source6)],
        )?;
        let table = MemTable::try_new(schema, vec![vec![batch]])?;
        context.register_table("research_list", Arc::new(table))?;
        Ok(())
    }
}

/// The addresses of a list with one address or prefix a line; `#` begins a remark.
fn list(octets: &[u8], place: &str) -> Result<(Vec<u32>, Vec<u128>)> {
    let text = std::str::from_utf8(octets).with_context(|| format!("{place} is not a text"))?;
    let (mut four, mut six) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let wrong = |what: &str| format!("{place}, line {number}: {line} {what}");
        let net = (line.parse::<IpNet>())
            .or_else(|_| line.parse::<IpAddr>().map(IpNet::from))
            .ok()
            .with_context(|| wrong("is neither an address nor a prefix"))?;
        let room = MOST_ADDRESSES - four.len() - six.len();
        let bits = net.max_prefix_len() - net.prefix_len();
        if bits >= 32 || 1usize << bits > room {
            bail!(wrong(
                "makes the list longer than 1,048,576 addresses; name the scanners' own"
            ));
        }
        for address in net.hosts().chain(ends(net)) {
            match address {
                IpAddr::V4(address) => four.push(address.into()),
                IpAddr::V6(address) => six.push(address.into()),
            }
        }
    }
    four.sort_unstable();
    four.dedup();
    six.sort_unstable();
    six.dedup();
    Ok((four, six))
}

/// A prefix's first and last address, which `hosts` leaves out.
fn ends(net: IpNet) -> [IpAddr; 2] {
    [net.network(), net.broadcast()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_a_list_are_written_out_and_mistakes_are_named_by_line() {
        let text = "# scanners\n192.0.2.0/30 # ours\n2001:db8::1\n192.0.2.1\n";
        let (four, six) = list(text.as_bytes(), "list").unwrap();
        assert_eq!(four, [0xc000_0200, 0xc000_0201, 0xc000_0202, 0xc000_0203]);
        assert_eq!(six, [0x2001_0db8_0000_0000_0000_0000_0000_0001]);
        for (text, words) in [("\nx\n", "line 2"), ("10.0.0.0/8\n", "1,048,576")] {
            let error = list(text.as_bytes(), "list").unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
