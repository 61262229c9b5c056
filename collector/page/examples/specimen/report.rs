//! A report of made-up figures that has every section.

use jiff::ToSpan as _;
use jiff::civil::Date;
use noctule_page::model::{About, Cell, Form, Kind, Period, Report, Section, Table, VERSION};

use crate::parts::{
    Finish as _, column, columns, made_up, named, note, number, section, table, text,
};
use crate::regions::regions;
use crate::trust::{fingerprints, trust};

use Cell::{Float, Int, Missing};
use Kind::{Count, Country, Number, Port, Rank, Share};

pub const COUNTRIES: [&str; 10] = ["VN", "CN", "BR", "IN", "US", "KR", "TW", "RU", "TR", "??"];
pub const SENSORS: [&str; 3] = ["alpha", "beta", "gamma"];

/// Days of the report and those among them that are incomplete.
pub struct Days {
    pub days: Vec<String>,
    pub incomplete: Vec<String>,
}

impl Days {
    fn rows(&self, columns: &[&dyn Fn(usize) -> Cell]) -> Vec<Vec<Cell>> {
        let row = |(at, day): (usize, &String)| {
            let figures = columns.iter().map(|figure| figure(at));
            std::iter::once(text(day)).chain(figures).collect()
        };
        self.days.iter().enumerate().map(row).collect()
    }

    /// A table of a column for each series: its name, usual figure, onset of a wave and its height.
    pub fn table(
        &self,
        id: &str,
        kind: &str,
        of: Kind,
        series: &[(&str, f64, Option<usize>, f64)],
    ) -> Table {
        let mut all = vec![column("date", Kind::Date)];
        all.extend(series.iter().map(|(id, ..)| match of {
            Count => column(id, Count),
            of => named(of, id),
        }));
        let rows = self
            .rows(&[])
            .into_iter()
            .enumerate()
            .map(|(day, mut row)| {
                for (seed, (_, usual, onset, height)) in series.iter().enumerate() {
                    row.push(Int(made_up(*usual, day, seed, *onset, *height)));
                }
                row
            });
        table(id, kind, all, rows.collect())
    }
}

/// A report of so many days from a first one.
pub fn specimen((name, from, count): (&str, &str, usize)) -> Report {
    let from: Date = from.parse().unwrap_or_default();
    let days: Vec<String> = (0..count)
        .filter_map(|at| {
            Some(
                from.checked_add(i64::try_from(at).ok()?.days())
                    .ok()?
                    .to_string(),
            )
        })
        .collect();
    let incomplete = days
        .iter()
        .enumerate()
        .filter(|(at, _)| matches!(at, 25 | 26 | 60));
    let incomplete = incomplete.map(|(_, day)| day.clone()).collect();
    let last = days.last().cloned().unwrap_or_default();
    let days = Days { days, incomplete };
    let mut sections = observation(&days);
    sections.extend(fingerprints(&days));
    sections.extend(regions(&days));
    sections.extend(trust(&days));
    Report {
        version: VERSION,
        about: About {
            store: "s3://telescope/store <specimen>".to_owned(),
            period: Period {
                name: name.to_owned(),
                from: from.to_string(),
                to: last,
            },
            compare: Period {
                name: "2016-Q2".to_owned(),
                from: "2016-04-01".to_owned(),
                to: "2016-06-30".to_owned(),
            },
            timezone: "Asia/Tokyo".to_owned(),
            sensors: SENSORS.map(str::to_owned).into(),
            notice: Some("Specimen: every figure on this page is made up.".to_owned()),
            made_by: "noctule 0.1.0 (specimen)".to_owned(),
            versions: vec!["rules 7".to_owned(), "prefixes 5f1c0d2e".to_owned()],
            files: 276,
            octets: 48_123_456_789,
            left_out: vec![
                "flows_daily/zone=Asia-Tokyo/date=2016-08-30/sensor=beta/9a.parquet: \
                            its SHA-256 is another"
                    .to_owned(),
            ],
        },
        sections,
    }
}

/// A report of a period without anything.
pub fn empty() -> Report {
    let mut report = specimen(("2016-09", "2016-09-01", 30));
    report.about.sensors.clear();
    report.about.notice = None;
    report.about.versions.clear();
    report.about.left_out.clear();
    report.about.files = 0;
    report.about.octets = 0;
    for section in &mut report.sections {
        section.notes = vec![note("no-ledger", true, &[])];
        section.tables.iter_mut().for_each(|table| {
            table.rows.clear();
            table.notes.clear();
        });
    }
    report
}

fn observation(days: &Days) -> Vec<Section> {
    let shade = &days.incomplete;
    let years = [("2014", 115_323), ("2015", 213_523), ("2016", 469_104)].map(|(year, each)| {
        let packets = Int(each * 299_887);
        vec![
            text(year),
            packets,
            Float(299_886.7),
            Float(each as f64),
            Float(2.6e9),
            Float(8_760.0),
            Float(99.93),
        ]
    });
    let n1 = table(
        "n1-years",
        "n1-years",
        columns(&[
            ("period", Kind::Text),
            ("packets", Count),
            ("addresses", Number),
            ("packets_per_address", Number),
            ("address_hours", Number),
            ("observed_hours", Number),
            ("complete", Share),
        ]),
        years.into(),
    );
    let kinds = [
        ("tcp", 4.1e6, Some(70), 2.2),
        ("udp", 9.0e5, None, 0.0),
        ("icmp", 1.2e5, None, 0.0),
        ("other", 3.0e3, None, 0.0),
    ];
    let mut n2 = days.table("n2-days", "n2-days", Count, &kinds);
    n2.columns.push(column("total", Count));
    for row in &mut n2.rows {
        let total = row
            .iter()
            .map(|cell| if let Int(number) = cell { *number } else { 0 })
            .sum();
        row.push(Int(total));
    }
    let n2 = n2.plot(
        Form::Stacked,
        "date",
        &["tcp", "udp", "icmp", "other"],
        false,
        shade,
    );
    let n3 = days.table(
        "n3-days",
        "n3-days",
        Count,
        &[("sources", 412_000.0, Some(70), 2.5)],
    );
    let n3 = n3.plot(Form::Lines, "date", &["sources"], false, shade);
    let shares = [
        ("23/tcp", 52.9),
        ("53413/udp", 4.6),
        ("445/tcp", 3.7),
        ("1433/tcp", 2.8),
        ("2323/tcp", 2.5),
        ("22/tcp", 2.2),
        ("3389/tcp", 2.0),
        ("8080/tcp", 1.9),
        ("80/tcp", 1.8),
        ("8/0/icmp", 1.4),
        ("rest", 17.26),
        ("backscatter", 6.9),
        ("no-port", 0.04),
    ];
    let ranked = shares.iter().enumerate().map(|(at, (port, share))| {
        let rank = if at < 10 { Int(at as i64 + 1) } else { Missing };
        vec![
            rank,
            text(port),
            Int((share * 4_711_234.0) as i64),
            Float(*share),
        ]
    });
    let of_ports = columns(&[
        ("rank", Rank),
        ("port", Port),
        ("packets", Count),
        ("share", Share),
    ]);
    let n4 = table("n4-ports", "n4-ports", of_ports, ranked.collect());
    let n4 = n4.plot(Form::Bars, "port", &["share"], false, &[]);
    let chosen = [
        ("23/tcp", 181_000.0, Some(66), 3.0),
        ("2323/tcp", 300.0, Some(69), 400.0),
        ("5555/tcp", 40.0, None, 0.0),
        ("7547/tcp", 8.0, Some(80), 900.0),
        ("53413/udp", 900.0, None, 0.0),
    ];
    let mut n5 = days.table("n5-sources", "n5-sources", Port, &chosen);
    for row in n5.rows.iter_mut().take(12) {
        row[4] = Int(0);
    }
    if let Some(row) = n5.rows.get_mut(60) {
        row[1] = Missing;
    }
    let ports = chosen.map(|(port, ..)| port);
    let n5 = n5.plot(Form::Lines, "date", &ports, true, shade);
    let peaks = ["2016-09-20", "2016-09-27"]
        .iter()
        .enumerate()
        .flat_map(|(at, day)| {
            let table = countries(
                &format!("n6-countries-{}", at + 1),
                "n6-countries",
                "sources",
                600_123 + at as i64 * 41,
            );
            let table = table.with("date", Kind::Date, text(day));
            table
                .with("ports", Kind::Text, text("23/tcp, 2323/tcp"))
                .twins()
        });
    let n7 = days.table(
        "n7-days-vn-23-tcp",
        "n7-days",
        Count,
        &[("sources", 31_000.0, Some(68), 3.2)],
    );
    let n7 = n7
        .with("country", Country, text("VN"))
        .with("port", Port, text("23/tcp"));
    let n7 = n7.plot(Form::Lines, "date", &["sources"], false, shade);
    let mut n1 = section("n1", n1.twins());
    n1.notes.push(note(
        "incomplete-days",
        true,
        &[("days", Count, Int(days.incomplete.len() as i64))],
    ));
    vec![
        n1,
        section("n2", n2.twins()),
        section("n3", n3.twins()),
        section("n4", n4.twins()),
        section("n5", n5.twins()),
        section("n6", peaks.collect()),
        section("n7", n7.twins()),
    ]
}

/// A ranking of countries with the others and the total.
pub fn countries(id: &str, kind: &str, measure: &str, total: i64) -> Table {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let mut left = total;
    for (at, country) in COUNTRIES.iter().enumerate() {
        let count = left / (at as i64 + 3);
        left -= count;
        rows.push(vec![
            Int(at as i64 + 1),
            text(country),
            Int(count),
            number(count as f64 * 100.0 / total as f64),
        ]);
    }
    rows.push(vec![
        Missing,
        text("rest"),
        Int(left),
        number(left as f64 * 100.0 / total as f64),
    ]);
    rows.push(vec![Missing, text("all"), Int(total), Float(100.0)]);
    let of = columns(&[
        ("rank", Rank),
        ("country", Country),
        (measure, Count),
        ("share", Share),
    ]);
    table(id, kind, of, rows)
}
