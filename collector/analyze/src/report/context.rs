//! What the sections of a report share: its selectors, the store's tables, and the figures that more
//! than one of them shows.

use std::collections::BTreeSet;

use anyhow::Result;
use jiff::civil::Date;
use noctule_page::model::Population;

use super::baseline::{REACH, median};
use super::by_day::ByDay;
use super::completeness::Completeness;
use super::database::Database;
use super::events::Events;
use super::peaks::PeakCountries;
use super::period::{Period, Span, back};
use super::questions;
use super::ranks::{Ranked, Ranks, first};
use super::series::{self, ConfirmedDays, KINDS, Series};
use crate::args::{ReportArgs, Style};
use crate::selectors::{Port, unique};

/// Ports whose sources are shown if the command line names none.
const RISING: usize = 5;

/// What the sections of a report share.
pub struct Context<'a> {
    /// The command line.
    pub args: &'a ReportArgs,
    /// The store's tables.
    pub database: Database<'a>,
    /// The period that ranks are compared with.
    pub compare: Period,
    /// Days of the period.
    pub days: Vec<Date>,
    /// Sensors that have days around the period, but none in it.
    pub missing_sensors: Vec<String>,
    /// Rules whose values flow rows carry, on some day.
    pub carried_rules: BTreeSet<String>,
    /// Figures by day.
    pub series: Series,
    /// Rankings of ports and countries.
    pub ranks: Ranks,
    /// Ports whose sources are shown.
    pub shown_ports: Vec<Port>,
    /// Events of the period.
    pub events: Events,
    /// Peaks whose countries are shown.
    pub peaks: Vec<PeakCountries>,
}

impl<'a> Context<'a> {
    /// Reads the figures that sections share.
    ///
    /// # Errors
    /// As [`Database::execute`].
    pub fn read(
        args: &'a ReportArgs,
        mut database: Database<'a>,
        (period, compare): (Period, Period),
        missing_sensors: Vec<String>,
    ) -> Result<Self> {
        database.stage("completeness");
        let first = database.first_day().unwrap_or(period.from);
        let known = Span::new(first.min(period.from), period.to);
        let span = Span::new(back(period.from, REACH).max(known.from), period.to);
        let completeness = Completeness::read(&database, known, &period)?;
        database.stage("packets and sources by day");
        let packets = [&KINDS[..], &["total"]].concat();
        let packets = ByDay::read(&database, &questions::DAYS, span, &packets)?;
        let tcp_sources = ByDay::read(&database, &questions::TCP_SOURCES, span, &["sources"])?;
        database.stage("ranks");
        let ranks = Ranks::read(&database, &period, &compare)?;

        database.stage("ports by day");
        let candidates = series::candidates(&database, &period, &completeness)?;
        let ranked = ranks.ports.iter().map(|ranked| ranked.item.clone());
        let ports = unique(&[candidates.clone(), ranked.collect()].concat());
        let question = &questions::PORT_DAYS;
        let port_packets = ByDay::read_ports(&database, question, span, "packets", &ports)?;
        let days = period.days();
        let shown_ports = match (args.style, args.port.is_empty()) {
            (Style::Tsubame, _) => Vec::new(),
            (_, true) => rising(&days, &ranks.ports, &port_packets),
            (_, false) => unique(&args.port),
        };
        let ports = unique(&[&candidates[..], &shown_ports].concat());
        let question = &questions::PORT_SOURCES;
        let port_sources = ByDay::read_ports(&database, question, span, "sources", &ports)?;
        let answer_ports = match args.answer_port.is_empty() {
            true => vec![Port::new("udp", 53)],
            false => unique(&args.answer_port),
        };
        let answers = series::answers(&database, span, &answer_ports)?;

        database.stage("fingerprints");
        let carried_rules = series::carried_rules(&completeness, known);
        database.add_intervals(false)?;
        database.keep_confirmed(span)?;
        let mut confirmed = ConfirmedDays::default();
        let question = &questions::FINGERPRINT_DAYS;
        confirmed.add(&database.execute_by_days(question, span, &[])?)?;

        let series = Series {
            period,
            baseline_from: span.from,
            completeness,
            packets,
            tcp_sources,
            candidates,
            port_packets,
            port_sources,
            answer_ports,
            answers,
            confirmed,
        };
        let events = Events::find(&series);
        database.stage("countries of peaks");
        let peaks = match (args.style, args.peak.is_empty()) {
            (Style::Tsubame, _) => Vec::new(),
            (_, true) => events.peaks(&series),
            (_, false) => unique(&args.peak),
        };
        let peaks = PeakCountries::read(&database, &peaks)?;
        Ok(Self {
            args,
            database,
            compare,
            days,
            missing_sensors,
            carried_rules,
            series,
            ranks,
            shown_ports,
            events,
            peaks,
        })
    }

    /// The period that is reported on.
    pub const fn period(&self) -> &Period {
        &self.series.period
    }

    /// The days of the period.
    pub const fn span(&self) -> Span {
        self.series.period.span()
    }
}

/// The ports whose packets rose most, of the first 30 of the period.
fn rising(days: &[Date], ranked: &[Ranked<Port>], packets: &ByDay) -> Vec<Port> {
    let ranked = first(ranked, Population::All, 30);
    let mut rises: Vec<(f64, &&Ranked<Port>)> = (ranked.iter())
        .map(|ranked| {
            let name = ranked.item.to_string();
            let packets = days.iter().map(|day| packets.get(*day, &name) as f64);
            (rise(&packets.collect::<Vec<_>>()), ranked)
        })
        .collect();
    rises.sort_by(|a, b| {
        let place = |ranked: &Ranked<Port>| ranked.place(Population::All);
        b.0.total_cmp(&a.0).then(place(a.1).cmp(&place(b.1)))
    });
    let first = rises.into_iter().take(RISING);
    first.map(|(_, ranked)| ranked.item.clone()).collect()
}

/// Mean of the best week of a series, as a multiple of the median of its days.
fn rise(values: &[f64]) -> f64 {
    const WEEK: usize = 7;
    let week = WEEK.min(values.len()).max(1);
    let means = values
        .windows(week)
        .map(|days| days.iter().sum::<f64>() / week as f64);
    let peak = means.fold(0.0, f64::max);
    peak / median(&mut values.to_vec()).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_is_the_best_week_over_the_usual_day() {
        assert_eq!(rise(&[]), 0.0);
        assert_eq!(rise(&[5.0]), 1.0);
        assert_eq!(rise(&[0.0, 0.0, 0.0]), 0.0);
        let mut month = vec![10.0; 30];
        assert_eq!(rise(&month), 1.0);
        month[20..27].fill(110.0);
        assert_eq!(rise(&month), 11.0);
        // A port without packets before is compared with one packet a day.
        let mut new = vec![0.0; 30];
        new[23..].fill(70.0);
        assert_eq!(rise(&new), 70.0);
    }
}
