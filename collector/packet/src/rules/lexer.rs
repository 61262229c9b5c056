//! Tokens of the rule language, and mistakes in its text.

/// A mistake in a rule's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its offset in the text, in octets.
    pub at: usize,
    /// The mistake, and what to write instead.
    pub message: String,
}

pub(super) type Parsed<T> = Result<T, Mistake>;

pub(super) fn mistake(at: usize, message: impl Into<String>) -> Mistake {
    Mistake {
        at,
        message: message.into(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Word(&'a str),
    Number(u32),
    Symbol(&'a str),
    End,
}

const SYMBOLS: [&str; 19] = [
    "..=", "==", "!=", "<=", ">=", "<<", ">>", "<", ">", "|", "^", "&", "+", "-", "(", ")", "[",
    "]", ",",
];

/// The first token from `at` on, without blanks before it: the token, its start and its end.
pub(super) fn scan(text: &str, at: usize) -> Parsed<(Token<'_>, usize, usize)> {
    let at = skip_blanks(text, at);
    let rest = &text[at..];
    let Some(first) = rest.chars().next() else {
        return Ok((Token::End, at, at));
    };
    let length_of = |fits: fn(char) -> bool| rest.find(|c| !fits(c)).unwrap_or(rest.len());
    if first.is_ascii_alphabetic() {
        let length = length_of(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        return Ok((Token::Word(&rest[..length]), at, at + length));
    }
    if first.is_ascii_digit() {
        let length = length_of(|c| c.is_ascii_alphanumeric() || c == '_');
        let number = number(&rest[..length], at)?;
        return Ok((Token::Number(number), at, at + length));
    }
    match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        Some(symbol) => Ok((Token::Symbol(symbol), at, at + symbol.len())),
        None if first == '=' => Err(mistake(
            at,
            "a single = means nothing here: compare with ==",
        )),
        None => Err(mistake(at, format!("{first:?} means nothing here"))),
    }
}

/// The first offset from `at` on that is not blank.
pub(super) fn skip_blanks(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    at + rest.len() - rest.trim_start().len()
}

fn number(text: &str, at: usize) -> Parsed<u32> {
    let digits = text.replace('_', "");
    let read = match digits.strip_prefix("0x") {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
        None => digits.parse(),
    };
    read.map_err(|_| {
        mistake(
            at,
            format!(
                "{text} is no number of 32 bits: write it in decimal, or as 0x and hexadecimal digits"
            ),
        )
    })
}
