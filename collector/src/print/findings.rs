//! Tables of fingerprints, victims and bogons.

use std::collections::BTreeSet;

use noctule_counters::summary::{Summary, Victim};

use super::text::{Column, ROWS, grouped, known, line, numbers, port_name, several, table};

/// Adds the tables of a summary.
pub fn tables(text: &mut String, summary: &Summary) {
    let all = summary.dark_packets;
    let names: BTreeSet<&String> = (summary.fingerprints.keys())
        .chain(summary.confirmed_sources.keys())
        .collect();
    let mut rules: Vec<_> = (names.into_iter())
        .map(|name| {
            let packets = summary.fingerprints.get(name).copied();
            let confirmed = summary
                .confirmed_sources
                .get(name)
                .copied()
                .unwrap_or(Some(0));
            (name, packets, confirmed)
        })
        .collect();
    rules.sort_by_key(|&(name, packets, _)| (std::cmp::Reverse(packets), name));
    let mut rows: Vec<_> = (rules.into_iter())
        .map(|(name, packets, confirmed)| {
            let numbers = match packets {
                Some(packets) => numbers(packets, all, Some(known(confirmed))),
                None => vec!["not exact".to_owned(), String::new(), known(confirmed)],
            };
            [vec![name.clone()], numbers].concat()
        })
        .collect();
    if rows.is_empty() {
        rows.push(vec![
            "none".to_owned(),
            "0".to_owned(),
            String::new(),
            String::new(),
        ]);
    }
    table(
        text,
        &[
            Column::left("fingerprint"),
            Column::right("packets"),
            Column::right("share"),
            Column::right("confirmed sources"),
        ],
        &rows,
    );
    let zone = &summary.timezone;
    line(text, &format!("sources are confirmed by days of {zone}\n"));
    let quotes = &summary.quotes;
    if quotes.errors > 0 {
        line(
            text,
            &format!(
                "{} ICMP errors = {} that quote a victim + {} foreign + {} unreadable + {} without room",
                grouped(quotes.errors),
                grouped(quotes.counted),
                grouped(quotes.foreign),
                grouped(quotes.unreadable),
                grouped(quotes.overflow)
            ),
        );
        if let Some(victims) = summary
            .victims
            .as_ref()
            .filter(|victims| !victims.is_empty())
        {
            table(
                text,
                &[
                    Column::left("victim"),
                    Column::left("port"),
                    Column::right("ICMP errors"),
                    Column::right("share"),
                    Column::right("senders"),
                ],
                &victim_rows(victims, quotes.counted),
            );
        } else {
            text.push('\n');
        }
    }
    if let (Some(packets), Some(sources)) = (summary.bogon_packets, summary.bogon_sources)
        && packets > 0
    {
        line(
            text,
            &format!(
                "{} from {}, which no host can have\n",
                several(packets, "packet"),
                several(sources, "bogon address").replace("addresss", "addresses")
            ),
        );
    }
}

fn victim_rows(victims: &[Victim], all: u64) -> Vec<Vec<String>> {
    let shown = victims.len().min(ROWS);
    let mut rows: Vec<_> = (victims[..shown].iter())
        .map(|victim| {
            let port = port_name(&victim.protocol, victim.port);
            let numbers = numbers(victim.packets, all, Some(known(victim.senders)));
            [vec![victim.address.clone(), port], numbers].concat()
        })
        .collect();
    let rest: u64 = victims[shown..].iter().map(|victim| victim.packets).sum();
    if rest > 0 {
        let name = format!("{} more", victims.len() - shown);
        rows.push(
            [
                vec![name, String::new()],
                numbers(rest, all, Some(String::new())),
            ]
            .concat(),
        );
    }
    rows.push(
        [
            vec!["all".into(), String::new()],
            numbers(all, all, Some(String::new())),
        ]
        .concat(),
    );
    rows
}
