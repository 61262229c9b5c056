//! The plans hold what was published, and what is written follows the plans.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;

use jiff::civil::{Date, date};

use super::plan::{ScenarioPlan, TrafficKind};
use super::totals::{PlanTotals, by_country, ports, ranking};
use super::world::World;
use super::{Scenario, write_scenario};
use crate::pcap::tests::records;

fn plan(scenario: Scenario) -> ScenarioPlan {
    ScenarioPlan::read(scenario.text(), 1, 1).unwrap()
}

/// SourceTable 2 of NICTER's report of 2016, the others last.
const SEPTEMBER: [(&str, u64); 10] = [
    ("BR", 456_778),
    ("VN", 283_997),
    ("IN", 225_457),
    ("CN", 190_843),
    ("RU", 129_979),
    ("ID", 98_752),
    ("CO", 82_806),
    ("MX", 49_605),
    ("TR", 44_161),
    ("AR", 43_779),
];
const NOVEMBER: [(&str, u64); 10] = [
    ("BR", 1_206_589),
    ("IR", 334_510),
    ("GB", 272_590),
    ("TR", 187_296),
    ("CL", 84_755),
    ("IT", 83_816),
    ("IE", 53_869),
    ("TH", 40_418),
    ("AR", 34_861),
    ("IN", 32_123),
];
const OTHERS: [u64; 2] = [593_654, 138_675];

#[test]
fn the_table_is_planned_to_the_digit() {
    let plan = plan(Scenario::NicterTable2);
    let published = [SEPTEMBER, NOVEMBER];
    assert_eq!(plan.tables.len(), 2);
    for ((table, rows), others) in plan.tables.iter().zip(published).zip(OTHERS) {
        let countries = by_country(&plan, table);
        let ranked = ranking(&countries);
        assert_eq!(ranked[..10], rows, "{}", table.day);
        let rest: u64 = ranked[10..].iter().map(|(_, sources)| sources).sum();
        assert_eq!(rest, others);
        assert!(ranked.len() > 30, "the others are spread");
    }
}

#[test]
fn countries_of_2016_are_in_the_proportions_of_the_table() {
    let plan = plan(Scenario::Year2016);
    for ((table, rows), others) in (plan.tables.iter().zip([SEPTEMBER, NOVEMBER])).zip(OTHERS) {
        let countries = by_country(&plan, table);
        let sources: u64 = countries.values().sum();
        let published = rows.iter().map(|(_, n)| n).sum::<u64>() + others;
        for (country, number) in rows {
            let found = countries[country] as f64 / sources as f64;
            let wanted = number as f64 / published as f64;
            assert!(
                (found - wanted).abs() < 0.001,
                "{country}: {found} {wanted}"
            );
        }
        let row = &ranking(&countries)[..10];
        assert!(
            row.iter()
                .map(|(name, _)| name)
                .eq(rows.iter().map(|(name, _)| name))
        );
    }
}

#[test]
fn ranks_are_those_that_were_published_with_room_between_them() {
    let plan = plan(Scenario::Year2016);
    let totals = PlanTotals::new(&plan);
    for ranks in &plan.ranks {
        let order = |quarter: &str| {
            let quarter = &totals.quarters[quarter];
            let packets = match &ranks.of[..] {
                "ports" => &quarter.ports,
                _ => &quarter.countries,
            };
            ranking(packets)
        };
        for (quarter, now) in [(&ranks.quarter[..], true), ("2016-Q2", false)] {
            let order = order(quarter);
            for (name, rank, before) in &ranks.rows {
                let rank = if now { *rank } else { *before };
                assert_eq!(order[rank - 1].0, name, "{quarter}: {order:?}");
            }
            // A shift of nine hours in ninety days moves nothing by a hundredth.
            let last = ranks.rows.iter().map(|row| if now { row.1 } else { row.2 });
            for pair in order[..=last.max().unwrap()].windows(2) {
                let room = pair[0].1 as f64 / pair[1].1 as f64;
                assert!(room > 1.07, "{quarter}: {pair:?} of {order:?}");
            }
        }
    }
}

#[test]
fn a_year_has_some_twenty_million_packets_and_its_events_at_their_dates() {
    let plan = plan(Scenario::Year2016);
    let totals = PlanTotals::new(&plan);
    let packets: u64 = totals.days.values().sum();
    assert!((18_000_000..23_000_000).contains(&packets), "{packets}");
    let on = |port: &str, day: Date| {
        let rows = plan.rows.iter().enumerate();
        let of_row = rows.flat_map(|(number, row)| ports(row, plan.packets(number, day)));
        of_row
            .filter(|(name, _)| name == port)
            .map(|(_, n)| n)
            .sum::<u64>()
    };
    let dns = |day| {
        let rows =
            (0..plan.rows.len()).filter(|&row| plan.rows[row].kind == TrafficKind::DnsAnswers);
        rows.map(|row| plan.packets(row, day)).sum::<u64>()
    };
    let netis = |day| on("53413/udp", day);
    assert!(netis(date(2016, 7, 23)) > 3 * netis(date(2016, 7, 22)));
    assert!(netis(date(2016, 8, 5)) > 3 * netis(date(2016, 8, 6)));
    assert_eq!(on("2323/tcp", date(2016, 9, 5)), 0);
    assert!(on("2323/tcp", date(2016, 9, 6)) > 0);
    let telnet = |day| on("23/tcp", day);
    let peak = plan.days().max_by_key(|&day| telnet(day)).unwrap();
    assert_eq!(peak, date(2016, 9, 20));
    assert!(2 * telnet(date(2016, 9, 17)) > 3 * telnet(date(2016, 9, 13)));
    assert_eq!(on("7547/tcp", date(2016, 11, 24)), 0);
    let cwmp = plan.days().max_by_key(|&day| on("7547/tcp", day)).unwrap();
    assert_eq!(cwmp, date(2016, 11, 27));
    assert!(dns(date(2016, 9, 20)) > 50 * dns(date(2016, 9, 19)));
    // Eight of twenty-four hours were not watched.
    let (less, usual) = (
        totals.days[&date(2016, 10, 29)],
        totals.days[&date(2016, 10, 28)],
    );
    assert!(
        less * 10 < usual * 7 && less * 10 > usual * 6,
        "{less} {usual}"
    );
}

#[test]
fn no_two_populations_share_an_address() {
    let plan = ScenarioPlan::read(Scenario::Year2016.text(), 1, 50).unwrap();
    let world = World::new(&plan).unwrap();
    let mut owners: HashMap<u32, (usize, usize)> = HashMap::new();
    let countries = world.addresses.countries(false);
    for number in 0..plan.rows.len() {
        for share in plan.shares(number, plan.rows[number].peak()) {
            for place in 0..share.sources {
                let source = world.source(plan.rows[number].pool, share.country, place);
                let address = world.addresses.source4(source);
                assert_eq!(owners.insert(address, (number, share.country)), None);
            }
        }
    }
    for (&address, &(_, country)) in owners.iter().step_by(50) {
        let address = Ipv4Addr::from_bits(address);
        let range = (countries.iter()).find(|r| r.start <= address && address <= r.end);
        assert_eq!(range.unwrap().value, plan.countries[country]);
    }
    let forged: HashSet<u32> = (0..400_000)
        .map(|number| world.addresses.source4(world.forged(number)))
        .collect();
    assert_eq!(forged.len(), 400_000);
    assert!(forged.iter().all(|address| !owners.contains_key(address)));
}

/// Hours without observation have no packets, and every frame lies in its month and in order.
#[test]
fn what_is_written_follows_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    let divisor = 400;
    let written = write_scenario(Scenario::Year2016, 3, divisor, folder.path()).unwrap();
    let plan = ScenarioPlan::read(Scenario::Year2016.text(), 3, divisor).unwrap();
    let totals = PlanTotals::new(&plan);
    let mut days: BTreeMap<Date, u64> = BTreeMap::new();
    let outage = &plan.outages[0];
    let mut last = 0;
    let captures = written.files.iter().filter(|file| file.packets.is_some());
    for file in captures {
        let mut packets = 0;
        for (time, _) in records(&file.path) {
            packets += 1;
            assert!(time >= last);
            last = time;
            assert!(!(outage.from_us..outage.to_us).contains(&time));
            let number = (time + plan.offset_us) / 86_400_000_000;
            let day = date(1970, 1, 1) + jiff::Span::new().days(number);
            let name = format!("{}-{:02}.pcap", day.year(), day.month());
            assert!(file.path.ends_with(name));
            *days.entry(day).or_default() += 1;
        }
        assert_eq!(Some(packets), file.packets);
    }
    assert_eq!(days, totals.days);

    let again = tempfile::tempdir().unwrap();
    write_scenario(Scenario::Year2016, 3, divisor, again.path()).unwrap();
    for file in &written.files {
        let name = file.path.file_name().unwrap();
        let octets = |folder: &std::path::Path| std::fs::read(folder.join(name)).unwrap();
        assert!(octets(folder.path()) == octets(again.path()), "{name:?}");
        let text = octets(folder.path());
        let text = String::from_utf8_lossy(&text[..text.len().min(2000)]).to_lowercase();
        assert!(
            file.packets.is_some() || text.contains("synthetic"),
            "{name:?}"
        );
    }
}
