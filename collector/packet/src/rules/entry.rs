//! Entries of the rules: fingerprints, reflection ports and classes.

use super::condition::{Condition, Number};
use super::field::Probe;
use super::uses::Uses;
use crate::cell::Class;

/// Where the values of a fingerprint's expression are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// It has no expression.
    Nowhere,
    /// As MIN and MAX beside the hits, over the packets that match. The index is that in
    /// [`RuleMatches::constants`](super::RuleMatches::constants).
    WithHits(usize),
    /// As MIN and MAX in the flow row, over all probes. The index is that in
    /// [`RuleMatches::slots`](super::RuleMatches::slots).
    InFlows(usize),
}

/// One fingerprint.
#[derive(Clone, Debug)]
pub struct Fingerprint {
    /// Its name in every table.
    pub name: String,
    /// Increased whenever the rule is changed.
    pub version: u16,
    /// The text of the condition for a match; none if all probes count.
    pub when: Option<String>,
    /// The text of the expression that must be constant over a source's matching packets.
    pub constant: Option<String>,
    /// Packets are reported for confirmed sources only, because a single match is no evidence.
    pub confirmed_only: bool,
    /// A random probe matches with probability 2^-N; without `when`, a second random probe has the
    /// value of the first with that probability.
    pub chance_bits: u32,
    /// The publication or program that the rule comes from.
    pub source: String,
    /// Name of the rule file.
    pub file: String,
    /// Names of the fingerprints whose source a source is not that this one is confirmed for.
    pub supersedes: Vec<String>,
    /// Which fields of other formats and figures it fills.
    pub uses: Uses,
    /// Where the values of its expression are kept.
    pub carried: Carried,
    pub(super) condition: Option<Condition>,
    pub(super) number: Option<Number>,
}

/// A port at which UDP reflectors answer.
#[derive(Clone, Debug)]
pub struct Reflection {
    /// UDP source port.
    pub port: u16,
    /// Name of the protocol.
    pub name: String,
    /// The text of the condition for an answer.
    pub answer: String,
    /// Why it is listed.
    pub reason: String,
    /// Name of the rule file.
    pub file: String,
    pub(super) condition: Condition,
}

/// An entry of the class table: the TCP flags or ICMP types of a class.
#[derive(Clone, Debug)]
pub struct ClassRule {
    /// `tcp`, `icmp` or `icmpv6`.
    pub protocol: &'static str,
    /// The class.
    pub class: Class,
    /// The text of the flags or types.
    pub which: String,
    /// Why.
    pub reason: String,
}

impl Fingerprint {
    /// True if this probe fulfils `when`. A rule without `when` matches no single probe.
    pub fn matches(&self, probe: &Probe<'_>) -> bool {
        let holds = |condition: &Condition| condition.holds(probe) == Some(true);
        self.condition.as_ref().is_some_and(holds) && self.value(probe).is_some()
    }

    /// The value of its expression for a probe: 0 without an expression, none if the probe lacks a
    /// field.
    pub fn value(&self, probe: &Probe<'_>) -> Option<u32> {
        match &self.number {
            Some(number) => number.value(probe),
            None => Some(0),
        }
    }
}
