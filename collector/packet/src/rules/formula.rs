//! Expressions of fingerprints, ready to be computed.
//!
//! Those of the known tools are XORs of shifted and masked fields, and are computed as such; terms
//! that the expressions in flow rows share are computed once.

use super::Values;
use super::expression::{Number, Operator};
use super::field::{Field, Probe};

/// Terms that an XOR can have.
pub(super) const TERMS: usize = 4;

/// `((field << left) >> right) & mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub field: Field,
    pub swap: bool,
    pub left: u8,
    pub right: u8,
    pub mask: u32,
}

impl Term {
    const fn of(field: Field, swap: bool) -> Self {
        Self {
            field,
            swap,
            left: 0,
            right: 0,
            mask: u32::MAX,
        }
    }

    /// The bits that it can have set.
    fn width(self) -> u32 {
        let width = self.field.width();
        let width = if self.swap { width.swap_bytes() } else { width };
        ((width << self.left) >> self.right) & self.mask
    }

    /// Its field's bits do not stand where they stand in the field.
    pub const fn is_shaped(self) -> bool {
        self.swap || self.left != 0 || self.right != 0
    }

    #[inline]
    fn value(self, probe: &Probe<'_>) -> u32 {
        let whole = probe.get(self.field);
        let whole = if self.swap { whole.swap_bytes() } else { whole };
        ((whole << self.left) >> self.right) & self.mask
    }
}

/// An XOR of terms and a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Xor {
    pub terms: Vec<Term>,
    pub constant: u32,
}

impl Xor {
    pub fn of(number: &Number) -> Option<Self> {
        match number {
            Number::Constant(constant) => Some(Self {
                terms: Vec::new(),
                constant: *constant,
            }),
            Number::Field(field) => Some(Self::one(Term::of(*field, false))),
            Number::Swap(inner) => match **inner {
                Number::Field(field) => Some(Self::one(Term::of(field, true))),
                _ => None,
            },
            Number::Binary(operator, a, b) => Self::of_two(*operator, a, b),
            Number::PayloadLength | Number::Octet(_) | Number::SegmentSize => None,
        }
    }

    fn one(term: Term) -> Self {
        Self {
            terms: vec![term],
            constant: 0,
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

    /// The bits that it can have set.
    pub fn width(&self) -> u32 {
        (self.terms.iter()).fold(self.constant, |all, term| all | term.width())
    }

    /// The XOR of both; none where it would have too many terms.
    pub fn with(mut self, other: &Self) -> Option<Self> {
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
pub(super) enum Formula {
    /// An XOR of shifted and masked fields.
    Xor(Sum),
    /// Anything else.
    Tree(Number),
}

impl Formula {
    /// The quickest form of an expression.
    pub fn of(number: &Number) -> Self {
        match Xor::of(number) {
            Some(xor) => Self::Xor(Sum::of(&xor)),
            None => Self::Tree(number.clone()),
        }
    }

    /// Its value for a probe; none where the probe lacks a field.
    #[inline]
    pub fn value(&self, probe: &Probe<'_>) -> Option<u32> {
        match self {
            Self::Xor(sum) => Some(sum.value(probe)),
            Self::Tree(number) => number.value(probe),
        }
    }
}

/// An XOR, ready to be computed: whole fields are the cheapest terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    whole: Vec<Field>,
    shaped: Vec<Term>,
    constant: u32,
}

impl Sum {
    fn of(xor: &Xor) -> Self {
        let (whole, shaped): (Vec<Term>, _) = (xor.terms.iter())
            .partition(|term| !term.is_shaped() && term.width() == term.field.width());
        Self {
            whole: whole.iter().map(|term| term.field).collect(),
            shaped,
            constant: xor.constant,
        }
    }

    #[inline]
    fn value(&self, probe: &Probe<'_>) -> u32 {
        let mut sum = self.constant;
        for &field in &self.whole {
            sum ^= probe.get(field);
        }
        for term in &self.shaped {
            sum ^= term.value(probe);
        }
        sum
    }
}

/// The expressions that are carried in flow rows, each in its place.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    /// What all of them have in common.
    common: Sum,
    /// What else each has.
    rest: Vec<Formula>,
}

impl Slots {
    /// Expressions by place; none where a place is empty.
    pub fn new(places: &[Option<&Number>]) -> Self {
        let zero = Number::Constant(0);
        let numbers = || places.iter().map(|number| number.unwrap_or(&zero));
        let Some(mut xors) = numbers().map(Xor::of).collect::<Option<Vec<_>>>() else {
            return Self {
                common: Sum::default(),
                rest: numbers().map(Formula::of).collect(),
            };
        };
        let mut common = Xor {
            terms: Vec::new(),
            constant: 0,
        };
        for term in xors.first().map_or_else(Vec::new, |xor| xor.terms.clone()) {
            if xors.iter().all(|xor| xor.terms.contains(&term)) {
                common.terms.push(term);
                for xor in &mut xors {
                    let place = xor.terms.iter().position(|own| *own == term);
                    place.map(|place| xor.terms.remove(place));
                }
            }
        }
        Self {
            common: Sum::of(&common),
            rest: xors.iter().map(|xor| Formula::Xor(Sum::of(xor))).collect(),
        }
    }

    /// Their values, folded to 16 bits; a field that was cut off counts as 0.
    #[inline]
    pub fn values(&self, probe: &Probe<'_>) -> Values {
        let common = self.common.value(probe);
        let mut values = Values::default();
        for (slot, formula) in self.rest.iter().enumerate() {
            let value = common ^ formula.value(probe).unwrap_or_default();
            values.put(slot, fold(value));
        }
        values
    }
}

/// A 32-bit value in 16 bits: equal values stay equal, unequal ones meet with chance 2^-16.
#[inline]
pub const fn fold(value: u32) -> u16 {
    (value >> 16) as u16 ^ value as u16
}
