//! `noctule report`: figures of a period as observatories publish them.
//!
//! Every figure is the answer to a question in SQL (`questions`) over daily tables, which are made
//! first if they are missing. Only baselines and events are computed here.
//!
//! A report has one way: period and selectors are resolved, the files of tables listed
//! (`tables`), shared figures read (`context`), sections made (`sections`), the page written.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Result, bail};
use jiff::Timestamp;
use jiff::civil::Date;
use noctule_page::model::{About, Report, VERSION};

use crate::args::{ReportArgs, RollupArgs};
use crate::open::{Limits, OpenStore};
use crate::outcome::Outcome;
use crate::rule_data::RuleData;
use crate::settings::{Settings, zone};
use crate::{rollup, work};

mod baseline;
mod by_day;
mod cells;
pub mod chosen;
mod completeness;
mod confirmed;
mod context;
pub mod database;
mod events;
mod outages;
mod peaks;
pub mod period;
mod pseudonym;
mod questions;
mod ranks;
mod rows;
mod sections;
mod series;
mod table_builder;
pub mod tables;

use context::Context;
use database::Database;
use period::{Period, Span, back};
use tables::Tables;

/// Sensors with a day within so many days of the period are expected in it.
const AROUND: i32 = 365;

/// Ports whose sources fit into one plot.
const MOST_PORTS: usize = 10;

/// Makes a report and writes it.
///
/// # Errors
/// If the period is not a period or none of its days has closed, the store cannot be read or its
/// daily tables not be made, memory runs out, or the folder of the report cannot be written to.
pub fn run(args: &ReportArgs) -> Result<Outcome> {
    let began = Instant::now();
    if args.port.len() > MOST_PORTS {
        bail!(
            "--port is given {} times: one plot has room for {MOST_PORTS}",
            args.port.len()
        );
    }
    let store = OpenStore::open(&args.common.store)?;
    let settings = Settings::read(&store.files)?;
    let rules = RuleData::read(&store.files, &settings)?;
    let zone_name = args.timezone.as_ref().unwrap_or(&settings.report_timezone);
    let zone = zone(zone_name)?;
    let now = Timestamp::now();
    let (period, compare) = period::both(&args.period, args.compare.as_deref(), &zone, now)?;
    let until = period.to.max(compare.to);
    rollup::bring_up_to_date(&store, &RollupArgs::for_report(args, zone_name, until))?;

    let mut limits = Limits::of(&args.common)?;
    let _work = work::folder(&mut limits)?;
    let mut tables = Tables::list(&store, &zone, zone_name)?;
    let (sensors, missing) = choose_sensors(&tables, &args.sensor, &period)?;
    tables.retain(&sensors);
    let database = Database::new(&store, &limits, zone, tables, sensors, rules)?;
    let context = Context::read(args, database, (period, compare), missing)?;
    let sections = sections::all(&context)?;
    context.database.finish_progress();

    let reading = context.database.reading();
    let (files, octets) = (reading.files(), reading.octets());
    let left_out = store.skipped.all().into_iter();
    let versions = &context.series.completeness.versions;
    let report = Report {
        version: VERSION,
        about: About {
            store: args.common.store.clone(),
            period: context.period().about(),
            compare: context.compare.about(),
            timezone: zone_name.clone(),
            sensors: context.database.sensors().iter().cloned().collect(),
            notice: settings.notice,
            made_by: format!("noctule {}", env!("CARGO_PKG_VERSION")),
            versions: versions.iter().cloned().collect(),
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
    Ok(store.outcome(args.common.strict))
}

/// The sensors whose files are read, and those that are expected in the period and have no day in it.
fn choose_sensors(
    tables: &Tables,
    named: &[String],
    period: &Period,
) -> Result<(BTreeSet<String>, Vec<String>)> {
    let known = tables.sensors(Span::new(Date::MIN, Date::MAX));
    if let Some(unknown) = named.iter().find(|sensor| !known.contains(*sensor)) {
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
    let present = tables.sensors(period.span());
    let around = Span::new(back(period.from, AROUND), back(period.to, -AROUND));
    let around = tables.sensors(around);
    let (chosen, expected): (BTreeSet<String>, BTreeSet<String>) = match named.is_empty() {
        true if present.is_empty() => (around.clone(), around),
        true => (present.clone(), around),
        false => {
            let named: BTreeSet<String> = named.iter().cloned().collect();
            (named.clone(), named)
        }
    };
    let missing = expected.difference(&present).cloned().collect();
    Ok((chosen, missing))
}
