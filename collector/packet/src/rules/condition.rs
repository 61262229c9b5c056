//! Numbers and conditions over header fields, and their evaluation.
//!
//! Arithmetic is on 32 bits and wraps. A condition is unknown if it needs data that the packet does
//! not have: a field that was cut off, an octet behind the capture's end. `and`, `or` and `not`
//! follow three-valued logic.

use super::field::{Field, Probe};

/// The data that a condition is evaluated on.
pub trait Subject {
    /// A header field; none if it was cut off.
    fn field(&self, field: Field) -> Option<u32>;
    /// The captured octets of this part; none if there are no such octets.
    fn octets(&self, octets: Octets) -> Option<&[u8]>;
    /// Length of the payload in octets by the header's length field; none without a payload.
    fn payload_length(&self) -> Option<u32>;
}

/// A part of the packet that is compared octet by octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Octets {
    /// `tcp.options`.
    TcpOptions,
    /// `payload`: its captured octets.
    Payload,
}

impl Octets {
    /// Its name in a rule.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TcpOptions => "tcp.options",
            Self::Payload => "payload",
        }
    }
}

/// An operator on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `|`
    Or,
    /// `^`
    Xor,
    /// `&`
    And,
    /// `<<`
    Left,
    /// `>>`
    Right,
    /// `+`
    Add,
    /// `-`
    Subtract,
}

/// A comparison of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A number of 32 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Number {
    /// A literal.
    Constant(u32),
    /// A header field.
    Field(Field),
    /// `payload.length`.
    PayloadLength,
    /// `payload[N]`: one octet.
    Octet(Box<Number>),
    /// `tcp.mss`: the first maximum segment size option, 0 without one.
    SegmentSize,
    /// `swap(N)`: the four octets in reverse order.
    Swap(Box<Number>),
    /// An operation on two numbers.
    Binary(Operator, Box<Number>, Box<Number>),
}

/// One octet of a pattern; none for `??`, which matches any octet.
pub type PatternOctet = Option<u8>;

/// A condition over the data of a [`Subject`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A comparison of two numbers.
    Compare(Comparison, Number, Number),
    /// The number lies between these two, both included.
    Within(Number, u32, u32),
    /// The number is one of these.
    OneOf(Number, Vec<u32>),
    /// The octets equal the pattern, or begin with it if `open`.
    Matches {
        /// The part of the packet that is compared.
        octets: Octets,
        /// The octets that it must have.
        pattern: Vec<PatternOctet>,
        /// Further octets may follow.
        open: bool,
    },
    /// Every part holds.
    All(Vec<Condition>),
    /// At least one part holds.
    Any(Vec<Condition>),
    /// The part does not hold.
    Not(Box<Condition>),
}

impl Number {
    /// Its value for a packet; none if it is unknown.
    pub fn value(&self, of: &impl Subject) -> Option<u32> {
        Some(match self {
            Self::Constant(value) => *value,
            Self::Field(field) => of.field(*field)?,
            Self::PayloadLength => of.payload_length()?,
            Self::Octet(at) => {
                let at = usize::try_from(at.value(of)?).ok()?;
                u32::from(*of.octets(Octets::Payload)?.get(at)?)
            }
            Self::SegmentSize => segment_size(of.octets(Octets::TcpOptions)?),
            Self::Swap(number) => number.value(of)?.swap_bytes(),
            Self::Binary(operator, a, b) => operator.apply(a.value(of)?, b.value(of)?),
        })
    }
}

impl Operator {
    /// The operator's result on 32 bits; a shift by 32 or more gives 0.
    pub fn apply(self, a: u32, b: u32) -> u32 {
        match self {
            Self::Or => a | b,
            Self::Xor => a ^ b,
            Self::And => a & b,
            Self::Left => a.checked_shl(b).unwrap_or(0),
            Self::Right => a.checked_shr(b).unwrap_or(0),
            Self::Add => a.wrapping_add(b),
            Self::Subtract => a.wrapping_sub(b),
        }
    }
}

impl Comparison {
    const fn holds(self, a: u32, b: u32) -> bool {
        match self {
            Self::Equal => a == b,
            Self::NotEqual => a != b,
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
        }
    }
}

impl Condition {
    /// True if it holds for a packet; none if that is unknown.
    pub fn holds(&self, of: &impl Subject) -> Option<bool> {
        match self {
            Self::Compare(comparison, a, b) => Some(comparison.holds(a.value(of)?, b.value(of)?)),
            Self::Within(number, least, most) => {
                Some((*least..=*most).contains(&number.value(of)?))
            }
            Self::OneOf(number, values) => Some(values.contains(&number.value(of)?)),
            Self::Matches {
                octets,
                pattern,
                open,
            } => {
                let found = of.octets(*octets)?;
                // Lengths decide most comparisons.
                let short = found.len() < pattern.len();
                if (short && *octets == Octets::TcpOptions)
                    || (!open && found.len() > pattern.len())
                {
                    return Some(false);
                }
                let agree = (pattern.iter().zip(found))
                    .all(|(wanted, octet)| wanted.is_none_or(|wanted| wanted == *octet));
                // If the captured octets agree, the result depends on the octets that were cut off.
                if agree && short { None } else { Some(agree) }
            }
            Self::All(parts) => all(parts, true, of),
            Self::Any(parts) => all(parts, false, of).map(|none| !none),
            Self::Not(part) => part.holds(of).map(|holds| !holds),
        }
    }
}

/// True if every part has the truth value `want`; none if that is unknown.
fn all(parts: &[Condition], want: bool, of: &impl Subject) -> Option<bool> {
    let mut open = false;
    for part in parts {
        match part.holds(of) {
            Some(holds) if holds != want => return Some(false),
            Some(_) => {}
            None => open = true,
        }
    }
    (!open).then_some(true)
}

/// The value of the first MSS option (kind 2); 0 without one, and if the options are malformed.
fn segment_size(mut options: &[u8]) -> u32 {
    loop {
        match *options {
            [2, 4, a, b, ..] => return u32::from(u16::from_be_bytes([a, b])),
            [1, ref rest @ ..] => options = rest,
            [kind, length, ..] if kind > 1 && length > 1 => {
                match options.get(usize::from(length)..) {
                    Some(rest) => options = rest,
                    None => return 0,
                }
            }
            _ => return 0,
        }
    }
}

impl Subject for Probe<'_> {
    fn field(&self, field: Field) -> Option<u32> {
        self.knows(field).then(|| self.get(field))
    }

    fn octets(&self, octets: Octets) -> Option<&[u8]> {
        match octets {
            Octets::TcpOptions => self.options(),
            Octets::Payload => None,
        }
    }

    fn payload_length(&self) -> Option<u32> {
        None
    }
}

/// A UDP payload from a port that reflectors answer from.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its captured octets.
    pub payload: &'a [u8],
    /// Its length in octets, by UDP's length field.
    pub claimed: u32,
}

impl Subject for Answer<'_> {
    fn field(&self, _: Field) -> Option<u32> {
        None
    }

    fn octets(&self, octets: Octets) -> Option<&[u8]> {
        match octets {
            Octets::TcpOptions => None,
            Octets::Payload => Some(self.payload),
        }
    }

    fn payload_length(&self) -> Option<u32> {
        Some(self.claimed)
    }
}

/// TCP flags alone, for the class table.
#[derive(Clone, Copy, Debug)]
pub struct Flags(pub u8);

impl Subject for Flags {
    fn field(&self, field: Field) -> Option<u32> {
        (field == Field::TcpFlags).then_some(u32::from(self.0))
    }

    fn octets(&self, _: Octets) -> Option<&[u8]> {
        None
    }

    fn payload_length(&self) -> Option<u32> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_segment_size_is_found() {
        assert_eq!(segment_size(&[2, 4, 5, 0xb4]), 1460);
        assert_eq!(segment_size(&[1, 3, 3, 8, 2, 4, 2, 0x18]), 536);
        for none in [
            &[][..],
            &[0, 2, 4, 5, 0xb4],
            &[3, 0, 2, 4, 5, 0xb4],
            &[2, 4, 5],
            &[8, 200, 1],
        ] {
            assert_eq!(segment_size(none), 0, "{none:?}");
        }
    }

    #[test]
    fn conditions_on_octets_that_were_cut_off_are_unknown() {
        let octet = |at| Number::Octet(Box::new(Number::Constant(at)));
        let is =
            |at, value| Condition::Compare(Comparison::Equal, octet(at), Number::Constant(value));
        let of = Answer {
            payload: &[7],
            claimed: 9,
        };
        assert_eq!(is(0, 7).holds(&of), Some(true));
        assert_eq!(is(1, 7).holds(&of), None);
        assert_eq!(Condition::All(vec![is(0, 7), is(1, 7)]).holds(&of), None);
        assert_eq!(
            Condition::All(vec![is(1, 7), is(0, 8)]).holds(&of),
            Some(false)
        );
        assert_eq!(
            Condition::Any(vec![is(1, 7), is(0, 7)]).holds(&of),
            Some(true)
        );
        assert_eq!(Condition::Any(vec![is(1, 7), is(0, 8)]).holds(&of), None);
        assert_eq!(Condition::Not(Box::new(is(1, 7))).holds(&of), None);
    }

    #[test]
    fn patterns_compare_octet_by_octet() {
        let of = |payload: &'static [u8]| Answer {
            payload,
            claimed: 100,
        };
        let pattern = |open| Condition::Matches {
            octets: Octets::Payload,
            pattern: vec![Some(1), None, Some(3)],
            open,
        };
        assert_eq!(pattern(false).holds(&of(&[1, 9, 3])), Some(true));
        assert_eq!(pattern(false).holds(&of(&[1, 9, 3, 4])), Some(false));
        assert_eq!(pattern(true).holds(&of(&[1, 9, 3, 4])), Some(true));
        assert_eq!(pattern(true).holds(&of(&[2, 9, 3, 4])), Some(false));
        assert_eq!(
            pattern(true).holds(&of(&[1, 9])),
            None,
            "the rest was not captured"
        );
        assert_eq!(pattern(true).holds(&of(&[2])), Some(false));
    }

    #[test]
    fn shifts_by_32_or_more_give_0() {
        assert_eq!(Operator::Left.apply(1, 31), 1 << 31);
        assert_eq!(Operator::Left.apply(1, 32), 0);
        assert_eq!(Operator::Right.apply(u32::MAX, 40), 0);
        assert_eq!(Operator::Subtract.apply(1, 2), u32::MAX);
    }
}
