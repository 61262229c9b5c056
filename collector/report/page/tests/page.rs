//! Reports as written: read back by other parsers, with odd names, odd figures and nothing at all.

#[path = "../examples/specimen/parts.rs"]
mod parts;
#[path = "../examples/specimen/regions.rs"]
mod regions;
#[path = "../examples/specimen/report.rs"]
mod report;
#[path = "../examples/specimen/trust.rs"]
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use html5ever::tendril::TendrilSink as _;
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use noctule_page::model::{Cell, Column, Form, Kind, Plot, Population, Report, Table};
use noctule_page::{Error, Language, missing, write};
use proptest::prelude::*;
use quick_xml::events::Event;

const QUARTER: (&str, &str, usize) = ("2016-Q3", "2016-07-01", 92);

/// An element of the page: name, attributes and the text in it.
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    text: String,
}

fn walk(node: &Handle, found: &mut Vec<Element>) -> String {
    let mut text = String::new();
    match &node.data {
        NodeData::Text { contents } => text.push_str(&contents.borrow()),
        NodeData::Element { name, attrs, .. } => {
            let attributes = (attrs.borrow().iter())
                .map(|attribute| {
                    (
                        attribute.name.local.to_string(),
                        attribute.value.to_string(),
                    )
                })
                .collect();
            let at = found.len();
            let name = name.local.to_string();
            found.push(Element {
                name,
                attributes,
                text: String::new(),
            });
            for child in node.children.borrow().iter() {
                text.push_str(&walk(child, found));
            }
            found[at].text.clone_from(&text);
        }
        _ => node
            .children
            .borrow()
            .iter()
            .for_each(|child| text.push_str(&walk(child, found))),
    }
    text
}

/// Writes a report, holds the page to what every page must be, and returns its elements.
fn page(report: &Report, language: Language) -> (tempfile::TempDir, Vec<Element>) {
    let folder = tempfile::tempdir().unwrap();
    let written = write(report, language, folder.path()).unwrap();
    assert_eq!(written.index, folder.path().join("index.html"));
    let octets: u64 = written
        .files
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert_eq!(written.octets, octets);
    let html = fs::read_to_string(&written.index).unwrap();
    let dom = html5ever::parse_document(RcDom::default(), Default::default()).one(html.as_str());
    let errors = dom.errors.borrow();
    assert!(errors.is_empty(), "{errors:?}");
    let mut elements = Vec::new();
    walk(&dom.document, &mut elements);
    hold(&elements, folder.path());
    for part in html.split("<svg").skip(1) {
        let end = part.find("</svg>").expect("drawings end");
        well_formed(&format!("<svg{}</svg>", &part[..end]));
    }
    (folder, elements)
}

fn hold(elements: &[Element], folder: &Path) {
    let ids: Vec<&String> = elements
        .iter()
        .filter_map(|one| one.attributes.get("id"))
        .collect();
    let unique: BTreeSet<&String> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "an id stands twice");
    let mut level = 0;
    for element in elements {
        for (name, value) in &element.attributes {
            assert!(
                !name.starts_with("on") && name != "style",
                "the policy forbids {name}"
            );
            match name.as_str() {
                "href" if value.starts_with('#') => {
                    assert!(
                        ids.contains(&&value[1..].to_owned()),
                        "{value} leads nowhere"
                    );
                }
                "href" => assert!(folder.join(value).is_file(), "{value} leads nowhere"),
                "src" => panic!("{value} is not in the page"),
                "aria-labelledby" => {
                    value
                        .split(' ')
                        .for_each(|id| assert!(ids.contains(&&id.to_owned()), "{id}"));
                }
                _ => {}
            }
        }
        if let Some(depth) = element
            .name
            .strip_prefix('h')
            .and_then(|depth| depth.parse().ok())
        {
            assert!(
                (1..=level + 1).contains(&depth),
                "{} comes too deep",
                element.text
            );
            level = depth;
        }
    }
    let count = |name: &str| elements.iter().filter(|one| one.name == name).count();
    assert_eq!(
        (count("h1"), count("main"), count("script"), count("style")),
        (1, 1, 1, 1)
    );
    assert_eq!(count("table"), count("caption"));
}

fn well_formed(svg: &str) {
    let mut reader = quick_xml::Reader::from_str(svg);
    let mut depth = 0;
    loop {
        match reader
            .read_event()
            .unwrap_or_else(|error| panic!("{error} in {svg}"))
        {
            Event::Eof => break,
            Event::Start(start) => {
                depth += 1;
                start
                    .attributes()
                    .for_each(|attribute| assert!(attribute.is_ok(), "{svg}"));
            }
            Event::End(_) => depth -= 1,
            _ => {}
        }
    }
    assert_eq!(depth, 0, "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

fn named<'a>(elements: &'a [Element], name: &str) -> impl Iterator<Item = &'a Element> {
    elements.iter().filter(move |element| element.name == name)
}

#[test]
fn a_specimen_has_everything_in_both_languages() {
    let report = report::specimen(QUARTER);
    for language in Language::ALL {
        assert_eq!(missing(&report, language), Vec::<String>::new());
        let (folder, elements) = page(&report, language);
        let sections: Vec<&str> = (named(&elements, "section"))
            .filter_map(|section| Some(section.attributes.get("id")?.as_str()))
            .collect();
        let wanted: Vec<&str> = report
            .sections
            .iter()
            .map(|section| section.id.as_str())
            .collect();
        assert_eq!(sections, wanted);
        assert_eq!(sections.len(), 19);
        let tables = report.sections.iter().flat_map(|section| &section.tables);
        assert_eq!(named(&elements, "article").count(), tables.clone().count());
        let plots: usize = tables.map(|table| table.plots.len()).sum();
        let pictures = named(&elements, "svg").filter(|svg| svg.attributes.contains_key("role"));
        assert_eq!(pictures.count(), plots * 2);
        let read: Report =
            serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
        assert_eq!(read, report);
        let notice = report.about.notice.as_deref().unwrap();
        let notices = named(&elements, "p")
            .filter(|p| p.text.contains(notice))
            .count();
        assert_eq!(notices, 2, "in the header and in the footer");
        let index = fs::read_to_string(folder.path().join("data/README.txt")).unwrap();
        assert!(index.contains(notice));
    }
}

#[test]
fn csv_and_json_hold_what_the_model_holds() {
    let report = report::specimen(QUARTER);
    let (folder, _) = page(&report, Language::Japanese);
    for table in report.sections.iter().flat_map(|section| &section.tables) {
        let path = folder.path().join(format!("data/{}.csv", table.id));
        let mut reader = csv::Reader::from_path(&path).unwrap();
        let headings: Vec<String> = reader
            .headers()
            .unwrap()
            .iter()
            .map(str::to_owned)
            .collect();
        let ids: Vec<String> = table
            .columns
            .iter()
            .map(|column| column.id.clone())
            .collect();
        assert_eq!(headings, ids);
        let mut rows = 0;
        for (record, row) in reader.records().map(Result::unwrap).zip(&table.rows) {
            for (field, cell) in record.iter().zip(row) {
                match cell {
                    Cell::Missing => assert_eq!(field, ""),
                    Cell::Int(number) => assert_eq!(field.parse::<i64>().unwrap(), *number),
                    Cell::Float(number) => assert_eq!(field.parse::<f64>().unwrap(), *number),
                    Cell::Text(text) => assert_eq!(field, text),
                }
            }
            rows += 1;
        }
        assert_eq!(rows, table.rows.len(), "{}", table.id);
        let json = fs::read(folder.path().join(format!("data/{}.json", table.id))).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["notice"], report.about.notice.clone().unwrap());
        assert_eq!(json["rows"].as_array().unwrap().len(), table.rows.len());
        assert_eq!(serde_json::from_value::<Table>(json).unwrap(), *table);
    }
}

#[test]
fn an_empty_report_and_one_without_sections_are_read() {
    for language in Language::ALL {
        let (_folder, elements) = page(&report::empty(), language);
        assert_eq!(named(&elements, "table").count(), 0);
        let mut report = report::empty();
        report.sections.clear();
        let (_folder, elements) = page(&report, language);
        assert!(named(&elements, "main").all(|main| !main.text.trim().is_empty()));
    }
}

#[test]
fn one_day_and_a_leap_year_are_drawn() {
    let (_folder, elements) = page(
        &report::specimen(("2016-09-20", "2016-09-20", 1)),
        Language::English,
    );
    assert!(
        named(&elements, "circle").count() > 10,
        "single points are marked"
    );
    let (_folder, elements) = page(
        &report::specimen(("2016", "2016-01-01", 366)),
        Language::Japanese,
    );
    let labels: BTreeSet<&str> = named(&elements, "text")
        .map(|text| text.text.trim())
        .collect();
    assert!(labels.contains("2016年7月"), "{labels:?}");
    assert!(
        named(&elements, "tr").count() > 5_000,
        "tables are there beyond their plots"
    );
}

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
