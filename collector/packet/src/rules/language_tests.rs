//! Tests of the rule language.

use proptest::prelude::*;

use super::*;
use crate::rules::condition::Answer;

fn parsed(text: &str) -> Condition {
    condition(text, About::Probe).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}"))
}

fn wrong(text: &str) -> (usize, String) {
    let mistake = condition(text, About::Probe).expect_err(text);
    (mistake.at, mistake.message)
}

/// Arithmetic without fields has one value.
fn value(text: &str) -> u32 {
    let nothing = Answer {
        payload: &[],
        claimed: 0,
    };
    number(text, About::Probe).unwrap().value(&nothing).unwrap()
}

#[test]
fn operators_bind_as_they_are_said_to() {
    assert_eq!(value("1 | 2 ^ 3 & 1"), 1 | (2 ^ (3 & 1)));
    assert_eq!(value("1 << 2 + 1"), 1 << 3);
    assert_eq!(value("0xff & 1 << 4"), 0xff & (1 << 4));
    assert_eq!(value("10 - 2 - 3"), 5);
    assert_eq!(value("(1 | 2) ^ 3"), 0);
    assert_eq!(value("swap(0x01020304)"), 0x0403_0201);
    assert_eq!(value("SYN | ACK"), 0x12);
    assert_eq!(value("1_000"), 1000);
    assert_eq!(
        parsed("ip.id == 1 or ip.id == 2 and not ip.id == 3"),
        parsed("(ip.id == 1) or ((ip.id == 2) and (not (ip.id == 3)))")
    );
    assert_eq!(
        parsed("ip.id == ip.destination ^ tcp.seq & 0xffff"),
        parsed("ip.id == (ip.destination ^ (tcp.seq & 0xffff))")
    );
}

#[test]
fn ranges_sets_and_patterns() {
    let window = || Number::Field(Field::Window);
    assert_eq!(
        parsed("tcp.window in 1..=9"),
        Condition::Within(window(), 1, 9)
    );
    assert_eq!(
        parsed("tcp.window in (1, 2)"),
        Condition::OneOf(window(), vec![1, 2])
    );
    let matches = |pattern: &[PatternOctet], open| Condition::Matches {
        octets: Octets::TcpOptions,
        pattern: pattern.to_vec(),
        open,
    };
    assert_eq!(parsed("tcp.options == []"), matches(&[], false));
    assert_eq!(
        parsed("tcp.options == [02 04 ?? B4 ..]"),
        matches(&[Some(2), Some(4), None, Some(0xb4)], true)
    );
    assert_eq!(
        parsed("tcp.options != [01]"),
        Condition::Not(Box::new(matches(&[Some(1)], false)))
    );
}

#[test]
fn mistakes_say_where_they_are() {
    for (text, at, part) in [
        ("", 0, "the end"),
        ("tcp.window", 0, "no condition"),
        ("tcp.windw == 1", 0, "\"tcp.windw\" is not known"),
        ("tcp.window == 4294967296", 14, "32 bits"),
        ("tcp.window == 0xzz", 14, "32 bits"),
        ("tcp.window = 1", 11, "compare with =="),
        ("tcp.window == 1 and", 19, "the end"),
        ("tcp.window == 1 and ip.id", 20, "and needs a condition"),
        ("tcp.options == 3", 15, "\"[\""),
        ("tcp.options < [01]", 12, "only be compared with == or !="),
        ("tcp.options == [1]", 16, "no octet"),
        ("tcp.options == [.. 01]", 19, "last"),
        ("tcp.options == [01", 16, "does not end"),
        ("1 < ip.id < 3", 10, "chained"),
        ("ip.id in 9..=1", 9, "empty"),
        ("(ip.id == 1", 11, "\")\""),
        ("ip.id == 1 2", 11, "the end, or an operator"),
        ("payload[0] == 1", 0, "not known here"),
        ("(ip.id == 1) ^ 2 == 3", 0, "^ needs a number"),
        ("ip.id == é", 9, "means nothing"),
    ] {
        let (found, message) = wrong(text);
        assert_eq!(found, at, "{text}: {message}");
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn fields_belong_to_what_is_asked_about() {
    assert!(condition("payload[2] & 0x80 != 0", About::Answer).is_ok());
    assert!(condition("payload[9 + payload[8]] == 0xa2", About::Answer).is_ok());
    assert!(condition("payload == [48 54 ..]", About::Answer).is_ok());
    assert!(condition("ip.id == 1", About::Answer).is_err());
    assert!(condition("tcp.flags & (SYN | ACK) == SYN", About::Flags).is_ok());
    assert!(condition("tcp.window == 1", About::Flags).is_err());
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| format!("{}1{} == 1", "(".repeat(depth), ")".repeat(depth));
    assert!(condition(&nested(20), About::Probe).is_ok());
    let (_, message) = wrong(&nested(100_000));
    assert!(message.contains("too deeply"), "{message}");
    let (_, message) = wrong(&"not ".repeat(100_000));
    assert!(message.contains("too deeply"), "{message}");
}

proptest! {
    /// Any text gives a value or a mistake that lies within the text.
    #[test]
    fn any_text_is_read_or_refused(text in "(\\PC|[a-z.() \\[\\]=&^|<>0-9?]){0,60}") {
        for about in [About::Probe, About::Answer, About::Flags] {
            if let Err(mistake) = condition(&text, about) {
                prop_assert!(mistake.at <= text.len());
                prop_assert!(text.is_char_boundary(mistake.at));
            }
        }
    }
}
