//! Scenarios from `noctule synth --scenario` through `noctule replay`: what was planned is counted,
//! to the packet and to the source.
//!
//! They are divided, so that they take seconds; plans are data, and a division changes numbers only.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType, UInt32Type};
use noctule_counters::summary::Summary;
use noctule_store::Table;
use noctule_testkit::program::{LIMIT, Running, noctule};
use noctule_testkit::scenario::Scenario;
use noctule_testkit::store::{ledger, table};
use serde_json::Value;

const DAY_US: i64 = 86_400_000_000;
/// Days in Tokyo begin nine hours before days in UTC.
const TOKYO_US: i64 = 9 * 3_600_000_000;
const SIX_HOURS: i64 = 6 * 3600;

/// Packets of scans by port, as the truth names ports.
fn scans(summary: &Summary) -> BTreeMap<String, u64> {
    let cells = summary
        .cells
        .iter()
        .filter(|cell| cell.class != "backscatter");
    let name = |protocol: &str, port: u16| match protocol {
        "icmp" => format!("{}/icmp", port >> 8),
        _ => format!("{port}/{protocol}"),
    };
    cells
        .map(|cell| (name(&cell.protocol, cell.port.unwrap_or(0)), cell.packets))
        .collect()
}

/// `[[name, packets], ...]`
fn pairs(list: &Value) -> Vec<(String, u64)> {
    serde_json::from_value(list.clone()).expect("names and packets")
}

#[test]
fn a_year_is_counted_as_it_was_planned() {
    let scenario = Scenario::synthesise("2016", 100, LIMIT);
    let truth = &scenario.truth;
    let all = scenario.captures();
    assert_eq!(all.len(), 9);

    // The quarters of the two tables, in days of Tokyo: the captures begin and end with them.
    let mut seen = BTreeMap::new();
    for (quarter, months) in [("2016-Q2", &all[..3]), ("2016-Q3", &all[3..6])] {
        let summary = scenario.replay(months, None).summary();
        let planned = &truth["plan"]["quarters"][quarter];
        assert_eq!(Some(summary.dark_packets), planned["packets"].as_u64());
        assert_eq!((summary.passed_packets, summary.late_packets), (0, 0));
        let found = scans(&summary);
        for (port, packets) in pairs(&planned["ports"]) {
            assert_eq!(found.get(&port), Some(&packets), "{quarter} {port}");
        }
        let mut order: Vec<_> = found.into_iter().collect();
        order.sort_by_key(|&(_, packets)| std::cmp::Reverse(packets));
        seen.insert(quarter, (order, summary));
    }
    let ranks = |quarter: &str, ranks: &[(usize, &str)]| {
        for &(rank, port) in ranks {
            assert_eq!(seen[quarter].0[rank - 1].0, port, "{quarter}");
        }
    };
    let published = ["23/tcp", "53413/udp", "22/tcp", "445/tcp", "1433/tcp"];
    ranks(
        "2016-Q3",
        &[1, 2, 3, 4, 5].map(|rank| (rank, published[rank - 1])),
    );
    let before = [1, 2, 6, 5, 3];
    ranks(
        "2016-Q2",
        &[0, 1, 2, 3, 4].map(|place| (before[place], published[place])),
    );

    // Fingerprints are true: none of Mirai in spring, its predecessor in August only.
    let confirmed = |quarter: &str, rule: &str| {
        let found = seen[quarter].1.confirmed_sources.get(rule);
        found.copied().flatten().unwrap_or(0)
    };
    assert_eq!(confirmed("2016-Q2", "mirai"), 0);
    assert_eq!(confirmed("2016-Q2", "mirai-precursor"), 0);
    assert!(confirmed("2016-Q3", "mirai") > 100);
    assert!(confirmed("2016-Q3", "mirai-precursor") > 10);
    for quarter in ["2016-Q2", "2016-Q3"] {
        assert!(confirmed(quarter, "zmap") > 0 && confirmed(quarter, "masscan") > 0);
    }
}

#[test]
fn an_outage_is_no_packets_and_no_ledger() {
    let scenario = Scenario::synthesise("2016", 300, LIMIT);
    let (truth, store) = (&scenario.truth, scenario.store());
    let october = [scenario.path("2016-10.pcap")];
    scenario.replay(&october, Some(&store));
    let (from, to) = (
        &truth["outages"][0]["from_us"],
        &truth["outages"][0]["to_us"],
    );
    let seconds = |time: &Value| time.as_i64().expect("a time") / 1_000_000;
    let (from, to) = (seconds(from), seconds(to));
    assert!(to - from > SIX_HOURS);
    let ledger = ledger(&store);
    let starts: BTreeSet<i64> = ledger.iter().map(|row| row.start).collect();
    let first = *starts.first().expect("a row");
    // All hours of the month but those.
    let hours = (0..31 * 24).map(|hour| first + hour * 3600);
    let wanted: BTreeSet<i64> = hours.filter(|hour| !(from..to).contains(hour)).collect();
    assert_eq!(starts, wanted);
    let counted: i64 = ledger.iter().map(|row| row.get("counted_packets")).sum();
    let capture = &truth["captures"][6];
    assert_eq!(capture["file"], "2016-10.pcap");
    assert_eq!(Some(counted), capture["packets"].as_i64());
}

/// Sources by country of TCP scans to these ports on a day of Tokyo (days since 1970), and the sum of
/// the sources that each port has.
fn union(flows: &[RecordBatch], ports: &[i32], day: i64) -> (BTreeMap<String, u64>, u64) {
    let mut sources: BTreeSet<(String, u32)> = BTreeSet::new();
    let mut by_port: BTreeSet<(i32, u32)> = BTreeSet::new();
    for batch in flows {
        let text = |name: &str| batch[name].as_string::<i32>();
        let (protocol, class, country) = (text("protocol"), text("class"), text("country"));
        let source = batch["source4"].as_primitive::<UInt32Type>();
        let port = batch["port"].as_primitive::<Int32Type>();
        let start = batch["interval_start"].as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let is_asked = protocol.value(row) == "tcp"
                && class.value(row) != "backscatter"
                && ports.contains(&port.value(row))
                && (start.value(row) + TOKYO_US).div_euclid(DAY_US) == day;
            if is_asked {
                sources.insert((country.value(row).to_owned(), source.value(row)));
                by_port.insert((port.value(row), source.value(row)));
            }
        }
    }
    let mut countries = BTreeMap::new();
    for (country, _) in sources {
        *countries.entry(country).or_default() += 1;
    }
    (countries, by_port.len() as u64)
}

#[test]
fn only_the_union_over_both_ports_gives_the_table() {
    let scenario = Scenario::synthesise("nicter-table2", 100, LIMIT);
    let (truth, store) = (&scenario.truth, scenario.store());
    scenario.replay(&scenario.captures(), Some(&store));
    let flows = table(&store, Table::Flows);
    // 20 September and 27 November 2016.
    for (number, day) in [(0, 17_064), (1, 17_132)] {
        let planned = &truth["plan"]["sources_by_country"][number];
        let ports: Vec<i32> = serde_json::from_value(planned["tcp_ports"].clone()).expect("ports");
        let wanted: BTreeMap<String, u64> =
            serde_json::from_value(planned["sources"].clone()).expect("countries");
        let (found, over_ports) = union(&flows, &ports, day);
        assert_eq!(found, wanted, "{}", planned["day"]);
        let sources: u64 = found.values().sum();
        assert!(
            over_ports > sources + sources / 100,
            "{over_ports} {sources}"
        );
        // A day in UTC is another one.
        assert_ne!(union(&flows, &ports, day - 1).0, wanted);
    }
}

#[test]
fn a_scenario_brings_its_own_darknet() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = noctule([
        "synth",
        "--scenario",
        "2016",
        "--prefix",
        "10.0.0.0/8",
        "--out",
    ]);
    let ended = Running::start(command.arg(folder.path())).wait(LIMIT);
    assert_eq!(ended.code(), 2);
    assert!(ended.stderr.contains("--scenario"), "{}", ended.stderr);
}
