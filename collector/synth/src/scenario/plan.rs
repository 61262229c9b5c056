//! A scenario's plan, read from its file and validated. `2016.toml` explains the keys.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use jiff::civil::Date;
use serde::Deserialize;

use super::error::ScenarioError;
use super::proportion::{interpolate, split, waver};

const DAY_US: i64 = 86_400_000_000;
/// So that the share of one of many countries is still a whole number.
const FINE: u64 = 1000;

/// What a line's packets are.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TrafficKind {
    /// SYNs that no rule knows.
    Syn,
    Mirai,
    MiraiPredecessor,
    Zmap,
    Masscan,
    Udp,
    DnsAnswers,
    SynAck,
    Rst,
    IcmpEcho,
    IcmpErrors,
}

/// A day and the packets on it.
pub(super) type Point<D> = (D, u64);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    about: String,
    first: String,
    last: String,
    utc_offset_hours: i64,
    report_timezone: String,
    prefixes: Vec<String>,
    interval_seconds: u64,
    wobble: u64,
    sensor: String,
    others: Vec<String>,
    mix: BTreeMap<String, BTreeMap<String, u64>>,
    traffic: Vec<Line>,
    #[serde(default)]
    outage: Vec<OutageLine>,
    #[serde(default)]
    ranks: Vec<Ranks>,
    #[serde(default)]
    table: Vec<TableLine>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    event: Option<String>,
    about: String,
    kind: TrafficKind,
    #[serde(default)]
    ports: Vec<(u16, u64)>,
    any: Option<(u16, u16)>,
    octets: Option<(u16, u16)>,
    each: u64,
    stay: u64,
    mix: Option<String>,
    pool: Option<String>,
    #[serde(default)]
    spoofed: bool,
    #[serde(default)]
    research: bool,
    #[serde(default)]
    steady: bool,
    packets: Vec<Point<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutageLine {
    about: String,
    from: String,
    to: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableLine {
    day: String,
    ports: Vec<u16>,
    source: String,
}

/// Ranks that were published: name, rank, rank in the quarter before.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ranks {
    /// `ports` or `countries`.
    pub of: String,
    pub quarter: String,
    pub source: String,
    pub rows: Vec<(String, usize, usize)>,
}

/// A kind of traffic from a population of its own.
#[derive(Debug)]
pub(super) struct Row {
    pub name: String,
    pub event: Option<String>,
    pub about: String,
    pub kind: TrafficKind,
    pub ports: Vec<(u16, u64)>,
    pub any: Option<(u16, u16)>,
    pub octets: (u16, u16),
    each: u64,
    pub stay: u64,
    /// A weight per country of the plan; empty where sources are forged.
    weights: Vec<u64>,
    /// Which pool its sources come from.
    pub pool: usize,
    pub spoofed: bool,
    pub research: bool,
    steady: bool,
    /// By days since 1970.
    points: Vec<Point<i64>>,
}

/// Hours without observation, in microseconds since 1970 UTC.
#[derive(Debug)]
pub(super) struct Outage {
    pub about: String,
    pub from_us: i64,
    pub to_us: i64,
}

/// Sources by country on a day, over a group of ports.
#[derive(Debug)]
pub(super) struct SourceTable {
    pub day: Date,
    pub ports: Vec<u16>,
    pub source: String,
}

/// A country's part of a row on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CountryShare {
    pub country: usize,
    pub packets: u64,
    pub sources: u64,
}

/// A validated scenario.
#[derive(Debug)]
pub(super) struct ScenarioPlan {
    pub about: String,
    pub first: Date,
    pub last: Date,
    pub report_timezone: String,
    pub offset_us: i64,
    pub prefixes: Vec<IpNet>,
    pub interval_seconds: u64,
    pub sensor: String,
    pub countries: Vec<String>,
    /// As many as rows name.
    pub pools: usize,
    pub rows: Vec<Row>,
    pub outages: Vec<Outage>,
    pub ranks: Vec<Ranks>,
    pub tables: Vec<SourceTable>,
    wobble: u64,
    seed: u64,
    divisor: u64,
}

impl ScenarioPlan {
    /// Reads a scenario's file; every count of packets is divided by `divisor`.
    pub fn read(text: &str, seed: u64, divisor: u64) -> Result<Self, ScenarioError> {
        let wrong = |what: String| ScenarioError::Plan { what };
        let file: File = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let named = file.mix.values().flat_map(BTreeMap::keys);
        let countries: BTreeSet<&String> = named
            .filter(|code| *code != "others")
            .chain(&file.others)
            .collect();
        let countries: Vec<String> = countries.into_iter().cloned().collect();
        let weights = |name: &str| -> Result<Vec<u64>, ScenarioError> {
            let mix = file.mix.get(name);
            let mix = mix.ok_or_else(|| wrong(format!("there is no mix \"{name}\"")))?;
            Ok(spread(mix, &countries, &file.others))
        };
        let mut pools: Vec<String> = Vec::new();
        let mut rows = Vec::new();
        for line in file.traffic {
            let place = |what: &str| wrong(format!("traffic \"{}\" {what}", line.name));
            if line.each == 0 || line.stay == 0 {
                return Err(place("needs an `each` and a `stay` of at least 1"));
            }
            let has_ports = line.any.is_some() || line.ports.iter().any(|&(_, weight)| weight > 0);
            let needs_ports = !matches!(
                line.kind,
                TrafficKind::DnsAnswers | TrafficKind::IcmpEcho | TrafficKind::IcmpErrors
            );
            if has_ports != needs_ports || line.any.is_some_and(|(first, last)| first > last) {
                return Err(place("needs ports where its kind has them, and only there"));
            }
            let mut points = Vec::new();
            for (day, packets) in &line.packets {
                points.push((since_1970(date(day)?), *packets));
            }
            let ascend = points.windows(2).all(|pair| pair[0].0 < pair[1].0);
            if points.is_empty() || !ascend {
                return Err(place("needs days that ascend"));
            }
            let weights = match (&line.mix, line.spoofed) {
                (Some(mix), false) => weights(mix)?,
                (None, true) => Vec::new(),
                _ => return Err(place("needs either a mix or spoofed = true")),
            };
            let pool = line.pool.as_ref().unwrap_or(&line.name);
            let number = pools.iter().position(|name| name == pool);
            let number = number.unwrap_or_else(|| {
                pools.push(pool.clone());
                pools.len() - 1
            });
            rows.push(Row {
                kind: line.kind,
                any: line.any,
                octets: line.octets.unwrap_or((0, 64)),
                each: line.each,
                stay: line.stay,
                weights,
                pool: number,
                spoofed: line.spoofed,
                research: line.research,
                steady: line.steady,
                points,
                name: line.name,
                event: line.event,
                about: line.about,
                ports: line.ports,
            });
        }
        let mut outages = Vec::new();
        for line in file.outage {
            outages.push(Outage {
                from_us: moment(&line.from)?,
                to_us: moment(&line.to)?,
                about: line.about,
            });
        }
        let mut tables = Vec::new();
        for line in file.table {
            tables.push(SourceTable {
                day: date(&line.day)?,
                ports: line.ports,
                source: line.source,
            });
        }
        let mut prefixes = Vec::new();
        for prefix in &file.prefixes {
            let parsed = prefix.parse::<IpNet>();
            prefixes.push(parsed.map_err(|error| wrong(format!("prefix {prefix}: {error}")))?);
        }
        Ok(Self {
            first: date(&file.first)?,
            last: date(&file.last)?,
            about: file.about,
            report_timezone: file.report_timezone,
            offset_us: file.utc_offset_hours * 3_600_000_000,
            prefixes,
            interval_seconds: file.interval_seconds,
            sensor: file.sensor,
            countries,
            pools: pools.len(),
            rows,
            outages,
            ranks: file.ranks,
            tables,
            wobble: file.wobble,
            seed,
            divisor: divisor.max(1),
        })
    }

    /// Every day from the first to the last.
    pub fn days(&self) -> impl Iterator<Item = Date> + use<> {
        let last = self.last;
        std::iter::successors(Some(self.first), |day| day.tomorrow().ok())
            .take_while(move |day| *day <= last)
    }

    /// When a day begins, in microseconds since 1970 UTC.
    pub fn start_us(&self, day: Date) -> i64 {
        since_1970(day) * DAY_US - self.offset_us
    }

    /// The parts of a day that were watched: microseconds since 1970 UTC.
    pub fn watched(&self, day: Date) -> Vec<(i64, i64)> {
        let mut parts = vec![(self.start_us(day), self.start_us(day) + DAY_US)];
        for outage in &self.outages {
            let cut = |(from, to): (i64, i64)| {
                [(from, to.min(outage.from_us)), (from.max(outage.to_us), to)]
            };
            parts = (parts.into_iter().flat_map(cut))
                .filter(|(from, to)| from < to)
                .collect();
        }
        parts.dedup();
        parts
    }

    /// Packets of a row on a day; fewer where the day was not watched throughout.
    pub fn packets(&self, row: usize, day: Date) -> u64 {
        let traffic = &self.rows[row];
        let at = since_1970(day);
        let mut packets = interpolate(&traffic.points, at) / self.divisor;
        if !traffic.steady {
            let number = (row as u64) << 32 | at.unsigned_abs();
            packets = waver(packets, self.wobble, self.seed, number);
        }
        let watched: i64 = (self.watched(day).iter()).map(|(from, to)| to - from).sum();
        let share = u128::from(packets) * u128::from(watched.unsigned_abs());
        (share / u128::from(DAY_US.unsigned_abs())) as u64
    }

    /// The countries' parts of a row on a day. Each has as many packets for each of its sources, as
    /// far as whole numbers allow. Forged sources have no part.
    pub fn shares(&self, row: usize, day: Date) -> Vec<CountryShare> {
        let packets = self.packets(row, day);
        let traffic = &self.rows[row];
        if packets == 0 || traffic.weights.is_empty() {
            return Vec::new();
        }
        let sources = ((packets + traffic.each / 2) / traffic.each).max(1);
        let sources = split(sources, &traffic.weights);
        let packets = split(packets, &sources);
        let both = packets.into_iter().zip(sources).enumerate();
        both.filter(|&(_, (_, sources))| sources > 0)
            .map(|(country, (packets, sources))| CountryShare {
                country,
                packets,
                sources,
            })
            .collect()
    }

    /// The seed that everything random follows from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What packets were divided by.
    pub fn divisor(&self) -> u64 {
        self.divisor
    }
}

impl Row {
    /// The day of most packets, by the plan.
    pub fn peak(&self) -> Date {
        let most = self.points.iter().map(|&(_, packets)| packets).max();
        let peak = self.points.iter().find(|point| Some(point.1) == most);
        peak.map_or(Date::MIN, |point| after_1970(point.0))
    }

    /// The first and the last day.
    pub fn span(&self) -> (Date, Date) {
        let day = |point: Option<&Point<i64>>| point.map_or(Date::MIN, |p| after_1970(p.0));
        (day(self.points.first()), day(self.points.last()))
    }
}

/// A weight per country; what `others` weighs goes to those of the list that the mix does not name.
fn spread(mix: &BTreeMap<String, u64>, countries: &[String], others: &[String]) -> Vec<u64> {
    let place = |code: &String| countries.binary_search(code).unwrap_or_default();
    let mut weights = vec![0; countries.len()];
    for (code, weight) in mix.iter().filter(|(code, _)| *code != "others") {
        weights[place(code)] += weight * FINE;
    }
    let rest: Vec<&String> = others.iter().filter(|c| !mix.contains_key(*c)).collect();
    let falling: Vec<u64> = (1..=rest.len() as u64).rev().map(|n| n + 12).collect();
    let total = mix.get("others").copied().unwrap_or_default() * FINE;
    for (code, weight) in rest.iter().zip(split(total, &falling)) {
        weights[place(code)] += weight;
    }
    weights
}

fn date(text: &str) -> Result<Date, ScenarioError> {
    text.parse().map_err(|error| ScenarioError::Plan {
        what: format!("\"{text}\" is no day: {error}"),
    })
}

fn moment(text: &str) -> Result<i64, ScenarioError> {
    let moment = text.parse::<jiff::Timestamp>();
    let moment = moment.map_err(|error| ScenarioError::Plan {
        what: format!("\"{text}\" is no moment: {error}"),
    })?;
    Ok(moment.as_microsecond())
}

const EPOCH: Date = jiff::civil::date(1970, 1, 1);

fn since_1970(day: Date) -> i64 {
    i64::from((day - EPOCH).get_days())
}

fn after_1970(days: i64) -> Date {
    EPOCH.saturating_add(jiff::Span::new().days(days))
}
