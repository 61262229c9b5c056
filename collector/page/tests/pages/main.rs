//! Reports as written: read back by other parsers, with odd names, odd figures and nothing at all.

mod odd;
#[path = "../../examples/specimen/parts.rs"]
mod parts;
mod read;
#[path = "../../examples/specimen/regions.rs"]
mod regions;
#[path = "../../examples/specimen/report.rs"]
mod report;
#[path = "../../examples/specimen/trust.rs"]
mod trust;

use std::collections::BTreeSet;
use std::fs;

use noctule_page::model::{Cell, Report, Table};
use noctule_page::{Language, missing};

use read::{named, page};

const QUARTER: (&str, &str, usize) = ("2016-Q3", "2016-07-01", 92);

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
