//! N8: fingerprints over time, and Telnet scanners with and without the mark of a rule.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use anyhow::Result;
use jiff::civil::Date;
use noctule_page::model::{Form, Kind, Population, Section, Table};

use crate::report::baseline::{Direction, evaluate};
use crate::report::by_day::ByDay;
use crate::report::cells::{int, maybe_date, text};
use crate::report::context::Context;
use crate::report::period::Span;
use crate::report::questions::{self, Question};
use crate::report::series::{ConfirmedDays, Series};
use crate::report::table_builder::{TableBuilder, remark, section as new_section};

/// Makes the section.
pub fn section(context: &Context<'_>) -> Result<Section> {
    let confirmed = &context.series.confirmed;
    let rules: Vec<&str> = (confirmed.rules())
        .filter(|rule| !confirmed.of_rule(rule, context.span()).is_empty())
        .collect();
    let mut section = new_section();
    if rules.is_empty() {
        section.notes.push(remark("no-fingerprints"));
    }
    section.tables = vec![
        by_rule(context, &rules)?,
        by_day(context, &rules),
        telnet(context)?,
    ];
    Ok(section)
}

/// First day, onset, peak and sums of every rule.
fn by_rule(context: &Context<'_>, rules: &[&str]) -> Result<Table> {
    let span = context.span();
    let rows = (context.database).execute(&questions::FINGERPRINT_SOURCES, span, &[])?;
    let mut sums = BTreeMap::new();
    for row in rows.iter() {
        let counts = (row.int("sources")?, row.int("hits")?);
        sums.insert(row.text("rule")?.to_owned(), counts);
    }
    let first = first_days(context, rules)?;
    let mut table = TableBuilder::new("n8-rules", Population::All).columns(&[
        ("rule", Kind::Text),
        ("first_seen", Kind::Date),
        ("onset", Kind::Date),
        ("peak", Kind::Date),
        ("peak_sources", Kind::Count),
        ("peak_packets", Kind::Count),
        ("sources", Kind::Count),
        ("hits", Kind::Count),
    ]);
    for rule in rules {
        let days = context.series.confirmed.of_rule(rule, span);
        // The first of equal days.
        let peak = days.iter().max_by_key(|day| (day.1, Reverse(day.0)));
        let (sources, hits) = sums.get(*rule).copied().unwrap_or_default();
        table.row(vec![
            text(*rule),
            maybe_date(first.get(*rule).copied()),
            maybe_date(onset(&context.series, rule)),
            maybe_date(peak.map(|day| day.0)),
            int(peak.map_or(0, |day| day.1)),
            int(peak.map_or(0, |day| day.2)),
            int(sources),
            int(hits),
        ]);
    }
    Ok(table.build())
}

/// Confirmed sources by day.
fn by_day(context: &Context<'_>, rules: &[&str]) -> Table {
    let mut sources = ByDay::default();
    for rule in rules {
        for (date, count, _) in context.series.confirmed.of_rule(rule, context.span()) {
            sources.add(date, rule, count);
        }
    }
    let names: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    TableBuilder::new("n8-sources", Population::All)
        .by_day(Kind::Text, &names, &context.days, &sources)
        .plot(Form::Lines, "date", &names)
        .logarithmic()
        .build()
}

/// Telnet scanners by day.
fn telnet(context: &Context<'_>) -> Result<Table> {
    const COLUMNS: [&str; 2] = ["with_mark", "without_mark"];
    let chosen = [context.database.rules().telnet_marks_table()];
    let rows = (context.database).execute_by_days(&questions::TELNET, context.span(), &chosen)?;
    let mut sources = ByDay::default();
    for row in rows.iter() {
        for column in COLUMNS {
            sources.add(row.date("date")?, column, row.int(column)?);
        }
    }
    let table = TableBuilder::new("n8-telnet", Population::All)
        .columns(&[("date", Kind::Date)])
        .columns(&COLUMNS.map(|column| (column, Kind::Count)))
        .plot(Form::Stacked, "date", &COLUMNS)
        .rows(sources.rows(&context.days, Population::All, &COLUMNS));
    Ok(table.build())
}

/// The first day of the store on which each rule was confirmed for a source.
fn first_days(context: &Context<'_>, rules: &[&str]) -> Result<BTreeMap<String, Date>> {
    let mut first = BTreeMap::new();
    let baseline_from = context.series.baseline_from;
    let begins = context.database.first_day();
    if let Some(begins) = begins.filter(|begins| *begins < baseline_from) {
        let before = Span::new(begins, baseline_from.yesterday()?);
        // Flows of years are read only for rules whose values nothing else carries.
        let data = context.database.rules();
        let needs_flows = |rule: &&str| {
            let carried = &context.carried_rules;
            carried.contains(*rule) || carried.iter().any(|other| data.supersedes(other, rule))
        };
        let (carried, matched): (Vec<&str>, Vec<&str>) =
            rules.iter().partition(|rule| needs_flows(rule));
        for (question, rules) in [
            (&questions::EARLIER_MATCHED_DAYS, matched),
            (&questions::EARLIER_FINGERPRINT_DAYS, carried),
        ] {
            search_first_days(context, question, &rules, before, &mut first)?;
        }
    }
    add_first_days(&context.series.confirmed, rules, &mut first);
    Ok(first)
}

/// Searches a span for the first days of rules, until each has one.
fn search_first_days(
    context: &Context<'_>,
    question: &Question,
    rules: &[&str],
    span: Span,
    first: &mut BTreeMap<String, Date>,
) -> Result<()> {
    // Most rules are confirmed within the first days of a store, so that later ones are not read.
    for window in context.database.windows(question, span) {
        if rules.iter().all(|rule| first.contains_key(*rule)) {
            break;
        }
        let mut confirmed = ConfirmedDays::default();
        confirmed.add(&context.database.execute(question, window, &[])?)?;
        add_first_days(&confirmed, rules, first);
    }
    Ok(())
}

/// Adds the first days of rules that have none yet.
fn add_first_days(confirmed: &ConfirmedDays, rules: &[&str], first: &mut BTreeMap<String, Date>) {
    for rule in rules {
        if let Some(date) = confirmed.first_day(rule) {
            first.entry((*rule).to_owned()).or_insert(date);
        }
    }
}

/// The first day of the period on which a rule's sources rose above their baseline.
fn onset(series: &Series, rule: &str) -> Option<Date> {
    let (days, points) = series.points(|date| series.confirmed.sources(date, rule));
    let evaluated = evaluate(&points);
    let rises = (evaluated.events.iter()).filter(|event| event.direction == Direction::Rise);
    let outside = rises.flat_map(|event| &event.days).map(|at| days[*at]);
    outside.filter(|date| series.period.has(*date)).min()
}
