//! The table of frames in which no destination address was found, with the settings that read them.

use noctule_counters::summary::{Summary, UnparsedCount};

use super::text::{Column, ROWS, grouped, line, table};

/// Adds the table, if there are such frames.
pub fn tables(text: &mut String, summary: &Summary) {
    if summary.unparsed.is_empty() {
        return;
    }
    let (shown, rest) = (summary.unparsed).split_at(summary.unparsed.len().min(ROWS));
    let mut rows: Vec<Vec<String>> = (shown.iter())
        .map(|one| {
            let hint = hint(one).unwrap_or_default();
            vec![
                one.name.clone(),
                number(one),
                grouped(one.packets),
                grouped(one.bytes),
                hint,
            ]
        })
        .collect();
    if !rest.is_empty() {
        let sum = |of: fn(&UnparsedCount) -> u64| grouped(rest.iter().map(of).sum());
        rows.push(vec![
            format!("{} more kinds", rest.len()),
            String::new(),
            sum(|one| one.packets),
            sum(|one| one.bytes),
            String::new(),
        ]);
    }
    line(
        text,
        "frames that were passed because no destination address was found in them",
    );
    let columns = [
        Column::left("not parsed"),
        Column::left("number"),
        Column::right("frames"),
        Column::right("bytes"),
        Column::left("read with"),
    ];
    table(text, &columns, &rows);
}

/// The kind and its number, as people write it.
fn number(one: &UnparsedCount) -> String {
    match (one.kind.as_str(), one.number) {
        (_, None) => one.kind.replace('_', " "),
        (kind @ ("ethertype" | "ppp"), Some(number)) => format!("{kind} {number:#06x}"),
        (kind @ "llc", Some(number)) => format!("{kind} {number:#04x}"),
        (kind, Some(number)) => format!("{} {number}", kind.replace('_', " ")),
    }
}

/// The setting that may read these frames.
fn hint(one: &UnparsedCount) -> Option<String> {
    match (one.kind.as_str(), one.number?) {
        ("ethertype", 0x88e7) => Some("inner_ethernet = [\"pbb\"]".to_owned()),
        ("mpls_payload", _) => Some("inner_ethernet = [\"eompls\"]".to_owned()),
        ("ethertype", number @ (0x8200 | 0x9300)) => Some(format!("outer_tags = [{number:#06x}]")),
        ("ethertype", number @ 0x600..) if one.name == "not read" => Some(format!(
            "outer_tags = [{number:#06x}], if it announces a tag"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_with_the_setting_that_reads_them() {
        let count = |kind: &str, number, name: &str, packets| UnparsedCount {
            kind: kind.to_owned(),
            number,
            name: name.to_owned(),
            packets,
            bytes: packets * 60,
        };
        let summary = Summary {
            unparsed: vec![
                count("ethertype", Some(0x0806), "ARP", 1_000),
                count("ethertype", Some(0x8200), "often an outer VLAN tag", 9),
                count("ethertype", Some(0x88e7), "provider backbone bridging", 8),
                count("mpls_payload", Some(0), "MPLS", 7),
                count("ethertype", Some(0x1234), "not read", 6),
                count("llc", Some(0x42), "spanning tree", 5),
                count("cut", None, "frames cut", 4),
            ],
            ..Summary::default()
        };
        let mut text = String::new();
        tables(&mut text, &summary);
        let row = |name: &str| {
            let found = text.lines().find(|line| line.contains(name));
            found.unwrap_or_else(|| panic!("{name} in {text}"))
        };
        assert!(row("ARP").contains("ethertype 0x0806"), "{text}");
        assert!(
            row("ARP").contains("1,000") && !row("ARP").contains('['),
            "{text}"
        );
        assert!(row("0x8200").contains("outer_tags = [0x8200]"), "{text}");
        assert!(
            row("backbone").contains("inner_ethernet = [\"pbb\"]"),
            "{text}"
        );
        assert!(row("MPLS").contains("mpls payload 0"), "{text}");
        assert!(row("MPLS").contains("[\"eompls\"]"), "{text}");
        assert!(row("0x1234").contains("if it announces a tag"), "{text}");
        assert!(row("spanning tree").contains("llc 0x42"), "{text}");
        assert!(!row("frames cut").contains('['), "{text}");
        let mut none = String::new();
        tables(&mut none, &Summary::default());
        assert_eq!(none, "");
    }
}
