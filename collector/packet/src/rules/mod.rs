//! The rules as data: classes, reflection ports, bogons and fingerprints, from TOML files.
//!
//! [`Rules`] is what a rule file becomes: tables and gates that cost a packet little. The shipped
//! file is `shipped.toml`; an operator's file extends it. See there for how a rule is written.

mod bogons;
pub mod columns;
pub mod condition;
pub mod confirm;
pub mod error;
mod expression;
pub mod field;
mod file;
#[cfg(test)]
mod file_tests;
pub mod language;
mod lexer;
mod load;
mod matcher;
mod place;
#[cfg(test)]
mod tests;
mod uses;

use std::sync::{Arc, LazyLock};

use crate::cell::Class;
use crate::decode::Source;
use bogons::Bogons;
use columns::{Columns, LANES};
use condition::{Answer, Condition, Number};
pub use confirm::CONFIRMING_PACKETS;
pub use error::RuleError;
use expression::Expression;
#[cfg(test)]
use expression::fold;
pub use field::{Field, Probe};
use matcher::Matcher;
pub use uses::{EventField, Uses};

/// Most fingerprints in force at once: each has a bit.
pub const MOST_FINGERPRINTS: usize = 32;
/// Most rules with both `when` and `constant`.
pub const MOST_CONSTANTS: usize = 4;
/// Most rules with `constant` alone: each has a place in every flow row.
pub const SLOTS: usize = 3;

const _: () = assert!(
    MOST_CONSTANTS <= 4 && SLOTS <= 4,
    "their values share a word"
);

/// Up to [`LANES`] probes that are judged at once, each in its lane.
pub type Probes<'a> = [Option<Probe<'a>>; LANES];

/// A file of rules.
#[derive(Clone, Copy, Debug)]
pub struct RuleFile<'a> {
    /// What messages call it.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// How a fingerprint's expression is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// There is none.
    Nowhere,
    /// As MIN and MAX beside the hits of the packets that match; its number.
    WithHits(usize),
    /// As MIN and MAX of 16 bits over all probes, in the flow row; its number.
    InFlows(usize),
}

/// One fingerprint.
#[derive(Clone, Debug)]
pub struct Fingerprint {
    /// Its name in every table.
    pub name: String,
    /// Raised whenever what it matches changes.
    pub version: u16,
    /// Which probes match, as it is written; none: all.
    pub when: Option<String>,
    /// What must be constant over a source's matching packets, as it is written.
    pub constant: Option<String>,
    /// Packets are only given for confirmed sources: one packet alone says too little.
    pub confirmed_only: bool,
    /// A random probe matches with chance 2^-N; for `constant` alone, a second random probe fits
    /// the first with that chance.
    pub chance_bits: u32,
    /// Where the rule comes from.
    pub source: String,
    /// Name of the file that it stands in.
    pub file: String,
    /// Names of the fingerprints whose source a source is not that this one is confirmed for.
    pub supersedes: Vec<String>,
    /// Which fields of other formats and figures it fills.
    pub uses: Uses,
    /// How its expression is carried.
    pub carried: Carried,
    condition: Option<Condition>,
    expression: Option<Number>,
}

/// A port at which UDP reflectors answer.
#[derive(Clone, Debug)]
pub struct Reflection {
    /// UDP source port.
    pub port: u16,
    /// Name of the protocol.
    pub name: String,
    /// Which payloads are answers, as it is written.
    pub answer: String,
    /// Why it is listed.
    pub reason: String,
    /// Name of the file that it stands in.
    pub file: String,
    condition: Condition,
}

/// An entry of the class table: which TCP flags or ICMP types are of a class.
#[derive(Clone, Debug)]
pub struct ClassRule {
    /// `tcp`, `icmp` or `icmpv6`.
    pub protocol: &'static str,
    /// The class.
    pub class: Class,
    /// The flags or types, as they are written.
    pub which: String,
    /// Why.
    pub reason: String,
}

/// What fingerprints found in one probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleMatches {
    /// A bit per fingerprint with `when` that matched, by its place in [`Rules::fingerprints`].
    pub bits: u32,
    /// Values of the expressions of matching fingerprints, folded to 16 bits; others are 0.
    pub constants: Values,
    /// Values of the expressions over all probes, folded to 16 bits; a field that was cut off counts
    /// as 0, so that a cut probe can refute a source but never confirms one that was not looked at.
    pub slots: Values,
}

/// Up to four values of 16 bits, packed into one word: narrow stores that are read back as a wide
/// one would stall the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values(u64);

impl Values {
    /// The value in this place, below 4.
    #[inline]
    pub const fn get(self, place: usize) -> u16 {
        (self.0 >> (place * 16 % 64)) as u16
    }

    /// These values, at most four.
    pub fn new(values: &[u16]) -> Self {
        let mut all = Self::default();
        for (place, &value) in values.iter().enumerate() {
            all.put(place, value);
        }
        all
    }

    /// Puts a value into a place that is 0.
    #[inline]
    const fn put(&mut self, place: usize, value: u16) {
        self.0 |= (value as u64) << (place * 16 % 64);
    }
}

impl RuleMatches {
    /// The slots as one word, the first in its lowest bits, and behind them this value.
    #[inline]
    pub const fn with_slots(&self, value: u16) -> u64 {
        self.slots.0 | (value as u64) << (16 * SLOTS)
    }

    /// The places of the fingerprints that matched, ascending.
    #[inline]
    pub fn places(self) -> impl Iterator<Item = usize> {
        Self::places_of(self.bits)
    }

    /// The places of the bits that are set, ascending.
    #[inline]
    pub fn places_of(mut bits: u32) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || {
            let place = bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            (place < 32).then_some(place)
        })
    }
}

/// The rules in force.
#[derive(Debug)]
pub struct Rules {
    version: String,
    fingerprints: Vec<Fingerprint>,
    classes: Vec<ClassRule>,
    reflections: Vec<Reflection>,
    bogons: Bogons,
    tcp: [Class; 256],
    icmp: [Class; 256],
    icmpv6: [Class; 256],
    /// A bit per UDP source port that has a reflection rule.
    reflecting: Box<[u64; 1024]>,
    matcher: Matcher,
    /// Fingerprints with both `when` and `constant`, a bit each.
    constant_bits: u32,
    constants: Vec<(u32, Expression)>,
    slots: Vec<Expression>,
}

impl Rules {
    /// The shipped rules alone.
    ///
    /// # Panics
    /// The shipped file is broken, which a test rules out.
    #[expect(clippy::expect_used, reason = "part of the program, and tested")]
    pub fn shipped() -> Arc<Self> {
        static SHIPPED: LazyLock<Arc<Rules>> =
            LazyLock::new(|| Arc::new(Rules::load(None).expect("the shipped rules are valid")));
        Arc::clone(&SHIPPED)
    }

    /// Name and version of this set: the shipped file's number and 8 hexadecimal digits of a
    /// SHA-256 over all files.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The fingerprints; a fingerprint's place is its bit in [`RuleMatches::bits`].
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &self.fingerprints
    }

    /// The class table.
    pub fn classes(&self) -> &[ClassRule] {
        &self.classes
    }

    /// The reflection ports, ascending.
    pub fn reflections(&self) -> &[Reflection] {
        &self.reflections
    }

    /// Address space that nobody can be in: prefix and reason, in address order.
    pub fn bogons(&self) -> &[(ipnet::IpNet, String)] {
        self.bogons.list()
    }

    /// Is this an address that nobody can have?
    pub fn is_bogon(&self, source: Source) -> bool {
        self.bogons.contains(source)
    }

    /// The fingerprint with this name, and its place.
    pub fn find(&self, name: &str) -> Option<(usize, &Fingerprint)> {
        (self.fingerprints.iter().enumerate()).find(|(_, rule)| rule.name == name)
    }

    /// Class of a TCP packet by its flags.
    #[inline]
    pub const fn tcp_class(&self, flags: u8) -> Class {
        self.tcp[flags as usize]
    }

    /// Class of an ICMP packet by its type.
    #[inline]
    pub const fn icmp_class(&self, kind: u8) -> Class {
        self.icmp[kind as usize]
    }

    /// Class of an ICMPv6 packet by its type.
    #[inline]
    pub const fn icmpv6_class(&self, kind: u8) -> Class {
        self.icmpv6[kind as usize]
    }

    /// Class of a UDP packet.
    ///
    /// `length` is UDP's own length field (header included); `payload` is what was captured. Where
    /// a payload ends before the octet that decides, it is an answer if it was cut, and none if it
    /// was never longer.
    #[inline]
    pub fn udp_class(&self, source_port: u16, length: u16, payload: &[u8]) -> Class {
        if self.reflecting[usize::from(source_port >> 6)] >> (source_port & 63) & 1 == 0 {
            return Class::Scan;
        }
        self.answer_class(source_port, length, payload)
    }

    fn answer_class(&self, source_port: u16, length: u16, payload: &[u8]) -> Class {
        let place = (self.reflections).binary_search_by_key(&source_port, |rule| rule.port);
        let Ok(place) = place else {
            return Class::Scan;
        };
        let claimed = usize::from(length.saturating_sub(8));
        let answer = Answer {
            payload: &payload[..payload.len().min(claimed)],
            claimed: claimed as u32,
        };
        match self.reflections[place].condition.holds(&answer) {
            Some(true) => Class::Backscatter,
            None if payload.len() < claimed => Class::Backscatter,
            Some(false) | None => Class::Scan,
        }
    }

    /// Judges a probe by all fingerprints.
    pub fn match_probe(&self, probe: &Probe<'_>) -> RuleMatches {
        let (mut columns, mut probes) = (Columns::default(), [None; LANES]);
        columns.put(0, probe);
        probes[0] = Some(*probe);
        let [first, ..] = self.match_probes(&columns, &probes);
        first
    }

    /// Judges up to [`LANES`] probes at once; lanes without a probe get matches that mean nothing.
    /// Each probe must stand in its lane of `columns`.
    #[inline]
    pub fn match_probes(&self, columns: &Columns, probes: &Probes<'_>) -> [RuleMatches; LANES] {
        let bits = self.matcher.matching(columns, probes);
        let mut matches: [RuleMatches; LANES] = std::array::from_fn(|lane| RuleMatches {
            bits: bits[lane],
            ..RuleMatches::default()
        });
        for (lane, probe) in probes.iter().enumerate() {
            if let Some(probe) = probe.filter(|probe| !probe.is_whole()) {
                matches[lane].bits = self.match_truncated(&probe);
            }
        }
        for (place, (bit, expression)) in self.constants.iter().enumerate() {
            let values = expression.folded(columns, probes);
            for (matches, value) in matches.iter_mut().zip(values) {
                let value = if matches.bits & bit == 0 { 0 } else { value };
                matches.constants.put(place, value as u16);
            }
        }
        for (slot, expression) in self.slots.iter().enumerate() {
            let values = expression.folded(columns, probes);
            for (matches, value) in matches.iter_mut().zip(values) {
                matches.slots.put(slot, value as u16);
            }
        }
        matches
    }

    /// The fingerprints that a probe matches whose header is cut.
    #[cold]
    fn match_truncated(&self, probe: &Probe<'_>) -> u32 {
        (self.fingerprints.iter().enumerate())
            .filter(|(_, rule)| rule.matches(probe))
            .fold(0, |bits, (place, _)| bits | 1 << place)
    }

    /// Of these fingerprints, those with both `when` and `constant`; a bit each.
    #[inline]
    pub const fn with_expression(&self, bits: u32) -> u32 {
        bits & self.constant_bits
    }

    /// The first of these fingerprints that has both `when` and `constant`.
    #[inline]
    pub fn first_with_expression(&self, bits: u32) -> Option<usize> {
        RuleMatches::places_of(self.with_expression(bits)).next()
    }

    /// Where that fingerprint's value stands in [`RuleMatches::constants`]; none where there is none.
    pub fn value_place(&self, bits: u32) -> Option<usize> {
        let place = self.first_with_expression(bits)?;
        match self.fingerprints[place].carried {
            Carried::WithHits(number) => Some(number),
            _ => None,
        }
    }

    /// Fingerprints whose expression is carried in flow rows, with its number there.
    pub fn carried_in_flows(&self) -> impl Iterator<Item = (usize, &Fingerprint)> {
        self.fingerprints
            .iter()
            .filter_map(|rule| match rule.carried {
                Carried::InFlows(number) => Some((number, rule)),
                _ => None,
            })
    }

    /// Fingerprints without a predicate: every probe costs them a full look.
    pub fn without_predicate(&self) -> impl Iterator<Item = &Fingerprint> {
        RuleMatches::places_of(self.matcher.open()).map(|place| &self.fingerprints[place])
    }
}

impl Fingerprint {
    /// Does this probe fulfil `when`? A rule without one matches no packet by itself.
    pub fn matches(&self, probe: &Probe<'_>) -> bool {
        let holds = |condition: &Condition| condition.holds(probe) == Some(true);
        self.condition.as_ref().is_some_and(holds) && self.value(probe).is_some()
    }

    /// The value of its expression for a probe: 0 without one, none where the probe lacks a field.
    pub fn value(&self, probe: &Probe<'_>) -> Option<u32> {
        match &self.expression {
            Some(expression) => expression.value(probe),
            None => Some(0),
        }
    }
}
