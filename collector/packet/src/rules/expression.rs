//! Expressions of fingerprints, compiled for several probes at once.
//!
//! The expressions of the known tools are XORs of shifted and masked fields, which need a few SIMD
//! instructions; any other expression is evaluated probe by probe.

use wide::u32x8;

use super::columns::{Column, Columns, LANES, Probes};
use super::condition::{Number, Operator};
use super::field::Field;

/// Most terms of an XOR.
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

    /// True if the term moves its field's bits.
    pub const fn is_shaped(self) -> bool {
        self.swap || self.left != 0 || self.right != 0
    }

    /// Its values for all probes.
    #[inline]
    fn values(self, columns: &Columns) -> u32x8 {
        let mut values = Column::of(self.field).values(columns);
        if self.swap {
            values = swapped(values);
        }
        if self.left != 0 {
            values = values.unbounded_shl_scalar(self.left.into());
        }
        if self.right != 0 {
            values = values.unbounded_shr_scalar(self.right.into());
        }
        values & u32x8::splat(self.mask)
    }
}

/// Each value with its octets in reverse order.
#[inline]
fn swapped(values: u32x8) -> u32x8 {
    let outer = values.unbounded_shl_scalar(24) | values.unbounded_shr_scalar(24);
    let up = (values & u32x8::splat(0xff00)).unbounded_shl_scalar(8);
    let down = values.unbounded_shr_scalar(8) & u32x8::splat(0xff00);
    outer | up | down
}

/// An XOR of terms and a constant, as it is parsed.
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
            // If no bit can be set in both, an addition has no carry.
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

    /// The XOR of both; none if it has more than [`TERMS`] terms.
    pub fn with(mut self, other: &Self) -> Option<Self> {
        self.terms.extend(&other.terms);
        self.constant ^= other.constant;
        (self.terms.len() <= TERMS).then_some(self)
    }

    fn shifted(mut self, by: u32, to_left: bool) -> Option<Self> {
        for term in &mut self.terms {
            // A term has at most one shift.
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

/// A compiled expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    /// An XOR of shifted and masked fields.
    Xor(Sum),
    /// Any other expression.
    Tree(Number),
}

impl Expression {
    /// Compiles a number.
    pub fn of(number: &Number) -> Self {
        match Xor::of(number) {
            Some(xor) => Self::Xor(Sum::of(&xor)),
            None => Self::Tree(number.clone()),
        }
    }

    /// Its values, folded to 16 bits; a field that was cut off counts as 0. Values of lanes without a
    /// probe are undefined.
    #[inline]
    pub fn folded(&self, columns: &Columns, probes: &Probes<'_>) -> [u32; LANES] {
        let values = match self {
            Self::Xor(sum) => sum.values(columns),
            Self::Tree(number) => u32x8::new(std::array::from_fn(|lane| {
                (probes[lane].and_then(|probe| number.value(&probe))).unwrap_or_default()
            })),
        };
        let folded = values ^ values.unbounded_shr_scalar(16);
        (folded & u32x8::splat(0xffff)).to_array()
    }
}

/// A compiled XOR: whole fields, which need no shift and mask, and other terms.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sum {
    whole: Vec<Column>,
    shaped: Vec<Term>,
    constant: u32,
}

impl Sum {
    fn of(xor: &Xor) -> Self {
        let (whole, shaped): (Vec<Term>, _) = (xor.terms.iter())
            .partition(|term| !term.is_shaped() && term.width() == term.field.width());
        Self {
            whole: whole.iter().map(|term| Column::of(term.field)).collect(),
            shaped,
            constant: xor.constant,
        }
    }

    #[inline]
    fn values(&self, columns: &Columns) -> u32x8 {
        let mut sum = u32x8::splat(self.constant);
        for column in &self.whole {
            sum ^= column.values(columns);
        }
        for term in &self.shaped {
            sum ^= term.values(columns);
        }
        sum
    }
}

/// Folds 32 bits to 16: unequal values become equal with probability 2^-16.
#[cfg(test)]
pub const fn fold(value: u32) -> u16 {
    (value >> 16) as u16 ^ value as u16
}
