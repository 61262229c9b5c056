//! The questions of a report: SQL files that run unchanged on DataFusion and on Spark.

use noctule_store::DailyTable;

/// A table that a question reads, beside the small tables of what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A daily table.
    Daily(DailyTable),
    /// `fingerprints`, whose `date` is the day in the report's time zone.
    Fingerprints,
    /// `flows` and `ledger` of days of sensors on which the expressions that flow rows carry changed.
    Intervals,
    /// `confirmed`, the answer to [`CONFIRMED`], from the files that the report keeps of it.
    Confirmed,
    /// `confirmed`, computed from flows and fingerprints of days of which the report keeps no files.
    ConfirmedEarlier,
    /// The same without flows. Rules whose values only flow rows carry are missing.
    MatchedEarlier,
}

/// A question in SQL.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Its text.
    pub sql: &'static str,
    /// Tables of the store that it reads.
    pub inputs: &'static [Input],
}

const PORTS: Input = Input::Daily(DailyTable::Ports);
const FLOWS: Input = Input::Daily(DailyTable::Flows);
const RESEARCH: Input = Input::Daily(DailyTable::Research);
const LEDGER: Input = Input::Daily(DailyTable::Ledger);

/// Confirmed sources; other questions read its answer as table `confirmed`.
pub const CONFIRMED: Question = Question {
    sql: include_str!("../../sql/report/confirmed.sql"),
    inputs: &[Input::Fingerprints, FLOWS, LEDGER, Input::Intervals],
};

macro_rules! questions {
    ($($(#[$about:meta])* $name:ident = $file:literal reads [$($input:expr),*];)*) => {
        $(
            $(#[$about])*
            pub const $name: Question = Question {
                sql: include_str!(concat!("../../sql/report/", $file, ".sql")),
                inputs: &[$($input),*],
            };
        )*
        #[cfg(test)]
        const ALL: &[(&str, Question)] = &[("confirmed", CONFIRMED), $(($file, $name)),*];
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
    /// Ports with many packets on a day.
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
    /// Sources of answers by country.
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
    FINGERPRINT_DAYS = "fingerprint_days" reads [Input::Confirmed];
    /// Confirmed sources by day and rule, of days before those that the report keeps.
    EARLIER_FINGERPRINT_DAYS = "fingerprint_days" reads [Input::ConfirmedEarlier];
    /// The same without flows, and so without the rules whose values only flow rows carry.
    EARLIER_MATCHED_DAYS = "fingerprint_days" reads [Input::MatchedEarlier];
    /// Confirmed sources by rule.
    FINGERPRINT_SOURCES = "fingerprint_sources" reads [Input::Confirmed];
    /// Telnet scanners by day.
    TELNET = "telnet" reads [FLOWS, Input::Fingerprints];
    /// Research scanners.
    RESEARCH_SOURCES = "research_sources" reads [RESEARCH];
    /// Research scanners by name.
    RESEARCH_NAMES = "research_names" reads [RESEARCH];
    /// Sources of chosen ports.
    NOTIFY_PORTS = "notify_ports" reads [FLOWS, Input::Confirmed];
    /// Sources of chosen rules.
    NOTIFY_RULES = "notify_rules" reads [FLOWS, Input::Confirmed];
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
                let name = entry.unwrap().file_name();
                name.to_string_lossy().replace(".sql", "")
            })
            .collect();
        let known: BTreeSet<String> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files, known);
        for (name, question) in ALL {
            let about: String = (question.sql.lines())
                .map_while(|line| line.strip_prefix("--"))
                .collect();
            let (_, reads) = about
                .split_once("Reads: ")
                .unwrap_or_else(|| panic!("{name}"));
            let chosen = question.sql.split_whitespace();
            for table in chosen.filter(|word| word.starts_with("chosen_")) {
                let table = table.trim_end_matches(|c: char| !c.is_alphanumeric());
                assert!(reads.contains(table), "{name}: {table}");
            }
            for table in DailyTable::ALL {
                let is_read = question.inputs.contains(&Input::Daily(table));
                let table = table.name();
                let named = question.sql.contains(&format!("FROM {table}"))
                    || question.sql.contains(&format!("JOIN {table}"));
                assert_eq!(reads.contains(table), named, "{name}: {table}");
                assert_eq!(is_read, named, "{name}: {table}");
            }
        }
    }
}
