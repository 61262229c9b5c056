//! Entries of the rules: fingerprints, reflection ports and classes.

use super::condition::{Condition, Number};
use super::field::Probe;
use super::uses::Uses;
use crate::cell::Class;

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
    /// Which payloads are answers, as it is written.
    pub answer: String,
    /// Why it is listed.
    pub reason: String,
    /// Name of the file that it stands in.
    pub file: String,
    pub(super) condition: Condition,
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

impl Fingerprint {
    /// Does this probe fulfil `when`? A rule without one matches no packet by itself.
    pub fn matches(&self, probe: &Probe<'_>) -> bool {
        let holds = |condition: &Condition| condition.holds(probe) == Some(true);
        self.condition.as_ref().is_some_and(holds) && self.value(probe).is_some()
    }

    /// The value of its expression for a probe: 0 without one, none where the probe lacks a field.
    pub fn value(&self, probe: &Probe<'_>) -> Option<u32> {
        match &self.number {
            Some(number) => number.value(probe),
            None => Some(0),
        }
    }
}
