//! The rules in force, as lookup tables and predicates.

use super::bogons::Bogons;
use super::columns::{Columns, LANES, Probes};
use super::condition::Answer;
use super::entry::{Carried, ClassRule, Fingerprint, Reflection};
use super::expression::Expression;
use super::field::Probe;
use super::matcher::Matcher;
use super::matches::RuleMatches;
use crate::cell::Class;
use crate::source::Source;

/// The rules in force.
#[derive(Debug)]
pub struct Rules {
    pub(super) version: String,
    pub(super) fingerprints: Vec<Fingerprint>,
    pub(super) classes: Vec<ClassRule>,
    pub(super) reflections: Vec<Reflection>,
    pub(super) bogons: Bogons,
    pub(super) tcp: [Class; 256],
    pub(super) icmp: [Class; 256],
    pub(super) icmpv6: [Class; 256],
    /// A bit for each UDP source port, set if it has a reflection rule.
    pub(super) reflecting: Box<[u64; 1024]>,
    pub(super) matcher: Matcher,
    /// A bit for each fingerprint with both `when` and `constant`.
    pub(super) constant_bits: u32,
    pub(super) constants: Vec<(u32, Expression)>,
    pub(super) slots: Vec<Expression>,
}

impl Rules {
    /// Name and version of this set: the shipped file's number and 8 hexadecimal digits of a
    /// SHA-256 over all files.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The fingerprints; a fingerprint's index is its bit in [`RuleMatches::bits`].
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

    /// Address space that no host can use: prefix and reason, in address order.
    pub fn bogons(&self) -> &[(ipnet::IpNet, String)] {
        self.bogons.list()
    }

    /// True if no host can have this address.
    pub fn is_bogon(&self, source: Source) -> bool {
        self.bogons.contains(source)
    }

    /// The fingerprint with this name, and its index.
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
    /// `length` is UDP's length field, header included; `payload` is the captured payload. If the
    /// payload ends before the octet that decides, it is an answer if it was cut by the capture, and
    /// not an answer if it was sent that short.
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

    /// Matches a probe against all fingerprints.
    pub fn match_probe(&self, probe: &Probe<'_>) -> RuleMatches {
        let (mut columns, mut probes) = (Columns::default(), [None; LANES]);
        columns.put(0, probe);
        probes[0] = Some(*probe);
        let [first, ..] = self.match_probes(&columns, &probes);
        first
    }

    /// Matches up to [`LANES`] probes at once. Each probe must be in the same lane of `columns`; the
    /// matches of lanes without a probe are undefined.
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

    /// A bit for each fingerprint that a probe with a cut header matches.
    #[cold]
    fn match_truncated(&self, probe: &Probe<'_>) -> u32 {
        (self.fingerprints.iter().enumerate())
            .filter(|(_, rule)| rule.matches(probe))
            .fold(0, |bits, (place, _)| bits | 1 << place)
    }

    /// Those of these fingerprints that have both `when` and `constant`, as bits.
    #[inline]
    pub const fn with_expression(&self, bits: u32) -> u32 {
        bits & self.constant_bits
    }

    /// Index of the first of these fingerprints that has both `when` and `constant`.
    #[inline]
    pub fn first_with_expression(&self, bits: u32) -> Option<usize> {
        RuleMatches::places_of(self.with_expression(bits)).next()
    }

    /// Index in [`RuleMatches::constants`] of the value of that fingerprint; none if none of these
    /// fingerprints has a value there.
    pub fn value_place(&self, bits: u32) -> Option<usize> {
        let place = self.first_with_expression(bits)?;
        match self.fingerprints[place].carried {
            Carried::WithHits(number) => Some(number),
            _ => None,
        }
    }

    /// Fingerprints whose expression is kept in flow rows, with its index in [`RuleMatches::slots`].
    pub fn carried_in_flows(&self) -> impl Iterator<Item = (usize, &Fingerprint)> {
        self.fingerprints
            .iter()
            .filter_map(|rule| match rule.carried {
                Carried::InFlows(number) => Some((number, rule)),
                _ => None,
            })
    }

    /// Fingerprints without a predicate, whose condition is evaluated for every probe.
    pub fn without_predicate(&self) -> impl Iterator<Item = &Fingerprint> {
        RuleMatches::places_of(self.matcher.open()).map(|place| &self.fingerprints[place])
    }
}
