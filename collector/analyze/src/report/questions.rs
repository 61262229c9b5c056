//! The questions of a report: SQL files that run unchanged on DataFusion and on Spark.

use super::context::{Question, Reads};
use crate::daily::DailyTable;

const PORTS: Reads = Reads::Daily(DailyTable::Ports);
const FLOWS: Reads = Reads::Daily(DailyTable::Flows);
const RESEARCH: Reads = Reads::Daily(DailyTable::Research);
const LEDGER: Reads = Reads::Daily(DailyTable::Ledger);

/// Confirmed sources; other questions read its answer as a table.
pub const CONFIRMED: &str = include_str!("../../sql/report/confirmed.sql");

macro_rules! questions {
    ($($(#[$about:meta])* $name:ident = $file:literal reads [$($reads:expr),*];)*) => {
        $(
            $(#[$about])*
            pub const $name: Question = Question {
                sql: include_str!(concat!("../../sql/report/", $file, ".sql")),
                reads: &[$($reads),*],
            };
        )*
        #[cfg(test)]
        const ALL: &[(&str, Question)] = &[$(($file, $name)),*];
    };
}

questions! {
    /// Packets by day and kind of protocol.
    DAYS = "days" reads [PORTS];
    /// Packets and observed addresses of several periods.
    PERIODS = "periods" reads [PORTS, LEDGER];
    /// Packets to ports, of backscatter, without a port.
    PARTS = "parts" reads [PORTS];
    /// The first destination ports.
    PORTS_RANKED = "ports" reads [PORTS];
    /// Countries by packets.
    COUNTRIES = "countries" reads [PORTS];
    /// Packets by day of chosen ports.
    PORT_DAYS = "port_days" reads [PORTS];
    /// Ports that stand out on a day.
    BUSY_PORTS = "busy_ports" reads [PORTS];
    /// Packets by day of chosen countries.
    COUNTRY_DAYS = "country_days" reads [PORTS];
    /// The first countries of chosen ports.
    PORT_COUNTRIES = "port_countries" reads [PORTS];
    /// Packets by day of chosen ports and countries.
    PORT_COUNTRY_DAYS = "port_country_days" reads [PORTS];
    /// Packets by month, and days of sensors.
    MONTHS = "months" reads [PORTS, LEDGER];
    /// The first destination ports of every sensor.
    SENSOR_PORTS = "sensor_ports" reads [PORTS];
    /// Answers by day.
    ANSWER_DAYS = "answer_days" reads [PORTS];
    /// Who answers, by country.
    ANSWER_COUNTRIES = "answer_countries" reads [FLOWS];
    /// The accounts of days and sensors.
    COMPLETENESS = "completeness" reads [LEDGER];
    /// Distinct TCP sources by day.
    TCP_SOURCES = "tcp_sources" reads [FLOWS, RESEARCH];
    /// Distinct sources by day and chosen port.
    PORT_SOURCES = "port_sources" reads [FLOWS, RESEARCH];
    /// Distinct sources by country on chosen days.
    PEAK_COUNTRIES = "peak_countries" reads [FLOWS, RESEARCH];
    /// Distinct sources by day, from a country on a port.
    COUNTRY_PORT_SOURCES = "country_port_sources" reads [FLOWS, RESEARCH];
    /// Confirmed sources by day and rule.
    FINGERPRINT_DAYS = "fingerprint_days" reads [Reads::Confirmed];
    /// The same of rules that flows do not carry, without reading flows.
    MATCHED_DAYS = "fingerprint_days" reads [Reads::Matched];
    /// Confirmed sources by rule.
    FINGERPRINT_SOURCES = "fingerprint_sources" reads [Reads::Confirmed];
    /// Telnet scanners by day.
    TELNET = "telnet" reads [FLOWS, Reads::Fingerprints];
    /// Research scanners.
    RESEARCH_SOURCES = "research_sources" reads [RESEARCH];
    /// Sources of chosen ports.
    NOTIFY_PORTS = "notify_ports" reads [Reads::Confirmed, FLOWS];
    /// Sources of chosen rules.
    NOTIFY_RULES = "notify_rules" reads [Reads::Confirmed, FLOWS];
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_is_a_question_and_says_what_it_reads() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/report");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .replace(".sql", "")
            })
            .collect();
        let mut known: BTreeSet<String> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
        known.insert("confirmed".to_owned());
        assert_eq!(files, known);
        for (name, question) in ALL {
            let about: String = (question.sql.lines())
                .map_while(|line| line.strip_prefix("--"))
                .collect();
            let (_, reads) = about
                .split_once("Reads: ")
                .unwrap_or_else(|| panic!("{name}"));
            for (at, table) in question.reads.iter().enumerate() {
                let makes_others_known = matches!(table, Reads::Confirmed | Reads::Matched);
                assert!(
                    at == 0 || !makes_others_known,
                    "{name}: {table:?} is not first"
                );
            }
            for table in DailyTable::ALL {
                let is_read = question.reads.contains(&Reads::Daily(table));
                let table = table.name();
                let named = question.sql.contains(&format!("FROM {table}"))
                    || question.sql.contains(&format!("JOIN {table}"));
                assert_eq!(reads.contains(table), named, "{name}: {table}");
                assert_eq!(is_read, named, "{name}: {table}");
            }
        }
    }
}
