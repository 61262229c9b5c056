//! Ports, regions and sensors, as TSUBAME reports them.

use noctule_page::model::{Cell, Form, Kind, Section};

use crate::parts::{Finish as _, column, columns, note, number, section, table, text};
use crate::report::{COUNTRIES, Days, SENSORS, countries};

use Cell::{Float, Int, Missing};
use Kind::{Asn, Count, Country, Month, Number, Port, Rank, Share, Time};

pub fn regions(days: &Days) -> Vec<Section> {
    let shade = &days.incomplete;
    let top = ["23/tcp", "53413/udp", "445/tcp", "1433/tcp", "2323/tcp"];
    let previous = [Int(1), Int(2), Int(4), Int(3), Missing];
    let ranked = |kind: Kind, id: &str, name: &str, things: &[&str]| {
        let rows = things
            .iter()
            .zip(previous.clone())
            .enumerate()
            .map(|(at, (thing, before))| {
                let packets = 241_123_456 / (at as i64 * 4 + 1);
                vec![
                    Int(at as i64 + 1),
                    text(thing),
                    Int(packets),
                    number(packets as f64 / 4_711_234.0),
                    before,
                ]
            });
        let of = [
            ("rank", Rank),
            (name, kind),
            ("packets", Count),
            ("share", Share),
            ("previous", Rank),
        ];
        table(id, id, columns(&of), rows.collect())
    };
    let t1 = ranked(Port, "t1-ports", "port", &top);
    let t2 = ranked(Country, "t2-regions", "country", &COUNTRIES[..5]);
    let usual = [2.1e6, 2.0e5, 1.7e5, 1.3e5, 9.0e4];
    let series = |names: &[&'static str]| -> Vec<(&'static str, f64, Option<usize>, f64)> {
        names
            .iter()
            .zip(usual)
            .enumerate()
            .map(|(at, (name, usual))| (*name, usual, (at % 4 == 0).then_some(70), 1.5))
            .collect()
    };
    let t3 = days.table("t3-days", "t3-days", Port, &series(&top));
    let t3 = t3.plot(Form::Lines, "date", &top, true, shade);
    let five = &COUNTRIES[..5];
    let t4 = days.table("t4-days", "t4-days", Country, &series(five));
    let t4 = t4.plot(Form::Lines, "date", five, false, shade);
    let mut six = five.to_vec();
    six.push("rest");
    let mut of_region = series(five);
    of_region.push(("rest", 4.0e5, None, 0.0));
    let t5 = days
        .table("t5-days-23-tcp", "t5-days", Country, &of_region)
        .with("port", Port, text("23/tcp"));
    let t5 = t5.plot(Form::Stacked, "date", &six, false, shade);
    let t6 = days.table(
        "t6-days-53-udp",
        "t6-days",
        Count,
        &[("packets", 2_000.0, Some(40), 9.0)],
    );
    let t6 =
        t6.with("port", Port, text("53/udp"))
            .plot(Form::Lines, "date", &["packets"], false, shade);
    let mut resolvers = countries("t6-countries-53-udp", "t6-countries", "packets", 401_222).with(
        "port",
        Port,
        text("53/udp"),
    );
    resolvers.columns.insert(2, column("resolvers", Count));
    for row in &mut resolvers.rows {
        let count = if let Int(packets) = row[2] {
            packets / 31
        } else {
            0
        };
        row.insert(2, Int(count));
    }
    let list = (0..140).map(|at| {
        let asn = 64_500 + at / 20;
        vec![
            Int(asn),
            text(if asn % 2 == 0 { "JP" } else { "TW" }),
            text(&format!("203.0.113.{at}")),
            text("2016-09-03T04:05:06Z"),
            text("2016-09-29T23:59:59.5Z"),
            Int(40_000 + at),
            Int(17 * at + 3),
            text("mirai"),
        ]
    });
    let of = [
        ("asn", Asn),
        ("country", Country),
        ("source", Kind::Text),
        ("first_seen", Time),
        ("last_seen", Time),
        ("last_source_port", Count),
        ("packets", Count),
        ("rule", Kind::Text),
    ];
    let sources = table(
        "t7-sources-mirai",
        "t7-sources",
        columns(&of),
        list.collect(),
    )
    .with("rule", Kind::Text, text("mirai"));
    let systems = (0..7).map(|at| {
        vec![
            Int(64_500 + at),
            text(if at % 2 == 0 { "JP" } else { "TW" }),
            Int(20),
            Int(2_400 + 31 * at),
        ]
    });
    let of = [
        ("asn", Asn),
        ("country", Country),
        ("sources", Count),
        ("packets", Count),
    ];
    let systems = table(
        "t7-systems-mirai",
        "t7-systems",
        columns(&of),
        systems.collect(),
    )
    .with("rule", Kind::Text, text("mirai"));
    let months =
        ["2016-07", "2016-08", "2016-09"]
            .iter()
            .zip([1_402_331.25, 1_390_021.5, 2_912_001.0]);
    let months = months
        .map(|(month, mean)| vec![text(month), Float(mean), Int(91), Int((mean * 91.0) as i64)]);
    let of = [
        ("month", Month),
        ("packets_per_sensor_day", Number),
        ("days", Count),
        ("packets", Count),
    ];
    let months = table("t8-months", "t8-months", columns(&of), months.collect());
    let months = months.plot(
        Form::Stacked,
        "month",
        &["packets_per_sensor_day"],
        false,
        &["2016-07".to_owned()],
    );
    let mut t8 = vec![months];
    t8.extend(SENSORS.map(|sensor| {
        let mut table = ranked(Port, "t8", "port", &top);
        table.id = format!("t8-sensor-{sensor}");
        table.kind = "t8-sensor".to_owned();
        table.columns.truncate(4);
        table.with("sensor", Kind::Text, text(sensor))
    }));
    let mut t7 = section("t7", vec![systems, sources]);
    t7.notes.push(note("notify-not-asked", false, &[]));
    vec![
        section("t1", t1.twins()),
        section("t2", t2.twins()),
        section("t3", t3.twins()),
        section("t4", t4.twins()),
        section("t5", t5.twins()),
        section("t6", vec![t6, resolvers]),
        t7,
        section("t8", t8),
    ]
}
