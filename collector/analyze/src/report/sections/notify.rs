//! T7: sources by AS and country, for notes to their operators.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;
use noctule_page::model::{Cell, Kind, Population, Section};

use crate::report::cells::{int, maybe_int, maybe_text, text};
use crate::report::chosen::{Chosen, Values, port_of};
use crate::report::context::Context;
use crate::report::pseudonym::Pseudonyms;
use crate::report::questions;
use crate::report::rows::{Row, Rows};
use crate::report::table_builder::{TableBuilder, remark, section as new_section};
use crate::selectors::{NotifySelector, unique};

/// A source with the cells of its row.
struct Source {
    asn: Option<i64>,
    country: String,
    address: IpAddr,
    packets: i64,
    /// From `first_seen` on.
    cells: [Cell; 5],
}

impl Source {
    fn of(row: Row<'_>, address: IpAddr) -> Result<Self> {
        let time = |name: &str| -> Result<Cell> {
            Ok(maybe_text(row.time(name)?.map(|time| time.to_string())))
        };
        let packets = row.int("packets")?;
        Ok(Self {
            asn: row.maybe_int("asn")?,
            country: row.text("country")?.to_owned(),
            address,
            packets,
            cells: [
                time("first_seen")?,
                time("last_seen")?,
                maybe_int(row.maybe_int("last_source_port")?),
                int(packets),
                maybe_text(row.maybe_text("rule")?),
            ],
        })
    }

    /// AS and country; sources without an AS come last.
    fn operator(&self) -> (bool, Option<i64>, &str) {
        (self.asn.is_none(), self.asn, &self.country)
    }
}

/// Makes the section.
pub fn section(context: &Context<'_>) -> Result<Section> {
    let mut section = new_section();
    let selectors = unique(&context.args.notify);
    if selectors.is_empty() {
        section.notes.push(remark("notify-not-asked"));
        return Ok(section);
    }
    let key = context.args.pseudonymise.as_deref();
    let key = key.map(Pseudonyms::read).transpose()?;
    if key.is_some() {
        section.notes.push(remark("pseudonymised"));
    }
    let (of_ports, of_rules) = rows(context, &selectors)?;
    for selector in &selectors {
        let rows = match selector {
            NotifySelector::Port(_) => &of_ports,
            NotifySelector::Rule(_) => &of_rules,
        };
        let mut sources = Vec::new();
        for row in rows.iter() {
            let is_selected = match selector {
                NotifySelector::Port(port) => port_of(row)? == *port,
                NotifySelector::Rule(rule) => row.text("rule")? == rule,
            };
            if is_selected && let Some(address) = row.source()? {
                let address = key.as_ref().map_or(address, |key| key.of(address));
                sources.push(Source::of(row, address)?);
            }
        }
        // Sorted after pseudonyms are given: the order of the addresses must not show.
        sources.sort_by(|a, b| {
            let address = a.address.cmp(&b.address);
            a.operator().cmp(&b.operator()).then(address)
        });
        let (name, kind, value) = match selector {
            NotifySelector::Port(port) => ("port", Kind::Port, text(port.to_string())),
            NotifySelector::Rule(rule) => ("rule", Kind::Text, text(rule)),
        };
        for table in [by_operator(&sources), listed(sources)] {
            let table = table.suffix(&selector.slug());
            let table = table.arg(name, kind, value.clone());
            section.tables.push(table.build());
        }
    }
    Ok(section)
}

/// Sources of the ports, and of the rules, among selectors.
fn rows(context: &Context<'_>, selectors: &[NotifySelector]) -> Result<(Rows, Rows)> {
    let (mut ports, mut rules) = (Vec::new(), Vec::new());
    for selector in selectors {
        match selector {
            NotifySelector::Port(port) => ports.push(port.clone()),
            NotifySelector::Rule(rule) => rules.push(rule.clone()),
        }
    }
    let (database, span) = (&context.database, context.span());
    let of_ports = match ports.is_empty() {
        true => Rows::default(),
        false => database.execute(&questions::NOTIFY_PORTS, span, &[Chosen::ports(&ports)])?,
    };
    let of_rules = match rules.is_empty() {
        true => Rows::default(),
        false => {
            let chosen = Chosen::new("chosen_rules", vec![("rule", Values::Texts(rules))]);
            database.execute(&questions::NOTIFY_RULES, span, &[chosen])?
        }
    };
    Ok((of_ports, of_rules))
}

/// Number of sources and their packets by AS and country.
fn by_operator(sources: &[Source]) -> TableBuilder {
    let mut operators: BTreeMap<_, (i64, i64)> = BTreeMap::new();
    for source in sources {
        let sums = operators.entry(source.operator()).or_default();
        *sums = (sums.0 + 1, sums.1 + source.packets);
    }
    let rows = operators.into_iter();
    let rows = rows.map(|((_, asn, country), (sources, packets))| {
        vec![maybe_int(asn), text(country), int(sources), int(packets)]
    });
    TableBuilder::new("t7-systems", Population::All)
        .columns(&[
            ("asn", Kind::Asn),
            ("country", Kind::Country),
            ("sources", Kind::Count),
            ("packets", Kind::Count),
        ])
        .rows(rows)
}

/// The sources themselves.
fn listed(sources: Vec<Source>) -> TableBuilder {
    let rows = sources.into_iter().map(|source| {
        let mut row = vec![
            maybe_int(source.asn),
            text(source.country),
            text(source.address.to_string()),
        ];
        row.extend(source.cells);
        row
    });
    TableBuilder::new("t7-sources", Population::All)
        .columns(&[
            ("asn", Kind::Asn),
            ("country", Kind::Country),
            ("source", Kind::Text),
            ("first_seen", Kind::Time),
            ("last_seen", Kind::Time),
            ("last_source_port", Kind::Count),
            ("packets", Kind::Count),
            ("rule", Kind::Text),
        ])
        .rows(rows)
}
