//! Parser of the rule language: from text to numbers and conditions.
//!
//! From loosest to tightest: `or`; `and`; `not`; `==` `!=` `<` `<=` `>` `>=` `in`; `|`; `^`; `&`;
//! `<<` `>>`; `+` `-`. Numbers are decimal or `0x` hexadecimal. `x in 1..=9` and `x in (1, 2)` test
//! for a range or a set; `tcp.options == [02 04 ?? ??]` compares octets, and a pattern that ends with
//! `..` permits further octets.

use super::condition::{Comparison, Condition, Number, Octets, Operator, PatternOctet};
pub use super::field::About;
use super::field::{FLAG_NAMES, Field};
pub use super::lexer::Mistake;
use super::lexer::{self, Parsed, Token, mistake};

/// Deepest nesting of an expression.
const DEEPEST: usize = 48;
/// Longest pattern and set.
const LONGEST: usize = 256;

/// Parses a condition.
///
/// # Errors
/// The first mistake in the text.
pub fn condition(text: &str, about: About) -> Parsed<Condition> {
    let (value, at) = whole(text, about)?;
    match value {
        Value::Condition(condition) => Ok(condition),
        other => Err(mistake(
            at,
            format!(
                "{} is no condition: compare it, for example with == ",
                other.what()
            ),
        )),
    }
}

/// Parses a number.
///
/// # Errors
/// The first mistake in the text.
pub fn number(text: &str, about: About) -> Parsed<Number> {
    let (value, at) = whole(text, about)?;
    match value {
        Value::Number(number) => Ok(number),
        other => Err(mistake(
            at,
            format!("a number is needed here, and this is {}", other.what()),
        )),
    }
}

fn whole(text: &str, about: About) -> Parsed<(Value, usize)> {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        about,
    };
    parser.skip_blanks();
    let start = parser.at;
    let value = parser.level(0)?;
    match parser.peek()? {
        Token::End => Ok((value, start)),
        token => Err(parser.unexpected(token, "the end, or an operator")),
    }
}

#[derive(Clone, Debug)]
enum Value {
    Number(Number),
    Condition(Condition),
    Octets(Octets),
}

impl Value {
    const fn what(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Condition(_) => "a condition",
            Self::Octets(_) => "a row of octets",
        }
    }
}

/// Binary operators of numbers by precedence, lowest first.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("|", Operator::Or)],
    &[("^", Operator::Xor)],
    &[("&", Operator::And)],
    &[("<<", Operator::Left), (">>", Operator::Right)],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
];
const OR: usize = 0;
const AND: usize = 1;
const COMPARE: usize = 2;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    about: About,
}

impl<'a> Parser<'a> {
    fn skip_blanks(&mut self) {
        self.at = lexer::skip_blanks(self.text, self.at);
    }

    /// The next token and its end; moves `self.at` to its start.
    fn scan(&mut self) -> Parsed<(Token<'a>, usize)> {
        let (token, start, end) = lexer::scan(self.text, self.at)?;
        self.at = start;
        Ok((token, end))
    }

    fn peek(&mut self) -> Parsed<Token<'a>> {
        Ok(self.scan()?.0)
    }

    fn next(&mut self) -> Parsed<Token<'a>> {
        let (token, end) = self.scan()?;
        self.at = end;
        Ok(token)
    }

    /// Consumes the next token if it is this one.
    fn take(&mut self, wanted: Token<'_>) -> Parsed<bool> {
        let (token, end) = self.scan()?;
        if token == wanted {
            self.at = end;
        }
        Ok(token == wanted)
    }

    fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.take(Token::Symbol(symbol))? {
            return Ok(());
        }
        let token = self.peek()?;
        Err(self.unexpected(token, &format!("{symbol:?}")))
    }

    fn unexpected(&self, token: Token<'_>, wanted: &str) -> Mistake {
        let found = match token {
            Token::End => "the end".to_owned(),
            Token::Word(word) | Token::Symbol(word) => format!("{word:?}"),
            Token::Number(number) => number.to_string(),
        };
        mistake(
            self.at,
            format!("{found} stands where {wanted} is expected"),
        )
    }

    /// A number with operators of this level or a higher one.
    fn level(&mut self, level: usize) -> Parsed<Value> {
        self.depth += 1;
        if self.depth > DEEPEST * (LEVELS.len() + COMPARE + 2) {
            return Err(mistake(
                self.at,
                "the expression is nested too deeply: make two rules of it",
            ));
        }
        let value = match level {
            OR => self.joined("or", AND, Condition::Any),
            AND => self.joined("and", COMPARE, Condition::All),
            COMPARE => self.comparison(),
            _ => self.arithmetic(level),
        };
        self.depth -= 1;
        value
    }

    fn joined(
        &mut self,
        word: &str,
        tighter: usize,
        join: fn(Vec<Condition>) -> Condition,
    ) -> Parsed<Value> {
        let start = self.start();
        let first = self.level(tighter)?;
        if self.peek()? != Token::Word(word) {
            return Ok(first);
        }
        let mut parts = vec![as_condition(first, start, word)?];
        while self.take(Token::Word(word))? {
            let start = self.start();
            let part = self.level(tighter)?;
            parts.push(as_condition(part, start, word)?);
        }
        Ok(Value::Condition(join(parts)))
    }

    fn start(&mut self) -> usize {
        self.skip_blanks();
        self.at
    }

    fn comparison(&mut self) -> Parsed<Value> {
        if self.take(Token::Word("not"))? {
            let start = self.start();
            let value = self.level(COMPARE)?;
            let condition = as_condition(value, start, "not")?;
            return Ok(Value::Condition(Condition::Not(Box::new(condition))));
        }
        let start = self.start();
        let left = self.level(COMPARE + 1)?;
        if self.take(Token::Word("in"))? {
            let number = as_number(left, start, "in")?;
            return self.set(number).map(Value::Condition);
        }
        let comparison = match self.peek()? {
            Token::Symbol("==") => Comparison::Equal,
            Token::Symbol("!=") => Comparison::NotEqual,
            Token::Symbol("<") => Comparison::Less,
            Token::Symbol("<=") => Comparison::LessOrEqual,
            Token::Symbol(">") => Comparison::Greater,
            Token::Symbol(">=") => Comparison::GreaterOrEqual,
            _ => return Ok(left),
        };
        let sign = self.start();
        self.next()?;
        if let Value::Octets(octets) = left {
            return self.pattern(octets, comparison, sign).map(Value::Condition);
        }
        let left = as_number(left, start, "a comparison")?;
        let start = self.start();
        let right = self.level(COMPARE + 1)?;
        let right = as_number(right, start, "a comparison")?;
        match self.peek()? {
            Token::Symbol("==" | "!=" | "<" | "<=" | ">" | ">=") => Err(mistake(
                self.at,
                "comparisons cannot be chained: join them with `and`",
            )),
            _ => Ok(Value::Condition(Condition::Compare(
                comparison, left, right,
            ))),
        }
    }

    fn set(&mut self, number: Number) -> Parsed<Condition> {
        if self.take(Token::Symbol("("))? {
            let mut values = Vec::new();
            loop {
                values.push(self.plain_number()?);
                if values.len() > LONGEST {
                    return Err(mistake(
                        self.at,
                        format!("a set holds at most {LONGEST} numbers"),
                    ));
                }
                if !self.take(Token::Symbol(","))? {
                    break;
                }
            }
            self.expect(")")?;
            return Ok(Condition::OneOf(number, values));
        }
        let start = self.start();
        let least = self.plain_number()?;
        self.expect("..=")?;
        let most = self.plain_number()?;
        if least > most {
            return Err(mistake(
                start,
                format!("the range {least}..={most} is empty"),
            ));
        }
        Ok(Condition::Within(number, least, most))
    }

    fn plain_number(&mut self) -> Parsed<u32> {
        let (token, end) = self.scan()?;
        match token {
            Token::Number(number) => {
                self.at = end;
                Ok(number)
            }
            other => Err(self.unexpected(other, "a number")),
        }
    }

    /// `[02 04 ?? ..]`, after a comparison of octets.
    fn pattern(
        &mut self,
        octets: Octets,
        comparison: Comparison,
        sign: usize,
    ) -> Parsed<Condition> {
        let negated = match comparison {
            Comparison::Equal => false,
            Comparison::NotEqual => true,
            _ => return Err(mistake(sign, "octets can only be compared with == or !=")),
        };
        self.expect("[")?;
        let end = self.text[self.at..]
            .find(']')
            .map(|length| self.at + length);
        let end = end.ok_or_else(|| mistake(self.at, "the pattern does not end: add ]"))?;
        let mut pattern: Vec<PatternOctet> = Vec::new();
        let mut open = false;
        while self.start() < end {
            let rest = &self.text[self.at..end];
            let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let word = &rest[..length];
            if open {
                return Err(mistake(self.at, ".. must be the last of a pattern"));
            }
            match word {
                ".." => open = true,
                "??" => pattern.push(None),
                _ if word.len() == 2 && word.bytes().all(|c| c.is_ascii_hexdigit()) => {
                    pattern.push(u8::from_str_radix(word, 16).ok());
                }
                _ => {
                    return Err(mistake(
                        self.at,
                        format!(
                            "{word:?} is no octet: write two hexadecimal digits, ?? for any, or .. at the end"
                        ),
                    ));
                }
            }
            if pattern.len() > LONGEST {
                return Err(mistake(
                    self.at,
                    format!("a pattern holds at most {LONGEST} octets"),
                ));
            }
            self.at += length;
        }
        self.at = end + 1;
        let matches = Condition::Matches {
            octets,
            pattern,
            open,
        };
        Ok(if negated {
            Condition::Not(Box::new(matches))
        } else {
            matches
        })
    }

    fn arithmetic(&mut self, level: usize) -> Parsed<Value> {
        let Some(operators) = LEVELS.get(level - COMPARE - 1) else {
            return self.primary();
        };
        let start = self.start();
        let mut left = self.level(level + 1)?;
        loop {
            let token = self.peek()?;
            let found = operators
                .iter()
                .find(|(sign, _)| token == Token::Symbol(sign));
            let Some(&(sign, operator)) = found else {
                return Ok(left);
            };
            self.next()?;
            let right_start = self.start();
            let right = self.level(level + 1)?;
            let a = as_number(left, start, sign)?;
            let b = as_number(right, right_start, sign)?;
            left = Value::Number(Number::Binary(operator, Box::new(a), Box::new(b)));
        }
    }

    fn primary(&mut self) -> Parsed<Value> {
        let start = self.start();
        match self.next()? {
            Token::Number(number) => Ok(Value::Number(Number::Constant(number))),
            Token::Symbol("(") => {
                let value = self.level(OR)?;
                self.expect(")")?;
                Ok(value)
            }
            Token::Word("swap") => {
                self.expect("(")?;
                let inner = self.start();
                let value = self.level(OR)?;
                let number = as_number(value, inner, "swap")?;
                self.expect(")")?;
                Ok(Value::Number(Number::Swap(Box::new(number))))
            }
            Token::Word(word) => self.name(word, start),
            token => {
                self.at = start;
                Err(self.unexpected(token, "a field, a number or a bracket"))
            }
        }
    }

    fn name(&mut self, word: &str, start: usize) -> Parsed<Value> {
        if let Some((_, bit)) = FLAG_NAMES.iter().find(|(name, _)| *name == word) {
            return Ok(Value::Number(Number::Constant(u32::from(*bit))));
        }
        let field = Field::ALL.into_iter().find(|field| field.name() == word);
        let value = match (self.about, word, field) {
            (About::Probe, _, Some(field)) => Value::Number(Number::Field(field)),
            (About::Flags, _, Some(Field::TcpFlags)) => {
                Value::Number(Number::Field(Field::TcpFlags))
            }
            (About::Probe, "tcp.options", _) => Value::Octets(Octets::TcpOptions),
            (About::Probe, "tcp.mss", _) => Value::Number(Number::SegmentSize),
            (About::Answer, "payload.length", _) => Value::Number(Number::PayloadLength),
            (About::Answer, "payload", _) => {
                if !self.take(Token::Symbol("["))? {
                    return Ok(Value::Octets(Octets::Payload));
                }
                let inner = self.start();
                let value = self.level(OR)?;
                let at = as_number(value, inner, "payload[ ]")?;
                self.expect("]")?;
                Value::Number(Number::Octet(Box::new(at)))
            }
            (about, _, _) => {
                return Err(mistake(
                    start,
                    format!("{word:?} is not known here: write {}", about.names()),
                ));
            }
        };
        Ok(value)
    }
}

fn as_number(value: Value, at: usize, by: &str) -> Parsed<Number> {
    match value {
        Value::Number(number) => Ok(number),
        other => Err(mistake(
            at,
            format!("{by} needs a number, and this is {}", other.what()),
        )),
    }
}

fn as_condition(value: Value, at: usize, by: &str) -> Parsed<Condition> {
    match value {
        Value::Condition(condition) => Ok(condition),
        other => Err(mistake(
            at,
            format!("{by} needs a condition, and this is {}", other.what()),
        )),
    }
}

#[cfg(test)]
#[path = "language_tests.rs"]
mod tests;
