//! What a fingerprint is for beside its own counts, as a rule file says it: which other fingerprints it
//! supersedes, and which fields of other formats and figures it fills.

use std::collections::BTreeSet;

use toml::Spanned;

use super::entry::Fingerprint;
use super::error::RuleError;
use super::file::{self, Text};
use super::place::Place;

/// The field of FlowTuple files that a fingerprint can set.
const FLOWTUPLE_FIELD: &str = "is_masscan";

/// A field of Merit's darknet events that fingerprints set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventField {
    /// `Zmap`
    Zmap,
    /// `Masscan`
    Masscan,
    /// `Mirai`
    Mirai,
}

impl EventField {
    /// Every field, in the order of an event's fields.
    pub const ALL: [Self; 3] = [Self::Zmap, Self::Masscan, Self::Mirai];

    /// The field's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zmap => "Zmap",
            Self::Masscan => "Masscan",
            Self::Mirai => "Mirai",
        }
    }
}

/// Which fields of other formats and figures a fingerprint fills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// The field of darknet events that its packets set.
    pub event_field: Option<EventField>,
    /// It sets `is_masscan` in FlowTuple files.
    pub is_masscan: bool,
    /// Reports divide Telnet scanners by whether they match it.
    pub telnet_mark: bool,
}

impl Uses {
    /// Reads the keys of an entry.
    pub(super) fn of(place: Place<'_>, rule: &file::Fingerprint) -> Result<Self, RuleError> {
        let event_field = (rule.event_field.as_ref())
            .map(|text| {
                let mut all = EventField::ALL.into_iter();
                all.find(|field| field.name() == text.get_ref())
                    .ok_or_else(|| {
                        let names = EventField::ALL.map(EventField::name).join(", ");
                        place.at(text, format!("the event fields are {names}"))
                    })
            })
            .transpose()?;
        let other = |text: &&Text| text.get_ref() != FLOWTUPLE_FIELD;
        if let Some(text) = rule.flowtuple_field.as_ref().filter(other) {
            return Err(place.at(text, format!("the FlowTuple field is {FLOWTUPLE_FIELD}")));
        }
        Ok(Self {
            event_field,
            is_masscan: rule.flowtuple_field.is_some(),
            telnet_mark: rule.telnet_mark,
        })
    }
}

/// Checks what a file's entries supersede: `known` are the names of all fingerprints, also of those
/// that a file disables; `in_force` are those that are not disabled, the file's own among them.
pub(super) fn check_superseding(
    place: Place<'_>,
    entries: &[Spanned<file::Fingerprint>],
    known: &BTreeSet<String>,
    in_force: &[Fingerprint],
) -> Result<(), RuleError> {
    for entry in entries {
        let rule = entry.get_ref();
        let own = rule.name.get_ref();
        for text in &rule.supersedes {
            let name = text.get_ref();
            if name == own {
                return Err(place.at(text, format!("{own:?} cannot supersede itself")));
            }
            if !known.contains(name) {
                let names: Vec<_> = known.iter().map(String::as_str).collect();
                let names = names.join(", ");
                return Err(place.at(
                    text,
                    format!("no fingerprint is called {name:?}: they are {names}"),
                ));
            }
            if leads_to(in_force, name, own) {
                return Err(place.at(
                    text,
                    format!("{own:?} and {name:?} supersede each other: remove one of the two"),
                ));
            }
        }
    }
    Ok(())
}

/// True if a fingerprint supersedes another, by itself or by way of others.
fn leads_to(rules: &[Fingerprint], from: &str, to: &str) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(name) = open.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            let of = rules.iter().filter(|rule| rule.name == name);
            open.extend(of.flat_map(|rule| rule.supersedes.iter().map(String::as_str)));
        }
    }
    false
}
