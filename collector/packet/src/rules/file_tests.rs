//! Tests of rule files: what an operator can add, and what is refused where.

use proptest::prelude::*;

use super::tests::names;
use super::*;

fn operator(text: &str) -> Result<Rules, RuleError> {
    Rules::load(Some(RuleFile {
        name: "mine.toml",
        text,
    }))
}

const MINE: &str = "version = 1\n[[fingerprint]]\nname = \"odd\"\nversion = 1\nwhen = \"tcp.window == 29200 and tcp.urgent == 0\"\nchance_bits = 32\nsource = \"ours\"\n";

#[test]
fn an_operators_file_adds_to_the_shipped_rules() {
    let rules = operator(MINE).unwrap();
    assert_eq!(
        rules.fingerprints().len(),
        Rules::shipped().fingerprints().len() + 1
    );
    assert_eq!(names(&rules, |_, _| {}), ["odd"]);
    let (_, odd) = rules.find("odd").unwrap();
    assert_eq!(
        (odd.file.as_str(), odd.confirmed_only, odd.carried),
        ("mine.toml", false, Carried::Nowhere)
    );
    let more = operator(&format!("disable = [\"zmap\", \"unicornscan\"]\n{MINE}")).unwrap();
    assert!(more.find("zmap").is_none());
    assert!(
        names(&more, |ip, _| ip[4..6]
            .copy_from_slice(&54_321u16.to_be_bytes()))
            == ["odd"]
    );
}

const OTHER: &str = "[[fingerprint]]\nname = \"other\"\nversion = 1\nwhen = \"ip.id == 7\"\nchance_bits = 16\nsource = \"ours\"\nsupersedes = [\"NAME\"]\n";

#[test]
fn a_file_says_what_supersedes_what() {
    // Shipped rules, later rules, and disabled rules.
    let first = MINE.replace("source =", "supersedes = [\"other\", \"mirai\"]\nsource =");
    let second = OTHER.replace("NAME", "zmap");
    let rules = operator(&format!("disable = [\"mirai\"]\n{first}{second}")).unwrap();
    let mut superseding = confirm::Superseding::default();
    superseding.add(&Rules::shipped());
    superseding.add(&rules);
    let expected = [
        ("mirai-precursor", "mirai"),
        ("odd", "mirai"),
        ("odd", "other"),
        ("odd", "zmap"),
        ("other", "zmap"),
    ];
    assert_eq!(superseding.pairs().collect::<Vec<_>>(), expected);
}

#[test]
fn every_change_makes_another_version() {
    let shipped = Rules::shipped();
    let mine = operator(MINE).unwrap();
    let changed = operator(&MINE.replace("29200", "29201")).unwrap();
    assert_eq!(operator(MINE).unwrap().version(), mine.version());
    for (a, b) in [
        (shipped.version(), mine.version()),
        (mine.version(), changed.version()),
    ] {
        assert_ne!(a, b);
        assert!(a.starts_with("3-") && b.starts_with("3-"));
    }
}

#[test]
fn mistakes_in_a_file_are_pointed_at() {
    let replaced = |from: &str, to: &str| MINE.replace(from, to);
    let many = |what: &str, n: usize| {
        let one = |i: usize| {
            format!(
                "[[fingerprint]]\nname = \"r{i}\"\nversion = 1\n{what}\nchance_bits = 1\nsource = \"s\"\n"
            )
        };
        format!("version = 1\n{}", (0..n).map(one).collect::<String>())
    };
    let cases = [
        ("[[fingerprint".to_owned(), (1, 14), ""),
        (replaced("version = 1\n[", "["), (1, 1), "missing field `version`"),
        (replaced("when", "wen"), (5, 1), "unknown field `wen`"),
        (replaced("tcp.window", "tcp.windw"), (5, 9), "\"tcp.windw\" is not known here"),
        (replaced("29200 and", "29200 und"), (5, 29), "\"und\" stands where"),
        (replaced("\"odd\"", "\"Odd one\""), (3, 8), "is no name"),
        (replaced("\"odd\"", "\"mirai\""), (3, 8), "stands in shipped rules already"),
        (replaced("chance_bits = 32", "chance_bits = \"32\""), (6, 15), "invalid type"),
        (replaced("source = \"ours\"", "source = \" \""), (7, 10), "the source is empty"),
        (replaced("version = 1\nwhen", "version = 99999\nwhen"), (4, 11), "cannot be 99999"),
        (replaced("when = \"tcp.window == 29200 and tcp.urgent == 0\"\n", ""), (3, 8), "needs `when`, `constant`, or both"),
        (replaced("when =", "when = \"ip.id == 1\"\nwhen ="), (6, 1), "duplicate key"),
        (replaced("source =", "packets = \"all\"\nsource ="), (7, 11), "\"matching\" or \"confirmed\""),
        (replaced("source =", "supersedes = [\"zmap\", \"zmop\"]\nsource ="), (7, 23), "no fingerprint is called \"zmop\""),
        (replaced("source =", "supersedes = [\"odd\"]\nsource ="), (7, 15), "cannot supersede itself"),
        (format!("{}{}", replaced("source =", "supersedes = [\"other\"]\nsource ="), OTHER.replace("NAME", "odd")), (7, 15), "supersede each other"),
        (replaced("source =", "event_field = \"zmap\"\nsource ="), (7, 15), "the event fields are Zmap, Masscan, Mirai"),
        (replaced("source =", "flowtuple_field = \"ttl\"\nsource ="), (7, 19), "the FlowTuple field is is_masscan"),
        (replaced("source =", "telnet_mark = 1\nsource ="), (7, 15), "invalid type"),
        (format!("disable = [\"zap\"]\n{MINE}"), (1, 12), "no shipped fingerprint is called"),
        (many("when = \"ip.id == 1\"", 40), (135, 8), "more than 32 fingerprints"),
        (many("constant = \"ip.id\"", 9), (11, 12), "at most 3"),
        (many("when = \"ip.id == 1\"\nconstant = \"ip.id\"", 9), (20, 12), "at most 4"),
        ("version = 1\n[[class]]\nprotocol = \"tcp\"\nclass = \"scan\"\nreason = \"x\"\n".to_owned(), (2, 1), "[[class]] cannot be changed"),
        ("version = 1\n[[bogon]]\nprefix = \"10.0.0.1/8\"\nreason = \"x\"\n".to_owned(), (3, 10), "did you mean 10.0.0.0/8"),
        ("version = 1\n[[reflection]]\nport = 53\nname = \"dns\"\nanswer = \"payload[0] == 1\"\nreason = \"x\"\n".to_owned(), (3, 8), "has a reflection rule already"),
        ("version = 1\n[[reflection]]\nport = 70000\nname = \"x\"\nanswer = \"payload[0] == 1\"\nreason = \"x\"\n".to_owned(), (3, 8), "a port cannot be 70000"),
    ];
    for (text, (line, column), part) in cases {
        let error = operator(&text)
            .err()
            .unwrap_or_else(|| panic!("accepted: {text}"));
        assert!(error.message.contains(part), "{error}");
        assert_eq!((error.line, error.column), (line, column), "{error}");
        assert!(error.to_string().starts_with("mine.toml:"), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn a_mistake_in_text_over_several_lines_has_its_own_line() {
    let text = MINE.replace(
        "\"tcp.window == 29200 and tcp.urgent == 0\"",
        "\"\"\"\n  tcp.window == 29200\n  and tcp.urgent = 0\"\"\"",
    );
    let error = operator(&text).unwrap_err();
    assert_eq!((error.line, error.column), (7, 18), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        if let Err(error) = operator(&text) {
            prop_assert!(error.line >= 1 && error.column >= 1);
        }
    }
}
