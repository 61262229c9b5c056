//! Which sources a fingerprint is confirmed for on a day, and which fingerprints supersede others:
//! section "Confirmed sources" of ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};

use super::set::Rules;

/// Packets of one source and day that confirm a fingerprint.
pub const CONFIRMING_PACKETS: u64 = 3;

/// One source's packets of one day that count for one fingerprint, a rule's name and version: those
/// that match `when`, or without `when` all probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayMatches {
    /// Packets.
    pub packets: u64,
    /// Least and greatest value of the rule's expression over them, folded to 16 bits; none for a
    /// rule without an expression.
    pub span: Option<(u16, u16)>,
}

impl DayMatches {
    /// Adds packets of the same source, day and fingerprint.
    pub fn merge(&mut self, more: Self) {
        self.packets += more.packets;
        self.span = match (self.span, more.span) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (one, other) => one.or(other),
        };
    }

    /// True if these packets confirm the fingerprint for the source.
    pub fn confirm(&self) -> bool {
        let is_constant = self.span.is_none_or(|(least, greatest)| least == greatest);
        self.packets >= CONFIRMING_PACKETS && is_constant
    }
}

/// What one source's matches of a day are for one fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The source is confirmed for the fingerprint.
    Confirmed,
    /// It is not.
    NotConfirmed,
    /// It is confirmed for a fingerprint that supersedes this one: neither the source nor its packets
    /// count for this one.
    Superseded,
}

/// Which rules supersede which, by name, as the newest known version of each rule says.
#[derive(Clone, Debug, Default)]
pub struct Superseding {
    direct: BTreeMap<String, Vec<String>>,
}

impl Superseding {
    /// Learns a set of rules; what it says of a rule replaces what older sets said.
    pub fn add(&mut self, rules: &Rules) {
        for rule in rules.fingerprints() {
            (self.direct).insert(rule.name.clone(), rule.supersedes.clone());
        }
    }

    /// The rules that a rule supersedes, and those that they supersede in turn.
    pub fn of(&self, name: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![name];
        while let Some(next) = open.pop() {
            for superseded in self.direct.get(next).into_iter().flatten() {
                if superseded != name && found.insert(superseded.as_str()) {
                    open.push(superseded);
                }
            }
        }
        found
    }

    /// Every pair of a rule and one that it supersedes, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        (self.direct.keys()).flat_map(|name| self.of(name).into_iter().map(move |of| (&**name, of)))
    }

    /// The same for fingerprints that are known by their places in a list of names, in which a name
    /// may occur more than once, with different versions.
    pub fn by_place<'n>(
        &self,
        names: &(impl Iterator<Item = &'n str> + Clone),
    ) -> SupersededPlaces {
        let of_rule = |name: &str| {
            let superseded = self.of(name);
            let named = names.clone().enumerate();
            let places = named.filter(|(_, other)| superseded.contains(other));
            places.map(|(place, _)| place).collect()
        };
        SupersededPlaces(names.clone().map(of_rule).collect())
    }
}

/// The places of the fingerprints that each fingerprint supersedes, by its place.
#[derive(Clone, Debug, Default)]
pub struct SupersededPlaces(Vec<Vec<usize>>);

impl SupersededPlaces {
    /// Decides one source's matches of one day: each with the place of its fingerprint, and the verdict
    /// in the same order.
    pub fn decide(&self, matches: &[(usize, DayMatches)], verdicts: &mut Vec<Verdict>) {
        verdicts.clear();
        verdicts.extend(matches.iter().map(|(_, found)| {
            if found.confirm() {
                Verdict::Confirmed
            } else {
                Verdict::NotConfirmed
            }
        }));
        for (place, found) in matches {
            let superseded = self.0.get(*place).filter(|places| !places.is_empty());
            let Some(superseded) = superseded.filter(|_| found.confirm()) else {
                continue;
            };
            for ((place, _), verdict) in matches.iter().zip(&mut *verdicts) {
                if superseded.contains(place) {
                    *verdict = Verdict::Superseded;
                }
            }
        }
    }

    /// The places of the fingerprints whose sources are not known where those of `places` are not:
    /// these, and those that they supersede.
    pub fn with_superseded(&self, places: impl Iterator<Item = usize>) -> BTreeSet<usize> {
        let mut all = BTreeSet::new();
        for place in places {
            all.insert(place);
            all.extend(self.0.get(place).into_iter().flatten());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superseding(pairs: &[(&str, &[&str])]) -> Superseding {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let direct = (pairs.iter()).map(|&(name, of)| (name.to_owned(), owned(of)));
        Superseding {
            direct: direct.collect(),
        }
    }

    const fn packets(packets: u64) -> DayMatches {
        DayMatches {
            packets,
            span: None,
        }
    }

    #[test]
    fn three_packets_and_one_value_confirm() {
        let spanned = |packets, least, greatest| DayMatches {
            packets,
            span: Some((least, greatest)),
        };
        assert!(!packets(2).confirm());
        assert!(packets(3).confirm());
        assert!(spanned(3, 7, 7).confirm());
        assert!(!spanned(3, 7, 8).confirm());
        let mut sum = spanned(2, 7, 7);
        sum.merge(spanned(1, 9, 9));
        assert_eq!(sum, spanned(3, 7, 9));
    }

    #[test]
    fn a_superseded_rule_loses_source_and_packets() {
        let rules = superseding(&[("a", &["b"]), ("b", &["c"]), ("c", &[])]);
        assert_eq!(
            rules.pairs().collect::<Vec<_>>(),
            [("a", "b"), ("a", "c"), ("b", "c")]
        );
        // `b` in two versions, and a rule that is not known.
        let places = rules.by_place(&["c", "b", "a", "b", "z"].into_iter());
        let decide = |matches: &[(usize, DayMatches)]| {
            let mut verdicts = Vec::new();
            places.decide(matches, &mut verdicts);
            verdicts
        };
        use Verdict::{Confirmed, NotConfirmed, Superseded};
        let all = [
            (0, packets(3)),
            (1, packets(1)),
            (2, packets(9)),
            (4, packets(3)),
        ];
        assert_eq!(decide(&all), [Superseded, Superseded, Confirmed, Confirmed]);
        let few = [
            (0, packets(3)),
            (1, packets(3)),
            (2, packets(2)),
            (3, packets(1)),
        ];
        assert_eq!(
            decide(&few),
            [Superseded, Confirmed, NotConfirmed, NotConfirmed]
        );
        let unknown = places.with_superseded([3].into_iter());
        assert_eq!(unknown, BTreeSet::from([0, 3]));
    }

    #[test]
    fn a_circle_between_versions_ends() {
        let rules = superseding(&[("a", &["b"]), ("b", &["a"])]);
        assert_eq!(rules.pairs().collect::<Vec<_>>(), [("a", "b"), ("b", "a")]);
    }
}
