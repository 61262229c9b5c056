//! `noctule report`: what observatories publish of a period.
//!
//! Every figure is the answer to a question in SQL (`questions`) over daily tables, which are made
//! first where they are missing. Only `band` (what is usual) is computed here.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Result, bail};
use jiff::Timestamp;
use jiff::civil::Date;
use noctule_page::model::{About, Report, Section, VERSION};

use crate::args::{ReportArgs, RollupArgs, Style};
use crate::open::OpenStore;
use crate::settings::{Settings, zone, zone_folder};
use crate::{Outcome, query, rollup, work};

mod answers;
mod baseline;
mod completeness;
mod confirmed;
mod context;
mod events;
mod fingerprints;
mod notify;
mod outages;
mod packets;
mod period;
mod pseudonym;
mod questions;
mod ranks;
mod regions;
mod research;
mod rows;
mod sources;
mod table_builder;

use crate::selectors::unique;
use completeness::Completeness;
use context::Context;
use fingerprints::Confirmed;
use period::Period;
use table_builder::Days;

/// Sensors that were heard of so many days before or after the period are expected in it.
const AROUND: i32 = 365;

/// Ports whose sources are drawn together.
const MOST_PORTS: usize = 10;

/// What all sections share.
struct Frame<'a> {
    args: &'a ReportArgs,
    period: Period,
    compare: Period,
    /// Days of the period.
    days: Vec<Date>,
    /// First day of the baseline of the period's first.
    baseline_from: Date,
    completeness: Completeness,
    /// Fingerprints whose values flows carry, on some day.
    carried: BTreeSet<String>,
    /// Packets by day and kind, from the baseline on.
    packets: Days,
    /// Distinct TCP sources by day, from the baseline on.
    tcp_sources: Days,
}

/// Makes a report and writes it.
///
/// # Errors
/// A store that cannot be reached, a period that is none or has not begun, memory that does not
/// suffice, a folder that cannot be written to.
pub fn run(args: &ReportArgs) -> Result<Outcome> {
    let began = Instant::now();
    if args.port.len() > MOST_PORTS {
        bail!(
            "--port is given {} times: at most {MOST_PORTS} can be told apart in one plot",
            args.port.len()
        );
    }
    let store = OpenStore::open(&args.common.store)?;
    let settings = Settings::read(&store.files)?;
    let zone_name = args.timezone.as_ref().unwrap_or(&settings.report_timezone);
    let zone = zone(zone_name)?;
    let now = Timestamp::now();
    let (period, compare) = period::both(&args.period, args.compare.as_deref(), &zone, now)?;
    let rollup = RollupArgs {
        common: args.common.clone(),
        timezone: Some(zone_name.clone()),
        sensor: args.sensor.clone(),
        from: None,
        to: Some(period.to.max(compare.to)),
        redo: false,
        open_days: false,
        research_packets: None,
        research_ports: None,
        research_list: None,
        dry_run: false,
    };
    rollup::bring_up_to_date(&store, &rollup)?;
    let mut limits = query::limits(&args.common)?;
    let _work = work::folder(&mut limits)?;
    let folder = zone_folder(zone_name);
    let mut context = Context::new(&store, &limits, zone, &folder)?;
    let missing = choose_sensors(&mut context, args, &period)?;
    let frame = Frame::read(&mut context, args, period, compare)?;
    let mut sections = frame.sections(&mut context, &missing)?;
    let incomplete = frame.completeness.incomplete(&frame.period);
    for section in sections.iter_mut().filter(|section| section.id != "c1") {
        table_builder::mark_incomplete(section, &incomplete);
    }
    context.done();
    let reading = &context.reading;
    let (files, octets) = (reading.files(), reading.octets());
    let left_out = store.skipped.all().into_iter();
    let report = Report {
        version: VERSION,
        about: About {
            store: args.common.store.clone(),
            period: frame.period.about(),
            compare: frame.compare.about(),
            timezone: zone_name.clone(),
            sensors: context.sensors().iter().cloned().collect(),
            notice: settings.notice,
            made_by: format!("noctule {}", env!("CARGO_PKG_VERSION")),
            versions: frame.completeness.versions.iter().cloned().collect(),
            files,
            octets,
            left_out: left_out
                .map(|(path, reason)| format!("{path}: {reason}"))
                .collect(),
        },
        sections,
    };
    noctule_page::write(&report, args.lang.into(), &args.out)?;
    log::info!(
        "wrote {}: {} of {} sensors; read {} octets of {files} files ({octets} octets) in {:.1} s",
        args.out.display(),
        report.about.period.name,
        report.about.sensors.len(),
        reading.scanned,
        began.elapsed().as_secs_f64()
    );
    Ok(query::told(&store, &args.common))
}

/// Chooses whose files are read; the sensors that should be there and are not.
fn choose_sensors(
    context: &mut Context<'_>,
    args: &ReportArgs,
    period: &Period,
) -> Result<Vec<String>> {
    let known = context.known_sensors(Date::MIN, Date::MAX);
    if let Some(unknown) = args.sensor.iter().find(|sensor| !known.contains(*sensor)) {
        let known: Vec<String> = known.into_iter().collect();
        bail!(
            "the store has no days of a sensor \"{unknown}\": it has {}",
            if known.is_empty() {
                "none at all".to_owned()
            } else {
                known.join(", ")
            }
        );
    }
    let present = context.known_sensors(period.from, period.to);
    let around = period::back(period.from, AROUND)..=period::back(period.to, -AROUND);
    let around = context.known_sensors(*around.start(), *around.end());
    let (chosen, expected): (BTreeSet<String>, BTreeSet<String>) = match args.sensor.is_empty() {
        true if present.is_empty() => (around.clone(), around),
        true => (present.clone(), around),
        false => {
            let asked: BTreeSet<String> = args.sensor.iter().cloned().collect();
            (asked.clone(), asked)
        }
    };
    context.choose(chosen)?;
    Ok(expected.difference(&present).cloned().collect())
}

impl<'a> Frame<'a> {
    /// Reads what every section needs.
    fn read(
        context: &mut Context<'_>,
        args: &'a ReportArgs,
        period: Period,
        compare: Period,
    ) -> Result<Self> {
        context.stage("completeness");
        let first = context.first_day().unwrap_or(period.from).min(period.from);
        let baseline_from = period::back(period.from, baseline::REACH).max(first);
        let completeness = Completeness::read(context, first, &period)?;
        let carried = fingerprints::choose_constants(context, &completeness, first, period.to)?;
        context.stage("packets by day");
        let packets = packets::by_day(context, baseline_from, period.to)?;
        context.stage("TCP sources by day");
        let tcp_sources = sources::tcp_by_day(context, baseline_from, period.to)?;
        Ok(Self {
            args,
            days: period.days(),
            period,
            compare,
            baseline_from,
            completeness,
            carried,
            packets,
            tcp_sources,
        })
    }

    /// All sections in the order of the page.
    fn sections(&self, context: &mut Context<'_>, missing: &[String]) -> Result<Vec<Section>> {
        let nicter = self.args.style != Style::Tsubame;
        let tsubame = self.args.style != Style::Nicter;
        context.stage("ranks");
        let ranks = regions::Ranks::read(context, self)?;

        context.stage("events");
        let days = (self.baseline_from, self.period.to);
        let candidates = events::candidates(context, self)?;
        let first = ranks.ports.iter().map(|ranked| ranked.item.clone());
        let wanted = unique(&[candidates.clone(), first.collect()].concat());
        let question = &questions::PORT_DAYS;
        let packets = regions::by_port(context, question, "packets", &wanted, days)?;
        let shown = match (nicter, self.args.port.is_empty()) {
            (true, true) => sources::rising(self, &ranks.ports, &packets),
            (true, false) => unique(&self.args.port),
            (false, _) => Vec::new(),
        };
        context.stage("sources by port");
        let wanted = unique(&[&candidates[..], &shown].concat());
        let question = &questions::PORT_SOURCES;
        let by_port = regions::by_port(context, question, "sources", &wanted, days)?;
        let answer_ports = answers::ports(self);
        let answers = answers::by_day(context, self, &answer_ports)?;
        context.stage("fingerprints");
        let confirmed = Confirmed::read(context, self.baseline_from, self.period.to)?;
        let series = events::Series {
            ports: &candidates,
            packets: &packets,
            sources: &by_port,
            answer_ports: &answer_ports,
            answers: &answers,
            confirmed: &confirmed,
        };
        let events = events::Events::find(self, &series);

        let mut sections = vec![self.completeness.section(context, &self.period, missing)?];
        if nicter {
            context.stage("years");
            sections.push(packets::years(context, self)?);
            sections.push(packets::days(self));
            sections.push(sources::tcp(self));
            sections.push(packets::ports(&ranks.ports, &ranks.parts));
            sections.push(sources::ports(self, &shown, &by_port));
            context.stage("countries of peaks");
            let peaks = match self.args.peak.is_empty() {
                true => events.peaks(self, &series),
                false => unique(&self.args.peak),
            };
            let (section, pairs) = sources::peaks(context, &peaks)?;
            sections.push(section);
            let pairs = match self.args.country_port.is_empty() {
                true => pairs,
                false => unique(&self.args.country_port),
            };
            sections.push(sources::country_ports(context, self, &pairs)?);
            context.stage("fingerprints over time");
            sections.push(fingerprints::section(context, self, &confirmed)?);
            sections.push(research::section(context, self)?);
        }
        if tsubame {
            context.stage("ports and regions");
            sections.push(regions::ports(&ranks));
            sections.push(regions::countries(&ranks));
            sections.push(regions::port_days(self, &ranks, &packets));
            sections.push(regions::country_days(context, self, &ranks)?);
            sections.push(regions::port_regions(context, self, &ranks)?);
            context.stage("answers");
            sections.push(answers::section(context, self, &answer_ports, &answers)?);
            sections.push(notify::section(context, self)?);
            sections.push(regions::sensors(context, self)?);
        }
        sections.push(events.section());
        let total: i64 = self
            .days
            .iter()
            .map(|date| self.packets.get(*date, "total"))
            .sum();
        if total == 0 {
            for section in sections
                .iter_mut()
                .filter(|section| !section.id.starts_with('c'))
            {
                section
                    .notes
                    .insert(0, table_builder::note("no-data", true, Vec::new()));
            }
        }
        Ok(sections)
    }
}
