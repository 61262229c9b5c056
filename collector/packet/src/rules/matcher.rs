//! Compiled conditions of fingerprints: finds the fingerprints that several probes match at once.
//!
//! Most conditions of rules compare whole fields: the XOR of up to four fields, under a mask, equals
//! a number. Such a field test can be shared by several rules. All field tests, and the length of the
//! TCP header that a pattern of options needs, are evaluated without a branch. The remaining parts
//! are evaluated rule by rule, for probes that pass the tests.

use wide::u32x8;

use super::columns::{Column, Columns, LANES, Probes};
use super::condition::{Comparison, Condition, Number, Octets};
use super::expression::Xor;
use super::field::{Field, Probe};

/// A test of whole fields: `(a ^ b ^ ...) & mask == value`.
#[derive(Clone, Debug, PartialEq)]
struct FieldTest {
    columns: Vec<Column>,
    mask: u32,
    value: u32,
}

impl FieldTest {
    /// The field test that a condition needs, and whether it is the whole condition; none if the
    /// condition has another form.
    fn of(condition: &Condition) -> Option<(Self, bool)> {
        let Condition::Compare(Comparison::Equal, a, b) = condition else {
            return None;
        };
        let all = Xor::of(a)?.with(&Xor::of(b)?)?;
        // Bits that some term masks out cannot be tested, since the other terms still have them.
        if all.terms.is_empty() || all.terms.iter().any(|term| term.is_shaped()) {
            return None;
        }
        let mask = (all.terms.iter()).fold(u32::MAX, |mask, term| mask & term.mask);
        if mask == 0 {
            return None;
        }
        let columns = all.terms.iter().map(|term| Column::of(term.field));
        let test = Self {
            columns: columns.collect(),
            mask,
            value: all.constant & mask,
        };
        Some((test, all.width() & !mask == 0))
    }
}

/// A field test and the fingerprints that need it.
#[derive(Clone, Debug)]
struct Predicate {
    test: FieldTest,
    /// The numbers of the test, in every lane.
    mask: u32x8,
    value: u32x8,
    /// A bit for each fingerprint that does not need the test, in every lane.
    others: u32x8,
    /// A bit for each fingerprint that needs the test.
    bits: u32,
}

impl Predicate {
    fn new(test: FieldTest, bits: u32) -> Self {
        Self {
            mask: u32x8::splat(test.mask),
            value: u32x8::splat(test.value),
            others: u32x8::splat(!bits),
            test,
            bits,
        }
    }

    /// A bit for each fingerprint that can still match, for every probe.
    #[inline]
    fn passed(&self, columns: &Columns) -> u32x8 {
        let mut xor = u32x8::splat(0);
        for column in &self.test.columns {
            xor ^= column.values(columns);
        }
        (xor & self.mask).simd_eq(self.value) | self.others
    }
}

/// A part of a condition that is evaluated after the field tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// The TCP options are exactly these.
    Options(Vec<u8>),
    /// Any other condition.
    Condition(Condition),
    /// An expression that must have a value: without one the probe does not match.
    Value(Number),
}

impl Check {
    /// True if it holds for a probe with a whole fixed header.
    #[inline]
    fn holds(&self, probe: &Probe<'_>) -> bool {
        match self {
            Self::Options(octets) => probe.options() == Some(octets),
            Self::Condition(condition) => condition.holds(probe) == Some(true),
            Self::Value(number) => number.value(probe).is_some(),
        }
    }
}

/// A bit for each length of the TCP header in words that these options can have; none if the
/// condition is not about options.
fn lengths(condition: &Condition) -> Option<u16> {
    match condition {
        Condition::Matches {
            octets: Octets::TcpOptions,
            pattern,
            open,
        } => {
            let fits = |words: usize| match words.checked_sub(5) {
                Some(words) if *open => words * 4 >= pattern.len(),
                Some(words) => words * 4 == pattern.len(),
                None => false,
            };
            let fitting = (0..16).filter(|&words| fits(words));
            Some(fitting.fold(0, |bits, words| bits | 1 << words))
        }
        Condition::Any(parts) => {
            (parts.iter().map(lengths)).try_fold(0, |all, one| Some(all | one?))
        }
        _ => None,
    }
}

/// The compiled conditions of all fingerprints.
#[derive(Clone, Debug, Default)]
pub(super) struct Matcher {
    /// A bit for each fingerprint with `when`.
    all: u32,
    predicates: Vec<Predicate>,
    /// By the length of the TCP header in words: the fingerprints that can match.
    by_length: [u32; 16],
    /// A bit for each fingerprint with checks.
    unsure: u32,
    /// The checks of each fingerprint, by its index.
    checks: Vec<Vec<Check>>,
    /// A bit for each fingerprint that needs neither a field test nor a header length.
    open: u32,
}

impl Matcher {
    /// Adds the next fingerprint: its condition, and its expression.
    pub fn add(&mut self, condition: Option<&Condition>, expression: Option<&Number>) {
        let bit = 1 << self.checks.len();
        let mut left = Vec::new();
        let parts = match condition {
            None => &[],
            Some(Condition::All(parts)) => parts.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        let mut fitting = u16::MAX;
        let mut has_test = false;
        for part in parts {
            if let Some((test, whole)) = FieldTest::of(part) {
                has_test = true;
                self.predicate(test, bit);
                if whole {
                    continue;
                }
            }
            fitting &= lengths(part).unwrap_or(u16::MAX);
            left.extend(check_of(part));
        }
        if let Some(number) = expression.filter(|number| Xor::of(number).is_none()) {
            left.push(Check::Value(number.clone()));
        }
        if condition.is_some() {
            self.all |= bit;
            for (words, bits) in self.by_length.iter_mut().enumerate() {
                *bits |= if fitting >> words & 1 == 1 { bit } else { 0 };
            }
            if !has_test && fitting == u16::MAX {
                self.open |= bit;
            }
            if !left.is_empty() {
                self.unsure |= bit;
            }
        }
        self.checks.push(left);
    }

    fn predicate(&mut self, test: FieldTest, bit: u32) {
        let known = (self.predicates.iter()).position(|predicate| predicate.test == test);
        match known {
            Some(at) => {
                let bits = self.predicates[at].bits | bit;
                self.predicates[at] = Predicate::new(test, bits);
            }
            None => self.predicates.push(Predicate::new(test, bit)),
        }
    }

    /// A bit for each fingerprint that matches, for every probe. The probes' fixed headers must be
    /// whole; the bits of lanes without a probe are undefined.
    #[inline]
    pub fn matching(&self, columns: &Columns, probes: &Probes<'_>) -> [u32; LANES] {
        let mut passed = u32x8::splat(self.all);
        for predicate in &self.predicates {
            passed &= predicate.passed(columns);
        }
        let mut passed = passed.to_array();
        for (lane, bits) in passed.iter_mut().enumerate() {
            let Some(probe) = &probes[lane] else {
                continue;
            };
            *bits &= self.by_length[columns.get(Field::TcpHeaderLength, lane) as usize / 4];
            let mut unsure = *bits & self.unsure;
            while unsure != 0 {
                let place = unsure.trailing_zeros();
                unsure &= unsure - 1;
                if !(self.checks[place as usize].iter()).all(|check| check.holds(probe)) {
                    *bits &= !(1 << place);
                }
            }
        }
        passed
    }

    /// A bit for each fingerprint whose condition is evaluated for every probe.
    pub const fn open(&self) -> u32 {
        self.open
    }
}

/// The check of a part that is not a field test; none if the header's length decides it.
fn check_of(part: &Condition) -> Option<Check> {
    let Condition::Matches {
        octets: Octets::TcpOptions,
        pattern,
        open: false,
    } = part
    else {
        return Some(Check::Condition(part.clone()));
    };
    if pattern.is_empty() {
        // The header's length decides.
        return None;
    }
    let octets: Option<Vec<u8>> = pattern.iter().copied().collect();
    Some(octets.map_or_else(|| Check::Condition(part.clone()), Check::Options))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::condition::Operator;
    use crate::rules::expression::{Expression, fold};
    use crate::rules::language::{About, condition, number};
    use proptest::prelude::*;

    fn test(text: &str) -> Option<(FieldTest, bool)> {
        FieldTest::of(&condition(text, About::Probe).unwrap())
    }

    fn matcher(text: &str) -> Matcher {
        let mut matcher = Matcher::default();
        matcher.add(Some(&condition(text, About::Probe).unwrap()), None);
        matcher
    }

    #[test]
    fn relations_between_fields_become_field_tests() {
        let mirai = test("tcp.seq == ip.destination").unwrap();
        assert_eq!((mirai.0.mask, mirai.0.value, mirai.1), (u32::MAX, 0, true));
        let masscan = test("ip.id == (ip.destination ^ tcp.destination_port ^ tcp.seq) & 0xffff");
        let (masscan, whole) = masscan.unwrap();
        assert_eq!((masscan.mask, masscan.value, whole), (0xffff, 0, true));
        let zmap = test("ip.id == 54321").unwrap();
        assert_eq!((zmap.0.value, zmap.1), (54_321, true));
        for none in [
            "tcp.window > 5",
            "ip.id == 1 or ip.id == 2",
            "tcp.options == []",
            "tcp.seq >> 1 == 3",
            "1 == 1",
        ] {
            assert_eq!(test(none), None, "{none}");
        }
    }

    #[test]
    fn parts_that_are_no_field_tests_become_checks() {
        assert_eq!(matcher("ip.id == 54321").unsure, 0);
        let empty = matcher("tcp.options == [] and tcp.window == 1024");
        assert_eq!(
            (empty.unsure, empty.by_length[5], empty.by_length[6]),
            (0, 1, 0)
        );
        let nmap = matcher("tcp.options == [02 04 05 b4] and tcp.window == 1024");
        assert_eq!(nmap.checks, [[Check::Options(vec![2, 4, 5, 0xb4])]]);
        assert_eq!((nmap.by_length[5], nmap.by_length[6], nmap.open), (0, 1, 0));
        let any = matcher("tcp.options == [] or tcp.options == [01 01 01 01 01 ..]");
        let fitting: Vec<_> = (0..16).filter(|&words| any.by_length[words] == 1).collect();
        assert_eq!(fitting, [5, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        let costly = matcher("tcp.window > 3 and ip.ttl < 9");
        assert_eq!((costly.open, costly.unsure), (1, 1));
    }

    #[test]
    fn expressions_of_the_known_tools_are_xors() {
        for text in [
            "ip.id",
            "(tcp.seq >> 16) ^ (tcp.seq & 0xffff)",
            "tcp.seq ^ ip.destination ^ ((tcp.destination_port << 16) + tcp.source_port)",
            "tcp.seq ^ swap(ip.destination) ^ ((tcp.destination_port << 16) + tcp.source_port)",
        ] {
            let expression = Expression::of(&number(text, About::Probe).unwrap());
            assert!(matches!(expression, Expression::Xor(_)), "{text}");
        }
        let carries = number("tcp.seq + ip.destination", About::Probe).unwrap();
        assert!(matches!(Expression::of(&carries), Expression::Tree(_)));
    }

    fn any_number() -> impl Strategy<Value = Number> {
        let leaf = prop_oneof![
            any::<u32>().prop_map(Number::Constant),
            (0..16u32).prop_map(Number::Constant),
            (0..Field::ALL.len()).prop_map(|at| Number::Field(Field::ALL[at])),
            (0..Field::ALL.len())
                .prop_map(|at| Number::Swap(Box::new(Number::Field(Field::ALL[at])))),
        ];
        leaf.prop_recursive(4, 12, 2, |inner| {
            let operator = prop_oneof![
                Just(Operator::Or),
                Just(Operator::Xor),
                Just(Operator::Xor),
                Just(Operator::And),
                Just(Operator::Left),
                Just(Operator::Right),
                Just(Operator::Add),
                Just(Operator::Subtract),
            ];
            (operator, inner.clone(), inner)
                .prop_map(|(operator, a, b)| Number::Binary(operator, Box::new(a), Box::new(b)))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// Compiled conditions have the same results as plain ones.
        #[test]
        fn compiled_and_plain_agree(
            a in any_number(),
            b in any_number(),
            ip: [u8; 20],
            mut tcp: [u8; 24],
            alike: bool,
        ) {
            tcp[13] = 2;
            if alike {
                // Equal fields, so that equalities hold now and then.
                tcp[4..8].copy_from_slice(&ip[16..20]);
            }
            let probe = Probe::new(&ip, &tcp).unwrap();
            let (mut columns, mut probes) = (Columns::default(), [None; LANES]);
            let lane = usize::from(ip[0]) % LANES;
            columns.put(lane, &probe);
            probes[lane] = Some(probe);
            let folded = Expression::of(&a).folded(&columns, &probes)[lane];
            prop_assert_eq!(Some(folded), a.value(&probe).map(|value| fold(value).into()));
            let of_value = Number::Constant(a.value(&probe).unwrap());
            for right in [b, of_value] {
                let condition = Condition::Compare(Comparison::Equal, a.clone(), right);
                let mut matcher = Matcher::default();
                matcher.add(Some(&condition), Some(&a));
                let holds = condition.holds(&probe) == Some(true);
                let matching = matcher.matching(&columns, &probes)[lane];
                prop_assert_eq!(matching == 1, holds, "{:?}", matcher);
            }
        }
    }
}
