//! Writes a scenario: captures by month, and beside them what is needed to read them.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use noctule_packet::link::LinkType;
use serde_json::json;

use super::error::ScenarioError;
use super::list::Scenario;
use super::plan::ScenarioPlan;
use super::readme;
use super::row_day::RowDay;
use super::totals::PlanTotals;
use super::world::{Turnover, World};
use crate::address::AddressRange;
use crate::error::SynthError;
use crate::files::{csv, save};
use crate::maker::Maker;
use crate::pcap::PcapWriter;
use crate::random::Random;
use crate::target::Targets;

/// A file of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioFile {
    /// Where it is.
    pub path: PathBuf,
    /// Frames, in a capture.
    pub packets: Option<u64>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioFiles {
    /// The text that every output contains, so that no reader takes it for an observation.
    pub notice: String,
    /// Captures in the order of time, then `country.csv`, `asn.csv`, `research.txt`, `truth.json`,
    /// `noctule.toml` and `README.txt`.
    pub files: Vec<ScenarioFile>,
}

/// Writes a scenario into a folder, which is made where it is missing; files that are there are
/// overwritten. Equal seeds give equal octets. Packets (and with them sources) are divided by
/// `divisor`; 1 is the scenario itself.
///
/// Memory does not depend on the number of packets: a day's packets are made in the order of time.
///
/// # Errors
/// Files that cannot be written, and a plan that makes no sense.
pub fn write_scenario(
    scenario: Scenario,
    seed: u64,
    divisor: u64,
    folder: &Path,
) -> Result<ScenarioFiles, ScenarioError> {
    let plan = ScenarioPlan::read(scenario.text(), seed, divisor)?;
    let world = World::new(&plan)?;
    fs::create_dir_all(folder).map_err(|source| SynthError::Beside {
        file: folder.display().to_string(),
        source,
    })?;
    let notice = scenario.notice();
    let mut files = captures(&plan, &world, folder)?;
    let names: Vec<String> = (files.iter())
        .filter_map(|file| Some(file.path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    let captures: Vec<_> = (names.iter().zip(&files))
        .map(|(name, file)| json!({ "file": name, "packets": file.packets }))
        .collect();
    let totals = PlanTotals::new(&plan);
    let truth = json!({
        "notice": notice,
        "scenario": scenario.name(),
        "seed": seed,
        "divisor": plan.divisor(),
        "sensor": plan.sensor,
        "prefixes": plan.prefixes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "interval_seconds": plan.interval_seconds,
        "days_in": plan.report_timezone,
        "first_day": plan.first.to_string(),
        "last_day": plan.last.to_string(),
        "captures": captures,
        "outages": plan.outages.iter().map(|outage| json!({
            "about": outage.about,
            "from_us": outage.from_us,
            "to_us": outage.to_us,
        })).collect::<Vec<_>>(),
        "plan": totals.json(&plan),
    });
    let truth = serde_json::to_string_pretty(&truth).map_err(SynthError::Json)?;
    let beside = [
        (
            "country.csv",
            ranges(&notice, &world.addresses.countries(false)),
        ),
        ("asn.csv", ranges(&notice, &world.addresses.systems(false))),
        ("research.txt", research(&notice, &plan, &world)),
        ("truth.json", format!("{truth}\n")),
        ("noctule.toml", settings(&notice, &plan)),
        ("README.txt", readme::text(scenario, &plan, &totals, &names)),
    ];
    for (name, text) in beside {
        let path = folder.join(name);
        save(&path, &text)?;
        files.push(ScenarioFile {
            path,
            packets: None,
        });
    }
    Ok(ScenarioFiles { notice, files })
}

/// Writes the captures, one for each month that has packets.
fn captures(
    plan: &ScenarioPlan,
    world: &World,
    folder: &Path,
) -> Result<Vec<ScenarioFile>, ScenarioError> {
    let targets = Targets::new(&plan.prefixes);
    let mut maker = Maker::new(Random::new(!plan.seed()), &world.addresses, &targets);
    let mut turnover = Turnover::new(plan);
    let mut month: Option<Month> = None;
    let mut files = Vec::new();
    for day in plan.days() {
        let flows = (0..plan.rows.len()).filter_map(|n| RowDay::new(plan, n, day, &mut turnover));
        let mut flows: Vec<RowDay<'_>> = flows.collect();
        if flows.is_empty() {
            continue;
        }
        let mut open = match month.take() {
            Some(open) if open.is_of(day) => open,
            other => {
                files.extend(other.map(Month::close).transpose()?);
                Month::open(folder, day)?
            }
        };
        while let Some(number) = earliest(&flows) {
            let flow = &mut flows[number];
            let time_us = flow.next_us();
            let (source, port) = flow.take(world);
            maker.planned(flow.row, source, port);
            open.write(time_us, maker.frame.bytes())?;
            if flow.is_over() {
                flows.swap_remove(number);
            }
        }
        month = Some(open);
    }
    files.extend(month.map(Month::close).transpose()?);
    Ok(files)
}

/// The flow whose packet comes next.
#[inline]
fn earliest(flows: &[RowDay<'_>]) -> Option<usize> {
    let next = flows.iter().enumerate();
    next.min_by_key(|(_, flow)| flow.next_us())
        .map(|(number, _)| number)
}

/// The capture of a month.
struct Month {
    first: Date,
    path: PathBuf,
    writer: PcapWriter,
    packets: u64,
}

impl Month {
    fn open(folder: &Path, day: Date) -> Result<Self, SynthError> {
        let path = folder.join(format!("{}-{:02}.pcap", day.year(), day.month()));
        Ok(Self {
            first: day.first_of_month(),
            writer: PcapWriter::create(&path, LinkType::Ethernet)?,
            path,
            packets: 0,
        })
    }

    fn is_of(&self, day: Date) -> bool {
        self.first == day.first_of_month()
    }

    #[inline]
    fn write(&mut self, time_us: i64, frame: &[u8]) -> Result<(), SynthError> {
        self.packets += 1;
        Ok(self.writer.write(time_us, frame)?)
    }

    fn close(self) -> Result<ScenarioFile, SynthError> {
        self.writer.finish()?;
        Ok(ScenarioFile {
            path: self.path,
            packets: Some(self.packets),
        })
    }
}

fn ranges(notice: &str, ranges: &[AddressRange]) -> String {
    format!("# {notice}\n{}", csv(ranges))
}

/// The sources of the rows that an operator would know for research scanners.
fn research(notice: &str, plan: &ScenarioPlan, world: &World) -> String {
    let mut text = format!("# {notice}\n");
    for (number, row) in plan.rows.iter().enumerate().filter(|(_, row)| row.research) {
        // They stay for good, so the first day's are all there are.
        for share in plan.shares(number, row.span().0) {
            for place in 0..share.sources {
                let source = world.source(row.pool, share.country, place);
                let address = std::net::Ipv4Addr::from_bits(world.addresses.source4(source));
                let country = &plan.countries[share.country];
                text.push_str(&format!(
                    "{address}  Example Survey {country}  # {}\n",
                    row.name
                ));
            }
        }
    }
    text
}

/// The store's own settings.
fn settings(notice: &str, plan: &ScenarioPlan) -> String {
    format!(
        "# Belongs at the root of the store that the captures are replayed into, with research.txt.\nreport_timezone = \"{}\"\nnotice = \"{notice}\"\n\n[research]\nlist = \"research.txt\"\n",
        plan.report_timezone
    )
}
