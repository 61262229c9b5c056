//! Odd names, odd figures, and tables of every shape.

use std::collections::BTreeSet;
use std::fs;

use noctule_page::model::{Cell, Column, Form, Kind, Plot, Population, Report, Table};
use noctule_page::{Error, Language, write};
use proptest::prelude::*;

use crate::read::{named, page};
use crate::report;

#[test]
fn names_cannot_leave_their_places() {
    let evil =
        "</script></style><script>alert('1')</script>\"><img src=x onerror=alert(1)>&amp;]]>";
    let mut report = report::specimen(("2016-07", "2016-07-01", 31));
    report.about.store = evil.to_owned();
    report.about.notice = Some(evil.to_owned());
    report.about.sensors = vec![evil.to_owned(), "<script>".to_owned()];
    report.about.timezone = evil.to_owned();
    report.about.left_out = vec![evil.to_owned()];
    report.about.period.name = evil.to_owned();
    for section in &mut report.sections {
        for table in &mut section.tables {
            for value in table.args.values_mut() {
                value.value = Cell::Text(evil.to_owned());
            }
            for (at, column) in table.columns.iter_mut().enumerate().skip(1) {
                let id = format!("{evil}{at}");
                table.plots.iter_mut().for_each(|plot| {
                    plot.y
                        .iter_mut()
                        .filter(|y| **y == column.id)
                        .for_each(|y| y.clone_from(&id));
                });
                column.id = id;
                column.name = None;
            }
            for cell in table.rows.iter_mut().flatten() {
                if let Cell::Text(text) = cell {
                    *text = evil.to_owned();
                }
            }
        }
    }
    for language in Language::ALL {
        let (_folder, elements) = page(&report, language);
        assert_eq!(named(&elements, "img").count(), 0);
        let shown = named(&elements, "dd").filter(|dd| dd.text == evil).count();
        assert_eq!(shown, 3, "store, sensor and zone are shown as they are");
        assert!(
            named(&elements, "text")
                .any(|text| text.text.contains('…') || text.text.contains("</script>"))
        );
    }
}

fn odd_table(kind: Kind, cells: &[Cell], logarithmic: bool, form: Form) -> Table {
    let days = (1..=cells.len()).map(|day| Cell::Text(format!("2016-07-{day:02}")));
    let column = |id: &str, kind| Column {
        id: id.to_owned(),
        kind,
        name: None,
    };
    Table {
        id: "odd".to_owned(),
        kind: "n3-days".to_owned(),
        args: [].into(),
        population: Population::All,
        columns: vec![column("date", Kind::Date), column("sources", kind)],
        rows: days
            .zip(cells)
            .map(|(day, cell)| vec![day, cell.clone()])
            .collect(),
        plots: vec![Plot {
            form,
            x: "date".to_owned(),
            y: vec!["sources".to_owned(), "nobody".to_owned()],
            incomplete: vec!["2016-07-02".to_owned(), "1999-01-01".to_owned()],
            logarithmic,
        }],
        notes: Vec::new(),
    }
}

fn with_table(table: Table) -> Report {
    let mut report = report::empty();
    report.sections.truncate(1);
    report.sections[0].tables = vec![table];
    report
}

#[test]
fn gaps_and_zeros_are_drawn_as_such() {
    let zeros = [Cell::Int(0), Cell::Int(0), Cell::Int(0)];
    for form in [Form::Lines, Form::Stacked, Form::Bars] {
        for logarithmic in [false, true] {
            let (_folder, elements) = page(
                &with_table(odd_table(Kind::Count, &zeros, logarithmic, form)),
                Language::English,
            );
            assert_eq!(named(&elements, "figure").count(), 1);
        }
    }
    let mixed = [Cell::Int(0), Cell::Int(1_000), Cell::Missing, Cell::Int(10)];
    let table = odd_table(Kind::Count, &mixed, true, Form::Lines);
    let (_folder, elements) = page(&with_table(table), Language::English);
    let labels: BTreeSet<&str> = named(&elements, "text")
        .map(|text| text.text.trim())
        .collect();
    assert!(
        ["0", "10", "100", "1k"]
            .iter()
            .all(|label| labels.contains(label)),
        "{labels:?}"
    );
    let lines = named(&elements, "polyline").filter(|line| line.attributes["stroke"] == "#0072B2");
    assert_eq!(
        lines.count(),
        2,
        "one run of two points, in each size; the last point is alone"
    );
    let gaps = [Cell::Missing, Cell::Missing];
    let (_folder, elements) = page(
        &with_table(odd_table(Kind::Count, &gaps, false, Form::Lines)),
        Language::English,
    );
    assert_eq!(
        named(&elements, "figure").count(),
        0,
        "nothing is drawn of nothing"
    );
    assert!(named(&elements, "td").all(|cell| cell.text == "-"));
}

#[test]
fn forty_columns_are_shown_and_ten_drawn() {
    let mut table = odd_table(
        Kind::Count,
        &[Cell::Int(1), Cell::Int(2)],
        false,
        Form::Lines,
    );
    let more = (0..38).map(|at| Column {
        id: format!("{at}/tcp"),
        kind: Kind::Count,
        name: None,
    });
    table.columns.extend(more);
    table
        .rows
        .iter_mut()
        .for_each(|row| row.extend((0..38).map(Cell::Int)));
    table.plots[0].y = table
        .columns
        .iter()
        .skip(1)
        .map(|column| column.id.clone())
        .collect();
    let (_folder, elements) = page(&with_table(table), Language::English);
    assert_eq!(
        named(&elements, "th")
            .filter(|th| th.attributes["scope"] == "col")
            .count(),
        40
    );
    assert!(named(&elements, "li").any(|li| li.text.contains("29 more")));
}

#[test]
fn bad_names_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for id in ["", "../up", "Upper", "a b", "ü"] {
        let mut table = odd_table(Kind::Count, &[], false, Form::Lines);
        table.id = id.to_owned();
        let error = write(&with_table(table), Language::English, &out).unwrap_err();
        assert!(matches!(error, Error::BadName { .. }), "{error}");
    }
    let mut twice = with_table(odd_table(Kind::Count, &[], false, Form::Lines));
    let copy = twice.sections[0].tables[0].clone();
    twice.sections[0].tables.push(copy);
    let error = write(&twice, Language::English, &out).unwrap_err();
    assert!(matches!(error, Error::NameTwice { .. }), "{error}");
    assert!(!out.exists());
    fs::write(&out, "a file").unwrap();
    let error = write(&report::empty(), Language::English, &out).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error}");
}

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell::Missing),
        any::<i64>().prop_map(Cell::Int),
        any::<f64>().prop_map(Cell::Float),
        "\\PC{0,12}".prop_map(Cell::Text),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}".prop_map(Cell::Text),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![
        Kind::Count,
        Kind::Number,
        Kind::Share,
        Kind::Rank,
        Kind::Date,
        Kind::Month,
        Kind::Time,
        Kind::Country,
        Kind::Port,
        Kind::Asn,
        Kind::Word,
        Kind::Text,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever cells hold, and however long rows are, the page is whole.
    #[test]
    fn every_table_makes_a_page(
        kinds in prop::collection::vec(kind(), 1..5),
        rows in prop::collection::vec(prop::collection::vec(cell(), 0..6), 0..12),
        form in prop::sample::select(vec![Form::Lines, Form::Stacked, Form::Bars]),
        logarithmic: bool,
        language in prop::sample::select(Language::ALL.to_vec()),
    ) {
        let columns: Vec<Column> = (kinds.iter().enumerate())
            .map(|(at, kind)| Column { id: format!("c{at}"), kind: *kind, name: None })
            .collect();
        let y: Vec<String> = columns.iter().map(|column| column.id.clone()).collect();
        let mut table = odd_table(Kind::Count, &[], logarithmic, form);
        table.plots[0] = Plot { form, x: "c0".to_owned(), y, incomplete: vec!["2016-07-02".to_owned()], logarithmic };
        table.columns = columns;
        table.rows = rows;
        page(&with_table(table), language);
    }
}
