//! What a plan amounts to: added up from the plan alone, never from the frames.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::{Value, json};

use super::plan::{Row, ScenarioPlan, SourceTable, TrafficKind};
use super::proportion::split;

/// Names that a rank list of the truth has.
const LISTED: usize = 10;

/// A quarter's packets by name.
#[derive(Debug, Default)]
pub(super) struct Quarter {
    pub packets: u64,
    /// By destination port, of scans; `8/icmp` for echo requests. Rows that draw from a range of
    /// ports are left out.
    pub ports: BTreeMap<String, u64>,
    /// By country, of sources that are not forged.
    pub countries: BTreeMap<String, u64>,
}

/// A row's packets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RowTotal {
    pub packets: u64,
    /// On the day of most packets by the plan.
    pub peak_packets: u64,
    pub peak_sources: u64,
}

/// The sums.
#[derive(Debug, Default)]
pub(super) struct PlanTotals {
    pub days: BTreeMap<Date, u64>,
    /// By name, such as `2016-Q3`.
    pub quarters: BTreeMap<String, Quarter>,
    /// In the order of the plan's rows.
    pub rows: Vec<RowTotal>,
}

impl PlanTotals {
    pub fn new(plan: &ScenarioPlan) -> Self {
        let mut totals = Self {
            rows: vec![RowTotal::default(); plan.rows.len()],
            ..Self::default()
        };
        for day in plan.days() {
            for number in 0..plan.rows.len() {
                totals.add(plan, day, number);
            }
        }
        totals
    }

    fn add(&mut self, plan: &ScenarioPlan, day: Date, number: usize) {
        let packets = plan.packets(number, day);
        if packets == 0 {
            return;
        }
        let (row, shares) = (&plan.rows[number], plan.shares(number, day));
        let total = &mut self.rows[number];
        total.packets += packets;
        if row.peak() == day {
            total.peak_packets = packets;
            total.peak_sources = if row.spoofed {
                packets
            } else {
                shares.iter().map(|share| share.sources).sum()
            };
        }
        *self.days.entry(day).or_default() += packets;
        let name = format!("{}-Q{}", day.year(), (day.month() - 1) / 3 + 1);
        let quarter = self.quarters.entry(name).or_default();
        quarter.packets += packets;
        for share in shares {
            let country = plan.countries[share.country].clone();
            *quarter.countries.entry(country).or_default() += share.packets;
        }
        for (port, packets) in ports(row, packets) {
            *quarter.ports.entry(port).or_default() += packets;
        }
    }

    /// Everything as JSON, with what was published beside it.
    pub fn json(&self, plan: &ScenarioPlan) -> Value {
        let quarters: BTreeMap<_, _> = (self.quarters.iter())
            .map(|(name, quarter)| {
                let value = json!({
                    "packets": quarter.packets,
                    "ports": first(&quarter.ports),
                    "countries": first(&quarter.countries),
                });
                (name, value)
            })
            .collect();
        let days: BTreeMap<_, _> = (self.days.iter())
            .map(|(day, packets)| (day.to_string(), packets))
            .collect();
        let traffic: Vec<_> = (plan.rows.iter().zip(&self.rows))
            .map(|(row, total)| traffic(row, total))
            .collect();
        json!({
            "packets": self.days.values().sum::<u64>(),
            "packets_by_day": days,
            "quarters": quarters,
            "published_ranks": plan.ranks.iter().map(|ranks| json!({
                "of": ranks.of,
                "quarter": ranks.quarter,
                "source": ranks.source,
                "name_rank_before": ranks.rows,
            })).collect::<Vec<_>>(),
            "sources_by_country": plan.tables.iter().map(|table| json!({
                "day": table.day.to_string(),
                "tcp_ports": table.ports,
                "source": table.source,
                "sources": by_country(plan, table),
            })).collect::<Vec<_>>(),
            "traffic": traffic,
        })
    }
}

fn traffic(row: &Row, total: &RowTotal) -> Value {
    let (from, to) = row.span();
    json!({
        "name": row.name,
        "event": row.event,
        "about": row.about,
        "from": from.to_string(),
        "to": to.to_string(),
        "peak": row.peak().to_string(),
        "peak_packets": total.peak_packets,
        "peak_sources": total.peak_sources,
        "packets": total.packets,
    })
}

/// Distinct sources on a table's day over its ports, by country. A population that has several
/// rows there counts once: their sources of a day begin at the same place.
pub(super) fn by_country(plan: &ScenarioPlan, table: &SourceTable) -> BTreeMap<String, u64> {
    let mut pools: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for (number, row) in plan.rows.iter().enumerate() {
        let asked = |&(port, _): &(u16, u64)| table.ports.contains(&port);
        let is_tcp_scan = matches!(
            row.kind,
            TrafficKind::Syn
                | TrafficKind::Mirai
                | TrafficKind::MiraiPredecessor
                | TrafficKind::Zmap
                | TrafficKind::Masscan
        );
        if !is_tcp_scan || !row.ports.iter().any(asked) {
            continue;
        }
        for share in plan.shares(number, table.day) {
            let sources = pools.entry((row.pool, share.country)).or_default();
            *sources = share.sources.max(*sources);
        }
    }
    let mut countries = BTreeMap::new();
    for ((_, country), sources) in pools {
        let code = plan.countries[country].clone();
        *countries.entry(code).or_default() += sources;
    }
    countries
}

/// A row's packets by destination port.
pub(super) fn ports(row: &Row, packets: u64) -> Vec<(String, u64)> {
    let protocol = match row.kind {
        TrafficKind::IcmpEcho => return vec![("8/icmp".into(), packets)],
        TrafficKind::DnsAnswers
        | TrafficKind::SynAck
        | TrafficKind::Rst
        | TrafficKind::IcmpErrors => return Vec::new(),
        TrafficKind::Udp => "udp",
        _ => "tcp",
    };
    let weights: Vec<u64> = row.ports.iter().map(|&(_, weight)| weight).collect();
    (row.ports.iter())
        .zip(split(packets, &weights))
        .map(|(&(port, _), packets)| (format!("{port}/{protocol}"), packets))
        .collect()
}

/// Names in the order of their packets.
pub(super) fn ranking(packets: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let mut names: Vec<_> = packets.iter().map(|(name, &n)| (&name[..], n)).collect();
    names.sort_by_key(|&(_, packets)| std::cmp::Reverse(packets));
    names
}

fn first(packets: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let mut names = ranking(packets);
    names.truncate(LISTED);
    names
}
