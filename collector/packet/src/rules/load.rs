//! Loads [`Rules`] from rule files: all files are checked before any rule is in force.

use std::collections::BTreeSet;

use std::sync::{Arc, LazyLock};

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use toml::Spanned;

use super::bogons::Bogons;
use super::condition::{Flags, Number};
use super::entry::{Carried, ClassRule, Fingerprint, Reflection};
use super::error::RuleError;
use super::expression::Expression;
use super::file::{self, File, Text};
use super::language::{self, About};
use super::matcher::Matcher;
use super::matches::{MOST_CONSTANTS, MOST_FINGERPRINTS, SLOTS};
use super::place::{Place, RuleFile};
use super::set::Rules;
use super::uses::{self, Uses};
use crate::cell::Class;

/// The shipped rules.
const SHIPPED: RuleFile<'_> = RuleFile {
    name: "shipped rules",
    text: include_str!("shipped.toml"),
};
/// Longest rule file, octets.
const LONGEST_FILE: usize = 1 << 20;

impl Rules {
    /// The shipped rules alone.
    ///
    /// # Panics
    /// If the shipped file is invalid, which a test excludes.
    #[expect(clippy::expect_used, reason = "part of the program, and tested")]
    pub fn shipped() -> Arc<Self> {
        static SHIPPED: LazyLock<Arc<Rules>> =
            LazyLock::new(|| Arc::new(Rules::load(None).expect("the shipped rules are valid")));
        Arc::clone(&SHIPPED)
    }

    /// The shipped rules, and an operator's file that extends them.
    ///
    /// # Errors
    /// The first mistake in the operator's file, with line and column.
    pub fn load(extra: Option<RuleFile<'_>>) -> Result<Self, RuleError> {
        let files: Vec<_> = [Some(SHIPPED), extra].into_iter().flatten().collect();
        Self::parse(&files)
    }

    /// Rules from these files alone; the first must hold the class table.
    ///
    /// # Errors
    /// The first mistake, with line and column.
    pub fn parse(files: &[RuleFile<'_>]) -> Result<Self, RuleError> {
        let mut loader = Loader::default();
        for (number, file) in files.iter().enumerate() {
            loader.add(file, number == 0)?;
        }
        Ok(loader.finish())
    }
}

#[derive(Default)]
struct Loader {
    version: i64,
    digest: Sha256,
    classes: Vec<ClassRule>,
    tables: Tables,
    reflections: Vec<Reflection>,
    bogons: Vec<(IpNet, String)>,
    fingerprints: Vec<Fingerprint>,
    /// Names of all fingerprints, also of those that a file disables.
    known: BTreeSet<String>,
}

struct Tables {
    tcp: [Class; 256],
    icmp: [Class; 256],
    icmpv6: [Class; 256],
}

impl Default for Tables {
    fn default() -> Self {
        let other = [Class::Other; 256];
        Self {
            tcp: other,
            icmp: other,
            icmpv6: other,
        }
    }
}

impl Loader {
    fn add(&mut self, rule_file: &RuleFile<'_>, first: bool) -> Result<(), RuleError> {
        let place = Place::of(*rule_file);
        if rule_file.text.len() > LONGEST_FILE {
            return Err(place.error(0, format!("the file is longer than {LONGEST_FILE} octets")));
        }
        let file: File = toml::from_str(rule_file.text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            place.error(offset, error.message().trim())
        })?;
        let version: u32 = place.small(&file.version, "a version")?;
        if first {
            self.version = version.into();
        }
        self.digest
            .update((rule_file.text.len() as u64).to_be_bytes());
        self.digest.update(rule_file.text);
        for name in &file.disable {
            self.disable(place, name)?;
        }
        for class in &file.class {
            if !first {
                return Err(place.at(
                    class,
                    "[[class]] cannot be changed: counts of different sensors could not be compared any more; remove it",
                ));
            }
            self.class(place, class.get_ref())?;
        }
        for reflection in &file.reflection {
            self.reflection(place, reflection.get_ref())?;
        }
        for bogon in &file.bogon {
            self.bogon(place, bogon)?;
        }
        for fingerprint in &file.fingerprint {
            self.fingerprint(place, fingerprint)?;
        }
        uses::check_superseding(place, &file.fingerprint, &self.known, &self.fingerprints)
    }

    fn disable(&mut self, place: Place<'_>, name: &Text) -> Result<(), RuleError> {
        let before = self.fingerprints.len();
        self.fingerprints
            .retain(|rule| rule.name != *name.get_ref());
        if self.fingerprints.len() == before {
            let names: Vec<_> = self
                .fingerprints
                .iter()
                .map(|rule| rule.name.as_str())
                .collect();
            return Err(place.at(
                name,
                format!(
                    "no shipped fingerprint is called {:?}: they are {}",
                    name.get_ref(),
                    names.join(", ")
                ),
            ));
        }
        Ok(())
    }

    fn class(&mut self, place: Place<'_>, rule: &file::Class) -> Result<(), RuleError> {
        let class = Class::ALL
            .into_iter()
            .find(|class| class.name() == rule.class.get_ref())
            .ok_or_else(|| place.at(&rule.class, "the class is scan, backscatter or other"))?;
        let reason = place.filled(&rule.reason, "the reason")?;
        let (protocol, table, which) = match rule.protocol.get_ref().as_str() {
            "tcp" => {
                let Some(when) = &rule.when else {
                    return Err(place.at(&rule.protocol, "a class of tcp needs `when`"));
                };
                let condition = language::condition(when.get_ref(), About::Flags)
                    .map_err(|mistake| place.within(when, mistake))?;
                let of: Vec<u8> = (0..=255)
                    .filter(|&flags| condition.holds(&Flags(flags)) == Some(true))
                    .collect();
                ("tcp", &mut self.tables.tcp, (of, when.get_ref().clone()))
            }
            name @ ("icmp" | "icmpv6") => {
                let Some(types) = &rule.types else {
                    return Err(
                        place.at(&rule.protocol, format!("a class of {name} needs `types`"))
                    );
                };
                let of = (types.iter())
                    .map(|kind| place.small::<u8>(kind, "a type"))
                    .collect::<Result<Vec<_>, _>>()?;
                let which = of.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
                if name == "icmp" {
                    ("icmp", &mut self.tables.icmp, (of, which))
                } else {
                    ("icmpv6", &mut self.tables.icmpv6, (of, which))
                }
            }
            _ => return Err(place.at(&rule.protocol, "the protocol is tcp, icmp or icmpv6")),
        };
        for kind in which.0 {
            // The first match wins.
            let cell = &mut table[usize::from(kind)];
            if *cell == Class::Other {
                *cell = class;
            }
        }
        self.classes.push(ClassRule {
            protocol,
            class,
            which: which.1,
            reason,
        });
        Ok(())
    }

    fn reflection(&mut self, place: Place<'_>, rule: &file::Reflection) -> Result<(), RuleError> {
        let port: u16 = place.small(&rule.port, "a port")?;
        if self.reflections.iter().any(|other| other.port == port) {
            return Err(place.at(
                &rule.port,
                format!("port {port} has a reflection rule already: remove one"),
            ));
        }
        let condition = language::condition(rule.answer.get_ref(), About::Answer)
            .map_err(|mistake| place.within(&rule.answer, mistake))?;
        self.reflections.push(Reflection {
            port,
            name: place.name(&rule.name)?,
            answer: rule.answer.get_ref().clone(),
            reason: place.filled(&rule.reason, "the reason")?,
            file: place.file.name.to_owned(),
            condition,
        });
        Ok(())
    }

    fn bogon(&mut self, place: Place<'_>, rule: &file::Bogon) -> Result<(), RuleError> {
        let text = rule.prefix.get_ref();
        let prefix: IpNet = text.parse().map_err(|_| {
            place.at(
                &rule.prefix,
                format!("{text:?} is no prefix: write ADDRESS/LENGTH, as 10.0.0.0/8"),
            )
        })?;
        if prefix.trunc() != prefix {
            return Err(place.at(
                &rule.prefix,
                format!(
                    "{prefix} has bits set after its length: did you mean {}?",
                    prefix.trunc()
                ),
            ));
        }
        if self.bogons.iter().any(|(other, _)| *other == prefix) {
            return Err(place.at(
                &rule.prefix,
                format!("{prefix} is listed already: remove one"),
            ));
        }
        self.bogons
            .push((prefix, place.filled(&rule.reason, "the reason")?));
        Ok(())
    }

    fn fingerprint(
        &mut self,
        place: Place<'_>,
        spanned: &Spanned<file::Fingerprint>,
    ) -> Result<(), RuleError> {
        let rule = spanned.get_ref();
        let name = place.name(&rule.name)?;
        if let Some(other) = self.fingerprints.iter().find(|other| other.name == name) {
            return Err(place.at(
                &rule.name,
                format!(
                    "{name:?} stands in {} already: take another name, or add disable = [{name:?}]",
                    other.file
                ),
            ));
        }
        if self.fingerprints.len() == MOST_FINGERPRINTS {
            return Err(place.at(
                &rule.name,
                format!("more than {MOST_FINGERPRINTS} fingerprints: disable some of the shipped ones with disable = [\"NAME\"]"),
            ));
        }
        let condition = (rule.when.as_ref())
            .map(|when| {
                language::condition(when.get_ref(), About::Probe)
                    .map_err(|mistake| place.within(when, mistake))
            })
            .transpose()?;
        let expression = (rule.constant.as_ref())
            .map(|constant| {
                language::number(constant.get_ref(), About::Probe)
                    .map_err(|mistake| place.within(constant, mistake))
            })
            .transpose()?;
        let carried = self.carried(place, rule)?;
        let chance_bits: u32 = place.small(&rule.chance_bits, "chance_bits")?;
        let confirmed_only =
            match rule.packets.as_ref() {
                None => condition.is_none(),
                Some(text) => match text.get_ref().as_str() {
                    "confirmed" => true,
                    "matching" if condition.is_some() => false,
                    "matching" => return Err(place.at(
                        text,
                        "without `when` no packet matches by itself: write packets = \"confirmed\"",
                    )),
                    _ => return Err(place.at(text, "packets is \"matching\" or \"confirmed\"")),
                },
            };
        self.known.insert(name.clone());
        let supersedes = rule.supersedes.iter().map(|text| text.get_ref().clone());
        self.fingerprints.push(Fingerprint {
            name,
            version: place.small(&rule.version, "a version")?,
            when: rule.when.as_ref().map(|text| text.get_ref().clone()),
            constant: rule.constant.as_ref().map(|text| text.get_ref().clone()),
            confirmed_only,
            chance_bits,
            source: place.filled(&rule.source, "the source")?,
            file: place.file.name.to_owned(),
            supersedes: supersedes.collect(),
            uses: Uses::of(place, rule)?,
            carried,
            condition,
            number: expression,
        });
        Ok(())
    }

    /// Where the values of a new fingerprint's expression are kept.
    fn carried(&self, place: Place<'_>, rule: &file::Fingerprint) -> Result<Carried, RuleError> {
        let taken = |kind: fn(Carried) -> Option<usize>| {
            let used: Vec<_> = self
                .fingerprints
                .iter()
                .filter_map(|rule| kind(rule.carried))
                .collect();
            (0..)
                .find(|number| !used.contains(number))
                .unwrap_or(usize::MAX)
        };
        match (&rule.when, &rule.constant) {
            (Some(_), None) => Ok(Carried::Nowhere),
            (Some(_), Some(constant)) => {
                let number = taken(|carried| match carried {
                    Carried::WithHits(number) => Some(number),
                    _ => None,
                });
                if number >= MOST_CONSTANTS {
                    return Err(place.at(constant, format!("at most {MOST_CONSTANTS} fingerprints can have both `when` and `constant`: disable one")));
                }
                Ok(Carried::WithHits(number))
            }
            (None, Some(constant)) => {
                let number = taken(|carried| match carried {
                    Carried::InFlows(number) => Some(number),
                    _ => None,
                });
                if number >= SLOTS {
                    return Err(place.at(constant, format!("at most {SLOTS} fingerprints can have `constant` without `when`: add a `when`, or disable one")));
                }
                Ok(Carried::InFlows(number))
            }
            (None, None) => Err(place.at(
                &rule.name,
                "a fingerprint needs `when`, `constant`, or both",
            )),
        }
    }

    fn finish(mut self) -> Rules {
        let digest = format!("{:.8x}", self.digest.finalize());
        self.reflections.sort_by_key(|rule| rule.port);
        let mut reflecting = Box::new([0u64; 1024]);
        for rule in &self.reflections {
            reflecting[usize::from(rule.port >> 6)] |= 1 << (rule.port & 63);
        }
        let mut matcher = Matcher::default();
        let mut constants: Vec<(u32, Expression)> = Vec::new();
        let mut slots: Vec<Option<&Number>> = Vec::new();
        for (place, rule) in self.fingerprints.iter().enumerate() {
            matcher.add(rule.condition.as_ref(), rule.number.as_ref());
            match (rule.carried, &rule.number) {
                (Carried::WithHits(number), Some(expression)) => {
                    let nothing = || (0, Expression::of(&Number::Constant(0)));
                    constants.resize_with(constants.len().max(number + 1), nothing);
                    constants[number] = (1 << place, Expression::of(expression));
                }
                (Carried::InFlows(number), Some(expression)) => {
                    slots.resize(slots.len().max(number + 1), None);
                    slots[number] = Some(expression);
                }
                _ => {}
            }
        }
        let constant_bits = constants.iter().fold(0, |bits, (bit, _)| bits | bit);
        let zero = Number::Constant(0);
        let slots = (slots
            .iter()
            .map(|slot| Expression::of(slot.unwrap_or(&zero))))
        .collect();
        Rules {
            version: format!("{}-{digest}", self.version),
            constants,
            slots,
            constant_bits,
            matcher,
            fingerprints: self.fingerprints,
            classes: self.classes,
            reflections: self.reflections,
            bogons: Bogons::new(self.bogons),
            tcp: self.tables.tcp,
            icmp: self.tables.icmp,
            icmpv6: self.tables.icmpv6,
            reflecting,
        }
    }
}
