//! Fingerprints, research scanners, completeness and events.

use noctule_page::model::{Cell, Column, Form, Kind, Section};

use crate::parts::{Finish as _, column, columns, made_up, note, number, section, table, text};
use crate::report::{Days, SENSORS};

use Cell::{Float, Int, Missing};
use Kind::{Asn, Count, Country, Number, Port, Share, Time, Word};

pub fn fingerprints(days: &Days) -> Vec<Section> {
    let shade = &days.incomplete;
    let rules = [
        vec![
            text("mirai"),
            text("2016-08-01"),
            text("2016-09-06"),
            text("2016-09-20"),
            Int(391_220),
            Int(9_123_456),
            Int(1_203_994),
            Int(140_532_101),
        ],
        vec![
            text("mirai-predecessor"),
            text("2016-04-02"),
            Missing,
            text("2016-07-14"),
            Int(31_002),
            Int(812_345),
            Int(160_331),
            Int(17_532_101),
        ],
        vec![
            text("zmap"),
            text("2016-01-01"),
            Missing,
            text("2016-08-11"),
            Int(212),
            Int(4_310_221),
            Int(2_120),
            Int(240_532_101),
        ],
    ];
    let of = [
        ("rule", Kind::Text),
        ("first_seen", Kind::Date),
        ("onset", Kind::Date),
        ("peak", Kind::Date),
        ("peak_sources", Count),
        ("peak_packets", Count),
        ("sources", Count),
        ("hits", Count),
    ];
    let n8 = table("n8-rules", "n8-rules", columns(&of), rules.into());
    let series = [
        ("mirai", 60.0, Some(31), 4_000.0),
        ("mirai-predecessor", 9_000.0, None, 0.0),
        ("zmap", 190.0, None, 0.0),
        ("masscan", 410.0, None, 0.0),
    ];
    let sources = days.table("n8-sources", "n8-sources", Kind::Text, &series);
    let names = series.map(|(name, ..)| name);
    let sources = sources.plot(Form::Lines, "date", &names, true, shade);
    let telnet = [
        ("with_mark", 2_000.0, Some(31), 80.0),
        ("without_mark", 150_000.0, None, 0.0),
    ];
    let telnet = days.table("n8-telnet", "n8-telnet", Count, &telnet);
    let telnet = telnet.plot(
        Form::Stacked,
        "date",
        &["with_mark", "without_mark"],
        false,
        shade,
    );
    let scanners = (1..=20).map(|at| {
        let country = if at % 3 == 0 { "US" } else { "NL" };
        vec![
            text(&format!("198.51.100.{at}")),
            text(country),
            Int(64_496 + at),
            Int(92 - at),
            Int(310_000_000 / at),
            Int(65_535 / at),
            text(if at % 2 == 0 { "yes" } else { "no" }),
            if at % 4 == 0 {
                text("Example Scanning Project")
            } else {
                Missing
            },
        ]
    });
    let of = [
        ("source", Kind::Text),
        ("country", Country),
        ("asn", Asn),
        ("days", Count),
        ("packets", Count),
        ("ports", Count),
        ("listed", Word),
        ("name", Kind::Text),
    ];
    let n9 = table("n9-sources", "n9-sources", columns(&of), scanners.collect());
    let names = [
        (
            text("Example Scanning Project"),
            "yes",
            92,
            5,
            40_000_000,
            8.49,
        ),
        (Missing, "yes", 92, 5, 20_000_000, 4.25),
        (Missing, "no", 90, 10, 10_000_000, 2.12),
    ];
    let names = names.map(|(name, listed, days, sources, packets, share)| {
        vec![
            name,
            text(listed),
            Int(days),
            Int(sources),
            Int(packets),
            Float(share),
        ]
    });
    let of = [
        ("name", Kind::Text),
        ("listed", Word),
        ("days", Count),
        ("sources", Count),
        ("packets", Count),
        ("share", Share),
    ];
    let names = table("n9-names", "n9-names", columns(&of), names.into());
    let summary = [
        vec![
            text("packets"),
            Float(471_123_456.0),
            Float(401_123_456.0),
            Float(70_000_000.0),
            Float(14.86),
        ],
        vec![
            text("tcp_sources"),
            Float(9_412_000.0),
            Float(9_411_700.0),
            Float(300.0),
            Float(0.003),
        ],
    ];
    let of = [
        ("measure", Word),
        ("all", Number),
        ("without", Number),
        ("research", Number),
        ("share", Share),
    ];
    let summary = table("n9-summary", "n9-summary", columns(&of), summary.into());
    vec![
        section("n8", vec![n8, sources, telnet]),
        section("n9", vec![summary, names, n9]),
    ]
}

pub fn trust(days: &Days) -> Vec<Section> {
    let counts = [
        "intervals",
        "missing",
        "incomplete",
        "degraded",
        "partial",
        "dark",
        "counted",
        "lost_unserved",
        "lost_rx_dropped",
        "lost_rx_ring_full",
        "lost_unexplained",
        "overflow",
        "late",
    ];
    let mut of: Vec<Column> = columns(&[
        ("date", Kind::Date),
        ("sensor", Kind::Text),
        ("observed", Share),
    ]);
    of.extend(counts.map(|id| column(id, Count)));
    of.extend(columns(&[("addresses", Number), ("address_hours", Number)]));
    let mut rows = Vec::new();
    for (at, day) in days.days.iter().enumerate() {
        for (seed, sensor) in SENSORS.iter().enumerate() {
            let is_short = days.incomplete.contains(day) && seed == 1;
            let dark = made_up(1.4e6, at, seed, Some(70), 1.5);
            let mut row = vec![
                text(day),
                text(sensor),
                Float(if is_short { 61.2 } else { 100.0 }),
            ];
            row.extend(
                [
                    if is_short { 881 } else { 1_440 },
                    if is_short { 559 } else { 0 },
                    0,
                    0,
                    i64::from(is_short),
                    dark,
                    dark,
                    0,
                    0,
                    0,
                    0,
                    0,
                    3,
                ]
                .map(Int),
            );
            row.extend([Float(65_536.0), Float(1_572_864.0)]);
            rows.push(row);
        }
    }
    let by_day = table("c1-days", "c1-days", of, rows);
    let of = [
        ("sensor", Kind::Text),
        ("observed", Share),
        ("observed_hours", Number),
        ("missing_hours", Number),
        ("days_incomplete", Count),
        ("days_degraded", Count),
        ("dark", Count),
        ("counted", Count),
        ("lost", Count),
        ("addresses", Number),
        ("address_hours", Number),
        ("prefix_lists", Count),
    ];
    let sensors = SENSORS.map(|sensor| {
        vec![
            text(sensor),
            Float(99.2),
            Float(2_190.4),
            Float(17.6),
            Int(3),
            Int(0),
            Int(141_223_101),
            Int(141_223_098),
            Int(3),
            Float(65_536.0),
            Float(143_550_054.4),
            Int(1),
        ]
    });
    let sensors = table("c1-sensors", "c1-sensors", columns(&of), sensors.into());
    let mut c1 = section("c1", vec![sensors, by_day]);
    c1.notes = vec![
        note(
            "sensor-missing",
            true,
            &[
                ("sensor", Kind::Text, text("delta")),
                ("days", Count, Int(92)),
            ],
        ),
        note("degraded", true, &[("intervals", Count, Int(12_345))]),
        note(
            "outage",
            true,
            &[
                ("sensor", Kind::Text, text("beta")),
                ("from", Time, text("2016-07-26T01:02:00Z")),
                ("to", Time, text("2016-07-27T03:00:00Z")),
            ],
        ),
    ];
    let of = [
        ("from", Kind::Date),
        ("to", Kind::Date),
        ("port", Port),
        ("measure", Word),
        ("kind", Word),
        ("peak", Kind::Date),
        ("value", Count),
        ("usual", Number),
        ("band", Number),
        ("ratio", Number),
        ("rule", Kind::Text),
    ];
    let events = [
        (
            "2016-09-06",
            "2016-09-29",
            "23/tcp",
            "sources",
            "rise",
            612_345,
            181_020.0,
            289_632.5,
            "",
        ),
        (
            "2016-09-10",
            "2016-09-30",
            "2323/tcp",
            "sources",
            "new-port",
            101_223,
            0.0,
            60.0,
            "",
        ),
        (
            "2016-09-06",
            "2016-09-06",
            "23/tcp",
            "sources",
            "new-fingerprint",
            391_220,
            0.0,
            5.0,
            "mirai",
        ),
        (
            "2016-08-29",
            "2016-08-30",
            "all",
            "packets",
            "fall",
            2_101_223,
            5_100_000.0,
            3_570_000.0,
            "",
        ),
    ];
    let events = events.map(|(from, to, port, measure, kind, peak, usual, band, rule)| {
        let ratio = if usual > 0.0 {
            number(peak as f64 / usual)
        } else {
            Missing
        };
        let rule = if rule.is_empty() { Missing } else { text(rule) };
        vec![
            text(from),
            text(to),
            text(port),
            text(measure),
            text(kind),
            text(to),
            Int(peak),
            Float(usual),
            Float(band),
            ratio,
            rule,
        ]
    });
    vec![
        c1,
        section(
            "c2",
            vec![table("c2-events", "c2-events", columns(&of), events.into())],
        ),
    ]
}
