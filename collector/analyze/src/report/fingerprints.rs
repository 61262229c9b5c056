//! N8: fingerprints over time, and Telnet scanners with and without Mirai's mark.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::civil::Date;
use noctule_page::model::{Cell, Form, Kind, Population, Section};

use super::Frame;
use super::baseline::{Direction, judge};
use super::completeness::Completeness;
use super::context::{Context, Question, Values};
use super::events::points;
use super::period::days;
use super::questions;
use super::rows::Rows;
use super::table_builder::{self, Build as _, Days, int, note, text};

/// Confirmed sources and their hits by day and rule.
#[derive(Debug, Default)]
pub struct Confirmed {
    by_rule: BTreeMap<String, BTreeMap<Date, (i64, i64)>>,
}

impl Confirmed {
    /// Asks about the days from one to another.
    ///
    /// # Errors
    /// A store that cannot be reached, memory that does not suffice.
    pub fn read(context: &mut Context<'_>, from: Date, to: Date) -> Result<Self> {
        let mut confirmed = Self::default();
        confirmed.add(&context.execute_by_days(&questions::FINGERPRINT_DAYS, from, to)?)?;
        Ok(confirmed)
    }

    fn add(&mut self, rows: &Rows) -> Result<()> {
        for row in rows.iter() {
            let days = self
                .by_rule
                .entry(row.text("rule")?.to_owned())
                .or_default();
            days.insert(row.date("date")?, (row.int("sources")?, row.int("hits")?));
        }
        Ok(())
    }

    /// Rules that were confirmed for any source.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.by_rule.keys().map(String::as_str)
    }

    /// Confirmed sources of a rule on a day.
    pub fn sources(&self, date: Date, rule: &str) -> i64 {
        let days = self.by_rule.get(rule);
        days.and_then(|days| days.get(&date))
            .map_or(0, |counts| counts.0)
    }

    /// Takes down a rule's first day, where none is known yet.
    fn first(&self, rule: &str, first: &mut BTreeMap<String, Date>) {
        let days = self.by_rule.get(rule);
        if let Some((date, _)) = days.and_then(BTreeMap::first_key_value) {
            first.entry(rule.to_owned()).or_insert(*date);
        }
    }

    fn in_period(&self, frame: &Frame<'_>, rule: &str) -> Vec<(Date, i64, i64)> {
        let days = self.by_rule.get(rule).into_iter().flatten();
        days.filter(|(date, _)| frame.period.has(**date))
            .map(|(date, (sources, hits))| (*date, *sources, *hits))
            .collect()
    }
}

/// Makes known which rule's values each place of a flow row holds, as `chosen_constants`.
///
/// On a day on which that changed, or on which sensors differ, places mean nothing. Returns the rules.
///
/// # Errors
/// None.
pub fn choose_constants(
    context: &Context<'_>,
    completeness: &Completeness,
    from: Date,
    to: Date,
) -> Result<BTreeSet<String>> {
    let (mut dates, mut places, mut rules) = (vec![], vec![], vec![]);
    for date in days(from, to) {
        let names: BTreeSet<&String> = completeness
            .of_day(date)
            .flat_map(|account| &account.constants)
            .collect();
        let (Some(names), 1) = (names.first(), names.len()) else {
            continue;
        };
        for (place, name) in (1..=3).zip(names.split(',')) {
            let rule = name.rsplit_once('/').map_or(name, |(rule, _)| rule);
            if !rule.is_empty() {
                dates.push(date);
                places.push(place);
                rules.push(rule.to_owned());
            }
        }
    }
    let carried = rules.iter().cloned().collect();
    context.choose_table(
        "chosen_constants",
        vec![
            ("date", Values::Dates(dates)),
            ("place", Values::Ints(places)),
            ("rule", Values::Texts(rules)),
        ],
    )?;
    Ok(carried)
}

/// The first day of the store on which each rule was confirmed for a source.
fn first_seen(
    context: &mut Context<'_>,
    frame: &Frame<'_>,
    confirmed: &Confirmed,
    rules: &[&str],
) -> Result<BTreeMap<String, Date>> {
    let mut first = BTreeMap::new();
    let Some(begins) = context.first_day() else {
        return Ok(first);
    };
    if begins < frame.baseline_from {
        let to = frame.baseline_from.yesterday()?;
        // Flows of years are read for those rules only that nothing else knows of.
        let (carried, matched): (Vec<&str>, Vec<&str>) = rules
            .iter()
            .partition(|rule| frame.carried.contains(**rule));
        for (question, rules) in [
            (&questions::MATCHED_DAYS, matched),
            (&questions::FINGERPRINT_DAYS, carried),
        ] {
            look_back(context, question, &rules, (begins, to), &mut first)?;
        }
    }
    for rule in rules {
        confirmed.first(rule, &mut first);
    }
    Ok(first)
}

/// Looks for the first days of rules from a day on, until all have been met.
fn look_back(
    context: &mut Context<'_>,
    question: &Question,
    rules: &[&str],
    (from, to): (Date, Date),
    first: &mut BTreeMap<String, Date>,
) -> Result<()> {
    // Most rules are met within the first days: what comes after them need not be read.
    for (from, to) in context.windows(question.reads, from, to) {
        if rules.iter().all(|rule| first.contains_key(*rule)) {
            break;
        }
        let mut early = Confirmed::default();
        early.add(&context.execute(question, from, to)?)?;
        for rule in rules {
            early.first(rule, first);
        }
    }
    Ok(())
}

/// The section.
///
/// # Errors
/// A store that cannot be reached, memory that does not suffice.
pub fn section(
    context: &mut Context<'_>,
    frame: &Frame<'_>,
    confirmed: &Confirmed,
) -> Result<Section> {
    let rules: Vec<&str> = (confirmed.rules())
        .filter(|rule| !confirmed.in_period(frame, rule).is_empty())
        .collect();
    let first = first_seen(context, frame, confirmed, &rules)?;
    let (from, to) = (frame.period.from, frame.period.to);
    let mut sources = BTreeMap::new();
    for row in context
        .execute(&questions::FINGERPRINT_SOURCES, from, to)?
        .iter()
    {
        let counts = (row.int("sources")?, row.int("hits")?);
        sources.insert(row.text("rule")?.to_owned(), counts);
    }
    let mut section = table_builder::section("n8");
    if rules.is_empty() {
        section
            .notes
            .push(note("no-fingerprints", false, Vec::new()));
    }
    let mut table = table_builder::table("n8-rules", "", Population::All).columns(&[
        ("rule", Kind::Text),
        ("first_seen", Kind::Date),
        ("onset", Kind::Date),
        ("peak", Kind::Date),
        ("peak_sources", Kind::Count),
        ("peak_packets", Kind::Count),
        ("sources", Kind::Count),
        ("hits", Kind::Count),
    ]);
    let maybe_date = |date: Option<Date>| date.map_or(Cell::Missing, table_builder::date);
    for rule in &rules {
        let days = confirmed.in_period(frame, rule);
        // The first of equal days.
        let peak = days
            .iter()
            .max_by_key(|day| (day.1, std::cmp::Reverse(day.0)));
        let (sources, hits) = sources.get(*rule).copied().unwrap_or_default();
        table.rows.push(vec![
            text(*rule),
            maybe_date(first.get(*rule).copied()),
            maybe_date(onset(frame, confirmed, rule)),
            maybe_date(peak.map(|day| day.0)),
            int(peak.map_or(0, |day| day.1)),
            int(peak.map_or(0, |day| day.2)),
            int(sources),
            int(hits),
        ]);
    }
    section.tables.push(table);

    let columns: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    let mut by_day = Days::default();
    for rule in &rules {
        for (date, sources, _) in confirmed.in_period(frame, rule) {
            by_day.put(date, rule, sources);
        }
    }
    let table = table_builder::table("n8-sources", "", Population::All);
    let table = table.by_day(Kind::Text, columns.clone(), &frame.days, &by_day);
    section
        .tables
        .push(table.plot(Form::Lines, "date", columns, true));

    let mut by_day = Days::default();
    let columns = ["with_mark", "without_mark"].map(str::to_owned);
    for row in context
        .execute_by_days(&questions::TELNET, from, to)?
        .iter()
    {
        for column in &columns {
            by_day.put(row.date("date")?, column, row.int(column)?);
        }
    }
    let mut table = table_builder::table("n8-telnet", "", Population::All)
        .columns(&[
            ("date", Kind::Date),
            ("with_mark", Kind::Count),
            ("without_mark", Kind::Count),
        ])
        .plot(Form::Stacked, "date", columns.to_vec(), false);
    table.rows = by_day.rows(&frame.days, &columns);
    section.tables.push(table);
    Ok(section)
}

/// The first day of the period on which a rule's sources left their band.
fn onset(frame: &Frame<'_>, confirmed: &Confirmed, rule: &str) -> Option<Date> {
    let (days, points) = points(frame, |date| confirmed.sources(date, rule));
    let judged = judge(&points);
    let rises = judged
        .events
        .iter()
        .filter(|event| event.direction == Direction::Rise);
    let outside = rises.flat_map(|event| &event.days).map(|at| days[*at]);
    outside.filter(|date| frame.period.has(*date)).min()
}
