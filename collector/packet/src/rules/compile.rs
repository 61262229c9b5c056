//! What rules become at the start, so that a packet pays little for them.
//!
//! Most rules ask for a relation between whole fields: the XOR of up to four of them, under a
//! mask, is a number. That is a rule's gate. All gates are tried without a branch; only what passes
//! a gate is looked at by the whole condition. Expressions that must be constant are XORs of
//! shifted fields as a rule, and are computed as such.

use super::expression::{Comparison, Condition, Number, Octets, Operator};
use super::field::{Field, Probe};

/// Fields that a gate or a sum of terms can hold.
const TERMS: usize = 4;

/// A condition that every match of a rule fulfils, quick to try: `(a ^ b ^ c ^ d) & mask == value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    fields: [u8; TERMS],
    mask: u32,
    value: u32,
    /// Passing it is the whole condition that it was made of.
    whole: bool,
}

/// What is left to check of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A relation between whole fields that decides.
    Gate(Gate),
    /// The TCP options are exactly these.
    Options(Vec<u8>),
    /// Anything else.
    Condition(Condition),
    /// An expression that may have no value, and then there is no match.
    Value(Number),
}

impl Check {
    /// A condition's gate, and what is left to check behind it, quickest first.
    pub fn of(condition: &Condition, expression: Option<&Number>) -> (Gate, Vec<Self>) {
        let parts = parts(condition);
        let gate = Gate::of(condition);
        let mut checks: Vec<_> = (parts.iter())
            .filter_map(|part| match Gate::of_part(part) {
                Some(one) if one.whole && one == gate => None,
                Some(one) if one.whole => Some(Self::Gate(one)),
                _ => Some(Self::of_part(part)),
            })
            .collect();
        checks.sort_by_key(|check| match check {
            Self::Gate(_) => 0,
            Self::Options(_) => 1,
            Self::Condition(_) | Self::Value(_) => 2,
        });
        if let Some(number) = expression.filter(|number| Xor::of(number).is_none()) {
            checks.push(Self::Value(number.clone()));
        }
        (gate, checks)
    }

    fn of_part(part: &Condition) -> Self {
        if let Condition::Matches {
            octets: Octets::TcpOptions,
            pattern,
            open: false,
        } = part
            && let Some(octets) = pattern.iter().copied().collect()
        {
            return Self::Options(octets);
        }
        Self::Condition(part.clone())
    }

    /// Does it hold for a probe whose fixed header is whole?
    #[inline]
    pub fn holds(&self, probe: &Probe<'_>) -> bool {
        match self {
            Self::Gate(gate) => gate.passes(probe),
            Self::Options(octets) => probe.options() == Some(octets),
            Self::Condition(condition) => condition.holds(probe) == Some(true),
            Self::Value(number) => number.value(probe).is_some(),
        }
    }
}

/// The conditions that must all hold.
fn parts(condition: &Condition) -> &[Condition] {
    match condition {
        Condition::All(parts) => parts,
        one => std::slice::from_ref(one),
    }
}

impl Gate {
    /// Every probe passes.
    pub const OPEN: Self = Self {
        fields: [0; TERMS],
        mask: 0,
        value: 0,
        whole: false,
    };

    /// The best gate of a condition.
    pub fn of(condition: &Condition) -> Self {
        let best = parts(condition)
            .iter()
            .filter_map(Self::of_part)
            .max_by_key(|gate| {
                // A relation between fields is rarer than a value that one of them has.
                let fields = gate.fields.iter().filter(|&&field| field != 0).count();
                (fields.min(2), gate.tested_bits(), fields)
            });
        best.unwrap_or(Self::OPEN)
    }

    fn of_part(part: &Condition) -> Option<Self> {
        let Condition::Compare(Comparison::Equal, a, b) = part else {
            return None;
        };
        let (left, right) = (Xor::of(a)?, Xor::of(b)?);
        let all = left.clone().with(&right)?;
        let mut fields = [0; TERMS];
        for (place, term) in fields.iter_mut().zip(&all.terms) {
            // Whole fields only: in the bits that no term masks away, XOR is all there is.
            if term.left != 0 || term.right != 0 || term.swap {
                return None;
            }
            *place = term.field;
        }
        let mask = all
            .terms
            .iter()
            .fold(u32::MAX, |mask, term| mask & term.mask);
        let gate = Self {
            fields,
            mask,
            value: all.constant & mask,
            whole: all
                .terms
                .iter()
                .all(|term| term.mask & term.width() & !mask == 0)
                && all.constant & !mask == 0,
        };
        (mask != 0 && !all.terms.is_empty()).then_some(gate)
    }

    /// Bits in which a match is not free.
    fn tested_bits(&self) -> u32 {
        let width = |number: u8| {
            Field::ALL
                .into_iter()
                .find(|f| *f as u8 == number)
                .map_or(0, Field::width)
        };
        let widths = self.fields.iter().fold(0, |all, &field| all | width(field));
        (widths & self.mask).count_ones()
    }

    /// Does the probe pass?
    #[inline]
    pub fn passes(&self, probe: &Probe<'_>) -> bool {
        let [a, b, c, d] = self.fields;
        let xor = probe.by_number(a) ^ probe.by_number(b) ^ probe.by_number(c) ^ probe.by_number(d);
        xor & self.mask == self.value
    }

    /// Every probe passes.
    pub const fn is_open(&self) -> bool {
        self.mask == 0
    }
}

/// `((field << left) >> right) & mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    field: u8,
    swap: bool,
    left: u8,
    right: u8,
    mask: u32,
}

impl Term {
    fn width(self) -> u32 {
        let width = Field::ALL
            .into_iter()
            .find(|f| *f as u8 == self.field)
            .map_or(0, Field::width);
        let width = if self.swap { width.swap_bytes() } else { width };
        (width << self.left) >> self.right
    }

    #[inline]
    fn value(self, probe: &Probe<'_>) -> u32 {
        let whole = probe.by_number(self.field);
        let whole = if self.swap { whole.swap_bytes() } else { whole };
        ((whole << self.left) >> self.right) & self.mask
    }
}

/// An XOR of terms and a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Xor {
    terms: Vec<Term>,
    constant: u32,
}

impl Xor {
    fn of(number: &Number) -> Option<Self> {
        match number {
            Number::Constant(constant) => Some(Self {
                terms: Vec::new(),
                constant: *constant,
            }),
            Number::Field(field) => Some(Self {
                terms: vec![Term {
                    field: *field as u8,
                    swap: false,
                    left: 0,
                    right: 0,
                    mask: u32::MAX,
                }],
                constant: 0,
            }),
            Number::Swap(inner) => match **inner {
                Number::Field(field) => Some(Self {
                    terms: vec![Term {
                        field: field as u8,
                        swap: true,
                        left: 0,
                        right: 0,
                        mask: u32::MAX,
                    }],
                    constant: 0,
                }),
                _ => None,
            },
            Number::Binary(operator, a, b) => Self::of_two(*operator, a, b),
            Number::PayloadLength | Number::Octet(_) | Number::SegmentSize => None,
        }
    }

    fn of_two(operator: Operator, a: &Number, b: &Number) -> Option<Self> {
        match (operator, a, b) {
            (Operator::Xor, a, b) => Self::of(a)?.with(&Self::of(b)?),
            // Where no bit can be set in both, adding carries nothing.
            (Operator::Add | Operator::Or, a, b) => {
                let (a, b) = (Self::of(a)?, Self::of(b)?);
                (a.width() & b.width() == 0).then(|| a.with(&b)).flatten()
            }
            (Operator::And, a, Number::Constant(mask))
            | (Operator::And, Number::Constant(mask), a) => {
                let mut xor = Self::of(a)?;
                xor.constant &= mask;
                xor.terms.iter_mut().for_each(|term| term.mask &= mask);
                Some(xor)
            }
            (Operator::Left, a, Number::Constant(by @ 0..=31)) => Self::of(a)?.shifted(*by, true),
            (Operator::Right, a, Number::Constant(by @ 0..=31)) => Self::of(a)?.shifted(*by, false),
            _ => None,
        }
    }

    fn width(&self) -> u32 {
        let terms = self
            .terms
            .iter()
            .fold(0, |all, term| all | term.width() & term.mask);
        terms | self.constant
    }

    fn with(mut self, other: &Self) -> Option<Self> {
        self.terms.extend(&other.terms);
        self.constant ^= other.constant;
        (self.terms.len() <= TERMS).then_some(self)
    }

    fn shifted(mut self, by: u32, to_left: bool) -> Option<Self> {
        for term in &mut self.terms {
            // One shift a term.
            if term.left != 0 || term.right != 0 {
                return None;
            }
            if to_left {
                term.left = by as u8;
                term.mask <<= by;
            } else {
                term.right = by as u8;
                term.mask >>= by;
            }
        }
        if to_left {
            self.constant <<= by;
        } else {
            self.constant >>= by;
        }
        Some(self)
    }
}

/// An expression, ready to be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formula {
    /// An XOR of shifted and masked fields.
    Xor {
        /// The terms; unused ones are of field 0.
        terms: Terms,
        /// XORed in.
        constant: u32,
    },
    /// Anything else.
    Tree(Number),
}

/// The terms of an XOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms([Term; TERMS]);

impl Formula {
    /// The quickest form of an expression.
    pub fn of(number: &Number) -> Self {
        const NOTHING: Term = Term {
            field: 0,
            swap: false,
            left: 0,
            right: 0,
            mask: 0,
        };
        match Xor::of(number) {
            Some(xor) => {
                let mut terms = [NOTHING; TERMS];
                terms[..xor.terms.len()].copy_from_slice(&xor.terms);
                Self::Xor {
                    terms: Terms(terms),
                    constant: xor.constant,
                }
            }
            None => Self::Tree(number.clone()),
        }
    }

    /// Its value for a probe; none where the probe lacks a field.
    #[inline]
    pub fn value(&self, probe: &Probe<'_>) -> Option<u32> {
        match self {
            Self::Xor { terms, constant } => {
                let [a, b, c, d] = terms.0;
                Some(constant ^ a.value(probe) ^ b.value(probe) ^ c.value(probe) ^ d.value(probe))
            }
            Self::Tree(number) => number.value(probe),
        }
    }
}

/// A 32-bit value in 16 bits: equal values stay equal, unequal ones meet with chance 2^-16.
#[inline]
pub const fn fold(value: u32) -> u16 {
    (value >> 16) as u16 ^ value as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::language::{About, condition, number};
    use proptest::prelude::*;

    fn gate(text: &str) -> Gate {
        Gate::of(&condition(text, About::Probe).unwrap())
    }

    #[test]
    fn relations_between_fields_become_gates() {
        let mirai = gate("tcp.seq == ip.destination");
        assert_eq!((mirai.mask, mirai.value, mirai.whole), (u32::MAX, 0, true));
        let masscan = gate("ip.id == (ip.destination ^ tcp.destination_port ^ tcp.seq) & 0xffff");
        assert_eq!((masscan.mask, masscan.value), (0xffff, 0));
        assert!(masscan.whole, "{masscan:?}");
        let zmap = gate("ip.id == 54321");
        assert_eq!(
            (zmap.mask, zmap.value, zmap.whole),
            (u32::MAX, 54_321, true)
        );
    }

    #[test]
    fn of_several_gates_the_narrowest_is_taken() {
        let both = gate("tcp.window == 1024 and ip.id == (ip.destination ^ tcp.seq) & 0xffff");
        assert_eq!((both.mask, both.whole), (0xffff, true));
        let nmap = gate("tcp.window == 1024 and tcp.options == [02 04 05 b4]");
        assert_eq!((nmap.value, nmap.whole), (1024, true));
        assert!(gate("tcp.window > 5").is_open());
        assert!(gate("ip.id == 1 or ip.id == 2").is_open());
        assert!(gate("tcp.options == []").is_open());
    }

    #[test]
    fn what_a_gate_does_not_decide_is_left_to_check() {
        let left = |text: &str| Check::of(&condition(text, About::Probe).unwrap(), None).1;
        assert!(left("ip.id == 54321").is_empty());
        let nmap = left("tcp.options == [02 04 05 b4] and tcp.window == 1024");
        assert_eq!(nmap, [Check::Options(vec![2, 4, 5, 0xb4])]);
        let both = left("ip.id == tcp.seq & 0xffff and tcp.window == 1024 and tcp.window > 3");
        assert!(
            matches!(both[..], [Check::Gate(_), Check::Condition(_)]),
            "{both:?}"
        );
    }

    #[test]
    fn expressions_of_the_known_tools_are_xors() {
        for text in [
            "ip.id",
            "(tcp.seq >> 16) ^ (tcp.seq & 0xffff)",
            "tcp.seq ^ ip.destination ^ ((tcp.destination_port << 16) + tcp.source_port)",
            "tcp.seq ^ swap(ip.destination) ^ ((tcp.destination_port << 16) + tcp.source_port)",
        ] {
            let formula = Formula::of(&number(text, About::Probe).unwrap());
            assert!(matches!(formula, Formula::Xor { .. }), "{text}");
        }
        let carries = number("tcp.seq + ip.destination", About::Probe).unwrap();
        assert!(matches!(Formula::of(&carries), Formula::Tree(_)));
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

        /// Compiling changes the way, never the value; a gate lets every match through, and
        /// nothing else where it says that it is the whole condition.
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
            prop_assert_eq!(Formula::of(&a).value(&probe), a.value(&probe));
            let of_value = Number::Constant(a.value(&probe).unwrap());
            for right in [b, of_value] {
                let condition = Condition::Compare(Comparison::Equal, a.clone(), right);
                let gate = Gate::of(&condition);
                let holds = condition.holds(&probe) == Some(true);
                if holds {
                    prop_assert!(gate.passes(&probe), "{:?}", gate);
                }
                if gate.whole {
                    prop_assert_eq!(gate.passes(&probe), holds, "{:?}", gate);
                }
                let (gate, left) = Check::of(&condition, None);
                let checked = gate.passes(&probe) && left.iter().all(|check| check.holds(&probe));
                prop_assert_eq!(checked, holds, "{:?} {:?}", gate, left);
            }
        }
    }
}
