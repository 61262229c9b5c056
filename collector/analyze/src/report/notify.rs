//! T7: sources by AS and country, for those who tell their operators.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use noctule_page::model::{Cell, Kind, Population, Section, Table, Value};

use super::Frame;
use super::context::{Context, Values};
use super::pseudonym::Pseudonyms;
use super::questions;
use super::ranks::port_of;
use super::regions::choose_ports;
use super::rows::{Row, Rows};
use super::table_builder::{self, Build as _, int, maybe_int, note, text, value};
use crate::selectors::{Subject, unique};

/// A source with what is told of it.
struct Told {
    asn: Option<i64>,
    country: String,
    source: IpAddr,
    row: [Cell; 5],
    packets: i64,
}

/// The source of a row; none where it has none.
///
/// # Errors
/// Octets that are no address.
pub fn address(row: Row<'_>) -> Result<Option<IpAddr>> {
    if let Some(source) = row.maybe_int("source4")? {
        let source = u32::try_from(source).context("an IPv4 address")?;
        return Ok(Some(Ipv4Addr::from(source).into()));
    }
    let octets = row.octets("source6")?.map(<[u8; 16]>::try_from).transpose();
    let octets = octets.context("an IPv6 address has 16 octets")?;
    Ok(octets.map(|octets| Ipv6Addr::from(octets).into()))
}

/// The section.
///
/// # Errors
/// A store that cannot be reached, memory that does not suffice, a key that is none.
pub fn section(context: &mut Context<'_>, frame: &Frame<'_>) -> Result<Section> {
    let mut section = table_builder::section("t7");
    let subjects = unique(&frame.args.notify);
    if subjects.is_empty() {
        section
            .notes
            .push(note("notify-not-asked", false, Vec::new()));
        return Ok(section);
    }
    let key = frame
        .args
        .pseudonymise
        .as_deref()
        .map(Pseudonyms::read)
        .transpose()?;
    if key.is_some() {
        section.notes.push(note("pseudonymised", false, Vec::new()));
    }
    let mut ports = Vec::new();
    let mut rules = Vec::new();
    for subject in &subjects {
        match subject {
            Subject::Port(port) => ports.push(port.clone()),
            Subject::Rule(rule) => rules.push(rule.clone()),
        }
    }
    let (from, to) = (frame.period.from, frame.period.to);
    choose_ports(context, &ports)?;
    let of_ports = match ports.is_empty() {
        true => Rows::default(),
        false => context.execute(&questions::NOTIFY_PORTS, from, to)?,
    };
    context.choose_table("chosen_rules", vec![("rule", Values::Texts(rules.clone()))])?;
    let of_rules = match rules.is_empty() {
        true => Rows::default(),
        false => context.execute(&questions::NOTIFY_RULES, from, to)?,
    };
    for subject in &subjects {
        let mut all = Vec::new();
        let rows = match subject {
            Subject::Port(_) => &of_ports,
            Subject::Rule(_) => &of_rules,
        };
        for row in rows.iter() {
            let wanted = match subject {
                Subject::Port(port) => port_of(row)? == *port,
                Subject::Rule(rule) => row.text("rule")? == rule,
            };
            if wanted && let Some(source) = address(row)? {
                let source = key.as_ref().map_or(source, |key| key.of(source));
                all.push(told(row, source)?);
            }
        }
        // Pseudonyms must not stand in the order of the addresses.
        all.sort_by(|a, b| {
            let key = |told: &Told| {
                (
                    told.asn.is_none(),
                    told.asn,
                    told.country.clone(),
                    told.source,
                )
            };
            key(a).cmp(&key(b))
        });
        section.tables.extend(tables(subject, all));
    }
    Ok(section)
}

fn told(row: Row<'_>, source: IpAddr) -> Result<Told> {
    let time = |name: &str| -> Result<Cell> {
        Ok(row
            .time(name)?
            .map_or(Cell::Missing, |time| text(time.to_string())))
    };
    let packets = row.int("packets")?;
    Ok(Told {
        asn: row.maybe_int("asn")?,
        country: row.text("country")?.to_owned(),
        source,
        row: [
            time("first_seen")?,
            time("last_seen")?,
            maybe_int(row.maybe_int("last_source_port")?),
            int(packets),
            row.maybe_text("rule")?.map_or(Cell::Missing, text),
        ],
        packets,
    })
}

/// Sources by AS, and the sources themselves.
fn tables(subject: &Subject, all: Vec<Told>) -> [Table; 2] {
    let about = |table: Table| {
        let (name, about): (&str, Value) = match subject {
            Subject::Port(port) => ("port", value(Kind::Port, table_builder::port(port))),
            Subject::Rule(rule) => ("rule", value(Kind::Text, text(rule))),
        };
        table.arg(name, about)
    };
    let mut systems: BTreeMap<(bool, Option<i64>, String), (i64, i64)> = BTreeMap::new();
    let mut sources =
        table_builder::table("t7-sources", &subject.slug(), Population::All).columns(&[
            ("asn", Kind::Asn),
            ("country", Kind::Country),
            ("source", Kind::Text),
            ("first_seen", Kind::Time),
            ("last_seen", Kind::Time),
            ("last_source_port", Kind::Count),
            ("packets", Kind::Count),
            ("rule", Kind::Text),
        ]);
    for told in all {
        let key = (told.asn.is_none(), told.asn, told.country.clone());
        let system = systems.entry(key).or_default();
        *system = (system.0 + 1, system.1 + told.packets);
        let mut row = vec![
            maybe_int(told.asn),
            text(told.country),
            text(told.source.to_string()),
        ];
        row.extend(told.row);
        sources.rows.push(row);
    }
    let mut by_system = table_builder::table("t7-systems", &subject.slug(), Population::All)
        .columns(&[
            ("asn", Kind::Asn),
            ("country", Kind::Country),
            ("sources", Kind::Count),
            ("packets", Kind::Count),
        ]);
    by_system.rows = (systems.into_iter())
        .map(|((_, asn, country), (sources, packets))| {
            vec![maybe_int(asn), text(country), int(sources), int(packets)]
        })
        .collect();
    [about(by_system), about(sources)]
}
