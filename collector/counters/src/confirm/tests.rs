//! Tests of confirmed sources.

use noctule_packet::rules::RuleFile;
use noctule_packet::{CellId, Class};

use super::*;

const DAY: i32 = 17_000;

fn hit(name: &str, source: u32, port: u16, hits: u64, value: Option<u16>) -> Hits {
    let rules = Rules::shipped();
    let (rule, _) = rules.find(name).unwrap();
    Hits {
        source,
        port,
        rule,
        hits,
        span: value.map(|value| (value, value)),
    }
}

/// Two probes with this value of `unicornscan`'s expression.
fn flow(rules: &Rules, source: u32, port: u16, value: u16) -> Flow {
    let (_, unicornscan) = rules.find("unicornscan").unwrap();
    let Carried::InFlows(slot) = unicornscan.carried else {
        panic!("it has no `when`")
    };
    let mut slots = [(1, 2); SLOTS];
    slots[slot] = (value, value);
    Flow {
        source: Source::V4(source),
        cell: CellId::new(6, Class::Scan, Some(port)),
        packets: 2,
        bytes: 80,
        first_us: 0,
        last_us: 0,
        ttl: (1, 1),
        tcp_flags: 2,
        ip_id: None,
        slots: Some(slots),
        last_source_port: None,
        destinations: 1,
    }
}

/// The shipped rules, with `unicornscan` in another slot, or in another version.
fn changed(version: u16) -> Arc<Rules> {
    let text = format!(
        "version = 1\ndisable = [\"unicornscan\", \"unicornscan-swapped\"]\n\
         [[fingerprint]]\nname = \"other\"\nversion = 1\nconstant = \"ip.id\"\nchance_bits = 16\nsource = \"test\"\n\
         [[fingerprint]]\nname = \"unicornscan\"\nversion = {version}\nsource = \"test\"\nchance_bits = 16\n\
         constant = \"tcp.seq ^ ip.destination ^ ((tcp.destination_port << 16) + tcp.source_port)\"\n"
    );
    let file = RuleFile {
        name: "test",
        text: &text,
    };
    Arc::new(Rules::load(Some(file)).unwrap())
}

fn sources(all: &BTreeMap<String, Outcome>, name: &str) -> Option<u64> {
    all.get(name).map_or(Some(0), |outcome| outcome.sources)
}

#[test]
fn three_matches_in_a_day_confirm_over_ports_and_intervals() {
    let rules = Rules::shipped();
    let mut all = Confirmations::new(100);
    all.interval(DAY, &rules);
    all.hits(&hit("zmap", 1, 80, 2, None));
    all.hits(&hit("zmap", 2, 80, 2, None));
    all.interval(DAY, &rules);
    all.hits(&hit("zmap", 1, 443, 1, None));
    all.interval(DAY + 1, &rules);
    all.hits(&hit("zmap", 2, 80, 1, None));
    all.hits(&hit("zmap", 1, 80, 9, None));
    let found = all.finish();
    let expected = Outcome {
        sources: Some(1),
        packets: Some(12),
        superseded_packets: Some(0),
    };
    assert_eq!(
        found["zmap"], expected,
        "source 2 has 2 on one day and 1 on the next"
    );
}

#[test]
fn an_expression_must_stay_the_same() {
    let rules = Rules::shipped();
    let mut all = Confirmations::new(100);
    all.interval(DAY, &rules);
    for port in 0..5 {
        all.hits(&hit("nmap-syn", 1, port, 1, Some(7)));
        all.hits(&hit("nmap-syn", 2, port, 1, Some(port)));
    }
    assert_eq!(sources(&all.finish(), "nmap-syn"), Some(1));
}

#[test]
fn beyond_the_budget_there_is_no_count_for_that_run() {
    let rules = Rules::shipped();
    let mut all = Confirmations::new(8);
    all.interval(DAY, &rules);
    for source in 0..9 {
        all.hits(&hit("zmap", source, 80, 3, None));
    }
    all.interval(DAY + 1, &rules);
    all.hits(&hit("zmap", 1, 80, 3, None));
    assert_eq!(sources(&all.finish(), "zmap"), None);
}

#[test]
fn probes_with_a_constant_expression_confirm_rules_without_when() {
    let rules = Rules::shipped();
    let flow = |source, port, value| flow(&rules, source, port, value);
    let mut all = Confirmations::new(100);
    all.interval(DAY, &rules);
    for port in [1, 2] {
        all.flow(&flow(1, port, 9));
        all.flow(&flow(2, port, port));
    }
    let found = all.finish();
    let expected = Outcome {
        sources: Some(1),
        packets: Some(4),
        superseded_packets: Some(0),
    };
    assert_eq!(found["unicornscan"], expected);
    assert!(!found.contains_key("unicornscan-swapped"));
}
#[test]
fn a_source_of_a_rule_is_none_of_those_that_it_supersedes() {
    let rules = Rules::shipped();
    let mut all = Confirmations::new(100);
    all.interval(DAY, &rules);
    for (source, ids) in [(1, [7, 7]), (2, [7, 8])] {
        for (port, id) in (0..).zip(ids) {
            all.hits(&hit("mirai", source, port, 2, None));
            all.hits(&hit("mirai-precursor", source, port, 2, Some(id)));
        }
    }
    // On the next day the first source draws IP IDs, too.
    all.interval(DAY + 1, &rules);
    all.hits(&hit("mirai", 1, 23, 5, None));
    let found = all.finish();
    let mirai = Outcome {
        sources: Some(2),
        packets: Some(9),
        superseded_packets: Some(4),
    };
    assert_eq!(found["mirai"], mirai);
    assert_eq!(sources(&found, "mirai-precursor"), Some(1));
}

#[test]
fn rules_that_change_within_a_day_count_their_own_packets() {
    let shipped = Rules::shipped();
    let (same, other) = (changed(1), changed(2));
    let run = |later: &Arc<Rules>, value: u16| {
        let mut all = Confirmations::new(100);
        all.interval(DAY, &shipped);
        all.flow(&flow(&shipped, 1, 80, 9));
        all.interval(DAY, later);
        all.flow(&flow(later, 1, 81, value));
        sources(&all.finish(), "unicornscan")
    };
    assert_eq!(run(&same, 9), Some(1), "one rule in another slot");
    assert_eq!(run(&same, 8), Some(0), "its expression varies");
    assert_eq!(run(&other, 9), Some(0), "two packets for each version");
    // What a version confirms is a source of the name, once.
    let mut all = Confirmations::new(100);
    all.interval(DAY, &shipped);
    for port in [1, 2] {
        all.flow(&flow(&shipped, 1, port, 9));
    }
    all.interval(DAY, &other);
    for port in [1, 2] {
        all.flow(&flow(&other, 1, port, 7));
    }
    let expected = Outcome {
        sources: Some(1),
        packets: Some(8),
        superseded_packets: Some(0),
    };
    assert_eq!(all.finish()["unicornscan"], expected);
}
